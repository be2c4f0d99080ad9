"""KITTI folders as logs: raw drives (synchronised and rectified) and the object benchmark.

The vehicle frame is the Velodyne's, lowered to the ground by 1.73 m.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path

from fusion_pipeline.clock import SECOND_NS
from fusion_pipeline.logs.files import FileLog, Item, rising
from fusion_pipeline.logs.kitti_files import (
    CAMERA,
    CLASSES,
    EGO,
    LIDAR,
    Calibration,
    drive_calibration,
    frame_calibration,
    frame_labels,
    numbered,
    read_picture,
    read_scan,
    stamps,
    tracklets,
)  # fmt: skip
from fusion_pipeline.logs.kitti_oxts import Oxts, vehicle_from_imu
from fusion_pipeline.logs.labels import Labels, labelled
from fusion_pipeline.logs.reader import LogError
from fusion_pipeline.messages import EgoMotion
from fusion_pipeline.rig import Rig

PERIOD_NS = 103_100_000  # of the scanner, where the log does not say
CAMERA_DELAY_NS = 5_000_000  # assumed from exposure to the picture in hand; KITTI does not say


class KittiLog(FileLog, ABC):
    """What all KITTI folders share: frames with numbers, and a calibration of each."""

    frames: dict[int, int]  # number of each frame by its instant, in order of time

    @abstractmethod
    def calibration(self, number: int) -> Calibration:
        """Of a frame."""

    def number_at(self, stamp_ns: int) -> int:
        """The frame whose instant is nearest to `stamp_ns`."""
        instants = list(self.frames)
        place = bisect_left(instants, stamp_ns)
        near = min(instants[max(0, place - 1) : place + 1], key=lambda instant: abs(instant - stamp_ns))
        return self.frames[near]


class KittiDrive(KittiLog):
    """A raw drive such as `2011_09_26/2011_09_26_drive_0052_sync`; its calibration lies in the folder above it.

    Readings of the OXTS become ego motion; tracklet_labels.xml, or the object benchmark's labels in label_02, labels.
    """

    def __init__(self, path: Path) -> None:
        """Read stamps and calibration. Raises LogError."""
        refused: Counter[tuple[str, str]] = Counter()
        self._calibration = drive_calibration(path.parent)
        items = [*_pictures(path / "image_02", refused), *self._scans(path / "velodyne_points", refused)]
        items += _oxts(path, refused)
        rig = self._calibration.rig(f"kitti_{path.parent.name}")
        super().__init__(path, rig, items, self._labelled, refused)

    def calibration(self, number: int) -> Calibration:
        """The day's."""
        return self._calibration

    def _scans(self, folder: Path, refused: Counter[tuple[str, str]]) -> Iterator[Item]:
        self.frames = {}
        if not folder.is_dir():
            return
        middles, starts, ends = (stamps(folder / f"timestamps{end}.txt") for end in ("", "_start", "_end"))
        count = max(len(middles), len(starts), len(ends))
        turns = [_turn(*(found[n] if n < len(found) else None for found in (starts, middles, ends)))
                 for n in range(count)]  # fmt: skip
        files = numbered(folder / "data", "*.bin")
        for number, first in rising([turn and turn[0] for turn in turns], LIDAR, refused):
            _, middle, last = turns[number] or (first, first, first)
            self.frames[middle] = number
            if number in files:
                yield Item(last, LIDAR, partial(read_scan, files[number], first, last - first))
        _count_absent(LIDAR, turns, files, refused)

    def _labelled(self) -> Iterator[Labels]:
        if (file := self.path / "tracklet_labels.xml").is_file():
            found = tracklets(file)
            for stamp, number in self.frames.items():
                rows, names, tracks, visible = found.get(number, ([], [], [], []))
                yield labelled(stamp, rows, names, CLASSES, tracks, visible=visible)
            return
        yield from _label_files(self, numbered(self.path / "label_02", "*.txt"))


class KittiObjects(KittiLog):
    """The object benchmark's `training` or `testing`. Its frames do not follow each other, and get stamps 1 s apart."""

    def __init__(self, path: Path) -> None:
        """List the files. Raises LogError."""
        self._tables = numbered(path / "calib", "*.txt")
        if not self._tables:
            raise LogError(f"{path / 'calib'} holds no calibration; the object benchmark has one file for each frame")
        first = next(iter(self._tables))
        scans, pictures = numbered(path / "velodyne", "*.bin"), numbered(path / "image_2", "*.png", "*.jpg")
        items = []
        for number, file in pictures.items():
            stamp = _object_stamp(number)
            read = partial(read_picture, file, CAMERA, stamp, stamp + CAMERA_DELAY_NS)
            items.append(Item(stamp + CAMERA_DELAY_NS, CAMERA, read))
        for number, file in scans.items():
            begin = _object_stamp(number) - PERIOD_NS // 2
            items.append(Item(begin + PERIOD_NS, LIDAR, partial(read_scan, file, begin, PERIOD_NS)))
        self.frames = {_object_stamp(number): number for number in sorted({*scans, *pictures})}
        super().__init__(path, frame_calibration(self._tables[first]).rig(path.name), items, self._labelled)

    def calibration(self, number: int) -> Calibration:
        """Each frame has its own. Raises LogError where it is missing."""
        if number not in self._tables:
            raise LogError(
                f"{self.path / 'calib'} has no {number:06d}.txt; the object benchmark has one for each frame"
            )
        return frame_calibration(self._tables[number])

    def _labelled(self) -> Iterator[Labels]:
        yield from _label_files(self, numbered(self.path / "label_2", "*.txt"))


def drive_rig(folder: Path) -> Rig:
    """The rig of a day's folder. Raises LogError."""
    return drive_calibration(folder).rig(f"kitti_{folder.name}")


def _turn(first: int | None, middle: int | None, last: int | None) -> tuple[int, int, int] | None:
    """First, middle and last instant of a turn from those that are known; None where none is."""
    if first is None and middle is None and last is None:
        return None
    if first is None:
        first = middle - PERIOD_NS // 2 if middle is not None else (last or 0) - PERIOD_NS
    last = max(first, first + PERIOD_NS if last is None else last)
    return first, (first + last) // 2 if middle is None else middle, last


def _count_absent(
    topic: str, found: Sequence[object | None], files: Mapping[int, Path], refused: Counter[tuple[str, str]]
) -> None:
    """Count lines without a file, empty lines that lack it too, and files without a stamp."""
    missing = sum(number not in files for number in range(len(found)))
    unstamped = sum(number >= len(found) or found[number] is None for number in files)
    for reason, count in (("file missing", missing), ("file without a stamp", unstamped)):
        if count:
            refused[topic, reason] += count


def _object_stamp(number: int) -> int:
    return (number + 1) * SECOND_NS


def _pictures(folder: Path, refused: Counter[tuple[str, str]]) -> Iterator[Item]:
    files = numbered(folder / "data", "*.png", "*.jpg")
    found = stamps(folder / "timestamps.txt")
    for number, stamp in rising(found, CAMERA, refused):
        if number in files:
            arrival = stamp + CAMERA_DELAY_NS
            yield Item(arrival, CAMERA, partial(read_picture, files[number], CAMERA, stamp, arrival))
    _count_absent(CAMERA, found, files, refused)


def _oxts(path: Path, refused: Counter[tuple[str, str]]) -> Iterator[Item]:
    files = numbered(path / "oxts" / "data", "*.txt")
    if not files:
        return
    readings = Oxts(vehicle_from_imu(path.parent / "calib_imu_to_velo.txt"))

    def read(file: Path, stamp: int) -> EgoMotion:
        return readings.motion(file.read_text(), stamp)

    begun = False
    found = stamps(path / "oxts" / "timestamps.txt")
    _count_absent(EGO, found, files, refused)
    for number, stamp in rising(found, EGO, refused):
        if number not in files:
            continue
        if not begun:
            try:
                readings.begin(files[number].read_text())
                begun = True
            except (OSError, ValueError):
                refused[EGO, "file damaged"] += 1
                continue
        yield Item(stamp, EGO, partial(read, files[number], stamp))


def _label_files(log: KittiLog, files: dict[int, Path]) -> Iterator[Labels]:
    for stamp, number in log.frames.items():
        if number not in files:
            continue
        try:
            yield frame_labels(files[number].read_text().splitlines(), log.calibration(number), stamp)
        except (ValueError, IndexError, OverflowError) as error:
            if isinstance(error, LogError):
                raise
            log.refused["labels", "file damaged"] += 1
