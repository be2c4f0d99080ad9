"""Direction of sound: a plane wave whose direction is known, and rooms simulated by pyroomacoustics."""

from __future__ import annotations

import numpy as np
import pytest

from fusion_pipeline.detect.sounds import sounds_from_srp
from fusion_pipeline.encode.audio import AudioError, SteeredResponse, azimuths_rad
from fusion_pipeline.geometry.pose import Pose
from fusion_pipeline.messages import AudioChunk, Header
from fusion_pipeline.rig import MicrophoneArray

RATE = 16_000
SQUARE = np.array([[0.1, 0.1, 0], [0.1, -0.1, 0], [-0.1, -0.1, 0], [-0.1, 0.1, 0]])


def chunk(signals: np.ndarray, rate: int = RATE) -> AudioChunk:
    """(S, C) floats, full scale 1."""
    pcm = (np.clip(signals, -1, 1) * 32767).astype(np.int16)
    return AudioChunk(Header("audio/roof", 0, 0), rate, pcm)


def plane_wave(azimuth: float, places: np.ndarray, seconds: float = 0.6, seed: int = 0) -> np.ndarray:
    """Noise from afar at (M, 3) places, delayed exactly, in the frequency domain."""
    n = int(seconds * RATE)
    spectrum = np.fft.rfft(np.random.default_rng(seed).normal(0, 0.1, n))
    lead = places @ [np.cos(azimuth), np.sin(azimuth), 0] / 343.0
    turn = np.exp(2j * np.pi * np.fft.rfftfreq(n, 1 / RATE)[:, None] * lead[None])
    return np.fft.irfft(spectrum[:, None] * turn, n, axis=0)


def apart(a: float, b: float) -> float:
    return abs(float(np.angle(np.exp(1j * (a - b)))))


@pytest.mark.parametrize("degrees", [0, 37, 90, 171, -60, -133])
def test_a_plane_wave_is_heard_where_it_comes_from(degrees: float) -> None:
    azimuth = np.deg2rad(degrees)
    response = SteeredResponse(MicrophoneArray(Pose.identity(), SQUARE), RATE)(chunk(plane_wave(azimuth, SQUARE)))
    peak = azimuths_rad()[response.srp[0].mean(axis=(0, 1)).argmax()]
    assert apart(peak, azimuth) <= np.deg2rad(2.6)  # half a bin
    events = sounds_from_srp(response)
    assert len(events) == 1
    assert events[0].score > 0.7
    assert apart(events[0].azimuth_rad, azimuth) < np.deg2rad(2)


def test_an_array_that_is_mounted_turned_hears_in_the_vehicle_frame() -> None:
    mount = Pose.from_euler(0, 0, np.pi / 2, np.array([1.0, 0, 2]))
    placed = SQUARE @ mount.rotation.T
    signals = plane_wave(0.5, placed)
    events = sounds_from_srp(SteeredResponse(MicrophoneArray(mount, SQUARE), RATE)(chunk(signals)))
    assert apart(events[0].azimuth_rad, 0.5) < np.deg2rad(2)


@pytest.mark.parametrize("degrees", [25, -110])
def test_a_source_in_the_open_by_pyroomacoustics(degrees: float) -> None:
    rooms = pytest.importorskip("pyroomacoustics")
    azimuth = np.deg2rad(degrees)
    middle = np.array([50.0, 50.0, 2.0])
    room = rooms.AnechoicRoom(3, fs=RATE)
    room.add_source(middle + 20 * np.array([np.cos(azimuth), np.sin(azimuth), 0]),
                    signal=np.random.default_rng(2).normal(0, 1, RATE))  # fmt: skip
    room.add_microphone_array((SQUARE + middle).T)
    room.simulate()
    heard = room.mic_array.signals.T[RATE // 4 : RATE]
    heard = 0.3 * heard / np.abs(heard).max()
    events = sounds_from_srp(SteeredResponse(MicrophoneArray(Pose.identity(), SQUARE), RATE)(chunk(heard)))
    assert apart(events[0].azimuth_rad, azimuth) < np.deg2rad(3)


def test_silence_and_noise_of_the_microphones_have_no_direction() -> None:
    steered = SteeredResponse(MicrophoneArray(Pose.identity(), SQUARE), RATE)
    assert sounds_from_srp(steered(chunk(np.zeros((RATE, 4))))) == ()
    own = np.random.default_rng(3).normal(0, 0.1, (RATE, 4))
    assert sounds_from_srp(steered(chunk(own))) == ()


def test_a_short_chunk_fills_only_the_newest_steps() -> None:
    steered = SteeredResponse(MicrophoneArray(Pose.identity(), SQUARE), RATE)
    srp = steered(chunk(plane_wave(0.0, SQUARE, 0.2))).srp
    assert srp.shape == (1, 16, 16, 72)
    assert not srp[0, :, :8].any()
    assert srp[0, :, -3:].any()


def test_sound_that_does_not_fit_the_array_is_refused() -> None:
    array = MicrophoneArray(Pose.identity(), SQUARE)
    with pytest.raises(AudioError, match="48000 Hz, not 16000"):
        SteeredResponse(array, RATE)(chunk(np.zeros((100, 4)), 48_000))
    with pytest.raises(AudioError, match="2 channels, the array has 4"):
        SteeredResponse(array, RATE)(chunk(np.zeros((100, 2))))
    with pytest.raises(AudioError, match="no direction"):
        SteeredResponse(MicrophoneArray(Pose.identity(), SQUARE[:1]), RATE)
    with pytest.raises(AudioError, match="too low"):
        SteeredResponse(array, 1000)
