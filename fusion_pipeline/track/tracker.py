"""Boxes of successive sets joined into tracks: Kalman filter and two-stage association (as in ByteTrack)."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace

import numpy as np
from scipy.optimize import linear_sum_assignment

from fusion_pipeline.arrays import Doubles, Ints
from fusion_pipeline.clock import SECOND_NS
from fusion_pipeline.messages import Boxes, Detections, Tracks
from fusion_pipeline.track.motion import predict, update


@dataclass(frozen=True)
class TrackerConfig:
    """When boxes are the same object, and how long an unseen object lives."""

    high_score: float = 0.4  # only such boxes begin tracks
    low_score: float = 0.15
    min_hits: int = 2
    max_age_s: float = 0.8
    gate_m: float = 4.0
    gates_m: tuple[tuple[str, float], ...] = (("pedestrian", 1.5), ("cyclist", 2.5))
    acceleration_std: float = 4.0
    position_std_m: float = 0.3  # where the detection gives none
    smoothing: float = 0.3  # weight of a new height, size and yaw
    max_tracks: int = 500


class Tracker:
    """`step` takes detections in the order of capture; `counts` has "refused" (stale stamps) and "resets"."""

    def __init__(self, config: TrackerConfig) -> None:
        self.config = config
        self.counts: Counter[str] = Counter()
        self._next_id = 0
        self._clear()

    def _clear(self) -> None:
        self._time: int | None = None
        self._boxes = Boxes.empty()
        self._state: Doubles = np.zeros((0, 4))
        self._covariance: Doubles = np.zeros((0, 2, 2))
        self._hits: Ints = np.zeros(0, np.int64)
        self._seen: Ints = np.zeros(0, np.int64)

    def step(self, detections: Detections) -> Tracks:
        """Confirmed tracks at the detections' instant. A stale stamp changes nothing; 1 s back starts anew."""
        now, config = detections.header.capture_ns, self.config
        if self._time is not None and now < self._time - SECOND_NS:
            self.counts["resets"] += 1
            self._clear()
        if self._time is not None and now <= self._time:
            self.counts["refused"] += 1
            return self._tracks(detections)
        if self._time is not None:
            dt_s = (now - self._time) / SECOND_NS
            self._state, self._covariance = predict(self._state, self._covariance, dt_s, config.acceleration_std)
        self._time = now
        boxes = detections.boxes
        gates = dict(config.gates_m)
        limit = np.array([gates.get(name, config.gate_m) for name in detections.class_names] or [config.gate_m])
        free_tracks = np.arange(len(self._boxes))
        high = np.flatnonzero(boxes.scores >= config.high_score)
        low = np.flatnonzero((boxes.scores >= config.low_score) & (boxes.scores < config.high_score))
        for stage, rows in enumerate((high, low)):
            t, d = self._associate(boxes, free_tracks, rows, limit)
            self._correct(boxes, t, d, now)
            free_tracks = np.setdiff1d(free_tracks, t)
            if stage == 0:
                born = np.setdiff1d(rows, d)
        alive = np.flatnonzero(now - self._seen <= config.max_age_s * SECOND_NS)
        self._keep(alive)
        self._begin(boxes.take(born[: max(0, config.max_tracks - len(alive))]), now)
        return self._tracks(detections)

    def _associate(self, boxes: Boxes, tracks: Ints, rows: Ints, limit: Doubles) -> tuple[Ints, Ints]:
        gap = self._state[tracks, None, :2] - boxes.centers_m[None, rows, :2]
        cost = np.hypot(gap[..., 0], gap[..., 1])
        labels = boxes.labels[rows]
        allowed = (self._boxes.labels[tracks][:, None] == labels[None]) & (cost <= limit[labels][None])
        a, b = linear_sum_assignment(np.where(allowed, cost, 1e6))
        good = allowed[a, b]
        return tracks[a[good]], rows[b[good]]

    def _correct(self, boxes: Boxes, t: Ints, d: Ints, now: int) -> None:
        given = boxes.std[d, :2].max(axis=1).astype(np.float64) if len(d) else np.zeros(0)
        std = np.where(given > 0, given, self.config.position_std_m)
        xy = boxes.centers_m[d, :2].astype(np.float64)
        self._state[t], self._covariance[t] = update(self._state[t], self._covariance[t], xy, std)
        mine, weight = self._boxes, np.float32(self.config.smoothing)
        mine.centers_m[t, 2] += weight * (boxes.centers_m[d, 2] - mine.centers_m[t, 2])
        mine.sizes_m[t] += weight * (boxes.sizes_m[d] - mine.sizes_m[t])
        turn = boxes.yaws_rad[d] - mine.yaws_rad[t]
        turn = turn - np.pi * np.round(turn / np.pi)  # a box that faces backwards is the same box
        yaw = mine.yaws_rad[t] + weight * turn
        mine.yaws_rad[t] = np.arctan2(np.sin(yaw), np.cos(yaw))
        mine.scores[t], mine.std[t], mine.attribution[t] = boxes.scores[d], boxes.std[d], boxes.attribution[d]
        self._hits[t] += 1
        self._seen[t] = now

    def _keep(self, rows: Ints) -> None:
        self._boxes = self._boxes.take(rows)
        self._state, self._covariance = self._state[rows], self._covariance[rows]
        self._hits, self._seen = self._hits[rows], self._seen[rows]

    def _begin(self, new: Boxes, now: int) -> None:
        n = len(new)
        ids = np.arange(self._next_id, self._next_id + n, dtype=np.int64)
        self._next_id += n
        new = replace(new, track_ids=ids)
        both = (np.concatenate([getattr(self._boxes, f), getattr(new, f)]) for f in Boxes.__slots__)
        self._boxes = Boxes(*both)
        state = np.concatenate([new.centers_m[:, :2], np.zeros((n, 2))], axis=1)
        self._state = np.concatenate([self._state, state])
        self._covariance = np.concatenate([self._covariance, np.tile(np.diag([0.25, 100.0]), (n, 1, 1))])
        self._hits = np.concatenate([self._hits, np.ones(n, np.int64)])
        self._seen = np.concatenate([self._seen, np.full(n, now, np.int64)])

    def _tracks(self, detections: Detections) -> Tracks:
        rows = np.flatnonzero(self._hits >= self.config.min_hits)
        boxes = self._boxes.take(rows)
        boxes.centers_m[:, :2] = self._state[rows, :2]
        boxes.velocities_mps[:] = self._state[rows, 2:]
        header = replace(detections.header, source="tracks")
        return Tracks(header, detections.class_names, boxes, detections.sounds, detections.sources, detections.missing)
