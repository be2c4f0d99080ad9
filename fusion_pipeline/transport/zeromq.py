"""The bus between processes: one XPUB socket per writer, one SUB socket per reader, bounded queues.

A reader starts with frames that hold everything. Where a message offers a pool of shared memory, and the reader can
open it, the reader subscribes to the topic's second family of frames, which point into the pool, and leaves the first
once the second has arrived. So who can share memory is found out by the reader, and no message is lost on the way.
"""

from __future__ import annotations

import secrets
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import zmq
from numpy.typing import DTypeLike, NDArray

from fusion_pipeline.clock import now_ns
from fusion_pipeline.messages import Count, Message
from fusion_pipeline.topics import Delivery, topic_of
from fusion_pipeline.transport.bus import NEVER, Envelope, Publisher, Received, Subscriber
from fusion_pipeline.transport.inbox import QUEUE, Inbox
from fusion_pipeline.transport.leases import Leases
from fusion_pipeline.transport.patience import Patience
from fusion_pipeline.transport.shared_memory import SHARED_BYTES, Pool, PoolAddress, supported
from fusion_pipeline.transport.wire import SHARED, UNREACHABLE, Buffer, Lost, Packed, Refused, read, take_apart

LINGER_MS = 2000


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


def _readable(socket: zmq.Socket[bytes]) -> bool:
    return bool(int(socket.getsockopt(zmq.EVENTS)) & zmq.POLLIN)  # a fifth of the cost of a poll


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
        self._readers: Counter[str] = Counter()
        self._counts: Counter[tuple[str, str]] = Counter()
        self._pool: Pool | None = None
        self._can_share = supported()
        self._context: zmq.Context[Any] = zmq.Context()
        self._socket = _socket(self._context, zmq.XPUB)
        self._socket.setsockopt(zmq.XPUB_VERBOSER, 1)
        self._nodrop = False
        for endpoint in endpoints:
            self._socket.bind(endpoint)

    def publish(self, message: Message) -> None:
        """Send on the topic `message.header.source`. Raises KeyError where not declared, Refused if too big."""
        self._send(message.header.source, message)

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
        because all slots were in use).
        """
        return tuple(Count(topic, reason, total) for (topic, reason), total in self._counts.copy().items())

    def close(self) -> None:
        """Flush for at most LINGER_MS and close. Frames in shared memory that no reader has seen are gone."""
        if not self._socket.closed:
            self._socket.close()
            self._context.term()
            self._pool = None

    def _listening(self, topic: str) -> int:
        return max(0, self._readers[topic]) + max(0, self._readers[SHARED + topic])

    def _wait(self, reached: Callable[[], bool], timeout_s: float, stop: threading.Event) -> bool:
        until = time.monotonic() + timeout_s
        while True:
            self._note_readers()
            if reached():
                return True
            if stop.is_set() or time.monotonic() >= until:
                return False
            self._socket.poll(20, zmq.POLLIN)

    def _send(self, topic: str, message: Message | None) -> None:
        envelope = Envelope(self._writer, self._sequence[topic], now_ns())
        packed = take_apart(topic, message)
        self._note_readers()
        shared, pool = self._readers[SHARED + topic], self._pool_for(packed)
        offer = None if pool is None else pool.address
        if self._readers[topic] or not shared:
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
            self._note_readers()
            return False
        return True

    def _note_readers(self) -> None:
        while _readable(self._socket):
            event = self._socket.recv()
            topic = event[1:].decode(errors="replace")
            if event[:1] in (b"\0", b"\1") and topic.removeprefix(SHARED) in self._sequence:
                self._readers[topic] += 1 if event[0] else -1


class ZeromqSubscriber:
    """The reading end; belongs to one thread."""

    def __init__(self, topics: tuple[str, ...], endpoints: set[str], lossless: bool) -> None:
        self._inbox, self._leases = Inbox(topics, lossless), Leases()
        self._subscribed: dict[str, set[str]] = {topic: set() for topic in topics}  # which families of frames
        self._considered: dict[str, PoolAddress] = {}
        self._context: zmq.Context[Any] = zmq.Context()
        self._socket = _socket(self._context, zmq.SUB)
        # Twice: what is a little too large is refused and counted; for more ZeroMQ cuts the connection.
        self._socket.setsockopt(zmq.MAXMSGSIZE, 2 * max((topic_of(t).max_bytes for t in topics), default=1))
        for topic in topics:
            self._subscribe(topic, "")
        for endpoint in endpoints:
            self._socket.connect(endpoint)

    def receive(self, timeout_s: float) -> Received | None:
        """The next message, or None after `timeout_s` seconds."""
        until = time.monotonic() + timeout_s
        while True:
            while not self._inbox.full and _readable(self._socket):
                self._take()
            if len(self._inbox):
                return self._inbox.pop()
            left = until - time.monotonic()
            if left <= 0:
                return None
            zmq.zmq_poll([(self._socket, zmq.POLLIN)], max(1, int(left * 1000)))

    def counts(self) -> tuple[Count, ...]:
        """Totals by topic and reason: "received", "overwritten", "lost" (gaps), "lost: <reason>", "refused: ..."."""
        return self._inbox.counts()

    def close(self) -> None:
        """Stop reading; arrays that are still held stay valid."""
        if not self._socket.closed:
            self._socket.close(0)
            self._context.term()
            self._inbox.clear()
            self._leases.close()

    def _take(self) -> None:
        frames = [frame.buffer for frame in self._socket.recv_multipart(copy=False)]
        try:
            received, pool = read(frames, self._leases)
        except Refused as refused:
            self._inbox.refuse(refused.topic, refused.reason)
        except Lost as lost:
            if lost.topic in self._subscribed:
                self._inbox.lose(lost.topic, lost.reason, lost.envelope)
                if lost.reason == UNREACHABLE:
                    self._considered.pop(lost.topic, None)
                    self._subscribe(lost.topic, "")
        else:
            topic = received.topic
            if topic not in self._subscribed:  # ZeroMQ subscribes by prefix
                return
            if received.message is None:  # tells the writer that all has been read
                self._unsubscribe(topic, "")
                self._unsubscribe(topic, SHARED)
            else:
                self._choose(topic, SHARED if bytes(frames[0]).startswith(SHARED.encode()) else "", pool)
            self._inbox.put(received)

    def _choose(self, topic: str, family: str, pool: PoolAddress | None) -> None:
        """Go over to shared memory where `pool` can be had. The other family is left once the wanted one has come."""
        if family == SHARED and SHARED in self._subscribed[topic]:
            self._unsubscribe(topic, "")
        elif pool is not None and self._considered.get(topic) != pool:
            self._considered[topic] = pool
            if self._leases.reachable(pool):
                self._subscribe(topic, SHARED)
            else:
                self._unsubscribe(topic, SHARED)

    def _subscribe(self, topic: str, family: str) -> None:
        if family not in self._subscribed[topic]:
            self._subscribed[topic].add(family)
            self._socket.setsockopt(zmq.SUBSCRIBE, (family + topic).encode())

    def _unsubscribe(self, topic: str, family: str) -> None:
        if family in self._subscribed[topic]:
            self._subscribed[topic].discard(family)
            self._socket.setsockopt(zmq.UNSUBSCRIBE, (family + topic).encode())
