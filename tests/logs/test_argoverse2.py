"""Argoverse 2: a small log written in the layout in which the data set is published."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

pyarrow = pytest.importorskip("pyarrow")
from pyarrow import feather  # noqa: E402

from fusion_pipeline.logs.argoverse2 import AXLE_M, TURN_NS  # noqa: E402
from fusion_pipeline.logs.reader import LogError, open_log  # noqa: E402
from fusion_pipeline.messages import EgoMotion, LidarScan  # noqa: E402

START = 315_968_112_437_425_433
POSE = ("qw", "qx", "qy", "qz", "tx_m", "ty_m", "tz_m")
AHEAD = (0.5, -0.5, 0.5, -0.5)  # a camera that looks along x


def put(path: Path, **columns: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    feather.write_feather(pyarrow.table(columns), path)


def poses(rows: list[tuple[float, ...]]) -> dict[str, np.ndarray]:
    return {name: np.asarray([row[k] for row in rows]) for k, name in enumerate(POSE)}


def log_folder(path: Path) -> Path:
    """Three sweeps, three pictures of one camera, one annotated car."""
    names = ["ring_front_center", "up_lidar"]
    put(path / "calibration/egovehicle_SE3_sensor.feather", sensor_name=names,
        **poses([(*AHEAD, 1.63, 0.0, 1.43), (1, 0, 0, 0, 1.35, 0, 1.64)]))  # fmt: skip
    lens = {"fx_px": 1773.5, "fy_px": 1773.5, "cx_px": 775.8, "cy_px": 1024.0, "k1": -0.25, "k2": -0.2, "k3": 0.3}
    put(path / "calibration/intrinsics.feather", sensor_name=names[:1], **{k: [v] for k, v in lens.items()},
        height_px=np.asarray([2048], np.uint32), width_px=np.asarray([1550], np.uint32))  # fmt: skip
    stamps = [START + k * TURN_NS for k in range(3)]
    put(path / "city_SE3_egovehicle.feather", timestamp_ns=np.asarray(stamps, np.int64),
        **poses([(1, 0, 0, 0, 700 + 0.8 * k, 1200, -24) for k in range(3)]))  # fmt: skip
    rng = np.random.default_rng(0)
    for stamp in stamps:
        xyz = rng.normal(0, 20, (60, 3)).astype(np.float16)
        put(path / f"sensors/lidar/{stamp}.feather", x=xyz[:, 0], y=xyz[:, 1], z=xyz[:, 2],
            intensity=rng.integers(0, 255, 60).astype(np.uint8), laser_number=(np.arange(60) % 64).astype(np.uint8),
            offset_ns=np.sort(rng.integers(0, TURN_NS, 60)).astype(np.int32))  # fmt: skip
        pictures = path / "sensors/cameras/ring_front_center"
        pictures.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(pictures / f"{stamp + 49_000_000}.jpg"), np.zeros((64, 48, 3), np.uint8))
    put(path / "annotations.feather", timestamp_ns=np.asarray(stamps[:2], np.int64), track_uuid=["a", "a"],
        category=["REGULAR_VEHICLE"] * 2, length_m=[4.6] * 2, width_m=[1.9] * 2, height_m=[1.6] * 2,
        num_interior_pts=[33, 34], **poses([(0, 0, 0, 1, 12 + k, 3, 0.5) for k in range(2)]))  # fmt: skip
    return path


def test_a_log_gives_sweeps_pictures_ego_and_rig(tmp_path: Path) -> None:
    log = open_log(log_folder(tmp_path / "02678d04"))
    assert log.topics == ("lidar/top", "camera/ring_front_center", "ego/pose")
    messages = list(log.messages())
    assert len(messages) == 9
    arrivals = [m.header.arrival_ns for m in messages]
    assert arrivals == sorted(arrivals)
    scan = next(m for m in messages if isinstance(m, LidarScan))
    table = feather.read_table(tmp_path / "02678d04/sensors/lidar" / f"{START}.feather")
    np.testing.assert_array_equal(scan.xyz_m[:, 0], table["x"].to_numpy().astype(np.float32))
    np.testing.assert_array_equal(scan.offset_ns + (scan.header.capture_ns - START), table["offset_ns"].to_numpy())
    np.testing.assert_array_equal(scan.ring, table["laser_number"].to_numpy())
    motion = [m for m in messages if isinstance(m, EgoMotion)]
    assert motion[1].velocity_mps == pytest.approx([8, 0, 0])
    assert motion[0].position_m == pytest.approx([700, 1200, -24 - AXLE_M])
    mount = log.rig.cameras["camera/ring_front_center"]
    pixels, _ = mount.model.project(mount.vehicle_from_sensor.inverse().apply(np.asarray([[30.0, 0.0, 1.43 + AXLE_M]])))
    assert pixels[0] == pytest.approx([775.8, 1024.0])


def test_annotations_are_labels_of_their_sweeps(tmp_path: Path) -> None:
    labels = list(open_log(log_folder(tmp_path / "log")).labels())
    assert [len(found.boxes) for found in labels] == [1, 1, 0]
    box = labels[1].boxes
    assert box.centers_m[0] == pytest.approx([13, 3, 0.5 + AXLE_M])
    assert (box.sizes_m[0], abs(box.yaws_rad[0])) == (pytest.approx([4.6, 1.9, 1.6]), pytest.approx(np.pi))
    assert (labels[1].points.tolist(), box.track_ids.tolist()) == ([34], [0])
    assert labels[0].class_names == ("REGULAR_VEHICLE",)
    assert labels[0].header.capture_ns == START


def test_damage_is_counted_or_said(tmp_path: Path) -> None:
    path = log_folder(tmp_path / "log")
    (path / "sensors/lidar" / f"{START}.feather").write_bytes(b"ARROW1 no")
    log = open_log(path)
    assert len(list(log.messages())) == 8
    assert log.refused["lidar/top", "file damaged: no sweep"] == 1
    (path / "annotations.feather").write_bytes(b"")
    with pytest.raises(LogError, match=r"annotations\.feather cannot be read"):
        list(open_log(path).labels())
    (path / "sensors/lidar/now.feather").write_bytes(b"")
    with pytest.raises(LogError, match="is not named after its time"):
        open_log(path)
    (path / "sensors/lidar/now.feather").unlink()
    put(path / "calibration/intrinsics.feather", sensor_name=["x"])
    with pytest.raises(LogError, match="lacks the column"):
        open_log(path)
    (path / "calibration/intrinsics.feather").unlink()
    with pytest.raises(LogError, match=r"intrinsics\.feather cannot be read"):
        open_log(path)
