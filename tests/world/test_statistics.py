"""Losses and intensities of the simulated HDL-64E: as published, and published as the recording has them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from drive_samples import crate, drive_of, grey, still

from fusion_pipeline.bench import world_likeness
from fusion_pipeline.bench.scan_statistics import COSINE_EDGES, RANGE_EDGES_M, RINGS, Samples, Scan, measured
from fusion_pipeline.geometry.pose import Pose
from fusion_pipeline.rig import LidarMount
from fusion_pipeline.world.beams import BeamTable, beam_table, hdl64, vlp16
from fusion_pipeline.world.materials import Material
from fusion_pipeline.world.meshes import Mesh, block
from fusion_pipeline.world.statistics import KITTI_0052
from fusion_pipeline.world.sweep import SimulatedSweep, Sweep

MOUNT = LidarMount(Pose(np.eye(3), np.asarray([0.0, 0.0, 1.73])))
RINGS_EDGES = np.arange(RINGS + 1, dtype=np.float64)


def on_the_road(beams: BeamTable, count: int = 6) -> Samples:
    """Sweeps of a road with a crate on it."""
    sweeper = SimulatedSweep(drive_of(still(10.0, 0.0), crate(still(22.0, 3.0))), MOUNT, beams, np.pi)
    sweeps = [sweeper.sweep(0.0, seed) for seed in range(count)]
    return measured([Scan.sorted(s.xyz_m, s.intensity, s.ring) for s in sweeps])


def sweep_of(material: Material) -> Sweep:
    """A wall of 40 stones of one material, 12 m ahead."""
    actor = crate(still(22.0, 0.0), (1.0, 8.0, 3.0))
    stones = Mesh.join([block((1.0, 0.2, 3.0), (0.0, -3.9 + 0.2 * k, 0.0), material) for k in range(40)])
    drive = drive_of(still(10.0, 0.0), replace(actor, body=grey(stones)))
    return SimulatedSweep(drive, MOUNT, beam_table("HDL-64E")).sweep(0.0, 1)


def test_a_road_is_lost_and_lit_by_ring_as_published() -> None:
    found = on_the_road(beam_table("HDL-64E"))
    below = np.arange(32, 60)  # what meets the road within reach
    losses = found.losses(found.ring, RINGS_EDGES)[below]
    assert np.corrcoef(losses, np.asarray(KITTI_0052.lost_by_ring)[below])[0, 1] > 0.6
    assert 0.0005 < losses.mean() < 0.01
    light = found.brightness(found.ring, RINGS_EDGES)[below]
    assert np.corrcoef(light, np.asarray(KITTI_0052.light_by_ring)[below])[0, 1] > 0.9


def test_without_statistics_nothing_of_them_is_used() -> None:
    plain, published = on_the_road(hdl64(), 1), on_the_road(beam_table("HDL-64E"), 1)
    assert plain.losses(plain.distance_m, (0.0, 50.0))[0] > 2 * published.losses(published.distance_m, (0.0, 50.0))[0]


def test_retro_reflectors_saturate_and_dark_paint_drops() -> None:
    plate, wall, dark = (sweep_of(m) for m in (Material.PLATE, Material.WALL, Material.DARK_PAINT))
    assert np.median(plate.intensity[plate.actors == 0]) == 1.0
    assert np.mean(wall.intensity[wall.actors == 0]) > np.mean(dark.intensity[dark.actors == 0]) + 0.05
    hits = [int((sweep.actors == 0).sum()) for sweep in (wall, dark)]
    assert hits[1] < hits[0]


def test_statistics_must_fit_the_beams() -> None:
    with pytest.raises(ValueError, match="VLP-16 has 16 beams, its statistics 64"):
        replace(vlp16(), statistics=KITTI_0052)
    with pytest.raises(ValueError, match="figures by range"):
        replace(KITTI_0052, lost_by_range=(0.01,))


def test_published_figures_are_those_of_the_recording(data_root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FUSION_DATA", str(data_root))
    found = measured(world_likeness.real_scans())
    for by, edges, published in (
        (found.distance_m, RANGE_EDGES_M, KITTI_0052.lost_by_range),
        (found.cosine, COSINE_EDGES, KITTI_0052.lost_by_cosine),
        (found.ring, RINGS_EDGES, KITTI_0052.lost_by_ring),
    ):
        np.testing.assert_allclose(found.losses(by, edges), published, atol=1e-4)
    counted = found.lost >= 0
    assert found.lost[counted].sum() / (found.lost[counted].sum() + counted.sum()) == pytest.approx(
        KITTI_0052.lost, abs=1e-4
    )
    light = found.brightness(found.ring, RINGS_EDGES)
    assert np.corrcoef(light, KITTI_0052.light_by_ring)[0, 1] > 0.85  # the parts are of a fit, with zeros cut off


def test_the_simulated_queue_is_like_the_recorded_one(data_root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FUSION_DATA", str(data_root))
    rows = {figure.what: figure for figure in world_likeness.figures()}
    assert len(rows) == 11
    assert rows["points per scan"].met
    assert rows["correlation of points per degree of elevation with KITTI's"].met
    assert rows["correlation of mean intensity by ring with KITTI's"].value > 0.9
    assert rows["total variation between histograms of intensity, ours and KITTI's"].value < 0.2
    assert rows["total variation between histograms of range, ours and KITTI's"].value < 0.2
    assert rows["share of lost beams by range, mean distance between ours and KITTI's"].value < 1.0
