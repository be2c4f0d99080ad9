"""KITTI's tracking and odometry benchmarks as logs: sequences of frames at 9.7 Hz.

A tracking sequence is named by its number within `training` or `testing`, such as `training/0004`, although it has no
folder of that name: its files lie in velodyne/0004, image_02/0004, label_02/0004.txt and so on. An odometry sequence is
the folder `sequences/00`; its poses are those of `poses/00.txt` beside `sequences`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np

from fusion_pipeline.clock import LAST_NS, SECOND_NS
from fusion_pipeline.geometry.pose import Pose
from fusion_pipeline.logs.files import Item
from fusion_pipeline.logs.kitti import CAMERA_DELAY_NS, PERIOD_NS, KittiLog
from fusion_pipeline.logs.kitti_files import (
    CAMERA,
    EGO,
    LARGEST,
    LIDAR,
    Calibration,
    frame_calibration,
    frame_labels,
    numbered,
    read_picture,
    read_scan,
)  # fmt: skip
from fusion_pipeline.logs.kitti_oxts import Oxts, vehicle_from_imu
from fusion_pipeline.logs.labels import Labels
from fusion_pipeline.logs.pose_track import PoseTrack
from fusion_pipeline.logs.reader import LogError


def is_tracking(path: Path) -> bool:
    """Whether a path names a tracking sequence, or a folder of them."""
    return _tracking_calibration(path) is not None or bool(_sequences(path))


def is_odometry(path: Path) -> bool:
    """Whether a path is an odometry sequence."""
    return (path / "calib.txt").is_file() and (path / "times.txt").is_file()


def _tracking_calibration(path: Path) -> Path | None:
    file = path.parent / "calib" / f"{path.name}.txt"
    folders = [path.parent / "velodyne" / path.name, path.parent / "image_02" / path.name]
    return file if path.name.isdigit() and any(folder.is_dir() for folder in folders) else None


def _sequences(path: Path) -> list[str]:
    if not (path / "calib").is_dir():
        return []
    folders = (path / "velodyne", path / "image_02")
    return sorted({f.name for folder in folders if folder.is_dir() for f in folder.iterdir()
                   if f.is_dir() and f.name.isdigit()})  # fmt: skip


class KittiTracking(KittiLog):
    """One sequence of the tracking benchmark. Its stamps are nominal: the benchmark has none."""

    def __init__(self, path: Path) -> None:
        """Raises LogError; for a folder of several sequences it names them."""
        if _tracking_calibration(path) is None:
            names = _sequences(path)
            if len(names) > 1:
                raise LogError(f"{path} holds {len(names)} sequences; open one, such as {path / names[0]}")
            path = path / names[0]
        root, name = path.parent, path.name
        self._calibration = frame_calibration(root / "calib" / f"{name}.txt", benchmark="tracking")
        items, self.frames = [], {}
        for number, file in numbered(root / "image_02" / name, "*.png", "*.jpg").items():
            stamp = _stamp(number)
            self.frames[stamp] = number
            read = partial(read_picture, file, CAMERA, stamp, stamp + CAMERA_DELAY_NS)
            items.append(Item(stamp + CAMERA_DELAY_NS, CAMERA, read))
        for number, file in numbered(root / "velodyne" / name, "*.bin").items():
            begin = _stamp(number) - PERIOD_NS // 2
            self.frames[_stamp(number)] = number
            items.append(Item(begin + PERIOD_NS, LIDAR, partial(read_scan, file, begin, PERIOD_NS)))
        self.frames = dict(sorted(self.frames.items()))
        items += self._ego(root / "oxts" / f"{name}.txt", root / "calib" / f"{name}.txt")
        self._label_file = root / "label_02" / f"{name}.txt"
        super().__init__(path, self._calibration.rig(f"kitti_tracking_{name}"), items, self._labelled)

    def calibration(self, number: int) -> Calibration:
        """The sequence's."""
        return self._calibration

    def _ego(self, file: Path, calib: Path) -> Iterator[Item]:
        if not file.is_file():
            return
        readings = Oxts(vehicle_from_imu(calib, ("Tr_imu_velo",)))
        for number, text in enumerate(file.read_text(errors="replace").splitlines()):
            if not text.strip():  # every other line keeps its number, which is its frame's
                continue
            yield Item(_stamp(number), EGO, partial(readings.motion, text, _stamp(number)))

    def _labelled(self) -> Iterator[Labels]:
        if not self._label_file.is_file():
            return
        by_frame: dict[int, list[str]] = {}
        for text in self._label_file.read_text(errors="replace").splitlines():
            first = text.split(None, 1)[:1]
            if first and first[0].isdigit():
                by_frame.setdefault(int(first[0]), []).append(text)
            elif first:
                self.refused["labels", "damaged line"] += 1
        for stamp, number in self.frames.items():
            try:
                yield frame_labels(by_frame.get(number, []), self._calibration, stamp, with_track=True)
            except (ValueError, IndexError, OverflowError):
                self.refused["labels", "damaged line"] += 1


class KittiOdometry(KittiLog):
    """One sequence of the odometry benchmark, with its poses as ego motion where they are published."""

    def __init__(self, path: Path) -> None:
        """Raises LogError."""
        colour = "image_2" if (path / "image_2").is_dir() else "image_0"
        self._calibration = frame_calibration(path / "calib.txt", camera=f"P{colour[-1]}", benchmark="odometry")
        times = _times(path / "times.txt")
        items, self.frames = [], {}
        refused: Counter[tuple[str, str]] = Counter()
        for topic, folder, patterns in ((CAMERA, colour, ("*.png", "*.jpg")), (LIDAR, "velodyne", ("*.bin",))):
            for number, file in numbered(path / folder, *patterns).items():
                stamp = times[number] if number < len(times) else None
                if stamp is None:
                    refused[topic, "file without a stamp"] += 1
                    continue
                self.frames[stamp] = number
                begin, arrival = stamp - PERIOD_NS // 2, stamp + CAMERA_DELAY_NS
                items.append(
                    Item(arrival, topic, partial(read_picture, file, topic, stamp, arrival)) if topic == CAMERA
                    else Item(begin + PERIOD_NS, topic, partial(read_scan, file, begin, PERIOD_NS))
                )  # fmt: skip
        self.frames = dict(sorted(self.frames.items()))
        items += self._ego(path.parent.parent / "poses" / f"{path.name}.txt", times)
        super().__init__(path, self._calibration.rig(f"kitti_odometry_{path.name}"), items, refused=refused)

    def calibration(self, number: int) -> Calibration:
        """The sequence's."""
        return self._calibration

    def _ego(self, file: Path, times: list[int | None]) -> Iterator[Item]:
        if not file.is_file():
            return
        rows = []
        for number, text in enumerate(file.read_text(errors="replace").splitlines(), 1):
            try:
                values = np.asarray(text.split(), np.float64)
            except ValueError:
                values = np.zeros(0)
            if len(values) != 12 or not (np.abs(values) < LARGEST).all():
                raise LogError(f"{file}, line {number}: a pose has 12 numbers; download the poses again")
            rows.append(values)
        mount = self._calibration.vehicle_from_rectified

        def pose(number: int) -> Pose:
            row = rows[known[number]].reshape(3, 4)  # of the rectified camera 0 in the frame of its first
            try:
                return mount @ Pose(row[:, :3], row[:, 3]) @ mount.inverse()
            except ValueError as error:
                raise LogError(f"{file}, line {known[number] + 1}: {error}") from None

        stamped = {number: stamp for number, stamp in enumerate(times[: len(rows)]) if stamp is not None}
        known = list(stamped)
        track = PoseTrack(EGO, "odometry", list(stamped.values()), pose)
        for number, stamp in enumerate(track.times_ns):
            yield Item(stamp, EGO, partial(track.motion, number))


def _stamp(number: int) -> int:
    return SECOND_NS + number * PERIOD_NS


def _times(path: Path) -> list[int | None]:
    """Seconds since the beginning, from 1 s on; None of an empty line, whose frame has none. Raises LogError."""
    found: list[int | None] = []
    last = 0
    for number, text in enumerate(path.read_text(errors="replace").rstrip().splitlines(), 1):
        if not text.strip():
            found.append(None)
            continue
        try:
            stamp = SECOND_NS + round(float(text) * SECOND_NS)
        except (ValueError, OverflowError):
            stamp = -1
        if not 0 < stamp < LAST_NS:
            raise LogError(f"{path}, line {number}: {text[:40]!r} is no time in seconds")
        if stamp <= last:
            raise LogError(f"{path}, line {number}: {text} is not after the time before it; download the file again")
        last = stamp
        found.append(stamp)
    return found
