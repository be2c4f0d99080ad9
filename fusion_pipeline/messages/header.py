"""What every message says of itself: where it comes from, when it was captured, and what has been done with it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Self


@dataclass(frozen=True, slots=True)
class Hop:
    """One timed stretch of a message's way, such as "detector/network"; vehicle clock."""

    stage: str
    start_ns: int
    end_ns: int


@dataclass(frozen=True, slots=True)
class Header:
    """Stamps and provenance; all times are vehicle-clock nanoseconds.

    `capture_ns` belongs to the first sample of what was captured; a driver sets it and nobody rewrites it.
    For a sensor set and all that follows from it, it is the instant that the set describes.
    """

    source: str  # the topic that the message travels on, such as "camera/front" or "detections"
    capture_ns: int
    arrival_ns: int  # when the driver had the whole of it in hand (of a set: when its last part arrived)
    frame: str = "vehicle"  # coordinate frame of the payload
    hops: tuple[Hop, ...] = ()

    def __post_init__(self) -> None:
        if not self.source:
            raise ValueError("header.source is empty")
        if self.capture_ns < 0 or self.arrival_ns < 0:
            raise ValueError(
                f"header stamps must not be negative: capture {self.capture_ns}, arrival {self.arrival_ns}"
            )

    def after(self, *hops: Hop) -> Self:
        """The same header with `hops` appended."""
        return replace(self, hops=self.hops + hops)
