"""What is true of every sound at a time: where it is, how loud, and how loud and from where each array hears it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np

from fusion_pipeline.arrays import Doubles
from fusion_pipeline.world.drive import Drive
from fusion_pipeline.world.motion import nearest_image
from fusion_pipeline.world.sight import bearing_rad, in_sight
from fusion_pipeline.world.sound import REFERENCE_PA, SoundSource
from fusion_pipeline.world.sound_paths import BANDS, solve_path

SILENT_DB = -20.0
MIDDLE_BAND = 1  # 0.7 to 2.8 kHz


@dataclass(frozen=True, slots=True)
class Heard:
    """A source at one array, by the straight way or round the buildings, without echoes, wind and noise."""

    azimuth_rad: float  # of where it was when it sent what is heard now; in the vehicle frame
    level_db: float  # SPL between 0.7 and 2.8 kHz, after distance, air and buildings


@dataclass(frozen=True, slots=True)
class SoundTruth:
    """One source as it is now, and as each array hears it."""

    name: str
    azimuth_rad: float  # in the vehicle frame, 0 ahead, positive to the left
    distance_m: float
    level_db: float  # SPL at the vehicle by distance alone, without walls and wind
    in_sight: bool  # no building stands between
    heard: Mapping[str, Heard] = field(default_factory=dict)  # by topic of the array

    def table(self) -> dict[str, object]:
        """For JSON."""
        heard = {topic: {"azimuth_rad": h.azimuth_rad, "level_db": h.level_db} for topic, h in self.heard.items()}
        return {
            "name": self.name, "azimuth_rad": self.azimuth_rad, "distance_m": self.distance_m,
            "level_db": self.level_db, "in_sight": self.in_sight, "heard": heard,
        }  # fmt: skip


def sounds_at(drive: Drive, seconds: float, arrays_m: Mapping[str, Doubles]) -> tuple[SoundTruth, ...]:
    """Every sound; `arrays_m` has the middle of each array (3,) in the vehicle frame."""
    ego = drive.ego.at(seconds)
    eye = ego.position_m + np.asarray([0.0, 0.0, 1.7])
    ears = {topic: ego.world_from_body.apply(middle[None])[0] for topic, middle in arrays_m.items()}
    sounds = []
    for source in drive.sounds:
        place = source.track.at(seconds).position_m
        offset = place - ego.position_m
        offset[0] = nearest_image(float(offset[0]), drive.ring_m)
        distance = max(float(np.linalg.norm(offset)), 1.0)
        loudness = _loudness(source)
        step = int(seconds / source.track.period_s * len(loudness)) % len(loudness)
        level = _decibel(float(loudness[step])) - 20 * float(np.log10(distance))
        heard = {}
        for topic, ear in ears.items():
            gains = np.zeros(BANDS)
            sent_s = solve_path(
                seconds, ear, source.track.positions_m, source.track.shift_m, loudness, -1, np.zeros((0, 6)),
                np.ascontiguousarray(drive.solids, np.float64), drive.ring_m, 1e4, gains,
            )  # fmt: skip
            then = source.track.at(sent_s).position_m
            heard[topic] = Heard(bearing_rad(drive, seconds, then), _decibel(float(gains[MIDDLE_BAND])))
        sight = in_sight(drive, eye, place)
        sounds.append(SoundTruth(source.name, bearing_rad(drive, seconds, place), distance, level, sight, heard))
    return tuple(sounds)


@lru_cache(maxsize=96)
def _loudness(source: SoundSource) -> Doubles:
    return source.loudness()


def _decibel(pressure_pa: float) -> float:
    return max(20 * float(np.log10(max(pressure_pa, 1e-12) / REFERENCE_PA)), SILENT_DB)
