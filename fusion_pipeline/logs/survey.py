"""What is in a log, and what is wrong with it: rates, gaps, clocks that jump, latencies, sizes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from fusion_pipeline.arrays import Array
from fusion_pipeline.clock import MILLISECOND_NS, SECOND_NS
from fusion_pipeline.logs.reader import Log, open_log
from fusion_pipeline.messages import AudioChunk, CameraFrame, LidarScan, Message

PARTS = 160  # of a log's length, each with the greatest latency in it
GAP = 2.5  # periods without a message are a gap
BACK_NS = 0  # a capture before the one before it is a clock that jumped


@dataclass(frozen=True, slots=True)
class Topic:
    """One topic of a log. Times are arrivals unless they say otherwise."""

    name: str
    kind: str
    count: int
    rate_hz: float  # 1 / median period
    first_ns: int
    last_ns: int
    gaps: tuple[tuple[int, int], ...]  # from, to
    backwards: int  # captures before the one before
    repeated: int  # captures equal to the one before
    latency_ms: tuple[float, float]  # arrival - capture: median, greatest
    megabytes: float  # of arrays, as messages
    missing: int = 0  # messages that the sequence numbers of the log say were lost
    latest: tuple[tuple[int, float], ...] = ()  # arrival, greatest latency in ms, in so many parts of the log


@dataclass(frozen=True, slots=True)
class Survey:
    """A whole log."""

    path: Path
    seconds: float
    topics: tuple[Topic, ...]
    refused: tuple[tuple[str, str, int], ...]  # topic, reason, how many
    complete: bool  # its writer ended it

    @property
    def sound(self) -> bool:
        """Whether nothing is wrong."""
        return not self.refused and self.complete and not any(t.backwards or t.missing for t in self.topics)


@dataclass(slots=True)
class _Seen:
    kind: str
    arrivals: list[int] = field(default_factory=list)
    captures: list[int] = field(default_factory=list)
    size: int = 0


def surveyed(path: Path, advance: Callable[[int], None] = lambda n: None) -> Survey:
    """Read and decode every message of a log, pictures too. Raises LogError where there is nothing to read."""
    from fusion_pipeline.logs.picture_codec import raw_picture

    log = open_log(path)
    seen: dict[str, _Seen] = {}
    for message in _messages(log, advance):
        if isinstance(message, CameraFrame) and raw_picture(message) is None:
            log.refused[message.header.source, "picture that cannot be decoded"] += 1
            continue
        entry = seen.setdefault(message.header.source, _Seen(type(message).__name__))
        entry.arrivals.append(message.header.arrival_ns)
        entry.captures.append(message.header.capture_ns)
        entry.size += _size(message)
    missing = getattr(log, "missing", {})
    topics = tuple(_topic(name, entry, missing.get(name, 0)) for name, entry in sorted(seen.items()))
    refused = tuple((topic, reason, count) for (topic, reason), count in sorted(log.refused.items()))
    seconds = (log.end_ns - log.start_ns) / SECOND_NS
    return Survey(path, seconds, topics, refused, bool(getattr(log, "complete", True)))


def _messages(log: Log, advance: Callable[[int], None]) -> Iterator[Message]:
    for message in log.messages(topics=(*log.topics, *getattr(log, "results", ()))):
        yield message
        advance(1)


def _size(message: Message) -> int:
    if isinstance(message, LidarScan):
        return message.xyz_m.nbytes + message.intensity.nbytes + message.ring.nbytes + message.offset_ns.nbytes
    if isinstance(message, CameraFrame):
        return message.data.nbytes
    return message.pcm.nbytes if isinstance(message, AudioChunk) else 0


def _topic(name: str, seen: _Seen, missing: int) -> Topic:
    arrivals: Array = np.sort(np.asarray(seen.arrivals, np.int64))
    captures: Array = np.asarray(seen.captures, np.int64)
    periods, steps = np.diff(np.sort(captures)), np.diff(captures)
    usual = float(np.median(periods)) if len(periods) else 0.0
    wide = np.flatnonzero(periods > GAP * usual) if usual else np.zeros(0, np.int64)
    ordered = np.sort(captures)
    latency = (np.asarray(seen.arrivals, np.int64) - captures) / MILLISECOND_NS
    return Topic(
        name, seen.kind, len(arrivals), SECOND_NS / usual if usual else 0.0, int(arrivals[0]), int(arrivals[-1]),
        tuple((int(ordered[k]), int(ordered[k + 1])) for k in wide), int((steps < BACK_NS).sum()),
        int((steps == 0).sum()), (float(np.median(latency)), float(latency.max())), seen.size / 1e6, missing,
        _latest(np.asarray(seen.arrivals, np.int64), latency),
    )  # fmt: skip


def _latest(arrivals: Array, latency_ms: Array) -> tuple[tuple[int, float], ...]:
    """The greatest latency of each part of the time, at the part's middle; parts without a message are left out."""
    first, last = int(arrivals.min()), int(arrivals.max())
    width = max((last - first + 1) / PARTS, 1.0)
    parts = ((arrivals - first) / width).astype(np.int64)
    most = np.full(PARTS + 1, -np.inf)
    np.maximum.at(most, parts, latency_ms)
    return tuple((first + round((k + 0.5) * width), float(most[k])) for k in np.flatnonzero(np.isfinite(most)).tolist())
