"""Where the time goes: timed hops on a message's way, and rolling summaries of them."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import numpy as np

from fusion_pipeline.clock import MILLISECOND_NS, now_ns
from fusion_pipeline.messages import Hop, StageTiming


class Stopwatch:
    """Collects hops under one prefix: `with watch.timed("network"): ...` gives a hop "detector/network"."""

    def __init__(self, prefix: str) -> None:
        self.prefix = prefix
        self._hops: list[Hop] = []

    @contextmanager
    def timed(self, stage: str) -> Iterator[None]:
        """Time the block, also when it raises."""
        start = now_ns()
        try:
            yield
        finally:
            self._hops.append(Hop(f"{self.prefix}/{stage}", start, now_ns()))

    def take(self) -> tuple[Hop, ...]:
        """The hops since the last call."""
        hops = tuple(self._hops)
        self._hops.clear()
        return hops


class Timings:
    """Durations per stage over the most recent `window` samples of each."""

    def __init__(self, window: int = 256) -> None:
        self._window = window
        self._durations: dict[str, deque[int]] = {}

    def add(self, stage: str, duration_ns: int) -> None:
        """Note one duration."""
        durations = self._durations.get(stage)
        if durations is None:
            durations = self._durations[stage] = deque(maxlen=self._window)
        durations.append(duration_ns)

    def add_hops(self, hops: Iterable[Hop]) -> None:
        """Note the durations of all `hops`."""
        for hop in hops:
            self.add(hop.stage, hop.end_ns - hop.start_ns)

    def summary(self) -> tuple[StageTiming, ...]:
        """One row per stage, in the order in which they were first seen."""
        return tuple(
            summarise(stage, list(durations)) for stage, durations in list(self._durations.items()) if durations
        )


def summarise(stage: str, durations_ns: list[int]) -> StageTiming:
    """Count, median, 95th percentile and maximum of some durations; there must be at least one."""
    in_ms = np.asarray(durations_ns, np.float64) / MILLISECOND_NS
    p50, p95 = np.percentile(in_ms, [50, 95])
    return StageTiming(stage, len(durations_ns), float(p50), float(p95), float(in_ms.max()))
