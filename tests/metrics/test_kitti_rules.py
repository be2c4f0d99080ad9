"""KITTI's average precision on cases that can be worked out by hand, and its rules of what counts."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from fusion_pipeline.metrics.kitti import (
    EASY,
    HARD,
    MODERATE,
    Frame,
    curve,
    interval_of,
    judged,
    low,
    precision_of,
)

CAR = (0.8, 4.0, 2.0, 1.5, 0.0)  # z length width height yaw; its overlap with one 1 m further on is 3 / 5


def frame(
    truth: list[float],
    found: list[tuple[float, float]],
    kinds: tuple[str, ...] = (),
    heights: tuple[float, ...] = (),
    occlusion: tuple[int, ...] = (),
    truncation: tuple[float, ...] = (),
    found_px: float = 60.0,
) -> Frame:
    """Cars along x, far apart, and findings as (x, score); everything is wholly in sight and large unless told."""
    n = len(truth)
    boxes = np.asarray([(x, 0.0, *CAR) for x in truth], np.float64).reshape(-1, 7)
    rows = np.asarray([(x, 0.0, *CAR) for x, _ in found], np.float64).reshape(-1, 7)
    return Frame(
        kinds or ("Car",) * n, boxes, np.asarray(heights or (90.0,) * n), np.asarray(occlusion or (0,) * n),
        np.asarray(truncation or (0.0,) * n), rows, np.asarray([s for _, s in found], np.float64),
        np.tile([100.0, 100.0, 180.0, 100.0 + found_px], (len(found), 1)), np.zeros((0, 4)),
    )  # fmt: skip


def ap(one: Frame, points: int = 40, level: object = MODERATE, iou: float = 0.7, bev: bool = True) -> float:
    return precision_of(judged([one], "Car", level, iou, bev), points)  # type: ignore[arg-type]


def test_all_none_and_nothing_to_find() -> None:
    assert ap(frame([10, 30], [(10, 0.9), (30, 0.8)])) == pytest.approx(100)
    assert ap(frame([10, 30], [])) == 0
    assert np.isnan(ap(frame([], [(10, 0.9)])))


def test_half_found_is_half_at_40_recalls_and_six_of_eleven_at_11() -> None:
    half = frame([10, 30], [(10, 0.9)])
    assert ap(half) == pytest.approx(50)  # precision 1 up to recall 20/40, then 0
    assert ap(half, points=11) == pytest.approx(600 / 11)  # recalls 0, 0.1 ... 0.5


def test_a_ghost_between_two_right_ones() -> None:
    # precision 1 up to recall 0.5, then 2/3: (20 * 1 + 20 * 2/3) / 40, and (6 * 1 + 5 * 2/3) / 11
    ghost = frame([10, 30], [(10, 0.9), (60, 0.8), (30, 0.7)])
    assert ap(ghost) == pytest.approx(100 * (20 + 20 * 2 / 3) / 40)
    assert ap(ghost, points=11) == pytest.approx(100 * (6 + 5 * 2 / 3) / 11)


def test_a_surer_ghost_lowers_all_recalls() -> None:
    assert ap(frame([10], [(60, 0.9), (10, 0.8)])) == pytest.approx(50)


def test_precision_is_the_best_at_a_recall_or_beyond() -> None:
    # after each: 0/1, 1/2, 2/3, 3/4; at every recall the best beyond is 3/4
    assert ap(frame([10, 20, 30], [(60, 0.9), (10, 0.8), (20, 0.7), (30, 0.6)])) == pytest.approx(75)


def test_the_second_finding_of_a_car_is_false() -> None:
    twice = judged([frame([10], [(10, 0.9), (10.1, 0.8)])], "Car", MODERATE, 0.7, True)
    assert twice.right.tolist() == [True, False]


@pytest.mark.parametrize(("shift", "right"), [(0.6, True), (0.8, False)])
def test_overlap_must_exceed_the_limit(shift: float, right: bool) -> None:
    # (4 - s) / (4 + s): 0.739 and 0.667
    assert judged([frame([10], [(10 + shift, 0.9)])], "Car", MODERATE, 0.7, True).right.tolist() == [right]


def test_overlap_equal_to_the_limit_is_not_enough() -> None:
    assert not judged([frame([10], [(11, 0.9)])], "Car", MODERATE, 0.6, True).right[0]
    assert judged([frame([10], [(11, 0.9)])], "Car", MODERATE, 0.599, True).right[0]


def test_height_counts_in_space_alone() -> None:
    lifted = frame([10], [(10, 0.9)])
    lifted.found[0, 2] += 0.5  # 1.0 of 2.0 m in common: IoU 0.5
    assert ap(lifted) == pytest.approx(100)
    assert ap(lifted, bev=False) == 0
    assert ap(lifted, iou=0.45, bev=False) == pytest.approx(100)


@pytest.mark.parametrize(
    ("height", "occlusion", "truncation", "levels"),
    [
        (90.0, 0, 0.0, "easy moderate hard"), (90.0, 1, 0.0, "moderate hard"), (90.0, 2, 0.0, "hard"),
        (90.0, 3, 0.0, ""), (40.5, 0, 0.15, "easy moderate hard"), (40.0, 0, 0.0, "moderate hard"),
        (25.5, 0, 0.3, "moderate hard"), (25.0, 0, 0.0, ""), (90.0, 0, 0.31, "hard"), (90.0, 0, 0.51, ""),
    ],
)  # fmt: skip
def test_what_counts_at_each_level(height: float, occlusion: int, truncation: float, levels: str) -> None:
    one = frame([10], [], heights=(height,), occlusion=(occlusion,), truncation=(truncation,))
    counted = [level.name for level in (EASY, MODERATE, HARD) if judged([one], "Car", level, 0.7, True).wanted.sum()]
    assert " ".join(counted) == levels


def test_a_found_neighbour_or_hard_car_counts_neither_way() -> None:
    van = frame([10, 30, 50], [(10, 0.9), (30, 0.8), (50, 0.7)], kinds=("Car", "Van", "Car"), occlusion=(0, 0, 3))
    verdicts = judged([van], "Car", MODERATE, 0.7, True)
    assert verdicts.scores.tolist() == [0.9]
    assert verdicts.wanted.tolist() == [1]
    sitting = frame([10], [(10, 0.9)], kinds=("Person_sitting",))
    assert not len(judged([sitting], "Pedestrian", MODERATE, 0.5, True).scores)


def test_a_truck_found_as_a_car_is_false() -> None:
    truck = frame([10, 30], [(30, 0.9), (10, 0.8)], kinds=("Car", "Truck"))
    assert judged([truck], "Car", MODERATE, 0.7, True).right.tolist() == [False, True]


def test_a_counted_car_is_preferred_to_an_ignored_one_beside_it() -> None:
    near = frame([10, 10.2], [(10.19, 0.9)], kinds=("Car", "Van"))
    assert judged([near], "Car", MODERATE, 0.7, True).right.tolist() == [True]


def test_low_findings_are_left_out_and_heights_lose_their_fraction() -> None:
    small = frame([10], [(60, 0.9)], found_px=24.9)
    assert low(small, MODERATE).tolist() == [True]
    assert not len(judged([small], "Car", MODERATE, 0.7, True).scores)
    enough = frame([10], [(60, 0.9)], found_px=25.9)
    assert len(judged([enough], "Car", MODERATE, 0.7, True).scores) == 1
    assert not len(judged([enough], "Car", EASY, 0.7, True).scores)


def test_dont_care_excuses_nothing_from_above_unless_asked() -> None:
    one = frame([10], [(60, 0.9), (10, 0.8)])
    one.found_px[:] = [[100, 100, 200, 200], [400, 100, 500, 200]]
    wide = replace(one, dont_care_px=np.asarray([[120.0, 100, 300, 200]]))  # 0.8 of the ghost lies in it
    assert judged([wide], "Car", MODERATE, 0.7, True).right.tolist() == [False, True]
    assert judged([wide], "Car", MODERATE, 0.7, True, dont_care=True).right.tolist() == [True]
    narrow = replace(one, dont_care_px=np.asarray([[140.0, 100, 300, 200]]))  # 0.6 does not exceed 0.7
    assert judged([narrow], "Car", MODERATE, 0.7, True, dont_care=True).right.tolist() == [False, True]
    right = replace(one, dont_care_px=np.asarray([[400.0, 100, 500, 200]]))  # what is right stays right
    assert judged([right], "Car", MODERATE, 0.7, True, dont_care=True).right.tolist() == [False, True]


def test_distance_bands_ignore_truth_and_findings_elsewhere() -> None:
    cars = frame([10, 30], [(10, 0.9), (30, 0.8), (15, 0.7), (45, 0.6)])
    near = judged([cars], "Car", MODERATE, 0.7, True, (0, 20))
    assert near.wanted.tolist() == [1]
    assert near.scores.tolist() == [0.9, 0.7]  # the far car is ignored, the far ghost is elsewhere
    far = judged([cars], "Car", MODERATE, 0.7, True, (20, 40))
    assert (far.scores.tolist(), far.right.tolist()) == ([0.8], [True])


def test_the_interval_draws_whole_frames() -> None:
    good, bad = frame([10], [(10, 0.9)]), frame([10], [])
    both = judged([good] * 5 + [bad] * 5, "Car", MODERATE, 0.7, True)
    assert precision_of(both) == pytest.approx(50)
    low_end, high_end = interval_of(both, draws=400)
    assert 10 <= low_end < 50 < high_end <= 90
    assert interval_of(judged([good] * 5, "Car", MODERATE, 0.7, True)) == pytest.approx((100, 100))
    # a frame drawn twice is there twice
    twice = precision_of(both, weights=np.asarray([2, 0, 0, 0, 0, 1, 0, 0, 0, 0]))
    assert twice == pytest.approx(precision_of(judged([good, good, bad], "Car", MODERATE, 0.7, True)))


def devkit_counts(one: Frame, least: float) -> tuple[int, int]:
    """True and false positives at a score, counted truth by truth as the benchmark's program does."""
    from fusion_pipeline.geometry.boxes import iou_bev

    overlap = iou_bev(one.found, one.boxes)
    use = [j for j in range(len(one.scores)) if one.scores[j] >= least]
    assigned: set[int] = set()
    right = 0
    for i in range(len(one.boxes)):
        fits = [j for j in use if j not in assigned and overlap[j, i] > 0.5]
        if fits:
            assigned.add(max(fits, key=lambda j: overlap[j, i]))
            right += 1
    return right, len(use) - len(assigned)


def test_counts_at_every_score_are_those_of_the_benchmarks_way() -> None:
    rng = np.random.default_rng(5)
    for _ in range(20):
        places = np.arange(8) * 12.0
        found = [(x + rng.normal(0, 0.7), s) for x, s in zip(places, rng.permutation(16)[:8] / 16, strict=True)]
        found += [(x + rng.normal(0, 0.7), s + 0.01) for x, s in zip(places, rng.permutation(16)[:8] / 16, strict=True)]
        one = frame(places.tolist(), found)
        verdicts = judged([one], "Car", MODERATE, 0.5, True)
        recall, precision = curve(verdicts)
        for k, score in enumerate(verdicts.scores):
            right, false = devkit_counts(one, score)
            assert round(recall[k] * 8) == right
            assert precision[k] == pytest.approx(right / (right + false))
