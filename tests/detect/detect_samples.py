"""Manifests, tiny ONNX files and scenes for the tests of detection."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np

from fusion_pipeline.arrays import Array
from fusion_pipeline.geometry.camera import CameraModel
from fusion_pipeline.geometry.pose import Pose
from fusion_pipeline.messages import CameraFrame, Header, LidarScan, SensorSet
from fusion_pipeline.rig import CameraMount, LidarMount, Rig

CLASSES = ("car", "truck", "pedestrian", "two-wheeler", "other")
OPTICAL = np.array([[0.0, 0, 1], [-1, 0, 0], [0, -1, 0]])  # x right, y down, z forward, seen in the vehicle


def camera_mount(width: int = 640, height: int = 192, focal: float = 400.0) -> CameraMount:
    """A camera that looks ahead from 1.6 m above the ground."""
    matrix = np.array([[focal, 0, width / 2], [0, focal, height / 2], [0, 0, 1]])
    return CameraMount(
        Pose(OPTICAL, np.array([0.0, 0, 1.6])), CameraModel("pinhole", width, height, matrix, np.zeros(0))
    )


def rig() -> Rig:
    """A LiDAR 1.73 m above the ground and one camera."""
    lidar = LidarMount(Pose(np.eye(3), np.array([0.0, 0, 1.73])))
    return Rig("sample", {"lidar/top": lidar}, {"camera/front": camera_mount()}, {})


def scan(xyz: Array, source: str = "lidar/top") -> LidarScan:
    """A scan of these points, in the sensor's frame."""
    n = len(xyz)
    ring, offset = np.zeros(n, np.uint16), np.zeros(n, np.int32)
    half = np.full(n, 0.5, np.float32)
    return LidarScan(Header(source, 10**18, 10**18), 0, np.asarray(xyz, np.float32), half, ring, offset)


def frame(pixels: Array, source: str = "camera/front") -> CameraFrame:
    """A raw picture of these pixels."""
    return CameraFrame(Header(source, 10**18, 10**18), "bgr8", *pixels.shape[:2], pixels)


def sensor_set(*parts: LidarScan | CameraFrame) -> SensorSet:
    """A set of what is given."""
    return SensorSet(
        Header("set", 10**18, 10**18),
        lidars=tuple(part for part in parts if isinstance(part, LidarScan)),
        cameras=tuple(part for part in parts if isinstance(part, CameraFrame)),
    )


def constant_model(folder: Path) -> Path:
    """A network and its manifest: it finds one car at (20, 3) whatever raster it is given."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    outputs = {
        "scores": np.array([0.9], np.float32),
        "labels": np.array([0], np.int64),
        "boxes": np.array([[20, 3, 0.8, 4, 1.8, 1.5, 0, 1, 0, 0]], np.float32),
    }
    # Each output is its constant plus 0 times a mean of the input, so that the input is truly read.
    nodes = [helper.make_node("ReduceMean", ["lidar_bev"], ["mean"], keepdims=0)]
    nodes.append(helper.make_node("Mul", ["mean", "nought"], ["zero"]))
    weights = [numpy_helper.from_array(np.float32(0), "nought")]
    infos = []
    for name, value in outputs.items():
        kind = TensorProto.INT64 if value.dtype == np.int64 else TensorProto.FLOAT
        weights.append(numpy_helper.from_array(value, f"{name}_value"))
        nodes.append(helper.make_node("Cast", ["zero"], [f"{name}_zero"], to=kind))
        nodes.append(helper.make_node("Add", [f"{name}_value", f"{name}_zero"], [name]))
        infos.append(helper.make_tensor_value_info(name, kind, value.shape))
    given = helper.make_tensor_value_info("lidar_bev", TensorProto.FLOAT, [1, 64, 176, 200])
    graph = helper.make_graph(nodes, "constant", [given], infos, weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    path = folder / "constant.onnx"
    onnx.save(model, str(path))
    write_manifest(path)
    return path


def write_manifest(model: Path, replacing: tuple[str, str] = ("", "")) -> Path:
    """The manifest of `constant_model`, with a piece of its text replaced."""
    digest = hashlib.sha256(model.read_bytes()).hexdigest()
    text = f"""schema = 1
name = "constant"
classes = {list(CLASSES)}

[files.network]
path = "{model.name}"
sha256 = "{digest}"

[[stages]]
op = "bev_raster"

[[stages]]
op = "onnx"

[[stages]]
op = "decode_center"
z = "vehicle"

[[stages]]
op = "nms_bev"
iou = 0.2
"""
    path = model.with_suffix(".toml")
    path.write_text(text.replace(*replacing) if replacing[0] else text, encoding="utf-8")
    return path
