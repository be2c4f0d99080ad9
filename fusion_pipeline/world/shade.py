"""The light along each ray of a camera: surfaces in sun or headlights, shadows, the street's paint, haze, sky."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

SUN = np.asarray([-0.55, 0.42, 0.72]) / np.linalg.norm([-0.55, 0.42, 0.72])
SUN_X, SUN_Y, SUN_Z = (float(value) for value in SUN)
GROUND, SKY = -2, -3  # in the place of a triangle's number
BIAS_M = 0.3  # a surface must lie so far behind another, seen from the sun, to be in its shadow
IN_SHADOW = 0.55  # of the ground's brightness is left there
HEADLIGHT_M = 18.0  # where their light has fallen to a half


@njit(cache=True, nogil=True, inline="always")  # type: ignore[untyped-decorator]
def _in_shadow(x: float, y: float, z: float, sun: Any, turn: Any, eye: Any, grid: Any) -> bool:
    dx, dy, dz = x - eye[0], y - eye[1], z - eye[2]
    forward = turn[0, 0] * dx + turn[0, 1] * dy + turn[0, 2] * dz
    if forward <= 1.0:
        return False
    side = (turn[1, 0] * dx + turn[1, 1] * dy + turn[1, 2] * dz) / forward
    up = (turn[2, 0] * dx + turn[2, 1] * dy + turn[2, 2] * dz) / forward
    i, j = int((side - grid[0]) / grid[1] + 0.5), int((up - grid[2]) / grid[3] + 0.5)
    if i < 0 or j < 0 or i >= sun.shape[0] or j >= sun.shape[1]:
        return False
    return bool(sun[i, j] > 1.0 / (forward - BIAS_M))


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def shade(
    inverse: Any, ids: Any, ratio: Any, slope: Any, turn: Any, eye: Any, normals: Any, colours: Any, shine: Any,
    ground: Any, low: float, cell: float, ring: float, haze_m: float, thickest: float, night: bool, sun: Any,
    sun_turn: Any, sun_eye: Any, sun_grid: Any, level: bool, out: Any, depth: Any, numbers: Any,
) -> None:  # fmt: skip
    """Fill (H, W) `out` (3 channels B, G, R, 0 to 255), `depth` (along the axis, 0 for the sky) and `numbers`.

    `sun` (W', H') is the inverse forward distance seen from the sun, (1, 1) without shadows; `sun_grid` its first
    side, step, first upright, step.
    """
    shadows = sun.shape[0] > 1
    fog_r, fog_g, fog_b = (0.035, 0.04, 0.05) if night else (0.84, 0.87, 0.90)
    for v in range(len(slope)):
        for u in range(len(ratio)):
            # The ray in the world, one metre of forward long.
            x = turn[0, 0] + turn[0, 1] * ratio[u] + turn[0, 2] * slope[v]
            y = turn[1, 0] + turn[1, 1] * ratio[u] + turn[1, 2] * slope[v]
            z = turn[2, 0] + turn[2, 1] * ratio[u] + turn[2, 2] * slope[v]
            long = np.sqrt(x * x + y * y + z * z)
            near = inverse[u, v]
            t = -eye[2] / z if level and z < -1e-6 else np.inf
            head = 0.0
            if night:
                rise = min(slope[v] + 0.02, 0.0) / 0.06  # slope counts downwards: above the beam it is dark
                head = np.exp(-((ratio[u] / 0.45) ** 2) - rise * rise)
            if near <= 0 and t == np.inf:
                up = min(max(z / long, 0.0), 1.0)
                fade = min(up * 3.0, 1.0)
                if night:
                    r, g, b = 0.02, 0.025, 0.045 + 0.02 * (1 - fade)
                else:
                    r = 0.80 + (0.33 - 0.80) * fade
                    g = 0.86 + (0.55 - 0.86) * fade
                    b = 0.93 + (0.86 - 0.93) * fade
                far = 1e9 if thickest >= 1.0 else 0.0
                depth[v, u], numbers[v, u] = 0.0, SKY
            elif near > 0 and (t == np.inf or near * t >= 1):
                n = ids[u, v]
                forward = 1.0 / near
                far = long * forward
                depth[v, u], numbers[v, u] = forward, n
                nx, ny, nz = normals[n, 0], normals[n, 1], normals[n, 2]
                if nx * x + ny * y + nz * z > 0:
                    nx, ny, nz = -nx, -ny, -nz
                cosine = abs(nx * x + ny * y + nz * z) / long
                if night:
                    light = 0.06 + 1.5 * head * (0.3 + 0.7 * cosine) / (1.0 + (far / HEADLIGHT_M) ** 2)
                    r, g, b = colours[n, 0] * light, colours[n, 1] * light, colours[n, 2] * light
                else:
                    direct = max(nx * SUN_X + ny * SUN_Y + nz * SUN_Z, 0.0)
                    if shadows and direct > 0:
                        px, py, pz = eye[0] + forward * x, eye[1] + forward * y, eye[2] + forward * z
                        if _in_shadow(px, py, pz, sun, sun_turn, sun_eye, sun_grid):
                            direct = 0.0
                    light = 0.48 + 0.14 * nz + 0.62 * direct
                    r, g, b = colours[n, 0] * light, colours[n, 1] * light, colours[n, 2] * light
                    if shine[n] > 0:
                        # The sky in the lacquer: the more, the flatter it is seen.
                        mirrored = z / long + 2 * cosine * nz
                        gain = shine[n] * (0.25 + 0.75 * (1 - cosine) ** 3) * min(max(mirrored + 0.2, 0.0), 1.0)
                        r, g, b = r + gain * (0.62 - r * 0.5), g + gain * (0.74 - g * 0.5), b + gain * (0.9 - b * 0.5)
            else:
                far = long * t
                depth[v, u], numbers[v, u] = t, GROUND
                px, py = eye[0] + t * x, eye[1] + t * y
                i, j = int((py - low) / cell), int((px % ring) / cell)
                i, j = min(max(i, 0), ground.shape[0] - 1), min(j, ground.shape[1] - 1)
                light = 1.0
                if night:
                    light = 0.05 + 1.4 * head / (1.0 + (far / HEADLIGHT_M) ** 2)
                elif shadows and _in_shadow(px, py, 0.0, sun, sun_turn, sun_eye, sun_grid):
                    light = IN_SHADOW
                r, g, b = (light * ground[i, j, 0] / 230.0, light * ground[i, j, 1] / 230.0,
                           light * ground[i, j, 2] / 230.0)  # fmt: skip
            haze = thickest * (1 - np.exp(-far / haze_m)) if far > 0 else 0.0
            out[v, u, 0] = 255 * min(b + (fog_b - b) * haze, 1.0)
            out[v, u, 1] = 255 * min(g + (fog_g - g) * haze, 1.0)
            out[v, u, 2] = 255 * min(r + (fog_r - r) * haze, 1.0)
