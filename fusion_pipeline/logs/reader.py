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


class LogError(ValueError):
    """A log that cannot be read; the message names the file, what is wrong with it and what to do."""


class FormError(ValueError):
    """A message that cannot be turned into ours; short enough for a refusal count."""


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
    """The log at `path`. Raises LogError where it is of no known kind, or lacks what its kind must have."""
    for recognise, opener in _readers().values():
        if recognise(path):
            return opener(path)
    if not path.exists():
        raise LogError(f"log {path} does not exist; check the path")
    known = "; ".join(_readers())
    raise LogError(f"{path} is no log of a known kind; known: {known}")


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
            lambda path: (path / "velodyne").is_dir() and (path / "calib").is_dir(),
            KittiObjects,
        ),
        "a ROS bag (.bag, or a ROS 2 folder with metadata.yaml)": (is_bag, RosLog),
    }
