"""What a node is at work on and since when: its progress, and not the life of a thread beside it.

The node's own thread writes, the heartbeat's thread reads. A call that does not come back grows older without end; the
supervisor restarts the process when it is older than its limit.
"""

from __future__ import annotations

import threading
import time

FIRST_S = 120.0  # at least this for the first call of each kind: libraries compile and engines warm up in it
SOURCE_S = 60.0  # at least this for a source between two looks at its stop flag: some devices take long to connect
SHOWN_AFTER = 0.25  # of its limit: a call is reported as stalled from then on


class Work:
    """The call that a node is in. Calls are told apart by what they are about, such as the topic of a message."""

    def __init__(self, limit_s: float) -> None:
        """`limit_s`: how long one call may take; 0 without limit."""
        self._limit_s = limit_s
        self._done: set[str] = set()
        self._call: tuple[str, float, float] | None = None  # what, since when (monotonic), limit
        self._pardon: tuple[float, float] = (0.0, 0.0)  # of the call that began then: seconds that do not count

    def begin(self, what: str, least_s: float = 0.0) -> None:
        """A call begins; its limit is at least `least_s`."""
        limit = self._limit_s
        if limit:
            limit = max(limit, least_s, 0.0 if what in self._done else FIRST_S)
        self._call = (what, time.monotonic(), limit)

    def begin_unlimited(self, what: str) -> None:
        """A call begins that may take any time, such as the loading of a model."""
        self._call = (what, time.monotonic(), 0.0)

    def touch(self) -> None:
        """The call has shown that it goes on."""
        call = self._call
        if call is not None:
            self._call = (call[0], time.monotonic(), call[2])

    def end(self) -> None:
        """The call has come back."""
        if self._call is not None:
            self._done.add(self._call[0])
            self._call = None

    def pardon(self, seconds: float) -> None:
        """The whole process stood still for so long, by SIGSTOP or a debugger: that is no fault of the call."""
        call = self._call
        if call is not None:
            self._pardon = (call[1], seconds + (self._pardon[1] if self._pardon[0] == call[1] else 0.0))

    def state(self) -> tuple[str, float, float]:
        """What the call is about ("" for none), its age and its limit in seconds (0: none)."""
        call = self._call
        if call is None:
            return "", 0.0, 0.0
        pardoned = self._pardon[1] if self._pardon[0] == call[1] else 0.0
        return call[0], max(0.0, time.monotonic() - call[1] - pardoned), call[2]


class StopFlag(threading.Event):
    """The flag that asks a node to stop. A source has to look at it twice a second, and shows by this that it lives.

    Looks from threads other than the one that made the flag do not count.
    """

    def __init__(self, work: Work) -> None:
        super().__init__()
        self._work, self._owner = work, threading.get_ident()

    def is_set(self) -> bool:
        """Whether the node shall stop."""
        if threading.get_ident() == self._owner:
            self._work.touch()
        return super().is_set()

    def wait(self, timeout: float | None = None) -> bool:
        """Wait for the flag, and note the look before and after."""
        if threading.get_ident() == self._owner:
            self._work.touch()
        try:
            return super().wait(timeout)
        finally:
            if threading.get_ident() == self._owner:
                self._work.touch()
