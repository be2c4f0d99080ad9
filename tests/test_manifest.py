"""Manifests: what is accepted, and how a mistake is answered."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from onnx import TensorProto, helper

from fusion_pipeline.manifest import SHIPPED, Manifest, ManifestError
from fusion_pipeline.operations import DecodeYolo, LiftToBoxes


def _network() -> bytes:
    """A network that passes a picture on."""
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 3, 32, 64]) for name in ("x", "y"))
    graph = helper.make_graph([helper.make_node("Identity", ["x"], ["y"])], "g", [x], [y])
    return bytes(helper.make_model(graph).SerializeToString())


WEIGHTS = _network()
TEXT = f"""schema = 1
name = "sample"
classes = ["car", "pedestrian"]

[files.network]
path = "sample.onnx"
sha256 = "{hashlib.sha256(WEIGHTS).hexdigest()}"
url = "https://example.org/sample"

[requires]
providers = ["cpu"]

[[stages]]
op = "image_resize"
width = 64
height = 32

[[stages]]
op = "onnx"

[[stages]]
op = "decode_yolo"
layout = "v8"
names = ["person", "auto"]

[stages.class_map]
car = ["auto"]
pedestrian = ["person"]

[[stages]]
op = "nms_2d"

[[stages]]
op = "lift_2d_to_3d"

[stages.sizes]
car = [4, 1.8, 1.5]
pedestrian = [0.7, 0.6, 1.75]
"""


def written(folder: Path, old: str = "", new: str = "") -> Path:
    """The sample and its weights in `folder`, with a piece of the text replaced."""
    assert old in TEXT
    (folder / "sample.onnx").write_bytes(WEIGHTS)
    path = folder / "sample.toml"
    path.write_text(TEXT.replace(old, new) if old else TEXT, encoding="utf-8")
    return path


def test_a_manifest_is_read_whole(tmp_path: Path) -> None:
    manifest = Manifest.load(written(tmp_path))
    assert manifest.classes == ("car", "pedestrian")
    assert manifest.requires.providers == ("cpu",)
    assert Path(manifest.files["network"].path) == (tmp_path / "sample.onnx").resolve()
    decode, lift = manifest.stages[2], manifest.stages[4]
    assert isinstance(decode, DecodeYolo)
    assert decode.class_map == {"car": ("auto",), "pedestrian": ("person",)}
    assert isinstance(lift, LiftToBoxes)
    assert lift.sizes["car"] == (4.0, 1.8, 1.5)
    assert Manifest.beside(tmp_path / "sample.onnx") == manifest


@pytest.mark.parametrize(
    ("old", "new", "answer"),
    [
        ("schema = 1", "schema = 7", "reads schema = 1"),
        ('name = "sample"\n', "", "lacks 'name'"),
        ("classes =", "clases =", "did you mean 'classes'"),
        ("width = 64", "widht = 64", r"stages\[1\] \(image_resize\): key 'widht' is unknown; did you mean 'width'"),
        ("width = 64", 'width = "64"', "width = '64' should be a whole number"),
        ("width = 64", "width = 0", "must be positive"),
        ("height = 32\n", "", "lacks 'height'"),
        ('op = "nms_2d"', 'op = "nms_2b"', r"stages\[4\] op 'nms_2b' is unknown; did you mean 'nms_2d'"),
        ('layout = "v8"', 'layout = "v9"', "known: v8, end2end, yolox, fastestdet"),
        ('["auto"]', '["autos"]', "did you mean 'auto'"),
        ('car = ["auto"]', 'cars = ["auto"]', "did you mean 'car'"),
        ('providers = ["cpu"]', 'providers = ["cuba"]', "did you mean 'cuda'"),
        ('op = "onnx"', 'op = "onnx"\nfile = "netwrk"', "did you mean 'network'"),
        ("car = [4, 1.8, 1.5]", "car = [4, 1.8]", "three positive numbers"),
        ('path = "sample.onnx"', 'path = "other.onnx"', "other.onnx is not in .*get it from https://example.org/sample"),
        ("[requires]", "[requires", "cannot be read"),
    ],
)  # fmt: skip
def test_a_mistake_is_named_with_what_to_write_instead(tmp_path: Path, old: str, new: str, answer: str) -> None:
    path = written(tmp_path, old, new)
    with pytest.raises(ManifestError, match=answer) as caught:
        Manifest.load(path)
    assert "sample.toml" in str(caught.value)


def test_weights_of_another_model_are_refused(tmp_path: Path) -> None:
    path = written(tmp_path)
    (tmp_path / "sample.onnx").write_bytes(b"other weights")
    with pytest.raises(ManifestError, match="the manifest states"):
        Manifest.load(path)


def test_a_model_without_a_manifest_is_told_how_to_get_one(tmp_path: Path) -> None:
    (tmp_path / "lonely.onnx").write_bytes(b"nobody knows me")
    with pytest.raises(ManifestError, match=r"lonely.toml is not beside it and no shipped manifest"):
        Manifest.beside(tmp_path / "lonely.onnx")
    with pytest.raises(ManifestError, match="does not exist"):
        Manifest.beside(tmp_path / "absent.onnx")


@pytest.mark.parametrize("path", sorted(SHIPPED.glob("*.toml")), ids=lambda path: path.stem)
def test_shipped_manifests_are_in_order(path: Path) -> None:
    manifest = Manifest.parse(path)
    assert manifest.license
    if (path.parent / manifest.files["network"].path).is_file():
        Manifest.load(path)
