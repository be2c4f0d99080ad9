"""Logs of any kind behind one protocol."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Protocol

from fusion_pipeline.messages import Message
from fusion_pipeline.rig import Rig


class LogError(ValueError):
    """A log that cannot be read; the message names the file, what is wrong with it and what to do."""


class Log(Protocol):
    """A recording. Opening one reads no sensor data."""

    path: Path
    rig: Rig
    topics: tuple[str, ...]  # sensor topics
    start_ns: int  # arrival of the first message
    end_ns: int  # arrival of the last
    refused: Counter[tuple[str, str]]  # what `messages` had to leave out, by topic and reason

    def messages(self) -> Iterator[Message]:
        """Every sensor message in order of arrival, read as it is asked for."""


def open_log(path: Path) -> Log:
    """The log at `path`. Raises LogError where it is of no known kind, or lacks what its kind must have."""
    if not path.exists():
        raise LogError(f"log {path} does not exist; check the path")
    for recognise, opener in _readers().values():
        if recognise(path):
            return opener(path)
    known = "; ".join(_readers())
    raise LogError(f"{path} is no log of a known kind; known: {known}")


def _readers() -> Mapping[str, tuple[Callable[[Path], bool], Callable[[Path], Log]]]:
    from fusion_pipeline.logs.kitti import KittiDrive, KittiObjects
    from fusion_pipeline.logs.mcap_reader import McapLog
    from fusion_pipeline.logs.rosbag import RosLog, is_bag

    return {
        "an MCAP file (.mcap)": (lambda path: path.is_file() and path.suffix == ".mcap", McapLog),
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
