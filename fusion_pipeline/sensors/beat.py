"""The beat of a sensor that runs on the vehicle clock, kept by a process that may be late."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from typing import TypeVar

from fusion_pipeline.clock import SECOND_NS, now_ns

Made = TypeVar("Made")
JUMP_NS = SECOND_NS  # by which the vehicle clock must part from the one that never jumps, within a beat


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
    `missed` is told how many were passed over. Time that the clock jumps over holds no instants, so none are missed.
    """
    period_ns = round(SECOND_NS / rate_hz)
    number = (clock() - delay_ns) // period_ns + 1
    seen_ns, seen_s = clock(), time.monotonic()
    while not stop.is_set():
        made = make(number * period_ns)
        due_ns = number * period_ns + delay_ns
        # A clock that was set back makes the wait long; one period is the longest that makes sense.
        until = time.monotonic() + min(due_ns - clock(), period_ns + delay_ns) / SECOND_NS
        while (wait_s := until - time.monotonic()) > 0:
            if stop.wait(min(wait_s, 0.2)):
                return
        yield made
        now, now_s = clock(), time.monotonic()
        newest = (now - delay_ns) // period_ns
        jump_ns = now - seen_ns - round((now_s - seen_s) * SECOND_NS)
        seen_ns, seen_s = now, now_s
        if abs(jump_ns) > JUMP_NS:
            number = newest + 1
        elif newest > number + 1:
            missed(newest - number - 1)
            number = newest
        else:
            number += 1
