"""The street of the demo: the same for the same seed, without a seam, and nobody runs into anybody."""

from __future__ import annotations

import hashlib
from itertools import pairwise

import numpy as np
import pytest

from fusion_pipeline.arrays import Array, Doubles
from fusion_pipeline.geometry.boxes import bev_intersection
from fusion_pipeline.world.drive import Drive
from fusion_pipeline.world.ring_street import LANE_M, ring_street

EGO_SIZE_M = (4.5, 1.9, 1.6)
ON_FOOT = ("pedestrian", "two-wheeler")


@pytest.fixture(scope="module", params=[7, 8])
def drive(request: pytest.FixtureRequest) -> Drive:
    return ring_street(request.param, False)


def anew(seed: int) -> Drive:
    """Built again, past the cache."""
    return ring_street.__wrapped__(seed, False)


def digest(drive: Drive) -> str:
    arrays: list[Array] = [drive.scenery.mesh.vertices_m, drive.scenery.mesh.triangles, drive.scenery.mesh.materials]
    arrays += [drive.scenery.colours, drive.ground.pixels, drive.solids, drive.ego.positions_m, drive.ego.yaws_rad]
    for actor in drive.actors:
        mesh = actor.body.mesh
        arrays += [np.asarray(actor.size_m), actor.track.positions_m, actor.track.yaws_rad, actor.track.shift_m]
        arrays += [mesh.vertices_m, mesh.triangles, mesh.materials, actor.body.colours]
    return hashlib.sha256(b"".join(np.ascontiguousarray(array).tobytes() for array in arrays)).hexdigest()


def footprints(drive: Drive, seconds: float, kinds: list[int]) -> Doubles:
    """(N, 7) boxes of some actors with x from 0 to the ring's length."""
    rows = []
    for number in kinds:
        actor, state = drive.actors[number], drive.actors[number].track.at(seconds)
        rows.append([state.position_m[0] % drive.ring_m, state.position_m[1], 0.0, *actor.size_m, state.yaw_rad])
    return np.asarray(rows, np.float64)


def shifted(boxes: Doubles, by_m: float) -> Doubles:
    return boxes + np.array([by_m, 0, 0, 0, 0, 0, 0])


def test_a_seed_is_a_street_to_the_last_bit() -> None:
    first = anew(7)
    assert digest(first) == digest(anew(7)) == digest(ring_street(7, False))
    assert digest(first) != digest(anew(8))
    assert ring_street(7, False).sounds == ()


def test_there_is_traffic_of_every_kind(drive: Drive) -> None:
    labels = {actor.label for actor in drive.actors}
    assert labels == {0, 1, 2, 3}
    assert sum(not actor.moves for actor in drive.actors) >= 5
    assert sum(actor.moves for actor in drive.actors) >= 40


def test_vehicles_overlap_at_no_time(drive: Drive) -> None:
    vehicles = [i for i, actor in enumerate(drive.actors) if actor.kind not in ON_FOOT]
    for seconds in np.arange(0.0, drive.period_s, 1.0):
        boxes = footprints(drive, seconds, vehicles)
        for by_m in (0.0, drive.ring_m, -drive.ring_m):
            shared = bev_intersection(boxes, shifted(boxes, by_m))
            if by_m == 0:
                np.fill_diagonal(shared, 0.0)
            assert shared.max() == 0.0, f"at {seconds} s"


def test_nobody_is_in_the_way_of_the_ego_vehicle(drive: Drive) -> None:
    everybody = list(range(len(drive.actors)))
    for seconds in np.arange(0.0, drive.period_s, 1.0):
        ego = drive.ego.at(seconds)
        box = np.array([[ego.position_m[0] % drive.ring_m, ego.position_m[1], 0.0, *EGO_SIZE_M, ego.yaw_rad]])
        others = footprints(drive, seconds, everybody)
        for by_m in (0.0, drive.ring_m, -drive.ring_m):
            assert bev_intersection(box, shifted(others, by_m)).max() == 0.0, f"at {seconds} s"


def test_no_scenery_stands_on_the_lanes(drive: Drive) -> None:
    corners = drive.scenery.mesh.vertices_m[drive.scenery.mesh.triangles].astype(np.float64)
    low = corners[..., 2].min(axis=1) < 3.5  # leaves may hang over a truck
    beside = (corners[..., 1].min(axis=1) > LANE_M) | (corners[..., 1].max(axis=1) < -LANE_M)
    assert beside[low].all()
    assert low.sum() > 1000


def test_after_a_period_everything_is_where_it_was(drive: Drive) -> None:
    times = np.append(np.random.default_rng(1).uniform(-30, 90, 20), [0.0, -0.01, 0.01, drive.period_s - 0.01])
    for track in [drive.ego, *(actor.track for actor in drive.actors)]:
        assert track.period_s == drive.period_s
        values, rates = track.sample(times)
        later, later_rates = track.sample(times + drive.period_s)
        moved = later - values
        laps = moved[:, 0] / drive.ring_m
        np.testing.assert_allclose(laps, np.rint(laps[0]), atol=1e-9)
        np.testing.assert_allclose(moved[:, 1:3], 0.0, atol=1e-9)
        turns = moved[:, 3] / (2 * np.pi)
        np.testing.assert_allclose(turns, np.rint(turns[0]), atol=1e-9)
        np.testing.assert_allclose(later_rates, rates, atol=1e-6)


def test_nothing_jumps_where_the_period_ends(drive: Drive) -> None:
    times = np.arange(-1.0, 1.0, 0.01)
    for actor in drive.actors:
        values, rates = actor.track.sample(times)
        steps = np.linalg.norm(np.diff(values[:, :3], axis=0), axis=1)
        assert steps.max() < 20 * 0.01
        pull = np.linalg.norm(np.diff(rates[:, :3], axis=0), axis=1) / 0.01
        assert pull.max() < 20.0, actor.kind


def test_velocity_is_the_derivative_of_position(drive: Drive) -> None:
    times, h = np.random.default_rng(2).uniform(0, drive.period_s, 50), 1e-4
    for track in [drive.ego, *(actor.track for actor in drive.actors)]:
        ahead, behind = track.sample(times + h)[0], track.sample(times - h)[0]
        np.testing.assert_allclose(track.sample(times)[1], (ahead - behind) / (2 * h), atol=2e-3, rtol=2e-3)


def test_whoever_moves_looks_where_it_goes(drive: Drive) -> None:
    times = np.arange(0.0, drive.period_s, 0.037)
    for actor in drive.actors:
        values, rates = actor.track.sample(times)
        if actor.moves:
            gap = np.angle(np.exp(1j * (np.arctan2(rates[:, 1], rates[:, 0]) - values[:, 3])))
            assert np.mean(np.abs(gap) < 0.05) > 0.93, actor.kind  # turning round takes 1.5 s, twice a minute
        else:
            np.testing.assert_allclose(rates, 0.0, atol=1e-9)


def test_the_traffic_has_the_speeds_of_a_town(drive: Drive) -> None:
    times = np.arange(0.0, drive.period_s, 0.5)
    for actor in drive.actors:
        speed = np.linalg.norm(actor.track.sample(times)[1][:, :2], axis=1).max()
        limit = {"pedestrian": 2.7, "two-wheeler": 8.0}.get(actor.kind, 16.5)
        assert speed < limit, (actor.kind, speed)


def test_time_of_day_comes_down_to_the_period(drive: Drive) -> None:
    now = 1_700_000_000_123_456_789
    assert drive.seconds(now) == drive.seconds(now + drive.period_ns)
    seconds = [drive.seconds(k * 1_000_000_000) for k in range(61)]
    assert all(b - a in (1.0, -59.0) for a, b in pairwise(seconds))
