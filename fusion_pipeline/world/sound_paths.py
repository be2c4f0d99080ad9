"""How sound gets from a source to a microphone: emission time, spreading, absorption, mirrors and shadows.

All positions are relative to the microphone's x, on a ring the short way round.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba import njit

SPEED_OF_SOUND_MPS = 343.2  # 20 degC
BANDS = 3
_BAND_HZ = (350.0, 1400.0, 5000.0)  # stands for below 700 Hz, to 2.8 kHz, above
_AIR_DB_PER_M = (0.002, 0.007, 0.040)  # ISO 9613-1 at 20 degC, 50 % humidity, rounded
_GROUND = (0.9, 0.85, 0.7)  # reflected pressure on asphalt, as on smooth hard ground
_WALL = (0.85, 0.8, 0.7)
ECHO_REACH_M = 160.0
ECHO_SHARE = 0.3  # an echo is left out at 10 dB above where the direct sound is
LEAST_OFFSET_M = 0.05  # nearer to a wall, or behind it, nothing is mirrored
FADE_M = 1.0  # a mirror fades in over this stretch at its edges, as diffraction does
_TRACK_STEP_S = 0.05


@njit(cache=True)  # type: ignore[untyped-decorator]
def _knot(table: Any, shift: Any, index: int, axis: int) -> float:
    count = len(table)
    lap = index // count
    return float(table[index - lap * count, axis] + lap * shift[axis])


@njit(cache=True)  # type: ignore[untyped-decorator]
def read_track(table: Any, shift: Any, time_s: float, axis: int) -> float:
    """One coordinate of a sampled track at any time, Catmull-Rom between samples; as `Track.at`."""
    index = time_s / _TRACK_STEP_S
    whole = math.floor(index)
    f = index - whole
    a, b = _knot(table, shift, whole - 1, axis), _knot(table, shift, whole, axis)
    c, d = _knot(table, shift, whole + 1, axis), _knot(table, shift, whole + 2, axis)
    return float(b + 0.5 * f * (c - a + f * (2 * a - 5 * b + 4 * c - d + f * (3 * (b - c) + d - a))))


@njit(cache=True)  # type: ignore[untyped-decorator]
def _chain(ax: float, ay: float, bx: float, by: float, hx: float, hy: float, side: float) -> float:
    """Length of the shortest way from a to b past the corners of a box that lie on one side of the line."""
    px, py = np.empty(6), np.empty(6)
    dx, dy = bx - ax, by - ay
    count = 0
    along = np.empty(6)
    for corner in range(4):
        cx = hx if corner & 1 else -hx
        cy = hy if corner & 2 else -hy
        if side * (dx * (cy - ay) - dy * (cx - ax)) > 0:
            key = dx * (cx - ax) + dy * (cy - ay)
            place = count
            while place > 0 and along[place - 1] > key:
                px[place], py[place], along[place] = px[place - 1], py[place - 1], along[place - 1]
                place -= 1
            px[place], py[place], along[place] = cx, cy, key
            count += 1
    px[count], py[count] = bx, by
    count += 1
    hull_x, hull_y = np.empty(7), np.empty(7)
    hull_x[0], hull_y[0] = ax, ay
    top = 0
    for i in range(count):
        while top > 0 and (
            side
            * (
                (hull_x[top] - hull_x[top - 1]) * (py[i] - hull_y[top - 1])
                - (hull_y[top] - hull_y[top - 1]) * (px[i] - hull_x[top - 1])
            )
            >= 0
        ):
            top -= 1
        top += 1
        hull_x[top], hull_y[top] = px[i], py[i]
    length = 0.0
    for i in range(top):
        length += math.hypot(hull_x[i + 1] - hull_x[i], hull_y[i + 1] - hull_y[i])
    return length


@njit(cache=True)  # type: ignore[untyped-decorator]
def detour_m(mic: Any, x: float, y: float, z: float, solids: Any, ring_m: float, mic_x: float) -> float:
    """How much longer the way round or over the buildings is than the straight line; 0 in plain sight."""
    extra = 0.0
    for s in range(len(solids)):
        ox = solids[s, 0] - mic_x
        if ring_m > 0:
            ox -= ring_m * round(ox / ring_m)
        oy, hx, hy, c, sn, height = solids[s, 1], solids[s, 2], solids[s, 3], solids[s, 4], solids[s, 5], solids[s, 6]
        ax, ay = -ox * c + (mic[1] - oy) * sn, ox * sn + (mic[1] - oy) * c
        bx, by = (x - ox) * c + (y - oy) * sn, -(x - ox) * sn + (y - oy) * c
        if (ax > hx and bx > hx) or (ax < -hx and bx < -hx) or (ay > hy and by > hy) or (ay < -hy and by < -hy):
            continue
        dx, dy = bx - ax, by - ay
        enter, leave = 0.0, 1.0
        for a, d, h in ((ax, dx, hx), (ay, dy, hy)):
            if abs(d) < 1e-9:
                continue
            t0, t1 = (-h - a) / d, (h - a) / d
            enter, leave = max(enter, min(t0, t1)), min(leave, max(t0, t1))
        if leave <= enter:
            continue
        z_in, z_out = mic[2] + enter * (z - mic[2]), mic[2] + leave * (z - mic[2])
        if min(z_in, z_out) >= height:
            continue
        flat = math.hypot(dx, dy)
        rise = z - mic[2]
        straight = math.hypot(flat, rise)
        way = min(_chain(ax, ay, bx, by, hx, hy, 1.0), _chain(ax, ay, bx, by, hx, hy, -1.0))
        over = math.hypot(enter * flat, height - mic[2]) + (leave - enter) * flat
        over += math.hypot((1 - leave) * flat, height - z)
        extra += min(math.hypot(way, rise), over) - straight
    return extra


@njit(cache=True)  # type: ignore[untyped-decorator]
def wall_offset_m(mic: Any, wall: Any, ring_m: float, mic_x: float) -> Any:
    """x of a wall's middle from the microphone, and how far the microphone is before the wall."""
    wx = wall[0] - mic_x
    if ring_m > 0:
        wx -= ring_m * round(wx / ring_m)
    return wx, -wx * wall[2] + (mic[1] - wall[1]) * wall[3]


@njit(cache=True)  # type: ignore[untyped-decorator]
def wall_share(mic: Any, x: float, y: float, z: float, wall: Any, ring_m: float, mic_x: float) -> Any:
    """Mirror image of a source in a wall face: x, y of the image and its share, at most 1 (up to 0: none there)."""
    wx, mic_off = wall_offset_m(mic, wall, ring_m, mic_x)
    nx, ny = wall[2], wall[3]
    source_off = (x - wx) * nx + (y - wall[1]) * ny
    if source_off <= LEAST_OFFSET_M or mic_off <= LEAST_OFFSET_M:
        return 0.0, 0.0, 0.0
    ix, iy = x - 2 * source_off * nx, y - 2 * source_off * ny
    f = mic_off / (mic_off + source_off)
    hx, hy, hz = f * ix, mic[1] + f * (iy - mic[1]), mic[2] + f * (z - mic[2])
    along = abs(-(hx - wx) * ny + (hy - wall[1]) * nx)
    share = min((wall[4] - along) / FADE_M, (wall[5] - hz) / FADE_M, 1.0)
    return ix, iy, share


@njit(cache=True)  # type: ignore[untyped-decorator]
def solve_path(
    time_s: float, mic: Any, table: Any, shift: Any, loudness: Any, mirror: int, walls: Any, solids: Any, ring_m: float,
    reach_m: float, gains: Any,
) -> float:  # fmt: skip
    """Emission time of what arrives at `time_s`; fills `gains` (BANDS,) with the pressure per unit at 1 m.

    mirror: -1 direct, -2 ground, else row of `walls` (x, y, normal x, normal y, half width, height). `table` (K, 3)
    and `shift` are a Track's; `loudness` (K,) its amplitude. Solves |mic - source(tau)| = c (time_s - tau) by
    fixed-point iteration, which gains a factor c / v, at least 5, at each turn.
    """
    tau = time_s
    length, x, y, z, share, lap, extra = 0.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0
    for turn in range(8):
        x = read_track(table, shift, tau, 0) - mic[0]
        y = read_track(table, shift, tau, 1)
        z = read_track(table, shift, tau, 2)
        if ring_m > 0:
            if turn == 0:
                lap = round(x / ring_m)
            x -= ring_m * lap
        if turn == 0 and x * x + y * y > (2 * reach_m + 1e3) ** 2:
            break
        if mirror == -2:
            z = -z
        elif mirror >= 0:
            ix, iy, share = wall_share(mic, x, y, z, walls[mirror], ring_m, mic[0])
            if share <= 0.0:  # no mirror
                gains[:] = 0.0
                return tau
            x, y = ix, iy
        if turn == 2:
            extra = detour_m(mic, x, y, abs(z), solids, ring_m, mic[0]) if mirror < 0 else 0.0
        straight = math.sqrt(x * x + (y - mic[1]) ** 2 + (z - mic[2]) ** 2)
        length = straight + extra
        following = time_s - length / SPEED_OF_SOUND_MPS
        if turn > 2 and abs(following - tau) < 1e-10:
            tau = following
            break
        tau = following
    gains[:] = 0.0
    if length > (reach_m if mirror < 0 else min(ECHO_SHARE * reach_m, ECHO_REACH_M)) or share <= 0.0:
        return tau
    if mirror >= 0 and _mirror_hidden(mic, x, y, z, walls[mirror], solids, ring_m):
        return tau
    count = len(loudness)
    index = tau / _TRACK_STEP_S
    whole = math.floor(index)
    f = index - whole
    level = (1 - f) * loudness[whole % count] + f * loudness[(whole + 1) % count]
    if ring_m > 0:  # what leaves round the far end of a ring must not jump in from the other
        level *= min(max((0.5 * ring_m - abs(x)) / (0.1 * ring_m), 0.0), 1.0)
    for band in range(BANDS):
        fresnel = 2 * extra * _BAND_HZ[band] / SPEED_OF_SOUND_MPS
        gain = level * share / max(length, 1.0) * 10 ** (-_AIR_DB_PER_M[band] * length / 20)
        # Maekawa's screen, 10 lg(3 + 20 N), started at 0 dB so that nothing jumps at the edge of the shadow.
        gain /= math.sqrt(1 + 20 * fresnel)
        if mirror == -2:
            gain *= _GROUND[band]
        elif mirror >= 0:
            gain *= _WALL[band]
        gains[band] = gain
    return tau


@njit(cache=True)  # type: ignore[untyped-decorator]
def _mirror_hidden(mic: Any, ix: float, iy: float, z: float, wall: Any, solids: Any, ring_m: float) -> bool:
    """Whether a building stands on either leg of the way microphone, wall, source."""
    wx = wall[0] - mic[0]
    if ring_m > 0:
        wx -= ring_m * round(wx / ring_m)
    nx, ny = wall[2], wall[3]
    image_off = -((ix - wx) * nx + (iy - wall[1]) * ny)
    mic_off = -wx * nx + (mic[1] - wall[1]) * ny
    f = 0.999 * mic_off / (mic_off + image_off)  # a hair before the wall, which is itself the face of a building
    hx, hy, hz = f * ix, mic[1] + f * (iy - mic[1]), mic[2] + f * (z - mic[2])
    if detour_m(mic, hx, hy, hz, solids, ring_m, mic[0]) > 0.05:
        return True
    point = np.array([0.0, hy, hz])
    sx, sy = ix + 2 * image_off * nx - hx, iy + 2 * image_off * ny
    return bool(detour_m(point, sx, sy, z, solids, ring_m, mic[0] + hx) > 0.05)
