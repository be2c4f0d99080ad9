"""Two networks are compared without labels: by boxes in a scan and in its mirror image, on scenes that differ."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from calibration import rig
from fusion_pipeline.encode.points import BevRaster
from fusion_pipeline.logs import open_log
from fusion_pipeline.manifest import DEFAULT_MODEL
from fusion_pipeline.messages import Boxes, Header, LidarScan
from fusion_pipeline.rig import Rig
from fusion_pipeline.train.held_back import Comparison, Scenes, compared, mirrored, overlap


def boxes(*rows: tuple[float, float, float, int]) -> Boxes:
    """Boxes of 4 x 2 x 1.5 m by x, y, score and label."""
    n = len(rows)
    return Boxes(
        centers_m=np.asarray([[x, y, 0.8] for x, y, _, _ in rows], np.float32).reshape(n, 3),
        sizes_m=np.tile(np.asarray([4, 2, 1.5], np.float32), (n, 1)), yaws_rad=np.zeros(n, np.float32),
        velocities_mps=np.zeros((n, 2), np.float32), scores=np.asarray([s for _, _, s, _ in rows], np.float32),
        labels=np.asarray([label for *_, label in rows], np.int64), std=np.zeros((n, 8), np.float32),
        attribution=np.full((n, 3), 1 / 3, np.float32), track_ids=np.full(n, -1, np.int64),
    )  # fmt: skip


def test_overlap_is_weighted_by_score_and_asks_for_the_same_class() -> None:
    one = boxes((10, 3, 0.8, 0), (20, -3, 0.4, 2))
    assert overlap(one, one) == pytest.approx(1.0)
    assert overlap(one, boxes((10, 3, 0.8, 0))) == pytest.approx(1.6 / 2.0)
    assert overlap(one, boxes((10, 3, 0.8, 1), (20, -3, 0.4, 2))) == pytest.approx(0.8 / 2.4)
    assert overlap(one, boxes()) == 0.0
    assert np.isnan(overlap(boxes(), boxes()))


@pytest.mark.parametrize(
    ("original", "adapted", "noise", "after", "worse"),
    [(0.70, 0.72, 0.01, 20.0, False), (0.70, 0.695, 0.01, 20.0, False), (0.70, 0.68, 0.01, 20.0, True),
     (0.70, 0.99, 0.01, 2.0, True), (float("nan"), float("nan"), 0.0, 0.0, True)],
)  # fmt: skip
def test_what_counts_as_worse(original: float, adapted: float, noise: float, after: float, worse: bool) -> None:
    assert Comparison(9, original, adapted, noise, 20.0, after).worse is worse


def scan() -> LidarScan:
    """A few points to the left of the vehicle."""
    xyz = np.asarray([[10, 3, 0], [12, 4, -1]], np.float32)
    nothing = np.zeros(2)
    return LidarScan(Header("lidar/top", 1, 1), 0, xyz, nothing.astype(np.float32), nothing.astype(np.uint16),
                     nothing.astype(np.int32))  # fmt: skip


def test_a_scan_is_mirrored_in_the_vehicle_frame() -> None:
    known = Rig.load(rig("demo"))
    pose, given = known.lidars["lidar/top"].vehicle_from_sensor, scan()
    there, back = pose.apply(given.xyz_m), pose.apply(mirrored(given, known).xyz_m)
    np.testing.assert_allclose(back, there * [1, -1, 1], atol=1e-4)


def test_scenes_of_a_drive_differ_and_those_of_a_standing_vehicle_do_not(data_root: Path) -> None:
    log = open_log(data_root / "kitti_raw/2011_09_26/2011_09_26_drive_0052_sync")
    scans = [message for message in log if isinstance(message, LidarScan)]
    raster, rng = BevRaster(), np.random.default_rng(0)

    def new(some: list[LidarScan]) -> int:
        scenes = Scenes()
        pose = log.rig.lidars["lidar/top"].vehicle_from_sensor
        return sum(
            scenes.is_new(raster(np.asarray(pose.apply(one.xyz_m), np.float32), one.intensity)[0]) for one in some
        )

    def noisy(one: LidarScan) -> LidarScan:
        return replace(one, xyz_m=(one.xyz_m + rng.normal(0, 0.03, one.xyz_m.shape)).astype(np.float32))

    assert new(scans) >= 8
    assert new([noisy(scans[20]) for _ in range(8)]) == 1


def test_a_network_is_no_worse_than_itself(data_root: Path) -> None:
    log = open_log(data_root / "kitti_raw/2011_09_26/2011_09_26_drive_0052_sync")
    scans = [next(message for message in log if isinstance(message, LidarScan))]
    result = compared(DEFAULT_MODEL, DEFAULT_MODEL, log.rig, scans)
    assert (result.scans, result.worse) == (1, False)
    assert 0.3 < result.original == result.adapted <= 1.0
