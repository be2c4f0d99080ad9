"""Shapes and dtypes of what stages make and networks take, compared before anything is loaded."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from detect_samples import rig

from calibration import rig as rig_path
from fusion_pipeline.detect.contract import _Made, model_faults, resolved, unused_topics
from fusion_pipeline.encode.audio import AZIMUTHS, BANDS, STEPS
from fusion_pipeline.encode.grid import BevGrid
from fusion_pipeline.encode.image import prepare
from fusion_pipeline.encode.lookup import rig_tables
from fusion_pipeline.encode.points import BevRaster
from fusion_pipeline.manifest import SHIPPED, Manifest, ManifestError, sha256_of
from fusion_pipeline.onnxfile import OnnxFileError, read_onnx
from fusion_pipeline.operations import BevRasterize, ImageResize, Lookup, OperationError, Srp
from fusion_pipeline.rig import Rig


def test_the_shapes_are_those_of_the_encoders() -> None:
    made = _Made(Rig.load(rig_path("two_lidars")))
    for stage in (BevRasterize(), Srp(), Lookup(cameras=2), ImageResize(64, 32, stack=True, cameras=2)):
        assert list(made.take(stage)) == []
    shapes = {name: tensor.shape for name, tensor in made.tensors.items()}
    for name, table in rig_tables(made.rig, BevGrid(), 2).items():
        assert (shapes[name], made.tensors[name].dtype) == (table.shape, table.dtype.name)
    raster = BevRaster(BevGrid())(np.zeros((1, 3), np.float32), np.zeros(1, np.float32))
    assert shapes["lidar_bev"] == raster.shape
    assert shapes["audio_srp"] == (1, BANDS, STEPS, AZIMUTHS)
    assert shapes["image"] == (2, 3, 32, 64)


@pytest.mark.parametrize("name", ["fusion_base", "fusion_nano_int8", "fusion_surround", "lidar_bev"])
def test_the_shipped_networks_fit_their_manifests(name: str) -> None:
    manifest = Manifest.load(SHIPPED / f"{name}.toml")
    assert list(model_faults(manifest, Rig.load(rig_path("demo")))) == []


def test_a_network_of_another_shape_is_named() -> None:
    manifest = Manifest.load(SHIPPED / "fusion_base.toml")
    smaller = [replace(s, width=320) if isinstance(s, ImageResize) else s for s in manifest.stages]
    (fault,) = model_faults(replace(manifest, stages=tuple(smaller)), Rig.load(rig_path("demo")))
    assert "'image' wants float32 (1, 3, 192, 640), the stages before make float32 (1, 3, 192, 320)" in fault
    without = [s for s in manifest.stages if not isinstance(s, Srp)]
    found = list(model_faults(replace(manifest, stages=tuple(without)), Rig.load(rig_path("demo"))))
    assert any("no stage makes 'audio_srp'" in fault for fault in found)


def test_sensors_that_a_model_does_not_use() -> None:
    manifest = Manifest.load(SHIPPED / "fusion_base.toml")
    assert unused_topics(manifest, Rig.load(rig_path("two_lidars"))) == ("camera/left", "camera/right")
    assert unused_topics(Manifest.load(SHIPPED / "lidar_bev.toml"), rig()) == ("camera/front",)


def test_pictures_in_other_dtypes_and_layouts() -> None:
    picture = np.random.default_rng(0).integers(0, 256, (48, 64, 3), np.uint8)
    plain, _ = prepare(picture, ImageResize(32, 24))
    last, _ = prepare(picture, ImageResize(32, 24, layout="nhwc"))
    half, _ = prepare(picture, ImageResize(32, 24, dtype="float16"))
    whole, _ = prepare(picture, ImageResize(32, 24, scale=1.0, dtype="uint8"))
    assert np.array_equal(last.transpose(2, 0, 1), plain)
    assert half.dtype == np.float16
    assert np.allclose(half, plain, atol=1e-3)
    assert whole.dtype == np.uint8
    assert np.allclose(whole / 255, plain, atol=1e-6)
    with pytest.raises(OperationError, match=r"scale = 1\.0"):
        ImageResize(32, 24, dtype="uint8")


@pytest.mark.parametrize("name", ["fp16", "fp16_in_only", "uint8", "nhwc", "dynamic", "plain"])
def test_exports_of_other_kinds_fit(data_root: Path, name: str) -> None:
    manifest = Manifest.load(models(data_root) / f"{name}.toml")
    assert list(model_faults(manifest, rig())) == []
    (stage,) = [s for s in resolved(manifest).stages if isinstance(s, ImageResize)]
    assert stage.dtype == {"fp16": "float16", "fp16_in_only": "float16", "uint8": "uint8"}.get(name, "float32")
    assert stage.layout == ("nhwc" if name == "nhwc" else "nchw")


@pytest.mark.parametrize("name", ["transposed", "other_size", "yolov5_layout"])
def test_exports_of_another_shape_are_named(data_root: Path, name: str) -> None:
    assert len(list(model_faults(Manifest.load(models(data_root) / f"{name}.toml"), rig()))) == 1


def test_weights_beside_a_network_are_under_the_checksum(data_root: Path, tmp_path: Path) -> None:
    for name in ("external.onnx", "external.onnx.data", "external.toml"):
        shutil.copyfile(models(data_root) / name, tmp_path / name)
    manifest, weights = tmp_path / "external.toml", tmp_path / "external.onnx.data"
    with pytest.raises(ManifestError, match="no sha256 is stated"):
        Manifest.load(manifest)
    stated = f'[files.weights]\npath = "{weights.name}"\nsha256 = "{sha256_of(weights)}"\n\n'
    manifest.write_text(manifest.read_text().replace("[[stages]]", stated + "[[stages]]", 1))
    assert Manifest.load(manifest).networks.keys() == {"network"}
    weights.write_bytes(bytes(weights.stat().st_size))
    with pytest.raises(ManifestError, match="has the sha256"):
        Manifest.load(manifest)
    weights.unlink()
    with pytest.raises(ManifestError, match=r"external\.onnx\.data is not in"):
        Manifest.load(manifest)


@pytest.mark.parametrize("location", ["../w.data", "/etc/w.data", "a/../../w.data", "c:\\w.data", "..\\w.data"])
def test_weights_outside_the_networks_folder_are_refused(tmp_path: Path, location: str) -> None:
    def part(number: int, data: bytes) -> bytes:
        return bytes([number << 3 | 2, len(data)]) + data

    entry = part(13, part(1, b"location") + part(2, location.encode()))
    graph = part(5, part(8, b"w") + entry + bytes([14 << 3, 1]))
    path = tmp_path / "m.onnx"
    path.write_bytes(bytes([1 << 3, 8]) + part(7, graph))
    with pytest.raises(OnnxFileError, match="in or below its own folder"):
        read_onnx(path)


@pytest.mark.parametrize("data", [b"", b"\x00" * 64, b"PK\x03\x04" * 20, b"\xff" * 300, b"\x3a\x05abc"])
def test_what_is_no_network_is_refused(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "m.onnx"
    path.write_bytes(data)
    with pytest.raises(OnnxFileError):
        read_onnx(path)


def models(data_root: Path) -> Path:
    folder = data_root.parent / "cases" / "logs" / "k30_models"
    if not folder.is_dir():
        pytest.skip("the example networks are not here")
    return folder
