"""What a trained network felt of many moments, kept in memory: its trunk stays as it is, heads learn in minutes.

Every moment is seen as it is or mirrored, with all senses, for the scene; some a second time as a lesson for the
trunk would be (turned, thinned, senses missing), so that the same things are seen twice.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, replace
from multiprocessing import get_context
from pathlib import Path
from typing import Self

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from fusion_pipeline.arrays import Array, Doubles
from fusion_pipeline.encode.lookup import WIDTH_PX
from fusion_pipeline.encode.points import BevRaster
from fusion_pipeline.train.captions import facts_of
from fusion_pipeline.train.fusion import SIZES, FusionNet
from fusion_pipeline.train.fusion_fit import collated, seen_of
from fusion_pipeline.train.lessons import Lesson, Options, lesson
from fusion_pipeline.train.model import COLS, ROWS
from fusion_pipeline.train.represent import Pooled, pooled
from fusion_pipeline.train.represent_figures import TAG, tagged
from fusion_pipeline.train.rides import Ride, load
from fusion_pipeline.train.stored import begin_with

WHOLE = (ROWS, COLS)
TWICE = 3  # every so manieth moment is seen a second time
_CHUNK = 12


@dataclass(frozen=True, slots=True, eq=False)
class Features:
    """Of N moments, and K things seen twice; half precision."""

    lidar: Array  # (N, REGIONS, 128)
    camera: Array  # (N, REGIONS, 128)
    picture: Array  # (N, 192)
    sound: Array  # (N, SECTORS, 80)
    truth: Array  # (N, P) bool, which facts hold
    seeds: Array  # (N,)
    first: Array  # (K, F) features of things
    again: Array  # (K, F) of the same, in the same row
    labels: Array  # (K,)
    moments: Array  # (K,) seed of each thing's moment

    @classmethod
    def joined(cls, parts: Sequence[Self]) -> Self:
        """One after the other."""
        return cls(*(np.concatenate([getattr(part, name) for part in parts]) for name in cls.__slots__))

    def kept(self, rows: Array, present: Tensor | None = None) -> Pooled:
        """Some moments, all senses present unless `present` (B, 3) says otherwise."""

        def tensor(values: Array) -> Tensor:
            return torch.from_numpy(values[rows].astype(np.float32))

        there = torch.ones((len(rows), 3)) if present is None else present
        return Pooled(tensor(self.lidar), tensor(self.camera), tensor(self.picture), tensor(self.sound), there)


def mirrored(ride: Ride) -> Ride:
    """Left and right exchanged, for all senses alike."""
    side, across = np.diag([1.0, -1.0, 1.0]), np.diag([-1.0, 1.0, 1.0])  # of the vehicle, of the camera's axes
    picture = np.asarray(cv2.imencode(".jpg", ride.picture()[:, ::-1], [cv2.IMWRITE_JPEG_QUALITY, 95])[1]).ravel()
    matrix, camera = ride.matrix.copy(), ride.camera.copy()
    matrix[0, 2] = WIDTH_PX - matrix[0, 2]
    camera[:3, :3], camera[1, 3] = side @ camera[:3, :3] @ across, -camera[1, 3]
    boxes, sounds = ride.boxes.copy(), ride.sounds.copy()
    boxes[:, [1, 6, 8]] *= -1
    sounds[:, 1] *= -1
    flip = side.astype(np.float32)
    return replace(
        ride, xyz_m=ride.xyz_m @ flip, before_m=(ride.before_m[0] @ flip, ride.before_m[1] @ flip), boxes=boxes,
        jpeg=picture, classes=np.ascontiguousarray(ride.classes[:, ::-1]), matrix=matrix, camera=camera,
        srp=np.ascontiguousarray(np.roll(ride.srp[..., ::-1], 1, axis=2)), array_m=_turned(ride.array_m), sounds=sounds,
    )  # fmt: skip


def _turned(place: Doubles) -> Doubles:
    return place * np.asarray([1.0, -1.0, 1.0])


def network(checkpoint: Path) -> FusionNet:
    """The averaged network of a checkpoint (.pt) or stored weights (.npz), ready to judge; what it lacks stays new."""
    stored = torch.load(checkpoint) if checkpoint.suffix == ".pt" else {}
    net = FusionNet(SIZES[stored.get("size", "base")])
    begin_with(net, checkpoint)
    return net.eval()


class Feeler:
    """Runs a network on rides and keeps what heads learn from."""

    def __init__(self, net: FusionNet, half: bool = True) -> None:
        self._net, self._half = net.to(memory_format=torch.channels_last), half
        self._raster = BevRaster()

    def __call__(self, ride: Ride, seed: int, twice: bool, rng: np.random.Generator) -> Features:
        """One moment; `twice`: things as well."""
        ride = tagged(ride)
        plain = lesson(ride, self._raster, rng, Options(WHOLE, False, (1, 1, 1)))
        kept, features = self._look(plain, twice)
        other = lesson(ride, self._raster, rng, Options(WHOLE, True)) if twice else plain
        again = self._look(other, True)[1] if twice else features
        first = {int(box[TAG]): k for k, box in enumerate(plain.target.boxes)}
        pairs = [(first[int(box[TAG])], k) for k, box in enumerate(other.target.boxes) if int(box[TAG]) in first]
        pairs = [pair for pair in pairs if pair[1] < len(again)]
        a, b = [p[0] for p in pairs], [p[1] for p in pairs]

        def half(part: Tensor) -> Array:
            return part.float().numpy().astype(np.float16)

        return Features(
            half(kept.lidar), half(kept.camera), half(kept.picture), half(kept.sound),
            facts_of(ride)[None], np.asarray([seed]), features[a].astype(np.float16), again[b].astype(np.float16),
            plain.target.labels[a].astype(np.int64), np.full(len(a), seed),
        )  # fmt: skip

    def _look(self, item: Lesson, things: bool) -> tuple[Pooled, Array]:
        """What the scene's vectors are made of; features (M, F) of the things, none unless asked for."""
        seen = seen_of(collated([item], WHOLE))
        with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=self._half):
            felt = self._net.feel(seen)
            kept = pooled(felt, seen)
            if not things or not len(item.target.boxes):
                return kept, np.zeros((0, self._net.embed.in_features), np.float32)
            logits, trunk, coarse, _ = self._net.meet(felt, seen)
        cells = torch.from_numpy(item.target.cells - np.asarray(item.corner)).long()
        row, column = _peaks(logits[0], torch.from_numpy(item.target.labels).long(), cells)
        near, far = trunk[0][:, row, column], coarse[0][:, row // 2, column // 2]
        return kept, torch.cat([near, far], 0).T.float().numpy()


def _peaks(logits: Tensor, labels: Tensor, cells: Tensor) -> tuple[Tensor, Tensor]:
    """Where the heat map is highest within a cell of each thing's middle: there a detection would be."""
    padded = functional.pad(logits.float(), (1, 1, 1, 1), value=-1e4)
    best, at = torch.full((len(cells),), -1e9), cells.clone()
    for down in range(3):
        for right in range(3):
            found = padded[labels, cells[:, 0] + down, cells[:, 1] + right]
            better = found > best
            best = torch.where(better, found, best)
            at = torch.where(better[:, None], cells + torch.tensor([down - 1, right - 1]), at)
    return at[:, 0], at[:, 1]


def felt(paths: Sequence[Path], checkpoint: Path, mirror: bool = True, twice: int = TWICE) -> Features:
    """Of some rides, by one thread; half of them are mirrored unless told otherwise."""
    torch.set_num_threads(1)
    feeler, parts = Feeler(network(checkpoint)), []
    for path in paths:
        seed = int(path.stem)
        rng = np.random.default_rng([seed, 41])
        ride = load(path)
        if mirror and rng.random() < 0.5:
            ride = mirrored(ride)
        parts.append(feeler(ride, seed, seed % twice == 0, rng))
    return Features.joined(parts)


def gathered(
    paths: Sequence[Path], checkpoint: Path, seconds: float, workers: int = 2,
    said: Callable[[float, str], None] = lambda share, text: None,
) -> Features:  # fmt: skip
    """As many rides as processes manage in so many seconds, spread over all of them. Raises ValueError for none."""
    if not paths:
        raise ValueError("there are no rides to learn from; render some with python -m fusion_pipeline.train.rides")
    order = np.random.default_rng(7).permutation(len(paths))
    chunks = [[paths[i] for i in order[k : k + _CHUNK]] for k in range(0, len(order), _CHUNK)]
    parts = list(_answers(chunks, checkpoint, time.monotonic() + seconds, workers, said))
    return Features.joined(parts)


def _answers(
    chunks: list[list[Path]], checkpoint: Path, until: float, workers: int, said: Callable[[float, str], None]
) -> Iterator[Features]:
    waiting, began = list(chunks), time.monotonic()
    with ProcessPoolExecutor(workers, get_context("spawn")) as pool:
        running = {pool.submit(felt, waiting.pop(0), checkpoint) for _ in range(min(2 * workers, len(waiting)))}
        done = 0
        while running:
            finished = next(as_completed(running))
            running.remove(finished)
            done += 1
            yield finished.result()
            now = time.monotonic()
            said(min((now - began) / max(until - began, 1e-9), 1.0), f"{done * _CHUNK} moments felt")
            if waiting and now < until:
                running.add(pool.submit(felt, waiting.pop(0), checkpoint))
