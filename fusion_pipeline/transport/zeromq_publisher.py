"""The writing end between processes: one XPUB socket, bounded queues, large arrays in shared memory."""

from __future__ import annotations

import secrets
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import zmq
from numpy.typing import DTypeLike, NDArray

from fusion_pipeline.clock import now_ns
from fusion_pipeline.messages import Count, Message
from fusion_pipeline.topics import Delivery, topic_of
from fusion_pipeline.transport.bus import NEVER, Envelope
from fusion_pipeline.transport.connections import Connections
from fusion_pipeline.transport.patience import Patience
from fusion_pipeline.transport.shared_memory import SHARED_BYTES, Pool, supported
from fusion_pipeline.transport.sockets import bounded_socket, queue_of, readable
from fusion_pipeline.transport.wire import SHARED, Buffer, Packed, take_apart


class ZeromqPublisher:
    """The writing end; belongs to one thread.

    Large arrays of LATEST topics go through shared memory. Those of EVERY topics do not: how many messages are on the
    way is unknown, and a slot written again too early would lose one.
    """

    def __init__(self, topics: tuple[str, ...], endpoints: set[str], lossless: bool) -> None:
        self._sequence = dict.fromkeys(topics, 0)
        self._writer = secrets.token_hex(8)
        self._every = {t for t in topics if lossless or topic_of(t).delivery is Delivery.EVERY}
        self._patience = Patience(lossless)
        self._counts: Counter[tuple[str, str]] = Counter()
        self._pool: Pool | None = None
        self._can_share = supported()
        self._context: zmq.Context[Any] = zmq.Context()
        self._socket = bounded_socket(self._context, zmq.XPUB)
        self._connections = Connections(self._socket, [family + topic for topic in topics for family in ("", SHARED)])
        self._nodrop = False
        for endpoint in endpoints:
            self._socket.setsockopt(zmq.SNDHWM, queue_of(endpoint, topics))
            self._socket.bind(endpoint)

    def publish(self, message: Message) -> None:
        """Send on the topic `message.header.source`. Raises KeyError where not declared, Refused if too big."""
        self._send(message.header.source, message)

    def resume(self, writer: str, following: Mapping[str, int]) -> None:
        """Go on as `writer`, with these sequence numbers: its readers then see how much was lost between two starts."""
        self._writer = writer
        self._sequence |= {topic: number for topic, number in following.items() if topic in self._sequence}

    def loan(self, topic: str, shape: tuple[int, ...], dtype: DTypeLike) -> NDArray[Any]:
        """A writable array for a message on `topic`; in shared memory where that is of use. It is read-only once
        published, and its memory is used again when its last view is gone.
        """
        array = np.empty(shape, dtype)
        if array.nbytes < SHARED_BYTES or topic in self._every:
            return array
        pool = self._shared()
        lent = None if pool is None else pool.loan(shape, dtype)
        return array if lent is None else lent

    def wait_for_readers(self, counts: Mapping[str, int], timeout_s: float, stop: threading.Event = NEVER) -> bool:
        """Wait until each topic has that many readers; False on timeout or when `stop` is set."""
        return self._wait(lambda: all(self._listening(t) >= count for t, count in counts.items()), timeout_s, stop)

    def end(self, *topics: str) -> None:
        """Tell the readers of `topics`, or of all, that nothing more comes."""
        for topic in topics or tuple(self._sequence):
            self._send(topic, None)

    def drain(self, timeout_s: float, stop: threading.Event = NEVER) -> bool:
        """After `end`: wait until every reader has taken all there was; False on timeout or when `stop` is set.

        A socket that closes earlier would lose what its readers have not yet fetched. They unsubscribe at the end mark.
        """
        return self._wait(lambda: not any(map(self._listening, self._sequence)), timeout_s, stop)

    def counts(self) -> tuple[Count, ...]:
        """Totals by topic and reason: "published", "dropped" (a reader's queue was full), "no slot" (sent as copies,
        because all slots were in use), "reader cut off: <why>" (of topic "?").
        """
        cut = tuple(
            Count("?", f"reader cut off: {reason}", n) for reason, n in self._connections.refused.copy().items()
        )
        return (*(Count(topic, reason, total) for (topic, reason), total in self._counts.copy().items()), *cut)

    def close(self) -> None:
        """Flush for at most LINGER_MS and close. Frames in shared memory that no reader has seen are gone."""
        if not self._socket.closed:
            self._connections.close()
            self._socket.close()
            self._context.term()
            self._pool = None

    def _listening(self, topic: str) -> int:
        return self._connections.count(topic) + self._connections.count(SHARED + topic)

    def _wait(self, reached: Callable[[], bool], timeout_s: float, stop: threading.Event) -> bool:
        until = time.monotonic() + timeout_s
        while True:
            self._connections.update()
            if reached():
                return True
            if stop.is_set() or time.monotonic() >= until:
                return False
            readable(self._socket, 20)

    def _send(self, topic: str, message: Message | None) -> None:
        envelope = Envelope(self._writer, self._sequence[topic], now_ns())
        packed = take_apart(topic, message)
        self._connections.update()
        shared, pool = self._connections.count(SHARED + topic), self._pool_for(packed)
        offer = None if pool is None else pool.address
        if self._connections.count(topic) or not shared:
            frames = packed.frames(envelope, offer)
            self._deliver(frames, topic, message is None or topic in self._every)
        if shared:
            places = [None] * len(packed.arrays) if pool is None else pool.place(packed.arrays)
            copied = [a for a, place in zip(packed.arrays, places, strict=True) if place is None]
            if pool is not None and any(array.nbytes >= SHARED_BYTES for array in copied):
                self._counts[topic, "no slot"] += 1
            self._deliver(packed.frames(envelope, offer, places), topic, message is None)
        self._sequence[topic] += 1
        self._counts[topic, "published"] += 1

    def _pool_for(self, packed: Packed) -> Pool | None:
        if packed.topic in self._every or all(array.nbytes < SHARED_BYTES for array in packed.arrays):
            return None
        return self._shared()

    def _shared(self) -> Pool | None:
        if self._pool is None and self._can_share:
            try:
                self._pool = Pool()
            except OSError:
                self._can_share = False
        return self._pool

    def _deliver(self, frames: Sequence[Buffer], topic: str, every: bool) -> None:
        if every and self._patience.wait(lambda: self._sent(frames, nodrop=True)):
            return
        # Readers with room get it; a full one sees the gap in the sequence numbers.
        self._sent(frames, nodrop=False)
        if every:
            self._counts[topic, "dropped"] += 1

    def _sent(self, frames: Sequence[Buffer], nodrop: bool) -> bool:
        if nodrop is not self._nodrop:
            self._socket.setsockopt(zmq.XPUB_NODROP, int(nodrop))
            self._nodrop = nodrop
        try:
            self._socket.send_multipart(frames, zmq.NOBLOCK)
        except zmq.Again:
            self._connections.update()
            return False
        return True
