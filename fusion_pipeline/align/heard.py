"""What was heard of a stream, and from it the true reason why a set lacks it."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from fusion_pipeline.clock import SECOND_NS, ns_to_ms

SILENT = "silent"
ALIVE_NS = SECOND_NS  # a stream is silent when nothing of it has arrived for this long
REMEMBERED = 512  # messages; half a second of a stream of 1 kHz


@dataclass(slots=True)
class Heard:
    """The last messages of one stream: of those that are believed, arrival and mark (the newest instant that they
    tell of, on the reference clock); of those that are refused, arrival and reason.
    """

    marks: deque[tuple[int, int]] = field(default_factory=lambda: deque(maxlen=REMEMBERED))
    refused: deque[tuple[int, str]] = field(default_factory=lambda: deque(maxlen=REMEMBERED))

    def why_absent(self, t: int, deadline: int, otherwise: str) -> str:
        """Why nothing of the stream is in the set of `t`, by what had arrived until `deadline`; `otherwise` where it
        is alive and in time. What had not arrived is not looked at, so that the order of delivery changes nothing.
        """
        arrival, mark = next(((a, m) for a, m in reversed(self.marks) if a <= deadline and m <= t), (0, 0))
        refusal = next(((a, why) for a, why in reversed(self.refused) if a <= deadline), None)
        if refusal is not None and refusal[0] > arrival and deadline - refusal[0] <= ALIVE_NS:
            return refusal[1]
        if arrival and deadline - arrival <= ALIVE_NS + (delay := arrival - mark):
            late = t + delay - deadline
            return late_by(late, delay) if late > 0 else otherwise
        return SILENT

    def clear(self) -> None:
        """Forget all."""
        self.marks.clear()
        self.refused.clear()


def late_by(late_ns: int, delay_ns: int) -> str:
    """ "late by 100 ms, arrival 220 ms after capture"."""
    return f"late by {ns_to_ms(late_ns):.0f} ms, arrival {ns_to_ms(delay_ns):.0f} ms after capture"
