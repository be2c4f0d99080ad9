"""A log for notebooks and scripts: parts and topics by brackets, sensor sets, tables.

log = open_log("drive.mcap")
for message in log[10.0:20.0]: ...          # seconds after the first message
for scan in log["lidar/top"][:5.0]: ...
for found in log.sets(): ...                # what every sensor saw at one instant
frame = log["tracks"].objects().to_pandas()
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from fusion_pipeline.clock import SECOND_NS
from fusion_pipeline.logs.labels import Labels
from fusion_pipeline.logs.reader import Log, LogError
from fusion_pipeline.logs.reader import open_log as _open
from fusion_pipeline.messages import (
    AudioChunk,
    CameraFrame,
    Detections,
    EgoMotion,
    LidarScan,
    Message,
    SensorSet,
    Tracks,
)  # fmt: skip
from fusion_pipeline.rig import CameraMount, LidarMount, MicrophoneArray, Rig


@dataclass(frozen=True, slots=True)
class Recording:
    """A log, or a part of one: times `start_ns <= arrival_ns < end_ns`, and topics. Nothing is read before it is asked
    for, and every loop reads anew.
    """

    log: Log
    start_ns: int
    end_ns: int
    chosen: tuple[str, ...] = ()  # topics; empty: all of the sensors

    def __iter__(self) -> Iterator[Message]:
        """Messages in order of arrival."""
        return self.log.messages(self.start_ns, self.end_ns, self.chosen or None)

    def __getitem__(self, part: str | tuple[str, ...] | slice) -> Recording:
        """A topic, several topics, or a part by seconds after the log's first message, as floats or ints.

        `log["lidar/top"]`, `log["lidar/top", "camera/front"]`, `log[10.0:20.0]`, `log[-5.0:]` the last five seconds.
        Raises LogError for topics that are not there, TypeError for anything else.
        """
        if isinstance(part, slice):
            return self._between(part)
        names = (part,) if isinstance(part, str) else part
        if not isinstance(names, tuple) or not all(isinstance(name, str) for name in names):
            raise TypeError(f"a log is asked for topics, or for a part such as [10.0:20.0], not for {part!r}")
        held = (*self.log.topics, *getattr(self.log, "results", ()))
        for name in names:
            if name not in held:
                raise LogError(f"{self.log.path} has no topic {name!r}; it has {', '.join(held)}")
        return replace(self, chosen=names)

    def _between(self, part: slice) -> Recording:
        if part.step is not None:
            raise TypeError("a part of a log has no step; take every nth message of a loop")
        low, high = (None if edge is None else self._at(float(edge)) for edge in (part.start, part.stop))
        return replace(
            self,
            start_ns=self.start_ns if low is None else max(self.start_ns, low),
            end_ns=self.end_ns if high is None else min(self.end_ns, high),
        )

    def _at(self, seconds: float) -> int:
        whole = self.log.end_ns if seconds < 0 else self.log.start_ns
        return whole + round(seconds * SECOND_NS)

    @property
    def topics(self) -> tuple[str, ...]:
        """Of the sensors; what was chosen, where something was."""
        return self.chosen or self.log.topics

    @property
    def rig(self) -> Rig:
        """Where the sensors sit."""
        return self.log.rig

    @property
    def refused(self) -> Mapping[tuple[str, str], int]:
        """What had to be left out so far, by topic and reason."""
        return dict(self.log.refused)

    @property
    def seconds(self) -> float:
        """The length of the part."""
        return (self.end_ns - 1 - self.start_ns) / SECOND_NS

    def sets(self, reference: str = "", deadline_ms: float = 1000.0) -> Iterator[SensorSet]:
        """Sensor sets of the part: all that belongs to one instant of the reference, by default the first LiDAR,
        else the first camera, else the first microphone array.

        Their scans, pictures, sound and ego motion are arrays in the dataclasses of `fusion_pipeline.messages`. A set
        waits `deadline_ms` of log time for what comes late. Raises LogError where there is none of these.
        """
        from fusion_pipeline.align import Aligner, AlignerConfig, Stream, default_reference

        topics = [topic for topic in self.topics if topic in self.log.topics]
        chosen = reference or default_reference(topics)
        if chosen not in topics:
            what = chosen or "LiDAR, camera or microphone array"
            raise LogError(f"{self.log.path} has no {what} here; sets need one as their reference")
        mounts: dict[str, LidarMount | CameraMount | MicrophoneArray]
        mounts = {**self.rig.lidars, **self.rig.cameras, **self.rig.audios}
        shift = {topic: mount.offset_ns / 1e6 for topic, mount in mounts.items()}
        streams = tuple(Stream(topic, offset_ms=shift.get(topic, 0.0)) for topic in topics if topic != chosen)
        aligner = Aligner(
            AlignerConfig(chosen, streams, deadline_ms, shift.get(chosen, 0.0), implausible_s=1e6, ahead_ms=1e9)
        )
        for message in self.log.messages(self.start_ns, self.end_ns, topics):
            if isinstance(message, (CameraFrame, LidarScan, AudioChunk, EgoMotion)):
                yield from aligner.advance(message.header.arrival_ns - 1)
                yield from aligner.step(message)
        yield from aligner.flush()

    def labels(self) -> Iterator[Labels]:
        """What was truly there, in order of time; nothing where the log has no labels."""
        for found in self.log.labels():
            if self.start_ns <= found.header.arrival_ns < self.end_ns:
                yield found

    def to_arrow(self) -> Any:
        """A pyarrow.Table with one row for each message. Raises LogError without pyarrow."""
        from fusion_pipeline.logs.object_tables import MESSAGE_COLUMNS, rows_of_messages, to_arrow

        return to_arrow(rows_of_messages(self), MESSAGE_COLUMNS)

    def to_pandas(self) -> Any:
        """The same as a pandas.DataFrame. Raises LogError without pandas."""
        return _frame(self.to_arrow())

    def objects(self) -> Objects:
        """Boxes and sounds of the chosen topics, such as `log["tracks"].objects()`; without results the labels."""
        return Objects(self)


@dataclass(frozen=True, slots=True)
class Objects:
    """The boxes and sounds of a recording, one row each."""

    recording: Recording

    def __iter__(self) -> Iterator[dict[str, object]]:
        """Rows by the names of `object_tables.OBJECT_COLUMNS`."""
        from fusion_pipeline.logs.object_tables import rows_of_objects

        return rows_of_objects(self._sets())

    def _sets(self) -> Iterator[Tracks | Detections]:
        held = [topic for topic in self.recording.chosen if topic not in self.recording.log.topics]
        if held:
            yield from (found for found in self.recording if isinstance(found, (Tracks, Detections)))
        else:
            yield from (found.tracks() for found in self.recording.labels())

    def to_arrow(self) -> Any:
        """A pyarrow.Table. Raises LogError without pyarrow."""
        from fusion_pipeline.logs.object_tables import OBJECT_COLUMNS, to_arrow

        return to_arrow(self, OBJECT_COLUMNS)

    def to_pandas(self) -> Any:
        """A pandas.DataFrame. Raises LogError without pandas."""
        return _frame(self.to_arrow())


def open_log(path: str | Path) -> Recording:
    """Any log that can be read, as `docs/logs.md` lists them. Raises LogError."""
    log = _open(Path(path))
    return Recording(log, log.start_ns, log.end_ns + 1)


def _frame(table: Any) -> Any:
    try:
        return table.to_pandas()
    except ModuleNotFoundError:
        raise LogError("data frames need pandas; pip install 'fusion-pipeline[pandas]', or use to_arrow()") from None
