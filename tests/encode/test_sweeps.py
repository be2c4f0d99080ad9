"""Earlier sweeps lie where the vehicle's motion puts them, and never outlive a gap."""

from __future__ import annotations

import numpy as np

from fusion_pipeline.encode.sweeps import Sweeps
from fusion_pipeline.messages import EgoMotion, Header

MS = 1_000_000


def ego(x: float, yaw: float = 0.0) -> EgoMotion:
    turn = np.asarray([0, 0, np.sin(yaw / 2), np.cos(yaw / 2)])
    return EgoMotion(Header("ego", 0, 0), np.asarray([x, 0, 0]), turn, np.zeros(3), np.zeros(3), np.eye(6), np.eye(6))


POINTS = np.asarray([[20.0, 0.0, 1.0], [20.0, 0.0, 1.0], [20.0, 0.0, 9.0]], np.float32)


def test_what_stood_is_nearer_after_driving_and_turned_after_turning() -> None:
    sweeps = Sweeps()
    assert sweeps(0, POINTS, (ego(0.0),)) == ()
    (one,) = sweeps(100 * MS, POINTS, (ego(1.0),))
    np.testing.assert_allclose(one, [[19.0, 0.0, 1.0]], atol=1e-5)
    newest, older = sweeps(200 * MS, POINTS, (ego(2.0, np.pi / 2),))
    np.testing.assert_allclose(newest, [[0.0, -19.0, 1.0]], atol=1e-5)
    np.testing.assert_allclose(older, [[0.0, -18.0, 1.0]], atol=1e-5)
    assert len(sweeps(300 * MS, POINTS, (ego(3.0),))) == 2


def test_a_gap_a_step_back_or_a_lost_pose_begins_anew() -> None:
    for after, egos in ((900 * MS, (ego(1.0),)), (-100 * MS, (ego(1.0),)), (0, (ego(1.0),)), (100 * MS, ())):
        sweeps = Sweeps()
        sweeps(0, POINTS, (ego(0.0),))
        assert sweeps(after, POINTS, egos) == ()
