"""The reading end between processes: one SUB socket, bounded queues, large arrays read in place.

A reader starts with frames that hold everything. Where a message offers a pool of shared memory, and the reader can
open it, the reader subscribes to the topic's second family of frames, which point into the pool, and leaves the first
once the second has arrived. So who can share memory is found out by the reader, and no message is lost on the way.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import zmq

from fusion_pipeline.messages import Count
from fusion_pipeline.topics import topic_of
from fusion_pipeline.transport.bus import Received
from fusion_pipeline.transport.inbox import Inbox
from fusion_pipeline.transport.leases import Leases
from fusion_pipeline.transport.shared_memory import PoolAddress
from fusion_pipeline.transport.sockets import bounded_socket, queue_of, readable
from fusion_pipeline.transport.wire import SHARED, UNREACHABLE, Lost, Refused, read

SWEEP_S = 5.0  # how often a reader lets go of the pools of dead writers


class ZeromqSubscriber:
    """The reading end; belongs to one thread."""

    def __init__(self, topics: tuple[str, ...], endpoints: set[str], lossless: bool) -> None:
        self._inbox, self._leases = Inbox(topics, lossless), Leases()
        self._subscribed: dict[str, set[str]] = {topic: set() for topic in topics}  # which families of frames
        self._considered: dict[str, PoolAddress] = {}
        self._next_sweep = 0.0
        self._context: zmq.Context[Any] = zmq.Context()
        self._socket = bounded_socket(self._context, zmq.SUB)
        # What a reader sends are its subscriptions. ZeroMQ drops those that find no room, without a word, and after a
        # writer's restart it sends all of them again: a topic would never be read, and its writer wait for its reader.
        self._socket.setsockopt(zmq.SNDHWM, 0)
        # Twice: what is a little too large is refused and counted; for more ZeroMQ cuts the connection.
        self._socket.setsockopt(zmq.MAXMSGSIZE, 2 * max((topic_of(t).max_bytes for t in topics), default=1))
        for topic in topics:
            self._subscribe(topic, "")
        for endpoint in endpoints:
            self._socket.setsockopt(zmq.RCVHWM, queue_of(endpoint, topics))
            self._socket.connect(endpoint)

    def receive(self, timeout_s: float) -> Received | None:
        """The next message, or None after `timeout_s` seconds."""
        now = time.monotonic()
        until = now + timeout_s
        if now >= self._next_sweep:
            self._next_sweep = now + SWEEP_S
            self._leases.sweep()
        while True:
            while not self._inbox.full and readable(self._socket):
                self._take()
            if len(self._inbox):
                return self._handed_out(self._inbox.pop())
            left = until - time.monotonic()
            if left <= 0:
                return None
            readable(self._socket, max(1, int(left * 1000)))

    def resume(self, following: Mapping[str, int], reason: str) -> None:
        """Expect messages from these sequence numbers on; those before the first that comes count as `reason`."""
        self._inbox.resume(following, reason)

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

    def _handed_out(self, received: Received) -> Received:
        if received.message is None:  # tells the writer, which may wait for it, that all has been read
            self._unsubscribe(received.topic, "")
            self._unsubscribe(received.topic, SHARED)
        return received

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
            if received.message is not None:
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
