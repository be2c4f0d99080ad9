"""What may not break a track, and what a track gets right that single boxes do not."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from fusion_pipeline.arrays import Doubles
from fusion_pipeline.clock import SECOND_NS
from fusion_pipeline.geometry.pose import Pose
from fusion_pipeline.messages import Boxes, Detections, EgoMotion, Header, Tracks
from fusion_pipeline.track.config import TrackerConfig
from fusion_pipeline.track.tracker import Tracker

CLASSES = ("car", "truck", "pedestrian", "two-wheeler", "other")
START_NS, STEP_NS = 10**18, SECOND_NS // 10


def seen(
    k: int, xy: Doubles, label: str = "car", yaw: float = 0.0, score: float = 0.9, names: tuple[str, ...] = CLASSES
) -> Detections:
    """Detections of set `k`, a tenth of a second after the one before."""
    xy = np.asarray(xy, np.float64).reshape(-1, 2)
    n, f = len(xy), np.float32
    boxes = replace(
        Boxes.empty(),
        centers_m=np.concatenate([xy, np.zeros((n, 1))], axis=1).astype(f),
        sizes_m=np.tile(np.array([4, 2, 1.5], f), (n, 1)), yaws_rad=np.full(n, yaw, f),
        velocities_mps=np.zeros((n, 2), f), scores=np.full(n, score, f),
        labels=np.full(n, names.index(label), np.int64), std=np.zeros((n, 8), f),
        attribution=np.tile(np.array([1, 0, 0], f), (n, 1)), track_ids=np.full(n, -1, np.int64),
    )  # fmt: skip
    stamp = START_NS + k * STEP_NS
    return Detections(Header("detections", stamp, stamp), names, boxes)


def moving(k: int, speed_mps: float, turn_rps: float = 0.0) -> EgoMotion:
    """The vehicle at set `k`: straight on, or on a circle."""
    t = k / 10
    yaw = turn_rps * t
    place = [speed_mps * t, 0.0, 0.0]
    if turn_rps:
        place = [speed_mps / turn_rps * np.sin(yaw), speed_mps / turn_rps * (1 - np.cos(yaw)), 0.0]
    pose = Pose.from_euler(0, 0, yaw, np.asarray(place))
    eye = np.eye(6)
    stamp = START_NS + k * STEP_NS
    header = Header("ego/odometry", stamp, stamp)
    return EgoMotion(header, pose.translation_m, pose.quaternion, np.zeros(3), np.zeros(3), eye, eye)


@pytest.mark.parametrize("label", ["car", "pedestrian"])
def test_crossing_targets_keep_their_ids(label: str) -> None:
    speed = 8.0 if label == "car" else 1.5
    random, tracker = np.random.default_rng(3), Tracker(TrackerConfig())
    owners: dict[int, set[int]] = {0: set(), 1: set()}
    for k in range(40):
        way = speed * (k - 20) / 10
        truth = np.array([[20 + way, 0.4], [20, way]])  # they pass within 0.4 m
        tracks = tracker.step(seen(k, truth + random.normal(0, 0.1, truth.shape), label))
        if k in range(15, 26):
            continue  # while they overlap either name would do
        for row, place in enumerate(tracks.boxes.centers_m[:, :2]):
            owner = int(np.argmin(np.hypot(*(truth - place).T)))
            owners[owner].add(int(tracks.boxes.track_ids[row]))
    assert len(owners[0]) == len(owners[1]) == 1
    assert owners[0] != owners[1]


def test_a_class_that_flickers_does_not_break_a_track_and_the_majority_names_it() -> None:
    tracker = Tracker(TrackerConfig())
    ids, labels = set(), []
    for k in range(40):
        tracks = tracker.step(seen(k, np.array([[10 + 0.5 * k, 0]]), "truck" if k % 4 == 3 else "car"))
        ids |= set(tracks.boxes.track_ids.tolist())
        labels += tracks.boxes.labels.tolist()
    assert ids == {0}
    assert set(labels) == {CLASSES.index("car")}


def test_a_pedestrian_beside_a_car_is_not_taken_for_it() -> None:
    tracker = Tracker(TrackerConfig())
    for k in range(3):
        tracker.step(seen(k, np.array([[10.0, 0]]), "car"))
    for k in range(3, 6):
        tracks = tracker.step(seen(k, np.array([[10.5, 0]]), "pedestrian"))
    by_id = dict(zip(tracks.boxes.track_ids.tolist(), tracks.boxes.labels.tolist(), strict=True))
    assert by_id == {0: CLASSES.index("car"), 1: CLASSES.index("pedestrian")}


def test_half_a_second_of_occlusion_is_survived_and_a_second_is_not() -> None:
    for hidden, expected in ((5, {0}), (10, {0, 1})):
        tracker, ids = Tracker(TrackerConfig()), set()
        for k in range(40):
            place = np.array([[10 + k * 1.0, 2.0]])
            tracks = tracker.step(seen(k, place[:0] if 20 <= k < 20 + hidden else place))
            ids |= set(tracks.boxes.track_ids.tolist())
        assert ids == expected


def test_a_weak_box_keeps_a_track_alive_but_begins_none() -> None:
    tracker, ids = Tracker(TrackerConfig()), set()
    for k in range(30):
        place = np.array([[10.0 + k, 0.0], [10.0 + k, 20.0]])
        parts = seen(k, place, score=0.25)
        if k < 5:
            parts.boxes.scores[0] = 0.9
        ids |= set(tracker.step(parts).boxes.track_ids.tolist())
    assert ids == {0}


def test_a_yaw_that_flips_now_and_then_leaves_the_track_as_it_was() -> None:
    random, tracker = np.random.default_rng(5), Tracker(TrackerConfig())
    for k in range(60):
        yaw = 0.4 + (np.pi if random.random() < 0.2 and k else 0.0)
        tracks = tracker.step(seen(k, np.array([[20.0, 0]]), yaw=yaw))
        assert np.abs(tracks.boxes.yaws_rad - 0.4).max(initial=0) < 1e-3


def test_a_track_that_began_backwards_turns_round() -> None:
    tracker = Tracker(TrackerConfig())
    for k in range(20):
        tracks = tracker.step(seen(k, np.array([[20.0, 0]]), yaw=np.pi - 0.1 if k == 0 else -0.1))
    assert tracks.boxes.yaws_rad[0] == pytest.approx(-0.1, abs=1e-3)


def test_tracks_are_smoother_and_nearer_to_the_truth_than_boxes() -> None:
    random, tracker = np.random.default_rng(7), Tracker(TrackerConfig())
    raw, tracked, truths = [], [], []
    for k in range(100):
        truth = np.array([[10 + 0.8 * k, 0.1 * k]])
        noisy = truth + random.normal(0, 0.25, truth.shape)
        tracks = tracker.step(seen(k, noisy))
        if k >= 20:
            raw.append(noisy[0])
            tracked.append(tracks.boxes.centers_m[0, :2])
            truths.append(truth[0])
    jitter = [float(np.square(np.diff(np.array(way), 2, axis=0)).mean()) for way in (raw, tracked)]
    error = [float(np.square(np.array(way) - truths).mean()) for way in (raw, tracked)]
    assert jitter[1] < 0.2 * jitter[0]
    assert error[1] < 0.6 * error[0]


def around(speed_mps: float, turn_rps: float, with_ego: bool) -> Tracks:
    """The tracks of two parked cars and one at 5 m/s to the odometry frame's left, seen from a moving vehicle."""
    tracker = Tracker(TrackerConfig())
    for k in range(20):
        ego = moving(k, speed_mps, turn_rps)
        odom_from_vehicle = Pose.from_quaternion(ego.orientation, ego.position_m)
        places = np.array([[40.0, 4.0, 0], [50.0, -4.0, 0], [60.0, 0.5 * k, 0]])
        in_vehicle = odom_from_vehicle.inverse().apply(places)
        tracks = tracker.step(replace(seen(k, in_vehicle[:, :2]), egos=(ego,) if with_ego else ()))
    return tracks


@pytest.mark.parametrize("turn_rps", [0.0, 0.3])
def test_with_poses_velocities_are_over_ground(turn_rps: float) -> None:
    tracks = around(10.0, turn_rps, with_ego=True)
    assert tracks.boxes.track_ids.tolist() == [0, 1, 2]
    yaw = turn_rps * 1.9  # what goes left in the odometry frame, in the vehicle's axes
    wanted = np.array([[0, 0], [0, 0], [5 * np.sin(yaw), 5 * np.cos(yaw)]])
    assert np.abs(tracks.boxes.velocities_mps - wanted).max() < 0.3


def test_without_poses_velocities_are_relative_to_the_vehicle() -> None:
    tracks = around(10.0, 0.0, with_ego=False)
    assert np.abs(tracks.boxes.velocities_mps - [[-10, 0], [-10, 0], [-10, 5]]).max() < 0.5


def test_ids_are_never_given_twice_even_after_a_reset() -> None:
    tracker, ids = Tracker(TrackerConfig()), []
    for start in (1000, 0, 2000):
        for k in range(start, start + 3):
            tracks = tracker.step(seen(k, np.array([[10.0, 0], [30.0, 0]])))
        ids += tracks.boxes.track_ids.tolist()
    assert ids == [0, 1, 2, 3, 4, 5]


def test_other_class_names_start_anew() -> None:
    tracker = Tracker(TrackerConfig())
    for k in range(3):
        tracker.step(seen(k, np.array([[10.0, 0]])))
    tracks = tracker.step(seen(3, np.array([[10.0, 0]]), "person", names=("person",)))
    assert len(tracks.boxes) == 0
    assert tracker.counts == {"resets": 1}


def test_the_default_gates_name_classes_that_the_shipped_models_have() -> None:
    config = TrackerConfig()
    named = {name for name, _ in config.gates_m} | {name for group in config.alike for name in group}
    assert named <= set(CLASSES)


def test_nothing_seen_is_no_track() -> None:
    tracker = Tracker(TrackerConfig())
    for k in range(3):
        assert len(tracker.step(seen(k, np.zeros((0, 2)))).boxes) == 0


def test_what_is_not_seen_is_marked_and_less_sure() -> None:
    tracker = Tracker(TrackerConfig())
    before = [tracker.step(seen(k, np.array([[10.0 + k, 0.0]]))) for k in range(5)]
    unseen = [tracker.step(seen(k, np.zeros((0, 2)))) for k in range(5, 12)]
    assert before[-1].coasting_s == (0.0,)
    assert [round(t.coasting_s[0], 6) for t in unseen] == [round(0.1 * k, 6) for k in range(1, 8)]
    stds = [float(t.boxes.std[0, 0]) for t in (before[-1], *unseen)]
    assert (np.diff(stds) > 0).all()
    again = tracker.step(seen(12, np.array([[22.0, 0.0]])))
    assert again.coasting_s == (0.0,)
    assert again.boxes.std[0, 0] < stds[1]


def test_what_is_published_and_what_is_remembered_are_two_ages() -> None:
    tracker = Tracker(TrackerConfig(published_age_s=0.0))
    (first,) = [tracker.step(seen(k, np.array([[10.0, 0.0]]))) for k in range(3)][-1].boxes.track_ids
    assert [len(tracker.step(seen(k, np.zeros((0, 2)))).boxes) for k in range(3, 7)] == [0, 0, 0, 0]
    assert tracker.step(seen(7, np.array([[10.0, 0.0]]))).boxes.track_ids.tolist() == [first]
