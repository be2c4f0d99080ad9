"""nuScenes: a small scene written in the layout in which the data set is published."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from fusion_pipeline.geometry.pose import Pose
from fusion_pipeline.logs.nuscenes_rows import rows
from fusion_pipeline.logs.reader import LogError, open_log
from fusion_pipeline.messages import CameraFrame, EgoMotion, LidarScan

START_US = 1_532_402_927_647_951
LENS = [[1266.4, 0.0, 816.3], [0.0, 1266.4, 491.5], [0.0, 0.0, 1.0]]
HALF = [0.5, -0.5, 0.5, -0.5]  # w x y z: a camera that looks along x


def turned(yaw: float) -> list[float]:
    return [float(np.cos(yaw / 2)), 0.0, 0.0, float(np.sin(yaw / 2))]


def ego(step: int) -> tuple[list[float], list[float]]:
    """5 m/s along the map's y, heading there."""
    return [100.0, 200.0 + 2.5 * step, 0.0], turned(np.pi / 2)


def scene(root: Path, scenes: int = 1) -> Path:
    """v1.0-mini with three key frames half a second apart, a car that drives ahead and a pedestrian that stands."""
    tables: dict[str, list[dict[str, Any]]] = {name: [] for name in (
        "scene", "sample", "sample_data", "ego_pose", "sample_annotation", "instance")}  # fmt: skip
    rng = np.random.default_rng(0)
    for number in range(scenes):
        tag = f"s{number}"
        tables["scene"].append({"token": tag, "log_token": "l", "nbr_samples": 3, "first_sample_token": f"{tag}-0",
                                "last_sample_token": f"{tag}-2", "name": f"scene-{61 + number:04d}",
                                "description": "Parked"})  # fmt: skip
        for k in range(3):
            stamp, sample = START_US + number * 10**8 + k * 500_000, f"{tag}-{k}"
            near = {"prev": f"{tag}-{k - 1}" if k else "", "next": f"{tag}-{k + 1}" if k < 2 else ""}
            tables["sample"].append({"token": sample, "timestamp": stamp, "scene_token": tag, **near})
            for channel, kind in (("LIDAR_TOP", "pcd.bin"), ("CAM_FRONT", "jpg"), ("RADAR_FRONT", "pcd")):
                place, turn = ego(k)
                token = f"{sample}-{channel}"
                name = f"samples/{channel}/{token}.{kind}"
                tables["ego_pose"].append({"token": token, "timestamp": stamp, "rotation": turn, "translation": place})
                tables["sample_data"].append({
                    "token": token, "sample_token": sample, "ego_pose_token": token,
                    "calibrated_sensor_token": f"c-{channel}", "timestamp": stamp - 35_000 * (channel == "CAM_FRONT"),
                    "fileformat": kind, "is_key_frame": True, "height": 90 * (kind == "jpg"),
                    "width": 160 * (kind == "jpg"), "filename": name, **near,
                })  # fmt: skip
                (root / "samples" / channel).mkdir(parents=True, exist_ok=True)
                if channel == "LIDAR_TOP":
                    points = np.column_stack([rng.normal(0, 10, (50, 3)), rng.integers(0, 255, 50), np.arange(50) % 32])
                    points.astype(np.float32).tofile(root / name)
                elif channel == "CAM_FRONT":
                    cv2.imwrite(str(root / name), np.zeros((90, 160, 3), np.uint8))
            for what, place, turn in (("car", [100.0, 220.0 + 3 * k, 0.8], turned(np.pi / 2)),
                                      ("ped", [98.0, 210.0, 0.9], turned(0.0))):  # fmt: skip
                tables["sample_annotation"].append({
                    "token": f"{sample}-{what}", "sample_token": sample, "instance_token": f"{tag}-{what}",
                    "visibility_token": "4" if what == "car" else "1", "attribute_tokens": [], "translation": place,
                    "size": [1.9, 4.6, 1.6] if what == "car" else [0.7, 0.7, 1.8], "rotation": turn,
                    "prev": f"{tag}-{k - 1}-{what}" if k else "", "next": f"{tag}-{k + 1}-{what}" if k < 2 else "",
                    "num_lidar_pts": 10 + k, "num_radar_pts": 0,
                })  # fmt: skip
        for what in ("car", "ped"):
            tables["instance"].append({"token": f"{tag}-{what}", "category_token": what, "nbr_annotations": 3,
                                       "first_annotation_token": "", "last_annotation_token": ""})  # fmt: skip
    tables["category"] = [{"token": "car", "name": "vehicle.car", "description": ""},
                          {"token": "ped", "name": "human.pedestrian.adult", "description": ""}]  # fmt: skip
    tables["sensor"] = [{"token": f"s-{c}", "channel": c, "modality": m} for c, m in (
        ("LIDAR_TOP", "lidar"), ("CAM_FRONT", "camera"), ("RADAR_FRONT", "radar"))]  # fmt: skip
    tables["calibrated_sensor"] = [
        {"token": "c-LIDAR_TOP", "sensor_token": "s-LIDAR_TOP", "translation": [0.94, 0.0, 1.84],
         "rotation": turned(-np.pi / 2), "camera_intrinsic": []},
        {"token": "c-CAM_FRONT", "sensor_token": "s-CAM_FRONT", "translation": [1.7, 0.02, 1.51], "rotation": HALF,
         "camera_intrinsic": LENS},
        {"token": "c-RADAR_FRONT", "sensor_token": "s-RADAR_FRONT", "translation": [3.4, 0.0, 0.5],
         "rotation": turned(0.0), "camera_intrinsic": []},
    ]  # fmt: skip
    folder = root / "v1.0-mini"
    folder.mkdir(parents=True, exist_ok=True)
    for name, table in tables.items():
        (folder / f"{name}.json").write_text(json.dumps(table, indent=0))
    return folder


def test_a_scene_gives_messages_rig_and_ego(tmp_path: Path) -> None:
    log = open_log(scene(tmp_path))
    assert log.topics == ("lidar/top", "camera/front", "ego/pose")
    messages = list(log.messages())
    assert len(messages) == 9
    arrivals = [m.header.arrival_ns for m in messages]
    assert arrivals == sorted(arrivals)
    scan = next(m for m in messages if isinstance(m, LidarScan))
    table = np.fromfile(tmp_path / "samples/LIDAR_TOP/s0-0-LIDAR_TOP.pcd.bin", np.float32).reshape(-1, 5)
    np.testing.assert_array_equal(scan.xyz_m, table[:, :3])
    np.testing.assert_array_equal(scan.ring, table[:, 4])
    assert scan.header.arrival_ns == START_US * 1000
    frame = next(m for m in messages if isinstance(m, CameraFrame))
    assert (frame.encoding, frame.width_px, frame.height_px) == ("jpeg", 160, 90)
    assert frame.header.capture_ns == (START_US - 35_000) * 1000
    mount = log.rig.cameras["camera/front"]
    pixels, _ = mount.model.project(mount.vehicle_from_sensor.inverse().apply(np.asarray([[20.0, 0.02, 1.51]])))
    assert pixels[0] == pytest.approx([816.3, 491.5])
    motion = [m for m in messages if isinstance(m, EgoMotion)]
    assert [m.velocity_mps for m in motion] == [pytest.approx([5.0, 0, 0], abs=1e-9)] * 3


def test_labels_lie_in_the_vehicle_frame_with_their_speed(tmp_path: Path) -> None:
    log = open_log(scene(tmp_path) / "scene-0061")
    labels = list(log.labels())
    assert len(labels) == 3
    for k, found in enumerate(labels):
        assert found.header.capture_ns == START_US * 1000 + k * 500_000_000
        names = [found.class_names[n] for n in found.boxes.labels]
        assert names == ["vehicle.car", "human.pedestrian.adult"]
        # ahead of a vehicle that heads along y: 20 m, and half a metre more with each frame; 2 m to the left
        assert found.boxes.centers_m[0] == pytest.approx([20 + 0.5 * k, 0, 0.8], abs=1e-4)
        assert found.boxes.centers_m[1] == pytest.approx([10 - 2.5 * k, 2, 0.9], abs=1e-4)
        assert found.boxes.sizes_m[0] == pytest.approx([4.6, 1.9, 1.6])
        assert found.boxes.yaws_rad == pytest.approx([0, -np.pi / 2], abs=1e-5)
        assert found.boxes.velocities_mps[0] == pytest.approx([6.0, 0], abs=1e-4)
        assert found.points.tolist() == [10 + k, 10 + k]
        assert found.visible.tolist() == pytest.approx([0.9, 0.2])
        assert found.boxes.track_ids.tolist() == [0, 1]


def test_several_scenes_are_asked_for_by_name(tmp_path: Path) -> None:
    folder = scene(tmp_path, 2)
    with pytest.raises(LogError, match=r"holds 2 scenes; open one, such as .*scene-0061"):
        open_log(tmp_path)
    first, second = (open_log(folder / name) for name in ("scene-0061", "scene-0062"))
    assert second.start_ns - first.start_ns == 10**11
    assert len(list(second.messages(topics=("lidar/top",)))) == 3
    with pytest.raises(LogError, match="has no scene 'scene-9999'"):
        open_log(folder / "scene-9999")


def test_poses_between_key_frames(tmp_path: Path) -> None:
    from fusion_pipeline.logs.nuscenes import NuScenes

    log = NuScenes(scene(tmp_path) / "scene-0061")
    pose: Pose = log.global_from_vehicle.at(START_US * 1000 + 250_000_000)
    assert pose.translation_m == pytest.approx([100, 201.25, 0])


@pytest.mark.parametrize(("name", "text", "said"), [
    ("scene", "", "no table of nuScenes"),
    ("sample_data", "[\n{\"token\": 1", "cut off or damaged after row 0"),
    ("sample", '[{"token": "a"}]', "row 1: it lacks 'scene_token'"),
    ("calibrated_sensor", "[]", "calibration c-LIDAR_TOP is not in"),
    ("ego_pose", None, "is the download complete"),
])  # fmt: skip
def test_what_is_wrong_is_said(tmp_path: Path, name: str, text: str | None, said: str) -> None:
    folder = scene(tmp_path)
    file = folder / f"{name}.json"
    if text is None:
        file.unlink()
    else:
        file.write_text(text)
    with pytest.raises(LogError, match=said):
        open_log(folder / "scene-0061")


def test_damaged_files_are_counted_and_passed_over(tmp_path: Path) -> None:
    folder = scene(tmp_path)
    (tmp_path / "samples/LIDAR_TOP/s0-0-LIDAR_TOP.pcd.bin").write_bytes(b"1234567")
    (tmp_path / "samples/CAM_FRONT/s0-1-CAM_FRONT.jpg").write_bytes(b"")
    (tmp_path / "samples/CAM_FRONT/s0-2-CAM_FRONT.jpg").unlink()
    log = open_log(folder)
    assert len(list(log.messages())) == 6
    assert sum(log.refused.values()) == 3
    assert log.refused["camera/front", "file missing"] == 1


def test_tables_larger_than_a_piece_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table = [{"token": str(k), "text": "[{" * (k % 7)} for k in range(500)]
    (tmp_path / "t.json").write_text(json.dumps(table))
    monkeypatch.setattr("fusion_pipeline.logs.nuscenes_rows.BLOCK", 64)
    assert list(rows(tmp_path / "t.json")) == table
