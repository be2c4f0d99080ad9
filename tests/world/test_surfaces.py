"""The drawing of triangles into a grid of rays, against Open3D's ray casting."""

from __future__ import annotations

import numpy as np
import open3d as o3d
import pytest

from fusion_pipeline.arrays import Doubles, Floats
from fusion_pipeline.geometry.pose import Pose
from fusion_pipeline.world.surfaces import RayGrid, Surfaces

REACH_M = 100.0
AXES = Pose.from_euler(0.1, -0.2, 0.4, np.array([0.5, -0.3, 0.2]))


def camera_grid() -> RayGrid:
    return RayGrid(np.linspace(-1.1, 1.1, 90), np.ones(90), np.linspace(-0.5, 0.6, 50))


def lidar_grid() -> RayGrid:
    ratio = np.tan(np.linspace(-1.2, 1.2, 110))
    return RayGrid(ratio, np.sqrt(1 + ratio**2), np.tan(np.linspace(-0.45, 0.1, 40)))


def clutter(seed: int) -> Floats:
    """(T, 3, 3) loose triangles in front, beside and behind, and a floor that passes under the sensor."""
    rng = np.random.default_rng(seed)
    middle = rng.uniform((-15, -25, -4), (60, 25, 8), (250, 3))
    loose = middle[:, None] + rng.normal(0, 1.5, (250, 3, 3))
    loose = loose[np.linalg.norm(loose, axis=2).min(axis=1) > 2.0]
    a, b, c, d = (-80.0, -90.0, -4.0), (99.0, -90.0, -4.0), (99.0, 90.0, -4.0), (-80.0, 90.0, -4.0)
    return np.concatenate([loose, [[a, b, c]], [[a, c, d]]]).astype(np.float32)


def ways(grid: RayGrid) -> Doubles:
    """(W, H, 3) rays, each one metre of forward long."""
    upright = grid.stretch[:, None] * grid.slope[None]
    return np.stack([np.ones_like(upright), np.broadcast_to(grid.ratio[:, None], upright.shape), upright], axis=2)


def cast(corners: Floats, grid: RayGrid) -> tuple[Doubles, Doubles]:
    """Forward distance (W, H), inf where nothing, and the triangle of each ray by Open3D."""
    placed = AXES.apply(corners.reshape(-1, 3).astype(np.float64)).astype(np.float32)
    caster = o3d.t.geometry.RaycastingScene(nthreads=1)
    rows = np.arange(len(placed), dtype=np.uint32).reshape(-1, 3)
    caster.add_triangles(o3d.core.Tensor.from_numpy(placed), o3d.core.Tensor.from_numpy(rows))
    rays = np.concatenate([np.zeros_like(ways(grid)), ways(grid)], axis=2).astype(np.float32)
    hits = caster.cast_rays(o3d.core.Tensor.from_numpy(rays), nthreads=1)
    return hits["t_hit"].numpy().astype(np.float64), hits["primitive_ids"].numpy().astype(np.int64)


def drawn(corners: Floats, grid: RayGrid, passes: float = 0.0, salt: int = 0) -> Surfaces:
    surfaces = Surfaces(grid, REACH_M)
    share = np.full(len(corners), passes, np.float32)
    surfaces.draw(corners, AXES.rotation, AXES.translation_m, 0, share, salt)
    return surfaces


@pytest.mark.parametrize("grid", [camera_grid(), lidar_grid()], ids=["camera", "lidar"])
@pytest.mark.parametrize("seed", [1, 2])
def test_distances_and_triangles_are_those_of_ray_casting(grid: RayGrid, seed: int) -> None:
    corners = clutter(seed)
    expected, triangles = cast(corners, grid)
    surfaces = drawn(corners, grid)
    seen = surfaces.inverse > 0
    hit = np.isfinite(expected)
    assert 0.3 < hit.mean() < 1.0
    assert np.mean(seen == hit) > 0.998
    both = seen & hit
    gap = np.abs(1 / surfaces.inverse[both] - expected[both])
    assert np.mean(gap < 0.01 + 1e-5 * expected[both]) >= 0.99
    assert np.mean(surfaces.ids[both] == triangles[both]) >= 0.99
    assert (surfaces.ids[~seen] == -1).all()


def test_the_nearest_wins_in_any_order() -> None:
    grid, corners = camera_grid(), clutter(3)
    order = np.random.default_rng(4).permutation(len(corners))
    forwards, shuffled = drawn(corners, grid), drawn(corners[order], grid)
    np.testing.assert_array_equal(forwards.inverse, shuffled.inverse)
    seen = forwards.ids >= 0
    assert np.mean(order[shuffled.ids[seen]] == forwards.ids[seen]) > 0.999


def test_numbers_begin_where_the_caller_says_and_clearing_forgets() -> None:
    grid, corners = camera_grid(), clutter(3)
    surfaces = Surfaces(grid, REACH_M)
    surfaces.draw(corners, AXES.rotation, AXES.translation_m, 1000, np.zeros(len(corners), np.float32))
    plain = drawn(corners, grid).ids
    np.testing.assert_array_equal(surfaces.ids, np.where(plain < 0, -1, plain + 1000))
    surfaces.clear()
    assert not surfaces.inverse.any()
    assert (surfaces.ids == -1).all()


def wall(forward_m: float) -> Floats:
    """Two triangles that fill the view at a distance."""
    s = 3.0 * forward_m
    a, b, c, d = (forward_m, -s, -s), (forward_m, s, -s), (forward_m, s, s), (forward_m, -s, s)
    return np.asarray([[a, b, c], [a, c, d]], np.float32)


def test_a_wall_has_no_crack_along_its_diagonal_and_stops_at_the_reach() -> None:
    grid = camera_grid()
    surfaces = Surfaces(grid, REACH_M)
    surfaces.draw(wall(20.0), np.eye(3), np.zeros(3), 0, np.zeros(2, np.float32))
    np.testing.assert_allclose(surfaces.inverse, 1 / 20.0, rtol=1e-5)
    surfaces.clear()
    surfaces.draw(wall(REACH_M + 1), np.eye(3), np.zeros(3), 0, np.zeros(2, np.float32))
    assert not surfaces.inverse.any()
    surfaces.draw(wall(-5.0), np.eye(3), np.zeros(3), 0, np.zeros(2, np.float32))
    assert not surfaces.inverse.any()


def test_panes_let_their_share_of_rays_through() -> None:
    grid = camera_grid()
    surfaces = Surfaces(grid, REACH_M)

    def look(salt: int) -> np.ndarray:
        surfaces.clear()
        surfaces.draw(wall(20.0), np.eye(3), np.zeros(3), 2, np.zeros(2, np.float32), salt)
        surfaces.draw(wall(10.0), np.eye(3), np.zeros(3), 0, np.full(2, 0.7, np.float32), salt)
        np.testing.assert_allclose(surfaces.inverse, np.where(surfaces.ids < 2, 1 / 10, 1 / 20), rtol=1e-5)
        return surfaces.ids >= 2

    first, other = look(1), look(2)
    assert np.mean(first) == pytest.approx(0.7, abs=0.04)
    np.testing.assert_array_equal(first, look(1))
    assert np.mean(first == other) == pytest.approx(0.7**2 + 0.3**2, abs=0.05)


def test_a_grid_must_ascend() -> None:
    with pytest.raises(ValueError, match="must ascend"):
        RayGrid(np.array([0.0, 0.0]), np.ones(2), np.array([0.0, 1.0]))
    with pytest.raises(ValueError, match="stretch"):
        RayGrid(np.array([0.0, 1.0]), np.ones(3), np.array([0.0, 1.0]))
