"""KITTI folders: order, stamps, rig, and what damaged files cost."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from fusion_pipeline.logs.kitti import CAMERA_DELAY_NS, PERIOD_NS, KittiDrive, drive_rig
from fusion_pipeline.logs.kitti_files import CLASSES
from fusion_pipeline.logs.reader import LogError, open_log
from fusion_pipeline.messages import CameraFrame, EgoMotion, LidarScan

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
        ("lidar/top", "file damaged: a scan's size is a multiple of 16 bytes"): 1,
        ("lidar/top", "file missing"): 1,
        ("camera/front", "file damaged: neither a PNG nor a JPEG picture"): 1,
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
    labels = list(log.labels())
    assert len(labels) == 7
    names = [found.class_names[k] for found in labels for k in found.boxes.labels]
    assert len(names) == 14
    assert set(names) <= set(CLASSES)


def test_labels_of_the_real_drive_hold_their_points(data_root: Path) -> None:
    """The data set's own count: every box but those that are not looked at holds 61 to 23,430 points."""
    log = open_log(data_root / "kitti_raw/2011_09_26/2011_09_26_drive_0052_sync")
    scans = {m.middle_ns: m for m in log.messages(topics=("lidar/top",)) if isinstance(m, LidarScan)}
    labels = list(log.labels())
    assert len(labels) == 4
    held = []
    for found in labels:
        scan = min(scans.values(), key=lambda s: abs(s.middle_ns - found.header.capture_ns))
        points = log.rig.lidars["lidar/top"].vehicle_from_sensor.apply(scan.xyz_m)
        for k in range(len(found.boxes)):
            c, s = np.cos(found.boxes.yaws_rad[k]), np.sin(found.boxes.yaws_rad[k])
            away = (points - found.boxes.centers_m[k]) @ np.asarray([[c, -s, 0], [s, c, 0], [0, 0, 1]])
            held.append(int((np.abs(away) <= found.boxes.sizes_m[k] / 2).all(axis=1).sum()))
    assert len(held) == 31
    assert min(held) >= 40
    assert max(held) > 20_000


def oxts_line(north_m: float, east_m: float, yaw: float, speed: float, turn: float = 0.0) -> str:
    """A reading at 49 degrees north, so far from a place by the data set's own projection."""
    lat = 49.0 + np.rad2deg(north_m / 6378137.0)
    lon = 8.0 + np.rad2deg(east_m / 6378137.0 / np.cos(np.deg2rad(49.0)))
    head = [lat, lon, 110.0, 0.0, 0.0, yaw, 0.0, 0.0, speed, 0.0, 0.0, 0.1, 0.2, 9.81, 0.0, 0.0, 0.0]
    return " ".join(f"{value:.12f}" for value in [*head, 0.0, 0.0, turn, 0.0, 0.0, turn, 0.05, 0.1, 4, 4, 6, 4, 4])


def write_oxts(drive: Path, lines: list[str]) -> None:
    (drive / "oxts" / "data").mkdir(parents=True)
    stamps = "".join(f"2011-09-26 13:02:25.{k}10000000\n" for k in range(len(lines)))
    (drive / "oxts" / "timestamps.txt").write_text(stamps)
    for k, text in enumerate(lines):
        (drive / "oxts" / "data" / f"{k:010d}.txt").write_text(text)
    (drive.parent / "calib_imu_to_velo.txt").write_text("R: 1 0 0 0 1 0 0 0 1\nT: -0.8 0.3 -0.8\n")


def test_oxts_become_ego_motion(drive: Path) -> None:
    """North at 10 m/s, heading north: the vehicle moves straight ahead; a turning IMU's lever arm is taken off."""
    lines = [oxts_line(k, 0.0, np.pi / 2, 10.0, 0.5) for k in range(5)]
    write_oxts(drive, lines)
    log = open_log(drive)
    assert log.topics == ("lidar/top", "camera/front", "ego/oxts")
    egos = [m for m in log.messages(topics=("ego/oxts",)) if isinstance(m, EgoMotion)]
    assert [ego.position_m for ego in egos] == [pytest.approx([k, 0, 0], abs=1e-3) for k in range(5)]
    assert egos[0].orientation == pytest.approx([0, 0, 0, 1], abs=1e-9)
    # v = v_imu + w x (origin - imu), and the IMU sits at (-0.8, 0.3, 0.93)
    assert egos[0].velocity_mps == pytest.approx([10 + 0.5 * 0.3, 0.5 * 0.8, 0])
    assert egos[0].angular_velocity_rps == pytest.approx([0, 0, 0.5])
    assert egos[0].acceleration_mps2 == pytest.approx([0.1, 0.2, 9.81])
    (drive / "oxts" / "data" / "0000000003.txt").write_text("1 2 3")
    log = open_log(drive)
    assert len(list(log.messages(topics=("ego/oxts",)))) == 4
    assert log.refused["ego/oxts", "file damaged: no oxts reading"] == 1


TRACKLETS = """<?xml version="1.0" encoding="UTF-8" standalone="yes" ?>
<!DOCTYPE boost_serialization>
<boost_serialization signature="serialization::archive" version="9">
<tracklets class_id="0" tracking_level="0" version="0"><count>1</count><item_version>1</item_version>
<item class_id="1" tracking_level="0" version="1"><objectType>Van</objectType><h>2.0</h><w>1.8</w><l>4.5</l>
<first_frame>1</first_frame><poses class_id="2" tracking_level="0" version="0"><count>2</count>
<item_version>2</item_version>
<item class_id="3" tracking_level="0" version="2"><tx>10</tx><ty>-2</ty><tz>-1.7</tz><rx>0</rx><ry>0</ry><rz>0.5</rz>
<state>2</state><occlusion>1</occlusion><occlusion_kf>0</occlusion_kf><truncation>0</truncation></item>
<item><tx>11</tx><ty>-2</ty><tz>-1.7</tz><rx>0</rx><ry>0</ry><rz>0.5</rz><state>2</state><occlusion>0</occlusion>
<occlusion_kf>0</occlusion_kf><truncation>0</truncation></item></poses><finished>1</finished></item>
</tracklets></boost_serialization>
"""


def test_tracklets_are_labels_of_every_frame(drive: Path) -> None:
    (drive / "tracklet_labels.xml").write_text(TRACKLETS)
    labels = list(open_log(drive).labels())
    assert [len(found.boxes) for found in labels] == [0, 1, 1, 0, 0]
    box = labels[1].boxes
    assert box.centers_m[0] == pytest.approx([10, -2, -1.7 + 1.0 + 1.73])
    assert (box.sizes_m[0], box.yaws_rad[0]) == (pytest.approx([4.5, 1.8, 2.0]), pytest.approx(0.5))
    assert labels[1].class_names[box.labels[0]] == "Van"
    assert (labels[1].visible[0], labels[2].visible[0]) == (pytest.approx(0.6), 1.0)
    assert labels[1].boxes.track_ids.tolist() == labels[2].boxes.track_ids.tolist() == [0]
    (drive / "tracklet_labels.xml").write_text(TRACKLETS[:500])
    with pytest.raises(LogError, match="cannot be read as tracklets"):
        list(open_log(drive).labels())


def test_stamps_that_repeat_or_go_back_are_left_out_and_counted(drive: Path) -> None:
    times = ["25.0", "25.1", "25.1", "25.05", "25.4"]
    text = "".join(f"2011-09-26 13:02:{t}\n" for t in times)
    (drive / "image_02" / "timestamps.txt").write_text(text)
    log = open_log(drive)
    assert len(list(log.messages(topics=("camera/front",)))) == 3
    assert log.refused["camera/front", "stamp not after the one before"] == 2


def test_an_empty_line_is_a_scan_that_was_not_recorded_and_all_others_keep_their_stamps(drive: Path) -> None:
    lines = (drive / "velodyne_points" / "timestamps.txt").read_text().splitlines()
    for name in ("timestamps.txt", "timestamps_start.txt", "timestamps_end.txt"):
        for folder in ("velodyne_points", "image_02"):
            (drive / folder / name).write_text("\n".join("" if k in (1, 2) else text for k, text in enumerate(lines)))
    (drive / "velodyne_points" / "data" / "0000000001.bin").unlink()
    log = open_log(drive)
    every = list(log.messages())
    begin = min(m.header.capture_ns for m in every)
    for topic in ("lidar/top", "camera/front"):
        stamps = [m.header.capture_ns - begin for m in every if m.header.source == topic]
        assert stamps == [0, 300_000_000, 400_000_000]
    assert log.refused["lidar/top", "file missing"] == 1
    assert log.refused["lidar/top", "file without a stamp"] == 1
    assert log.refused["camera/front", "file without a stamp"] == 2


def test_one_of_three_stamps_is_enough_for_a_scan(drive: Path) -> None:
    text = (drive / "velodyne_points" / "timestamps.txt").read_text().splitlines()
    (drive / "velodyne_points" / "timestamps_start.txt").write_text("\n".join([*text[:3], "", text[4]]))
    log = open_log(drive)
    first = [m.header.capture_ns for m in log.messages(topics=("lidar/top",))]
    assert first[1] - first[0] == 100_000_000
    assert first[3] - first[2] == 100_000_000 - PERIOD_NS // 2
    assert not log.refused
