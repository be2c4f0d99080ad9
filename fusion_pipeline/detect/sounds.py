"""Sounds and their directions by rule, from steered response power: no network needed.

Direction. The cells (band, time step) within 25 dB of the loudest and above -70 dB of full scale are averaged, each
weighted by its loudness and by how much the array can tell directions apart in its band. The highest azimuth is a
source; its score is the peak over the mean, relative to what a lone plane wave would reach: near 1 for a single
clear source, near 0 for wind, microphone noise and sound from everywhere. What such a wave explains is taken away and
the rest searched once more (CLEAN, Hogbom 1974).

Label. "tone" where one pitch stands out for most of the window, as with sirens, horns and beeps; otherwise "sound". A
rule for "siren" was tried and left out: in half a second its glide cannot be told from a crying child or a cock's crow
(of 15 windows of such ESC-10 clips up to 6 passed, of a real siren's 12 only 2). That is for a trained network.
"""

from __future__ import annotations

import numpy as np

from fusion_pipeline.arrays import Floats
from fusion_pipeline.encode.audio import Response, azimuths_rad
from fusion_pipeline.messages import SoundEvent

QUIET_DB = -70.0  # of full scale: below it is the noise of a good microphone in a quiet place
SPAN_DB = 25.0  # cells this far below the loudest no longer count
MIN_SCORE = 0.25
TONAL_SHARE = 0.5  # of it suffices for a tone: few cells carry it, and that it stands out has been seen already
APART_RAD = np.deg2rad(40.0)  # nearer sources are one
MAX_SOURCES = 2

TONE_HZ = (300.0, 3000.0)
TONE_PROMINENCE_DB = 15.0  # of the tone over the median of its neighbours
TONE_NEIGHBOURS_HZ = 400.0  # width of a neighbourhood
TONE_SHARE = 0.75  # of the time steps in which it must stand out


def sounds_from_srp(response: Response, min_score: float = MIN_SCORE) -> tuple[SoundEvent, ...]:
    """At most two sounds in the vehicle frame, the clearest first."""
    weights = _weights(response)
    if not weights.any():
        return ()
    heard = np.einsum("bs,bsa->a", weights, response.srp[0])
    patterns = np.einsum("b,bka->ka", weights.sum(axis=1), response.patterns)  # (source, azimuth)
    azimuths = azimuths_rad()
    label = "tone" if is_tonal(response) else "sound"
    found: list[SoundEvent] = []
    for _ in range(MAX_SOURCES):
        peak = int(np.argmax(heard))
        ideal = float(patterns[peak, peak] - patterns[peak].mean())
        score = float(np.clip((heard[peak] - heard.mean()) / max(ideal, 1e-6), 0.0, 1.0))
        azimuth = _refined(heard, peak)
        near = any(abs(np.angle(np.exp(1j * (azimuths[peak] - event.azimuth_rad)))) < APART_RAD for event in found)
        least = min_score * (TONAL_SHARE if label == "tone" and not found else 1.0)
        if score < least or near or (found and score < 0.5 * found[0].score):
            break
        # The tone is not located by itself: the label is given to the clearest source.
        found.append(SoundEvent(label if not found else "sound", score, azimuth))
        heard = heard - score * (patterns[peak] - patterns[peak].mean())
    return tuple(found)


def is_tonal(response: Response) -> bool:
    """Whether in most time steps one frequency stands out above the others."""
    inside = (response.frequencies_hz >= TONE_HZ[0]) & (response.frequencies_hz <= TONE_HZ[1])
    power = response.spectrum[:, inside] + np.float32(1e-12)
    if power.shape[1] < 3:
        return False
    # Against its neighbours, not the whole range: a helicopter's rumble falls off steeply, but has no pitch.
    width = max(3, round(TONE_NEIGHBOURS_HZ / float(response.frequencies_hz[1] - response.frequencies_hz[0])))
    blocks = power[:, : power.shape[1] // width * width].reshape(len(power), -1, width)
    peak_db, around_db = 10 * np.log10(blocks.max(axis=2)), 10 * np.log10(np.median(blocks, axis=2))
    stands_out = (peak_db - around_db > TONE_PROMINENCE_DB) & (peak_db > QUIET_DB)
    return bool(stands_out.any(axis=1).mean() >= TONE_SHARE)


def _weights(response: Response) -> Floats:
    """(16, 16) per cell: loudness above the span's lower end, 0 to 1, times the band's power to tell directions."""
    floor = max(QUIET_DB, float(response.level_db.max()) - SPAN_DB)
    loud = np.clip((response.level_db - floor) / SPAN_DB, 0.0, 1.0)
    contrast = 1.0 - response.patterns.mean(axis=(1, 2))
    return np.asarray(loud * np.clip(contrast, 0.0, 1.0)[:, None], np.float32)


def _refined(heard: Floats, peak: int) -> float:
    """The azimuth of the parabola through the peak and its neighbours, -pi to pi."""
    before, at, after = (float(heard[(peak + k) % len(heard)]) for k in (-1, 0, 1))
    bend = before - 2 * at + after
    shift = 0.0 if bend > -1e-9 else float(np.clip(0.5 * (before - after) / bend, -0.5, 0.5))
    return float(np.angle(np.exp(1j * (peak + shift) * 2 * np.pi / len(heard))))
