"""The settings that every ZeroMQ socket of the project has in common."""

from __future__ import annotations

from typing import Any

import zmq

from fusion_pipeline.transport.inbox import QUEUE

LINGER_MS = 2000
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
