"""Results in KITTI's formats: a file for each frame as in the object benchmark, or a file of a sequence as in tracking.

The formats: readme.txt of the object and of the tracking development kit. Boxes are in the frame of a rectified camera:
KITTI's camera 0 for its own logs, the chosen camera itself for others, whose calibration is written beside the results.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fusion_pipeline.arrays import Array, Doubles
from fusion_pipeline.geometry.boxes import corners
from fusion_pipeline.geometry.pose import Pose
from fusion_pipeline.logs.kitti import KittiLog
from fusion_pipeline.logs.kitti_files import CAMERA, Calibration
from fusion_pipeline.logs.reader import LogError
from fusion_pipeline.messages import Boxes, Detections, Tracks
from fusion_pipeline.output_file import whole_file, write_whole
from fusion_pipeline.rig import Rig

NAMES = {
    "car": "Car", "truck": "Truck", "van": "Van", "pedestrian": "Pedestrian", "two-wheeler": "Cyclist",
    "cyclist": "Cyclist", "bicycle": "Cyclist", "tram": "Tram", "bus": "Truck",
}  # fmt: skip
NEAREST_M = 0.1  # what lies behind the camera has no place in its picture


@dataclass(frozen=True, slots=True, eq=False)
class View:
    """How a frame is seen: where boxes are written, and how they project."""

    camera_from_vehicle: Pose
    projection: Doubles  # (3, 4)
    size_px: tuple[int, int]  # width, height

    @classmethod
    def of_kitti(cls, calibration: Calibration) -> View:
        """KITTI's own."""
        return cls(calibration.vehicle_from_rectified.inverse(), calibration.projection, calibration.size_px)

    @classmethod
    def of_rig(cls, rig: Rig, topic: str = "") -> View:
        """A camera of a rig; its first where none is named. Raises LogError."""
        name = topic or next(iter(rig.cameras), "")
        if name not in rig.cameras:
            known = ", ".join(rig.cameras) or "none"
            raise LogError(f"the rig has no camera {topic!r}; it has {known}; KITTI's formats need one")
        mount = rig.cameras[name]
        model = mount.model
        projection = np.column_stack([model.matrix, np.zeros(3)])
        return cls(mount.vehicle_from_sensor.inverse(), projection, (model.width_px, model.height_px))


def kitti_lines(found: Tracks | Detections, view: View) -> Iterator[tuple[int, str]]:
    """Track and line of each box that is in the picture; truncation and occlusion are not known, -1."""
    boxes = found.boxes
    if not len(boxes):
        return
    centres, yaws = in_camera(boxes, view.camera_from_vehicle)
    rectangles, seen = _rectangles(boxes, view)
    for k, label in enumerate(boxes.labels.tolist()):
        if not seen[k]:
            continue
        name = found.class_names[label] if 0 <= label < len(found.class_names) else str(label)
        x, y, z = centres[k].tolist()
        length, width, height = boxes.sizes_m[k].tolist()
        turn = float(yaws[k])
        alpha = _wrapped(turn - float(np.arctan2(x, z)))
        numbers = [alpha, *rectangles[k].tolist(), height, width, length, x, y + height / 2, z, turn]
        text = " ".join(f"{value:.4f}" for value in numbers)
        kind = NAMES.get(name.lower(), name[:1].upper() + name[1:].replace(" ", "_"))
        yield int(boxes.track_ids[k]), f"{kind} -1 -1 {text} {float(boxes.scores[k]):.4f}"


def in_camera(boxes: Boxes, camera_from_vehicle: Pose) -> tuple[Array, Array]:
    """(N, 3) middles in the camera's frame and (N,) turns about its y, zero along x."""
    centres = camera_from_vehicle.apply(boxes.centers_m.astype(np.float64))
    yaws = boxes.yaws_rad.astype(np.float64)
    ahead = np.column_stack([np.cos(yaws), np.sin(yaws), np.zeros(len(yaws))]) @ camera_from_vehicle.rotation.T
    return centres, np.arctan2(-ahead[:, 2], ahead[:, 0])


def _rectangles(boxes: Boxes, view: View) -> tuple[Array, Array]:
    """(N, 4) left, top, right, bottom in pixels, clipped to the picture, and (N,) whether there is any of it."""
    rows = np.column_stack([boxes.centers_m, boxes.sizes_m, boxes.yaws_rad]).astype(np.float64)
    solid = corners(rows)
    points = view.camera_from_vehicle.apply(solid.reshape(-1, 3)).reshape(-1, 8, 3)
    before = points[:, :, 2] > NEAREST_M
    flat = np.concatenate([points, np.ones((len(points), 8, 1))], axis=2) @ view.projection.T
    pixels = flat[:, :, :2] / np.maximum(flat[:, :, 2:], NEAREST_M)
    width, height = view.size_px
    low = np.where(before[:, :, None], pixels, np.inf).min(axis=1)
    high = np.where(before[:, :, None], pixels, -np.inf).max(axis=1)
    limit = np.asarray([width - 1, height - 1], np.float64)
    inside = (high > 0).all(axis=1) & (low < limit).all(axis=1) & before.any(axis=1)
    clipped = np.concatenate([np.clip(np.where(np.isfinite(low), low, 0), 0, limit),
                              np.clip(np.where(np.isfinite(high), high, 0), 0, limit)], axis=1)  # fmt: skip
    return clipped, inside


def _wrapped(angle: float) -> float:
    return (angle + np.pi) % (2 * np.pi) - np.pi


@dataclass(frozen=True, slots=True)
class Frames:
    """Numbers and views of frames: those of a KITTI log, or counted from 0."""

    log: KittiLog | None
    view: View | None

    @classmethod
    def of(cls, log: object, rig: Rig | None, camera: str = "") -> Frames:
        """Of a KITTI log its own; of any other the rig's camera. Raises LogError."""
        if isinstance(log, KittiLog) and camera in ("", CAMERA):
            return cls(log, None)
        if rig is None or not rig.cameras:
            raise LogError("KITTI's formats need a camera; name the log with --log, or a rig with --rig")
        return cls(None, View.of_rig(rig, camera))

    def at(self, stamp_ns: int, count: int) -> tuple[int, View]:
        """Number and view of the frame of a set, the `count`-th."""
        if self.log is None:
            assert self.view is not None  # `of` made one of the two
            return count, self.view
        number = self.log.number_at(stamp_ns)
        return number, View.of_kitti(self.log.calibration(number))


def write_objects(found: Iterable[Tracks | Detections], frames: Frames, out: Path,
                  advance: Callable[[int], None] = lambda n: None) -> int:  # fmt: skip
    """A folder with data/000000.txt and so on, one for each set; how many. Raises LogError."""
    try:
        (out / "data").mkdir(parents=True, exist_ok=True)
        count = 0
        for item in found:
            number, view = frames.at(item.header.capture_ns, count)
            lines = [line for _, line in kitti_lines(item, view)]
            write_whole(out / "data" / f"{number:06d}.txt", "".join(f"{line}\n" for line in lines))
            count += 1
            advance(1)
        if frames.view is not None:
            write_whole(out / "calib.txt", _calib(frames.view))
    except OSError as error:
        raise LogError(f"cannot write {out}: {error.strerror}; choose another place") from None
    return count


def write_tracking(found: Iterable[Tracks | Detections], frames: Frames, out: Path,
                   advance: Callable[[int], None] = lambda n: None) -> int:  # fmt: skip
    """One file, a line for each track in each frame; boxes without identity are left out. Raises LogError."""
    count = 0
    try:
        with whole_file(out) as output, output.path.open("w", encoding="utf-8") as file:
            for item in found:
                number, view = frames.at(item.header.capture_ns, count)
                for track, line in kitti_lines(item, view):
                    if track >= 0:
                        file.write(f"{number} {track} {line}\n")
                count += 1
                advance(1)
    except OSError as error:
        raise LogError(f"cannot write {out}: {error.strerror}; choose another place") from None
    return count


def _calib(view: View) -> str:
    """As the object benchmark's: the camera is its own camera 0 and 2, the vehicle frame its Velodyne's."""
    rows = {f"P{k}": view.projection.ravel() for k in range(4)}
    rows["R0_rect"] = np.eye(3).ravel()
    rows["Tr_velo_to_cam"] = view.camera_from_vehicle.matrix[:3].ravel()
    return "".join(f"{key}: {' '.join(f'{value:.12e}' for value in values)}\n" for key, values in rows.items())
