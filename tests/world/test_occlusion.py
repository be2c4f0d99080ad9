"""Who hides whom, what each array hears, and which messages were wrong: all in the truth of a simulation."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from drive_samples import RING_M, crate, drive_of, still, straight

from calibration import rig
from fusion_pipeline.clock import MILLISECOND_NS
from fusion_pipeline.geometry.pose import Pose
from fusion_pipeline.rig import LidarMount, Rig
from fusion_pipeline.world.camera import SimulatedCamera
from fusion_pipeline.world.drive import Drive
from fusion_pipeline.world.ego_sensors import EgoErrors
from fusion_pipeline.world.faults import Fault
from fusion_pipeline.world.occlusion import CAMERA_STRIDES, LIDAR_STRIDES, Onlooker, Sight
from fusion_pipeline.world.simulation import START_NS, Simulation
from fusion_pipeline.world.sound import SoundSource
from fusion_pipeline.world.sound_truth import sounds_at
from fusion_pipeline.world.sources import synthesise
from fusion_pipeline.world.sweep import SimulatedSweep

RIG = Rig.load(rig("demo"))
MOUNT = LidarMount(Pose(np.eye(3), np.asarray([0.0, 0.0, 1.5])))
NEAR, HALF, FAR, BESIDE, BEHIND, LONE = range(6)


def by_lidar(drive: Drive) -> Sight:
    """Of one turn at the start."""
    sweeper = SimulatedSweep(drive, MOUNT, None, np.pi)
    sweeper.sweep(0.0, 1)
    return Onlooker(drive, LIDAR_STRIDES).look(sweeper.views)


def by_camera(drive: Drive) -> Sight:
    """Of one picture at the start."""
    camera = SimulatedCamera(drive, RIG.cameras["camera/front"])
    camera.picture(0.0)
    return Onlooker(drive, CAMERA_STRIDES).look(camera.views(0.0))


def row() -> Drive:
    """Ahead a low crate, one half behind it, one wholly behind; one to the side, two behind the vehicle."""
    actors = (
        crate(still(16.0, 0.0), (1.0, 2.0, 2.4)), crate(still(24.0, 1.5), (1.0, 3.0, 2.0)),
        crate(still(22.0, -0.2), (1.0, 1.0, 1.0)), crate(still(12.0, 8.0), (2.0, 2.0, 2.0)),
        crate(still(RING_M - 6.0, 0.0), (1.0, 4.0, 3.0)), crate(still(RING_M - 20.0, 0.0), (1.0, 1.0, 1.0)),
    )  # fmt: skip
    return drive_of(still(6.0, 0.0), *actors)


def test_shares_are_those_of_geometry() -> None:
    for sight in (by_lidar(row()), by_camera(row())):
        assert sight.share(NEAR) == 1.0
        assert NEAR not in sight.hidden_by
        assert sight.share(FAR) == pytest.approx(0.0, abs=0.02)
        assert sight.hidden_by[FAR] == pytest.approx({NEAR: 1.0}, abs=0.02)
        # From 0, the near one's edge at y = 1 and x = 9.5 hides y < 1.84 at x = 17.5 of what spans 0 to 3.
        share = sight.share(HALF)
        assert share is not None
        assert share == pytest.approx((3.0 - 17.5 / 9.5) / 3.0, abs=0.07)
        assert sight.hidden_by[HALF][NEAR] == pytest.approx(1.0 - share, abs=0.03)


def test_a_lidar_looks_all_round_and_a_camera_does_not() -> None:
    lidar, camera = by_lidar(row()), by_camera(row())
    assert lidar.share(BESIDE) == 1.0
    assert lidar.share(BEHIND) == 1.0
    assert lidar.share(LONE) == 0.0
    assert lidar.hidden_by[LONE] == {BEHIND: 1.0}
    assert camera.share(BEHIND) is None
    assert camera.share(LONE) is None


def test_what_is_behind_a_wall_is_hidden_by_scenery() -> None:
    drive = drive_of(still(240.0, 0.0, np.pi / 2), crate(still(240.0, 70.0), (2.0, 2.0, 1.5)))
    sight = by_lidar(drive)
    assert sight.share(0) == 0.0
    assert sight.hidden_by[0] == {-1: 1.0}


def test_sounds_are_heard_from_where_they_were_sent_and_dulled_by_buildings() -> None:
    moving = SoundSource("siren", synthesise("siren_wail"), straight(100.0, 50.0, 30.0, 0.0).raised(1.0), 110.0)
    drive = replace(drive_of(still(100.0, 0.0)), sounds=(moving,))
    ear = {"audio/roof": np.asarray([0.0, 0.0, 1.8])}
    (now,) = sounds_at(drive, 0.5, ear)
    heard = now.heard["audio/roof"]
    late = np.hypot(15.0, 50.0) / 343.2 * 30.0 / 50.0  # radians by which the sound lags, to first order
    assert now.azimuth_rad == pytest.approx(np.arctan2(50.0, 15.0), abs=1e-3)
    assert heard.azimuth_rad - now.azimuth_rad == pytest.approx(late * 50**2 / (50**2 + 15**2), rel=0.1)
    assert heard.level_db == pytest.approx(now.level_db, abs=1.0)
    house = np.asarray([[107.0, 25.0, 20.0, 5.0, 1.0, 0.0, 15.0]])
    (hidden,) = sounds_at(replace(drive, solids=house), 0.5, ear)
    assert not hidden.in_sight
    assert hidden.heard["audio/roof"].level_db < heard.level_db - 8


def test_the_truth_of_a_simulation_tells_all_of_it() -> None:
    drive = drive_of(
        still(6.0, 0.0), crate(still(16.0, 0.0), (1.0, 2.0, 2.4)), crate(still(22.0, 0.0), (1.0, 1.0, 1.0))
    )
    faults = {"camera/front": Fault(offset_ms=7.0), "audio/roof": Fault(drop=0.5)}
    errors = EgoErrors()
    frames = list(Simulation(drive, RIG, 3, faults, ego_errors=errors).run(0.4))
    tables = [frame.truth.table() for frame in frames if frame.truth]
    assert len(tables) == 4
    for table in tables:
        first, second = table["objects"]
        assert first["visible"] == {"lidar/top": 1.0, "camera/front": 1.0}
        assert second["visible"]["camera/front"] == 0.0
        assert second["hidden_by"]["lidar/top"]["0"] > 0.95
        assert table["ego_errors"]["wander_m"] == errors.wander_m
    told = [message for table in tables for message in table["messages"]]
    pictures = [message for message in told if message["topic"] == "camera/front"]
    assert [m["stamp_ns"] - m["true_ns"] for m in pictures] == [7 * MILLISECOND_NS] * 4
    chunks = [message for message in told if message["topic"] == "audio/roof"]
    assert [m["true_ns"] - START_NS for m in chunks] == [20 * MILLISECOND_NS * k for k in range(20)]
    arrived = {f.message.header.arrival_ns for f in frames if f.message and f.message.header.source == "audio/roof"}
    assert {m["arrival_ns"] for m in chunks if m["arrival_ns"] >= 0} == arrived
    assert 2 < len(arrived) < 18


def test_two_lidars_of_one_make_have_noise_of_their_own() -> None:
    drive = drive_of(still(6.0, 0.0))
    twins = Rig("twins", {"lidar/a": replace(MOUNT, make="VLP-16"), "lidar/b": replace(MOUNT, make="VLP-16")})
    a, b = (
        f.message.xyz_m
        for f in Simulation(drive, twins, 3).run(0.1)
        if f.message and "lidar" in f.message.header.source
    )  # type: ignore[union-attr]
    assert abs(len(a) - len(b)) < 0.05 * len(a)
    assert a.tobytes() != b.tobytes()
