"""A short training leaves what it promises and goes on from there; the export has the inputs and outputs it names."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from training_samples import RIDE, STREET, sample

torch = pytest.importorskip("torch")
onnx = pytest.importorskip("onnx")

from fusion_pipeline.train import loop  # noqa: E402
from fusion_pipeline.train.cache import save  # noqa: E402
from fusion_pipeline.train.export import INPUTS, OUTPUTS, averaged, export, manifest  # noqa: E402
from fusion_pipeline.train.fit import batches, fit  # noqa: E402
from fusion_pipeline.train.loop import Schedule  # noqa: E402
from fusion_pipeline.train.losses import heat_loss  # noqa: E402
from fusion_pipeline.train.model import CLASSES, LidarNet  # noqa: E402

SHORT = Schedule(seconds=42.0, batch=4, crop=(32, 32))


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four files of two scans."""
    folder = tmp_path_factory.mktemp("cache")
    for number, seed in enumerate((STREET, RIDE, STREET, RIDE)):
        save(sample(seed), folder / f"{number:07d}.npz")
    return folder


@pytest.fixture(scope="module", autouse=True)
def counted() -> Iterator[None]:
    """Training by a clock on which each look takes a second: so many steps on any machine. One thread: others may
    have the cores, and a thread that waits for another one's core makes small steps very long.
    """
    ticks, threads = count(), torch.get_num_threads()
    torch.set_num_threads(1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop, "time", SimpleNamespace(monotonic=lambda: float(next(ticks))))
        patch.setattr(torch, "set_num_threads", lambda _: None)
        yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def run(cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of 22 steps."""
    folder = tmp_path_factory.mktemp("run")
    fit(cache, folder, SHORT)
    return folder


def test_a_run_leaves_its_state_and_curve(run: Path) -> None:
    assert sorted(path.name for path in run.iterdir()) == ["curve.csv", "last.pt"]
    steps, samples, share, heat, box = (float(cell) for cell in (run / "curve.csv").read_text().split(","))
    assert (steps, samples) == (20, 80)
    assert 0.9 < share <= 1.0
    assert 0 < heat < 1000
    assert 0 < box < 1000
    state = torch.load(run / "last.pt")
    assert state["steps"] == 22
    assert state["samples"] == 88
    assert set(state) == {"net", "mean", "optimizer", "spent", "steps", "samples"}


def test_it_goes_on_from_there(run: Path, cache: Path, tmp_path: Path) -> None:
    (tmp_path / "last.pt").write_bytes((run / "last.pt").read_bytes())
    before = torch.load(run / "last.pt")
    fit(cache, tmp_path, Schedule(seconds=5.0, batch=4, crop=(32, 32)))
    after = torch.load(tmp_path / "last.pt")
    assert before["steps"] < after["steps"] <= before["steps"] + 5
    assert after["spent"] > before["spent"]
    moved = [float((after["net"][k] - v).abs().max()) for k, v in before["net"].items() if v.is_floating_point()]
    assert 0 < max(moved) < 1.0


def test_the_learning_rate_rises_and_falls() -> None:
    rates = [SHORT.rate_at(share) for share in (0.0, 0.05, 0.1, 0.5, 0.9, 1.0, 1.5)]
    assert rates[0] == pytest.approx(0.1 * SHORT.rate)
    assert max(rates) == rates[2] == pytest.approx(SHORT.rate)
    assert rates[2:6] == sorted(rates[2:6], reverse=True)
    assert rates[-1] == rates[-2] == pytest.approx(0.005 * SHORT.rate)


def test_batches_are_windows_with_their_truth_at_its_place(cache: Path) -> None:
    batch = next(batches(cache, Schedule(1.0, batch=4, crop=(64, 96))))
    assert batch["raster"].shape == (4, 64, 64, 96)
    assert batch["heat"].shape == (4, len(CLASSES), 64, 96)
    assert batch["weight"].shape == (4, 64, 96)
    truth = batch["truth"].numpy()
    assert truth.shape[1] == 15
    assert len(truth) > 0
    item, row, col = truth[:, :3].astype(int).T
    labels = truth[:, 5].astype(int)
    assert (batch["heat"].numpy()[item, labels, row, col] == 1.0).all()
    np.testing.assert_allclose(truth[:, 6] / 0.4 - truth[:, 3] - 0.5, 0.0, atol=0.501)


def test_heat_loss_is_small_where_the_map_is_right() -> None:
    heat = torch.zeros(1, 5, 8, 8)
    heat[0, 1, 3, 4] = 1.0
    weight = torch.ones(1, 8, 8)
    right = torch.where(heat == 1, 8.0, -8.0)
    assert float(heat_loss(right, heat, weight)) < 1e-3
    assert float(heat_loss(-right, heat, weight)) > 10
    assert float(heat_loss(-right, heat, 0 * weight)) == 0.0


def test_the_export_has_the_inputs_and_outputs_it_names(run: Path, tmp_path: Path) -> None:
    net, samples = averaged(run / "last.pt")
    assert samples == 88
    assert not net.training
    path = tmp_path / "folder" / "net.onnx"
    export(net, path)
    graph = onnx.load(str(path)).graph
    assert tuple(value.name for value in graph.input) == INPUTS
    assert tuple(value.name for value in graph.output) == OUTPUTS
    table = tomllib.loads(manifest(path, samples))
    assert table["files"]["network"]["path"] == "net.onnx"
    assert len(table["files"]["network"]["sha256"]) == 64
    assert table["classes"] == list(CLASSES)
    assert "88 simulated scans" in table["description"]


def test_the_network_itself_has_the_shapes_it_states() -> None:
    net = LidarNet().eval()
    with torch.no_grad():
        logits, trunk, coarse = net.features(torch.rand(2, 64, 32, 40))
        raw = net.regress(trunk, coarse, torch.tensor([1]), torch.tensor([3]), torch.tensor([5]))
        boxes = net.decode(raw, torch.tensor([3]), torch.tensor([5]), torch.tensor([0]))
    assert logits.shape == (2, 5, 32, 40)
    assert trunk.shape == (2, 48, 32, 40)
    assert coarse.shape == (2, 64, 16, 20)
    assert boxes.shape == (1, 10)
    assert float(boxes[0, 6] ** 2 + boxes[0, 7] ** 2) == pytest.approx(1.0, abs=1e-3)
