"""KITTI folders: order, stamps, rig, and what damaged files cost."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from fusion_pipeline.logs.kitti import CAMERA_DELAY_NS, PERIOD_NS, KittiDrive, drive_rig
from fusion_pipeline.logs.reader import LogError, open_log
from fusion_pipeline.messages import CameraFrame, LidarScan

CAMERA = """S_rect_02: 1.242000e+03 3.750000e+02
R_rect_00: 1 0 0 0 1 0 0 0 1
P_rect_02: 700 0 600 35 0 700 180 0 0 0 1 0
"""
VELO = "R: 0 -1 0 0 0 -1 1 0 0\nT: 0 -0.08 -0.27\n"


@pytest.fixture
def drive(tmp_path: Path) -> Path:
    """Five scans and pictures."""
    (tmp_path / "calib_cam_to_cam.txt").write_text(CAMERA)
    (tmp_path / "calib_velo_to_cam.txt").write_text(VELO)
    path = tmp_path / "drive_sync"
    rng = np.random.default_rng(0)
    for folder in ("velodyne_points", "image_02"):
        (path / folder / "data").mkdir(parents=True)
        (path / folder / "timestamps.txt").write_text("".join(f"2011-09-26 13:02:25.{k}00000000\n" for k in range(5)))
    for k in range(5):
        points = rng.normal(0, 20, (100, 4)).astype(np.float32)
        points.tofile(path / "velodyne_points" / "data" / f"{k:010d}.bin")
        cv2.imwrite(str(path / "image_02" / "data" / f"{k:010d}.png"), np.zeros((375, 1242, 3), np.uint8))
    return path


def test_messages_come_in_order_of_arrival_with_kittis_stamps(drive: Path) -> None:
    log = open_log(drive)
    messages = list(log.messages())
    arrivals = [message.header.arrival_ns for message in messages]
    assert arrivals == sorted(arrivals)
    scans = [m for m in messages if isinstance(m, LidarScan)]
    frames = [m for m in messages if isinstance(m, CameraFrame)]
    first = 1_317_042_145_000_000_000
    assert [s.middle_ns for s in scans] == [first + k * 100_000_000 for k in range(5)]
    assert scans[0].duration_ns == PERIOD_NS
    assert [f.header.capture_ns for f in frames] == [first + k * 100_000_000 for k in range(5)]
    assert frames[0].header.arrival_ns - frames[0].header.capture_ns == CAMERA_DELAY_NS
    assert (frames[0].encoding, frames[0].width_px, frames[0].height_px) == ("png", 1242, 375)


def test_a_point_straight_ahead_was_fired_in_the_middle_of_the_scan(drive: Path) -> None:
    rows = np.asarray([[10, 0, 0, 0.5], [-10, 0.01, 0, 0.5], [0, -10, 0, 0.5], [0, 10, 0, 0.5]], np.float32)
    rows.tofile(drive / "velodyne_points" / "data" / "0000000000.bin")
    scan = next(m for m in open_log(drive).messages() if isinstance(m, LidarScan))
    shares = scan.offset_ns / scan.duration_ns
    assert shares == pytest.approx([0.5, 1.0, 0.25, 0.75], abs=1e-3)


def test_the_camera_sees_where_kitti_projects(drive: Path) -> None:
    rig = drive_rig(drive.parent)
    mount = rig.cameras["camera/front"]
    velo = np.asarray([[20.0, 3.0, -1.0], [9.0, -2.0, 0.5]])
    turn = np.asarray([[0, -1, 0], [0, 0, -1], [1, 0, 0]], np.float64)
    camera = velo @ turn.T + [0, -0.08, -0.27]
    flat = np.column_stack([camera, np.ones(2)]) @ np.asarray([[700, 0, 600, 35], [0, 700, 180, 0], [0, 0, 1, 0]]).T
    vehicle = velo + np.asarray([0, 0, 1.73])
    pixels, _ = mount.model.project(mount.vehicle_from_sensor.inverse().apply(vehicle))
    assert pixels == pytest.approx(flat[:, :2] / flat[:, 2:], abs=1e-6)


def test_damaged_files_are_counted_and_passed_over(drive: Path) -> None:
    data = drive / "velodyne_points" / "data"
    (data / "0000000001.bin").write_bytes(b"123")
    (drive / "image_02" / "data" / "0000000002.png").write_bytes(b"no picture")
    log = open_log(drive)
    (data / "0000000003.bin").unlink()
    assert len(list(log.messages())) == 7
    assert log.refused == {
        ("lidar/top", "file damaged"): 1, ("camera/front", "file damaged"): 1, ("lidar/top", "file missing"): 1
    }  # fmt: skip


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("calib_cam_to_cam.txt", None, "does not exist"),
        ("calib_velo_to_cam.txt", "R: 1 2 3\n", "lacks R with 9 numbers"),
        ("drive_sync/velodyne_points/timestamps.txt", "yesterday\n", "line 1: 'yesterday' is no stamp"),
    ],
)
def test_a_drive_that_lacks_something_says_what(drive: Path, name: str, text: str | None, said: str) -> None:
    path = drive.parent / name
    if text is None:
        path.unlink()
    else:
        path.write_text(text)
    with pytest.raises(LogError, match=said):
        KittiDrive(drive)


def test_real_drive(data_root: Path) -> None:
    log = open_log(data_root / "kitti_raw/2011_09_26/2011_09_26_drive_0052_sync")
    messages = list(log.messages())
    scans = [m for m in messages if isinstance(m, LidarScan)]
    assert (len(messages), len(scans)) == (100, 50)
    assert {int(scan.ring.max()) for scan in scans} == {63}
    assert not log.refused


def test_real_objects(data_root: Path) -> None:
    log = open_log(data_root / "kitti_object/training")
    assert len(list(log.messages())) == 14
