"""Small folders in KITTI's layout, with a scan of a bare street and a grey picture."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from fusion_pipeline.messages import Boxes, Detections, Header

CLASSES = ("car", "truck", "pedestrian", "two-wheeler", "other")
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


def beam_scan(path: Path) -> None:
    """64 beams of 500 points in a file's order, over bare ground and on the back of the car, in a wide wall at 50 m."""
    elevation = np.deg2rad(np.concatenate([2.0 - np.arange(32) / 3, -8.83 - np.arange(32) / 2]))
    turn = (np.arange(500) + 0.5) / 500 * 2 * np.pi
    ahead, left, up = (np.cos(elevation)[:, None] * np.cos(turn), np.cos(elevation)[:, None] * np.sin(turn),
                       np.broadcast_to(np.sin(elevation)[:, None], (64, 500)))  # fmt: skip
    away = np.minimum(np.where(up < 0, -LIDAR_M / np.minimum(up, -1e-9), np.inf), 50.0)
    to_car = np.where(ahead > 0, 18.0 / np.maximum(ahead, 1e-9), 1e9)
    hit = (to_car < away) & (left * to_car > 1.1) & (left * to_car < 2.9) & (up * to_car < -0.2)
    points = np.stack([ahead, left, up], axis=2) * np.where(hit, to_car, away)[..., None]
    path.parent.mkdir(parents=True, exist_ok=True)
    np.concatenate([points, np.full((64, 500, 1), 0.3)], axis=2).astype(np.float32).tofile(path)


def picture(path: Path, grey: int = 120) -> None:
    """375 x 1242, grey."""
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), np.full((375, 1242, 3), grey, np.uint8))


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


def found(*rows: tuple[float, float, int, float]) -> Detections:
    """Detections of (x, y, label, score), 4 x 1.8 x 1.5 m."""
    n = len(rows)
    table = np.asarray(rows, np.float32).reshape(-1, 4)
    boxes = Boxes(
        np.column_stack([table[:, :2], np.full(n, 0.8)]).astype(np.float32),
        np.tile(np.asarray([4.0, 1.8, 1.5], np.float32), (n, 1)), np.zeros(n, np.float32), np.zeros((n, 2), np.float32),
        table[:, 3].copy(), table[:, 2].astype(np.int64), np.full((n, 8), 0.1, np.float32),
        np.tile(np.asarray([0.75, 0.25, 0.0], np.float32), (n, 1)), np.full(n, -1, np.int64),
    )  # fmt: skip
    return Detections(Header("detections", 0, 0), CLASSES, boxes)
