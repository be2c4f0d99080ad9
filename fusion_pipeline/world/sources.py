"""What things sound like: periodic waveforms of sirens, horns, engines and people, or of any sound file.

A waveform is a loop of 32 kHz samples with RMS 1 and nothing above 7 kHz, so that it can be read at any fractional
time and heard at 16 kHz without aliasing. Loudness is a level in dB SPL at one metre, given where it is used.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from fusion_pipeline.arrays import Doubles, Floats, require_shape

RATE_HZ = 32_000
TOP_HZ = 7_000.0
LABELS = ("siren", "horn", "engine", "tyres", "beeper", "bell", "footsteps", "voice")


@dataclass(frozen=True, slots=True, eq=False)
class Waveform:
    """A loop of (K,) samples at RATE_HZ, RMS 1 where it sounds; `label` is one of LABELS or "other"."""

    label: str
    samples: Floats  # (K,)

    def __post_init__(self) -> None:
        require_shape("waveform.samples", self.samples, None)

    @classmethod
    def from_file(cls, path: Path, label: str = "other", seconds: float = 20.0) -> Waveform:
        """The first `seconds` of any file that soundfile reads, mixed to mono, resampled and joined to a loop.

        Raises ValueError naming the file where it cannot be read or is silent.
        """
        import soundfile

        try:
            with soundfile.SoundFile(path) as file:
                rate = int(file.samplerate)
                audio = file.read(frames=round(seconds * rate), dtype="float64", always_2d=True).mean(axis=1)
        except (OSError, soundfile.LibsndfileError) as error:
            raise ValueError(f"sound file {path} cannot be read: {error}") from None
        if len(audio) < rate // 10 or not audio.any():
            raise ValueError(f"sound file {path} is silent or shorter than 0.1 s")
        edge = rate // 100
        ramp = np.linspace(0.0, 1.0, edge)
        audio[:edge] *= ramp
        audio[-edge:] *= ramp[::-1]
        return cls(label, _finish(_resample(audio, round(len(audio) * RATE_HZ / rate))))


def known_sounds() -> tuple[str, ...]:
    """Names that `synthesise` takes."""
    return tuple(_SYNTHESISERS)


@lru_cache(maxsize=32)
def synthesise(name: str, seed: int = 0) -> Waveform:
    """The waveform `name`; the same seed gives the same samples. Raises ValueError listing the known names."""
    try:
        label, build = _SYNTHESISERS[name]
    except KeyError:
        raise ValueError(f"sound {name!r} is unknown; known: {', '.join(known_sounds())}") from None
    return Waveform(label, _finish(build(np.random.default_rng([seed, *name.encode()]))))


def _resample(audio: Doubles, count: int) -> Doubles:
    spectrum = np.fft.rfft(audio)
    padded = np.zeros(count // 2 + 1, np.complex128)
    keep = min(len(spectrum), len(padded))
    padded[:keep] = spectrum[:keep]
    return np.asarray(np.fft.irfft(padded, count) * (count / len(audio)), np.float64)


def _finish(audio: Doubles) -> Floats:
    """Band-limit, remove the mean, and set the RMS of the sounding part to 1."""
    spectrum = np.fft.rfft(audio)
    hertz = np.fft.rfftfreq(len(audio), 1 / RATE_HZ)
    spectrum *= np.clip((TOP_HZ + 500 - hertz) / 1000, 0, 1) * np.clip(hertz / 30, 0, 1)
    audio = np.fft.irfft(spectrum, len(audio))
    loud = np.abs(audio) > 0.02 * np.abs(audio).max()
    return np.asarray(audio / np.sqrt(np.mean(audio[loud] ** 2)), np.float32)


def _times(seconds: float) -> Doubles:
    return np.arange(round(seconds * RATE_HZ)) / RATE_HZ


def _tone(hertz: Doubles, partials: int, roll_off: float = 1.0) -> Doubles:
    """A harmonic tone that follows the frequency (K,) and ends in the phase in which it began."""
    phase = 2 * np.pi * np.concatenate([[0.0], np.cumsum(hertz)]) / RATE_HZ
    cycles = max(round(phase[-1] / (2 * np.pi)), 1)
    phase = phase[:-1] * (2 * np.pi * cycles / phase[-1])
    top = max(int(TOP_HZ // hertz.max()), 1)
    parts = [np.sin(k * phase) / k**roll_off for k in range(1, min(partials, top) + 1)]
    return np.asarray(np.sum(parts, axis=0), np.float64)


def _noise(random: np.random.Generator, count: int, low_hz: float, high_hz: float, tilt: float = 0.0) -> Doubles:
    """Periodic noise between two frequencies; `tilt` -1 falls by 6 dB per octave."""
    hertz = np.fft.rfftfreq(count, 1 / RATE_HZ)
    shape = np.exp(-0.5 * np.clip((low_hz - hertz) / (0.3 * low_hz), 0, None) ** 2)
    shape *= np.exp(-0.5 * np.clip((hertz - high_hz) / (0.3 * high_hz), 0, None) ** 2)
    shape *= np.maximum(hertz, low_hz) ** tilt
    phases = np.exp(2j * np.pi * random.random(len(hertz)))
    audio = np.fft.irfft(shape * phases, count)
    return np.asarray(audio / np.sqrt(np.mean(audio**2)), np.float64)


def _wail(random: np.random.Generator) -> Doubles:
    t = _times(8.0)
    return _tone(1025 - 425 * np.cos(2 * np.pi * t / 4.0), 8)


def _yelp(random: np.random.Generator) -> Doubles:
    t = _times(6.0)
    return _tone(1050 - 450 * np.cos(2 * np.pi * t * 3.0), 8)


def _hi_lo(random: np.random.Generator) -> Doubles:
    t = _times(5.6)  # 435 and 580 Hz, 0.7 s each: the range that DIN 14610 gives for Germany
    return _tone(np.where((t // 0.7).astype(int) % 2 == 0, 435.0, 580.0), 12, 0.8)


def _horn(random: np.random.Generator) -> Doubles:
    t = _times(5.0)
    both = _tone(np.full_like(t, 420.0), 12, 0.7) + _tone(np.full_like(t, 500.0), 12, 0.7)
    pressed = np.clip((t - 0.5) / 0.02, 0, 1) * np.clip((1.4 - t) / 0.04, 0, 1)
    return both * pressed


def _engine(random: np.random.Generator) -> Doubles:
    t = _times(6.0)
    drift = 55 * (1 + 0.04 * np.sin(2 * np.pi * t / 6.0) + 0.015 * np.sin(2 * np.pi * t / 1.5))
    firing = _tone(drift / 2, 40, 0.55)
    return firing + 0.5 * _noise(random, len(t), 80, 1500, -0.8) * (1 + 0.5 * _tone(drift, 1))


def _tyres(random: np.random.Generator) -> Doubles:
    return _noise(random, len(_times(8.0)), 500, 1600) + 0.4 * _noise(random, len(_times(8.0)), 100, 5000, -0.5)


def _beeper(random: np.random.Generator) -> Doubles:
    t = _times(4.0)
    on = (t % 1.0) < 0.5
    edge = np.clip(np.minimum(t % 1.0, 0.5 - t % 1.0) / 0.01, 0, 1)
    return _tone(np.full_like(t, 1250.0), 3, 1.5) * on * edge


def _bell(random: np.random.Generator) -> Doubles:
    t = _times(6.0)
    ring = np.zeros_like(t)
    for strike in (0.2, 0.55, 3.2, 3.5):
        since = np.clip(t - strike, 0, None)
        for hertz, decay in ((2350, 0.35), (3900, 0.22), (5650, 0.12), (6300, 0.1)):
            ring += (t >= strike) * np.exp(-since / decay) * np.sin(2 * np.pi * hertz * since)
    return ring


def _footsteps(random: np.random.Generator) -> Doubles:
    t = _times(5.0)
    steps = np.zeros_like(t)
    for number in range(9):
        at = 0.2 + 0.53 * number + 0.02 * random.standard_normal()
        since = np.clip(t - at, 0, None)
        steps += (t >= at) * (np.exp(-since / 0.02) + 0.3 * np.exp(-np.abs(since - 0.09) / 0.012)) * (since < 0.4)
    return steps * _noise(random, len(t), 120, 3000, -0.7)


def _babble(random: np.random.Generator) -> Doubles:
    t = _times(8.0)
    voices = np.zeros_like(t)
    for _ in range(5):
        pitch = random.uniform(95, 220) * np.exp(0.12 * np.sin(2 * np.pi * random.integers(2, 9) * t / 8.0))
        source = _tone(pitch, 45, 0.6)
        syllables = np.clip(_slow(random, len(t), 4.0) + 0.2, 0, None)
        spectrum, hertz = np.fft.rfft(source), np.fft.rfftfreq(len(t), 1 / RATE_HZ)
        formants = sum(
            g * np.exp(-0.5 * ((hertz - f * random.uniform(0.8, 1.2)) / (0.15 * f)) ** 2)
            for f, g in ((550, 1.0), (1500, 0.5), (2600, 0.25))
        )
        voices += np.fft.irfft(spectrum * formants, len(t)) * syllables
    return voices


def _slow(random: np.random.Generator, count: int, hertz: float) -> Doubles:
    """Periodic random modulation that varies about `hertz` times a second, RMS 1."""
    lines = max(round(2 * hertz * count / RATE_HZ), 2)
    spectrum = np.zeros(count // 2 + 1, np.complex128)
    spectrum[1:lines] = random.standard_normal(lines - 1) + 1j * random.standard_normal(lines - 1)
    audio = np.fft.irfft(spectrum, count)
    return np.asarray(audio / np.sqrt(np.mean(audio**2)), np.float64)


_SYNTHESISERS: Mapping[str, tuple[str, Callable[[np.random.Generator], Doubles]]] = {
    "siren_wail": ("siren", _wail),
    "siren_yelp": ("siren", _yelp),
    "siren_hi_lo": ("siren", _hi_lo),
    "horn": ("horn", _horn),
    "engine": ("engine", _engine),
    "tyres": ("tyres", _tyres),
    "beeper": ("beeper", _beeper),
    "bell": ("bell", _bell),
    "footsteps": ("footsteps", _footsteps),
    "babble": ("voice", _babble),
}


@lru_cache(maxsize=16)
def coloured_noise(low_hz: float, high_hz: float, tilt: float, seed: int, seconds: float, rate_hz: int) -> Floats:
    """A loop of noise (seconds * rate_hz,) with RMS 1 between two frequencies: wind, cabin rumble, preamplifier."""
    long = _noise(np.random.default_rng([seed, 77]), round(seconds * RATE_HZ), low_hz, high_hz, tilt)
    audio = _resample(long, round(seconds * rate_hz))
    return np.asarray(audio / np.sqrt(np.mean(audio**2)), np.float32)
