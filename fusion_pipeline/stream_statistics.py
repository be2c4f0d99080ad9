"""Rate, gaps, stamps and latency of one stream of messages, from capture and arrival stamps alone.

A recording and a running graph are evaluated by the same functions, so that `fusion log check`, `info`, the recorder
and the live table say the same words for the same fault.
"""

from __future__ import annotations

from array import array
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from fusion_pipeline.clock import MILLISECOND_NS, SECOND_NS

Stamps = NDArray[np.int64]

GAP_PERIODS = 2.5  # usual periods without a message are a gap, plus the stream's own jitter
SHORTEST_GAP_NS = 50 * MILLISECOND_NS  # of what is silent beyond the period; ego motion comes too often for less
REGULAR = 0.25  # median deviation of periods over their median up to which a stream has a rate
STRICT = 0.1  # the same, for single messages to be missed
FEWEST = 5  # messages without which nothing is said of gaps
UNSTAMPED_NS = SECOND_NS  # a capture stamp below this is none, where the arrival is not
DAY_NS = 86_400 * SECOND_NS
JUMP_NS = SECOND_NS  # a clock that leaves the arrivals by more than this has jumped
PART_STEPS = 20  # periods of a part whose rate is compared with that of others
MOST_PARTS = 16
MOST_GAPS = 1000  # that are listed; all are counted


@dataclass(frozen=True, slots=True)
class StreamSummary:
    """What the stamps of a stream say. Times in nanoseconds unless the name has a unit."""

    count: int = 0
    first_ns: int = 0  # arrival
    last_ns: int = 0
    period_ns: int = 0  # median time between captures; 0 where it is not known
    rate_hz: float = 0.0  # see `rate_hz`
    regular: bool = False  # it has a rate at all
    gaps: tuple[tuple[int, int], ...] = ()  # from, to: captures, or arrivals of a stream without stamps
    gap_count: int = 0
    absent: int = 0  # single messages that the period promises, outside of gaps
    backward: int = 0  # captures before the one before
    repeated: int = 0  # captures equal to the one before
    unstamped: int = 0  # captures at zero, while the arrivals are not
    jumps: int = 0  # captures that leave the arrivals by more than a second, forward
    largest_jump_ns: int = 0
    future: int = 0  # captures more than 5 ms after their arrival
    latency_ms: tuple[float, float, float] = (0.0, 0.0, 0.0)  # arrival - capture: median, greatest, least
    slowest_hz: float = 0.0  # of the parts of a stream that have a rate each; 0 where they are too few
    fastest_hz: float = 0.0
    drift_ppm: float = 0.0  # of the capture clock against that of the arrivals; 0 where it is not clear
    drift_ms: float = 0.0  # what that adds up to

    @property
    def mean_rate_hz(self) -> float:
        """Messages per second from the first to the last arrival."""
        span = self.last_ns - self.first_ns
        return (self.count - 1) * SECOND_NS / span if self.count > 1 and span > 0 else 0.0

    def then(self, later: StreamSummary, count: int | None = None) -> StreamSummary:
        """The totals of both; period, rate, median latency and drift of the later one.

        `count`: of the later one's messages those that are new, by default all.
        """
        if not self.count:
            return later if count is None else replace(later, count=count)
        if not later.count:
            return self
        return replace(
            later, count=self.count + (later.count if count is None else count), first_ns=self.first_ns,
            gaps=(*self.gaps, *later.gaps)[-MOST_GAPS:], gap_count=self.gap_count + later.gap_count,
            absent=self.absent + later.absent, backward=self.backward + later.backward,
            repeated=self.repeated + later.repeated, unstamped=self.unstamped + later.unstamped,
            jumps=self.jumps + later.jumps, largest_jump_ns=max(self.largest_jump_ns, later.largest_jump_ns),
            future=self.future + later.future, fastest_hz=max(self.fastest_hz, later.fastest_hz),
            slowest_hz=min(rate for rate in (self.slowest_hz, later.slowest_hz) if rate)
            if self.slowest_hz or later.slowest_hz else 0.0,
            latency_ms=(later.latency_ms[0], max(self.latency_ms[1], later.latency_ms[1]),
                        min(self.latency_ms[2], later.latency_ms[2])),
        )  # fmt: skip


def rate_hz(stamps: Stamps) -> float:
    """The rate of a stream, everywhere: 1 / median period; of one without a regular period, the mean rate.

    `stamps`: (n,) nanoseconds in any order; equal ones are counted once. 0 where there are fewer than two.
    """
    steps = _steps(stamps)
    if not len(steps):
        return 0.0
    usual = float(np.median(steps))
    return float(SECOND_NS / (usual if _spread(steps, usual) <= REGULAR else steps.mean()))


def gaps_of(stamps: Stamps) -> tuple[tuple[int, int], ...]:
    """Where a stream was silent for several of its periods, as (from, to). `stamps`: (n,) nanoseconds in any order."""
    ordered = np.unique(stamps)
    steps = np.diff(ordered)
    if len(ordered) < FEWEST:
        return ()
    wide = np.flatnonzero(steps > _longest_usual(steps))
    return tuple((int(ordered[k]), int(ordered[k + 1])) for k in wide.tolist())


def summarise_stream(captures: Stamps, arrivals: Stamps) -> StreamSummary:
    """Evaluate a stream. Both (n,) int64 nanoseconds, in the order in which the messages came."""
    count = len(captures)
    if not count:
        return StreamSummary()
    none = (captures < UNSTAMPED_NS) & (arrivals - captures > DAY_NS)
    unstamped = int(none.sum())
    bare = 2 * unstamped > count  # nothing but the arrivals is known of such a stream
    stamps = arrivals if bare else captures[~none]
    steps = np.diff(stamps)
    found = StreamSummary(count, int(arrivals.min()), int(arrivals.max()), unstamped=unstamped)
    positive = _steps(stamps)
    if len(positive):
        usual = float(np.median(positive))
        regular = _spread(positive, usual) <= REGULAR
        gaps = gaps_of(stamps)
        slowest, fastest = _rates_of_parts(positive)
        found = replace(
            found, period_ns=round(usual), rate_hz=rate_hz(stamps), regular=regular, gaps=gaps[:MOST_GAPS],
            gap_count=len(gaps), absent=_absent(positive, usual), slowest_hz=slowest, fastest_hz=fastest,
        )  # fmt: skip
    if bare:
        return found
    latency = arrivals[~none] - stamps
    in_ms = latency / MILLISECOND_NS
    jumps, largest = _jumps(steps, latency, found.period_ns)
    drift_ppm, drift_ms = _drift(arrivals[~none], latency)
    return replace(
        found, backward=int((steps < 0).sum()), repeated=int((steps == 0).sum()), jumps=jumps, largest_jump_ns=largest,
        future=int((in_ms < -5.0).sum()), drift_ppm=drift_ppm, drift_ms=drift_ms,
        latency_ms=(float(np.median(in_ms)), float(in_ms.max()), float(in_ms.min())),
    )  # fmt: skip


def summarise_arrivals(arrivals: Stamps) -> StreamSummary:
    """Evaluate a stream of which only the arrivals are known: (n,) nanoseconds in any order.

    Silence after which what was missing comes in a burst is a delay, and no gap.
    """
    found = summarise_stream(arrivals, arrivals)
    ordered = np.sort(arrivals)
    gaps = tuple(gap for gap in gaps_of(arrivals) if not _made_up(ordered, gap, found.period_ns))
    return replace(found, gaps=gaps[:MOST_GAPS], gap_count=len(gaps), backward=0, repeated=0)


def _made_up(ordered: Stamps, gap: tuple[int, int], period_ns: int) -> bool:
    """Whether at least half of what should have come in a gap comes at once after it."""
    start, end = gap
    missed = (end - start) / max(period_ns, 1) - 1
    until = end + 2 * period_ns + (end - start) // 10
    came = int(np.searchsorted(ordered, until, "right") - np.searchsorted(ordered, end, "left"))
    return came - 1 - (until - end) / max(period_ns, 1) >= missed / 2


def _steps(stamps: Stamps) -> NDArray[np.int64]:
    return np.diff(np.unique(stamps)).astype(np.int64, copy=False)


def _spread(steps: NDArray[np.int64], usual: float) -> float:
    return float(np.median(np.abs(steps - usual))) / max(usual, 1.0)


def _rates_of_parts(steps: NDArray[np.int64]) -> tuple[float, float]:
    """(Hz, Hz) the lowest and the highest rate among parts of a stream; 0, 0 where these are too few or not regular."""
    parts = min(len(steps) // PART_STEPS, MOST_PARTS)
    if parts < 2:
        return 0.0, 0.0
    usual = [(float(np.median(part)), part) for part in np.array_split(steps, parts)]
    periods = [period for period, part in usual if _spread(part, period) <= STRICT]
    return (SECOND_NS / max(periods), SECOND_NS / min(periods)) if periods else (0.0, 0.0)


def _longest_usual(steps: NDArray[np.int64]) -> float:
    """The longest period that is no gap."""
    usual = float(np.median(steps))
    sigma = 1.4826 * float(np.median(np.abs(steps - usual)))
    if sigma <= 1.4826 * REGULAR * usual:
        return max(GAP_PERIODS * usual + 5 * sigma, usual + SHORTEST_GAP_NS)
    # No rate, but bursts or events: only what is far outside of what is usual for it is said.
    return max(GAP_PERIODS * usual + 8 * sigma, 5 * float(np.percentile(steps, 90)), SECOND_NS)


def _absent(steps: NDArray[np.int64], usual: float) -> int:
    """Messages that a strict period promises and that did not come one by one."""
    if len(steps) < FEWEST or _spread(steps, usual) > STRICT:
        return 0
    single = steps[(steps > 1.6 * usual) & (steps <= GAP_PERIODS * usual)]
    return int((np.rint(single / usual) - 1).sum())


def _jumps(steps: NDArray[np.int64], latency: NDArray[np.int64], period_ns: int) -> tuple[int, int]:
    """How often, and at most how far, captures leap ahead of the arrivals, beyond all latency seen before."""
    if len(latency) < 2:
        return 0, 0
    fallen = np.minimum.accumulate(latency)[:-1] - latency[1:]
    far = (fallen > max(JUMP_NS, 5 * period_ns)) & (steps > max(JUMP_NS, 5 * period_ns))
    return int(far.sum()), int(fallen[far].max()) if far.any() else 0


def _drift(arrivals: Stamps, latency: NDArray[np.int64]) -> tuple[float, float]:
    """(ppm, ms over the whole): the trend of the least latencies; 0, 0 where it is no clear line."""
    parts = 16
    span = int(arrivals[-1] - arrivals[0]) if len(arrivals) else 0
    if len(arrivals) < 8 * parts or span < 30 * SECOND_NS:
        return 0.0, 0.0
    edges = np.linspace(0, len(arrivals), parts + 1).astype(int)[:-1]
    least = np.minimum.reduceat(latency, edges).astype(np.float64)
    at = np.add.reduceat((arrivals - arrivals[0]).astype(np.float64), edges) / np.diff([*edges, len(arrivals)])
    a, b = np.triu_indices(parts, 1)
    slope = float(np.median((least[b] - least[a]) / np.maximum(at[b] - at[a], 1.0)))  # Theil and Sen
    rest = least - slope * at
    noise = 1.4826 * float(np.median(np.abs(rest - np.median(rest))))
    total = slope * span
    if abs(slope) > 1e-3 or abs(total) < max(20 * MILLISECOND_NS, 6 * noise):  # no crystal is that bad: it is backlog
        return 0.0, 0.0
    return -slope * 1e6, total / MILLISECOND_NS


class StreamStatistics:
    """The statistics of a stream while it runs: totals since its start, rate and latency of its latest messages.

    `add` costs two appends; every `window` messages are evaluated as a recording is, and only their totals are kept.
    """

    def __init__(self, window: int = 512) -> None:
        self._window = max(window, 2 * FEWEST)
        self._captures, self._arrivals = array("q"), array("q")
        self._total = StreamSummary()

    def add(self, capture_ns: int, arrival_ns: int) -> None:
        """Take the stamps of a message."""
        self._captures.append(capture_ns)
        self._arrivals.append(arrival_ns)
        if len(self._captures) >= 2 * self._window:
            # One message beyond the window, for the step to it; it is counted with the next one.
            over, inside = self._summary(self._window + 1), self._summary(self._window)
            over = replace(over, unstamped=inside.unstamped, future=inside.future)
            self._total = self._total.then(over, self._window)
            del self._captures[: self._window], self._arrivals[: self._window]

    def summary(self) -> StreamSummary:
        """Of all messages so far."""
        recent = self._summary(len(self._captures))
        return self._total.then(recent)

    def _summary(self, count: int) -> StreamSummary:
        return summarise_stream(np.array(self._captures[:count], np.int64), np.array(self._arrivals[:count], np.int64))
