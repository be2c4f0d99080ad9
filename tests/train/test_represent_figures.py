"""The figures of search: right vectors give full marks, any others what chance gives, and detections are matched."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from fusion_pipeline.arrays import Array
from fusion_pipeline.train import represent_figures
from fusion_pipeline.train.captions import FACTS
from fusion_pipeline.train.represent_figures import AMONG, Known, count_of, figures
from fusion_pipeline.train.rides import Ride, render

NAMES = ("lidar_bev", "image", "cam_lut", "audio_srp", "present")


class Oracle:
    """A network whose detections are the lesson's own truth, each with a vector of its size; or it lacks vectors."""

    lacking = False
    calls = 0

    def __init__(self, *_: object, **__: object) -> None:
        names = ("scores",) if self.lacking else ("scores", "scene_emb", "obj_emb")
        self.outputs = tuple(SimpleNamespace(name=name) for name in names)
        self.inputs = tuple(SimpleNamespace(name=name) for name in NAMES)

    def __call__(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        assert set(inputs) == set(NAMES)
        type(self).calls += 1
        rng = np.random.default_rng(int(np.abs(inputs["audio_srp"]).sum() * 100))
        vector = rng.normal(0, 1, 64).astype(np.float32)
        boxes, labels = Oracle.told
        return {"scores": np.full(len(boxes), 0.9, np.float32), "labels": labels, "boxes": boxes,
                "scene_emb": np.stack([vector / np.linalg.norm(vector)] * 3),
                "obj_emb": _direction(boxes[:, 3:6])}  # fmt: skip

    told: tuple[Array, Array] = (np.zeros((0, 10)), np.zeros(0))


def _direction(sizes: Array) -> Array:
    """(M, 16) of length 1: proportions, which scaling leaves alone."""
    share = np.log(sizes / sizes[:, :1])[:, 1:] * 3
    vectors = np.concatenate(
        [np.cos(share * k) for k in range(1, 5)] + [np.sin(share * k) for k in range(1, 5)], axis=1
    )
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


class Reader:
    """A text encoder that knows nothing: every text has a vector of its own."""

    def __init__(self, *_: object) -> None:
        pass

    def many(self, texts: list[str]) -> Array:
        return np.random.default_rng(len(texts[0])).normal(0, 1, (len(texts), 64)).astype(np.float32)


@pytest.fixture
def moments(monkeypatch: pytest.MonkeyPatch) -> list[Ride]:
    plain = represent_figures.lesson

    def told(*arguments: object) -> object:
        item = plain(*arguments)  # type: ignore[arg-type]
        Oracle.told = (np.column_stack([item.target.boxes[:, :9], item.target.boxes[:, :1]]), item.target.labels)
        return item

    monkeypatch.setattr(represent_figures, "lesson", told)
    monkeypatch.setattr(represent_figures, "Network", Oracle)
    monkeypatch.setattr(represent_figures, "TextEncoder", Reader)
    monkeypatch.setattr(Oracle, "lacking", False)
    return [render(2_950_002), render(2_950_007)]


def test_every_figure_has_chance_beside_it(moments: list[Ride]) -> None:
    steps: list[int] = []
    rows = figures(Path("net.onnx"), Path("text.onnx"), moments, steps.append)
    assert sum(steps) == count_of(len(moments)) == 4
    assert [row.baseline_name for row in rows] == ["chance"] * 6
    found = {row.what: row for row in rows}
    picture = found["a picture finds its LiDAR scan, recall@5"]
    assert picture.value == 100 and picture.baseline == 100  # noqa: PT018 # among five of two all are found
    assert f"@{AMONG[0]} 100 (chance 50.0)" in picture.note


def test_a_network_without_vectors_has_no_figures(moments: list[Ride], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Oracle, "lacking", True)
    assert figures(Path("net.onnx"), Path("text.onnx"), moments) == ()


def test_things_are_matched_to_detections_by_number(moments: list[Ride]) -> None:
    known = represent_figures._known(Path("net.onnx"), moments, lambda n: None, 1)
    assert isinstance(known, Known)
    assert known.scenes.shape == (2, 3, 64)
    assert len(known.labels) == len(known.first) == len(known.again) > 3
    np.testing.assert_allclose(known.first, known.again, atol=1e-3)  # the same thing has the same proportions
    rows = list(represent_figures._again(known))
    assert rows[0].value > 95
    assert rows[0].baseline is not None and rows[0].baseline < 80  # noqa: PT018


def test_facts_are_those_of_the_ride(moments: list[Ride]) -> None:
    truth = represent_figures.facts_of(moments[0])
    assert truth.shape == (len(FACTS),)
    assert truth.any()
