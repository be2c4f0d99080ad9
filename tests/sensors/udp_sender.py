"""A sender of datagrams that waits until somebody listens."""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Iterator


def free_port() -> int:
    """A UDP port that nobody holds."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def sender_to(port: int, probe: bytes) -> Iterator[socket.socket]:
    """A socket connected to a listening port of this host; `probe` is a payload that the listener does not mind."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.connect(("127.0.0.1", port))
        until = time.monotonic() + 10
        refused = True
        while refused and time.monotonic() < until:
            with contextlib.suppress(ConnectionRefusedError):  # the answer to the probe before
                sender.send(probe)
                time.sleep(0.02)
                sender.send(probe)
                refused = False
            time.sleep(0.01)
        yield sender
