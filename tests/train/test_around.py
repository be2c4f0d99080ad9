"""Moments of a rig that looks to all sides."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import numpy as np

from fusion_pipeline.encode.grid import ALL_ROUND
from fusion_pipeline.encode.points import BevRaster
from fusion_pipeline.train.around import SIDES, inputs, on_side, side_of, turned
from fusion_pipeline.train.judge import Found
from fusion_pipeline.train.rides import Ride, load, render, save

SEED = 2_950_002


@lru_cache(maxsize=1)
def whole() -> Ride:
    return render(SEED, around=True)


def test_a_vehicle_turned_four_times_is_where_it_was() -> None:
    moment = whole()
    assert len(moment.others) == 3
    left = turned(moment, 1)
    ahead = moment.boxes[:, 0] > 3 * np.abs(moment.boxes[:, 1])
    assert ahead.any()
    assert (side_of(left.boxes)[ahead] == SIDES.index("beside")).all()
    assert (left.boxes[ahead, 1] > 0).all()
    again = turned(left, 3)
    for name in ("xyz_m", "boxes", "srp", "camera", "array_m"):
        np.testing.assert_allclose(getattr(again, name), getattr(moment, name), atol=1e-5)


def test_an_all_round_moment_is_kept_whole(tmp_path: Path) -> None:
    moment = whole()
    plain = render(SEED)
    np.testing.assert_array_equal(moment.boxes, plain.boxes)
    assert moment.jpeg.tobytes() == plain.jpeg.tobytes()
    assert (moment.pixels >= plain.pixels).all()  # the same street, and more of it is seen
    save(moment, tmp_path / "moment.npz")
    again = load(tmp_path / "moment.npz")
    assert [look.jpeg.tobytes() for look in again.others] == [look.jpeg.tobytes() for look in moment.others]
    assert again.xyz_m[:, 0].min() < -10


def test_the_all_round_network_is_given_what_its_cameras_see() -> None:
    moment, raster = turned(whole(), 2), BevRaster(ALL_ROUND)
    given = inputs(moment, raster, (1, 1, 0))
    assert given["image"].shape == (4, 3, 192, 640)
    assert given["lidar_bev"].shape == (1, 64, 256, 256)
    assert given["present"].tolist() == [[1, 1, 0, 1]]
    seen = given["cam_lut"].reshape(-1, 3)[:, 1] < 4 * 1920
    assert seen.mean() > 0.8  # nearly all around
    dark = inputs(moment, raster, (0, 0, 1))
    assert not dark["lidar_bev"].any()
    assert not dark["image"].any()


def test_what_lies_on_another_side_counts_neither_way() -> None:
    moment = whole()
    n = len(moment.boxes)
    found = Found(moment.boxes.astype(np.float64), np.ones(n), moment.labels, np.ones((n, 8)), np.ones((n, 3)),
                  np.zeros((8, 72)), np.zeros((0, 0)))  # fmt: skip
    parts = [on_side(moment, found, side) for side in range(len(SIDES))]
    assert sum(len(out.boxes) for _, out in parts) == n
    assert sum(int((ride.points > 0).sum()) for ride, _ in parts) == int((moment.points > 0).sum())
