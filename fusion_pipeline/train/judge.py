"""A fusion network on held-out simulated moments: accuracy, missing sensors, honesty, sounds. Needs no torch.

Held out means seeds that no training has seen; they are rendered once into a folder and kept there.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import numpy as np

from fusion_pipeline.arrays import Array, Doubles, Floats
from fusion_pipeline.detect.late import fused_late, senses_apart
from fusion_pipeline.detect.network import Network
from fusion_pipeline.detect.nms import kept_bev
from fusion_pipeline.detect.painter import without_camera
from fusion_pipeline.encode.grid import ALL_ROUND, FRONT, BevGrid
from fusion_pipeline.encode.paint import paint as colour
from fusion_pipeline.encode.points import BevRaster
from fusion_pipeline.geometry.boxes import iou_bev
from fusion_pipeline.manifest import Manifest
from fusion_pipeline.metrics import centre_distance as distance
from fusion_pipeline.metrics.kitti import MODERATE, Frame, average_precision, interval
from fusion_pipeline.operations import DecodeCenter, ImageResize, NmsBev, RunOnnx
from fusion_pipeline.train import around as all_round
from fusion_pipeline.train.data import COLS, ROWS
from fusion_pipeline.train.lessons import MIN_PIXELS, MIN_POINTS, Options, lesson
from fusion_pipeline.train.rides import AUDIBLE_DB, Ride, fill, load

HELD_SEED, HELD = 2_900_000, 240
Mix = tuple[int, int, int]  # lidar, camera, audio
SUBSETS: tuple[Mix, ...] = tuple((a, b, c) for a, b, c in product((1, 0), repeat=3) if a or b or c)
NAMES = ("L", "C", "A")
CLASSES = ("car", "truck", "pedestrian", "two-wheeler", "other")
LEAST = 0.05
FAR_M = 40.0
Progress = Callable[[int], None]


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
        cameras = next((stage.cameras for stage in stages if isinstance(stage, ImageResize)), 1)
        self.around = cameras > 1
        self._raster = BevRaster(ALL_ROUND if self.around else FRONT)
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


def held_out(
    folder: Path, count: int = HELD, advance: Progress = lambda n: None, around: bool = False
) -> list[Ride]:  # fmt: skip
    """The held-out rides; see `kept`."""
    return list(kept(folder, HELD_SEED, count, advance, around))


def kept(folder: Path, first: int, count: int, advance: Progress, around: bool) -> Iterator[Ride]:
    """So many rides from the seed `first` on, rendered where they are not in the folder yet.

    Those with cameras all `around` have a folder of their own in it, and of four streets one each lies ahead, left,
    behind and right.
    """
    folder = folder / "around" if around else folder
    for seed in range(first, first + count):
        fill(folder, seed, 1, 1, around=around)
        ride = load(folder / f"{seed:07d}.npz")
        yield all_round.turned(ride, seed % 4) if around else ride
        advance(1)


def _inside(boxes: Floats, grid: BevGrid) -> Array:
    (x0, x1), (y0, y1) = grid.x_m, grid.y_m
    return (boxes[:, 0] > x0) & (boxes[:, 0] < x1) & (boxes[:, 1] > y0) & (boxes[:, 1] < y1)


def wanted(ride: Ride) -> Array:
    """(M,) whether enough of a thing is seen by LiDAR or camera."""
    seen = (ride.points >= MIN_POINTS) | (ride.pixels >= MIN_PIXELS)
    return np.asarray(seen & _inside(ride.boxes, ride.grid), bool)


def frame_of(ride: Ride, found: Found, label: int, near_m: float = 0.0, far_m: float = 1e9) -> Frame:
    """As a KITTI frame: what is hardly seen, or at another range, counts neither way."""
    own = ride.labels == label
    boxes = ride.boxes[own].astype(np.float64)
    reach = np.hypot(boxes[:, 0], boxes[:, 1])
    counts = wanted(ride)[own] & (reach >= near_m) & (reach < far_m)
    mine = found.labels == label
    away = np.hypot(found.boxes[mine, 0], found.boxes[mine, 1])
    within = (away >= near_m * 0.95) & (away < far_m * 1.05)
    n = int(within.sum())
    return Frame(
        kinds=tuple("Car" for _ in range(len(boxes))), boxes=boxes[:, :7], heights_px=np.full(len(boxes), 99.0),
        occlusion=np.where(counts, 0, 9), truncation=np.zeros(len(boxes)), found=found.boxes[mine][within][:, :7],
        scores=found.scores[mine][within], found_px=np.tile([0.0, 0, 99, 99], (n, 1)), dont_care_px=np.zeros((0, 4)),
    )  # fmt: skip


def scene_of(ride: Ride, found: Found, label: int, mix: Mix = (1, 1, 1)) -> distance.Scene:
    """For centre-distance AP. Without a LiDAR in `mix` only what the camera sees counts."""
    own, mine = ride.labels == label, found.labels == label
    counts = wanted(ride) if mix[0] else wanted(ride) & (ride.pixels >= MIN_PIXELS)
    return distance.Scene(ride.boxes[own].astype(np.float64), ~counts[own], found.boxes[mine],
                          found.scores[mine])  # fmt: skip


def car_ap(rides: Sequence[Ride], found: Sequence[Found], iou: float = 0.7, **ranges: float) -> float:
    """BEV AP of cars, R40, in percent."""
    frames = [frame_of(r, f, 0, **ranges) for r, f in zip(rides, found, strict=True)]
    return average_precision(frames, "Car", MODERATE, iou, True)


def car_interval(rides: Sequence[Ride], found: Sequence[Found], iou: float = 0.7) -> tuple[float, float]:
    """Its 95 % interval."""
    frames = [frame_of(r, f, 0) for r, f in zip(rides, found, strict=True)]
    return interval(frames, "Car", MODERATE, iou, True, draws=200)


def mean_ap(rides: Sequence[Ride], found: Sequence[Found], far_m: float = 2.0, mix: Mix = (1, 1, 1)) -> float:
    """Centre-distance AP over car, truck, pedestrian and two-wheeler."""
    values = [
        distance.average_precision([scene_of(r, f, label, mix) for r, f in zip(rides, found, strict=True)], far_m)
        for label in range(4)
    ]
    return float(np.nanmean(values))


def retention(means: Mapping[Mix, float]) -> float:
    """Of mAP by subset of the senses, the mean over that of all senses."""
    return sum(means.values()) / len(means) / max(means[1, 1, 1], 1e-9)


def pictured_iou(rides: Sequence[Ride], found: Sequence[Found]) -> Doubles:
    """(4,) intersection over union of the parts of the pictures that show car, truck, pedestrian and two-wheeler."""
    true, said = np.stack([ride.classes for ride in rides]), np.stack([out.pictured for out in found])
    both = [((true == k) & (said == k)).sum() / max(((true == k) | (said == k)).sum(), 1) for k in range(4)]
    return np.asarray(both, np.float64)


def leave_one_out(rides: Sequence[Ride], by_mix: dict[tuple[int, int, int], list[Found]]) -> tuple[Doubles, Doubles]:
    """(K,) shares and (K,) drops of score of true findings, one pair for each present sense."""
    shares, drops = [], []
    for number, ride in enumerate(rides):
        full = by_mix[1, 1, 1][number]
        if not len(full.scores) or not len(ride.boxes):
            continue
        overlap = iou_bev(full.boxes[:, :7], ride.boxes[:, :7].astype(np.float64))
        true = np.flatnonzero((overlap.max(axis=1) > 0.3) & (full.scores > 0.3))
        for sense in range(3):
            without = by_mix[int(sense != 0), int(sense != 1), int(sense != 2)][number]
            for i in true:
                near = np.flatnonzero(
                    (np.hypot(*(without.boxes[:, :2] - full.boxes[i, :2]).T) < 2.0) & (without.labels == full.labels[i])
                )
                left = float(without.scores[near].max()) if len(near) else 0.0
                shares.append(full.attr[i, sense])
                drops.append(max(float(full.scores[i]) - left, 0.0))
    return np.asarray(shares), np.asarray(drops)


def judged_scores(rides: Sequence[Ride], found: Sequence[Found]) -> tuple[Doubles, Array, Doubles, Doubles]:
    """Scores (N,) and whether each is right: a truth of its class within 2 m. What is hardly seen counts neither way.

    And of those right and above 0.3 errors and sigmas (K, 8): x y z l w h yaw speed.
    """
    scores, right, errors, sigmas = [], [], [], []
    for ride, out in zip(rides, found, strict=True):
        if not len(out.scores) or not len(ride.labels):
            scores.append(out.scores)
            right.append(np.zeros(len(out.scores), bool))
            continue
        truth = ride.boxes.astype(np.float64)
        apart = np.linalg.norm(out.boxes[:, None, :2] - truth[None, :, :2], axis=2)
        close = np.where(out.labels[:, None] == ride.labels[None], apart, np.inf)
        best, hit = close.argmin(axis=1), close.min(axis=1) < 2.0
        counts = ~hit | wanted(ride)[best]
        scores.append(out.scores[counts])
        right.append(hit[counts])
        for i in np.flatnonzero(hit & counts & (out.scores > 0.3)):
            gap = out.boxes[i] - truth[best[i]]
            turn = np.angle(np.exp(2j * gap[6])) / 2  # a body looks alike from both ends
            errors.append([*gap[:6], turn, np.hypot(gap[7], gap[8])])
            sigmas.append(out.std[i])
    return np.concatenate(scores), np.concatenate(right), np.asarray(errors), np.asarray(sigmas)


def siren_azimuths(rides: Sequence[Ride], found: Sequence[Found]) -> Doubles:
    """(K,) degrees by which the loudest azimuth of "siren" misses the nearest audible siren."""
    errors = []
    for ride, out in zip(rides, found, strict=True):
        sirens = ride.sounds[(ride.sounds[:, 0] == 0) & (ride.sounds[:, 2] >= AUDIBLE_DB)]
        if len(sirens) and out.events[0].max() > 0.5:
            azimuth = np.deg2rad(5.0 * float(out.events[0].argmax()))
            gaps = np.abs(np.angle(np.exp(1j * (sirens[:, 1] - azimuth))))
            errors.append(float(np.rad2deg(gaps.min())))
    return np.asarray(errors)


def event_ap(rides: Sequence[Ride], found: Sequence[Found]) -> dict[int, tuple[float, int]]:
    """By class of sound: AP of peaks within 20 degrees, and how many are audible."""
    from fusion_pipeline.train.rides import FAINT_DB

    out: dict[int, tuple[float, int]] = {}
    for label in range(8):
        scenes = []
        for ride, said in zip(rides, found, strict=True):
            rows = ride.sounds[(ride.sounds[:, 0] == label) & (ride.sounds[:, 2] >= FAINT_DB)]
            truth = np.zeros((len(rows), 9))
            truth[:, :2] = np.stack([np.cos(rows[:, 1]), np.sin(rows[:, 1])], axis=1)
            truth[:, 3:6] = 1
            peaks = _peaks(said.events[label])
            boxes = np.zeros((len(peaks), 9))
            boxes[:, :2] = np.stack([np.cos(np.deg2rad(5.0 * peaks)), np.sin(np.deg2rad(5.0 * peaks))], axis=1)
            boxes[:, 3:6] = 1
            scenes.append(distance.Scene(truth, rows[:, 2] < AUDIBLE_DB, boxes, said.events[label][peaks]))
        result = distance.matched(scenes, 2 * float(np.sin(np.deg2rad(10.0))))
        out[label] = (distance.precision_of(result), result.wanted)
    return out


def _peaks(row: Doubles) -> Array:
    left, found = row.copy(), list[int]()
    while left.max() > 0.05 and len(found) < 6:
        peak = int(left.argmax())
        found.append(peak)
        left[(peak + np.arange(-5, 6)) % len(row)] = 0
    return np.asarray(found, np.int64)


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


def seconds_per_call(judge: Judge, ride: Ride, repeats: int = 10) -> Iterator[float]:
    """Wall-clock times of whole calls, encoding included."""
    for _ in range(repeats):
        began = time.perf_counter()
        judge(ride)
        yield time.perf_counter() - began
