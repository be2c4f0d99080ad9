"""Runs a fusion network on simulated moments, with any of the senses. Needs no torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import numpy as np

from fusion_pipeline.arrays import Array, Doubles
from fusion_pipeline.detect.late import fused_late, senses_apart
from fusion_pipeline.detect.network import Network
from fusion_pipeline.detect.nms import kept_bev
from fusion_pipeline.detect.painter import without_camera
from fusion_pipeline.encode.grid import FRONT, BevGrid
from fusion_pipeline.encode.paint import paint as colour
from fusion_pipeline.encode.points import BevRaster
from fusion_pipeline.manifest import Manifest
from fusion_pipeline.operations import BevRasterize, DecodeCenter, NmsBev, RunOnnx
from fusion_pipeline.train import around as all_round
from fusion_pipeline.train.data import COLS, ROWS
from fusion_pipeline.train.lessons import Options, lesson
from fusion_pipeline.train.moments import Progress
from fusion_pipeline.train.rides import Ride

Mix = tuple[int, int, int]  # lidar, camera, audio
SUBSETS: tuple[Mix, ...] = tuple((a, b, c) for a, b, c in product((1, 0), repeat=3) if a or b or c)
NAMES = ("L", "C", "A")
LEAST = 0.05


@dataclass(frozen=True, slots=True, eq=False)
class Found:
    """What a network says of one ride."""

    boxes: Doubles  # (N, 9) x y z l w h yaw vx vy in the vehicle frame
    scores: Doubles  # (N,)
    labels: Array  # (N,)
    std: Doubles  # (N, 8)
    attr: Doubles  # (N, 3)
    events: Doubles  # (8, 72) 0 to 1
    pictured: Array  # (24, 80) class in each part of the picture, 5: none; (0, 0) where the network says nothing of it


class Judge:
    """Runs one network on rides."""

    def __init__(self, model: Path, threads: int = 2) -> None:
        self._network = Network(model, threads=threads)
        stages = Manifest.beside(model).stages
        self._iou_weight = next((stage.iou_weight for stage in stages if isinstance(stage, DecodeCenter)), 0.0)
        self._nms = next((stage for stage in stages if isinstance(stage, NmsBev)), NmsBev())
        runs = [(stage.fusion, stage.paint) for stage in stages if isinstance(stage, RunOnnx)]
        self._fusion = runs[0] if runs else ("hybrid", False)
        field = next((stage for stage in stages if isinstance(stage, BevRasterize)), BevRasterize())
        grid = BevGrid(field.x_m, field.y_m)
        self.around = grid != FRONT
        self._raster = BevRaster(grid)
        self._rng = np.random.default_rng(0)
        self.names = {spec.name for spec in self._network.inputs}

    def __call__(self, ride: Ride, mix: Mix = (1, 1, 1), fusion: str = "", paint: bool = False) -> Found:
        """With some of lidar, camera, audio; `fusion` and `paint` as in a manifest's onnx stage, "" as in the model's.

        A moment has no set before it: what paints it is its own picture, of a run before.
        """
        fusion, paint = (fusion, paint) if fusion else self._fusion
        paints = (paint or fusion == "early") and bool(mix[0] and mix[1])
        given, paint_rows = self.inputs(ride, mix, paints)
        if paints:
            colour(given["lidar_bev"], paint_rows, self._network(given)["cam_seg"])
        if fusion == "early":
            given = without_camera(given)
        if fusion == "late":
            alone = [self._network(part) for part in senses_apart(given)]
            out = fused_late(*alone) if len(alone) == 2 else alone[0]
        else:
            out = self._network(given)
        return self._decoded(out)

    def inputs(self, ride: Ride, mix: Mix = (1, 1, 1), paints: bool = False) -> tuple[dict[str, Array], Array]:
        """The network's inputs by name, and of which place of the picture each cell takes its paint; of an all-round
        network, which is not painted, none.
        """
        if self.around:
            return all_round.inputs(ride, self._raster, mix), np.zeros(0, np.int64)
        item = lesson(ride, self._raster, self._rng, Options((ROWS, COLS), False, mix, paints=paints))
        inputs = {
            "lidar_bev": item.target.raster[None], "image": item.image[None] * mix[1], "cam_lut": item.cam_lut,
            "cam_bin": item.cam_bin, "cam_rays": item.cam_rays[None], "audio_srp": item.srp[None],
            "audio_level": item.level[None], "aud_lut": item.aud_lut, "aud_geo": item.aud_geo,
            "aud_dir": item.aud_dir[None], "present": item.present[None],
        }  # fmt: skip
        return {name: np.ascontiguousarray(inputs[name]) for name in self.names}, item.paint_rows

    def _decoded(self, out: Mapping[str, Array]) -> Found:
        rows = out["boxes"].astype(np.float64)
        scores = out["scores"].astype(np.float64) ** (1 - self._iou_weight)
        scores *= out["iou"].astype(np.float64) ** self._iou_weight
        boxes = np.column_stack([rows[:, :6], np.arctan2(rows[:, 6], rows[:, 7]), rows[:, 8:10]])
        boxes[:, 2] += self._raster.ground_at(rows[:, :2].astype(np.float32))
        std, labels = out["std"].astype(np.float64), out["labels"]
        sure = np.flatnonzero(scores > LEAST)
        keep = sure[kept_bev(boxes[sure, :7], std[sure, :2], scores[sure], labels[sure], self._nms)]
        logits = out.get("audio_events", np.full((8, 72), -30.0, np.float32)).astype(np.float64)
        events = 1 / (1 + np.exp(-logits))
        pictured = out["cam_seg"][0].argmax(axis=0) if "cam_seg" in out else np.zeros((0, 0), np.int64)
        return Found(boxes[keep], scores[keep], labels[keep], std[keep], out["attr"][keep].astype(np.float64), events,
                     pictured)  # fmt: skip


def all_subsets(
    judge: Judge, rides: Sequence[Ride], advance: Progress = lambda n: None
) -> dict[tuple[int, int, int], list[Found]]:
    """What is found with each subset of the senses."""
    out: dict[tuple[int, int, int], list[Found]] = {}
    for mix in SUBSETS:
        found = []
        for ride in rides:
            found.append(judge(ride, mix))
            advance(1)
        out[mix] = found
    return out
