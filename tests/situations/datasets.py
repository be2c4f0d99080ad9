"""Folders of KITTI and nuScenes as people have them."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from situation import Outcome, Situation
from test_kitti import CAMERA, VELO, oxts_line, write_oxts
from test_nuscenes import scene

JOIN = "a list joined by position is compacted before the join"
WORDS = "words of another format"
DEFAULT = "missing knowledge replaced by a default"
FIRST = 1_317_042_145_000_000_000
TEN = {"lidar/top": 10, "camera/front": 10}


def drive(folder: Path, change: Callable[[Path], object] = lambda path: None, oxts: bool = False) -> Path:
    """Ten scans and pictures of KITTI raw; scan k has intensity k / 10, picture k is of grey 20 k."""
    (folder / "calib_cam_to_cam.txt").write_text(CAMERA)
    (folder / "calib_velo_to_cam.txt").write_text(VELO)
    path = folder / "2011_09_26_drive_0001_sync"
    rng = np.random.default_rng(0)
    for name in ("velodyne_points", "image_02"):
        (path / name / "data").mkdir(parents=True)
        (path / name / "timestamps.txt").write_text("".join(f"2011-09-26 13:02:25.{k}00000000\n" for k in range(10)))
    for k in range(10):
        points = np.column_stack([rng.normal(0, 20, (100, 3)), np.full(100, k / 10)]).astype(np.float32)
        points.tofile(path / "velodyne_points" / "data" / f"{k:010d}.bin")
        cv2.imwrite(str(path / "image_02" / "data" / f"{k:010d}.png"), np.full((375, 1242, 3), 20 * k, np.uint8))
    if oxts:
        write_oxts(path, [oxts_line(k, 0, 0, 10) for k in range(10)])
    change(path)
    return path


def in_step(found: Outcome) -> bool:
    """Whether every scan and picture has the stamp of its own number."""
    scans = all(abs((s.middle_ns - FIRST) / 1e8 - round(float(s.intensity[0]) * 10)) < 0.01 for s in found.scans)
    return scans and all(abs((f.header.capture_ns - FIRST) / 1e8 - round(int(f.data.flat[0]) / 20)) < 0.01
                         for f in found.frames)  # fmt: skip


def edited(name: str, change: Callable[[list[str]], list[str]]) -> Callable[[Path], object]:
    def edit(path: Path) -> None:
        file = path / name
        file.write_text("".join(line + "\n" for line in change(file.read_text().splitlines())))

    return edit


def gone(*names: str) -> Callable[[Path], object]:
    return lambda path: [(path / name).unlink() for name in names]


def blank(*numbers: int) -> Callable[[list[str]], list[str]]:
    return lambda lines: ["" if k in numbers else line for k, line in enumerate(lines)]


def tables(folder: Path, name: str, change: Callable[[list[dict[str, Any]]], object]) -> Path:
    """nuScenes with one of its tables changed."""
    place = scene(folder / "nu")
    file = place / f"{name}.json"
    rows = json.loads(file.read_text())
    change(rows)
    file.write_text(json.dumps(rows))
    return place / "scene-0061"


def _all(key: str, value: Any, only: str = "") -> Callable[[list[dict[str, Any]]], object]:
    return lambda rows: [row.update({key: value}) for row in rows if only in row["token"]]


VELODYNE, PICTURES = "velodyne_points/timestamps.txt", "image_02/timestamps.txt"
SITUATIONS = [
    Situation("blank lines of stamps where scans are missing", "kitti2bag#4", JOIN, "line n is of file n", code=3,
              make=lambda f: drive(f, lambda p: (gone(*(f"velodyne_points/data/{k:010d}.bin" for k in (4, 5)))(p),
                                                 edited(VELODYNE, blank(4, 5))(p))), right=in_step,
              counts={"lidar/top": 8, "camera/front": 10}),
    Situation("blank lines in the stamps of pictures", "kitti2bag#4", JOIN, "line n is of file n; an error", code=3,
              make=lambda f: drive(f, edited(PICTURES, blank(3))), right=in_step),
    Situation("scans are missing, their stamps are there", "kitti2bag#4", JOIN, "an error; the others are in step",
              code=3, make=lambda f: drive(f, gone("velodyne_points/data/0000000003.bin")), right=in_step),
    Situation("fewer stamps than scans", "own", JOIN, "an error; those with stamps are in step",
              code=3, make=lambda f: drive(f, edited(VELODYNE, lambda lines: lines[:7])), right=in_step),
    Situation("blank lines in the stamps of OXTS", "kitti2bag#4", JOIN, "each with its own stamp",
              make=lambda f: drive(f, edited("oxts/timestamps.txt", blank(4)), True), code=3,
              right=lambda o: _speed(o) < 0.2),
    Situation("a file of OXTS is missing", "Sensor-Fusion#1", JOIN, "an error; the others are in step", code=3,
              make=lambda f: drive(f, gone("oxts/data/0000000004.txt"), True), right=lambda o: _speed(o) < 0.2),
    Situation("stamps with fewer digits", "own", JOIN, "read", right=in_step, counts=TEN,
              make=lambda f: drive(f, edited(VELODYNE, lambda lines: [line[:-6] for line in lines]))),
    Situation("stamps with the line ends of Windows", "own", JOIN, "read", right=in_step, counts=TEN,
              make=lambda f: drive(f, edited(VELODYNE, lambda lines: [line + "\r" for line in lines]))),
    Situation("a drive without its day's calibration", "own", WORDS, "refused; names the file", code=2,
              make=lambda f: drive(f, lambda p: (p.parent / "calib_velo_to_cam.txt").unlink()),
              right=lambda o: "calib_velo_to_cam" in o.said),
    Situation("a scan whose last point is cut off", "own", "a value from outside used before it is checked", "an error",
              code=3, make=lambda f: drive(f, lambda p: _short(p / "velodyne_points/data/0000000002.bin"))),
    Situation("a key frame of nuScenes whose file is missing", "own", DEFAULT, "an error", code=3,
              make=lambda f: _unlinked(f)),
    Situation("nuScenes with a camera matrix of zeros", "own", "calibration guessed or ignored", "named or refused",
              code=2, make=lambda f: tables(f, "calibrated_sensor", _all("camera_intrinsic", [[0.0] * 3] * 3, "CAM"))),
    Situation("nuScenes with a rotation of zeros", "own", "what is not finite is believed", "named or refused", code=2,
              make=lambda f: tables(f, "calibrated_sensor", _all("rotation", [0.0] * 4, "LIDAR"))),
    Situation("nuScenes with poses that are not finite", "own", "what is not finite is believed", "refused", code=2,
              make=lambda f: tables(f, "ego_pose", _all("translation", [float("nan")] * 3))),
    Situation("nuScenes with pictures of another size than the tables say", "own", "two rules for one question",
              "an error", code=3, has=("lens-size",),
              make=lambda f: tables(f, "sample_data", _all("width", 320, "CAM"))),
    Situation("nuScenes in seconds instead of microseconds", "own", "unit or clock guessed from the size of a number",
              "an error", code=3,
              make=lambda f: tables(f, "sample_data", lambda rows: [r.update(timestamp=r["timestamp"] // 10**6)
                                                                     for r in rows])),
]  # fmt: skip


def _speed(found: Outcome) -> float:
    """How far at most the speed from place to place is from the 10 m/s that OXTS says."""
    ego = (
        found.messages["ego/pose"]
        if "ego/pose" in found.messages
        else next(m for t, m in found.messages.items() if t.startswith("ego"))
    )
    steps = [(np.linalg.norm(b.position_m - a.position_m), (b.header.capture_ns - a.header.capture_ns) / 1e9)
             for a, b in itertools.pairwise(ego)]  # type: ignore[union-attr]  # fmt: skip
    return max(abs(float(way) / seconds - 10) for way, seconds in steps)


def _short(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-5])


def _unlinked(folder: Path) -> Path:
    place = scene(folder / "nu")
    next((folder / "nu" / "samples" / "LIDAR_TOP").glob("*1-LIDAR*")).unlink()
    return place / "scene-0061"
