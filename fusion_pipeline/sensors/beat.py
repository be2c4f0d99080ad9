"""The beat of a sensor that runs on the vehicle clock, kept by a process that may be late."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from typing import TypeVar

from fusion_pipeline.clock import SECOND_NS, now_ns

Made = TypeVar("Made")


def on_beat(
    make: Callable[[int], Made],
    rate_hz: float,
    delay_ns: int,
    stop: threading.Event,
    missed: Callable[[int], None],
    clock: Callable[[], int] = now_ns,
) -> Iterator[Made]:
    """`make(t)` for each instant t = k / rate_hz of the vehicle clock, handed out at t + `delay_ns` or later.

    Each is made ahead of its time where there is time. Whoever falls behind goes on with the newest that is due;
    `missed` is told how many were passed over.
    """
    period_ns = round(SECOND_NS / rate_hz)
    number = (clock() - delay_ns) // period_ns + 1
    while not stop.is_set():
        made = make(number * period_ns)
        due_ns = number * period_ns + delay_ns
        # A clock that was set back makes the wait long; one period is the longest that makes sense.
        until = time.monotonic() + min(due_ns - clock(), period_ns + delay_ns) / SECOND_NS
        while (wait_s := until - time.monotonic()) > 0:
            if stop.wait(min(wait_s, 0.2)):
                return
        yield made
        newest = (clock() - delay_ns) // period_ns
        if newest > number + 1:
            missed(newest - number - 1)
            number = newest
        else:
            number += 1
