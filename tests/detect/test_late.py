"""Late fusion: boxes of two runs joined; each sense alone still answers."""

from __future__ import annotations

import numpy as np

from fusion_pipeline.arrays import Array
from fusion_pipeline.detect.late import fused_late, senses_apart


def outputs(places: list[tuple[float, float]], scores: list[float], sense: int, label: int = 0) -> dict[str, Array]:
    n = len(places)
    boxes = np.tile(np.asarray([0, 0, 0.8, 4, 1.7, 1.5, 0, 1, 0, 0], np.float32), (n, 1))
    boxes[:, :2] = places
    attr = np.zeros((n, 3), np.float32)
    attr[:, sense] = 1
    return {"scores": np.asarray(scores, np.float32), "labels": np.full(n, label), "boxes": boxes, "attr": attr}


def test_what_both_see_is_surer_and_stays_where_the_lidar_has_it() -> None:
    lidar = outputs([(30.0, 0.0), (10.0, 5.0)], [0.6, 0.5], 0)
    camera = outputs([(33.0, 0.5), (20.0, -8.0)], [0.8, 0.7], 1)
    found = fused_late(lidar, camera)
    assert found["scores"][0] > 0.6
    np.testing.assert_array_equal(found["boxes"][0], lidar["boxes"][0])
    np.testing.assert_allclose(found["attr"].sum(axis=1), 1, atol=1e-6)
    assert 0 < found["attr"][0, 1] < 0.5
    np.testing.assert_array_equal(found["scores"][1:], np.asarray([0.5, 0.7], np.float32))  # each seen by one alone
    np.testing.assert_array_equal(found["attr"][1:], [[1, 0, 0], [0, 1, 0]])


def test_another_class_or_bearing_is_another_thing() -> None:
    lidar = outputs([(30.0, 0.0)], [0.6], 0)
    for camera in (outputs([(30.0, 0.0)], [0.9], 1, label=2), outputs([(30.0, 4.0)], [0.9], 1)):
        found = fused_late(lidar, camera)
        assert len(found["scores"]) == 2
        assert found["scores"][0] == np.float32(0.6)


def test_an_absent_sense_costs_no_run() -> None:
    present = np.asarray([[1, 1, 1, 1]], np.float32)
    lidar, camera = senses_apart({"present": present})
    assert lidar["present"].tolist() == [[1, 0, 1, 1]]
    assert camera["present"].tolist() == [[0, 1, 0, 0]]
    assert present.all()
    assert len(senses_apart({"present": np.asarray([[0, 1, 0, 0]], np.float32)})) == 1
    assert len(senses_apart({"present": np.asarray([[1, 0, 0, 1]], np.float32)})) == 1
