"""Averaged weights to ONNX with its manifest.

python -m fusion_pipeline.train.export RUN/last.pt fusion_pipeline/models/lidar_bev.onnx
"""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path

import onnx
import torch

from fusion_pipeline.train.model import CLASSES, COLS, ROWS, Exported, LidarNet

OUTPUTS = ("scores", "labels", "boxes", "iou", "std", "attr")
INPUTS = ("lidar_bev", "present")


def averaged(checkpoint: Path) -> tuple[LidarNet, int]:
    """The averaged network of a checkpoint, ready to judge, and how many samples it has seen."""
    state = torch.load(checkpoint)
    net = LidarNet()
    net.load_state_dict({k.removeprefix("module."): v for k, v in state["mean"].items() if k.startswith("module.")})
    return net.eval(), int(state["samples"])


def export(net: LidarNet, path: Path) -> None:
    """Write the ONNX file. Raises RuntimeError where an input was dropped or an output misnamed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    raster, present = torch.rand(1, 64, ROWS, COLS), torch.tensor([[1.0, 0, 0, 0]])
    torch.onnx.export(
        Exported(net).eval(), (raster, present), str(path), input_names=list(INPUTS), output_names=list(OUTPUTS),
        opset_version=17, dynamo=False,
    )  # fmt: skip
    graph = onnx.load(str(path)).graph
    names = tuple(v.name for v in graph.input), tuple(v.name for v in graph.output)
    if names != (INPUTS, OUTPUTS):
        raise RuntimeError(f"the exported file has inputs and outputs {names}, wanted {(INPUTS, OUTPUTS)}")


def manifest(path: Path, samples: int) -> str:
    """The manifest of an exported file, as TOML."""
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    classes = ", ".join(f'"{name}"' for name in CLASSES)
    return f"""# LiDAR alone: bird's-eye raster above local ground, one centre-head network, simulated streets only.
schema = 1
name = "lidar-bev"
license = "Apache-2.0"
description = "3-D boxes from a LiDAR, 70 m ahead, 40 m to both sides; trained on {samples} simulated scans"
source = "fusion_pipeline.train, no real data"
classes = [{classes}]

[files.network]
path = "{path.name}"
sha256 = "{digest}"

[[stages]]
op = "bev_raster"

[[stages]]
op = "onnx"

[[stages]]
op = "decode_center"
z = "local_ground"
iou_weight = 0.3
min_score = 0.3

[[stages]]
op = "nms_bev"
iou = 0.2
"""


def main() -> None:
    """The command line: checkpoint, ONNX file."""
    net, samples = averaged(Path(sys.argv[1]))
    path = Path(sys.argv[2])
    export(net, path)
    path.with_suffix(".toml").write_text(manifest(path, samples), encoding="utf-8")


if __name__ == "__main__":
    main()
