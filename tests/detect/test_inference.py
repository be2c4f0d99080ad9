"""A model from a set to boxes: what is absent, what is refused, and which provider runs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from detect_samples import constant_model, frame, rig, scan, sensor_set, write_manifest

from fusion_pipeline.detect.inference import Inference
from fusion_pipeline.detect.network import ModelError, Network
from fusion_pipeline.detect.providers import ProviderError
from fusion_pipeline.manifest import ManifestError


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return constant_model(tmp_path_factory.mktemp("model"))


def some_points() -> np.ndarray:
    return np.random.default_rng(0).uniform([1, -20, -1.7], [60, 20, 0], (2000, 3)).astype(np.float32)


def test_a_set_becomes_boxes_with_their_hops_and_shares(model: Path) -> None:
    found = Inference.load(model, rig())(sensor_set(scan(some_points())))
    assert np.allclose(found.boxes.centers_m, [[20, 3, 0.8]])
    assert found.boxes.attribution.tolist() == [[1, 0, 0]]
    assert found.boxes.track_ids.tolist() == [-1]
    assert [hop.stage for hop in found.header.hops] == ["detector/encode", "detector/network", "detector/decode"]
    assert all(a.end_ns == b.start_ns for a, b in zip(found.header.hops, found.header.hops[1:], strict=False))
    assert [source.source for source in found.sources] == ["lidar/top"]
    assert found.missing == ()


def test_a_network_without_its_sensor_is_skipped_and_says_so(model: Path) -> None:
    inference = Inference.load(model, rig())
    found = inference(sensor_set(frame(np.zeros((192, 640, 3), np.uint8))))
    assert len(found.boxes) == 0
    assert found.missing == ("network: skipped, nothing from lidar", "camera/front: not used by this model")
    assert len(inference(sensor_set(scan(some_points()))).boxes) == 1  # and runs again when it is back


def test_a_scan_that_is_not_of_this_rig_or_all_nan_leaves_nothing(model: Path) -> None:
    inference = Inference.load(model, rig())
    strange = inference(sensor_set(scan(some_points(), "lidar/attic")))
    assert strange.missing == ("lidar/attic: not in the rig", "network: skipped, nothing from lidar")
    blind = inference(sensor_set(scan(np.full((100, 3), np.nan, np.float32))))
    assert len(blind.boxes) == 0
    assert blind.missing == ("network: skipped, nothing from lidar",)


@pytest.mark.skipif(Path("/dev/nvidiactl").exists(), reason="there is a GPU here")
def test_cuda_where_there_is_none_is_an_error_with_advice(model: Path) -> None:
    with pytest.raises(ProviderError, match=r"cuda was asked for but does not (run|start).*install.*ask for cpu"):
        Network(model, ("cuda",))
    network = Network(model, ("cuda",), allow_fallback=True)
    assert network.providers == ("CPUExecutionProvider",)
    assert "cuda was asked for but does not" in network.describe()


def test_a_provider_of_another_name_is_answered_with_the_nearest(model: Path) -> None:
    with pytest.raises(ProviderError, match="did you mean 'cuda'"):
        Network(model, ("cudaa",))


def test_what_runs_is_told(model: Path) -> None:
    assert Network(model, threads=2).describe() == "CPUExecutionProvider, 2 threads"


def test_inputs_that_do_not_fit_are_named(model: Path) -> None:
    network = Network(model)
    with pytest.raises(ModelError, match="'lidar_bev' is missing"):
        network({})
    with pytest.raises(ModelError, match=r"'lidar_bev' is float32 \(1, 2\), the network wants float32 \(1, 64"):
        network({"lidar_bev": np.zeros((1, 2), np.float32)})
    good = network.inputs[0].zeros()
    with pytest.raises(ModelError, match="did you mean 'lidar_bev'"):
        network({"lidar_bev": good, "lidar_bew": good})


def test_a_file_that_is_no_model_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "noise.onnx"
    path.write_bytes(b"not a model")
    with pytest.raises(ModelError, match="not a usable ONNX model"):
        Network(path)
    with pytest.raises(ModelError, match="does not exist"):
        Network(tmp_path / "absent.onnx")


def test_a_stage_that_nobody_feeds_is_found_before_the_first_set(tmp_path: Path) -> None:
    path = constant_model(tmp_path)
    write_manifest(path, ('op = "bev_raster"', 'op = "bev_raster"\nout = "raster"'))
    with pytest.raises(ManifestError, match=r"no stage makes 'lidar_bev'.*made: present, raster"):
        Inference.load(path, rig())
