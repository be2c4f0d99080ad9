"""Cached rides to lessons: senses dropped, the grid moved, the picture and the clocks a little wrong, targets made."""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np

from fusion_pipeline.arrays import Array, Doubles, Floats
from fusion_pipeline.encode.image import Fit, prepare
from fusion_pipeline.encode.lookup import (
    COARSE_M,
    HEIGHT_PX,
    PICTURE,
    RIGHT_M,
    WIDTH_PX,
    audio_table,
    camera_table,
    cells,
)
from fusion_pipeline.encode.points import BevRaster
from fusion_pipeline.geometry.camera import CameraModel
from fusion_pipeline.geometry.pose import Pose
from fusion_pipeline.train.cache import Sample
from fusion_pipeline.train.data import COLS, ROWS, Target, augment, target
from fusion_pipeline.train.rides import AUDIBLE_DB, FAINT_DB, Ride

MIXES = ((1, 1, 1), (1, 1, 0), (1, 0, 0), (0, 1, 0), (0, 1, 1), (1, 0, 1), (0, 0, 1))  # lidar, camera, audio
SHARES = (0.28, 0.14, 0.14, 0.24, 0.09, 0.05, 0.06)
CAMERA_BLUR = 0.06  # cells per metre of range, where there is no LiDAR
MIN_POINTS, MIN_PIXELS = 5, 40
SIGMA_RAD = np.deg2rad(6.0)  # of a sound's hill in azimuth
SENSED = 0.7  # of lessons with LiDAR have earlier sweeps


@dataclass(frozen=True, slots=True, eq=False)
class Lesson:
    """One ride as the network sees it, and what it should say. `h`, `w` are cells of the cropped coarse grid."""

    target: Target  # raster, heat and weight cut to the window; cells counted from its corner
    corner: tuple[int, int]  # row and column of the window, in fine cells
    image: Floats  # (3, 192, 640)
    cam_lut: Array  # (h * w * 3,)
    cam_rays: Floats  # (480, 6)
    srp: Floats  # (16, 16, 72)
    level: Floats  # (16, 16)
    aud_lut: Array  # (h * w,)
    aud_geo: Floats  # (h * w, 4)
    aud_dir: Floats  # (72, 2)
    present: Floats  # (4,)
    classes: Array  # (24, 80) of the picture
    events: Floats  # (8, 72) 0 to 1; -1 where nothing is taught


@dataclass(frozen=True, slots=True, eq=False)
class Options:
    """How hard lessons are."""

    crop: tuple[int, int] = (128, 128)
    augmented: bool = True
    mix: tuple[int, int, int] | None = None  # senses that are there; None: drawn


def lesson(ride: Ride, raster: BevRaster, rng: np.random.Generator, options: Options = Options()) -> Lesson:
    """A lesson of a ride."""
    mix = options.mix or MIXES[int(rng.choice(len(MIXES), p=SHARES))]
    sweeps = bool(mix[0]) and (rng.random() < SENSED or not options.augmented)
    visible = np.zeros(len(ride.labels), np.int64)
    if mix[0]:
        visible = np.maximum(visible, ride.points * (ride.points >= MIN_POINTS))
    if mix[1]:
        visible = np.maximum(visible, np.where(ride.pixels >= MIN_PIXELS, 10 * MIN_POINTS, 0))
    if not (mix[0] or mix[1]):
        visible[:] = MIN_POINTS - 1  # sound alone says where, not what and how large: neither taught nor punished
    # A thing that no sense sees well enough but one sees a little is neither taught nor punished (see `target`).
    move, sample, before = moved(ride, visible, rng) if options.augmented else _still(ride, visible)
    if not mix[0]:
        sample = replace(sample, xyz_m=np.zeros((0, 3), np.float32), intensity=np.zeros(0, np.float32),
                         points=visible)  # fmt: skip
        before = (before[0][:0], before[1][:0])
    elif not sweeps:
        before = (before[0][:0], before[1][:0])
    whole = target(sample, raster, before, 0.0 if mix[0] else CAMERA_BLUR)
    r, c = _corner(rng, options)
    window = slice(r, r + options.crop[0]), slice(c, c + options.crop[1])
    cut = replace(
        whole, raster=whole.raster[:, *window], heat=whole.heat[:, *window], weight=whole.weight[window],
    )  # fmt: skip
    back = np.linalg.inv(move)
    middles = cells(slice(r // 2, (r + options.crop[0]) // 2), slice(c // 2, (c + options.crop[1]) // 2))
    pose = Pose(ride.camera[:3, :3], ride.camera[:3, 3])
    if options.augmented:
        pose = _shaken(rng) @ pose
    model = CameraModel("pinhole", WIDTH_PX, HEIGHT_PX, ride.matrix, np.zeros(0))
    seen = camera_table(model, pose, Fit(1.0, 1.0, 0.0, 0.0), back, middles)
    heard = audio_table(ride.array_m, back, middles)
    picture = ride.picture()
    if options.augmented:
        picture = _developed(picture, rng)
    return Lesson(
        cut, (r, c), prepare(picture, PICTURE)[0], seen.lut, seen.rays, ride.srp, ride.level, heard.lut, heard.geometry,
        heard.directions, np.asarray([*mix, sweeps], np.float32), ride.classes, events_of(ride),
    )  # fmt: skip


def events_of(ride: Ride) -> Floats:
    """(8, 72) what is to be heard in a ride."""
    return hills(ride.sounds)


def hills(sounds: Array) -> Floats:
    """(8, 72): hills at the azimuths of audible sounds, -1 around faint ones; `sounds` (S, 3) class, azimuth, level."""
    out = np.zeros((8, 72), np.float32)
    bins = np.arange(72) * (2 * np.pi / 72)
    for label, azimuth, level in sorted(sounds.tolist(), key=lambda row: row[2]):
        away = np.angle(np.exp(1j * (bins - azimuth)))
        row = out[int(label)]
        if level >= AUDIBLE_DB:
            np.maximum(row, np.exp(-0.5 * (away / SIGMA_RAD) ** 2), out=row)
        elif level >= FAINT_DB:
            row[np.abs(away) < 3 * SIGMA_RAD] = np.where(row > 0.1, row, -1)[np.abs(away) < 3 * SIGMA_RAD]
    return out


def _corner(rng: np.random.Generator, options: Options) -> tuple[int, int]:
    rows, columns = ROWS - options.crop[0], COLS - options.crop[1]
    if not options.augmented:
        return 0, columns // 2 // 8 * 8
    r = int(rng.choice(np.asarray([0, rng.integers(0, rows + 1)]))) // 8 * 8
    c = int(np.clip(rng.normal(columns / 2, columns / 4), 0, columns)) // 8 * 8
    return r, c


def _still(ride: Ride, visible: Array) -> tuple[Doubles, Sample, tuple[Floats, Floats]]:
    return np.eye(4), Sample(ride.xyz_m, ride.intensity, ride.boxes.copy(), ride.labels, visible), ride.before_m


def moved(ride: Ride, visible: Array, rng: np.random.Generator) -> tuple[Doubles, Sample, tuple[Floats, Floats]]:
    """The LiDAR's augmentation, the motion it stands for (4, 4), and earlier sweeps moved alike.

    The motion is read off four marked points, so that `augment` stays the one place where it is drawn.
    """
    marks = np.asarray([[0, 0, 0], [30, 0, 0], [0, 30, 0], [0, 0, 30]], np.float32)
    counts = [len(ride.before_m[0]), len(ride.before_m[1])]
    sample = Sample(ride.xyz_m, ride.intensity, ride.boxes, ride.labels, visible)
    changed, carried = augment(sample, rng, np.concatenate([marks, *ride.before_m]))
    origin, ends = carried[0].astype(np.float64), carried[1:4].astype(np.float64)
    move = np.eye(4)
    move[:3, :3] = ((ends - origin) / 30.0).T
    move[:3, 3] = origin
    first, second = carried[4 : 4 + counts[0]], carried[4 + counts[0] :]
    return move, changed, (first, second)


def _shaken(rng: np.random.Generator) -> Pose:
    """Calibration is never perfect, nor are clocks."""
    if rng.random() < 0.5:
        return Pose.identity()
    roll, pitch, yaw = np.deg2rad(rng.normal(0, 0.25, 3)).tolist()
    return Pose.from_euler(roll, pitch, yaw, rng.normal(0, 0.03, 3))


def _developed(picture: Array, rng: np.random.Generator) -> Array:
    """Colours, brightness, contrast, blur and noise of another camera."""
    out = picture.astype(np.float32)
    if rng.random() < 0.5:
        out = out[:, :, rng.permutation(3)]
    out *= np.exp(rng.normal(0, 0.12, 3)).astype(np.float32)
    grey = out.mean()
    out = (out - grey) * np.float32(rng.uniform(0.6, 1.4)) + grey * np.float32(rng.uniform(0.6, 1.3))
    if rng.random() < 0.3:
        out = out.mean(axis=2, keepdims=True) * 0.8 + out * 0.2
    if rng.random() < 0.3:
        out = cv2.GaussianBlur(out, (0, 0), float(rng.uniform(0.4, 1.4)))
    if rng.random() < 0.4:
        out = out + rng.normal(0, rng.uniform(2, 10), out.shape).astype(np.float32)
    if rng.random() < 0.15:  # something sticks to the lens
        x, y = int(rng.integers(0, 500)), int(rng.integers(0, 120))
        out[y : y + int(rng.integers(20, 90)), x : x + int(rng.integers(40, 200))] = rng.uniform(0, 200)
    return np.ascontiguousarray(np.clip(out, 0, 255).astype(np.uint8))


def place(corner: tuple[int, int], crop: tuple[int, int]) -> tuple[Doubles, Doubles]:
    """x, y (h / 4, w / 4) of the parts of the window that ask in the attention, in metres."""
    step = COARSE_M * 4
    x = corner[0] / 2 * COARSE_M + (np.arange(crop[0] // 8) + 0.5) * step
    y = corner[1] / 2 * COARSE_M + RIGHT_M + (np.arange(crop[1] // 8) + 0.5) * step
    grid = np.meshgrid(x, y, indexing="ij")
    return grid[0], grid[1]
