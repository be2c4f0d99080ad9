"""A network made at home with a sensor that it has never seen, from scans without labels.

Adaptive batch normalisation (Li et al., 2018): the means and variances that each normalisation divides by are those of
the simulated training. Here they are measured anew on the user's own log, and mixed with the old ones, since a drive
shows less than a world. No weight is learnt, so nothing can be learnt wrongly.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from fusion_pipeline.arrays import Floats
from fusion_pipeline.encode.image import ImageError, decode, prepare
from fusion_pipeline.encode.lookup import PICTURE, rig_tables
from fusion_pipeline.encode.points import BevRaster
from fusion_pipeline.messages import CameraFrame, LidarScan, Message
from fusion_pipeline.rig import Rig
from fusion_pipeline.train.fusion import FusionNet
from fusion_pipeline.train.held_back import SAME, Scenes

SHARE = 0.5  # of the new statistics in the mixture
BATCH = 4
LEAST, LEAST_PICTURES = 12, 8  # scenes of a log; pictures that the camera's statistics need
HELD, MOST_HELD = 4, 24  # every so many-th scene is held back; at most so many are compared on


@dataclass(frozen=True, slots=True)
class Adapted:
    """How much there was to learn from."""

    scans: int
    pictures: int
    moved: float  # mean distance between old and new means, in old standard deviations


@dataclass(frozen=True, slots=True, eq=False)
class Samples:
    """What a log gives to adapt with, and to compare with afterwards."""

    rasters: list[Floats]
    pictures: list[Floats]
    held_back: list[LidarScan]  # scans of scenes that are in no raster


def samples_of(rig: Rig, messages: Iterable[Message], every: int = 2, force: bool = False) -> Samples:
    """Of every `every`-th scan those that show a new scene, with a picture each; every HELD-th of them is held back.

    Raises ValueError for a log with fewer than LEAST scenes, as that of a standing vehicle: its statistics are those of
    one place. With `force` every scan is taken, of which there must be LEAST all the same.
    """
    raster, scenes, scans, taken, new, due = BevRaster(), Scenes(), 0, 0, 0, False
    rasters, pictures, held = list[Floats](), list[Floats](), list[LidarScan]()
    for message in messages:
        if isinstance(message, LidarScan) and message.header.source in rig.lidars:
            scans += 1
            if scans % every:
                continue
            pose = rig.lidars[message.header.source].vehicle_from_sensor
            good = np.isfinite(message.xyz_m).all(axis=1)
            xyz = np.asarray(pose.apply(message.xyz_m[good]), np.float32)
            made = raster(xyz, message.intensity[good])[0]
            is_new = scenes.is_new(made)
            new += is_new
            if not (is_new or force):
                continue
            taken += 1
            if taken % HELD == 0:
                held.append(message)
            else:
                rasters.append(made)
                due = True
        elif due and isinstance(message, CameraFrame) and message.header.source == next(iter(rig.cameras), ""):
            try:
                pictures.append(prepare(decode(message), PICTURE)[0])
            except ImageError:
                continue
            due = False
    if scans // every < LEAST:
        raise ValueError(f"the log gives {scans // every} scans; statistics need at least {LEAST}, better 100")
    if new < LEAST and not force:
        raise ValueError(
            f"its {scans // every} scans show {new} scenes that differ in more than {100 * (1 - SAME):.0f} % of their "
            f"occupied places, and statistics need at least {LEAST}; the vehicle stood, or the drive is too short: "
            "record a longer one, or take --force"
        )
    return Samples(rasters, pictures, held[:: max(1, -(-len(held) // MOST_HELD))])


def adapt(net: FusionNet, rig: Rig, samples: Samples, share: float = SHARE) -> Adapted:
    """Mix `share` of the log's statistics into the LiDAR's and the camera's normalisations of `net`, in place."""
    lidar = (net.lidar.stem, net.lidar.mid, net.lidar.quarter, net.lidar.neck_up, net.lidar.neck)
    moved = _remeasured(lidar, lambda batch: net.lidar.features(batch), samples.rasters, share)
    pictures = samples.pictures
    if len(pictures) >= LEAST_PICTURES:
        rays = torch.from_numpy(rig_tables(rig)["cam_rays"])
        _remeasured((net.camera,), lambda batch: net.camera(batch, rays.expand(len(batch), -1, -1)), pictures, share)
    net.eval()
    return Adapted(len(samples.rasters), len(pictures), moved)


def _remeasured(
    parts: Iterable[nn.Module], run: Callable[[Tensor], object], inputs: list[Floats], share: float
) -> float:
    """Mean shift of the means, in standard deviations."""
    norms = [layer for part in parts for layer in part.modules() if isinstance(layer, nn.BatchNorm2d)]
    old = [(layer.running_mean.clone(), layer.running_var.clone()) for layer in norms]
    momenta = [layer.momentum for layer in norms]
    for layer in norms:
        layer.reset_running_stats()
        layer.momentum = None  # a plain mean over all batches
        layer.train()
    with torch.no_grad():
        for batch in _batches(inputs):
            run(batch)
    moved = []
    for layer, (mean, variance), momentum in zip(norms, old, momenta, strict=True):
        new, spread = layer.running_mean, layer.running_var
        assert new is not None
        assert spread is not None
        moved.append(float(((new - mean).abs() / (variance + layer.eps).sqrt()).mean()))
        layer.running_mean = share * new + (1 - share) * mean
        layer.running_var = share * spread + (1 - share) * variance
        layer.momentum = momentum
        layer.eval()
    return float(np.mean(moved))


def _batches(inputs: list[Floats]) -> Iterator[Tensor]:
    for first in range(0, len(inputs) - BATCH + 1, BATCH):
        yield torch.from_numpy(np.stack(inputs[first : first + BATCH]))
