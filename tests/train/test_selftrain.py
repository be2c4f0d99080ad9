"""A network's own tracks as lessons: what lasted is taught, what did not is left alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from calibration import rig  # noqa: E402
from fusion_pipeline.align import Aligner  # noqa: E402
from fusion_pipeline.align.config import AlignerConfig, Stream  # noqa: E402
from fusion_pipeline.geometry.boxes import iou_bev  # noqa: E402
from fusion_pipeline.manifest import DEFAULT_MODEL  # noqa: E402
from fusion_pipeline.messages import SensorSet  # noqa: E402
from fusion_pipeline.rig import Rig  # noqa: E402
from fusion_pipeline.train import selftrain  # noqa: E402
from fusion_pipeline.train.rides import load  # noqa: E402
from fusion_pipeline.world.ring_street import ring_street  # noqa: E402
from fusion_pipeline.world.simulation import Simulation  # noqa: E402

RIG = Rig.load(rig("demo"))
LIDAR = DEFAULT_MODEL.with_name("lidar_bev.toml")


def test_what_was_tracked_surely_is_taught(tmp_path: Path) -> None:
    aligner, sets, truths = Aligner(AlignerConfig(streams=(Stream("ego/odometry"),))), list[SensorSet](), {}
    for frame in Simulation(ring_street(7, False), RIG).run(1.2, start_ns=1_767_225_606_000_000_000):
        if frame.tracks is not None:
            truths[frame.tracks.header.capture_ns] = frame.tracks.boxes
        if frame.message is not None and frame.message.header.source.startswith(("lidar", "ego")):
            sets += aligner.step(frame.message)
    sets += aligner.flush()
    found = selftrain.lessons_of(lambda: sets, RIG, LIDAR, tmp_path, every=3)
    paths = sorted(tmp_path.glob("???????.npz"))
    assert len(paths) == found.scans == len(range(0, len(sets), 3))
    assert found.boxes > 5
    assert found.tracks > 2
    hits = []
    for path in paths:
        ride, truth = load(path), truths[sets[int(path.stem)].header.capture_ns]
        taught = ride.points > 0
        boxes = np.column_stack([truth.centers_m, truth.sizes_m, truth.yaws_rad]).astype(np.float64)
        hits += (iou_bev(ride.boxes[taught, :7].astype(np.float64), boxes).max(axis=1, initial=0) > 0.3).tolist()
    assert np.mean(hits) > 0.8


def test_nothing_sure_is_said(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"no track lasts 5 sets with a mean score of 0\.6"):
        selftrain.lessons_of(lambda: [], RIG, LIDAR, tmp_path)
