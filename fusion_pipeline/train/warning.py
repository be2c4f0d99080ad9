"""How long before line of sight a hidden siren is announced: the crossing, driven again and again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fusion_pipeline.arrays import Array, Doubles
from fusion_pipeline.detect.network import Network
from fusion_pipeline.encode.audio import SteeredResponse
from fusion_pipeline.encode.lookup import HEIGHT_PX, WIDTH_PX, rig_tables
from fusion_pipeline.encode.points import BevRaster
from fusion_pipeline.messages import AudioChunk, Header
from fusion_pipeline.rig import Rig
from fusion_pipeline.world.scenarios import scenario
from fusion_pipeline.world.sound import SoundField
from fusion_pipeline.world.truth import bearing_rad, in_sight

RATE_HZ, WINDOW, STEP_S = 16_000, 8704, 0.2
SIREN, APART_RAD = 0, np.deg2rad(30.0)
PRECISION = 0.9


@dataclass(frozen=True, slots=True, eq=False)
class Drive:
    """One drive, every STEP_S."""

    seconds: Doubles  # (K,)
    scores: Doubles  # (K,) greatest chance of a siren
    misses_rad: Doubles  # (K,) of its azimuth
    seen_s: float  # when the ambulance comes into line of sight


def listened(model: Path, rig: Rig, name: str, seed: int, advance: Callable[[int], None] = lambda n: None) -> Drive:
    """What the network hears through a drive of a scenario; it has nothing but sound."""
    family = scenario(name)
    drive = family.build(seed, True)
    network = Network(model, threads=2)
    array = next(iter(rig.audios.values()))
    field = SoundField(drive.sounds, drive.solids, array.vehicle_from_sensor.apply(array.microphones_m), drive.ego,
                       drive.ring_m, RATE_HZ)  # fmt: skip
    steered = SteeredResponse(array, RATE_HZ)
    nothing = BevRaster()(np.zeros((0, 3), np.float32), np.zeros(0, np.float32))
    inputs: dict[str, Array] = {
        **rig_tables(rig), "lidar_bev": nothing, "image": np.zeros((1, 3, HEIGHT_PX, WIDTH_PX), np.float32),
        "present": np.asarray([[0, 0, 1, 0]], np.float32),
    }  # fmt: skip
    asked = {spec.name for spec in network.inputs}
    siren = next((source for source in drive.sounds if source.name.startswith("siren")), None)
    times = np.arange(0.6, family.seconds - 0.1, STEP_S)
    ends = np.round(times * RATE_HZ).astype(int)
    first = int(ends[0]) - WINDOW
    pcm = field.pcm(first, int(ends[-1]) - first)  # looks overlap: all of it once is less than each look by itself
    scores, misses, seen = [], [], np.inf
    for seconds, end in zip(times, ends - first, strict=True):
        response = steered(AudioChunk(Header("audio", 0, 0), RATE_HZ, pcm[end - WINDOW : end]))
        heard = {**inputs, "audio_srp": response.srp, "audio_level": response.level_db[None]}
        found = network({name: value for name, value in heard.items() if name in asked})
        logits = found["audio_events"][SIREN].astype(np.float64)
        scores.append(1 / (1 + np.exp(-logits.max())))
        if siren is None:
            misses.append(np.pi)
        else:
            place = siren.track.at(float(seconds)).position_m
            gap = 2 * np.pi * logits.argmax() / len(logits) - bearing_rad(drive, float(seconds), place)
            misses.append(abs(float(np.angle(np.exp(1j * gap)))))
            eye = drive.ego.at(float(seconds)).position_m + np.asarray([0.0, 0.0, 1.7])
            if in_sight(drive, eye, place):
                seen = min(seen, float(seconds))
        advance(1)
    return Drive(times, np.asarray(scores), np.asarray(misses), seen)


def lead_times(sirens: list[Drive], silent: list[Drive]) -> tuple[Doubles, float]:
    """Seconds by which each siren is announced before it is seen, and the threshold that has PRECISION.

    An announcement is right where a siren sounds that is not seen yet (one in plain sight would excuse ghosts); drives
    without one say how often it is wrong. It must last for two looks, and the lead is at most what the drive had before
    line of sight. Where no threshold has the precision it is infinite, and so are the leads, below zero.
    """
    candidates = np.linspace(0.05, 0.95, 91).tolist()
    threshold = next((c for c in candidates if precision_at(sirens, silent, c) >= PRECISION), np.inf)
    return leads_at(sirens, threshold), threshold


def leads_at(sirens: list[Drive], threshold: float) -> Doubles:
    """Seconds by which each siren is announced before it is seen; minus infinity where it never is."""
    leads = []
    for drive in sirens:
        above = np.flatnonzero(_lasting(drive.scores) >= threshold)
        leads.append(drive.seen_s - float(drive.seconds[above[0] + 1]) if len(above) else -np.inf)
    return np.asarray(leads)


def precision_at(sirens: list[Drive], silent: list[Drive], threshold: float) -> float:
    """Of looks that announce a siren, the share with one that is not seen yet; NaN where nothing is announced.

    Looks at a siren in plain sight count neither way.
    """
    right, wrong = _hidden(sirens), _all(silent)
    hits, ghosts = int((right >= threshold).sum()), int((wrong >= threshold).sum())
    return hits / (hits + ghosts) if hits + ghosts else float("nan")


def _hidden(sirens: list[Drive]) -> Doubles:
    return np.concatenate([_lasting(drive.scores)[drive.seconds[1:] < drive.seen_s] for drive in sirens])


def _all(silent: list[Drive]) -> Doubles:
    return np.concatenate([_lasting(drive.scores) for drive in silent]) if silent else np.zeros(0)


def _lasting(scores: Doubles) -> Doubles:
    return np.minimum(scores[:-1], scores[1:])
