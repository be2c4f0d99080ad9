"""KITTI's tracking and odometry benchmarks, in the layout in which they are published."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from fusion_pipeline.logs.kitti import PERIOD_NS
from fusion_pipeline.logs.reader import LogError, open_log
from fusion_pipeline.messages import EgoMotion, LidarScan

P2 = "700 0 600 35 0 700 180 0 0 0 1 0"
TR = "0 -1 0 0 0 0 -1 -0.08 1 0 0 -0.27"
LABEL = "{frame} {track} {kind} 0 0 -1.5 100 100 200 200 1.5 1.6 4.0 2.0 1.6 20.0 0.3"
OXTS = " ".join(["49.0", "8.0", "110", "0", "0", "0", "0", "0", "8.0", "0", "0", "0", "0", "9.8"] + ["0"] * 16)


def scan(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    np.random.default_rng(0).normal(0, 20, (100, 4)).astype(np.float32).tofile(path)


def picture(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), np.zeros((37, 124, 3), np.uint8))


def tracking(root: Path, sequences: int = 2) -> Path:
    """training/ with so many sequences of three frames."""
    for name in [f"{k:04d}" for k in range(sequences)]:
        for k in range(3):
            scan(root / "velodyne" / name / f"{k:06d}.bin")
            picture(root / "image_02" / name / f"{k:06d}.png")
        for folder in ("calib", "label_02", "oxts"):
            (root / folder).mkdir(exist_ok=True)
        rows = [f"P{k}: {P2}" for k in range(4)]
        rows += ["R_rect 1 0 0 0 1 0 0 0 1", f"Tr_velo_cam {TR}", "Tr_imu_velo 1 0 0 -0.8 0 1 0 0.3 0 0 1 -0.8"]
        (root / "calib" / f"{name}.txt").write_text("\n".join(rows) + "\n")
        lines = [LABEL.format(frame=k, track=7, kind="Car") for k in range(3)]
        lines.insert(1, LABEL.format(frame=0, track=-1, kind="DontCare"))
        (root / "label_02" / f"{name}.txt").write_text("\n".join(lines) + "\n")
        (root / "oxts" / f"{name}.txt").write_text((OXTS + "\n") * 3)
    return root


def test_a_tracking_sequence(tmp_path: Path) -> None:
    root = tracking(tmp_path / "training")
    log = open_log(root / "0001")
    assert log.topics == ("lidar/top", "camera/front", "ego/oxts")
    assert len(list(log.messages())) == 9
    middles = [m.middle_ns for m in log.messages(topics=("lidar/top",)) if isinstance(m, LidarScan)]
    assert np.diff(middles).tolist() == [PERIOD_NS, PERIOD_NS]
    labels = list(log.labels())
    assert [found.header.capture_ns for found in labels] == middles
    assert [found.boxes.track_ids.tolist() for found in labels] == [[7]] * 3
    # z of the camera is x of the Velodyne, 0.27 m on; the label's y is the box's bottom.
    assert labels[0].boxes.centers_m[0] == pytest.approx([20.27, -2.0, -(1.6 - 0.75) - 0.08 + 1.73])
    assert labels[0].boxes.yaws_rad[0] == pytest.approx(-0.3 - np.pi / 2)


def test_a_folder_of_sequences_asks_for_one_and_opens_its_only_one(tmp_path: Path) -> None:
    with pytest.raises(LogError, match=r"holds 2 sequences; open one, such as .*0000"):
        open_log(tracking(tmp_path / "training"))
    assert len(list(open_log(tracking(tmp_path / "other", 1)).messages())) == 9


def test_what_is_wrong_with_a_tracking_sequence_is_said(tmp_path: Path) -> None:
    root = tracking(tmp_path / "training", 1)
    (root / "label_02" / "0000.txt").write_text("0 7 Car 0 0\nnonsense\n")
    log = open_log(root / "0000")
    assert [len(found.boxes) for found in log.labels()] == [0, 0]
    assert log.refused["labels", "damaged line"] == 2
    (root / "calib" / "0000.txt").write_text("")
    with pytest.raises(LogError, match="lacks Tr_velo_cam with 12 numbers"):
        open_log(root / "0000")


def odometry(root: Path) -> Path:
    """sequences/00: three frames a metre apart, turning to the left."""
    path = root / "sequences" / "00"
    for k in range(3):
        scan(path / "velodyne" / f"{k:06d}.bin")
        picture(path / "image_2" / f"{k:06d}.png")
    (path / "calib.txt").write_text("\n".join([*(f"P{k}: {P2}" for k in range(4)), f"Tr: {TR}"]) + "\n")
    (path / "times.txt").write_text("0.000000e+00\n1.000000e-01\n2.000000e-01\n")
    (root / "poses").mkdir()
    rows = []
    for k in range(3):
        turn = -0.1 * k  # about the camera's y, which points down
        c, s = np.cos(turn), np.sin(turn)
        rows.append(" ".join(str(v) for v in [c, 0, s, 0, 0, 1, 0, 0, -s, 0, c, k]))
    (root / "poses" / "00.txt").write_text("\n".join(rows) + "\n")
    return path


def test_an_odometry_sequence_has_ego_motion(tmp_path: Path) -> None:
    log = open_log(odometry(tmp_path))
    assert log.topics == ("lidar/top", "camera/front", "ego/oxts")
    egos = [m for m in log.messages(topics=("ego/oxts",)) if isinstance(m, EgoMotion)]
    assert len(egos) == 3
    assert egos[1].angular_velocity_rps == pytest.approx([0, 0, 1.0], abs=1e-6)
    assert egos[0].position_m == pytest.approx([0, 0, 0], abs=1e-9)
    assert egos[2].position_m[0] == pytest.approx(2.0, abs=0.03)  # the vehicle's origin swings about the camera
    assert not list(log.labels())


@pytest.mark.parametrize(("name", "text", "said"), [
    ("sequences/00/times.txt", "0\n0.1\n0.05\n", "line 3: 0.05 is not after"),
    ("sequences/00/times.txt", "0\nx\n", "line 2: 'x' is no time"),
    ("poses/00.txt", "1 0 0\n", "a pose has 12 numbers"),
    ("sequences/00/calib.txt", "P0: 1 2\n", r"lacks Tr, .*data_odometry_calib\.zip"),
])  # fmt: skip
def test_what_is_wrong_with_an_odometry_sequence_is_said(tmp_path: Path, name: str, text: str, said: str) -> None:
    path = odometry(tmp_path)
    (tmp_path / name).write_text(text)
    with pytest.raises(LogError, match=said):
        open_log(path)
