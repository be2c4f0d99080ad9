"""Sound of a microphone array to steered response power: where it comes from, by frequency band and time.

SRP-PHAT (DiBiase, "A high-accuracy, low-latency technique for talker localization", 2000): the cross-spectra of all
pairs of microphones, whitened, are turned to each azimuth by the delays that a plane wave from there would have, and
averaged. 1 means that all pairs agree on the azimuth, 0 that they know nothing of each other.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.fft

from fusion_pipeline.arrays import Array, Doubles, Floats
from fusion_pipeline.messages import AudioChunk
from fusion_pipeline.rig import MicrophoneArray

BANDS, STEPS, AZIMUTHS = 16, 16, 72
STEP_S = 0.032  # from one time step to the next; a step's window is twice as long, so 16 steps span 0.544 s
LOWEST_HZ, HIGHEST_HZ = 150.0, 7500.0
SOUND_MPS = 343.0  # dry air at 20 degrees C
QUIET_DB = -120.0  # the level of no sound at all
WHITE_FLOOR = 1e-5  # relative to full scale, per frequency: below it whitening would raise the converter's noise


class AudioError(ValueError):
    """A chunk that does not fit the array; the message is short enough for a refusal count."""


@dataclass(frozen=True, slots=True, eq=False)
class Response:
    """What an array heard in one window."""

    srp: Floats  # (1, 16, 16, 72) bands, time steps (the last is the newest), azimuths; -1 to 1
    level_db: Floats  # (16, 16) mean power of bands and time steps over the microphones, dB of full scale
    spectrum: Floats  # (16, F) mean power of time steps and frequencies over the microphones, full scale 1
    frequencies_hz: Floats  # (F,)
    patterns: Floats  # (16, 72, 72) what the array's srp would be, per band, for a lone plane wave from each azimuth

    @property
    def azimuths_rad(self) -> Doubles:
        """(72,) the directions of `srp`'s last axis in the vehicle frame: 0 ahead, positive to the left, -pi to pi."""
        return azimuths_rad()


def azimuths_rad() -> Doubles:
    """(72,) bin k looks along k * 5 degrees, wrapped to -pi (excluded) to pi."""
    turns = np.arange(AZIMUTHS) * (2 * np.pi / AZIMUTHS)
    return np.asarray(np.where(turns > np.pi + 1e-9, turns - 2 * np.pi, turns), np.float64)


def band_edges_hz(rate_hz: int) -> Doubles:
    """(17,) edges of the 16 bands, evenly spaced in the mel scale (O'Shaughnessy 1987) up to what the rate carries."""
    mel = np.linspace(_mel(LOWEST_HZ), _mel(min(HIGHEST_HZ, 0.45 * rate_hz)), BANDS + 1)
    return np.asarray(700.0 * (np.power(10.0, mel / 2595.0) - 1.0), np.float64)


class SteeredResponse:
    """SRP-PHAT of one array at one sampling rate; the geometry is compiled into a steering table once."""

    def __init__(self, array: MicrophoneArray, rate_hz: int) -> None:
        """Raises AudioError for an array of fewer than two microphones, or a rate below 2 kHz."""
        if len(array.microphones_m) < 2:
            raise AudioError("an array of one microphone has no direction")
        if rate_hz < 2000:
            raise AudioError(f"{rate_hz} Hz is too low a sampling rate")
        self.rate_hz = rate_hz
        self._microphones = len(array.microphones_m)
        self._hop = round(STEP_S * rate_hz)
        self._window = np.hanning(2 * self._hop).astype(np.float32)
        self._length = int(scipy.fft.next_fast_len(2 * self._hop, real=True))
        frequencies = np.fft.rfftfreq(self._length, 1 / rate_hz)
        edges = band_edges_hz(rate_hz)
        self._bins = slice(*np.searchsorted(frequencies, [edges[0], edges[-1]]))
        self._frequencies = frequencies[self._bins]
        # At 16 Hz from one frequency to the next even the narrowest band, 91 Hz wide, holds five of them.
        self._starts = np.searchsorted(self._frequencies, edges[:-1])
        self._ends = np.append(self._starts[1:], len(self._frequencies))
        self._first, self._second = np.triu_indices(self._microphones, 1)
        self._steering = self._compile(array)
        # A wave's cross-spectra are the cosines and sines of its own row, so its response is their product.
        widths = [(b - a) * len(self._first) for a, b in zip(self._starts, self._ends, strict=True)]
        self._patterns = np.stack([s @ s.T * w for s, w in zip(self._steering, widths, strict=True)])

    def _compile(self, array: MicrophoneArray) -> tuple[Floats, ...]:
        """Per band (72, Fb * 2P): the cosine and sine that turn each pair's cross-spectrum to each azimuth, divided
        by the number of frequencies and pairs, so that one product gives the band's mean.
        """
        placed = array.microphones_m @ array.vehicle_from_sensor.rotation.T
        towards = np.stack([np.cos(azimuths_rad()), np.sin(azimuths_rad()), np.zeros(AZIMUTHS)])
        lead_s = placed @ towards / SOUND_MPS  # (M, 72) how much earlier than the origin each microphone hears it
        apart_s = lead_s[self._first] - lead_s[self._second]  # (P, 72)
        phase = 2 * np.pi * self._frequencies[:, None, None] * apart_s.T[None]  # (F, 72, P)
        turns = np.concatenate([np.cos(phase), np.sin(phase)], axis=2) / len(self._first)
        return tuple(
            np.ascontiguousarray(turns[a:b].transpose(1, 0, 2).reshape(AZIMUTHS, -1) / (b - a), np.float32)
            for a, b in zip(self._starts, self._ends, strict=True)
        )

    def __call__(self, chunk: AudioChunk) -> Response:
        """The response to the newest 0.544 s of `chunk`; steps for which it is too short are zero.

        Raises AudioError for a chunk with another rate or number of channels.
        """
        if chunk.rate_hz != self.rate_hz:
            raise AudioError(f"rate is {chunk.rate_hz} Hz, not {self.rate_hz}")
        if chunk.pcm.shape[1] != self._microphones:
            raise AudioError(f"{chunk.pcm.shape[1]} channels, the array has {self._microphones}")
        spectra = self._spectra(chunk.pcm)  # (F, M, 16)
        magnitude = np.abs(spectra)
        white = spectra / (magnitude + np.float32(WHITE_FLOOR))
        cross = white[:, self._first] * white[:, self._second].conj()  # (F, P, 16)
        # Re(cross * exp(-i phase)), summed over a band's frequencies and pairs, as one real product per band
        pairs = np.concatenate([cross.real, cross.imag], axis=1)  # (F, 2P, 16)
        banded = np.empty((1, BANDS, STEPS, AZIMUTHS), np.float32)
        for band, (a, b) in enumerate(zip(self._starts, self._ends, strict=True)):
            np.matmul(pairs[a:b].reshape(-1, STEPS).T, self._steering[band].T, out=banded[0, band])
        power = np.square(magnitude).mean(axis=1)  # (F, 16)
        level = np.add.reduceat(power, self._starts, axis=0)
        return Response(
            srp=banded,
            level_db=(10 * np.log10(level + np.float32(1e-12))).astype(np.float32),
            spectrum=np.ascontiguousarray(power.T),
            frequencies_hz=self._frequencies.astype(np.float32),
            patterns=self._patterns,
        )

    def _spectra(self, pcm: Array) -> Array:
        """(F, M, 16) complex spectra; a full-scale sine has magnitude near 0.5."""
        needed = (STEPS + 1) * self._hop
        newest = pcm[-needed:].T.astype(np.float32) * np.float32(1 / 32768)
        if newest.shape[1] < needed:
            newest = np.pad(newest, ((0, 0), (needed - newest.shape[1], 0)))
        frames = np.lib.stride_tricks.sliding_window_view(newest, 2 * self._hop, axis=1)[:, :: self._hop]
        gain = np.float32(1 / self._window.sum())
        spectra = scipy.fft.rfft(frames * (self._window * gain), self._length, axis=2)
        return np.ascontiguousarray(spectra[:, :, self._bins].transpose(2, 0, 1))


def _mel(frequency_hz: float) -> float:
    return float(2595.0 * np.log10(1.0 + frequency_hz / 700.0))
