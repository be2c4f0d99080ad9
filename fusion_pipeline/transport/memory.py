"""The bus inside one process: what ZeroMQ does between processes, between threads."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from fusion_pipeline.clock import now_ns
from fusion_pipeline.messages import Count, Message
from fusion_pipeline.topics import Delivery, topic_of
from fusion_pipeline.transport.bus import NEVER, Envelope, Publisher, Received, Subscriber
from fusion_pipeline.transport.inbox import Inbox
from fusion_pipeline.transport.patience import Patience
from fusion_pipeline.transport.wire import decode, encode


class MemoryBus:
    """Messages pass through the wire format, so what works here works between processes, and readers get copies that
    nobody writes to. With `lossless` (replay) every topic is delivered as EVERY.
    """

    def __init__(self, lossless: bool = False) -> None:
        self.lossless = lossless
        self.changed = threading.Condition()
        self.readers: list[MemorySubscriber] = []

    def publisher(self, topics: Iterable[str]) -> Publisher:
        """A publisher of exactly `topics`."""
        return MemoryPublisher(self, tuple(topics))

    def subscriber(self, topics: Iterable[str]) -> Subscriber:
        """A subscriber of `topics`; their writers need not be there yet."""
        made = MemorySubscriber(self, tuple(topics))
        with self.changed:
            self.readers.append(made)
            self.changed.notify_all()
        return made

    def close(self) -> None:
        """Close what was handed out."""
        for reader in tuple(self.readers):
            reader.close()


class MemoryPublisher:
    """The writing end; belongs to one thread."""

    def __init__(self, bus: MemoryBus, topics: tuple[str, ...]) -> None:
        self._bus = bus
        self._sequence = dict.fromkeys(topics, 0)
        self._writer = f"{id(self):x}-{time.monotonic_ns():x}"
        self._counts: Counter[tuple[str, str]] = Counter()
        self._patience = Patience(bus.lossless)

    def publish(self, message: Message) -> None:
        """Send on the topic `message.header.source`. Raises KeyError where not declared, Refused if too big."""
        self._send(message.header.source, message)

    def resume(self, writer: str, following: Mapping[str, int]) -> None:
        """Go on as `writer` with these sequence numbers by topic."""
        self._writer = writer
        self._sequence |= {topic: number for topic, number in following.items() if topic in self._sequence}

    def loan(self, topic: str, shape: tuple[int, ...], dtype: DTypeLike) -> NDArray[Any]:
        """A writable array for a message on `topic`."""
        return np.empty(shape, dtype)

    def wait_for_readers(self, counts: Mapping[str, int], timeout_s: float, stop: threading.Event = NEVER) -> bool:
        """Wait until each topic has that many readers; False on timeout or when `stop` is set."""
        return self._wait(lambda: all(len(self._readers(t)) >= count for t, count in counts.items()), timeout_s, stop)

    def end(self, *topics: str) -> None:
        """Tell the readers of `topics`, or of all, that nothing more comes."""
        for topic in topics or tuple(self._sequence):
            self._send(topic, None)

    def drain(self, timeout_s: float, stop: threading.Event = NEVER) -> bool:
        """After `end`: wait until every reader has taken all there was; False on timeout or when `stop` is set."""
        return self._wait(lambda: not any(map(self._readers, self._sequence)), timeout_s, stop)

    def counts(self) -> tuple[Count, ...]:
        """Totals by topic and reason: "published", "dropped" (a reader's queue was full)."""
        return tuple(Count(topic, reason, total) for (topic, reason), total in self._counts.copy().items())

    def close(self) -> None:
        """Nothing to free."""

    def _send(self, topic: str, message: Message | None) -> None:
        envelope = Envelope(self._writer, self._sequence[topic], now_ns())
        frames = [bytes(frame) for frame in encode(topic, message, envelope)]
        self._sequence[topic] += 1
        every = self._bus.lossless or message is None or topic_of(topic).delivery is Delivery.EVERY
        changed = self._bus.changed
        with changed:
            if every and not self._patience.wait(lambda: not self._full(topic), changed.wait):
                self._counts[topic, "dropped"] += 1
            for reader in self._readers(topic):
                if not reader.inbox.full:
                    reader.inbox.put(decode(frames))
            changed.notify_all()
        self._counts[topic, "published"] += 1

    def _wait(self, reached: Callable[[], bool], timeout_s: float, stop: threading.Event) -> bool:
        until = time.monotonic() + timeout_s
        with self._bus.changed:
            while not reached():
                left = until - time.monotonic()
                if stop.is_set() or left <= 0:
                    return False
                self._bus.changed.wait(min(left, 0.02))
        return True

    def _readers(self, topic: str) -> list[MemorySubscriber]:
        return [reader for reader in self._bus.readers if topic in reader.open_topics]

    def _full(self, topic: str) -> bool:
        return any(reader.inbox.full for reader in self._readers(topic))


class MemorySubscriber:
    """The reading end; belongs to one thread."""

    def __init__(self, bus: MemoryBus, topics: tuple[str, ...]) -> None:
        self._bus = bus
        self.inbox = Inbox(topics, bus.lossless)
        self.open_topics = set(topics)  # those whose end has not been taken

    def receive(self, timeout_s: float) -> Received | None:
        """The next message, or None after `timeout_s` seconds."""
        changed = self._bus.changed
        with changed:
            if not changed.wait_for(lambda: len(self.inbox), max(0.0, timeout_s)):
                return None
            received = self.inbox.pop()
            if received.message is None:
                self.open_topics.discard(received.topic)
            changed.notify_all()
            return received

    def resume(self, following: Mapping[str, int], reason: str) -> None:
        """Expect messages from these sequence numbers on; those before the first that comes count as `reason`."""
        self.inbox.resume(following, reason)

    def counts(self) -> tuple[Count, ...]:
        """Totals by topic and reason: "received", "overwritten", "lost"."""
        return self.inbox.counts()

    def close(self) -> None:
        """Stop reading."""
        with self._bus.changed:
            if self in self._bus.readers:
                self._bus.readers.remove(self)
