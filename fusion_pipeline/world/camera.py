"""A camera in a drive: surfaces in sunlight, the street's paint, sky and haze."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from fusion_pipeline.arrays import Bytes, Doubles, Floats
from fusion_pipeline.rig import CameraMount
from fusion_pipeline.world.drive import Drive
from fusion_pipeline.world.materials import Material
from fusion_pipeline.world.surfaces import RayGrid
from fusion_pipeline.world.view import View

REACH_M = 130.0
SUN = np.asarray([-0.55, 0.42, 0.72]) / np.linalg.norm([-0.55, 0.42, 0.72])
_AXES = np.asarray([[0.0, 0, 1], [1, 0, 0], [0, 1, 0]])  # optical x y z to forward, sideways, upright


class SimulatedCamera:
    """Pictures of one pinhole camera; distorted and fisheye lenses are refused."""

    def __init__(self, drive: Drive, mount: CameraMount, noise: float = 1.5) -> None:
        """`noise` is the standard deviation of a pixel, of 255. Raises ValueError for a lens that is not drawn."""
        model = mount.model
        if model.model != "pinhole" or np.any(model.distortion):
            raise ValueError("only pinhole cameras without distortion are simulated; rectify the rig's camera")
        matrix = model.matrix
        columns = (np.arange(model.width_px) - matrix[0, 2]) / matrix[0, 0]
        rows = (np.arange(model.height_px) - matrix[1, 2]) / matrix[1, 1]
        grid = RayGrid(columns, np.ones(model.width_px), rows)
        self.view = View(drive, mount.vehicle_from_sensor, _AXES, grid, REACH_M)
        self._noise = noise
        shiny = np.isin(self.view.materials, (Material.GLASS, Material.PAINT, Material.DARK_PAINT))
        self._shine = np.where(shiny, 0.35, 0.0).astype(np.float32)

    def picture(self, seconds: float, seed: int = 0) -> Bytes:
        """(height, width, 3) B, G, R of the drive at `seconds`."""
        axes_from_world = self.view.look(seconds)
        grid, ground = self.view.surfaces.grid, self.view.drive.ground
        world_from_axes = axes_from_world.inverse()
        height, width = len(grid.slope), len(grid.ratio)
        out = np.empty((height, width, 3), np.float32)
        _shade(
            self.view.surfaces.inverse, self.view.surfaces.ids, grid.ratio, grid.slope,
            np.ascontiguousarray(world_from_axes.rotation), world_from_axes.translation_m,
            self.view.normals, self.view.colours, self._shine, ground.pixels, ground.low_m, ground.cell_m,
            self.view.drive.ring_m, SUN, out,
        )  # fmt: skip
        rng = np.random.default_rng(seed)
        grain = rng.integers(0, 256, (height, width), dtype=np.uint8)
        out += (_GRAIN[grain] * np.float32(self._noise))[..., None]
        np.clip(out, 0, 255, out=out)
        return out.astype(np.uint8)

    def depth_m(self) -> Floats:
        """(height, width) distance along the optical axis in the last picture; 0 where nothing but ground or sky is."""
        inverse = self.view.surfaces.inverse.T
        return np.divide(1.0, inverse, out=np.zeros_like(inverse), where=inverse > 0)


# A bell of 256 values, mean 0 and standard deviation 1: cheaper to look up than to draw anew for each pixel.
_GRAIN: Floats = np.asarray(np.random.default_rng(0).normal(0, 1, 256), np.float32)


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _shade(
    inverse: Any, ids: Any, ratio: Any, slope: Any, turn: Any, eye: Any, normals: Any, colours: Any, shine: Any,
    ground: Any, low: float, cell: float, ring: float, sun: Doubles, out: Any,
) -> None:  # fmt: skip
    for v in range(len(slope)):
        for u in range(len(ratio)):
            # The ray in the world, one metre of forward long.
            x = turn[0, 0] + turn[0, 1] * ratio[u] + turn[0, 2] * slope[v]
            y = turn[1, 0] + turn[1, 1] * ratio[u] + turn[1, 2] * slope[v]
            z = turn[2, 0] + turn[2, 1] * ratio[u] + turn[2, 2] * slope[v]
            long = np.sqrt(x * x + y * y + z * z)
            up = min(max(z / long, 0.0), 1.0)
            fade = min(up * 3.0, 1.0)
            sky_r = 0.80 + (0.33 - 0.80) * fade
            sky_g = 0.86 + (0.55 - 0.86) * fade
            sky_b = 0.93 + (0.86 - 0.93) * fade
            near = inverse[u, v]
            t = -eye[2] / z if z < -1e-6 else np.inf
            if near <= 0 and t == np.inf:
                r, g, b, far = sky_r, sky_g, sky_b, 0.0
            elif near > 0 and (t == np.inf or near * t >= 1):
                n = ids[u, v]
                far = long / near
                nx, ny, nz = normals[n, 0], normals[n, 1], normals[n, 2]
                if nx * x + ny * y + nz * z > 0:
                    nx, ny, nz = -nx, -ny, -nz
                direct = max(nx * sun[0] + ny * sun[1] + nz * sun[2], 0.0)
                light = 0.48 + 0.14 * nz + 0.62 * direct
                r, g, b = colours[n, 0] * light, colours[n, 1] * light, colours[n, 2] * light
                if shine[n] > 0:
                    # The sky in the lacquer: the more, the flatter it is seen.
                    cosine = abs(nx * x + ny * y + nz * z) / long
                    mirrored = z / long + 2 * cosine * nz
                    gain = shine[n] * (0.25 + 0.75 * (1 - cosine) ** 3) * min(max(mirrored + 0.2, 0.0), 1.0)
                    r, g, b = r + gain * (0.62 - r * 0.5), g + gain * (0.74 - g * 0.5), b + gain * (0.9 - b * 0.5)
            else:
                far = long * t
                px, py = eye[0] + t * x, eye[1] + t * y
                i, j = int((py - low) / cell), int((px % ring) / cell)
                i, j = min(max(i, 0), ground.shape[0] - 1), min(j, ground.shape[1] - 1)
                r, g, b = ground[i, j, 0] / 230.0, ground[i, j, 1] / 230.0, ground[i, j, 2] / 230.0
            haze = 1 - np.exp(-far / 170.0) if far > 0 else 0.0
            haze *= 0.75
            out[v, u, 0] = 255 * min(b + (0.90 - b) * haze, 1.0)
            out[v, u, 1] = 255 * min(g + (0.87 - g) * haze, 1.0)
            out[v, u, 2] = 255 * min(r + (0.84 - r) * haze, 1.0)
