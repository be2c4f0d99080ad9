"""How long a writer waits for a full reader of a topic that should lose nothing."""

from __future__ import annotations

import time
from collections.abc import Callable

EVERY_WAIT_S = 0.1  # live: the other topics of the process wait as well
LOSSLESS_WAIT_S = 60.0  # replay
FIRST_REST_S = 5.0  # after a wait in vain, this long without another; doubled each time
LONGEST_REST_S = 80.0
STEP_S = 0.001  # between two tries


class Patience:
    """A reader that hangs may hold its writer up for EVERY_WAIT_S, and then seldom: others depend on that writer."""

    def __init__(self, lossless: bool) -> None:
        self._wait_s = LOSSLESS_WAIT_S if lossless else EVERY_WAIT_S
        self._rest_s = FIRST_REST_S
        self._resting_until_s = 0.0

    def wait(self, ready: Callable[[], bool], pause: Callable[[float], object] = time.sleep) -> bool:
        """Call `ready` until it is true, with a `pause(seconds)` in between; False where patience is at its end."""
        if ready():
            self._rest_s = FIRST_REST_S
            return True
        now = time.monotonic()
        if now < self._resting_until_s:
            return False
        until = now + self._wait_s
        while time.monotonic() < until:
            pause(STEP_S)
            if ready():
                return True
        self._resting_until_s = time.monotonic() + self._rest_s
        self._rest_s = min(2 * self._rest_s, LONGEST_REST_S)
        return False
