"""The microphones of the demo hear the ambulance where it is."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from fusion_pipeline.encode.audio import SteeredResponse, azimuths_rad
from fusion_pipeline.messages import AudioChunk, Header
from fusion_pipeline.rig import MicrophoneArray, Rig
from fusion_pipeline.world.drive import Actor, Drive
from fusion_pipeline.world.motion import nearest_image
from fusion_pipeline.world.ring_street import AMBULANCE_LAPS, ring_street
from fusion_pipeline.world.sound import SoundField
from fusion_pipeline.world.truth import bearing_rad

RATE, WINDOW_S = 16_000, 0.56
MOMENTS = (4.5, 6.0, 6.5, 7.0, 8.0, 8.5, 26.0, 49.0)


@pytest.fixture(scope="module")
def drive() -> Drive:
    return ring_street(7, True)


@pytest.fixture(scope="module")
def array(repo_root: Path) -> MicrophoneArray:
    return Rig.load(repo_root / "calibration" / "rigs" / "demo.toml").audios["audio/roof"]


@pytest.fixture(scope="module")
def field(drive: Drive, array: MicrophoneArray) -> SoundField:
    microphones = array.vehicle_from_sensor.apply(array.microphones_m)
    return SoundField(drive.sounds, drive.solids, microphones, drive.ego, drive.ring_m, RATE)


def ambulance(drive: Drive) -> Actor:
    (found,) = (a for a in drive.actors if a.track.shift_m[0] == -AMBULANCE_LAPS * drive.ring_m)
    return found


def test_the_siren_is_heard_from_where_the_ambulance_is(
    drive: Drive, array: MicrophoneArray, field: SoundField
) -> None:
    steered, track = SteeredResponse(array, RATE), ambulance(drive).track
    errors = []
    for seconds in MOMENTS:
        place = track.at(seconds).position_m
        assert abs(nearest_image(place[0] - drive.ego.at(seconds).position_m[0], drive.ring_m)) < 75
        pcm = field.pcm(round((seconds - WINDOW_S / 2) * RATE), round(WINDOW_S * RATE))
        srp = steered(AudioChunk(Header("audio/roof", 0, 0), RATE, pcm)).srp
        heard = azimuths_rad()[srp[0].mean(axis=(0, 1)).argmax()]
        gap = heard - bearing_rad(drive, seconds, place)
        errors.append(abs(np.angle(np.exp(1j * gap))))
    assert np.rad2deg(np.median(errors)) < 10
    assert np.rad2deg(np.max(errors)) < 45


def test_it_grows_louder_on_its_way_here_and_fainter_on_its_way_off(field: SoundField) -> None:
    level = {t: field.render(t * RATE, RATE // 4).std() for t in (2, 5, 7, 9, 14)}
    assert level[2] < level[5] < level[7]
    assert level[7] > level[9] > level[14]
    assert level[7] < 10.0  # Pa: what the microphones take without clipping


def test_chunks_join_without_a_seam(field: SoundField) -> None:
    first = round(6.0 * RATE)
    whole = field.pcm(first, 960)
    np.testing.assert_array_equal(whole, np.concatenate([field.pcm(first + k * 320, 320) for k in range(3)]))
    assert np.abs(whole).max() > 500
    assert whole.shape == (960, 4)


def test_with_and_without_sound_it_is_the_same_street(drive: Drive) -> None:
    silent = ring_street(7, False)
    assert {source.name for source in drive.sounds} == {"engine", "tyres", "siren_hi_lo"}
    np.testing.assert_array_equal(drive.ground.pixels, silent.ground.pixels)
    np.testing.assert_array_equal(drive.scenery.mesh.vertices_m, silent.scenery.mesh.vertices_m)
    for loud, quiet in zip(drive.actors, silent.actors, strict=True):
        np.testing.assert_array_equal(loud.track.positions_m, quiet.track.positions_m)
        np.testing.assert_array_equal(loud.body.colours, quiet.body.colours)
