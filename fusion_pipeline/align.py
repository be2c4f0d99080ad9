"""Messages in, sensor sets out, by capture time. Pure: no sockets and no wall clock.

A set's deadline is its reference's `arrival_ns + deadline`. A message that arrived after it is never used for that
set, however early it was delivered. A frame may serve two sets and then counts as used once.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter, deque
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import numpy as np

from fusion_pipeline.clock import MILLISECOND_NS, SECOND_NS, seconds_to_ns
from fusion_pipeline.geometry.pose import Pose
from fusion_pipeline.messages import (
    AudioChunk,
    CameraFrame,
    EgoMotion,
    Header,
    Hop,
    LidarScan,
    Missing,
    SensorSet,
)  # fmt: skip

Sensed = CameraFrame | LidarScan | AudioChunk | EgoMotion


@dataclass(frozen=True, slots=True)
class Stream:
    """One input; `window_ms` bounds the distance of a camera frame, or of the ego samples, from t."""

    topic: str  # its kind (camera, audio, ego) decides how it is matched
    window_ms: float = 50.0
    offset_ms: float = 0.0  # added to the stamps


@dataclass(frozen=True)
class AlignerConfig:
    """What makes a set, and how long to wait for it."""

    reference: str = "lidar/top"
    streams: tuple[Stream, ...] = ()
    deadline_ms: float = 60.0
    reference_offset_ms: float = 0.0
    audio_window_s: float = 0.5
    audio_tolerance_ms: float = 2.0  # chunk stamps that differ less than this from the sample count are joined
    tick_ms: float = 100.0  # period of sets while the reference is silent
    implausible_s: float = 5.0  # |capture - arrival| beyond this is refused
    jump_s: float = 1.0  # an arrival this far back on its own stream means the clock jumped or the log looped
    max_messages: int = 512  # kept per stream


@dataclass(slots=True)
class _Entry:
    message: Sensed
    used: bool = False


@dataclass(slots=True)
class _Buffer:
    stream: Stream
    stamps: list[int] = field(default_factory=list)
    entries: list[_Entry] = field(default_factory=list)


class Aligner:
    """Feed `step` and `advance`; `counts[(topic, outcome)]` with `received[topic]` is the ledger.

    Outcomes: used, late, unmatched, evicted, refused. After `flush` they add up to what was received.
    """

    def __init__(self, config: AlignerConfig) -> None:
        self.config = config
        self.counts: Counter[tuple[str, str]] = Counter()
        self.received: Counter[str] = Counter()
        self._deadline = round(config.deadline_ms * MILLISECOND_NS)
        self._tick = round(config.tick_ms * MILLISECOND_NS)
        self._buffers = {stream.topic: _Buffer(stream) for stream in config.streams}
        self._pending: deque[tuple[int, LidarScan]] = deque()
        self._last: int | None = None  # t of the newest set
        self._arrived: dict[str, int] = {}
        self._now = 0

    def step(self, message: Sensed) -> Iterator[SensorSet]:
        """Take one message; yields the sets that it completes."""
        header, config = message.header, self.config
        topic = header.source
        self.received[topic] += 1
        if topic != config.reference and topic not in self._buffers:
            self.counts[topic, "refused"] += 1
            return
        if abs(header.capture_ns - header.arrival_ns) > seconds_to_ns(config.implausible_s):
            self.counts[topic, "refused"] += 1
            return
        if header.arrival_ns < self._arrived.get(topic, 0) - seconds_to_ns(config.jump_s):
            yield from self.flush()
        self._arrived[topic] = max(header.arrival_ns, self._arrived.get(topic, 0))
        if isinstance(message, LidarScan) and topic == config.reference:
            t = message.middle_ns + round(config.reference_offset_ms * MILLISECOND_NS)
            newest = self._pending[-1][0] if self._pending else self._last
            if newest is not None and t <= newest:
                self.counts[topic, "refused" if self._pending and t == newest else "late"] += 1
                return
            self._pending.append((t, message))
            if len(self._pending) > config.max_messages:
                self._pending.popleft()
                self.counts[topic, "evicted"] += 1
        elif topic in self._buffers:
            self._store(self._buffers[topic], message)
        else:
            self.counts[topic, "refused"] += 1
        while self._pending and all(self._proven(b, self._pending[0][0]) for b in self._buffers.values()):
            yield self._emit(header.arrival_ns, topic)

    def advance(self, now_ns: int) -> Iterator[SensorSet]:
        """Every message with `arrival_ns <= now_ns` has been delivered; yields the sets whose deadline has passed."""
        if now_ns < self._now - seconds_to_ns(self.config.jump_s):
            yield from self.flush()
        self._now = now_ns
        while self._pending and self._pending[0][1].header.arrival_ns + self._deadline <= now_ns:
            yield self._emit(now_ns, "deadline")
        silent = self._tick + self._deadline
        while not self._pending and self._last is not None and self._last + self._tick + silent <= now_ns:
            behind = (now_ns - silent - self._last) // self._tick
            t = self._last + self._tick * max(1, behind - 10)  # after a long pause only the newest ticks matter
            yield self._build(t, t + silent, None, now_ns, self.config.reference)

    def flush(self) -> Iterator[SensorSet]:
        """The end of the stream: yields what is pending, accounts for the rest, and forgets all stamps."""
        while self._pending:
            yield self._emit(self._pending[0][1].header.arrival_ns + self._deadline, "end")
        for buffer in self._buffers.values():
            self._drop(buffer, len(buffer.stamps), "unmatched")
        self._last, self._now = None, 0
        self._arrived.clear()

    def _store(self, buffer: _Buffer, message: Sensed) -> None:
        topic = message.header.source
        stamp = message.header.capture_ns + round(buffer.stream.offset_ms * MILLISECOND_NS)
        at = bisect_left(buffer.stamps, stamp)
        if at < len(buffer.stamps) and buffer.stamps[at] == stamp:
            self.counts[topic, "refused"] += 1
            return
        if self._last is not None and stamp < self._last - self._reach(buffer):
            self.counts[topic, "late"] += 1
            return
        buffer.stamps.insert(at, stamp)
        buffer.entries.insert(at, _Entry(message))
        if len(buffer.stamps) > self.config.max_messages:
            self._drop(buffer, 1, "evicted")

    def _reach(self, buffer: _Buffer) -> int:
        if buffer.stream.topic.startswith("audio"):
            return seconds_to_ns(self.config.audio_window_s + 1.0)  # a chunk lasts at most a second
        return round(buffer.stream.window_ms * MILLISECOND_NS)

    def _drop(self, buffer: _Buffer, count: int, reason: str) -> None:
        for entry in buffer.entries[:count]:
            self.counts[buffer.stream.topic, "used" if entry.used else reason] += 1
        del buffer.stamps[:count], buffer.entries[:count]

    @staticmethod
    def _proven(buffer: _Buffer, t: int) -> bool:
        """A stream is in order, so nothing after a sample at or past t can be nearer than what is there."""
        if not buffer.stamps:
            return False
        newest = buffer.entries[-1].message
        length = newest.end_ns - newest.header.capture_ns if isinstance(newest, AudioChunk) else 0
        return buffer.stamps[-1] + length >= t

    def _emit(self, now_ns: int, held_by: str) -> SensorSet:
        t, scan = self._pending.popleft()
        self.counts[scan.header.source, "used"] += 1
        return self._build(t, scan.header.arrival_ns + self._deadline, scan, now_ns, held_by)

    def _build(self, t: int, deadline: int, scan: LidarScan | None, now_ns: int, held_by: str) -> SensorSet:
        parts: list[Sensed] = [scan] if scan else []
        missing = [] if scan else [Missing(self.config.reference, "silent")]
        arrivals = [scan.header.arrival_ns] if scan else []
        for topic, buffer in self._buffers.items():
            usable = [
                (s, e) for s, e in zip(buffer.stamps, buffer.entries, strict=True)
                if e.message.header.arrival_ns <= deadline
            ]  # fmt: skip
            found = self._match(buffer, usable, t)
            if isinstance(found, str):
                reason = "silent" if not buffer.stamps else ("late" if not usable else found)
                missing.append(Missing(topic, reason))
            else:
                parts.append(found)
                arrivals.append(found.header.arrival_ns)
            self._drop(buffer, bisect_left(buffer.stamps, t - self._reach(buffer)), "unmatched")
        self._last = t
        first, last = (min(arrivals), max(arrivals)) if arrivals else (deadline, deadline)
        hop = Hop(f"aligner/wait for {held_by}", first, max(first, now_ns))
        return SensorSet(
            Header("set", t, last, "vehicle", (hop,)),
            lidars=tuple(p for p in parts if isinstance(p, LidarScan)),
            cameras=tuple(p for p in parts if isinstance(p, CameraFrame)),
            audios=tuple(p for p in parts if isinstance(p, AudioChunk)),
            egos=tuple(p for p in parts if isinstance(p, EgoMotion)),
            missing=tuple(missing),
        )

    def _match(self, buffer: _Buffer, usable: list[tuple[int, _Entry]], t: int) -> Sensed | str:
        kind = buffer.stream.topic.split("/", 1)[0]
        if kind == "audio":
            return self._audio(usable, t)
        window = self._reach(buffer)
        if kind == "ego":
            return _ego(usable, t, window)
        best = min(usable, key=lambda pair: abs(pair[0] - t), default=None)
        if best is None or abs(best[0] - t) > window:
            return "outside window"
        best[1].used = True
        return best[1].message

    def _audio(self, usable: list[tuple[int, _Entry]], t: int) -> AudioChunk | str:
        pieces: list[np.ndarray] = []
        taken: list[_Entry] = []
        wanted, have, following, rate = 0, 0, 0, 0
        for stamp, entry in reversed(usable):
            chunk = entry.message
            if not isinstance(chunk, AudioChunk) or stamp >= t:
                continue
            end = stamp + len(chunk.pcm) * SECOND_NS // chunk.rate_hz
            tolerance = round(self.config.audio_tolerance_ms * MILLISECOND_NS)
            if not pieces:
                rate, following = chunk.rate_hz, t
                wanted = round(self.config.audio_window_s * rate)
                end = max(end, t) if end >= t - SECOND_NS // rate else end
            if chunk.rate_hz != rate or abs(min(end, following) - following) > tolerance:
                return "gap"
            count = min(len(chunk.pcm), round((t - stamp) * rate / SECOND_NS)) if not pieces else len(chunk.pcm)
            take = min(count, wanted - have)
            pieces.append(chunk.pcm[count - take : count])
            taken.append(entry)
            have, following = have + take, stamp
            if have >= wanted:
                break
        if not pieces or have < wanted:
            return "gap"
        for entry in taken:
            entry.used = True
        arrival = max(entry.message.header.arrival_ns for entry in taken)
        header = replace(taken[-1].message.header, capture_ns=t - wanted * SECOND_NS // rate, arrival_ns=arrival)
        return AudioChunk(header, rate, np.concatenate(pieces[::-1]))


def _ego(usable: list[tuple[int, _Entry]], t: int, window: int) -> EgoMotion | str:
    """Between the samples on either side of t; never beyond the last one."""
    at = bisect_left([stamp for stamp, _ in usable], t)
    if at == len(usable) or (at == 0 and usable[0][0] != t):
        return "outside window"
    after, before = usable[at], usable[max(0, at - 1)]
    if after[0] - t > window or (after[0] != t and t - before[0] > window):
        return "outside window"
    a, b = before[1].message, after[1].message
    assert isinstance(a, EgoMotion)
    assert isinstance(b, EgoMotion)
    part = 1.0 if after[0] == t else (t - before[0]) / (after[0] - before[0])
    before[1].used = after[1].used = True
    start = Pose.from_quaternion(a.orientation, a.position_m)
    pose = start.interpolate(Pose.from_quaternion(b.orientation, b.position_m), part)
    header = replace(b.header, capture_ns=t)
    return EgoMotion(
        header, pose.translation_m, pose.quaternion,
        (1 - part) * a.velocity_mps + part * b.velocity_mps,
        (1 - part) * a.angular_velocity_rps + part * b.angular_velocity_rps,
        np.maximum(a.pose_covariance, b.pose_covariance), np.maximum(a.twist_covariance, b.twist_covariance),
    )  # fmt: skip
