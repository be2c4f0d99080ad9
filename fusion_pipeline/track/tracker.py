"""Boxes of successive sets joined into tracks: Kalman filter and two-stage association (as in ByteTrack)."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
from scipy.optimize import linear_sum_assignment

from fusion_pipeline.arrays import Array, Doubles, Ints
from fusion_pipeline.clock import SECOND_NS
from fusion_pipeline.geometry.pose import Pose
from fusion_pipeline.messages import Boxes, Detections, EgoMotion, Tracks
from fusion_pipeline.track.config import TrackerConfig
from fusion_pipeline.track.motion import predict, update

FORBIDDEN = 1e6  # the cost of a pair that may not be


class Tracker:
    """`step` takes detections in the order of capture; `counts` has "refused" (stale stamps) and "resets".

    Velocities are over ground while detections bring the vehicle's pose, and relative to the vehicle otherwise.
    Ids count up from 0 and are never given twice, not even after a reset.
    """

    def __init__(self, config: TrackerConfig) -> None:
        self.config = config
        self.counts: Counter[str] = Counter()
        self._next_id = 0
        self._names: tuple[str, ...] = ()
        self._clear()

    def _clear(self) -> None:
        self._time: int | None = None
        self._odom_from_vehicle: Pose | None = None
        self._boxes = Boxes.empty()
        self._state: Doubles = np.zeros((0, 4))
        self._covariance: Doubles = np.zeros((0, 2, 2))
        self._hits: Ints = np.zeros(0, np.int64)
        self._seen: Ints = np.zeros(0, np.int64)
        self._sure: Doubles = np.zeros(0)  # (N,) variance of x and y when last seen
        self._facing: Doubles = np.zeros(0)  # 1 where the measured yaws agree with the track's, -1 where they oppose it
        self._votes: Doubles = np.zeros((0, len(self._names)))  # (N, classes)

    def step(self, detections: Detections) -> Tracks:
        """Confirmed tracks at the detections' instant.

        A stale stamp changes nothing. One second back, or other class names, start anew.
        """
        now, config = detections.header.capture_ns, self.config
        jumped = self._time is not None and now < self._time - SECOND_NS
        if jumped or detections.class_names != self._names:
            self.counts["resets"] += self._time is not None
            self._names = detections.class_names
            self._clear()
        if self._time is not None and now <= self._time:
            self.counts["refused"] += 1
            return self._tracks(detections)
        self._keep(np.flatnonzero(now - self._seen <= config.max_age_s * SECOND_NS))  # first: the dead are not found
        self._predict(now, *detections.egos[:1])
        boxes = detections.boxes
        high = np.flatnonzero(boxes.scores >= config.high_score)
        low = np.flatnonzero((boxes.scores >= config.low_score) & (boxes.scores < config.high_score))
        free = np.arange(len(self._boxes))
        t, sure = self._associate(boxes, free, high)
        self._correct(boxes, t, sure, now)
        t, d = self._associate(boxes, np.setdiff1d(free, t), low)
        self._correct(boxes, t, d, now)
        born = np.setdiff1d(high, sure)
        self._begin(boxes.take(born[: max(0, config.max_tracks - len(self._boxes))]), now)
        return self._tracks(detections)

    def _predict(self, now: int, ego: EgoMotion | None = None) -> None:
        """Carry all tracks to `now`, then into the frame of the vehicle as it stands there."""
        if self._time is not None:
            dt_s = (now - self._time) / SECOND_NS
            self._state, self._covariance = predict(self._state, self._covariance, dt_s, self.config.acceleration_std)
        before, self._time = self._odom_from_vehicle, now
        self._odom_from_vehicle = Pose.from_quaternion(ego.orientation, ego.position_m) if ego else None
        if before is None or self._odom_from_vehicle is None:
            return
        now_from_before = self._odom_from_vehicle.inverse() @ before
        turn, shift = now_from_before.rotation[:2, :2], now_from_before.translation_m[:2]
        self._state = np.concatenate([self._state[:, :2] @ turn.T + shift, self._state[:, 2:] @ turn.T], axis=1)
        self._boxes.yaws_rad[:] = _wrapped(self._boxes.yaws_rad + np.arctan2(turn[1, 0], turn[0, 0]))

    def _associate(self, boxes: Boxes, tracks: Ints, rows: Ints) -> tuple[Ints, Ints]:
        """Pairs of least total distance, in standard deviations; a change of class costs one more."""
        gap = self._state[tracks, None, :2] - boxes.centers_m[None, rows, :2]
        distance = np.hypot(gap[..., 0], gap[..., 1])
        variance = self._covariance[tracks, 0, 0][:, None] + np.square(self._std(boxes, rows))[None]
        cost = distance / np.sqrt(variance)
        old, new = self._boxes.labels[tracks][:, None], boxes.labels[rows][None]
        gates, alike = self._rules()
        allowed = alike[old, new] & (cost <= self.config.gate_sigma) & (distance <= np.maximum(gates[old], gates[new]))
        a, b = linear_sum_assignment(np.where(allowed, cost + (old != new), FORBIDDEN))
        good = allowed[a, b]
        return tracks[a[good]], rows[b[good]]

    def _rules(self) -> tuple[Doubles, Array]:
        """(C,) gates in metres and (C, C) which classes one object may be."""
        gates = dict(self.config.gates_m)
        same = [[a == b or any(a in g and b in g for g in self.config.alike) for b in self._names] for a in self._names]
        return np.asarray([gates.get(name, self.config.gate_m) for name in self._names]), np.asarray(same, np.bool_)

    def _std(self, boxes: Boxes, rows: Ints) -> Doubles:
        """(N,) standard deviation of x and y. Networks are surer than they should be, so it has a floor."""
        std = np.maximum(boxes.std[rows, :2].max(axis=1, initial=0.0), self.config.position_std_m)
        return np.asarray(std, np.float64)

    def _correct(self, boxes: Boxes, t: Ints, d: Ints, now: int) -> None:
        xy = boxes.centers_m[d, :2].astype(np.float64)
        self._state[t], self._covariance[t] = update(self._state[t], self._covariance[t], xy, self._std(boxes, d))
        mine, weight = self._boxes, np.float32(self.config.smoothing)
        mine.centers_m[t, 2] += weight * (boxes.centers_m[d, 2] - mine.centers_m[t, 2])
        mine.sizes_m[t] += weight * (boxes.sizes_m[d] - mine.sizes_m[t])
        turn = _wrapped(boxes.yaws_rad[d] - mine.yaws_rad[t])
        against = np.abs(turn) > np.pi / 2
        # A box that faces backwards is the same box. Its track turns round when most of its boxes say so.
        self._facing[t] += self.config.turning * (np.where(against, -1.0, 1.0) - self._facing[t])
        yaw = mine.yaws_rad[t] + weight * (turn - np.pi * np.round(turn / np.pi))
        mine.yaws_rad[t] = _wrapped(yaw + np.where(self._facing[t] < 0, np.pi, 0.0))
        self._facing[t] = np.abs(self._facing[t])
        mine.scores[t], mine.std[t], mine.attribution[t] = boxes.scores[d], boxes.std[d], boxes.attribution[d]
        self._votes[t] *= 1 - weight
        self._votes[t, boxes.labels[d]] += weight * boxes.scores[d]
        mine.labels[t] = self._votes[t].argmax(axis=1) if len(t) else 0
        self._hits[t] += 1
        self._seen[t] = now
        self._sure[t] = self._covariance[t, 0, 0]

    def _keep(self, rows: Ints) -> None:
        self._boxes = self._boxes.take(rows)
        self._state, self._covariance = self._state[rows], self._covariance[rows]
        self._hits, self._seen, self._sure = self._hits[rows], self._seen[rows], self._sure[rows]
        self._facing, self._votes = self._facing[rows], self._votes[rows]

    def _begin(self, new: Boxes, now: int) -> None:
        n = len(new)
        ids = np.arange(self._next_id, self._next_id + n, dtype=np.int64)
        self._next_id += n
        spread = np.zeros((n, 2, 2))
        spread[:, 0, 0] = np.square(self._std(new, np.arange(n)))
        spread[:, 1, 1] = self.config.speed_std_mps**2
        votes = new.scores[:, None] * (new.labels[:, None] == np.arange(len(self._names))[None])
        new = replace(new, track_ids=ids)
        both = (np.concatenate([getattr(self._boxes, f), getattr(new, f)]) for f in Boxes.__slots__)
        self._boxes = Boxes(*both)
        state = np.concatenate([new.centers_m[:, :2], np.zeros((n, 2))], axis=1)
        self._state = np.concatenate([self._state, state])
        self._covariance = np.concatenate([self._covariance, spread])
        self._hits = np.concatenate([self._hits, np.ones(n, np.int64)])
        self._seen = np.concatenate([self._seen, np.full(n, now, np.int64)])
        self._sure = np.concatenate([self._sure, spread[:, 0, 0]])
        self._facing = np.concatenate([self._facing, np.ones(n)])
        self._votes = np.concatenate([self._votes, votes])

    def _tracks(self, detections: Detections) -> Tracks:
        """The confirmed tracks. Those that were not seen in this set are marked, and less sure of where they are."""
        unseen_s = ((self._time or 0) - self._seen) / SECOND_NS
        rows = np.flatnonzero((self._hits >= self.config.min_hits) & (unseen_s <= self.config.published_age_s))
        boxes, unseen_s = self._boxes.take(rows), unseen_s[rows]
        boxes.centers_m[:, :2] = self._state[rows, :2]
        boxes.velocities_mps[:] = self._state[rows, 2:]
        grown = np.where(unseen_s > 0, self._covariance[rows, 0, 0] - self._sure[rows], 0.0)
        boxes.std[:, :2] = np.sqrt(np.square(boxes.std[:, :2]) + np.maximum(grown, 0.0)[:, None])
        header = replace(detections.header, source="tracks")
        found, coasting = detections, tuple(unseen_s.tolist())
        return Tracks(
            header, found.class_names, boxes, found.sounds, found.sources, found.missing, found.egos, coasting
        )


def _wrapped(angle: Array) -> Array:
    """The angle in -pi to pi."""
    return np.asarray(np.arctan2(np.sin(angle), np.cos(angle)))
