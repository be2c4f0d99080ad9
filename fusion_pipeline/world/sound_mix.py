"""Reads sources at their emission times and adds them up: the inner loop of the simulated microphones.

A sample depends on its absolute number alone, so a stream is the same whatever the chunks it is made in.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba import njit

from fusion_pipeline.arrays import Array, Doubles, Floats
from fusion_pipeline.world.sound_paths import (
    BANDS,
    ECHO_REACH_M,
    ECHO_SHARE,
    FADE_M,
    LEAST_OFFSET_M,
    read_track,
    solve_path,
    wall_offset_m,
    wall_share,
)

CONTROL_STEP = 64  # output samples between two exact solutions; between them emission time runs on a cubic
TAPS = 8
PHASES = 2048  # the nearest is taken: 8 ns, a ten-thousandth of a sample


def sinc_table() -> Floats:
    """(PHASES + 1, TAPS) Kaiser-windowed sinc; row p reads a signal p / PHASES of a sample after tap TAPS / 2 - 1."""
    shift = np.arange(PHASES + 1)[:, None] / PHASES
    distance = np.arange(TAPS)[None, :] - (TAPS / 2 - 1) - shift
    window = np.i0(5.0 * np.sqrt(np.clip(1 - (distance / (TAPS / 2)) ** 2, 0, 1))) / np.i0(5.0)
    table = np.sinc(distance) * window
    return np.asarray(table / table.sum(axis=1, keepdims=True), np.float32)


@njit(cache=True)  # type: ignore[untyped-decorator]
def _places(first_knot: int, rate_hz: int, knots: int, table: Any, shift: Any) -> Any:
    """(knots, 3) of the source at the control instants themselves: where the search for its path begins."""
    places = np.empty((knots, 3))
    for k in range(knots):
        for axis in range(3):
            places[k, axis] = read_track(table, shift, (first_knot + k) * CONTROL_STEP / rate_hz, axis)
    return places


@njit(cache=True)  # type: ignore[untyped-decorator]
def _mirror_near(mics: Any, places: Any, wall: Any, ring_m: float, reach_m: float, span: float) -> bool:
    """Whether a wall can mirror the source to any microphone: a cheap test at the first one, with a margin."""
    for k in range(len(mics)):
        mic = mics[k, 0]
        x = places[k, 0] - mic[0]
        if ring_m > 0:
            x -= ring_m * round(x / ring_m)
        ix, iy, share = wall_share(mic, x, places[k, 1], places[k, 2], wall, ring_m, mic[0])
        if share > -2 * span / FADE_M and math.hypot(ix, iy - mic[1]) < min(ECHO_SHARE * reach_m, ECHO_REACH_M) + span:
            return True
    return False


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def before_walls(mics: Doubles, walls: Doubles, ring_m: float) -> Any:
    """(W, M) whether a microphone is ever before the face of a wall: behind it nothing is mirrored to it.

    `mics` (knots, M, 3) and `walls` (W, 6) are those of `mix_source`.
    """
    before = np.zeros((len(walls), mics.shape[1]), np.bool_)
    for w in range(len(walls)):
        for m in range(mics.shape[1]):
            for k in range(len(mics)):
                before[w, m] |= wall_offset_m(mics[k, m], walls[w], ring_m, mics[k, m, 0])[1] > LEAST_OFFSET_M
    return before


@njit(cache=True)  # type: ignore[untyped-decorator]
def _mirrored(mics: Any, m: int, places: Any, wall: Any, ring_m: float) -> bool:
    """Whether a wall mirrors the source to microphone m at any knot; where not, `solve_path` would give silence."""
    for k in range(len(mics)):
        mic = mics[k, m]
        x = places[k, 0] - mic[0]
        if ring_m > 0:
            x -= ring_m * round(x / ring_m)
        if wall_share(mic, x, places[k, 1], places[k, 2], wall, ring_m, mic[0])[2] > 0.0:
            return True
    return False


@njit(cache=True)  # type: ignore[untyped-decorator]
def _span_m(mics: Any) -> float:
    """How far any microphone is from the first, at most."""
    span = 0.0
    for m in range(mics.shape[1]):
        span = max(span, abs(mics[0, m, 0] - mics[0, 0, 0]) + abs(mics[0, m, 1] - mics[0, 0, 1]))
    return span


@njit(cache=True, fastmath={"reassoc", "contract"})  # type: ignore[untyped-decorator]
def _read(bands: Any, sinc: Any, base: int, phase: int, g0: Any, g1: Any, g2: Any) -> Any:
    total = np.float32(0)
    for tap in range(TAPS):
        value = g0 * bands[0, base + tap] + g1 * bands[1, base + tap] + g2 * bands[2, base + tap]
        total += sinc[phase, tap] * value
    return total


@njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def mix_source(
    out: Array, first_knot: int, start: int, rate_hz: int, mics: Doubles, table: Doubles, shift: Doubles,
    loudness: Doubles, walls: Doubles, before: Array, solids: Doubles, ring_m: float, reach_m: float, bands: Floats,
    rate_in_hz: int, sinc: Floats,
) -> None:  # fmt: skip
    """Add one source to `out` (S, M), whose first sample is number `start`.

    `mics` (knots, M, 3) holds the microphones at the control instants `first_knot` on; `bands` (BANDS, K + TAPS) is
    one loop of the waveform, its beginning repeated at the end. `before` is what `before_walls` gives.
    """
    knots, microphones = mics.shape[0], mics.shape[1]
    loop = bands.shape[1] - TAPS
    taus = np.empty(knots)
    gains = np.empty((knots, BANDS))
    places, span = _places(first_knot, rate_hz, knots, table, shift), _span_m(mics)
    for mirror in range(-2, len(walls)):
        if mirror >= 0 and not (
            before[mirror].any() and _mirror_near(mics, places, walls[mirror], ring_m, reach_m, span)
        ):
            continue
        for m in range(microphones):
            if mirror >= 0 and not (before[mirror, m] and _mirrored(mics, m, places, walls[mirror], ring_m)):
                continue
            heard = False
            for k in range(knots):
                time_s = (first_knot + k) * CONTROL_STEP / rate_hz
                taus[k] = solve_path(
                    time_s, mics[k, m], table, shift, loudness, mirror, walls, solids, ring_m, reach_m, gains[k]
                )
                heard |= gains[k, 0] > 0
            if not heard:
                continue
            for k in range(1, knots - 2):
                if gains[k, 0] == 0 and gains[k + 1, 0] == 0:
                    continue
                a, b, c, d = taus[k - 1], taus[k], taus[k + 1], taus[k + 2]
                if mirror >= 0 and (abs(b - a - (c - b)) > 1e-3 or abs(d - c - (c - b)) > 1e-3):
                    a, d = 2 * b - c, 2 * c - b  # a mirror that just appeared has no history
                origin = math.floor(b * rate_in_hz)
                first = int((origin - (TAPS // 2 - 1)) % loop)
                for i in range(CONTROL_STEP):
                    row = (first_knot + k) * CONTROL_STEP + i - start
                    if row < 0 or row >= len(out):
                        continue
                    f = i / CONTROL_STEP
                    tau = b + 0.5 * f * (c - a + f * (2 * a - 5 * b + 4 * c - d + f * (3 * (b - c) + d - a)))
                    at = tau * rate_in_hz - origin
                    whole = math.floor(at)
                    phase = int((at - whole) * PHASES + 0.5)
                    base = first + int(whole)
                    base += loop if base < 0 else (-loop if base >= loop else 0)
                    g0 = np.float32((1 - f) * gains[k, 0] + f * gains[k + 1, 0])
                    g1 = np.float32((1 - f) * gains[k, 1] + f * gains[k + 1, 1])
                    g2 = np.float32((1 - f) * gains[k, 2] + f * gains[k + 1, 2])
                    out[row, m] += _read(bands, sinc, base, phase, g0, g1, g2)
