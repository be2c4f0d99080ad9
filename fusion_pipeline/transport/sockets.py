"""The settings that every ZeroMQ socket of the project has in common."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import zmq

from fusion_pipeline.topics import topic_of
from fusion_pipeline.transport.inbox import QUEUE

LINGER_MS = 2000
FAR_BYTES = 128 << 20  # that may wait for or from one peer on another host, as far as the queue's length can bound it
_POLLIN = int(zmq.POLLIN)


def bounded_socket(context: zmq.Context[Any], kind: int) -> zmq.Socket[bytes]:
    """A socket that queues at most QUEUE messages for each peer, and notices a dead one."""
    socket: zmq.Socket[bytes] = context.socket(kind)
    socket.setsockopt(zmq.SNDHWM, QUEUE)
    socket.setsockopt(zmq.RCVHWM, QUEUE)
    socket.setsockopt(zmq.LINGER, LINGER_MS)
    socket.setsockopt(zmq.HEARTBEAT_IVL, 1000)
    socket.setsockopt(zmq.HEARTBEAT_TIMEOUT, 10_000)
    return socket


def readable(socket: zmq.Socket[bytes], timeout_ms: int = 0) -> bool:
    """Whether something can be received, now or within `timeout_ms`."""
    return bool(zmq.zmq_poll([(socket, _POLLIN)], timeout_ms))  # half the cost of Socket.poll


def is_local(endpoint: str) -> bool:
    """Whether only this host can reach an endpoint: ipc, inproc, or tcp on a loopback address."""
    scheme, _, rest = endpoint.partition("://")
    host = rest.rpartition(":")[0].strip("[]")
    return scheme in ("ipc", "inproc") or host in ("localhost", "::1") or host.startswith("127.")


def queue_of(endpoint: str, topics: Iterable[str]) -> int:
    """How many messages of `topics` may wait on one connection at `endpoint`: fewer large ones of other hosts."""
    largest = max((topic_of(topic).max_bytes for topic in topics), default=1)
    return QUEUE if is_local(endpoint) else min(QUEUE, max(2, FAR_BYTES // largest))
