"""The worst frames as pictures: camera and view from above, findings in colour, truth in white, missed truth in red."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np

from fusion_pipeline.arrays import Array, Bytes, Doubles, Floats
from fusion_pipeline.dashboard.canvas import MISSED, TEXT, Canvas
from fusion_pipeline.dashboard.picture import draw
from fusion_pipeline.dashboard.plots import draw_chart
from fusion_pipeline.evaluate.kitti_judge import KINDS, NEAR_M, SURE, Judged, labels_of
from fusion_pipeline.logs.kitti_files import CAMERA, VEHICLE_FROM_VELO, read_scan
from fusion_pipeline.messages import Detections
from fusion_pipeline.metrics import kitti
from fusion_pipeline.metrics.charts import Chart
from fusion_pipeline.output_file import write_whole
from fusion_pipeline.rig import CameraMount

ROW_PX = 22
LISTED = 6  # of the missed, and of the false


@dataclass(frozen=True, slots=True, eq=False)
class Failure:
    """One frame: what it says in a file's name, and what is wrong in it, line by line."""

    name: str
    missed: tuple[str, ...]
    false: tuple[str, ...]
    picture: Bytes
    points_m: Floats
    found: Detections
    camera: CameraMount
    truth: Doubles
    missed_boxes: Doubles

    def image(self) -> Bytes:
        """(H, W, 3) BGR: the frame, and above it what is wrong."""
        page = draw(self.picture, self.points_m, self.found, self.camera, self.truth, self.missed_boxes)
        lines = [(f"{self.name}: {len(self.missed)} missed, {len(self.false)} false", TEXT)]
        for word, rows, colour in (("missed", self.missed, MISSED), ("false", self.false, (255, 202, 40))):
            lines += [(f"{word}: {row}", colour) for row in rows[:LISTED]]
            if len(rows) > LISTED:
                lines.append((f"... and {len(rows) - LISTED} more {word}", colour))
        head = Canvas(page.shape[1], ROW_PX * len(lines) + 12)
        for number, (line, colour) in enumerate(lines):
            head.text(12, ROW_PX * (number + 1), line, colour, 14)
        return np.concatenate([head.image(), page])


def worst_kitti(frames: Sequence[Judged], count: int) -> Iterator[Failure]:
    """The `count` frames with the most missed and false findings, the worst first; none without."""
    verdicts = [_verdict(item) for item in frames]
    order = sorted(range(len(frames)), key=lambda k: -(len(verdicts[k][0]) + len(verdicts[k][1])))
    for number in order[:count]:
        missed, false = verdicts[number]
        if not len(missed) + len(false):
            return
        yield _failure(frames[number], missed, false)


def _verdict(item: Judged) -> tuple[list[int], list[int]]:
    """Truth that counts at "hard" and has no sure finding of its class within 2 m; sure findings with nothing there."""
    missed, false = [], []
    truth = item.frame.truth
    scores = item.found.boxes.scores
    for kind in KINDS:
        mine = np.flatnonzero(labels_of(item.found, kind) & (scores >= SURE))
        frame = item.of(kind)
        apart = np.linalg.norm(item.boxes[mine, None, :2] - truth.boxes[None, :, :2], axis=2)
        role = kitti.roles(frame, kind, kitti.HARD)
        missed += [int(i) for i in np.flatnonzero(role == kitti.COUNTS) if apart[:, i].min(initial=np.inf) > NEAR_M]
        doubtful = (kitti.low(frame, kitti.HARD) | kitti.excused(frame, 0.5))[frame.scores >= SURE]
        far = apart.min(axis=1, initial=np.inf) > NEAR_M
        false += [int(n) for n in mine[far & ~doubtful]]
    return missed, false


def _failure(item: Judged, missed: list[int], false: list[int]) -> Failure:
    frame, truth = item.frame, item.frame.truth
    points = np.zeros((0, 3), np.float32)
    if frame.scan is not None:
        points = np.asarray(VEHICLE_FROM_VELO.apply(read_scan(frame.scan, 0, 1).xyz_m), np.float32)
    picture = (
        cv2.imread(str(frame.picture), cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
        if frame.picture is not None
        else None
    )
    if picture is None:
        width, height = frame.calibration.size_px
        picture = np.zeros((height, width, 3), np.uint8)
    sure = np.flatnonzero(item.found.boxes.scores >= SURE)
    found = replace(item.found, boxes=item.found.boxes.take(sure))
    return Failure(
        frame.name, tuple(f"{truth.kinds[i]} {_at(truth.boxes[i])}" for i in missed),
        tuple(f"{_name(item.found, i)} {_at(item.boxes[i])}, score {item.found.boxes.scores[i]:.2f}" for i in false),
        np.asarray(picture, np.uint8), points, found, frame.calibration.rig("kitti").cameras[CAMERA], truth.boxes,
        truth.boxes[missed],
    )  # fmt: skip


def _name(found: Detections, row: int) -> str:
    return found.class_names[int(found.boxes.labels[row])]


def _at(box: Array) -> str:
    x, y = (float(value) for value in box[:2])
    return f"{np.hypot(x, y):.0f} m away (x {x:.1f}, y {y:.1f})"


def write_failures(folder: Path, failures: Iterable[tuple[str, Bytes]]) -> int:
    """Pictures (name, image) into a folder, numbered with the worst first; how many. Raises OSError."""
    folder.mkdir(parents=True, exist_ok=True)
    count = 0
    for count, (name, image) in enumerate(failures, 1):
        _write(folder / f"{count:02d}_{name.replace('/', '_')}.png", image)
    return count


def write_charts(folder: Path, charts: Iterable[Chart], prefix: str = "") -> None:
    """Each chart as a PNG of its name. Raises OSError."""
    folder.mkdir(parents=True, exist_ok=True)
    for chart in charts:
        _write(folder / f"{prefix}{chart.name}.png", draw_chart(chart))


def _write(path: Path, image: Bytes) -> None:
    write_whole(path, cv2.imencode(path.suffix, image)[1].tobytes())
