"""What a ride's camera gives to learn from: its picture through another lens and of other colours, classes, depths."""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np

from fusion_pipeline.arrays import Array, Doubles, Floats
from fusion_pipeline.encode.image import Fit, prepare
from fusion_pipeline.encode.lookup import HEIGHT_PX, MAP, PICTURE, WIDTH_PX, depth_bins, pictured
from fusion_pipeline.geometry.camera import CameraModel
from fusion_pipeline.geometry.pose import Pose
from fusion_pipeline.train.rides import Ride
from fusion_pipeline.train.textures import textured

WHOLE = Fit(1.0, 1.0, 0.0, 0.0)
NOTHING = 5  # class of what is none of the things
TEXTURED = 0.6  # of the pictures get textures that no renderer of ours has


@dataclass(frozen=True, slots=True, eq=False)
class View:
    """One picture, what is seen in it, and where it was taken from as far as the network is told."""

    image: Floats  # (3, 192, 640)
    classes: Array  # (24, 80); NOTHING: none of them
    depths: Floats  # (24, 80) depth bins as real numbers, -1 where nobody knows
    model: CameraModel
    pose: Pose  # vehicle_from_camera
    fit: Fit  # of the picture in the network's input


def lens_of(ride: Ride) -> CameraModel:
    """The ride's camera."""
    return lens(ride.matrix)


def lens(matrix: Doubles) -> CameraModel:
    """One without distortion, (3, 3), as all of a ride's are."""
    return CameraModel("pinhole", WIDTH_PX, HEIGHT_PX, matrix, np.zeros(0))


def plain_view(ride: Ride) -> View:
    """The picture as it is."""
    return _view(ride, ride.picture(), ride.classes, Pose(ride.camera[:3, :3], ride.camera[:3, 3]), WHOLE)


def changed_view(ride: Ride, fit: Fit, rng: np.random.Generator) -> View:
    """As another camera would have taken it, through the lens of `fit`, its calibration a little wrong."""
    pose = _shaken(rng) @ Pose(ride.camera[:3, :3], ride.camera[:3, 3])
    picture = ride.picture()
    if rng.random() < TEXTURED:
        picture = textured(picture, ride.classes != NOTHING, rng)
    picture = _laid(_developed(picture, rng), fit, 1.0, 114, cv2.INTER_LINEAR)
    classes = _laid(ride.classes.astype(np.uint8), fit, 8.0, NOTHING, cv2.INTER_NEAREST).astype(np.int64)
    return _view(ride, picture, classes, pose, fit)


def _view(ride: Ride, picture: Array, classes: Array, pose: Pose, fit: Fit) -> View:
    model = lens_of(ride)
    return View(prepare(picture, PICTURE)[0], classes, _depths(ride, model, fit), model, pose, fit)


def drawn_lens(rng: np.random.Generator) -> Fit:
    """Another lens: mirrored, larger or smaller, and elsewhere on the sensor; the tables follow."""
    scale = float(np.exp(rng.uniform(-0.1, 0.25))) if rng.random() < 0.7 else 1.0
    across, down = (1 - scale) * WIDTH_PX / 2, (1 - scale) * HEIGHT_PX / 2
    fit = Fit(scale, scale, across + float(rng.uniform(-20, 20)), down + float(rng.uniform(-12, 12)))
    if rng.random() < 0.5:
        fit = Fit(-fit.scale_x, fit.scale_y, WIDTH_PX - fit.offset_x, fit.offset_y)
    return fit


def _laid(values: Array, fit: Fit, cell: float, empty: int, how: int) -> Array:
    """Pixels of `cell` x `cell` picture pixels laid as `fit` says; both count from the pixels' edges."""
    half = 0.5  # OpenCV counts from the middle of the first pixel
    matrix = np.asarray([
        [fit.scale_x, 0, fit.offset_x / cell + half * fit.scale_x - half],
        [0, fit.scale_y, fit.offset_y / cell + half * fit.scale_y - half],
    ])  # fmt: skip
    size = (values.shape[1], values.shape[0])
    return cv2.warpAffine(values, matrix, size, flags=how, borderValue=(empty,) * 3)


def _depths(ride: Ride, model: CameraModel, fit: Fit) -> Floats:
    """(24, 80) depth bins of the nearest scan point in each cell of the picture."""
    pose = Pose(ride.camera[:3, :3], ride.camera[:3, 3]).inverse()
    ahead = ride.xyz_m[(ride.xyz_m[:, 0] > 2.0) & (np.abs(ride.xyz_m[:, 1]) < 1.2 * ride.xyz_m[:, 0] + 2)][::2]
    local = pose.apply(ahead.astype(np.float64))
    u, v, good = pictured(local, model, fit)
    cell = (v[good] // 8).astype(np.int64) * MAP[1] + (u[good] // 8).astype(np.int64)
    out = np.full(MAP[0] * MAP[1], np.inf)
    np.minimum.at(out, cell, depth_bins(local[good, 2], model, fit))
    return np.where(np.isinf(out), -1.0, out).reshape(MAP).astype(np.float32)


def _shaken(rng: np.random.Generator) -> Pose:
    """Calibration is never perfect, nor are clocks."""
    if rng.random() < 0.5:
        return Pose.identity()
    roll, pitch, yaw = np.deg2rad(rng.normal(0, 0.25, 3)).tolist()
    return Pose.from_euler(roll, pitch, yaw, rng.normal(0, 0.03, 3))


def elsewhere(view: View) -> View:
    """The picture mirrored, but not where it was taken from: nothing in it is where the tables say."""
    image, classes, depths = (np.ascontiguousarray(part[..., ::-1]) for part in (view.image, view.classes, view.depths))
    return replace(view, image=image, classes=classes, depths=depths)


def _developed(picture: Array, rng: np.random.Generator) -> Array:
    """Colours, brightness, contrast, blur and noise of another camera."""
    out = picture.astype(np.float32)
    if rng.random() < 0.5:
        out = out[:, :, rng.permutation(3)]
    out *= np.exp(rng.normal(0, 0.12, 3)).astype(np.float32)
    if rng.random() < 0.4:
        out = _made_strange(out, rng)
    grey = out.mean()
    out = (out - grey) * np.float32(rng.uniform(0.6, 1.4)) + grey * np.float32(rng.uniform(0.6, 1.3))
    if rng.random() < 0.3:
        out = out.mean(axis=2, keepdims=True) * 0.8 + out * 0.2
    if rng.random() < 0.3:
        out = cv2.GaussianBlur(out, (0, 0), float(rng.uniform(0.4, 1.4)))
    if rng.random() < 0.4:
        out = out + rng.standard_normal(out.shape, np.float32) * np.float32(rng.uniform(2, 10))
    if rng.random() < 0.15:  # something sticks to the lens
        x, y = int(rng.integers(0, 500)), int(rng.integers(0, 120))
        out[y : y + int(rng.integers(20, 90)), x : x + int(rng.integers(40, 200))] = rng.uniform(0, 200)
    return np.ascontiguousarray(np.clip(out, 0, 255).astype(np.uint8))


def _made_strange(picture: Array, rng: np.random.Generator) -> Array:
    """Light, colours and textures that no renderer of ours has: what is left to go by is shape.

    Random filters after Xu et al., "Robust and generalizable visual representation learning via random convolutions",
    2021.
    """
    h, w = picture.shape[:2]
    out = picture * cv2.resize(rng.uniform(0.5, 1.5, (3, 5)).astype(np.float32), (w, h))[..., None]
    mixed = np.eye(3) + rng.normal(0, 0.25, (3, 3))
    out = cv2.transform(out, mixed / np.abs(mixed).sum(axis=1, keepdims=True))
    kernel = rng.normal(0, 1, (3, 3))
    kernel = kernel / np.abs(kernel).sum() + np.asarray([[0, 0, 0], [0, 1.0, 0], [0, 0, 0]])
    out = cv2.filter2D(out, -1, kernel.astype(np.float32) / np.float32(max(abs(kernel.sum()), 0.3)))
    cell = int(rng.integers(2, 12))
    rough = rng.normal(0, rng.uniform(0, 12), (h // cell + 1, w // cell + 1, 3)).astype(np.float32)
    out = np.clip(out + cv2.resize(rough, (w, h)), 0, 400)
    return np.asarray(255 * (out / 255) ** np.float32(rng.uniform(0.6, 1.6)), np.float32)
