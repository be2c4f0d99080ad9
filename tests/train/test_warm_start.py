"""Weights of the shipped network back into one that can be trained on: it answers as it did."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from training_samples import RIDE, STREET, sample

torch = pytest.importorskip("torch")
onnx = pytest.importorskip("onnx")

import onnxruntime  # noqa: E402

from fusion_pipeline.arrays import Floats  # noqa: E402
from fusion_pipeline.encode.points import BevRaster  # noqa: E402
from fusion_pipeline.train.data import target  # noqa: E402
from fusion_pipeline.train.model import Exported, LidarNet  # noqa: E402
from fusion_pipeline.train.warm import warm_start  # noqa: E402


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """Others may have the cores."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def shipped(repo_root: Path) -> Path:
    return repo_root / "fusion_pipeline" / "models" / "lidar_bev.onnx"


@pytest.fixture(scope="module")
def rasters() -> Floats:
    """(2, 64, 176, 200) of a street and of a ride."""
    raster = BevRaster()
    return np.stack([target(sample(seed), raster).raster for seed in (STREET, RIDE)])


@pytest.fixture(scope="module")
def warm(shipped: Path, rasters: Floats) -> LidarNet:
    torch.manual_seed(1)
    net = LidarNet()
    warm_start(net, shipped, torch.from_numpy(rasters))
    return net


def test_it_answers_like_the_file(warm: LidarNet, shipped: Path, rasters: Floats) -> None:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(shipped), options, providers=["CPUExecutionProvider"])
    exported = Exported(warm).eval()
    for raster in rasters[:, None]:
        expected = session.run(None, {"lidar_bev": raster, "present": np.float32([[1, 0, 0, 0]])})
        with torch.no_grad():
            answers = exported(torch.from_numpy(raster), torch.tensor([[1.0, 0, 0, 0]]))
        assert (expected[0] > 0.3).sum() >= 5
        for wanted, answer in zip(expected, answers, strict=True):
            np.testing.assert_allclose(answer.numpy(), wanted, atol=1e-3)


def test_it_answers_the_same_while_training_on_that_batch(warm: LidarNet, rasters: Floats) -> None:
    batch = torch.from_numpy(rasters)
    state = {name: value.clone() for name, value in warm.state_dict().items()}
    with torch.no_grad():
        judged = warm.eval().features(batch)
        trained = warm.train().features(batch)
    for a, b in zip(judged, trained, strict=True):
        np.testing.assert_allclose(a.numpy(), b.numpy(), atol=2e-3)
    warm.load_state_dict(state)


def test_it_is_left_ready_to_train(shipped: Path, rasters: Floats) -> None:
    net = LidarNet()
    warm_start(net, shipped, torch.from_numpy(rasters[:, :, :32, :32].copy()))
    assert net.training
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in net.modules())
    net.features(torch.from_numpy(rasters[:1, :, :32, :32].copy()))[0].sum().backward()
    gradients = [parameter.grad for name, parameter in net.named_parameters() if not name.startswith("box.")]
    assert all(gradient is not None and torch.isfinite(gradient).all() for gradient in gradients)


def test_another_network_is_refused(shipped: Path, rasters: Floats, tmp_path: Path) -> None:
    batch = torch.from_numpy(rasters[:1, :, :32, :32].copy())
    fewer, other = onnx.load(str(shipped)), onnx.load(str(shipped))
    first = next(node for node in fewer.graph.node if node.op_type == "Conv")
    fewer.graph.node.remove(first)
    onnx.save(fewer, str(tmp_path / "fewer.onnx"))
    with pytest.raises(ValueError, match=r"fewer\.onnx has \d+ folded convolutions, this network \d+"):
        warm_start(LidarNet(), tmp_path / "fewer.onnx", batch)
    weight = next(item for item in other.graph.initializer if item.name == first.input[1])
    wide = np.zeros((32, 48, 1, 1), np.float32)
    weight.CopyFrom(onnx.numpy_helper.from_array(wide, weight.name))
    onnx.save(other, str(tmp_path / "other.onnx"))
    with pytest.raises(ValueError, match=r"other\.onnx: .* is \(32, 48, 1, 1\), not \(32, 64, 1, 1\)"):
        warm_start(LidarNet(), tmp_path / "other.onnx", batch)
