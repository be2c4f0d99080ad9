"""The messages of one stream, in the order of their stamps, until no set can need them any more."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, field

from fusion_pipeline.align.config import AlignerConfig, Stream
from fusion_pipeline.clock import MILLISECOND_NS, seconds_to_ns
from fusion_pipeline.messages import AudioChunk, CameraFrame, EgoMotion, LidarScan

Sensed = CameraFrame | LidarScan | AudioChunk | EgoMotion
LONGEST_CHUNK_S = 1.0  # of sound; a message that holds more is cut off by this much


@dataclass(slots=True)
class Entry:
    """A message, its stamp on the reference clock, and whether a set has used it."""

    stamp: int
    message: Sensed
    used: bool = False


@dataclass(slots=True)
class Buffer:
    """Stamps and entries side by side, so that bisection runs over plain integers."""

    topic: str
    kind: str
    window_ns: int
    offset_ns: int
    reach_ns: int  # entries this far before a set's instant are of no use to it, nor to any later one
    stamps: list[int] = field(default_factory=list)
    entries: list[Entry] = field(default_factory=list)

    @classmethod
    def of(cls, stream: Stream, config: AlignerConfig) -> Buffer:
        """An empty buffer for `stream`."""
        window = round(stream.window_ms * MILLISECOND_NS)
        kind = stream.topic.split("/", 1)[0]
        reach = seconds_to_ns(config.audio_window_s + LONGEST_CHUNK_S) if kind == "audio" else window
        return cls(stream.topic, kind, window, round(stream.offset_ms * MILLISECOND_NS), reach)

    def stamp_of(self, message: Sensed) -> int:
        """When the message was captured, on the reference clock; of a scan, its middle."""
        own = message.middle_ns if isinstance(message, LidarScan) else message.header.capture_ns
        return own + self.offset_ns

    def add(self, message: Sensed, stamp: int) -> bool:
        """Keep a message; False where one with the same stamp is there already."""
        stamps = self.stamps
        if not stamps or stamp > stamps[-1]:
            stamps.append(stamp)
            self.entries.append(Entry(stamp, message))
            return True
        at = bisect_left(stamps, stamp)
        if stamps[at] == stamp:
            return False
        stamps.insert(at, stamp)
        self.entries.insert(at, Entry(stamp, message))
        return True

    def proves(self, t: int) -> bool:
        """Whether nothing that is still to come can be nearer to `t`: a stream is in the order of its stamps."""
        if not self.stamps:
            return False
        newest = self.entries[-1].message
        if isinstance(newest, AudioChunk):
            return newest.end_ns + self.offset_ns >= t
        return self.stamps[-1] >= t

    def between(self, low: int, high: int, arrived_by: int) -> Iterator[Entry]:
        """Entries stamped `low` to `high`, both included, that had arrived in time, oldest first."""
        for entry in self.entries[bisect_left(self.stamps, low) : bisect_right(self.stamps, high)]:
            if entry.message.header.arrival_ns <= arrived_by:
                yield entry

    def take(self, count: int) -> list[Entry]:
        """Remove the oldest `count` entries."""
        gone = self.entries[:count]
        del self.stamps[:count], self.entries[:count]
        return gone

    def take_before(self, t: int) -> list[Entry]:
        """Remove what no set at `t` or later can need."""
        return self.take(bisect_left(self.stamps, t - self.reach_ns))
