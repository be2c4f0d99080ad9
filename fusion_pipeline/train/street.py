"""The whole pipeline, in one process, on simulated drives with their truth: how well things are followed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fusion_pipeline.align import Aligner
from fusion_pipeline.align.config import AlignerConfig, Stream
from fusion_pipeline.arrays import Array, Doubles
from fusion_pipeline.detect.inference import Inference
from fusion_pipeline.messages import Boxes, SensorSet
from fusion_pipeline.metrics.tracking import Instant, Tracking, judged
from fusion_pipeline.rig import Rig
from fusion_pipeline.track.config import TrackerConfig
from fusion_pipeline.track.tracker import Tracker
from fusion_pipeline.world.scenarios import scenario
from fusion_pipeline.world.simulation import Simulation
from fusion_pipeline.world.truth import Truth

LEAST_POINTS = 5  # of the LiDAR on a thing, for it to be asked for
AHEAD_M, BESIDE_M = 60.0, 35.0


@dataclass(frozen=True, slots=True, eq=False)
class Moment:
    """A sensor set and what is true then."""

    item: SensorSet
    truth: Truth


def moments(name: str, seed: int, seconds: float, rig: Rig) -> Iterator[Moment]:
    """The aligned sets of a drive, each with its truth."""
    streams = tuple(Stream(topic) for topic in (*rig.cameras, *rig.audios, "ego/odometry"))
    aligner = Aligner(AlignerConfig(next(iter(rig.lidars)), streams))
    truths: dict[int, Truth] = {}
    sets: list[SensorSet] = []
    drive = scenario(name).build(seed, bool(rig.audios))
    for frame in Simulation(drive, rig, seed).run(seconds):
        if frame.truth is not None:
            truths[frame.truth.instant_ns] = frame.truth
        if frame.message is not None:
            sets += aligner.advance(frame.message.header.arrival_ns - 1)
            sets += aligner.step(frame.message)
        while sets and sets[0].header.capture_ns in truths:
            item = sets.pop(0)
            yield Moment(item, truths.pop(item.header.capture_ns))


def _rows(boxes: Boxes, chosen: Array) -> Doubles:
    table = np.column_stack([boxes.centers_m, boxes.sizes_m, boxes.yaws_rad]).astype(np.float64)
    return np.asarray(table[chosen], np.float64)


def _inside(boxes: Boxes) -> Array:
    x, y = boxes.centers_m[:, 0], boxes.centers_m[:, 1]
    return np.asarray((x > 2) & (x < AHEAD_M) & (np.abs(y) < BESIDE_M), bool)


def followed(
    model: Path, rig: Rig, name: str, seed: int, seconds: float, advance: Callable[[int], None] = lambda n: None
) -> Tracking:
    """Tracks of a drive against its truth. Who was hardly seen by the LiDAR is neither wanted nor false."""
    inference, tracker = Inference.load(model, rig, threads=2), Tracker(TrackerConfig())
    lidar = next(iter(rig.lidars))
    instants = []
    for moment in moments(name, seed, seconds, rig):
        tracks = tracker.step(inference(moment.item)).boxes
        truth = moment.truth.boxes
        near = np.flatnonzero(_inside(truth))
        seen = moment.truth.seen.get(lidar, np.zeros(len(truth), np.int64))[near] >= LEAST_POINTS
        own = np.flatnonzero(_inside(tracks))
        hidden = _rows(truth, near[~seen])
        rows = _rows(tracks, own)
        apart = np.linalg.norm(rows[:, None, :2] - hidden[None, :, :2], axis=2).min(axis=1, initial=np.inf)
        wanted = _rows(truth, near[seen])
        close = np.linalg.norm(rows[:, None, :2] - wanted[None, :, :2], axis=2).min(axis=1, initial=np.inf)
        kept = (apart > 2.0) | (close < 2.0)
        instants.append(Instant(truth.track_ids[near[seen]], wanted, tracks.track_ids[own[kept]], rows[kept]))
        advance(1)
    return judged(instants)
