"""Small data sets in the layouts in which they are published: KITTI's development kits, nuScenes 1.0, Argoverse 2."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from fusion_pipeline.bench.malformed_samples import picture, points, written

P2, TR = "700 0 600 35 0 700 180 0 0 0 1 0", "0 -1 0 0 0 0 -1 -0.08 1 0 0 -0.27"
OXTS = " ".join(["49.0", "8.0", "110", "0", "0", "0", "0", "0", "8.0", "0", "0", "0", "0", "9.8"] + ["0"] * 16) + "\n"
LABEL = "Car 0 0 -1.5 100 100 200 200 1.5 1.6 4.0 2.0 1.6 20.0 0.3\n"


def kitti_raw(folder: Path) -> Path:
    """A drive of two frames with oxts and tracklets."""
    written(folder / "calib_cam_to_cam.txt", f"S_rect_02: 24 16\nR_rect_00: 1 0 0 0 1 0 0 0 1\nP_rect_02: {P2}\n")
    written(folder / "calib_velo_to_cam.txt", "R: 0 -1 0 0 0 -1 1 0 0\nT: 0 -0.08 -0.27\n")
    written(folder / "calib_imu_to_velo.txt", "R: 1 0 0 0 1 0 0 0 1\nT: -0.8 0.3 -0.8\n")
    drive = folder / "drive_sync"
    for name in ("velodyne_points", "image_02", "oxts"):
        written(drive / name / "timestamps.txt", "".join(f"2011-09-26 12:00:00.{k}50000000\n" for k in range(2)))
    for k in range(2):
        written(drive / f"velodyne_points/data/{k:010d}.bin", points(40))
        picture(drive / f"image_02/data/{k:010d}.png")
        written(drive / f"oxts/data/{k:010d}.txt", OXTS)
    pose = "<item><tx>10</tx><ty>1</ty><tz>-1</tz><rz>0.1</rz><occlusion>0</occlusion></item>"
    item = "<item><objectType>Car</objectType><h>1.5</h><w>1.6</w><l>4</l><first_frame>0</first_frame>"
    item += f"<poses>{pose * 2}</poses></item>"
    written(drive / "tracklet_labels.xml", f"<boost_serialization><tracklets>{item}</tracklets></boost_serialization>")
    return drive


def kitti_object(folder: Path) -> Path:
    """Two frames with labels."""
    root = folder / "training"
    for k in range(2):
        written(root / f"velodyne/{k:06d}.bin", points(40))
        picture(root / f"image_2/{k:06d}.png")
        written(root / f"label_2/{k:06d}.txt", LABEL * 2)
        rows = [f"P{n}: {P2}" for n in range(4)] + [
            "R0_rect: 1 0 0 0 1 0 0 0 1",
            f"Tr_velo_to_cam: {TR}",
            f"Tr_imu_to_velo: {TR}",
        ]
        written(root / f"calib/{k:06d}.txt", "\n".join(rows) + "\n")
    return root


def kitti_tracking(folder: Path) -> Path:
    """A sequence of two frames."""
    root = folder / "training"
    for k in range(2):
        written(root / f"velodyne/0000/{k:06d}.bin", points(40))
        picture(root / f"image_02/0000/{k:06d}.png")
    rows = [f"P{n}: {P2}" for n in range(4)] + ["R_rect 1 0 0 0 1 0 0 0 1", f"Tr_velo_cam {TR}", f"Tr_imu_velo {TR}"]
    written(root / "calib/0000.txt", "\n".join(rows) + "\n")
    written(root / "label_02/0000.txt", "".join(f"{k} 7 {LABEL}" for k in range(2)))
    written(root / "oxts/0000.txt", OXTS * 2)
    return root / "0000"


def kitti_odometry(folder: Path) -> Path:
    """A sequence of two frames with poses."""
    path = folder / "sequences" / "00"
    for k in range(2):
        written(path / f"velodyne/{k:06d}.bin", points(40))
        picture(path / f"image_2/{k:06d}.png")
    written(path / "calib.txt", "\n".join([*(f"P{n}: {P2}" for n in range(4)), f"Tr: {TR}"]) + "\n")
    written(path / "times.txt", "0.000000e+00\n1.000000e-01\n")
    written(folder / "poses/00.txt", "".join(f"1 0 0 0 0 1 0 0 0 0 1 {k}\n" for k in range(2)))
    return path


def nuscenes(folder: Path) -> Path:
    """A scene of two key frames with a car."""
    tables: dict[str, list[dict[str, Any]]] = {
        "scene": [{"token": "s", "log_token": "l", "nbr_samples": 2, "first_sample_token": "0",
                   "last_sample_token": "1",
                   "name": "scene-0061", "description": ""}],
        "sample": [], "sample_data": [], "ego_pose": [], "sample_annotation": [],
        "instance": [{"token": "i", "category_token": "car", "nbr_annotations": 2, "first_annotation_token": "0",
                      "last_annotation_token": "1"}],
        "category": [{"token": "car", "name": "vehicle.car", "description": ""}],
        "sensor": [{"token": "L", "channel": "LIDAR_TOP", "modality": "lidar"},
                   {"token": "C", "channel": "CAM_FRONT", "modality": "camera"}],
        "calibrated_sensor": [
            {"token": "L", "sensor_token": "L", "translation": [0.9, 0, 1.8], "rotation": [1, 0, 0, 0],
             "camera_intrinsic": []},
            {"token": "C", "sensor_token": "C", "translation": [1.7, 0, 1.5], "rotation": [0.5, -0.5, 0.5, -0.5],
             "camera_intrinsic": [[20, 0, 12], [0, 20, 8], [0, 0, 1]]}],
    }  # fmt: skip
    for k in range(2):
        stamp, near = 1_532_402_927_647_951 + k * 500_000, {"prev": str(k - 1) if k else "", "next": "" if k else "1"}
        tables["sample"].append({"token": str(k), "timestamp": stamp, "scene_token": "s", **near})
        tables["sample_annotation"].append({
            "token": str(k), "sample_token": str(k), "instance_token": "i", "visibility_token": "4",
            "attribute_tokens": [], "translation": [100.0, 220, 1], "size": [2, 4, 1.5], "rotation": [1, 0, 0, 0],
            "num_lidar_pts": 10, "num_radar_pts": 0, **near})  # fmt: skip
        for sensor, channel, kind in (("L", "LIDAR_TOP", "pcd.bin"), ("C", "CAM_FRONT", "jpg")):
            token, name = f"{k}{sensor}", f"samples/{channel}/{k}.{kind}"
            tables["ego_pose"].append(
                {"token": token, "timestamp": stamp, "rotation": [1, 0, 0, 0], "translation": [k, 2, 0]}
            )
            tables["sample_data"].append({
                "token": token, "sample_token": str(k), "ego_pose_token": token, "calibrated_sensor_token": sensor,
                "timestamp": stamp, "fileformat": kind, "is_key_frame": True, "height": 16 * (sensor == "C"),
                "width": 24 * (sensor == "C"), "filename": name, **near})  # fmt: skip
            if sensor == "L":
                written(folder / name, points(40, 5))
            else:
                picture(folder / name)
    for name, table in tables.items():
        written(folder / f"v1.0-mini/{name}.json", json.dumps(table))
    return folder / "v1.0-mini"


def argoverse2(folder: Path) -> Path:
    """A log of two sweeps with a car."""
    import pyarrow
    from pyarrow import feather

    def put(name: str, **columns: Any) -> None:
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        feather.write_feather(pyarrow.table(columns), path / name, compression="uncompressed")

    def poses(*rows: tuple[float, ...]) -> dict[str, list[float]]:
        names = ("qw", "qx", "qy", "qz", "tx_m", "ty_m", "tz_m")
        return {name: [float(row[k]) for row in rows] for k, name in enumerate(names)}

    path, names = folder / "02678d04", ["ring_front_center", "up_lidar"]
    put("calibration/egovehicle_SE3_sensor.feather", sensor_name=names,
        **poses((0.5, -0.5, 0.5, -0.5, 1.6, 0, 1.4), (1, 0, 0, 0, 1.4, 0, 1.6)))  # fmt: skip
    lens = {"fx_px": 20.0, "fy_px": 20.0, "cx_px": 12.0, "cy_px": 8.0, "k1": 0.0, "k2": 0.0, "k3": 0.0}
    put("calibration/intrinsics.feather", sensor_name=names[:1], **{key: [number] for key, number in lens.items()},
        height_px=np.asarray([16], np.uint32), width_px=np.asarray([24], np.uint32))  # fmt: skip
    stamps = [315_968_112_437_425_433 + k * 100_000_000 for k in range(2)]
    put(
        "city_SE3_egovehicle.feather",
        timestamp_ns=stamps,
        **poses(*((1, 0, 0, 0, 700 + k, 1200, -24) for k in range(2))),
    )
    xyz = np.frombuffer(points(40, 3), np.float32).reshape(-1, 3).astype(np.float16)
    for stamp in stamps:
        put(f"sensors/lidar/{stamp}.feather", x=xyz[:, 0], y=xyz[:, 1], z=xyz[:, 2],
            intensity=np.arange(40, dtype=np.uint8),
            laser_number=np.arange(40, dtype=np.uint8), offset_ns=np.arange(40, dtype=np.int32))  # fmt: skip
        picture(path / f"sensors/cameras/ring_front_center/{stamp + 1_000_000}.jpg")
    put("annotations.feather", timestamp_ns=stamps, track_uuid=["a", "a"], category=["REGULAR_VEHICLE"] * 2,
        length_m=[4.6] * 2, width_m=[1.9] * 2, height_m=[1.6] * 2, num_interior_pts=[33, 34],
        **poses(*((1, 0, 0, 0, 12 + k, 3, 0.5) for k in range(2))))  # fmt: skip
    return path
