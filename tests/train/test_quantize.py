"""In whole numbers of 8 bits the shipped network finds what it finds in floating point; the command writes both."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")
onnx = pytest.importorskip("onnx")

from fusion_pipeline.cli.errors import UserError  # noqa: E402
from fusion_pipeline.cli.train import export  # noqa: E402
from fusion_pipeline.manifest import Manifest  # noqa: E402
from fusion_pipeline.train import calibrate, quantize  # noqa: E402
from fusion_pipeline.train.around import turned  # noqa: E402
from fusion_pipeline.train.judge import Judge  # noqa: E402
from fusion_pipeline.train.rides import render  # noqa: E402
from fusion_pipeline.train.weights import SHIPPED_WEIGHTS  # noqa: E402

FEW = 2


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `fusion export WEIGHTS fusion.onnx --int8 FOLDER` leaves."""
    folder = tmp_path_factory.mktemp("int8")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(quantize, "MOMENTS", FEW)
        export(SHIPPED_WEIGHTS, folder / "fusion.onnx", int8=folder / "rides")
    return folder


def test_it_finds_the_same(folder: Path) -> None:
    moment = render(calibrate.FIRST_SEED + 1000)
    exact, whole = (Judge(folder / name, 1)(moment) for name in ("fusion.onnx", "fusion_int8.onnx"))
    sure = exact.scores > 0.5
    assert sure.sum() >= 3
    away = np.linalg.norm(exact.boxes[sure, None, :2] - whole.boxes[None, :, :2], axis=2)
    nearest = away.argmin(axis=1)
    assert np.median(away.min(axis=1)) < 0.05
    assert away.min(axis=1).max() < 1.0
    assert (whole.labels[nearest] == exact.labels[sure]).all()
    assert np.abs(whole.scores[nearest] - exact.scores[sure]).max() < 0.15


def test_most_of_it_is_in_whole_numbers_and_what_must_be_exact_is_not(folder: Path) -> None:
    model = onnx.load(str(folder / "fusion_int8.onnx"))
    made_by = {name: node.op_type for node in model.graph.node for name in node.output}
    convolutions = [node for node in model.graph.node if node.op_type == "Conv"]
    exact = [node.name for node in convolutions if made_by.get(node.input[0]) != "DequantizeLinear"]
    assert len(exact) < len(convolutions) / 4
    assert all(name.startswith(quantize.EXACT) for name in exact)
    weights = [onnx.numpy_helper.to_array(w) for w in model.graph.initializer if w.name.endswith("_quantized")]
    assert max(np.abs(w.astype(int)).max() for w in weights if w.dtype == np.int8) <= 64, "sums of two must fit"
    assert (folder / "fusion_int8.onnx").stat().st_size < 0.6 * (folder / "fusion.onnx").stat().st_size


def test_an_absent_sense_is_left_out_in_whole_numbers(folder: Path) -> None:
    graph = onnx.load(str(folder / "fusion_int8.onnx")).graph
    made_by = {name: node.op_type for node in graph.node for name in node.output}
    whole = [node for node in graph.node if {made_by.get(name) for name in node.input} == {"DequantizeLinear"}]
    assert sum(node.op_type == "Mul" for node in whole) == 3  # LiDAR at both resolutions, and the camera
    assert sum(node.op_type == "Add" for node in whole) > 10


def test_what_is_repeated_or_read_is_copied_by_rows(folder: Path) -> None:
    graph = onnx.load(str(folder / "fusion_int8.onnx")).graph
    resized = [node.name for node in graph.node if node.op_type == "Resize"]
    assert resized == ["/camera/ground/Resize"]  # linear
    made_by = {name: node for node in graph.node for name in node.output}
    columns = [node for node in graph.node if node.op_type == "Gather" and node.attribute[0].i == 1]
    maps = [made_by[node.input[0]] for node in columns if node.input[0] in made_by]
    assert not [flat for flat in maps if flat.op_type == "Reshape"
                and made_by[flat.input[0]].op_type == "DequantizeLinear"]  # fmt: skip


def test_its_manifest_says_that_it_is_for_the_cpu(folder: Path) -> None:
    whole, exact = (Manifest.beside(folder / name) for name in ("fusion_int8.onnx", "fusion.onnx"))
    assert whole.requires.providers == ("cpu",)
    assert whole.name == f"{exact.name}-int8"
    assert whole.stages == exact.stages


def test_moments_all_round_are_of_four_cameras(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="--cameras 4"):
        export(SHIPPED_WEIGHTS, tmp_path / "out.onnx", int8=tmp_path, all_round=True)
    assert not list(tmp_path.iterdir())


def test_all_round_ranges_are_taken_from_moments_all_round(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quantize, "MOMENTS", 1)
    export(SHIPPED_WEIGHTS, tmp_path / "out.onnx", int8=tmp_path / "rides", all_round=True, cameras=4)
    moment = turned(render(calibrate.FIRST_SEED, around=True), 1)
    exact, whole = (Judge(tmp_path / name, 1)(moment) for name in ("out.onnx", "out_int8.onnx"))
    sure = exact.scores > 0.5
    assert sure.any()
    away = np.linalg.norm(exact.boxes[sure, None, :2] - whole.boxes[None, :, :2], axis=2)
    assert np.median(away.min(axis=1)) < 0.1
