"""What a hundred tracks cost, and how much calmer they are than the boxes they are made of."""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np

from fusion_pipeline.arrays import Array, Doubles
from fusion_pipeline.bench.report import Figure
from fusion_pipeline.clock import SECOND_NS
from fusion_pipeline.messages import Boxes, Detections, Header
from fusion_pipeline.track.config import TrackerConfig
from fusion_pipeline.track.tracker import Tracker

OBJECTS, NOISE_M, STEP_NS = 100, 0.25, SECOND_NS // 10
LIMIT_MS = 2.0


def detections(stamp_ns: int, xy_m: Doubles) -> Detections:
    """Cars of score 0.9 at (N, 2) places."""
    n, f = len(xy_m), np.float32
    boxes = replace(
        Boxes.empty(), centers_m=np.concatenate([xy_m, np.zeros((n, 1))], axis=1).astype(f),
        sizes_m=np.tile(np.array([4, 2, 1.5], f), (n, 1)), yaws_rad=np.zeros(n, f),
        velocities_mps=np.zeros((n, 2), f), scores=np.full(n, 0.9, f), labels=np.zeros(n, np.int64),
        std=np.zeros((n, 8), f), attribution=np.tile(np.array([1, 0, 0], f), (n, 1)),
        track_ids=np.full(n, -1, np.int64),
    )  # fmt: skip
    return Detections(Header("detections", stamp_ns, stamp_ns), ("car",), boxes)


def _jitter(ways: Array) -> float:
    """Root mean square of the second differences of (T, N, 2) places."""
    return float(np.sqrt(np.square(np.diff(ways, 2, axis=0)).mean()))


def run(quick: bool = False) -> tuple[Figure, ...]:
    """Cars on a grid, each with its own constant velocity, seen with noise ten times a second."""
    random = np.random.default_rng(0)
    start = np.stack(np.meshgrid(np.arange(10) * 12.0, np.arange(10) * 12.0), axis=-1).reshape(-1, 2)
    velocity = np.array([10.0, 0.0]) + random.normal(0, 0.1, (OBJECTS, 2))
    tracker = Tracker(TrackerConfig())
    times: list[float] = []
    raw: list[Array] = []
    tracked: list[Array] = []
    ids: set[int] = set()
    for k in range(60 if quick else 300):
        noisy = start + velocity * k / 10 + random.normal(0, NOISE_M, (OBJECTS, 2))
        message = detections(10**18 + k * STEP_NS, noisy)
        began = time.perf_counter()
        tracks = tracker.step(message)
        times.append((time.perf_counter() - began) * 1e3)
        ids |= set(tracks.boxes.track_ids.tolist())
        if k >= 20 and len(tracks.boxes) == OBJECTS:
            raw.append(noisy)
            tracked.append(tracks.boxes.centers_m[:, :2])
    p50 = float(np.median(times))
    before, after = _jitter(np.array(raw)), _jitter(np.array(tracked))
    return (
        Figure(f"{OBJECTS} tracks, one step", p50, "ms", f"<= {LIMIT_MS:g} ms", p50 <= LIMIT_MS,
               note=f"p99 {np.percentile(times, 99):.2f} ms"),
        Figure("identities given", len(ids), "ids", f"{OBJECTS}", len(ids) == OBJECTS),
        Figure("jitter of the places", after, "m", "< raw boxes", after < before, before, "raw boxes"),
    )  # fmt: skip
