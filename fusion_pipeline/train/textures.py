"""Textures, clutter and light that the simulator does not have, laid over its flat colours: what is left is shape.

A street of plain facets teaches that what has no texture is road and what has some is a thing; real asphalt, foliage,
brick and windows then look like cars. So a part of the pictures gets random textures instead (domain randomization:
Tobin et al., "Domain randomization for transferring deep neural networks from simulation to the real world", 2017).
"""

from __future__ import annotations

from functools import cache

import cv2
import numpy as np

from fusion_pipeline.arrays import Array, Floats
from fusion_pipeline.encode.lookup import HEIGHT_PX, WIDTH_PX

ROOM = 1.5  # how much larger than a picture a field is, for it to be laid elsewhere each time
HORIZON = 0.5  # of a picture's height: below it a field can lie on the ground
KINDS = 12  # of each sort of field
LAID = 6  # fields in one picture
SHAPE = (int(HEIGHT_PX * ROOM), int(WIDTH_PX * ROOM))


def textured(picture: Array, things: Array, rng: np.random.Generator) -> Array:
    """(H, W, 3) uint8: each colour of `picture` (H, W, 3) gets a texture, and where there are no `things`
    (h, w) stand patches of others; then shadows, and light beyond what a camera can take.
    """
    out = picture.astype(np.float32)
    fields = [_drawn(rng) for _ in range(LAID)]
    strengths = np.exp(rng.normal(2.3, 0.9, LAID)) * (rng.random(LAID) < 0.7)
    out += _painted(_colours(picture, rng), fields, strengths, rng)
    if rng.random() < 0.6:
        _clutter(out, things, fields, rng)
    if rng.random() < 0.5:
        out *= _shade(rng)[..., None]
    if rng.random() < 0.4:
        out = out * np.float32(rng.uniform(1.2, 2.4)) - out.mean() * np.float32(rng.uniform(0, 0.6))
    return np.clip(out, 0, 255).astype(np.uint8)


def _colours(picture: Array, rng: np.random.Generator) -> Array:
    """(H, W) which of the LAID fields each pixel gets: like colours the same."""
    step = int(rng.integers(24, 80))
    coarse = (cv2.medianBlur(picture, 3).astype(np.int32) + rng.integers(0, step, 3).astype(np.int32)) // step
    table = rng.integers(0, LAID, 4096)
    return np.asarray(table[(coarse[..., 0] * 144 + coarse[..., 1] * 12 + coarse[..., 2]) % 4096])


def _painted(which: Array, fields: list[Floats], strengths: Array, rng: np.random.Generator) -> Floats:
    """(H, W, 3) what is added to each pixel: its field, in a tint and strength of its own."""
    tints = ((1 + rng.normal(0, 0.3, (LAID, 3))) * strengths[:, None]).astype(np.float32)
    rough = np.take_along_axis(np.stack(fields), which[None], axis=0)[0]
    return np.asarray(rough[..., None] * tints[which], np.float32)


def _clutter(out: Floats, things: Array, fields: list[Floats], rng: np.random.Generator) -> None:
    """Paint upright patches behind all things: walls, hedges, bridges, boards."""
    h, w = out.shape[:2]
    near = cv2.dilate(things.astype(np.uint8), np.ones((3, 3), np.uint8))
    free = cv2.resize(1 - near, (w, h), interpolation=cv2.INTER_NEAREST) > 0
    for _ in range(int(rng.integers(1, 7))):
        wide, high = rng.uniform(0.04, 0.5) * w, rng.uniform(0.08, 0.6) * h
        x, foot = rng.uniform(-0.1, 1) * w, rng.uniform(0.3, 0.62) * h
        lean = rng.uniform(-0.4, 0.4, 2) * high
        corners = np.asarray([[x, foot], [x + wide, foot + 0.3 * lean[0]], [x + wide, foot - high + lean[1]],
                              [x, foot - high]])  # fmt: skip
        mask = np.zeros((h, w), np.uint8)
        cv2.fillPoly(mask, [corners.astype(np.int32)], 1)
        spot = (mask > 0) & free
        field = fields[int(rng.integers(len(fields)))]
        shade = rng.uniform(0, 230) + rng.normal(0, 20, 3)
        out[spot] = shade.astype(np.float32) + field[spot][:, None] * np.float32(rng.uniform(5, 60))


def _shade(rng: np.random.Generator) -> Floats:
    """(H, W) how much light is left: hard or soft shadows of what is not in the picture, on the ground mostly."""
    field = _cut(_fields()[1 if rng.random() < 0.7 else 0][int(rng.integers(KINDS))], rng)
    if rng.random() < 0.5:
        field = cv2.GaussianBlur(field, (0, 0), 4.0)
    edge = np.float32(rng.uniform(0.05, 0.6))
    dark = np.clip((field - np.float32(rng.uniform(-0.7, 0.7))) / edge, 0, 1)
    return np.asarray(1 - dark * np.float32(rng.uniform(0.2, 0.8)), np.float32)


def _drawn(rng: np.random.Generator) -> Floats:
    sort = _fields()[int(rng.integers(3))]
    return _cut(sort[int(rng.integers(KINDS))], rng)


def _cut(field: Floats, rng: np.random.Generator) -> Floats:
    """(H, W) of a larger field, perhaps mirrored; what lies on the ground keeps its horizon."""
    down, across = (int(rng.integers(room + 1)) for room in (field.shape[0] - HEIGHT_PX, field.shape[1] - WIDTH_PX))
    out = field[down : down + HEIGHT_PX, across : across + WIDTH_PX]
    return out[:, ::-1] if rng.random() < 0.5 else out


@cache
def _fields() -> tuple[list[Floats], list[Floats], list[Floats]]:
    """Rough surfaces seen from the front, rough ground seen along it, and regular ones (bricks, windows, bars); of mean
    0 and deviation 1.
    """
    rng = np.random.default_rng(20)
    rough = [_even(_noise(rng, SHAPE, slope)) for slope in np.linspace(0.2, 2.2, KINDS)]
    ground = [_even(_laid_flat(_noise(rng, (1024, 1024), slope))) for slope in np.linspace(0.6, 2.4, KINDS)]
    return rough, ground, [_even(_regular(rng)) for _ in range(KINDS)]


def _even(field: Floats) -> Floats:
    return np.asarray((field - field.mean()) / max(float(field.std()), 1e-6), np.float32).clip(-2.5, 2.5)


def _noise(rng: np.random.Generator, shape: tuple[int, int], slope: float) -> Floats:
    """Of a spectrum that falls with frequency by `slope`; half of them are of leaves or stones, with hard edges."""
    far = np.hypot(np.fft.fftfreq(shape[0])[:, None], np.fft.rfftfreq(shape[1])[None])
    far[0, 0] = 1.0
    spectrum = np.fft.rfft2(rng.standard_normal(shape)) * far**-slope
    out = np.fft.irfft2(spectrum, shape)
    if rng.random() < 0.5:
        out = np.tanh((out / out.std() - rng.uniform(-0.5, 0.5)) * 4)
    return np.asarray(out, np.float32)


def _laid_flat(field: Floats) -> Floats:
    """As ground of that texture looks: finer and finer towards the horizon, nothing above it."""
    rows, columns = np.mgrid[0:HEIGHT_PX, 0 : SHAPE[1]].astype(np.float32)
    horizon = HORIZON * HEIGHT_PX
    far = np.float32(WIDTH_PX * 0.9) / np.maximum(rows - horizon, 1.5)
    across = (columns - SHAPE[1] / 2) * far / np.float32(WIDTH_PX) * 24 + 512
    out = cv2.remap(field, across, far * 20, cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP)
    return np.asarray(out * np.clip((rows - horizon) / 8, 0, 1), np.float32)


def _regular(rng: np.random.Generator) -> Floats:
    """Rectangles in rows and columns: the one, the other or both."""
    period = rng.uniform(5, 60, 2)
    share = rng.uniform(0.15, 0.7, 2)
    rows, columns = (np.arange(n)[:, None] / p % 1 < s for n, p, s in zip(SHAPE, period, share, strict=True))
    both = [rows & columns.T, rows | columns.T, np.broadcast_to(columns.T, SHAPE)][int(rng.integers(3))]
    fine = rng.standard_normal((SHAPE[0] // 4, SHAPE[1] // 4)).astype(np.float32)
    return both.astype(np.float32) + 0.15 * cv2.resize(fine, SHAPE[::-1])
