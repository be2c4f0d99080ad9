"""A whole log through the whole graph, as a user would: the same lines at any rate, and cars where they are."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from fusion_pipeline.world.beams import hdl64
from fusion_pipeline.world.lidar import SimulatedLidar
from fusion_pipeline.world.scene import CLASSES, Scene, Thing
from fusion_pipeline.world.streets import street

FRAMES = 8
CAMERA = """calib_time: 09-Jan-2012 13:57:47
S_rect_02: 1.242000e+03 3.750000e+02
R_rect_00: 1 0 0 0 1 0 0 0 1
P_rect_02: 7.2e+02 0 6.1e+02 4.5e+01 0 7.2e+02 1.73e+02 0 0 0 1 0
"""
VELO = "R: 0 -1 0 0 0 -1 1 0 0\nT: 0 -0.08 -0.27\n"


def cars_near(scene: Scene) -> list[Thing]:
    """The cars between 5 and 30 m ahead."""
    cars = [thing for thing in scene.things if CLASSES[thing.label] == "car"]
    return [car for car in cars if 5 < car.base_m[0] < 30 and abs(car.base_m[1]) < 8]


SEED = next(seed for seed in range(100) if len(cars_near(street(seed))) >= 4)


@pytest.fixture(scope="module")
def drive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A drive in KITTI's layout, made by the simulator: a street with cars, seen while standing."""
    day = tmp_path_factory.mktemp("day")
    (day / "calib_cam_to_cam.txt").write_text(CAMERA)
    (day / "calib_velo_to_cam.txt").write_text(VELO)
    path = day / "drive_sync"
    scene, lidar = street(SEED), SimulatedLidar(hdl64(), field_rad=(-0.9, 0.9))
    for folder in ("velodyne_points", "image_02"):
        (path / folder / "data").mkdir(parents=True)
        stamps = [f"2011-09-26 12:00:0{i // 10}.{i % 10}50000000" for i in range(FRAMES)]
        (path / folder / "timestamps.txt").write_text("\n".join(stamps) + "\n")
    for number in range(FRAMES):
        scan = lidar.scan(scene.at(number * 0.1), number)
        sensor = scan.xyz_m - np.float32([0, 0, 1.73])
        rows = np.column_stack([sensor, scan.intensity]).astype(np.float32)
        rows.tofile(path / "velodyne_points" / "data" / f"{number:010d}.bin")
        cv2.imwrite(str(path / "image_02" / "data" / f"{number:010d}.png"), np.zeros((375, 1242, 3), np.uint8))
    return path


def replay(log: Path, out: Path, *options: str) -> list[dict[str, Any]]:
    """The lines that `fusion replay` writes."""
    command = [sys.executable, "-m", "fusion_pipeline.cli", "replay", str(log), "--out", str(out), *options]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in out.read_text().splitlines()]


def without_hops(lines: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What must not depend on the machine."""
    return [{key: value for key, value in line.items() if key != "hops"} for line in lines]


def test_the_same_log_gives_the_same_lines_at_any_rate(drive: Path, tmp_path: Path) -> None:
    fast = replay(drive, tmp_path / "fast.jsonl", "--rate", "max")
    slow = replay(drive, tmp_path / "slow.jsonl", "--rate", "0.5")
    assert len(fast) == FRAMES
    assert without_hops(fast) == without_hops(slow)
    assert [line["present"] for line in fast] == [["lidar/top", "camera/front"]] * FRAMES
    assert {"aligner/wait for lidar/top", "detector/network", "tracker/step"} <= {h["stage"] for h in fast[0]["hops"]}


def test_cars_are_found_where_they_are(drive: Path, tmp_path: Path) -> None:
    last = replay(drive, tmp_path / "sets.jsonl")[-1]
    near = cars_near(street(SEED).at((FRAMES - 1) * 0.1))
    found = np.asarray([o["center_m"][:2] for o in last["objects"] if o["label"] == "car"]).reshape(-1, 2)
    hits = [np.hypot(*(found - np.asarray(t.base_m[:2])).T).min(initial=99.0) < 1.0 for t in near]
    assert np.mean(hits) >= 0.5


def test_a_log_that_is_none_is_refused_in_a_line(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "fusion_pipeline.cli", "replay", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "is no log of a known kind" in done.stderr


def test_real_drive_gives_one_line_a_scan(data_root: Path, tmp_path: Path) -> None:
    lines = replay(data_root / "kitti_raw/2011_09_26/2011_09_26_drive_0052_sync", tmp_path / "sets.jsonl")
    assert len(lines) == 50
    ids = {o["track_id"] for o in lines[20]["objects"]} & {o["track_id"] for o in lines[30]["objects"]}
    assert len(ids) >= 3
