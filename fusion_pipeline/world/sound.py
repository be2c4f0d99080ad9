"""What a microphone array hears: moving sources through air, off walls and the ground, round buildings, in wind."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from fusion_pipeline.arrays import Array, Doubles, Floats, require_shape
from fusion_pipeline.world.motion import Track
from fusion_pipeline.world.sound_mix import CONTROL_STEP, TAPS, before_walls, mix_source, sinc_table
from fusion_pipeline.world.sound_paths import BANDS
from fusion_pipeline.world.sources import RATE_HZ, Waveform, coloured_noise

REFERENCE_PA = 20e-6
_INAUDIBLE_DB = 22.0  # a path this faint lies below the preamplifier's noise
_CROSSOVERS_HZ = (700.0, 2800.0)
_NOISE_SECONDS = 11.0


@dataclass(frozen=True, slots=True, eq=False)
class SoundSource:
    """One thing that sounds. `track` is the place of the sound itself (with its height above the ground)."""

    name: str
    waveform: Waveform
    track: Track
    level_db: float  # SPL (RMS) at 1 m
    speed_exponent: float = 0.0  # amplitude grows with (speed / 14 m/s) ** exponent; 1.75 for tyres, 0 for a siren

    def loudness(self) -> Doubles:
        """(K,) RMS pressure at 1 m in Pa at each sample of the track."""
        pressure = REFERENCE_PA * 10 ** (self.level_db / 20)
        if self.speed_exponent == 0:
            return np.full(len(self.track.positions_m), pressure)
        beyond = self.track.positions_m[:1] + self.track.shift_m
        steps = np.diff(np.concatenate([self.track.positions_m, beyond]), axis=0)
        speed = np.minimum(np.linalg.norm(steps, axis=1) / (self.track.period_s / len(steps)), 60.0)
        return np.asarray(pressure * (speed / 14.0) ** self.speed_exponent, np.float64)


@dataclass(frozen=True, slots=True)
class Hearing:
    """How good the microphones are and how loud the vehicle that carries them is."""

    full_scale_pa: float = 10.0  # clips beyond (111 dB SPL for a sine)
    noise_pa: float = 0.0006  # preamplifier, about 30 dB SPL
    wind_pa_at_10_mps: float = 0.03  # turbulence at each capsule, independent, grows with speed squared
    ego_pa_at_10_mps: float = 0.02  # own tyres and motor, the same at all microphones, grows with speed
    reflections: bool = True
    dead: tuple[int, ...] = ()  # microphones that give only their own noise
    gains_db: tuple[float, ...] = ()  # per microphone; empty: all 0


def quantised(pressure_pa: Array, full_scale_pa: float) -> NDArray[np.int16]:
    """Sound pressure as a converter gives it; what is louder than its full scale is clipped."""
    return np.asarray(np.clip(np.rint(pressure_pa * (32767 / full_scale_pa)), -32768, 32767), np.int16)


class SoundField:
    """The sound at a moving array, sample by sample, as a pure function of the sample number.

    sources: what sounds. solids: (B, 7) buildings: x, y, half length, half width, cos yaw, sin yaw, height.
    microphones_m: (M, 3) in the vehicle frame. ego: the vehicle's track. ring_m: length of a ring street, 0 for none.
    Bad shapes raise ValueError.
    """

    def __init__(
        self, sources: Sequence[SoundSource], solids: Doubles, microphones_m: Doubles, ego: Track, ring_m: float = 0.0,
        rate_hz: int = 16_000, hearing: Hearing | None = None, seed: int = 0,
    ) -> None:  # fmt: skip
        require_shape("solids", solids, None, 7)
        require_shape("microphones_m", microphones_m, None, 3)
        self.rate_hz = rate_hz
        self.hearing = hearing or Hearing()
        self._sources = tuple(sources)
        self._solids = np.ascontiguousarray(solids, np.float64)
        self._walls = walls_of(self._solids) if self.hearing.reflections else np.zeros((0, 6))
        self._microphones_m = np.asarray(microphones_m, np.float64)
        self._ego = ego
        self._ring_m = ring_m
        self._seed = seed
        self._sinc = sinc_table()
        self._loudness = [source.loudness() for source in self._sources]
        self._bands = [_bands(source.waveform) for source in self._sources]

    def render(self, start: int, count: int) -> Floats:
        """(count, M) pressure in Pa of samples `start` on; sample k is heard k / rate_hz after the scene began."""
        out = np.zeros((count, len(self._microphones_m)))
        first = start // CONTROL_STEP - 1
        last = (start + count - 1) // CONTROL_STEP + 2
        mics = self._places(np.arange(first, last + 1) * np.float64(CONTROL_STEP / self.rate_hz))
        before = before_walls(mics, self._walls, self._ring_m)
        for source, bands, loudness in zip(self._sources, self._bands, self._loudness, strict=True):
            reach = 10 ** ((20 * np.log10(max(loudness.max(), 1e-12) / REFERENCE_PA) - _INAUDIBLE_DB) / 20)
            mix_source(
                out, first, start, self.rate_hz, mics, source.track.positions_m, source.track.shift_m, loudness,
                self._walls, before, self._solids, self._ring_m, float(reach), bands, RATE_HZ, self._sinc,
            )  # fmt: skip
        return self._with_noise(out, start)

    def pcm(self, start: int, count: int) -> NDArray[np.int16]:
        """(count, M) samples as 16-bit PCM, clipped at the microphones' full scale."""
        return quantised(self.render(start, count), self.hearing.full_scale_pa)

    def _places(self, times_s: Doubles) -> Doubles:
        """(K, M, 3) microphones in the world."""
        state, _ = self._ego.sample(times_s)
        c, s = np.cos(state[:, 3:]), np.sin(state[:, 3:])
        x, y, z = self._microphones_m.T
        turned = np.stack([c * x - s * y, s * x + c * y, np.broadcast_to(z, (len(c), len(z)))], axis=2)
        return np.ascontiguousarray(turned + state[:, None, :3])

    def _with_noise(self, clean: Doubles, start: int) -> Floats:
        hearing, count = self.hearing, len(clean)
        numbers = np.arange(start, start + count)
        knots = np.arange(start // CONTROL_STEP, (start + count - 1) // CONTROL_STEP + 2)
        at_knots = np.linalg.norm(self._ego.sample(knots * np.float64(CONTROL_STEP / self.rate_hz))[1][:, :3], axis=1)
        speed = np.interp(numbers, knots * CONTROL_STEP, at_knots)
        wind = hearing.wind_pa_at_10_mps * (speed / 10) ** 2
        ego = hearing.ego_pa_at_10_mps * speed / 10
        ego_noise = coloured_noise(60, 900, -0.7, self._seed, _NOISE_SECONDS, self.rate_hz)
        shared = ego * ego_noise[numbers % len(ego_noise)]
        for m in range(clean.shape[1]):
            turbulence = coloured_noise(30, 400, -1.0, self._seed + 11 + m, _NOISE_SECONDS, self.rate_hz)
            own = coloured_noise(30, 7000, 0.0, self._seed + 211 + m, _NOISE_SECONDS, self.rate_hz)
            if m in hearing.dead:
                clean[:, m] = 0.0
            else:
                clean[:, m] += shared + wind * turbulence[numbers % len(turbulence)]
            clean[:, m] += hearing.noise_pa * own[numbers % len(own)]
        if hearing.gains_db:
            clean *= 10 ** (np.asarray(hearing.gains_db) / 20)
        return clean.astype(np.float32)


def walls_of(solids: Doubles) -> Doubles:
    """(B, 7) buildings to (4 B, 6) faces: x, y of the middle, outward normal x, y, half width, height."""
    faces = []
    for x, y, hx, hy, c, s, height in solids:
        faces += [
            (x + hx * c, y + hx * s, c, s, hy, height), (x - hx * c, y - hx * s, -c, -s, hy, height),
            (x - hy * s, y + hy * c, -s, c, hx, height), (x + hy * s, y - hy * c, s, -c, hx, height),
        ]  # fmt: skip
    return np.asarray(faces, np.float64).reshape(-1, 6)


@lru_cache(maxsize=96)
def _bands(waveform: Waveform) -> Floats:
    """Split a loop into (BANDS, K + TAPS) whose sum is the loop; crossovers an octave wide, without phase."""
    samples = waveform.samples
    spectrum = np.fft.rfft(samples)
    octaves = np.log2(np.maximum(np.fft.rfftfreq(len(samples), 1 / RATE_HZ), 1.0))
    rising = [np.clip(octaves - np.log2(hertz) + 0.5, 0, 1) for hertz in _CROSSOVERS_HZ]
    shares = (1 - rising[0], rising[0] * (1 - rising[1]), rising[0] * rising[1])
    split = np.stack([np.fft.irfft(spectrum * share, len(samples)) for share in shares])
    assert len(split) == BANDS
    return np.ascontiguousarray(np.concatenate([split, split[:, :TAPS]], axis=1), np.float32)
