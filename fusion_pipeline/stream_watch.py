"""The latest seconds of a live stream, evaluated by the rules of a recording: the same words for the same fault."""

from __future__ import annotations

import threading
import time
from collections import deque
from dataclasses import replace

import numpy as np

from fusion_pipeline.clock import SECOND_NS
from fusion_pipeline.findings import KINDS
from fusion_pipeline.stream_findings import MOST_HZ, silence, stream_findings
from fusion_pipeline.stream_statistics import FEWEST, GAP_PERIODS, StreamSummary, summarise_stream

RECENT_S = 10.0  # a fault is reported for so long after its last message
SILENT_S = 0.5  # shorter silence may be the host's own
STEADY = 20  # messages without which a rate is not compared with another
REPORTED = ("rate-change", "late-stream")  # beside errors; other warnings say nothing of the present


class StreamWatch:
    """Feed it every message of one topic; `troubles` may be asked for in another thread."""

    def __init__(self, topic: str) -> None:
        """`topic`: its first part is the kind of sensor; of other kinds than sensors nothing is reported."""
        self._kind = topic.split("/", 1)[0]
        self._lock = threading.Lock()
        self._recent: deque[tuple[int, int, float]] = deque()  # capture, arrival, seconds of the monotonic clock
        self._fastest_hz = 0.0

    def add(self, capture_ns: int, arrival_ns: int, now_s: float | None = None) -> None:
        """Take the stamps of a message. `now_s`: of the monotonic clock, by default now."""
        now_s = time.monotonic() if now_s is None else now_s
        with self._lock:
            recent = self._recent
            recent.append((capture_ns, arrival_ns, now_s))
            while len(recent) > 2 * FEWEST and recent[0][2] < now_s - RECENT_S:
                recent.popleft()

    def troubles(self, now_s: float | None = None) -> tuple[str, ...]:
        """What is wrong at present, in words with the finding's name: errors, and a rate that fell."""
        now_s = time.monotonic() if now_s is None else now_s
        with self._lock:
            rows = list(self._recent)
        if self._kind not in MOST_HZ or len(rows) < FEWEST:
            return ()
        found = self._summary(rows)
        silent_ns = round((now_s - rows[-1][2]) * SECOND_NS)
        if silent_ns > max(2 * GAP_PERIODS * found.period_ns, SILENT_S * SECOND_NS):
            return (f"{silence(silent_ns, found.period_ns)} [gap]",)
        return tuple(
            f"{detail} [{name}]"
            for name, detail, _ in stream_findings(self._kind, found)
            if KINDS[name].severity == "error" or name in REPORTED
        )

    def _summary(self, rows: list[tuple[int, int, float]]) -> StreamSummary:
        stamps = np.asarray([row[:2] for row in rows], np.int64)
        found = summarise_stream(stamps[:, 0], stamps[:, 1])
        if found.regular and found.count >= STEADY:
            self._fastest_hz = max(self._fastest_hz, found.fastest_hz or found.rate_hz)
            slowest = found.slowest_hz or found.rate_hz
            found = replace(found, fastest_hz=self._fastest_hz, slowest_hz=slowest)
        return found
