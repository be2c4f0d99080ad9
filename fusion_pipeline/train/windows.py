"""Half seconds of sound from every scenario, on disk in shards: what the ears learn from beside the rides.

python -m fusion_pipeline.train.windows FOLDER FIRST COUNT STRIDE

Each shard is one drive of a scenario, in stretches of some seconds with an array each. Every source of a stretch is
rendered by itself once, so that its windows cost little: each mixes them anew, with a siren louder, fainter or left out
and with wind, gains and faults of its own, and it is known what of a siren reaches the array at all.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from fusion_pipeline.arrays import Array, Doubles, Floats
from fusion_pipeline.encode.audio import AZIMUTHS, Response, SteeredResponse, azimuths_rad
from fusion_pipeline.messages import AudioChunk, Header
from fusion_pipeline.rig import MicrophoneArray
from fusion_pipeline.train.lessons import SIGMA_RAD, hills
from fusion_pipeline.train.rides import AUDIBLE_DB, RATE_HZ, WINDOW
from fusion_pipeline.train.rigs import drawn_array, drawn_hearing
from fusion_pipeline.world.drive import Drive
from fusion_pipeline.world.motion import nearest_image
from fusion_pipeline.world.scenarios import scenario
from fusion_pipeline.world.sound import REFERENCE_PA, Hearing, SoundField, SoundSource, quantised
from fusion_pipeline.world.sources import LABELS, synthesise
from fusion_pipeline.world.truth import bearing_rad, in_sight

STRETCHES, LOOKS = 12, 10
LOOK_S = 0.25  # from one window of a stretch to the next
FAMILIES = ("crossing_occluded_siren", "city_street", "crossing_occluded_siren", "highway", "construction_site",
            "crossing_occluded_siren", "car_park", "robot_yard")  # fmt: skip
FIRST_SEED = 1000  # drives that figures are made of have lower seeds
SIREN = LABELS.index("siren")
SIRENS = ("siren_wail", "siren_yelp", "siren_hi_lo")
TONES = ("horn", "beeper", "bell")  # now and then in a siren's place: an echo alone makes no siren
CULLED_DB = 36.0  # SPL at the array: what never reaches it is left out, 12 dB below what is faint
LOUDEST = 6  # so many sources are rendered, the others are masked; all sirens are among them
BROAD = (
    "engine",
    "tyres",
    "footsteps",
)  # of noise no echoes: they cost most, and PHAT sees little beside its direct way
NOISE_SEED = 4  # none that rides and figures have; one, as its loops of noise are made but once
LEAST_SHARE, FAINT_SHARE = 0.08, 0.03  # of a window's bands and steps that a siren rules: taught, and neither way
RULES_DB = 1.0  # a siren rules where the sum is louder by no more, that is, where all else is 6 dB fainter
WAYS = 0.6  # other ways that a siren comes by with this share of the strongest are not taught
_PURE = Hearing(noise_pa=0.0, wind_pa_at_10_mps=0.0, ego_pa_at_10_mps=0.0)


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """One source as the microphones hear it without any other."""

    source: SoundSource
    pressure_pa: Floats  # (S, M)


class Stretch:
    """Some seconds of a drive at one array, source by source."""

    def __init__(self, drive: Drive, array: MicrophoneArray, begin_s: float, rng: np.random.Generator) -> None:
        self.drive, self.array, self.begin_s = drive, array, begin_s
        self.microphones = array.vehicle_from_sensor.apply(array.microphones_m)
        self.steered = SteeredResponse(array, RATE_HZ)
        self.first = round(begin_s * RATE_HZ) - WINDOW
        count = WINDOW + round((LOOKS - 1) * LOOK_S * RATE_HZ)
        sources = [_revoiced(source, rng) for source in drive.sounds]
        loud = [(source.name in SIRENS, self._loudest_db(source), k) for k, source in enumerate(sources)]
        kept = [k for siren, level, k in sorted(loud, reverse=True)[:LOUDEST] if siren or level > CULLED_DB]
        self.parts = [
            Part(source, self._field((source,), replace(_PURE, reflections=source.waveform.label not in BROAD))
                 .render(self.first, count))
            for source in (sources[k] for k in kept)
        ]  # fmt: skip

    def windows(self, rng: np.random.Generator) -> Iterator[tuple[Response, Floats]]:
        """Each look as the array hears it, and what it teaches (8, 72)."""
        for look in range(LOOKS):
            start = round(look * LOOK_S * RATE_HZ)
            seconds = self.begin_s + look * LOOK_S
            siren_db = -np.inf if rng.random() < 0.25 else float(rng.uniform(-12, 3))
            parts = [self._cut(part, start, siren_db) for part in self.parts]
            response = self.steered(self._mixed(parts, start, drawn_hearing(len(self.microphones), rng)))
            yield response, self._goal(parts, response, seconds)

    def _field(self, sources: tuple[SoundSource, ...], hearing: Hearing) -> SoundField:
        return SoundField(sources, self.drive.solids, self.microphones, self.drive.ego, self.drive.ring_m, RATE_HZ,
                          hearing, NOISE_SEED)  # fmt: skip

    def _cut(self, part: Part, start: int, siren_db: float) -> Part:
        gain = 10 ** (siren_db / 20) if part.source.waveform.label == LABELS[SIREN] else 1.0
        return replace(part, pressure_pa=part.pressure_pa[start : start + WINDOW] * np.float32(gain))

    def _mixed(self, parts: list[Part], start: int, hearing: Hearing) -> AudioChunk:
        noise = self._field((), hearing).render(self.first + start, WINDOW)
        clean = np.sum([part.pressure_pa for part in parts], axis=0) if parts else np.zeros_like(noise)
        gains = 10 ** (np.asarray(hearing.gains_db) / 20)
        gains[list(hearing.dead)] = 0.0
        return _chunk(clean * gains + noise)

    def _goal(self, parts: list[Part], response: Response, seconds: float) -> Floats:
        ear = self.drive.ego.at(seconds).world_from_body.apply(self.array.vehicle_from_sensor.translation_m[None])[0]
        rows, sirens = [], []
        for part in parts:
            place = part.source.track.at(seconds).position_m
            azimuth, open_way = bearing_rad(self.drive, seconds, place), in_sight(self.drive, ear, place)
            if part.source.waveform.label == LABELS[SIREN]:
                sirens.append(siren_row(self.steered(_chunk(part.pressure_pa)), response, azimuth, open_way))
                continue
            level = _level_db(part.pressure_pa)  # what comes round a corner comes from somewhere else: not taught
            level = level if open_way else min(level, AUDIBLE_DB - 1e-3)
            rows.append((LABELS.index(part.source.waveform.label), azimuth, level))
        out = taught(np.asarray(rows, np.float64).reshape(-1, 3))
        out[SIREN] = joined(sirens)
        return out

    def _loudest_db(self, source: SoundSource) -> float:
        """By distance alone, in the stretch."""
        loudest = float(source.loudness().max())
        nearest = np.inf
        for seconds in self.begin_s + np.arange(-2, LOOKS) * LOOK_S:
            gap = source.track.at(float(seconds)).position_m - self.drive.ego.at(float(seconds)).position_m
            gap[0] = nearest_image(float(gap[0]), self.drive.ring_m)
            nearest = min(nearest, max(float(np.linalg.norm(gap)) - 5.0, 1.0))
        return 20 * float(np.log10(max(loudest, 1e-12) / REFERENCE_PA / nearest))


def siren_row(alone: Response, whole: Response, azimuth_rad: float, open_way: bool) -> Floats:
    """(72,) what a window teaches of a siren: nothing where it is masked, its azimuth where it is in sight.

    Round a corner it is the way by which most of it comes; its true azimuth and other strong ways are then not taught
    (-1). `alone` is the siren without any other sound, `whole` is with all of them.
    """
    share = float(np.mean(alone.level_db + RULES_DB > whole.level_db))
    if share < FAINT_SHARE:
        return np.zeros(AZIMUTHS, np.float32)
    power = 10 ** (alone.level_db.astype(np.float64) / 10)
    ways = (alone.srp[0] * power[:, :, None]).sum(axis=(0, 1))
    middle = azimuth_rad if open_way else float(azimuths_rad()[ways.argmax()])
    hill = np.exp(-0.5 * (_away(middle) / SIGMA_RAD) ** 2)
    loose = _away(azimuth_rad) < 5 * SIGMA_RAD
    if not open_way:
        loose |= ways > WAYS * ways.max()
    if share < LEAST_SHARE:
        return np.where(loose | (_away(middle) < 3 * SIGMA_RAD), -1, 0).astype(np.float32)
    return np.where((hill < 0.1) & loose & (not open_way), -1, hill).astype(np.float32)


def taught(sounds: Doubles) -> Floats:
    """(8, 72) of sounds (S, 3) class, azimuth, level; unlike in `hills`, a loud one leaves a faint one's place open."""
    return np.stack([
        joined([hills(row[None])[label] for row in sounds[sounds[:, 0] == label]]) for label in range(len(LABELS))
    ])  # fmt: skip


def joined(rows: list[Floats]) -> Floats:
    """(72,) of the sounds of one class: the highest hill, and -1 where one is not taught and no other is."""
    if not rows:
        return np.zeros(AZIMUTHS, np.float32)
    table = np.stack(rows)
    highest = table.max(axis=0)
    return np.asarray(np.where((table == -1).any(axis=0) & (highest < 0.1), -1, highest), np.float32)


def _away(azimuth_rad: float) -> Doubles:
    return np.asarray(np.abs(np.angle(np.exp(1j * (azimuths_rad() - azimuth_rad)))), np.float64)


def _level_db(pressure_pa: Floats) -> float:
    return 20 * float(np.log10(np.sqrt(np.mean(np.square(pressure_pa, dtype=np.float64))) / REFERENCE_PA + 1e-12))


def _chunk(pressure_pa: Array) -> AudioChunk:
    return AudioChunk(Header("audio", 0, 0), RATE_HZ, quantised(pressure_pa, _PURE.full_scale_pa))


def _revoiced(source: SoundSource, rng: np.random.Generator) -> SoundSource:
    """A siren of any kind in the place of a siren, now and then another tone as loud."""
    if source.waveform.label != LABELS[SIREN]:
        return source
    name = str(rng.choice(TONES if rng.random() < 0.2 else SIRENS))
    return replace(source, name=name, waveform=synthesise(name, 0))


def render(number: int) -> dict[str, Array]:
    """One shard: srp (120, 16, 16, 72) and level (120, 16, 16) int8, goals (120, 8, 72) float16; -1 is not taught."""
    rng = np.random.default_rng([number, 5])
    family = scenario(FAMILIES[number % len(FAMILIES)])
    drive = family.build(FIRST_SEED + number, True)
    found: list[tuple[Response, Floats]] = []
    for _ in range(STRETCHES):
        begin = float(rng.uniform(0.6, family.seconds - (LOOKS - 1) * LOOK_S))
        found += Stretch(drive, drawn_array(rng), begin, rng).windows(rng)
    return {
        "srp": np.stack([np.round(response.srp[0] * 127).astype(np.int8) for response, _ in found]),
        "level": np.stack([np.round(np.maximum(response.level_db, -127)).astype(np.int8) for response, _ in found]),
        "goals": np.stack([goal.astype(np.float16) for _, goal in found]),
    }


def fill(folder: Path, first: int, count: int, stride: int) -> None:
    """Render shards first, first + stride, ... into `folder`; those there already are left alone."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(first, first + count * stride, stride):
        path = folder / f"{number:05d}.npz"
        if not path.exists():
            half = path.with_suffix(".part.npz")
            shard = render(number)
            np.savez(half, srp=shard["srp"], level=shard["level"], goals=shard["goals"])
            half.rename(path)


if __name__ == "__main__":
    fill(Path(sys.argv[1]), *(int(a) for a in sys.argv[2:5]))
