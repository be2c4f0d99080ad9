"""Who walks moves arms and legs; who stands keeps them together."""

from __future__ import annotations

import numpy as np
import pytest

from fusion_pipeline.world.bodies import BODIES, sway_of
from fusion_pipeline.world.motion import State
from fusion_pipeline.world.view import STRIDE_HZ, _Part

SIZE = (0.8, 0.6, 1.75)


def walker() -> _Part:
    mesh = BODIES["pedestrian"](np.random.default_rng(3), SIZE)
    sway = sway_of("pedestrian", mesh)
    assert sway is not None
    corners = mesh.vertices_m[mesh.triangles]
    return _Part(corners, np.zeros((0, 4)), np.zeros(len(corners), np.float32), 0, 0, 0.0, 1.0, 2.0,
                 sway[mesh.triangles])  # fmt: skip


def state(speed: float) -> State:
    return State(np.zeros(3), 0.0, np.asarray([speed, 0.0, 0.0]), 0.0)


def feet_apart(corners: np.ndarray[tuple[int, ...], np.dtype[np.float32]]) -> float:
    """How far the left foot is ahead of the right one."""
    low = corners[corners[..., 2] < 0.01]
    return float(low[low[:, 1] > 0, 0].mean() - low[low[:, 1] < 0, 0].mean())


def test_legs_swing_to_and_fro_and_arms_against_them() -> None:
    part = walker()
    ahead, middle, behind = (part.stepping(state(1.4), k / (4 * STRIDE_HZ)) for k in range(3))
    assert abs(feet_apart(ahead)) > 0.1
    assert feet_apart(behind) == pytest.approx(-feet_apart(ahead), abs=1e-5)
    assert feet_apart(middle) == pytest.approx(0.0, abs=1e-5)
    hands = np.abs(ahead[:, :, 2] - 0.48 * 0.95 * SIZE[2]) < 1e-4
    left = ahead[hands & (ahead[:, :, 1] > 0)][:, 0].mean() - ahead[hands & (ahead[:, :, 1] < 0)][:, 0].mean()
    assert left * feet_apart(ahead) < 0
    high = part.corners_m[:, :, 2] > 0.9 * SIZE[2]
    np.testing.assert_array_equal(ahead[high], behind[high])  # the head stays where it is


def test_who_stands_has_its_legs_together_and_a_stroll_is_half_a_stride() -> None:
    part = walker()
    assert feet_apart(part.stepping(state(0.0), 0.0)) == pytest.approx(0.0, abs=1e-5)
    assert feet_apart(part.stepping(state(0.5), 0.0)) == pytest.approx(0.5 * feet_apart(part.stepping(state(3), 0.0)))


def test_nothing_else_swings() -> None:
    mesh = BODIES["truck"](np.random.default_rng(3), (8.0, 2.5, 3.2))
    assert sway_of("truck", mesh) is None
