"""Clock faults of a stream from its stamps alone, in words: an offset, a drift, a step.

The delay of a message is arrival - capture. Transport only ever adds to it, so the least delay of a second follows the
difference of the two clocks. An offset is reported after 2 s; a drift when a straight line through the least delays of
10 s each, over at least two minutes, is steeper than DRIFT_PPM and than five times its standard error, and comes to
5 ms. Quartz oscillators are off by up to 100 ppm (0.36 s an hour); PTP and NTP keep clocks far below DRIFT_PPM.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping

from fusion_pipeline.clock import SECOND_NS

AHEAD_S = 0.02  # a stamp that much after its arrival is no jitter
BEHIND_S = 1.0  # no transport takes so long
STEP_S = 0.2
DRIFT_PPM, DRIFT_LEAST_S, DRIFT_SIGMAS = 20.0, 0.005, 5.0
BLOCK_S, BLOCKS = 10, 60  # a line is drawn through the last ten minutes
FEWEST_BLOCKS = 12
SCALES = ((37.0, "TAI against UTC?"), (18.0, "GPS time against UTC?"), (19.0, "TAI against GPS time?"))
YEAR_S = 365 * 86400.0


class StreamClock:
    """The clock of one stream against the host's; feed it every message, refused ones too."""

    def __init__(self) -> None:
        self._second = -1
        self._least = 0
        self._recent: deque[float] = deque(maxlen=6)  # least delays of the last seconds
        self._blocks: deque[tuple[float, float]] = deque(maxlen=BLOCKS)  # time and least delay, in seconds
        self._block: list[float] = []
        self._step = ""
        self._drift = ""

    def note(self, arrival_ns: int, stamp_ns: int) -> None:
        """A message arrived; `stamp_ns` is its capture on the reference clock."""
        second, delay = arrival_ns // SECOND_NS, arrival_ns - stamp_ns
        if second == self._second:
            self._least = min(self._least, delay)
            return
        if self._second >= 0:
            self._close(self._least / SECOND_NS)
        if abs(second - self._second) > BLOCK_S:  # a pause, or a log begun anew
            self._recent.clear()
            self._begin_line()
        self._second, self._least = second, delay

    def trouble(self) -> str:
        """What is wrong with the clock, in words; "" for nothing."""
        return self._offset() or self._drift or self._step

    def _close(self, least_s: float) -> None:
        """A second is over."""
        self._recent.append(least_s)
        self._block.append(least_s)
        last = list(self._recent)
        if len(last) == 6:
            before, after = last[:3], last[3:]
            if min(after) > max(before) + STEP_S or max(after) < min(before) - STEP_S:
                moved_s = sum(before) / 3 - sum(after) / 3
                self._step = f"its stamps stepped by {moved_s:+.2f} s"
                self._recent.clear()
                self._begin_line()
                return
        if len(self._block) == BLOCK_S:
            self._blocks.append((float(self._second), min(self._block)))
            self._block.clear()
            self._drift = drift(list(self._blocks))

    def _begin_line(self) -> None:
        self._blocks.clear()
        self._block.clear()
        self._drift = ""

    def _offset(self) -> str:
        if len(self._recent) < 2:
            return ""
        least = min(self._recent)
        if -AHEAD_S <= least <= BEHIND_S:
            return ""
        side = "after" if least < 0 else "before"
        size = abs(least)
        amount = f"{size:.1f} s" if size >= 1 else f"{size * 1000:.0f} ms"
        return f"its stamps lie {amount} {side} their arrival" + _guess(size)


class Clocks:
    """The clocks of all streams of a set."""

    def __init__(self) -> None:
        self._streams: dict[str, StreamClock] = {}

    def note(self, topic: str, arrival_ns: int, stamp_ns: int) -> None:
        """A message of `topic` arrived."""
        clock = self._streams.get(topic)
        if clock is None:
            clock = self._streams[topic] = StreamClock()
        clock.note(arrival_ns, stamp_ns)

    def troubles(self) -> Mapping[str, str]:
        """Topics whose clocks are wrong, and how."""
        found = {topic: clock.trouble() for topic, clock in self._streams.items()}
        return {topic: text for topic, text in found.items() if text}


def drift(points: list[tuple[float, float]]) -> str:
    """The drift of least delays (time, delay; seconds) in words, or "" where none is certain."""
    n = len(points)
    if n < FEWEST_BLOCKS:
        return ""
    mean_t = math.fsum(t for t, _ in points) / n
    mean_d = math.fsum(d for _, d in points) / n
    spread = math.fsum((t - mean_t) ** 2 for t, _ in points)
    slope = math.fsum((t - mean_t) * (d - mean_d) for t, d in points) / spread
    rest = math.fsum((d - mean_d - slope * (t - mean_t)) ** 2 for t, d in points)
    error = math.sqrt(rest / (n - 2) / spread)
    span_s = points[-1][0] - points[0][0]
    moved_s = abs(slope) * span_s
    if abs(slope) < DRIFT_PPM * 1e-6 or abs(slope) < DRIFT_SIGMAS * error or moved_s < DRIFT_LEAST_S:
        return ""
    pace = "fast" if slope < 0 else "slow"
    return (
        f"its clock runs {abs(slope) * 1e6:.0f} ppm {pace}, {moved_s * 1000:.1f} ms in {span_s:.0f} s; "
        "synchronise it by PTP or NTP, or let its driver stamp by the host's clock"
    )


def _guess(size_s: float) -> str:
    """What an offset of this size usually is. The delay of the transport is part of it."""
    for scale_s, words in SCALES:
        if abs(size_s - scale_s) < 0.5:
            return f": {words}"
    if size_s > YEAR_S:
        return ": does its clock count from its own start?"
    halves = round(size_s / 1800)
    if halves and abs(size_s - halves * 1800) < 2.0:
        return ": local time against UTC?"
    return ""
