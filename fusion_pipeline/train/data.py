"""Cached scans to training targets, changed anew each time they are used."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from fusion_pipeline.arrays import Array, Floats
from fusion_pipeline.encode.points import BevRaster
from fusion_pipeline.train.cache import Sample

ROWS, COLS, STEP_M, Y0_M = 176, 200, 0.4, -40.0
MIN_POINTS = 5  # things with fewer are neither taught nor punished
LIDAR_M = 1.73


@dataclass(frozen=True, slots=True, eq=False)
class Target:
    """One raster and what is to be found in it."""

    raster: Floats  # (64, 176, 200)
    heat: Floats  # (5, 176, 200) 1 at centres, falling off
    weight: Floats  # (176, 200) 0 where nothing is to be learnt
    cells: Array  # (M, 2) row, column of the centres
    boxes: Floats  # (M, 9) x y z l w h yaw vx vy, z above local ground
    labels: Array  # (M,)


def augment(sample: Sample, rng: np.random.Generator, beside: Floats | None = None) -> tuple[Sample, Floats]:
    """Flip, turn, scale, tilt, sensor height, fewer beams, fewer points, noise, no intensity.

    Points `beside` (K, 3) are moved like the scan, and nothing else happens to them.
    """
    xyz, bright, boxes = sample.xyz_m.copy(), sample.intensity, sample.boxes.copy()
    other = np.zeros((0, 3), np.float32) if beside is None else beside.copy()
    points = sample.points
    keep = np.ones(len(xyz), bool)
    thin = rng.random()
    if thin < 0.2:  # every second or fourth beam
        slope = np.arctan2(xyz[:, 2] - LIDAR_M, np.hypot(xyz[:, 0], xyz[:, 1]))
        degrees = np.rad2deg(slope)
        beam = np.where(degrees > -8.58, (2.0 - degrees) * 3, 32 + (-8.83 - degrees) * 2)
        every = 4 if thin < 0.05 else 2
        keep &= np.round(beam).astype(int) % every == int(rng.integers(every))
    if rng.random() < 0.4:
        keep &= rng.random(len(xyz)) < rng.uniform(0.6, 1.0)
    if rng.random() < 0.3:  # something near hides a wedge
        middle, half, near = rng.uniform(-1, 1), rng.uniform(0.01, 0.12), rng.uniform(4, 30)
        keep &= ~_hidden(xyz, middle, half, near)
        # A thing whose middle is hidden is neither taught nor punished.
        points = np.where(_hidden(boxes, middle, half, near - 3), 0, points)
    share = float(keep.mean())
    xyz, bright = xyz[keep], bright[keep]
    if rng.random() < 0.5:
        xyz[:, 1] *= -1
        other[:, 1] *= -1
        boxes[:, 1] *= -1
        boxes[:, 6] *= -1
        boxes[:, 8] *= -1
    turn = rng.uniform(-0.5, 0.5)
    c, s = np.cos(turn), np.sin(turn)
    rotate = np.asarray([[c, s], [-s, c]], np.float32)
    xyz[:, :2] = xyz[:, :2] @ rotate
    other[:, :2] = other[:, :2] @ rotate
    boxes[:, :2] = boxes[:, :2] @ rotate
    boxes[:, 7:9] = boxes[:, 7:9] @ rotate
    boxes[:, 6] += turn
    scale = rng.uniform(0.97, 1.03)
    xyz *= np.float32(scale)
    other *= np.float32(scale)
    boxes[:, :6] *= scale
    if rng.random() < 0.5:
        tilt = rng.normal(0, 0.008, 2)
        lift = rng.normal(0, 0.06)
        for array in (xyz, boxes, other):
            array[:, 2] += (array[:, 0] * tilt[0] + array[:, 1] * tilt[1] + lift).astype(np.float32)
    if rng.random() < 0.5:
        xyz += rng.normal(0, rng.uniform(0.0, 0.02), xyz.shape).astype(np.float32)
    if rng.random() < 0.06:
        xyz = _flaked(xyz, rng)
    if rng.random() < 0.3:
        bright = np.full_like(bright, 0.5)
    elif rng.random() < 0.5:
        bright = np.clip(bright ** np.float32(rng.uniform(0.6, 1.6)), 0, 1)
    return Sample(xyz, bright, boxes, sample.labels, (points * share).astype(np.int64)), other


def _flaked(xyz: Floats, rng: np.random.Generator) -> Floats:
    """Some echoes come from near by: snow, spray, insects."""
    eye = np.asarray([0, 0, LIDAR_M], np.float32)
    hit = rng.random(len(xyz)) < rng.uniform(0.02, 0.15)
    away = np.linalg.norm(xyz[hit] - eye, axis=1)
    nearer = np.minimum(rng.exponential(rng.uniform(2, 6), len(away)) + 1.0, away) / np.maximum(away, 0.1)
    out = xyz.copy()
    out[hit] = eye + (xyz[hit] - eye) * nearer[:, None].astype(np.float32)
    return out


def _hidden(places: Array, middle: float, half: float, near: float) -> Array:
    """(N,) whether places (N, 2 or more) lie in a wedge about azimuth `middle`, farther than `near`."""
    azimuth, reach = np.arctan2(places[:, 1], places[:, 0]), np.hypot(places[:, 0], places[:, 1])
    return np.asarray((np.abs(azimuth - middle) < half) & (reach > near))


def target(sample: Sample, raster: BevRaster, before: Sequence[Floats] = (), blur: float = 0.0) -> Target:
    """Raster and targets of a sample; `before` holds earlier sweeps in its frame, newest first.

    `blur` widens the hills by so many cells per metre of range: for senses that cannot tell ranges well.
    """
    image = raster(sample.xyz_m, sample.intensity, before)[0]
    boxes = sample.boxes.copy()
    boxes[:, 2] -= raster.ground_at(boxes[:, :2].astype(np.float32))
    heat = np.zeros((5, ROWS, COLS), np.float32)
    weight = np.ones((ROWS, COLS), np.float32)
    rows = np.floor(boxes[:, 0] / STEP_M).astype(int)
    cols = np.floor((boxes[:, 1] - Y0_M) / STEP_M).astype(int)
    inside = (rows >= 0) & (rows < ROWS) & (cols >= 0) & (cols < COLS)
    good = inside & (sample.points >= MIN_POINTS)
    for i in np.flatnonzero(inside):
        short = float(min(boxes[i, 3], boxes[i, 4]))
        sigma = float(np.clip(short / STEP_M / 4, 0.7, 1.2))
        r, c = int(rows[i]), int(cols[i])
        sigma += blur * float(np.hypot(boxes[i, 0], boxes[i, 1]))
        reach = 4 if not blur else min(12, int(3 * sigma) + 1)
        a, b = slice(max(r - reach, 0), r + reach + 1), slice(max(c - reach, 0), c + reach + 1)
        if not good[i]:
            weight[a, b] = 0
            continue
        dr = np.arange(a.start, min(a.stop, ROWS))[:, None] - r
        dc = np.arange(b.start, min(b.stop, COLS))[None] - c
        hill = np.exp(-(dr**2 + dc**2) / (2 * sigma**2)).astype(np.float32)
        part = heat[sample.labels[i], a, b]
        np.maximum(part, hill, out=part)
    weight[heat.max(axis=0) > 0.01] = 1
    cells = np.stack([rows[good], cols[good]], 1)
    return Target(image, heat, weight, cells, boxes[good], sample.labels[good])
