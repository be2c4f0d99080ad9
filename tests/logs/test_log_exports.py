"""Results in others' formats, logs compared, pictures and films; each judged by an independent reader."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from test_nuscenes import START_US, scene

from fusion_pipeline import results
from fusion_pipeline.cli.dispatch import run
from fusion_pipeline.dashboard import overlay
from fusion_pipeline.geometry.camera import CameraModel
from fusion_pipeline.geometry.pose import Pose
from fusion_pipeline.logs.film import can_encode
from fusion_pipeline.logs.labels import labelled
from fusion_pipeline.logs.mcap_writer import McapWriter
from fusion_pipeline.logs.object_tables import MESSAGE_COLUMNS, OBJECT_COLUMNS
from fusion_pipeline.logs.reader import LogError, open_log
from fusion_pipeline.logs.result_lines import read_lines, read_results
from fusion_pipeline.messages import (
    CameraFrame,
    EgoMotion,
    Header,
    LidarScan,
    SoundEvent,
    SourceStamp,
    Tracks,
)  # fmt: skip
from fusion_pipeline.rig import CameraMount, LidarMount, Rig

START = 1_700_000_000_000_000_000
LENS = CameraModel("pinhole", 160, 90, np.asarray([[100.0, 0, 80], [0, 100, 45], [0, 0, 1]]), np.zeros(0))
LOOK = Pose(np.asarray([[0.0, 0, 1], [-1, 0, 0], [0, -1, 0]]), np.asarray([1.5, 0, 1.5]))
RIG = Rig("car", {"lidar/top": LidarMount(Pose.identity())}, {"camera/front": CameraMount(LOOK, LENS)})


def tracks(k: int, source: str = "tracks") -> Tracks:
    """A car that comes nearer, a pedestrian to the right, a siren."""
    at = START + k * 100_000_000
    rows = [[20.0 - k, 1.0, 0.8, 4.0, 1.8, 1.6, 0.3], [12.0, -3.0, 0.9, 0.6, 0.6, 1.8, 0.0]]
    found = labelled(at, rows, ["car", "pedestrian"], ("car", "pedestrian"), [7, 9], np.asarray([[-10, 0], [0, 0.0]]))
    sound = SoundEvent("siren", 0.75, 0.5)
    return Tracks(Header(source, at, at + 30_000_000), found.class_names, found.boxes, (sound,),
                  (SourceStamp("camera/front", at, 0),))  # fmt: skip


def frame(k: int) -> CameraFrame:
    at = START + k * 100_000_000
    return CameraFrame(Header("camera/front", at, at + 5), "bgr8", 90, 160, np.full((90, 160, 3), 40 + 5 * k, np.uint8))


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """Ten pictures, scans, tracks and places of the vehicle."""
    rng = np.random.default_rng(0)
    with McapWriter(tmp_path / "drive.mcap", RIG) as writer:
        for k in range(10):
            at = START + k * 100_000_000
            writer.write(frame(k))
            zero = np.zeros(50)
            writer.write(LidarScan(Header("lidar/top", at, at + 10), 10, rng.normal(size=(50, 3)).astype(np.float32),
                                   zero.astype(np.float32), zero.astype(np.uint16), zero.astype(np.int32)))  # fmt: skip
            turn = Pose.from_euler(0, 0, 0.5, np.zeros(3)).quaternion
            writer.write(EgoMotion(Header("ego/pose", at, at + 20), np.asarray([100.0 + k, 50, 0]), turn, np.zeros(3),
                                   np.zeros(3), np.eye(6), np.eye(6)))  # fmt: skip
            writer.write(tracks(k))
    return tmp_path / "drive.mcap"


def test_result_lines_come_back(tmp_path: Path) -> None:
    lines = [results.line(tracks(k)) for k in range(3)]
    (tmp_path / "sets.jsonl").write_text("\n".join(lines) + "\n")
    back = list(read_lines(tmp_path / "sets.jsonl"))
    assert [json.loads(results.line(found)) for found in back] == [json.loads(text) for text in lines]
    (tmp_path / "sets.jsonl").write_text(lines[0] + '\n{"stamp_ns": 3}\n')
    with pytest.raises(LogError, match="line 2: no line of results: it lacks 'objects'"):
        list(read_lines(tmp_path / "sets.jsonl"))
    (tmp_path / "sets.jsonl").write_text("[1, 2]\n")
    with pytest.raises(LogError, match="line 1: no line of results"):
        list(read_lines(tmp_path / "sets.jsonl"))


def test_recorded_tracks_are_read_where_they_are_asked_for(log: Path) -> None:
    opened = open_log(log)
    assert opened.topics == ("lidar/top", "camera/front", "ego/pose")
    assert not any(isinstance(m, Tracks) for m in opened.messages())
    found = [m for m in opened.messages(topics=("tracks", "camera/front")) if isinstance(m, Tracks)]
    assert [results.line(m) for m in found] == [results.line(tracks(k)) for k in range(10)]
    with pytest.raises(LogError, match="has no topic 'detections'; it has tracks"):
        read_results(log, "detections")


def test_tables_are_what_pyarrow_reads(log: Path, tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    assert run(["log", "export", str(log), str(tmp_path / "o.parquet"), "--as", "parquet"]) == 0
    table = parquet.read_table(tmp_path / "o.parquet").to_pydict()
    assert tuple(table) == OBJECT_COLUMNS
    assert table["kind"] == ["box", "box", "sound"] * 10
    assert table["label"][:3] == ["car", "pedestrian", "siren"]
    assert table["stamp_ns"][:3] == [START] * 3
    assert table["range_m"][0] == pytest.approx(np.hypot(20, 1))
    assert (table["vx_mps"][0], table["speed_mps"][0], table["vx_mps"][2]) == (-10, 10, None)
    assert table["track_id"][:3] == [7, 9, None]
    assert table["lidar_share"][0] == pytest.approx(1 / 3)
    assert run(["log", "export", str(log), str(tmp_path / "m.parquet"), "--as", "messages"]) == 0
    table = parquet.read_table(tmp_path / "m.parquet").to_pydict()
    assert tuple(table) == MESSAGE_COLUMNS
    assert len(table["topic"]) == 40
    row = table["topic"].index("camera/front")
    assert [table[c][row] for c in ("width_px", "height_px", "encoding", "latency_ns")] == [160, 90, "bgr8", 5]
    assert table["objects"][table["topic"].index("tracks")] == 2


def kitti_rows(path: Path) -> list[tuple[str, list[float]]]:
    return [(text.split()[0], [float(w) for w in text.split()[1:]]) for text in path.read_text().splitlines()]


def test_kitti_labels_come_back_as_kitti_wrote_them(data_root: Path, tmp_path: Path) -> None:
    """Its labels as results: place, size and turn to the last digit, the rectangle as near as its hand-drawn ones."""
    training = data_root / "kitti_object/training"
    assert run(["log", "export", str(training), str(tmp_path / "out"), "--as", "kitti", "--topic", "labels"]) == 0
    compared = 0
    for label in sorted((training / "label_2").glob("*.txt")):
        true = [row for row in kitti_rows(label) if row[0] != "DontCare"]
        found = kitti_rows(tmp_path / "out" / "data" / label.name)
        assert [name for name, _ in found] == [name for name, _ in true]
        for (_, ours), (_, theirs) in zip(found, true, strict=True):
            np.testing.assert_allclose(ours[7:13], theirs[7:13], atol=2e-3)
            for k in (2, 13):
                assert abs((ours[k] - theirs[k] + np.pi) % (2 * np.pi) - np.pi) < 0.02
            if theirs[0] == 0:  # truncated ones are drawn as far as they can be seen
                np.testing.assert_allclose(ours[3:7], theirs[3:7], atol=12)
            compared += 1
    assert compared == 14


def test_kitti_of_any_log_brings_its_calibration(log: Path, tmp_path: Path) -> None:
    assert run(["log", "export", str(log), str(tmp_path / "out"), "--as", "kitti"]) == 0
    rows = kitti_rows(tmp_path / "out" / "data" / "000003.txt")
    assert [name for name, _ in rows] == ["Car", "Pedestrian"]
    values = rows[0][1]
    # camera at (1.5, 0, 1.5): x is right, y down, z ahead; the place is the box's foot
    assert values[10:13] == pytest.approx([-1.0, 1.5, 17.0 - 1.5], abs=1e-3)
    assert values[7:10] == pytest.approx([1.6, 1.8, 4.0])
    assert values[13] == pytest.approx(-0.3 - np.pi / 2, abs=1e-3)
    calib = (tmp_path / "out" / "calib.txt").read_text()
    table = {text.split(":")[0]: text.split(":")[1].split() for text in calib.splitlines()}
    projection = np.asarray(table["P2"], np.float64).reshape(3, 4)
    mount = np.asarray(table["Tr_velo_to_cam"], np.float64).reshape(3, 4)
    pixel = projection @ np.append(mount @ [17.0, 1.0, 0.8, 1.0], 1.0)
    left, top, right, bottom = values[3:7]
    assert left < pixel[0] / pixel[2] < right
    assert top < pixel[1] / pixel[2] < bottom
    assert run(["log", "export", str(log), str(tmp_path / "t.txt"), "--as", "kitti-tracking"]) == 0
    lines = [text.split() for text in (tmp_path / "t.txt").read_text().splitlines()]
    assert [(row[0], row[1], row[2]) for row in lines[:3]] == [
        ("0", "7", "Car"), ("0", "9", "Pedestrian"), ("1", "7", "Car"),
    ]  # fmt: skip
    assert {len(row) for row in lines} == {18}


def quaternion_yaw(w: float, x: float, y: float, z: float) -> float:
    return float(np.arctan2(2 * (w * z + x * y), 1 - 2 * (y * y + z * z)))


def test_nuscenes_results_are_global_and_by_sample(tmp_path: Path) -> None:
    folder = scene(tmp_path)
    out = tmp_path / "r.json"
    assert run(["log", "export", str(folder), str(out), "--as", "nuscenes", "--topic", "labels"]) == 0
    found = json.loads(out.read_text())
    assert set(found["meta"]) == {"use_camera", "use_lidar", "use_radar", "use_map", "use_external"}
    annotations = json.loads((folder / "sample_annotation.json").read_text())
    assert set(found["results"]) == {"s0-0", "s0-1", "s0-2"}
    for token, boxes in found["results"].items():
        true = {row["instance_token"]: row for row in annotations if row["sample_token"] == token}
        for box, (name, row) in zip(boxes, (("car", true["s0-car"]), ("pedestrian", true["s0-ped"])), strict=True):
            assert (box["detection_name"], box["sample_token"]) == (name, token)
            assert box["translation"] == pytest.approx(row["translation"], abs=1e-3)
            assert box["size"] == pytest.approx(row["size"], abs=1e-6)
            assert quaternion_yaw(*box["rotation"]) == pytest.approx(quaternion_yaw(*row["rotation"]), abs=1e-4)
        assert boxes[0]["velocity"] == pytest.approx([0, 6.0], abs=1e-3)
        assert [box["attribute_name"] for box in boxes] == ["vehicle.moving", "pedestrian.standing"]
    assert run(["log", "export", str(folder), str(out), "--as", "nuscenes-tracking", "--topic", "labels"]) == 0
    box = json.loads(out.read_text())["results"]["s0-0"][0]
    assert (box["tracking_id"], box["tracking_name"], box["tracking_score"]) == ("0", "car", 1.0)


def test_nuscenes_results_of_a_result_file_and_what_is_left_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = scene(tmp_path)
    stamp = START_US * 1000
    lines = []
    for at in (stamp, stamp + 20_000_000, stamp + 250_000_000):
        rows = [[10.0, 0, 1, 4, 2, 1.5, 0], [5.0, 5, 1, 1, 1, 1, 0]]
        lines.append(results.line(labelled(at, rows, ["car", "tree"], ("car",)).tracks()))
    (tmp_path / "sets.jsonl").write_text("\n".join(lines))
    out = tmp_path / "r.json"
    arguments = ["log", "export", str(tmp_path / "sets.jsonl"), str(out), "--as", "nuscenes"]
    assert run([*arguments, "--log", str(folder / "scene-0061")]) == 0
    said = capsys.readouterr().out
    assert "1 boxes; left out: boxes of class tree: 1; sets between key frames: 1; sets further" in said
    assert json.loads(out.read_text())["results"]["s0-0"][0]["translation"] == pytest.approx([100, 210, 1], abs=1e-3)
    assert run(arguments) == 2
    assert "--log" in capsys.readouterr().err


def test_nuscenes_results_of_another_log_are_placed_by_its_ego_motion(log: Path, tmp_path: Path) -> None:
    assert run(["log", "export", str(log), str(tmp_path / "r.json"), "--as", "nuscenes"]) == 0
    found = json.loads((tmp_path / "r.json").read_text())["results"]
    assert list(found) == [str(START + k * 100_000_000) for k in range(10)]
    place = [100 + np.cos(0.5) * 20 - np.sin(0.5), 50 + np.sin(0.5) * 20 + np.cos(0.5)]
    assert found[str(START)][0]["translation"][:2] == pytest.approx(place, abs=1e-3)
    assert quaternion_yaw(*found[str(START)][0]["rotation"]) == pytest.approx(0.8, abs=1e-4)


@pytest.mark.parametrize(("arguments", "said"), [
    (["--as", "word"], "--as word is unknown"), (["--as", "kitti", "--camera", "camera/back"], "no camera"),
    (["--as", "parquet", "--topic", "none"], "has no topic 'none'"),
])  # fmt: skip
def test_what_cannot_be_exported_is_said(
    log: Path, tmp_path: Path, arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["log", "export", str(log), str(tmp_path / "out"), *arguments]) == 2
    assert said in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def changed(log: Path, out: Path, change: Any) -> Path:
    opened = open_log(log)
    with McapWriter(out, opened.rig) as writer:
        for number, message in enumerate(opened.messages(topics=(*opened.topics, "tracks"))):
            if (other := change(number, message)) is not None:
                writer.write(other)
    return out


def test_a_difference_is_found_and_named(log: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    same = changed(log, tmp_path / "same.mcap", lambda number, message: message)
    assert run(["log", "diff", str(log), str(same)]) == 0
    assert "nothing differs" in capsys.readouterr().out

    def other(number: int, message: Any) -> Any:
        if isinstance(message, LidarScan) and message.header.capture_ns == START + 300_000_000:
            xyz = message.xyz_m.copy()
            xyz[3, 1] += 0.25
            return LidarScan(message.header, 10, xyz, message.intensity, message.ring, message.offset_ns)
        lost = isinstance(message, CameraFrame) and message.header.capture_ns == START + 900_000_000
        return None if lost else message

    assert run(["log", "diff", str(log), str(changed(log, tmp_path / "other.mcap", other))]) == 3
    said = capsys.readouterr().out
    assert "lidar/top: 10 and 10 messages, 1 differ, the first is number 3" in said
    assert "xyz_m: 1 of 150 values differ, by at most 0.25" in said
    assert "camera/front: 10 and 9 messages, 1 stamps only in the first, 0 only in the second" in said
    assert "tracks: 10 messages, the same" in said
    assert run(["log", "diff", str(log), str(tmp_path / "other.mcap"), "--json"]) == 3
    table = json.loads(capsys.readouterr().out)
    assert [topic["topic"] for topic in table["topics"] if topic["differing"]] == ["lidar/top"]


def test_pictures_have_the_boxes_drawn_in(log: Path, tmp_path: Path) -> None:
    assert run(["log", "images", str(log), str(tmp_path / "with"), "--every", "3"]) == 0
    assert run(["log", "images", str(log), str(tmp_path / "without"), "--every", "3", "--boxes", "none"]) == 0
    names = sorted(file.name for file in (tmp_path / "with").iterdir())
    assert names == [f"{START + k * 100_000_000}.png" for k in (0, 3, 6, 9)]
    for name, k in zip(names, (0, 3, 6, 9), strict=True):
        drawn, plain = (cv2.imread(str(tmp_path / folder / name)) for folder in ("with", "without"))
        assert drawn is not None
        assert plain is not None
        height, more = plain.shape[0] - 22, plain.shape[1] // 160
        assert (plain[:height] == 40 + 5 * k).all()
        places = np.argwhere((drawn[:height] != plain[:height]).any(axis=2)) / more
        # the car's middle is 18.5 - k m ahead of the camera, 1 m left and 0.7 m below it
        u, v = 80 - 100 / (18.5 - k), 45 + 70 / (18.5 - k)
        near = np.abs(places - [v, u]).max(axis=1) < 3 + 100 / (18.5 - k)
        assert near.sum() > 100


def test_a_film_that_browsers_do_not_show_says_so(
    log: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(overlay, "can_encode", lambda: False)
    assert run(["log", "video", str(log), str(tmp_path / "a.mp4"), "--boxes", "none"]) == 0
    assert "H.264 needs the extra logs" in capsys.readouterr().err
    film = cv2.VideoCapture(str(tmp_path / "a.mp4"))
    assert round(film.get(cv2.CAP_PROP_FRAME_COUNT)) == 10


def test_a_film_has_every_picture(log: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["log", "video", str(log), str(tmp_path / "a.mp4"), "--start", "0.2", "--end", "0.8"]) == 0
    assert "6 pictures at 10.00 Hz" in capsys.readouterr().out
    film = cv2.VideoCapture(str(tmp_path / "a.mp4"))
    code = round(film.get(cv2.CAP_PROP_FOURCC)).to_bytes(4, "little")
    assert (code in (b"avc1", b"h264")) == can_encode(), code
    shades = []
    while (read := film.read())[0]:
        shades.append(float(np.median(read[1])))
    assert len(shades) == 6
    assert shades == sorted(shades)
    assert shades[0] == pytest.approx(50, abs=6)
    (tmp_path / "sets.jsonl").write_text("\n".join(results.line(tracks(k)) for k in range(10)))
    boxes = str(tmp_path / "sets.jsonl")
    assert run(["log", "video", str(log), str(tmp_path / "b.mp4"), "--boxes", boxes, "--fps", "5"]) == 0
    for wrong, said in ((["--topic", "camera/back"], "no camera"), (["--start", "5"], "no picture of camera/front")):
        assert run(["log", "video", str(log), str(tmp_path / "c.mp4"), *wrong]) == 2
        assert said in capsys.readouterr().err
