"""The vehicle clock: integer nanoseconds since the Unix epoch, never a float."""

from __future__ import annotations

import time
from typing import NewType

Nanoseconds = NewType("Nanoseconds", int)

SECOND_NS = 1_000_000_000
MILLISECOND_NS = 1_000_000
LAST_NS = 1 << 62  # later than any stamp


def now_ns() -> int:
    """Vehicle time of this host. Hosts of one vehicle share it through PTP or NTP."""
    return time.time_ns()


def seconds_to_ns(seconds: float) -> int:
    """A duration in seconds as nanoseconds, rounded to the nearest."""
    return round(seconds * SECOND_NS)


def ns_to_ms(nanoseconds: int) -> float:
    """A duration in nanoseconds as milliseconds, for people to read."""
    return nanoseconds / MILLISECOND_NS
