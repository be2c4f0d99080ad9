"""Who reads from a publisher, by connection: what a peer says counts for that peer alone, and only so much of it.

ZeroMQ tells of every subscription on which connection (file descriptor) it came, and the socket's monitor of every
connection that begins and ends. A reader is counted while its connection lives and until it unsubscribes itself: a peer
that withdraws what it never subscribed, or that dies, changes no other's count.
"""

from __future__ import annotations

import contextlib
import os
import socket
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import zmq
from zmq.utils.monitor import recv_monitor_message

from fusion_pipeline.transport.sockets import readable

LARGEST_SUBSCRIPTION = 4096  # bytes; ZeroMQ cuts the connection of a peer that sends a longer one
MOST_CONNECTIONS = 256  # at once; a further one is cut
MOST_CHANGES = 256  # subscriptions and withdrawals that a connection may send at once ...
CHANGES_PER_S = 10.0  # ... and in the long run
MOST_AT_ONCE = 512  # of them looked at in one call, so that nobody holds up the publisher
_DISCONNECTED, _ACCEPTED = int(zmq.EVENT_DISCONNECTED), int(zmq.EVENT_ACCEPTED)


@dataclass(slots=True)
class _Connection:
    held: set[str] = field(default_factory=set)
    allowance: float = MOST_CHANGES
    changed_s: float = field(default_factory=time.monotonic)

    def may_change(self) -> bool:
        """Take one change off the allowance, which grows with time."""
        now = time.monotonic()
        self.allowance = min(MOST_CHANGES, self.allowance + (now - self.changed_s) * CHANGES_PER_S) - 1
        self.changed_s = now
        return self.allowance >= 0


class Connections:
    """The connections of one XPUB socket, made before it is bound; belongs to the socket's thread."""

    def __init__(self, publisher: zmq.Socket[bytes], keys: Iterable[str]) -> None:
        """`keys`: the subscriptions that are counted."""
        self._publisher, self._keys = publisher, frozenset(keys)
        publisher.setsockopt(zmq.XPUB_VERBOSER, 1)  # every subscription is told, not only the first of a kind
        publisher.setsockopt(zmq.MAXMSGSIZE, LARGEST_SUBSCRIPTION)
        self._monitor: zmq.Socket[Any] = publisher.get_monitor_socket(_ACCEPTED | _DISCONNECTED)
        self._connections: dict[int, _Connection] = {}
        self._readers: Counter[str] = Counter()
        self.refused: Counter[str] = Counter()  # connections that were cut, by reason

    def count(self, key: str) -> int:
        """How many connections are subscribed to `key`, as far as `update` has seen."""
        return self._readers[key]

    def update(self) -> None:
        """Take note of what the peers have sent, at most MOST_AT_ONCE of it."""
        self._note_monitor()
        for _ in range(MOST_AT_ONCE):
            if not readable(self._publisher):
                return
            frame = self._publisher.recv(copy=False)
            self._note_monitor()  # a connection's beginning is told before its first subscription
            self._note(frame)

    def close(self) -> None:
        """Stop watching; before the publisher's own socket is closed."""
        self._publisher.disable_monitor()
        self._monitor.close(0)

    def _note_monitor(self) -> None:
        while readable(self._monitor):
            event = recv_monitor_message(self._monitor)
            fd = int(event["value"])
            self._forget(fd)  # also where one begins: the number may have been another's
            if event["event"] == _ACCEPTED:
                self._connections[fd] = _Connection()
                if len(self._connections) > MOST_CONNECTIONS:
                    self._cut(fd, "too many connections")

    def _forget(self, fd: int) -> None:
        gone = self._connections.pop(fd, None)
        for key in gone.held if gone is not None else ():
            self._readers[key] -= 1

    def _note(self, frame: zmq.Frame) -> None:
        try:
            fd = int(frame.get(zmq.SRCFD))
        except zmq.ZMQError:  # ZeroMQ's own word that a connection has ended; the monitor tells which
            return
        connection = self._connections.get(fd)
        if connection is None:  # of one that has ended or was cut
            return
        if not connection.may_change():
            self._cut(fd, "too many subscriptions")
            return
        data = bytes(frame.buffer)
        key = data[1:].decode(errors="replace")
        if key not in self._keys:
            return
        if data[:1] == b"\1" and key not in connection.held:
            connection.held.add(key)
            self._readers[key] += 1
        elif data[:1] == b"\0" and key in connection.held:
            connection.held.discard(key)
            self._readers[key] -= 1

    def _cut(self, fd: int, reason: str) -> None:
        """End a connection: ZeroMQ has no call for it, but notices that its socket was shut down."""
        self._forget(fd)
        self.refused[reason] += 1
        # Where it has ended by itself there is no such socket any more, or none that is a connection.
        with contextlib.suppress(OSError), socket.socket(fileno=os.dup(fd)) as peer:
            peer.shutdown(socket.SHUT_RDWR)
