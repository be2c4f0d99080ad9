"""The shipped models on labelled KITTI frames."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from fusion_pipeline.detect.inference import Inference
from fusion_pipeline.logs.kitti import KittiObjects
from fusion_pipeline.manifest import SHIPPED
from fusion_pipeline.messages import CameraFrame, Detections, Header, LidarScan, SensorSet
from fusion_pipeline.rig import Rig

Labelled = tuple[SensorSet, np.ndarray]
AHEAD_M, BESIDE_M = 55.0, 35.0  # farther labels have a handful of points


@pytest.fixture(scope="module")
def frames(data_root: Path) -> list[Labelled]:
    """Scan and picture of each object frame with the places of its labelled cars and vans."""
    training = data_root / "kitti_object" / "training"
    if not training.is_dir():
        pytest.skip(f"no KITTI object frames at {training}")
    messages = list(KittiObjects(training).messages())
    scans = [message for message in messages if isinstance(message, LidarScan)]
    pictures = [message for message in messages if isinstance(message, CameraFrame)]
    labels = sorted((training / "label_2").glob("*.txt"))
    made = []
    for scan, picture, label in zip(scans, pictures, labels, strict=True):
        header = Header("set", scan.middle_ns, scan.header.arrival_ns)
        places = cars(training / "calib" / label.name, label)
        made.append((SensorSet(header, lidars=(scan,), cameras=(picture,)), places))
    return made


def cars(calibration: Path, label: Path) -> np.ndarray:
    """(N, 2) x and y, in the vehicle frame, of the labelled cars and vans."""
    table = dict(line.split(":", 1) for line in calibration.read_text().splitlines() if ":" in line)
    mount, turn = np.eye(4), np.eye(4)
    mount[:3] = np.array(table["Tr_velo_to_cam"].split(), float).reshape(3, 4)
    turn[:3, :3] = np.array(table["R0_rect"].split(), float).reshape(3, 3)
    rows = [line.split() for line in label.read_text().splitlines() if line.split()[0] in ("Car", "Van")]
    optical = np.array([[*map(float, row[11:14]), 1] for row in rows]).reshape(-1, 4)
    return (optical @ np.linalg.inv(turn @ mount).T)[:, :2]


def recall(found: list[tuple[Detections, np.ndarray]], limit_m: float) -> tuple[int, int]:
    """How many labelled cars have a box of a car or truck within `limit_m`, and how many there are."""
    hits = total = 0
    for detections, places in found:
        names = np.array(detections.class_names)[detections.boxes.labels]
        boxes = detections.boxes.centers_m[np.isin(names, ("car", "truck")), :2]
        for place in places:
            if place[0] > AHEAD_M or abs(place[1]) > BESIDE_M:
                continue
            total += 1
            hits += bool(len(boxes)) and float(np.hypot(*(boxes - place).T).min()) < limit_m
    return hits, total


def rig(data_root: Path) -> Rig:
    return KittiObjects(data_root / "kitti_object" / "training").rig


def test_the_lidar_network_finds_labelled_cars(data_root: Path, frames: list[Labelled]) -> None:
    inference = Inference.load(SHIPPED / "lidar_bev.onnx", rig(data_root))
    hits, total = recall([(inference(parts), places) for parts, places in frames], 1.0)
    assert total == 8
    assert hits >= 7


def test_the_picture_network_with_points_finds_labelled_cars(data_root: Path, frames: list[Labelled]) -> None:
    model = data_root / "onnx" / "fastestdet" / "FastestDet.onnx"
    if not model.is_file():
        pytest.skip(f"no {model}")
    inference = Inference.load(model, rig(data_root))
    found = [(inference(parts), places) for parts, places in frames]
    print(
        "FD",
        recall(found, 2.0),
        [h for d, _ in found[2:4] for h in [(x.stage, (x.end_ns - x.start_ns) / 1e6) for x in d.header.hops]],
    )
