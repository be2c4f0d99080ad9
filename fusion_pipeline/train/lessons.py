"""Cached rides to lessons: senses dropped, the grid moved, the picture and the clocks a little wrong, targets made."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from fusion_pipeline.arrays import Array, Doubles, Floats, Ints
from fusion_pipeline.encode.grid import COARSE_M, FRONT
from fusion_pipeline.encode.image import Fit
from fusion_pipeline.encode.lookup import (
    UNSEEN,
    audio_table,
    camera_table,
    pictured,
)
from fusion_pipeline.encode.paint import painted_by, picture_rows
from fusion_pipeline.encode.points import BevRaster
from fusion_pipeline.geometry.pose import Pose
from fusion_pipeline.train.cache import Sample
from fusion_pipeline.train.data import COLS, ROWS, Target, augment, target
from fusion_pipeline.train.mirrors import BACKWARDS, SIDEWAYS, mirrored
from fusion_pipeline.train.rides import AUDIBLE_DB, FAINT_DB, Ride
from fusion_pipeline.train.views import WHOLE, changed_view, drawn_lens, elsewhere, lens_of, plain_view

MIXES = ((1, 1, 1), (1, 1, 0), (1, 0, 0), (0, 1, 0), (0, 1, 1), (1, 0, 1), (0, 0, 1))  # lidar, camera, audio
SHARES = (0.28, 0.14, 0.14, 0.24, 0.09, 0.05, 0.06)
CAMERA_BLUR = 0.06  # cells per metre of range, where there is no LiDAR
MIN_POINTS, MIN_PIXELS = 5, 40
SIGMA_RAD = np.deg2rad(6.0)  # of a sound's hill in azimuth
BEHIND, ASIDE = 0.12, 0.2  # of lessons lie behind the vehicle and beside it: for the network that looks all round
SENSED = 0.7  # of lessons with LiDAR have earlier sweeps
ODD = 0.08  # of lessons with LiDAR and camera have a picture that does not belong to what the LiDAR sees
PAINT_SHARE = 0.4  # of lessons with LiDAR are painted by the camera, whether it is there otherwise or not


@dataclass(frozen=True, slots=True, eq=False)
class Lesson:
    """One ride as the network sees it, and what it should say. `h`, `w` are cells of the cropped coarse grid."""

    target: Target  # raster, heat and weight cut to the window; cells counted from its corner
    corner: tuple[int, int]  # row and column of the window, in fine cells
    image: Floats  # (3, 192, 640)
    cam_lut: Array  # (h * w * 3,)
    cam_bin: Array  # (h * w * 3,)
    cam_rays: Floats  # (480, RAY)
    srp: Floats  # (16, 16, 72)
    level: Floats  # (16, 16)
    aud_lut: Array  # (h * w,)
    aud_geo: Floats  # (h * w, 4)
    aud_dir: Floats  # (72, 2)
    present: Floats  # (4,)
    classes: Array  # (24, 80) of the picture
    depths: Floats  # (24, 80) depth bins as real numbers, -1 where nobody knows
    events: Floats  # (8, 72) 0 to 1; -1 where nothing is taught
    paint_rows: Ints  # (4, 2 h, 2 w) rows of the picture's map that paint the raster; UNSEEN where nothing does


@dataclass(frozen=True, slots=True, eq=False)
class Options:
    """How hard lessons are."""

    crop: tuple[int, int] = (128, 128)
    augmented: bool = True
    mix: tuple[int, int, int] | None = None  # senses that are there; None: drawn
    paints: bool | None = None  # whether the camera paints the raster; None: drawn
    shares: tuple[float, ...] = SHARES  # how often each of MIXES is drawn
    around: bool = True  # whether some lie behind and beside the vehicle


def lesson(
    ride: Ride, raster: BevRaster, rng: np.random.Generator, options: Options = Options(), scan: Sample | None = None
) -> Lesson:
    """A lesson of a ride; for the LiDAR alone another `scan` may take the place of the ride's."""
    mix = options.mix or drawn_mix(rng, options.shares)
    fit = drawn_lens(rng) if options.augmented else WHOLE
    sweeps = bool(mix[0]) and scan is None and (rng.random() < SENSED or not options.augmented)
    own = ride if scan is None else _with_scan(ride, scan)
    visible = np.zeros(len(own.labels), np.int64)
    if mix[0]:
        visible = np.maximum(visible, own.points * (own.points >= MIN_POINTS))
    odd = options.augmented and mix[0] and mix[1] and rng.random() < ODD
    if mix[1] and not odd:
        pictured = (ride.pixels >= MIN_PIXELS) & (_in_picture(ride, fit) | (not options.augmented))
        visible = np.maximum(visible, np.where(pictured, 10 * MIN_POINTS, 0))
    if not (mix[0] or mix[1]):
        visible[:] = MIN_POINTS - 1  # sound alone says where, not what and how large: neither taught nor punished
    # A thing that no sense sees well enough but one sees a little is neither taught nor punished (see `target`).
    move, sample, before = moved(own, visible, rng) if options.augmented else _still(own, visible)
    if not mix[0]:
        sample = replace(sample, xyz_m=np.zeros((0, 3), np.float32), intensity=np.zeros(0, np.float32),
                         points=visible)  # fmt: skip
        before = (before[0][:0], before[1][:0])
    elif not sweeps:
        before = (before[0][:0], before[1][:0])
    whole = target(sample, raster, before, 0.0 if mix[0] else CAMERA_BLUR)
    paints = options.paints if options.paints is not None else rng.random() < PAINT_SHARE and scan is None
    r, c = _corner(rng, options)
    window = slice(r, r + options.crop[0]), slice(c, c + options.crop[1])
    cut = replace(
        whole, raster=whole.raster[:, *window], heat=whole.heat[:, *window], weight=whole.weight[window],
    )  # fmt: skip
    back = np.linalg.inv(move)
    middles = FRONT.cells(slice(r // 2, (r + options.crop[0]) // 2), slice(c // 2, (c + options.crop[1]) // 2))
    view = changed_view(ride, fit, rng) if options.augmented else plain_view(ride)
    if odd:
        view = elsewhere(view)
    seen = camera_table(view.model, view.pose, fit, back, middles)
    paint_rows = np.full((4, *options.crop), UNSEEN, np.int64)
    if paints and mix[0]:
        rows = picture_rows(sample.xyz_m, view.model, view.pose.inverse().matrix @ back, fit)
        paint_rows = painted_by(raster, sample.xyz_m, rows)[:, *window]
    heard = audio_table(ride.array_m, back, middles)
    made = Lesson(
        cut, (r, c), view.image, seen.lut, seen.bins, seen.rays, ride.srp, ride.level, heard.lut,
        heard.geometry, heard.directions, np.asarray([*mix, sweeps], np.float32), view.classes,
        view.depths, events_of(ride), paint_rows,
    )  # fmt: skip
    if options.augmented and options.around and rng.random() < BEHIND:
        made = mirrored(made, BACKWARDS)
    if options.augmented and options.around and options.crop[0] == options.crop[1] and rng.random() < ASIDE:
        made = mirrored(made, SIDEWAYS)
    return made


def drawn_mix(rng: np.random.Generator, shares: tuple[float, ...] = SHARES) -> tuple[int, int, int]:
    """Senses that are there, by chance."""
    return MIXES[int(rng.choice(len(MIXES), p=shares))]


def _with_scan(ride: Ride, scan: Sample) -> Ride:
    """The ride with another scan and its truth in the place of its own, and no sweeps before."""
    nothing = np.zeros((0, 3), np.float32)
    return replace(
        ride, xyz_m=scan.xyz_m, intensity=scan.intensity, before_m=(nothing, nothing),
        boxes=scan.boxes.astype(np.float32), labels=scan.labels, points=scan.points,
        pixels=np.zeros(len(scan.labels), np.int64),
    )  # fmt: skip


def _in_picture(ride: Ride, fit: Fit) -> Array:
    """(M,) whether a thing's middle lies in the picture."""
    local = Pose(ride.camera[:3, :3], ride.camera[:3, 3]).inverse().apply(ride.boxes[:, :3].astype(np.float64))
    return pictured(local, lens_of(ride), fit)[2]


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


def place(corner: tuple[int, int], crop: tuple[int, int]) -> tuple[Doubles, Doubles]:
    """x, y (h / 4, w / 4) of the parts of the window that ask in the attention, in metres."""
    step = COARSE_M * 4
    x = corner[0] / 2 * COARSE_M + (np.arange(crop[0] // 8) + 0.5) * step
    y = corner[1] / 2 * COARSE_M + FRONT.y_m[0] + (np.arange(crop[1] // 8) + 0.5) * step
    grid = np.meshgrid(x, y, indexing="ij")
    return grid[0], grid[1]
