"""Calibration compiled into tables that a network reads with Gather: one network serves every rig.

For each coarse cell of the bird's-eye grid (0.8 m, row 0 nearest, column 0 rightmost) `cam_lut` says which row of the
camera's feature map (24 x 80 at 1/8, last row 1920: not seen) lies where the cell's ground, middle and top are seen,
`cam_bin` in which of 64 depths the cell is for the camera, and `aud_lut` from which of 72 azimuths the array hears it.
`cam_rays` and `aud_dir` say where each camera token (12 x 40 at 1/16) and each azimuth looks, and how far from the
camera flat ground would lie there. Training moves the grid, not the sensors: `world_from_grid` is that motion.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fusion_pipeline.arrays import Array, Doubles, Floats, Ints
from fusion_pipeline.encode.audio import AZIMUTHS, azimuths_rad
from fusion_pipeline.encode.grid import FRONT, BevGrid
from fusion_pipeline.encode.image import Fit, fit_of
from fusion_pipeline.geometry.camera import CameraModel
from fusion_pipeline.geometry.pose import Pose
from fusion_pipeline.operations import ImageResize
from fusion_pipeline.rig import Rig

WIDTH_PX, HEIGHT_PX = 640, 192  # of the picture that the network takes
HEIGHTS_M = (0.3, 1.0, 1.8)  # above the vehicle frame's ground: wheels, bodies, heads
MAP, TOKENS = (24, 80), (12, 40)  # feature maps at 1/8 and 1/16
UNSEEN = MAP[0] * MAP[1]
PICTURE = ImageResize(WIDTH_PX, HEIGHT_PX, fit="letterbox_top_left", order="rgb", mean=(0.45,) * 3, std=(0.25,) * 3)
NEAR_M = 1.5  # what is nearer to the camera fills too many cells
DEPTHS = 64  # bins, even in the logarithm from NEAREST_M to FARTHEST_M
NEAREST_M, FARTHEST_M = 2.0, 80.0
FOCAL_PX = 370.0  # depths are as if every lens had this focal length: a thing of one size then looks alike everywhere
RAY = 7  # numbers of a camera token: direction, origin, inverse depth of flat ground
LOWEST_M = 0.2  # a camera nearer to the ground than this says nothing of it


@dataclass(frozen=True, slots=True, eq=False)
class CameraTable:
    """Of one camera; without one, `no_camera()`."""

    lut: Ints  # (26400,) rows of the feature map, cells by HEIGHTS_M
    bins: Ints  # (26400,) depth bin, 0 where not seen
    rays: Floats  # (480, RAY) unit direction and origin / 10 m of each token in the grid's frame; `ground_inverse`


@dataclass(frozen=True, slots=True, eq=False)
class AudioTable:
    """Of one microphone array."""

    lut: Ints  # (8800,) azimuth bin of each cell
    geometry: Floats  # (8800, 4) log range, 1 / range, sin, cos of the azimuth
    directions: Floats  # (72, 2) sin, cos of each bin in the grid's frame


def camera_table(
    model: CameraModel, vehicle_from_camera: Pose, fit: Fit, world_from_grid: Array | None = None,
    middles: Doubles | None = None,
) -> CameraTable:  # fmt: skip
    """The table of a camera whose picture lies in the network's input as `fit` says.

    `world_from_grid` (4, 4) brings the grid's cells, moved by augmentation, to the vehicle frame.
    """
    move = np.eye(4) if world_from_grid is None else np.asarray(world_from_grid, np.float64)
    flat = FRONT.cells() if middles is None else middles
    places = np.concatenate([np.column_stack([flat, np.full(len(flat), high)])[:, None] for high in HEIGHTS_M], axis=1)
    camera_from_vehicle = vehicle_from_camera.inverse()
    local = camera_from_vehicle.apply(places.reshape(-1, 3) @ move[:3, :3].T + move[:3, 3])
    u, v, inside = pictured(local, model, fit)
    inside &= local[:, 2] > NEAR_M
    row, column = np.where(inside, v, 0).astype(np.int64) // 8, np.where(inside, u, 0).astype(np.int64) // 8
    lut = np.where(inside, row * MAP[1] + column, UNSEEN)
    bins = np.where(inside, depth_bins(local[:, 2], model, fit).astype(np.int64), 0)
    v16, u16 = np.meshgrid((np.arange(TOKENS[0]) + 0.5) * 16, (np.arange(TOKENS[1]) + 0.5) * 16, indexing="ij")
    picture = np.stack([(u16.ravel() - fit.offset_x) / fit.scale_x, (v16.ravel() - fit.offset_y) / fit.scale_y], 1)
    back = np.linalg.inv(move)
    local = model.rays(picture)
    ways = local @ vehicle_from_camera.rotation.T @ back[:3, :3].T
    origin = back[:3, :3] @ vehicle_from_camera.translation_m + back[:3, 3]
    ground = ground_inverse(local, model, vehicle_from_camera, fit)
    rays = np.concatenate([ways, np.broadcast_to(origin / 10.0, ways.shape), ground[:, None]], axis=1)
    return CameraTable(lut.astype(np.int64), bins, np.nan_to_num(rays).astype(np.float32))


def pictured(local_m: Doubles, model: CameraModel, fit: Fit) -> tuple[Doubles, Doubles, NDArray[np.bool_]]:
    """Column and row (N,) in the network's picture of places (N, 3) in the camera's frame, and which lie in it."""
    pixels, seen = model.project(local_m)
    u, v = pixels[:, 0] * fit.scale_x + fit.offset_x, pixels[:, 1] * fit.scale_y + fit.offset_y
    with np.errstate(invalid="ignore"):
        return u, v, seen & (u >= 0) & (v >= 0) & (u < WIDTH_PX) & (v < HEIGHT_PX)


def depth_bins(depth_m: Doubles, model: CameraModel, fit: Fit) -> Doubles:
    """Of depths (N,) along the optical axis, as real numbers from 0 to just under DEPTHS."""
    focal = abs(float(model.matrix[0, 0]) * fit.scale_x)
    scaled = np.maximum(depth_m, 1e-3) * (FOCAL_PX / focal)
    at = np.log(scaled / NEAREST_M) * (DEPTHS / np.log(FARTHEST_M / NEAREST_M))
    return np.asarray(np.clip(at, 0.0, DEPTHS - 1e-3), np.float64)


def ground_inverse(rays: Doubles, model: CameraModel, vehicle_from_camera: Pose, fit: Fit) -> Doubles:
    """(N,) 1 / m, one over the depth at which rays (N, 3) of the camera meet the vehicle frame's ground, scaled as by
    `depth_bins`; negative above the horizon. Of a lens without distortion it is linear in the picture's rows.
    """
    down = -(rays @ vehicle_from_camera.rotation[2]) / np.maximum(rays[:, 2], 0.1)
    focal = abs(float(model.matrix[0, 0]) * fit.scale_x)
    return np.asarray(down / max(float(vehicle_from_camera.translation_m[2]), LOWEST_M) * (focal / FOCAL_PX))


def no_camera(grid: BevGrid = FRONT) -> CameraTable:
    """Nothing is seen."""
    count = grid.coarse[0] * grid.coarse[1] * len(HEIGHTS_M)
    return CameraTable(np.full(count, UNSEEN, np.int64), np.zeros(count, np.int64),
                       np.zeros((TOKENS[0] * TOKENS[1], RAY), np.float32))  # fmt: skip


def audio_table(origin_m: Array, world_from_grid: Array | None = None, middles: Doubles | None = None) -> AudioTable:
    """The table of an array whose middle is at `origin_m` (3,) in the vehicle frame."""
    move = np.eye(4) if world_from_grid is None else np.asarray(world_from_grid, np.float64)
    flat = FRONT.cells() if middles is None else middles
    places = np.column_stack([flat, np.full(len(flat), 1.0)]) @ move[:3, :3].T + move[:3, 3]
    offset = places[:, :2] - np.asarray(origin_m, np.float64)[:2]
    far = np.maximum(np.hypot(*offset.T), 0.5)
    azimuth = np.arctan2(offset[:, 1], offset[:, 0])
    bins = np.rint(azimuth * AZIMUTHS / (2 * np.pi)).astype(np.int64) % AZIMUTHS
    geometry = np.stack([np.log(far), 1 / far, np.sin(azimuth), np.cos(azimuth)], axis=1)
    towards = np.stack([np.cos(azimuths_rad()), np.sin(azimuths_rad()), np.zeros(AZIMUTHS)], axis=1)
    turned = towards @ np.linalg.inv(move)[:3, :3].T
    turned /= np.maximum(np.linalg.norm(turned[:, :2], axis=1, keepdims=True), 1e-6)
    return AudioTable(bins, geometry.astype(np.float32), turned[:, [1, 0]].astype(np.float32))


def rig_tables(rig: Rig, grid: BevGrid = FRONT, cameras: int = 1) -> dict[str, Array]:
    """The network's inputs cam_lut, cam_bin, cam_rays, aud_lut, aud_geo and aud_dir for the first `cameras` cameras and
    the first array of a rig.
    """
    middles = grid.cells()
    views = [no_camera(grid)] * cameras
    for k, mount in enumerate(list(rig.cameras.values())[:cameras]):
        fit = fit_of(mount.model.width_px, mount.model.height_px, PICTURE)
        views[k] = camera_table(mount.model, mount.vehicle_from_sensor, fit, None, middles)
    seen = joined(views)
    arrays = list(rig.audios.values())
    heard = audio_table(arrays[0].vehicle_from_sensor.translation_m if arrays else np.zeros(3), None, middles)
    return {
        "cam_lut": seen.lut, "cam_bin": seen.bins, "cam_rays": seen.rays[None], "aud_lut": heard.lut,
        "aud_geo": heard.geometry, "aud_dir": heard.directions[None],
    }  # fmt: skip


def joined(views: Sequence[CameraTable]) -> CameraTable:
    """Several cameras' tables as one: each cell and height is looked up in the first camera that sees it."""
    lut = np.full(len(views[0].lut), UNSEEN * len(views), np.int64)
    bins = np.zeros(len(lut), np.int64)
    for k in reversed(range(len(views))):
        there = views[k].lut < UNSEEN
        lut = np.where(there, views[k].lut + k * UNSEEN, lut)
        bins = np.where(there, views[k].bins, bins)
    return CameraTable(lut, bins, np.concatenate([view.rays for view in views]))
