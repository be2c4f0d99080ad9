"""Logs of any kind behind one protocol."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from fusion_pipeline.findings import Findings
from fusion_pipeline.messages import Message
from fusion_pipeline.rig import Rig

if TYPE_CHECKING:
    from fusion_pipeline.logs.labels import Labels


DEPTH, MOST_FOLDERS = 4, 2000  # how far below a folder a log is looked for, as `fusion eval` does


class LogError(ValueError):
    """A log that cannot be read; the message names the file, what is wrong with it and what to do."""


class FormError(ValueError):
    """A message that cannot be turned into ours; short enough for a refusal count."""

    def __init__(self, reason: str, damaged: bool = True) -> None:
        super().__init__(reason)
        self.damaged = damaged  # False: whole, but of a form that is not read

    def of_file(self) -> str:
        """The reason, as of a file that holds this message alone."""
        return f"file damaged: {self}" if self.damaged else str(self)


class Log(Protocol):
    """A recording. Opening one reads no sensor data."""

    path: Path
    rig: Rig
    topics: tuple[str, ...]  # sensor topics
    start_ns: int  # arrival of the first message
    end_ns: int  # arrival of the last
    findings: Findings  # what is known to be wrong on opening, and what `messages` noticed
    refused: Counter[tuple[str, str]]  # what `messages` had to leave out, by topic and reason

    def messages(
        self, start_ns: int | None = None, end_ns: int | None = None, topics: Collection[str] | None = None
    ) -> Iterator[Message]:
        """Messages with `start_ns <= arrival_ns < end_ns` in order of arrival, read as they are asked for.

        Without `topics` all sensor topics. A later start is jumped to, not read up to; what lies before the end of the
        time is not read beyond it.
        """

    def labels(self) -> Iterator[Labels]:
        """What was truly there, in order of time; nothing where the log has no labels."""


def within(
    messages: Iterable[Message], start_ns: int | None, end_ns: int | None, topics: Collection[str] | None
) -> Iterator[Message]:
    """Of messages in order of arrival those that `Log.messages` is asked for."""
    for message in messages:
        head = message.header
        if end_ns is not None and head.arrival_ns >= end_ns:
            return
        if (start_ns is None or head.arrival_ns >= start_ns) and (topics is None or head.source in topics):
            yield message


def open_log(path: Path) -> Log:
    """The log at `path`, or the only one in the folders below it. Raises LogError where it is of no known kind, or
    lacks what its kind must have.
    """
    for recognise, opener in _readers().values():
        if recognise(path):
            return opener(path)
    if not path.exists():
        raise LogError(f"log {path} does not exist; check the path")
    below = _below(path) if path.is_dir() else []
    chosen = [folder for folder in below if folder.name != "testing"] or below  # a data set's part without labels
    if len(chosen) == 1:
        return open_log(chosen[0])
    if chosen:
        names = ", ".join(str(folder.relative_to(path)) for folder in chosen[:5])
        raise LogError(
            f"{path} holds {len(chosen)} logs ({names}{', ...' if len(chosen) > 5 else ''}); name one of them"
        )
    known = "; ".join(_readers())
    raise LogError(f"{path} is no log of a known kind; known: {known}")


def _below(path: Path) -> list[Path]:
    """Folders that are logs, of the highest level that has some, at most `DEPTH` below `path`."""
    recognisers = [recognise for recognise, _ in _readers().values()]
    level, left = [path], MOST_FOLDERS
    for _ in range(DEPTH):
        try:
            level = sorted(inner for folder in level for inner in folder.iterdir() if inner.is_dir())[:left]
        except OSError:
            return []
        left -= len(level)
        if found := [folder for folder in level if any(recognise(folder) for recognise in recognisers)]:
            return found
    return []


def _readers() -> Mapping[str, tuple[Callable[[Path], bool], Callable[[Path], Log]]]:
    from fusion_pipeline.logs.argoverse2 import Argoverse2, is_argoverse2
    from fusion_pipeline.logs.kitti import KittiDrive, KittiObjects
    from fusion_pipeline.logs.kitti_sequences import KittiOdometry, KittiTracking, is_odometry, is_tracking
    from fusion_pipeline.logs.manifest_log import ManifestLog
    from fusion_pipeline.logs.mcap_places import is_mcap
    from fusion_pipeline.logs.mcap_reader import McapLog
    from fusion_pipeline.logs.nuscenes import NuScenes, is_nuscenes
    from fusion_pipeline.logs.rosbag import RosLog, is_bag
    from fusion_pipeline.logs.split_log import SplitLog, is_split

    return {
        "an MCAP file (.mcap, or compressed as .mcap.zstd)": (is_mcap, McapLog),
        "a sequence of KITTI's tracking benchmark (training/0004)": (is_tracking, KittiTracking),
        "a sequence of KITTI's odometry benchmark (sequences/00)": (is_odometry, KittiOdometry),
        "a folder of MCAP files that are one recording": (is_split, SplitLog),
        "a scene of nuScenes (v1.0-mini/scene-0061)": (is_nuscenes, NuScenes),
        "a log of Argoverse 2 (a folder with calibration/ and sensors/)": (is_argoverse2, Argoverse2),
        "a manifest of packets, sound and pictures (.toml)": (
            lambda path: path.is_file() and path.suffix == ".toml",
            ManifestLog,
        ),
        "a KITTI raw drive (a folder with velodyne_points/ or image_02/)": (
            lambda path: (path / "velodyne_points").is_dir() or (path / "image_02").is_dir(),
            KittiDrive,
        ),
        "a KITTI object folder (such as training/, with velodyne/ and calib/)": (
            lambda path: (path / "calib").is_dir() and any((path / name).is_dir() for name in ("velodyne", "image_2")),
            KittiObjects,
        ),
        "a ROS bag (.bag, or a ROS 2 folder with metadata.yaml)": (is_bag, RosLog),
    }
