"""Recorded files on the vehicle clock: evenly from now on, as fast as they were made or as fast as they are read."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

from fusion_pipeline.clock import SECOND_NS, now_ns, seconds_to_ns
from fusion_pipeline.sensors.retry import POLL_S


class Timeline:
    """Begins when it is made."""

    def __init__(self, real_time: bool) -> None:
        self._real_time = real_time
        self._start_ns, self._start_s = now_ns(), time.monotonic()

    def stamp_ns(self, seconds: float) -> int:
        """Vehicle time `seconds` after the beginning."""
        return self._start_ns + seconds_to_ns(seconds)

    def wait(self, due_ns: int, stop: threading.Event) -> Iterator[None]:
        """Yield None every 0.2 s until `due_ns` has come or `stop` is set; at once where time plays no part."""
        due_s = self._start_s + (due_ns - self._start_ns) / SECOND_NS
        while self._real_time and (left_s := due_s - time.monotonic()) > 0:
            if stop.wait(min(left_s, POLL_S)):
                return
            if left_s > POLL_S:
                yield None
