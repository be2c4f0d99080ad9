"""The bus between processes: one XPUB socket per writer, one SUB socket per reader, bounded queues."""

from __future__ import annotations

import threading
import time
import uuid
from collections import Counter, deque
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import zmq
from numpy.typing import DTypeLike, NDArray

from fusion_pipeline.clock import now_ns
from fusion_pipeline.messages import Count, Message
from fusion_pipeline.topics import Delivery, topic_of
from fusion_pipeline.transport.bus import NEVER, Envelope, Publisher, Received, Subscriber
from fusion_pipeline.transport.wire import Refused, decode, encode

QUEUE = 64  # messages held for each reader on either side of the connection
LINGER_MS = 2000
EVERY_WAIT_S = 0.5  # how long an EVERY topic holds its writer up for a full reader
LOSSLESS_WAIT_S = 60.0  # the same in a replay
STALLED_S = 5.0  # after a wait in vain, this long without another


class ZeromqBus:
    """Publishers and subscribers over the endpoints of `endpoints` (topic -> "ipc://..." or "tcp://...").

    With `lossless` (replay) every topic is delivered as EVERY.
    """

    def __init__(self, endpoints: Mapping[str, str], lossless: bool = False) -> None:
        self._endpoints, self._lossless = dict(endpoints), lossless
        self._open: list[Publisher | Subscriber] = []

    def publisher(self, topics: Iterable[str]) -> Publisher:
        """A publisher of exactly `topics`, bound to their endpoint. Raises zmq.ZMQError where it is taken."""
        names = tuple(topics)
        made = ZeromqPublisher(names, {self._endpoints[name] for name in names}, self._lossless)
        self._open.append(made)
        return made

    def subscriber(self, topics: Iterable[str]) -> Subscriber:
        """A subscriber of `topics`; their writers need not be there yet."""
        names = tuple(topics)
        made = ZeromqSubscriber(names, {self._endpoints[name] for name in names}, self._lossless)
        self._open.append(made)
        return made

    def close(self) -> None:
        """Close what was handed out."""
        for part in self._open:
            part.close()


def _socket(context: zmq.Context[Any], kind: int) -> zmq.Socket[bytes]:
    socket: zmq.Socket[bytes] = context.socket(kind)
    socket.setsockopt(zmq.SNDHWM, QUEUE)
    socket.setsockopt(zmq.RCVHWM, QUEUE)
    socket.setsockopt(zmq.LINGER, LINGER_MS)
    socket.setsockopt(zmq.HEARTBEAT_IVL, 1000)
    socket.setsockopt(zmq.HEARTBEAT_TIMEOUT, 10_000)
    return socket


class ZeromqPublisher:
    """The writing end; belongs to one thread."""

    def __init__(self, topics: tuple[str, ...], endpoints: set[str], lossless: bool) -> None:
        self._sequence = dict.fromkeys(topics, 0)
        self._lossless, self._writer = lossless, uuid.uuid4().hex
        self._readers: Counter[str] = Counter()
        self._counts: Counter[tuple[str, str]] = Counter()
        self._no_wait_until = 0.0
        self._context: zmq.Context[Any] = zmq.Context()
        self._socket = _socket(self._context, zmq.XPUB)
        self._socket.setsockopt(zmq.XPUB_VERBOSER, 1)
        for endpoint in endpoints:
            self._socket.bind(endpoint)

    def publish(self, message: Message) -> None:
        """Send on the topic `message.header.source`. Raises KeyError where not declared, Refused if too big."""
        self._send(message.header.source, message)

    def loan(self, topic: str, shape: tuple[int, ...], dtype: DTypeLike) -> NDArray[Any]:
        """A writable array for a message on `topic`."""
        return np.empty(shape, dtype)

    def wait_for_readers(self, counts: Mapping[str, int], timeout_s: float, stop: threading.Event = NEVER) -> bool:
        """Wait until each topic has that many readers; False on timeout or when `stop` is set."""
        until = time.monotonic() + timeout_s
        while True:
            self._note_readers()
            if all(self._readers[topic] >= count for topic, count in counts.items()):
                return True
            if stop.is_set() or time.monotonic() >= until:
                return False
            self._socket.poll(20, zmq.POLLIN)

    def end(self, *topics: str) -> None:
        """Tell the readers of `topics`, or of all, that nothing more comes."""
        for topic in topics or tuple(self._sequence):
            self._send(topic, None)

    def drain(self, timeout_s: float, stop: threading.Event = NEVER) -> bool:
        """After `end`: wait until every reader has taken all there was; False on timeout or when `stop` is set.

        A socket that closes earlier would lose what its readers have not yet fetched. They unsubscribe at the end mark.
        """
        until = time.monotonic() + timeout_s
        while True:
            self._note_readers()
            if all(self._readers[topic] <= 0 for topic in self._sequence):
                return True
            if stop.is_set() or time.monotonic() >= until:
                return False
            self._socket.poll(20, zmq.POLLIN)

    def counts(self) -> tuple[Count, ...]:
        """Totals by topic and reason: "published", "dropped" (a reader's queue was full)."""
        return tuple(Count(topic, reason, total) for (topic, reason), total in self._counts.copy().items())

    def close(self) -> None:
        """Flush for at most LINGER_MS and close."""
        if not self._socket.closed:
            self._socket.close()
            self._context.term()

    def _send(self, topic: str, message: Message | None) -> None:
        frames = encode(topic, message, Envelope(self._writer, self._sequence[topic], now_ns()))
        self._sequence[topic] += 1
        self._note_readers()
        every = self._lossless or message is None or topic_of(topic).delivery is Delivery.EVERY
        if not (every and self._send_waiting(frames)):
            # Lossy: readers with room get it, a full one sees the gap in the sequence numbers.
            self._socket.setsockopt(zmq.XPUB_NODROP, 0)
            self._socket.send_multipart(frames, zmq.NOBLOCK)
            self._counts[topic, "dropped"] += every
        self._counts[topic, "published"] += 1

    def _send_waiting(self, frames: list[bytes | memoryview]) -> bool:
        self._socket.setsockopt(zmq.XPUB_NODROP, 1)
        until = time.monotonic() + (LOSSLESS_WAIT_S if self._lossless else EVERY_WAIT_S)
        while True:
            try:
                self._socket.send_multipart(frames, zmq.NOBLOCK)
            except zmq.Again:
                now = time.monotonic()
                if now >= until or now < self._no_wait_until:
                    self._no_wait_until = max(self._no_wait_until, now + STALLED_S if now >= until else 0.0)
                    return False
                self._note_readers()
                time.sleep(0.001)
            else:
                return True

    def _note_readers(self) -> None:
        while self._socket.poll(0, zmq.POLLIN):
            event = self._socket.recv()
            if event[:1] in (b"\0", b"\1"):
                self._readers[event[1:].decode(errors="replace")] += 1 if event[0] else -1


class ZeromqSubscriber:
    """The reading end; belongs to one thread."""

    def __init__(self, topics: tuple[str, ...], endpoints: set[str], lossless: bool) -> None:
        self._latest = {t for t in topics if not lossless and topic_of(t).delivery is Delivery.LATEST}
        self._topics, self._waiting = set(topics), deque[Received]()
        self._last: dict[str, Envelope] = {}
        self._counts: Counter[tuple[str, str]] = Counter()
        self._context: zmq.Context[Any] = zmq.Context()
        self._socket = _socket(self._context, zmq.SUB)
        self._socket.setsockopt(zmq.MAXMSGSIZE, max((topic_of(t).max_bytes for t in topics), default=1))
        for topic in topics:
            self._socket.setsockopt(zmq.SUBSCRIBE, topic.encode())
        for endpoint in endpoints:
            self._socket.connect(endpoint)

    def receive(self, timeout_s: float) -> Received | None:
        """The next message, or None after `timeout_s` seconds."""
        until = time.monotonic() + timeout_s
        while True:
            while len(self._waiting) < QUEUE and self._socket.poll(0):
                self._take()
            if self._waiting:
                return self._waiting.popleft()
            left = until - time.monotonic()
            if left <= 0:
                return None
            self._socket.poll(max(1, int(left * 1000)))

    def counts(self) -> tuple[Count, ...]:
        """Totals by topic and reason: "received", "overwritten", "lost", "refused: <reason>"."""
        return tuple(Count(topic, reason, total) for (topic, reason), total in self._counts.copy().items())

    def close(self) -> None:
        """Stop reading."""
        if not self._socket.closed:
            self._socket.close(0)
            self._context.term()

    def _take(self) -> None:
        frames = self._socket.recv_multipart(copy=False)
        try:
            received = decode([frame.buffer for frame in frames])
        except Refused as refused:
            self._counts[refused.topic, f"refused: {refused.reason}"] += 1
            return
        topic = received.topic
        if topic not in self._topics:  # ZeroMQ subscribes by prefix
            return
        if received.message is None:
            self._socket.setsockopt(zmq.UNSUBSCRIBE, topic.encode())  # tells the writer that all has been read
        last = self._last.get(topic)
        if last is not None and last.writer == received.envelope.writer:
            self._counts[topic, "lost"] += max(0, received.envelope.sequence - last.sequence - 1)
        self._last[topic] = received.envelope
        self._counts[topic, "received"] += 1
        if topic in self._latest and received.message is not None:
            for older in [one for one in self._waiting if one.topic == topic and one.message is not None]:
                self._drop(older)
        self._waiting.append(received)

    def _drop(self, older: Received) -> None:
        # By identity: comparing messages would compare their arrays.
        self._waiting = deque(one for one in self._waiting if one is not older)
        self._counts[older.topic, "overwritten"] += 1
