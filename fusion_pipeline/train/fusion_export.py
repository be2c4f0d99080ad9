"""The averaged fusion network to one ONNX file with its manifest.

python -m fusion_pipeline.train.fusion_export RUN/last.pt fusion_pipeline/models/fusion_base.onnx
"""

from __future__ import annotations

import hashlib
import sys
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import torch
from torch import Tensor, nn
from torch.nn import functional

from fusion_pipeline.encode.grid import FRONT, BevGrid
from fusion_pipeline.encode.lookup import DEPTHS, RAY, UNSEEN
from fusion_pipeline.train.fusion import FusionNet, Seen, whole_place
from fusion_pipeline.train.model import CLASSES, PEAKS
from fusion_pipeline.train.motion import driven, rest_unknown
from fusion_pipeline.train.stored import restored
from fusion_pipeline.world.sources import LABELS

INPUTS = ("lidar_bev", "image", "cam_lut", "cam_bin", "cam_rays", "audio_srp", "audio_level", "aud_lut", "aud_geo",
          "aud_dir",
          "present")  # fmt: skip
ASKED = ("aud_dir",)  # what only attention reads
OUTPUTS = ("scores", "labels", "boxes", "iou", "std", "attr", "obj_emb", "audio_events", "cam_seg", "scene_emb")


IOU_WEIGHT = 0.3
NO_PEAK = -30.0  # logit of a part of the heat map that has a higher one beside it
SIREN_SCORE = 0.25  # nine of ten announced are there on drives that no figure is made of


@dataclass(frozen=True, slots=True)
class Calibration:
    """What makes scores chances and sigmas errors; `train/calibrate.py` finds it on moments of its own.

    A score is sigmoid(slope * logit(s) + shift) of s = heat^0.7 iou^0.3; sigmas are multiplied by `sigmas`. Without a
    LiDAR all of them are others, those of `blind`.
    """

    slope: float = 1.0
    shift: float = 0.0
    sigmas: tuple[float, ...] = (1.0,) * 8
    blind: Calibration | None = None

    def rows(self) -> Tensor:
        """(2, 10) slope, shift and sigmas: with a LiDAR, and without."""
        both = self, self.blind or self
        return torch.tensor([[one.slope, one.shift, *one.sigmas] for one in both])


@dataclass(frozen=True, slots=True)
class Form:
    """Of an exported file: what it looks at. The weights are the same for all."""

    grid: BevGrid = FRONT
    cameras: int = 1


class ExportedFusion(nn.Module):
    """What the ONNX file holds: tensors of one moment to 128 detections."""

    def __init__(self, net: FusionNet, calibration: Calibration = Calibration(), form: Form = Form()) -> None:
        super().__init__()
        self.net, self.form = net, form
        self.register_buffer("calibrations", calibration.rows())
        self.register_buffer("place", whole_place(form.grid))

    def forward(
        self, lidar_bev: Tensor, image: Tensor, cam_lut: Tensor, cam_bin: Tensor, cam_rays: Tensor, audio_srp: Tensor,
        audio_level: Tensor, aud_lut: Tensor, aud_geo: Tensor, aud_dir: Tensor, present: Tensor,
    ) -> tuple[Tensor, ...]:  # fmt: skip
        """See OUTPUTS and PERCEPTION's table: (128,), (128,), (128, 10), (128,), (128, 8), (128, 3), (128, 16), ..."""
        net = self.net
        seen = Seen(
            lidar_bev, image, cam_lut[None], cam_bin[None], cam_rays, audio_srp, audio_level, aud_lut[None],
            aud_geo[None], aud_dir,
            present.clamp(0.0, 1.0), self.place,
        )  # fmt: skip
        felt = net.feel(seen)
        logits, trunk, coarse, gates = net.meet(felt, seen)
        peaks = torch.where(functional.max_pool2d(logits, 3, 1, 1) == logits, logits, logits.new_tensor(NO_PEAK))
        heights, index = torch.topk(peaks.reshape(-1), PEAKS)
        scores = torch.sigmoid(heights)
        grid = self.form.grid
        rows, cols = grid.shape
        labels = torch.div(index, rows * cols, rounding_mode="trunc")
        cell = index - labels * (rows * cols)
        row = torch.div(cell, cols, rounding_mode="trunc")
        col = cell - row * cols
        half = torch.div(row, 2, rounding_mode="trunc") * (cols // 2) + torch.div(col, 2, rounding_mode="trunc")
        near = trunk.reshape(net.size.trunk, rows * cols).index_select(1, cell)
        far = coarse.reshape(net.size.coarse, rows * cols // 4).index_select(1, half)
        both = torch.cat([near, far], 0).transpose(0, 1)
        raw = net.lidar.box(both)
        boxes = net.lidar.decode(raw, row, col, labels, (grid.x_m[0], grid.y_m[0]))
        std = torch.exp(raw[:, 11:19].clamp(-5, 3))
        timed = net.size.timed
        moves = net.motion(lidar_bev, torch.zeros_like(row[:timed]), row[:timed], col[:timed])
        boxes, std = driven(boxes, std, rest_unknown(moves, PEAKS), seen.present[0, 3:4])
        width = net.size.coarse
        evidence = torch.stack([part.reshape(width, -1).index_select(1, half) for part in felt.grids]).permute(2, 0, 1)
        shares = net.shares(evidence, gates.reshape(3, -1).index_select(1, half).transpose(0, 1),
                            seen.present[:, :3].expand(PEAKS, 3))  # fmt: skip
        embedding = functional.normalize(net.embed(both), dim=1)
        iou = torch.sigmoid(raw[:, 10])
        sure = (scores.clamp(1e-6, 1 - 1e-6) ** (1 - IOU_WEIGHT) * iou**IOU_WEIGHT).clamp(1e-6, 1 - 1e-6)
        lidar = seen.present[0, 0]
        calibration = self.calibrations[0] * lidar + self.calibrations[1] * (1.0 - lidar)
        odds = torch.log(sure / (1 - sure)) * calibration[0] + calibration[1]
        any_sense = seen.present[:, :3].amax(1)
        return (
            torch.sigmoid(odds) * any_sense * (scores > 1e-4).float(), labels, boxes, iou,
            std * calibration[2:], shares, embedding,
            felt.events[0], felt.segments, net.scene(felt, seen)[0],
        )  # fmt: skip


def example(seed: int = 0, form: Form = Form()) -> dict[str, Tensor]:
    """Inputs of the right shapes and types."""
    rng = torch.Generator().manual_seed(seed)
    (rows, cols), n = form.grid.shape, form.cameras
    count = rows * cols // 4
    return {
        "lidar_bev": (torch.rand(1, 64, rows, cols, generator=rng) > 0.97).float(),
        "image": torch.randn(n, 3, 192, 640, generator=rng),
        "cam_lut": torch.randint(0, UNSEEN * n + 1, (3 * count,), generator=rng),
        "cam_bin": torch.randint(0, DEPTHS, (3 * count,), generator=rng),
        "cam_rays": torch.randn(1, 480 * n, RAY, generator=rng),
        "audio_srp": torch.rand(1, 16, 16, 72, generator=rng),
        "audio_level": -60 * torch.rand(1, 16, 16, generator=rng),
        "aud_lut": torch.randint(0, 72, (count,), generator=rng), "aud_geo": torch.randn(count, 4, generator=rng),
        "aud_dir": torch.randn(1, 72, 2, generator=rng), "present": torch.ones(1, 4),
    }  # fmt: skip


def export(net: FusionNet, path: Path, calibration: Calibration = Calibration(), form: Form = Form()) -> None:
    """Write the ONNX file. Raises RuntimeError where an input was dropped or an output misnamed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    inputs = example(0, form)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter tells of its own inner life
        torch.onnx.export(
            ExportedFusion(net, calibration, form).eval(), tuple(inputs[name] for name in INPUTS), str(path),
            input_names=list(INPUTS), output_names=list(OUTPUTS), opset_version=17, dynamo=False,
        )  # fmt: skip
    model = onnx.load(str(path))
    try:
        import onnxslim

        model = onnxslim.slim(model)
        onnx.save(model, str(path))
    except ImportError:
        pass  # the file is larger and a little slower without
    names = tuple(v.name for v in model.graph.input), tuple(v.name for v in model.graph.output)
    wanted = tuple(name for name in INPUTS if "attention" in net.use or name not in ASKED), OUTPUTS
    if names != wanted:
        raise RuntimeError(f"the exported file has inputs and outputs {names}, wanted {wanted}")


def parity(net: FusionNet, path: Path, calibration: Calibration = Calibration(), form: Form = Form()) -> float:
    """Greatest difference between ONNX Runtime and torch, relative to the greatest value of each output (at least 0.1).

    Of boxes and what goes with them it is that of the surest ten, each beside the nearest of the other's: rows of equal
    score may come in another order.
    """
    from fusion_pipeline.detect.network import Network

    inputs = example(1, form)
    with torch.no_grad():
        given = ExportedFusion(net, calibration, form).eval()(*(inputs[name] for name in INPUTS))
    expected = {name: value.numpy() for name, value in zip(OUTPUTS, given, strict=True)}
    network = Network(path)
    found = network({spec.name: inputs[spec.name].numpy() for spec in network.inputs})
    worst = 0.0
    for values in (expected, found):
        values["scores"] = np.sort(values["scores"])
    for name in ("scores", "audio_events", "cam_seg", "scene_emb"):
        gap = float(np.abs(found[name] - expected[name]).max())
        worst = max(worst, gap / max(float(np.abs(expected[name]).max()), 0.1))
    for name in ("boxes", "std", "attr", "obj_emb"):
        own, other = expected[name][:10], found[name]
        gap = float(np.abs(own[:, None] - other[None]).max(axis=2).min(axis=1).max())
        worst = max(worst, gap / max(float(np.abs(own).max()), 0.1))
    return worst


def manifest(path: Path, samples: int, name: str = "fusion-base", form: Form = Form(), whole: bool = False) -> str:
    """The manifest of an exported file, as TOML; of one in whole numbers it says that, and that it is for the CPU."""
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    classes = ", ".join(f'"{label}"' for label in CLASSES)
    sounds = ", ".join(f'"{label}"' for label in LABELS)
    numbers, requires = ("; 8-bit", '[requires]\nproviders = ["cpu"]\n\n') if whole else ("", "")
    field = "" if form.grid == FRONT else f"\nx_m = {list(form.grid.x_m)}\ny_m = {list(form.grid.y_m)}"
    return f"""# LiDAR, camera and sound in one network, any of them may be missing; simulated streets only.
schema = 1
name = "{name}"
license = "Apache-2.0"
description = "3-D boxes, velocities, sounds and what each sense gave; trained on {samples} simulated moments{numbers}"
source = "fusion_pipeline.train, no real data"
classes = [{classes}]

[files.network]
path = "{path.name}"
sha256 = "{digest}"

{requires}[[stages]]
op = "bev_raster"
sweeps = 2{field}

[[stages]]
op = "image_resize"
width = 640
height = 192
fit = "letterbox_top_left"
order = "rgb"
mean = [0.45, 0.45, 0.45]
std = [0.25, 0.25, 0.25]
stack = true
cameras = {form.cameras}

[[stages]]
op = "srp"

[[stages]]
op = "lookup"
cameras = {form.cameras}{field}

[[stages]]
op = "onnx"

[[stages]]
op = "decode_center"
z = "local_ground"
iou_weight = 0.0 # the network has put it into the scores
min_score = 0.3

[[stages]]
op = "nms_bev"
iou = 0.2
sigmas = 2.0

[[stages]]
op = "decode_sounds"
names = [{sounds}]
min_score = 0.5
min_scores = {{ siren = {SIREN_SCORE} }} # round a corner it is faint
"""


def main() -> None:
    """The command line: checkpoint, ONNX file."""
    net, samples = restored(Path(sys.argv[1]))
    path = Path(sys.argv[2])
    export(net, path)
    path.with_suffix(".toml").write_text(manifest(path, samples), encoding="utf-8")
    sys.stdout.write(f"{path.name}: {samples} samples, ONNX against torch {parity(net, path):.1e}; not calibrated\n")


if __name__ == "__main__":
    main()
