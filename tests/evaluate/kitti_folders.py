"""Small folders in KITTI's layout, with a scan of a bare street and a grey picture."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

LIDAR_M = 1.73
TR = "0 -1 0 0 0 0 -1 0 1 0 0 0"  # camera axes: right, down, ahead; the camera sits at the Velodyne
P2 = "700 0 620 0 0 700 187 0 0 0 1 0"
CAR = "Car 0.00 0 -1.5 500 150 600 230 1.50 1.80 4.00 -2.00 1.68 20.00 -1.5708"  # 20 m ahead, 2 m to the left
DONT_CARE = "DontCare -1 -1 -10 700 150 760 200 -1 -1 -1 -1000 -1000 -1000 -10"
TRACKLETS = """<?xml version="1.0"?><boost_serialization><tracklets><count>1</count>
<item><objectType>Car</objectType><h>1.5</h><w>1.8</w><l>4.0</l><first_frame>0</first_frame><poses><count>2</count>
<item><tx>20</tx><ty>2</ty><tz>-1.68</tz><rx>0</rx><ry>0</ry><rz>0</rz><occlusion>1</occlusion></item>
<item><tx>-20</tx><ty>2</ty><tz>-1.68</tz><rx>0</rx><ry>0</ry><rz>0</rz><occlusion>0</occlusion></item>
</poses></item></tracklets></boost_serialization>"""


def scan(path: Path, seed: int = 0) -> None:
    """Ground in rings, and the visible sides of the car at 20 m."""
    rng = np.random.default_rng(seed)
    away, turn = rng.uniform(3, 60, 20_000), rng.uniform(-np.pi, np.pi, 20_000)
    ground = np.column_stack([away * np.cos(turn), away * np.sin(turn), np.full(20_000, -LIDAR_M)])
    back = np.column_stack([np.full(400, 18.0), rng.uniform(1.1, 2.9, 400), rng.uniform(-1.5, -0.2, 400)])
    side = np.column_stack([rng.uniform(18, 22, 400), np.full(400, 1.1), rng.uniform(-1.5, -0.3, 400)])
    points = np.concatenate([ground, back, side])
    path.parent.mkdir(parents=True, exist_ok=True)
    np.column_stack([points, np.full(len(points), 0.3)]).astype(np.float32).tofile(path)


def picture(path: Path) -> None:
    """375 x 1242, grey."""
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), np.full((375, 1242, 3), 120, np.uint8))


def objects(folder: Path, count: int = 2) -> Path:
    """The object benchmark's `training` with `count` frames."""
    for number in range(count):
        stem = f"{number:06d}"
        scan(folder / "velodyne" / f"{stem}.bin", number)
        picture(folder / "image_2" / f"{stem}.png")
        for name, text in (("label_2", f"{CAR}\n{DONT_CARE}\n"),
                           ("calib", f"P2: {P2}\nR0_rect: 1 0 0 0 1 0 0 0 1\nTr_velo_to_cam: {TR}\n")):  # fmt: skip
            (folder / name).mkdir(parents=True, exist_ok=True)
            (folder / name / f"{stem}.txt").write_text(text)
    return folder


def drive(day: Path) -> Path:
    """A raw drive of two frames with tracklets, and its day's calibration."""
    folder = day / f"{day.name}_drive_0007_sync"
    for number in range(2):
        scan(folder / "velodyne_points" / "data" / f"{number:010d}.bin", number)
        picture(folder / "image_02" / "data" / f"{number:010d}.png")
    (folder / "tracklet_labels.xml").write_text(TRACKLETS)
    (day / "calib_cam_to_cam.txt").write_text(f"S_rect_02: 1242 375\nR_rect_00: 1 0 0 0 1 0 0 0 1\nP_rect_02: {P2}\n")
    (day / "calib_velo_to_cam.txt").write_text("R: 0 -1 0 0 0 -1 1 0 0\nT: 0 0 0\n")
    return folder
