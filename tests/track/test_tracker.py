"""Identities and velocities of the tracker against truth."""

import numpy as np

from fusion_pipeline.messages import Boxes, Detections, Header
from fusion_pipeline.track.config import TrackerConfig
from fusion_pipeline.track.tracker import Tracker


def detections(stamp_ns: int, xy: np.ndarray) -> Detections:
    n, f = len(xy), np.float32
    centers = np.concatenate([xy, np.zeros((n, 1))], axis=1).astype(f)
    boxes = Boxes(
        centers, np.tile(np.array([4, 2, 1.5], f), (n, 1)), np.zeros(n, f), np.zeros((n, 2), f), np.full(n, 0.9, f),
        np.zeros(n, np.int64), np.zeros((n, 8), f), np.tile(np.array([1, 0, 0], f), (n, 1)), np.full(n, -1, np.int64),
    )  # fmt: skip
    return Detections(Header("detections", stamp_ns, stamp_ns), ("car",), boxes)


def test_ids_survive_a_gap_and_the_speed_is_found() -> None:
    random, tracker, ids, last = np.random.default_rng(0), Tracker(TrackerConfig()), set(), None
    for k in range(60):
        truth = np.array([[k * 1.0, 0.0], [60 - k * 1.0, 5.0]])  # 10 m/s each way
        seen = truth[:0] if 30 <= k < 33 else truth + random.normal(0, 0.1, truth.shape)
        last = tracker.step(detections(10**18 + k * 10**8, seen))
        ids |= set(last.boxes.track_ids.tolist())
    assert ids == {0, 1}
    assert np.abs(last.boxes.velocities_mps - [[10, 0], [-10, 0]]).max() < 1.5


def test_a_stale_stamp_is_refused_and_a_loop_resets() -> None:
    tracker = Tracker(TrackerConfig())
    for stamp in (10**18, 10**18, 10**18 - 10**10):
        tracker.step(detections(stamp, np.zeros((1, 2))))
    assert tracker.counts == {"refused": 1, "resets": 1}
