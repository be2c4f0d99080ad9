"""What a service manager is told of a run: that it has started, that it goes on, that it ends.

The protocol is that of systemd's sd_notify(3): datagrams to the Unix socket named in $NOTIFY_SOCKET. Where that is not
set nothing is sent.
"""

from __future__ import annotations

import contextlib
import os
import socket
import time

PERIOD_S = 1.0  # between two signs of life; WatchdogSec has to be several times that


class ServiceManager:
    """Whoever watches this process as a service, if anybody does."""

    def __init__(self) -> None:
        address = os.environ.get("NOTIFY_SOCKET", "")
        self._address = "\0" + address[1:] if address.startswith("@") else address  # "@": the abstract name space
        self._next_s = 0.0

    def notify(self, state: str) -> None:
        """Send a state such as "READY=1". Nobody listening is no error."""
        if not self._address:
            return
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as line:
            line.setblocking(False)
            line.sendto(state.encode(), self._address)

    def goes_on(self, status: str) -> None:
        """A sign of life with a line for `systemctl status`, at most once in PERIOD_S."""
        now = time.monotonic()
        if self._address and now >= self._next_s:
            self._next_s = now + PERIOD_S
            self.notify(f"WATCHDOG=1\nSTATUS={status}")
