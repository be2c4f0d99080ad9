"""Sound against theory: delays, Doppler, spreading, shadows; and pyroomacoustics as an independent ear."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from fusion_pipeline.bench.world_physics import (
    AZIMUTHS_DEG,
    NOTHING,
    QUIET,
    RATE,
    SPEEDS_MPS,
    SQUARE,
    at_height,
    azimuth_errors_deg,
    delay_error_samples,
    doppler_error,
    field,
    range_errors_mm,
    tone,
)  # fmt: skip
from fusion_pipeline.bench.world_physics import PERIOD_S as PERIOD
from fusion_pipeline.world.motion import Track
from fusion_pipeline.world.sound import Hearing, SoundField, SoundSource
from fusion_pipeline.world.sound_paths import SPEED_OF_SOUND_MPS
from fusion_pipeline.world.sources import RATE_HZ, Waveform, known_sounds, synthesise


@pytest.mark.parametrize("azimuth_deg", AZIMUTHS_DEG)
def test_delays_between_microphones_are_those_of_geometry(azimuth_deg: float) -> None:
    assert delay_error_samples(azimuth_deg) <= 0.1


@pytest.mark.parametrize("speed_mps", SPEEDS_MPS)
def test_doppler_shift(speed_mps: float) -> None:
    assert doppler_error(speed_mps) <= 0.002


def test_ranges_are_those_of_analytic_bodies() -> None:
    errors = range_errors_mm()
    assert set(errors) == {"plane", "sphere", "box"}
    assert max(errors.values()) <= 1.0


def test_level_falls_with_distance() -> None:
    levels = []
    for distance in (10.0, 20.0):
        source = SoundSource("s", tone(300.0), Track.still([distance, 0, 500.0], 0.0, PERIOD), 100.0)
        heard = field(source, microphones=np.zeros((1, 3))).render(RATE, RATE)
        levels.append(20 * np.log10(heard.std() / 20e-6))
    assert levels[0] == pytest.approx(80.0, abs=0.3)
    assert levels[0] - levels[1] == pytest.approx(6.02, abs=0.1)


def test_chunks_do_not_matter() -> None:
    solids = np.array([[15.0, 12.0, 8.0, 5.0, 1.0, 0.0, 9.0]])
    track = Track.from_function(lambda t: np.stack([60 - 9 * t, 20 + 0 * t, 1 + 0 * t], axis=1), PERIOD, periodic=False)
    source = SoundSource("s", synthesise("siren_wail"), track, 115.0)
    ego = Track.from_function(lambda t: np.stack([8 * t, 0 * t, 1.8 + 0 * t], axis=1), PERIOD, periodic=False)
    sound = SoundField([source], solids, SQUARE, ego, hearing=Hearing())
    whole = sound.pcm(16_000, 6000)
    pieces = [sound.pcm(16_000 + a, b - a) for a, b in ((0, 320), (320, 321), (321, 2048), (2048, 6000))]
    np.testing.assert_array_equal(whole, np.concatenate(pieces))
    assert np.abs(whole).max() > 300


def test_a_building_dulls_and_a_dead_microphone_is_silent() -> None:
    place, ego = Track.still([40.0, 0.0, 1.5], 0.0, PERIOD), at_height(1.8)
    building = np.array([[20.0, 0.0, 5.0, 15.0, 1.0, 0.0, 12.0]])
    power = {}
    for name, solids in (("open", NOTHING), ("hidden", building)):
        for hertz in (250.0, 4000.0):
            sound = SoundField([SoundSource("s", tone(hertz), place, 110.0)], solids, SQUARE, ego, hearing=QUIET)
            power[name, hertz] = 20 * np.log10(sound.render(RATE, 4000).std())
    loss = {hertz: power["open", hertz] - power["hidden", hertz] for hertz in (250.0, 4000.0)}
    assert 10 < loss[250.0] < 30
    assert loss[4000.0] > loss[250.0] + 5
    dead = field(SoundSource("s", tone(500.0), at_height(510.0), 110.0), Hearing(dead=(2,))).render(RATE, 1000)
    assert dead[:, 2].std() < 0.002 < dead[:, 1].std()


def test_wall_echo_arrives_when_geometry_says() -> None:
    click = np.zeros(RATE_HZ, np.float32)
    click[0] = 100.0
    spectrum = np.fft.rfft(click)
    spectrum[6000:] = 0
    wave = Waveform("other", np.fft.irfft(spectrum).astype(np.float32))
    source = SoundSource("s", wave, Track.still([10, 0, 5], 0, PERIOD), 90.0)
    wall = np.array([[0.0, 12.0, 40.0, 2.0, 1.0, 0.0, 30.0]])
    hearing = Hearing(noise_pa=0, wind_pa_at_10_mps=0, ego_pa_at_10_mps=0)
    heard = SoundField([source], wall, np.zeros((1, 3)), at_height(5.0), hearing=hearing).render(RATE, RATE)[:, 0]
    for distance, share in ((10.0, 1.0), (math.hypot(10, 20), 0.73), (math.hypot(10, 10), 0.76)):
        at = round(distance / SPEED_OF_SOUND_MPS * RATE)
        peak = np.abs(heard[at - 3 : at + 4]).max()
        direct = np.abs(heard[round(10 / SPEED_OF_SOUND_MPS * RATE) - 3 :][:7]).max()
        assert peak / direct == pytest.approx(share * 10 / distance, rel=0.15)  # shares: the bands of a click


@pytest.mark.parametrize("name", known_sounds())
def test_every_sound_is_a_clean_loop(name: str) -> None:
    wave = synthesise(name).samples
    assert np.isfinite(wave).all()
    steps = np.abs(np.diff(wave))
    assert abs(wave[0] - wave[-1]) <= steps.max() * 1.01
    spectrum = np.abs(np.fft.rfft(wave)) ** 2
    assert spectrum[np.fft.rfftfreq(len(wave), 1 / RATE_HZ) > 7600].sum() < 1e-6 * spectrum.sum()
    np.testing.assert_array_equal(wave, synthesise(name, 0).samples)


def test_unknown_sound_and_file_are_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="siren_wail"):
        synthesise("bagpipes")
    with pytest.raises(ValueError, match=r"nothing\.wav"):
        Waveform.from_file(tmp_path / "nothing.wav")


def test_a_sound_file_is_a_source(tmp_path: Path) -> None:
    soundfile = pytest.importorskip("soundfile")
    times = np.arange(44_100) / 44_100
    soundfile.write(tmp_path / "a.wav", 0.5 * np.sin(2 * np.pi * 441 * times), 44_100)
    wave = Waveform.from_file(tmp_path / "a.wav").samples
    assert np.argmax(np.abs(np.fft.rfft(wave))) == 441
    assert len(wave) == RATE_HZ


def test_pyroomacoustics_finds_the_siren() -> None:
    pytest.importorskip("pyroomacoustics")
    assert np.median(azimuth_errors_deg()) <= 3.0


def test_wind_grows_with_the_square_of_speed_and_what_is_too_loud_clips() -> None:
    def driven(speed_mps: float) -> Track:
        return Track.from_function(
            lambda t: np.stack([speed_mps * t, 0 * t, 500.0 + 0 * t], axis=1), PERIOD, periodic=False
        )

    def loud(speed_mps: float, **parts: float) -> float:
        quiet = {"noise_pa": 0.0, "wind_pa_at_10_mps": 0.0, "ego_pa_at_10_mps": 0.0, **parts}
        field_of = SoundField([], NOTHING, SQUARE, driven(speed_mps), hearing=Hearing(**quiet))  # type: ignore[arg-type]
        return float(field_of.render(5 * RATE, RATE).std())

    assert loud(20.0, wind_pa_at_10_mps=0.03) / loud(10.0, wind_pa_at_10_mps=0.03) == pytest.approx(4.0, rel=0.02)
    assert loud(20.0, ego_pa_at_10_mps=0.02) / loud(10.0, ego_pa_at_10_mps=0.02) == pytest.approx(2.0, rel=0.02)
    near = SoundSource("s", tone(500.0), Track.still([1.0, 0, 500.0], 0.0, PERIOD), 125.0)
    pcm = field(near).pcm(RATE, 1000)
    assert pcm.max() == 32767
    assert pcm.min() == -32768
    assert np.mean(np.abs(pcm.astype(np.int64)) >= 32767) > 0.2
