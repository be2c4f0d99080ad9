"""Centre-head outputs, suppression, and shares."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from fusion_pipeline.arrays import Array
from fusion_pipeline.detect.center import CenterDecoder, attributed
from fusion_pipeline.detect.network import ModelError
from fusion_pipeline.detect.nms import suppressed_2d, suppressed_bev
from fusion_pipeline.detect.work import Boxes2d, Work
from fusion_pipeline.encode.inputs import Scene
from fusion_pipeline.messages import Boxes
from fusion_pipeline.operations import DecodeCenter, Nms2d, NmsBev

EMPTY = Scene(np.zeros((0, 3), np.float32), np.zeros(0, np.float32), (), (), ())


def decoded(options: DecodeCenter | None = None, **tensors: Array) -> Boxes:
    work = Work.begin(EMPTY).with_tensors(tensors)
    work = replace(work, ground=lambda xy: np.full(len(xy), 0.5, np.float32))
    return CenterDecoder(options or DecodeCenter(), ("car", "truck"), 0.3)(work)


def rows(*xyz: tuple[float, float, float], yaw: float = 0.0) -> Array:
    return np.array([[*place, 4, 2, 1.5, np.sin(yaw), np.cos(yaw), 1, 2] for place in xyz], np.float32)


def test_boxes_come_best_first_and_above_local_ground() -> None:
    boxes = decoded(
        scores=np.array([0.4, 0.2, 0.9], np.float32), labels=np.array([0, 0, 1]),
        boxes=rows((1, 1, 0.75), (2, 2, 0.75), (3, 3, 0.75), yaw=2.5),
    )  # fmt: skip
    assert boxes.scores.tolist() == pytest.approx([0.9, 0.4])
    assert boxes.labels.tolist() == [1, 0]
    assert np.allclose(boxes.centers_m, [[3, 3, 1.25], [1, 1, 1.25]])
    assert np.allclose(boxes.yaws_rad, 2.5)
    assert np.allclose(boxes.velocities_mps, [[1, 2]] * 2)


def test_the_vehicle_frame_needs_no_ground() -> None:
    boxes = decoded(DecodeCenter(z="vehicle"), scores=np.ones(1, np.float32), labels=np.zeros(1, np.int64),
                    boxes=rows((1, 1, 0.75)))  # fmt: skip
    assert boxes.centers_m[0, 2] == pytest.approx(0.75)


def test_overlap_foreseen_bends_the_score() -> None:
    boxes = decoded(
        DecodeCenter(iou_weight=0.5), scores=np.array([0.64], np.float32), labels=np.array([0]),
        boxes=rows((1, 1, 0)), iou=np.array([0.25], np.float32),
    )  # fmt: skip
    assert boxes.scores[0] == pytest.approx(0.4)


def test_rows_that_cannot_be_are_dropped() -> None:
    bad = rows(*[(1, 1, 0)] * 4)
    bad[0, 0], bad[1, 3] = np.nan, 0
    boxes = decoded(scores=np.full(4, 0.9, np.float32), labels=np.array([0, 0, 7, 1]), boxes=bad)
    assert boxes.labels.tolist() == [1]


def test_tensors_of_another_shape_are_named() -> None:
    with pytest.raises(ModelError, match=r"boxes \(2, 10: x y z"):
        decoded(scores=np.ones(2, np.float32), labels=np.zeros(2, np.int64), boxes=np.zeros((2, 7), np.float32))


def boxes_at(places: list[tuple[float, float]], scores: list[float], labels: list[int]) -> Boxes:
    n = len(places)
    return decoded(
        scores=np.array(scores, np.float32), labels=np.array(labels), boxes=rows(*[(x, y, 0.0) for x, y in places])
    ).take(np.arange(n))


def test_of_overlapping_boxes_the_best_stays() -> None:
    boxes = boxes_at([(10, 0), (10.5, 0), (30, 0)], [0.9, 0.8, 0.5], [0, 1, 0])
    assert suppressed_bev(boxes, NmsBev()).centers_m[:, 0].tolist() == [10, 30]
    assert len(suppressed_bev(boxes, NmsBev(across_classes=False))) == 3
    assert suppressed_bev(boxes, NmsBev(top=1)).centers_m[:, 0].tolist() == [10]
    assert len(suppressed_bev(Boxes.empty(), NmsBev())) == 0


def test_a_thing_told_at_several_depths_is_told_once() -> None:
    ahead = [(20.0, 0.0), (22.0, 0.2), (27.0, 0.0), (22.0, 3.0), (21.5, 0.0)]
    boxes = boxes_at(ahead, [0.9, 0.8, 0.7, 0.6, 0.5], [0, 0, 0, 0, 1])
    std = np.zeros((5, 8), np.float32)
    std[:, 0] = 1.5  # metres along x, which is the line of sight
    unsure = replace(boxes, std=std)
    kept = suppressed_bev(unsure, NmsBev(iou=0.9, sigmas=2.0))
    assert kept.centers_m[:, 0].tolist() == [20, 27, 22, 21.5], "not what is far behind, beside, or of another class"
    assert len(suppressed_bev(unsure, NmsBev(iou=0.9))) == 5
    sure = replace(boxes, std=np.full((5, 8), 0.1, np.float32))
    assert len(suppressed_bev(sure, NmsBev(iou=0.9, sigmas=2.0))) == 5, "who sees two of them well keeps both"
    assert len(suppressed_bev(boxes.take(np.zeros(0, np.int64)), NmsBev(sigmas=2.0))) == 0


def test_suppression_in_pictures_equals_the_slow_way() -> None:
    random = np.random.default_rng(0)
    corner = random.uniform(0, 200, (80, 2))
    corners = np.concatenate([corner, corner + random.uniform(10, 90, (80, 2))], axis=1)
    boxes = Boxes2d(corners, random.random(80).astype(np.float32), random.integers(0, 2, 80))
    for across in (True, False):
        kept: list[int] = []
        for i in np.argsort(-boxes.scores):

            def overlap(k: int, i: int = int(i)) -> float:
                a, b = corners[i], corners[k]
                w, h = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
                both = max(w, 0) * max(h, 0)
                return both / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - both)

            if all(overlap(k) <= 0.45 for k in kept if across or boxes.labels[k] == boxes.labels[i]):
                kept.append(int(i))
        found = suppressed_2d(boxes, Nms2d(0.45, across))
        assert np.array_equal(found.corners_px, corners[kept])


def test_an_absent_sensor_has_no_share() -> None:
    boxes = boxes_at([(10, 0), (30, 0)], [0.9, 0.8], [0, 0])
    boxes = replace(boxes, attribution=np.array([[0.5, 0.25, 0.25], [0, 1, 0]], np.float32))
    fair = attributed(boxes, np.array([1, 0, 1, 0], np.float32))
    assert fair.centers_m[:, 0].tolist() == [10]  # the other box had nothing but the absent camera
    assert np.allclose(fair.attribution, [[2 / 3, 0, 1 / 3]])
