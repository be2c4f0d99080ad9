"""The aligner: it decides when a set is complete, and accounts for every message.

A set's deadline is its reference's `arrival_ns + deadline`. A message that arrived after it is never used for that
set, however early it was delivered. A frame may serve two sets and then counts as used once.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable, Iterator

from fusion_pipeline.align.buffer import Buffer, Entry, Sensed
from fusion_pipeline.align.clocks import Clocks
from fusion_pipeline.align.config import AlignerConfig, Stream
from fusion_pipeline.align.heard import SILENT, Heard, late_by
from fusion_pipeline.align.match import match
from fusion_pipeline.align.plausible import REPEATED, STRANGER, Plausible
from fusion_pipeline.clock import MILLISECOND_NS, seconds_to_ns
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

PACED = ("audio", "ego")  # kinds of which a tick, not a message, makes a set
PACED_WINDOW_MS = 100.0  # of odometry as the reference, between its samples
MAX_TICKS = 10  # after a long pause only the newest ticks matter


class Aligner:
    """Feed `step` and `advance`; `counts[(topic, outcome)]` with `received[topic]` is the ledger.

    The reference is any stream. Of a LiDAR or a camera every message makes a set; of sound or odometry, whose messages
    are many, the first that ends a tick or more after the set before.

    Outcomes: used, late, unmatched, evicted, "refused: <why>". After `flush` they add up to what was received.
    """

    def __init__(self, config: AlignerConfig) -> None:
        self.config = config
        self.counts: Counter[tuple[str, str]] = Counter()
        self.received: Counter[str] = Counter()
        self._deadline = round(config.deadline_ms * MILLISECOND_NS)
        self._tick = round(config.tick_ms * MILLISECOND_NS)
        self._offset = round(config.reference_offset_ms * MILLISECOND_NS)
        self._plausible, self._jump = Plausible(config), seconds_to_ns(config.jump_s)
        self.clocks = Clocks()
        self._heard = {topic: Heard() for topic in (config.reference, *(stream.topic for stream in config.streams))}
        streams, reference = list(config.streams), config.reference
        self._paced = reference.split("/", 1)[0] in PACED
        if self._paced:  # its messages are gathered as those of any other stream
            streams.append(Stream(reference, PACED_WINDOW_MS, config.reference_offset_ms))
        self._buffers = {stream.topic: Buffer.of(stream, config) for stream in streams}
        self._pending: deque[tuple[int, Sensed]] = deque()
        self._arrived: dict[str, int] = {}
        self._first: int | None = None  # arrival of the first message
        self._last: int | None = None  # instant of the newest set
        self._now = 0

    def step(self, message: Sensed) -> Iterator[SensorSet]:
        """Take one message; yields the sets that it completes."""
        header = message.header
        topic = header.source
        self.received[topic] += 1
        buffer = self._buffers.get(topic)
        is_reference = topic == self.config.reference and isinstance(message, (LidarScan, CameraFrame))
        if buffer is None and not is_reference:
            self.counts[topic, STRANGER] += 1
            return
        stamp = buffer.stamp_of(message) if buffer is not None else self._instant(message)
        self.clocks.note(topic, header.arrival_ns, stamp)
        why = self._plausible.refuses(message, stamp)
        if why:
            self._refuse(topic, header.arrival_ns, why)
            return
        arrived = self._arrived.get(topic, 0)
        if header.arrival_ns < arrived - self._jump:
            yield from self.flush()
            arrived = 0
        self._arrived[topic] = max(header.arrival_ns, arrived)
        mark = message.end_ns + stamp - header.capture_ns if isinstance(message, AudioChunk) else stamp
        self._heard[topic].marks.append((header.arrival_ns, mark))
        if self._first is None:
            self._first = header.arrival_ns
        if is_reference:
            self._refer(message, stamp)
        elif buffer is not None:
            self._store(buffer, message, stamp)
            if topic == self.config.reference:
                self._pace(message, mark)
        while self._pending and all(buffer.proves(self._pending[0][0]) for buffer in self._buffers.values()):
            yield self._emit(header.arrival_ns, topic)

    def advance(self, now_ns: int) -> Iterator[SensorSet]:
        """Every message with `arrival_ns <= now_ns` has been delivered; yields the sets whose deadline has passed."""
        if now_ns < self._now - self._jump:
            yield from self.flush()
        self._now = now_ns
        while self._pending and self._pending[0][1].header.arrival_ns + self._deadline <= now_ns:
            yield self._emit(now_ns, "deadline")
        yield from self._ticks(now_ns)

    def flush(self) -> Iterator[SensorSet]:
        """The end of the stream: yields what is pending, accounts for the rest, and forgets all stamps."""
        while self._pending:
            yield self._emit(self._pending[0][1].header.arrival_ns + self._deadline, "end")
        for buffer in self._buffers.values():
            self._account(buffer.topic, buffer.take(len(buffer.stamps)), "unmatched")
        self._first, self._last, self._now = None, None, 0
        self._arrived.clear()
        for heard in self._heard.values():
            heard.clear()

    def refuse(self, message: Sensed, why: str) -> None:
        """Count a message that is refused for a reason that only the caller knows, such as its host's clock."""
        self.received[message.header.source] += 1
        self._refuse(message.header.source, message.header.arrival_ns, f"refused: {why}")

    def _refuse(self, topic: str, arrival_ns: int, why: str) -> None:
        self.counts[topic, why] += 1
        if topic in self._heard:
            self._heard[topic].refused.append((arrival_ns, why))

    def _instant(self, message: Sensed) -> int:
        """Of a message of the reference, on its own clock."""
        return (message.middle_ns if isinstance(message, LidarScan) else message.header.capture_ns) + self._offset

    def _pace(self, message: Sensed, t: int) -> None:
        """A set at `t`, where the one before is a tick ago."""
        newest = self._pending[-1][0] if self._pending else self._last
        if newest is None and isinstance(message, AudioChunk):  # the first set waits until its sound is whole
            first = self._buffers[message.header.source].stamps[:1]
            newest = max(first[0] + seconds_to_ns(self.config.audio_window_s) - self._tick, 0) if first else t
        if newest is None or t >= newest + self._tick:
            self._pending.append((t, message))
            if len(self._pending) > self.config.max_messages:
                self._pending.popleft()

    def _refer(self, scan: Sensed, t: int) -> None:
        topic = scan.header.source
        newest = self._pending[-1][0] if self._pending else self._last
        if newest is not None and t <= newest:
            self.counts[topic, REPEATED if self._pending and t == newest else "late"] += 1
            return
        self._pending.append((t, scan))
        if len(self._pending) > self.config.max_messages:
            self._pending.popleft()
            self.counts[topic, "evicted"] += 1

    def _store(self, buffer: Buffer, message: Sensed, stamp: int) -> None:
        if self._last is not None and stamp < self._last - buffer.reach_ns:
            self.counts[buffer.topic, "late"] += 1
        elif not buffer.add(message, stamp):
            self.counts[buffer.topic, REPEATED] += 1
        elif len(buffer.stamps) > self.config.max_messages:
            self._account(buffer.topic, buffer.take(1), "evicted")

    def _ticks(self, now_ns: int) -> Iterator[SensorSet]:
        """Sets in place of a reference that says nothing; it may have said nothing from the start."""
        silent = self._tick + self._deadline
        if self._last is None and not self._pending and self._first is not None and self._first + 2 * silent <= now_ns:
            self._last = self._first + silent
        while self._last is not None and not self._pending and self._last + self._tick + silent <= now_ns:
            behind = (now_ns - silent - self._last) // self._tick
            t = self._last + self._tick * max(1, behind - MAX_TICKS)
            yield self._build(t, t + silent, None, now_ns, self.config.reference)

    def _account(self, topic: str, entries: Iterable[Entry], reason: str) -> None:
        for entry in entries:
            self.counts[topic, "used" if entry.used else reason] += 1

    def _emit(self, now_ns: int, held_by: str) -> SensorSet:
        t, scan = self._pending.popleft()
        deadline = scan.header.arrival_ns + self._deadline
        if self._paced:
            return self._build(t, deadline, None, now_ns, held_by)
        self.counts[scan.header.source, "used"] += 1
        return self._build(t, deadline, scan, now_ns, held_by)

    def _build(self, t: int, deadline: int, scan: Sensed | None, now_ns: int, held_by: str) -> SensorSet:
        parts: list[Sensed] = [scan] if scan else []
        missing = [] if scan or self._paced else [self._missing(self.config.reference, t, deadline, SILENT)]
        for buffer in self._buffers.values():
            found = match(buffer, t, deadline, self.config)
            if isinstance(found, str):
                missing.append(self._missing(buffer.topic, t, deadline, found, buffer))
            else:
                parts.append(found)
            self._account(buffer.topic, buffer.take_before(t), "unmatched")
        self._last = t
        arrivals = [part.header.arrival_ns for part in parts] or [deadline]
        first, last = min(arrivals), max(arrivals)
        return SensorSet(
            Header("set", t, last, "vehicle", (Hop(f"aligner/wait for {held_by}", first, max(first, now_ns)),)),
            lidars=tuple(part for part in parts if isinstance(part, LidarScan)),
            cameras=tuple(part for part in parts if isinstance(part, CameraFrame)),
            audios=tuple(part for part in parts if isinstance(part, AudioChunk)),
            egos=tuple(part for part in parts if isinstance(part, EgoMotion)),
            missing=tuple(missing),
        )

    def _missing(self, topic: str, t: int, deadline: int, found: str, buffer: Buffer | None = None) -> Missing:
        """Why `topic` is not in the set of `t`; `found` is what its messages in hand say."""
        reason = self._heard[topic].why_absent(t, deadline, found)
        if reason == SILENT and buffer is not None:
            # Its first message was on the way, and has come before the set went out.
            near = buffer.between(t - buffer.window_ns, t + buffer.window_ns, t + self._jump)
            first = next((entry for entry in near if entry.message.header.arrival_ns > deadline), None)
            if first is not None:
                arrival = first.message.header.arrival_ns
                reason = late_by(arrival - deadline, arrival - first.stamp)
        return Missing(topic, reason)
