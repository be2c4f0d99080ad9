"""A log in a notebook: parts, topics, sets, tables; and the example of the page of logs."""

from __future__ import annotations

import os
import re
from pathlib import Path

import numpy as np
import pytest

from fusion_pipeline.logs import open_log
from fusion_pipeline.logs.card import card, look
from fusion_pipeline.logs.labels import labelled
from fusion_pipeline.logs.mcap_writer import McapWriter
from fusion_pipeline.logs.reader import LogError
from fusion_pipeline.logs.reader import open_log as bare
from fusion_pipeline.messages import AudioChunk, CameraFrame, Header, Health, LidarScan, Message, Tracks
from fusion_pipeline.rig import Rig

START, STEP = 1_700_000_000_000_000_000, 100_000_000


def messages(count: int = 30) -> list[Message]:
    """A scan, a picture, sound and the truth each tenth of a second."""
    rng = np.random.default_rng(0)
    found: list[Message] = []
    for k in range(count):
        at = START + k * STEP
        rows = [[12.0, 1, 1, 4, 2, 1.5, 0], [9.0, -4, 1, 0.6, 0.6, 1.8, 0]]
        truth = labelled(at, rows, ["car", "pedestrian"], ("car", "pedestrian"), [1, 2]).tracks()
        found += [
            CameraFrame(Header("camera/front", at, at + 1), "bgr8", 24, 32, np.full((24, 32, 3), k, np.uint8)),
            LidarScan(Header("lidar/top", at, at + 2), 0, rng.normal(0, 9, (100 + k, 3)).astype(np.float32),
                      np.zeros(100 + k, np.float32), np.zeros(100 + k, np.uint16), np.zeros(100 + k, np.int32)),
            AudioChunk(Header("audio/roof", at, at + 3), 8000, np.full((800, 1), k, np.int16)),
            Tracks(Header("truth", at, at + 4), truth.class_names, truth.boxes),
        ]  # fmt: skip
    return found


@pytest.fixture
def path(tmp_path: Path, repo_root: Path) -> Path:
    with McapWriter(tmp_path / "drive.mcap", Rig.load(repo_root / "calibration/rigs/demo.toml")) as writer:
        for message in messages():
            writer.write(message)
        count = START + 30 * STEP
        writer.write(Health(Header("health/camera", count, count), "camera", 1, "degraded", "no picture for 3 s"))
    return tmp_path / "drive.mcap"


def test_parts_and_topics_by_brackets(path: Path) -> None:
    log = open_log(path)
    assert [m.header.source for m in log][:3] == ["camera/front", "lidar/top", "audio/roof"]
    assert len(list(log)) == 90
    assert len(list(log[1.0:2.0])) == 30
    assert len(list(log[1:2]["lidar/top"])) == len(list(log["lidar/top"][1:2])) == 10
    assert len(list(log["lidar/top", "truth"])) == 60
    assert [int(m.data[0, 0, 0]) for m in log["camera/front"][-0.25:] if isinstance(m, CameraFrame)] == [28, 29]
    assert not list(log[5:])
    assert len(list(log[:])) == 90
    with pytest.raises(LogError, match="has no topic 'lidar/back'; it has lidar/top"):
        log["lidar/back"]
    with pytest.raises(TypeError, match="no step"):
        log[::2]
    with pytest.raises(TypeError, match=r"such as \[10.0:20.0\]"):
        log[3]  # type: ignore[index]


def test_sets_hold_what_belongs_together(path: Path) -> None:
    sets = list(open_log(path)[:2.0].sets())
    assert len(sets) == 20
    for k, found in enumerate(sets):
        assert found.header.capture_ns == START + k * STEP
        assert [len(scan.xyz_m) for scan in found.lidars] == [100 + k]
        assert [int(frame.data[0, 0, 0]) for frame in found.cameras] == [k]
        if found.audios:
            assert found.audios[0].pcm[-1, 0] == k - 1
    assert sum(bool(found.audios) for found in sets) >= 13
    alone = next(open_log(path)["camera/front"].sets())  # without a LiDAR a camera is the reference
    assert [len(alone.cameras), len(alone.lidars)] == [1, 0]


def test_tables(path: Path) -> None:
    pytest.importorskip("pandas")
    log = open_log(path)
    frame = log.to_pandas()
    assert frame.groupby("topic").size().to_dict() == {"lidar/top": 30, "camera/front": 30, "audio/roof": 30}
    assert frame[frame.topic == "lidar/top"].points.tolist() == [100 + k for k in range(30)]
    assert set(frame[frame.topic == "audio/roof"].latency_ns) == {3}
    objects = log["truth"].objects().to_pandas()
    assert objects.label.tolist() == ["car", "pedestrian"] * 30
    assert log.objects().to_arrow().num_rows == 60  # the truth is the labels of a simulated log


def test_the_example_of_the_page_runs(
    path: Path, repo_root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("pandas")
    (code,) = re.findall(r"```python\n(.*?)```", (repo_root / "docs" / "logs.md").read_text(), re.DOTALL)
    monkeypatch.chdir(path.parent)
    names: dict[str, object] = {}
    exec(compile(code, "docs/logs.md", "exec"), names)
    said = capsys.readouterr().out
    assert said.count("points") == 30
    assert f"camera/front {START + 10 * STEP}" in said
    assert len(names["near"]) == 30  # type: ignore[arg-type]


def test_the_card_knows_gaps_clocks_and_health(tmp_path: Path, path: Path) -> None:
    found = card(path)
    rows = {row.topic: row for row in found.rows}
    assert (rows["lidar/top"].count, rows["lidar/top"].gaps, rows["lidar/top"].back) == (30, 0, 0)
    assert ("health/camera", "degraded, no picture for 3 s; dropped or refused 0") in found.facts
    kept = messages()
    order = [*kept[:20], *kept[60:]]  # a second is missing
    moved = kept[40:44]
    with McapWriter(tmp_path / "bad.mcap") as writer:
        for message in (*order, *moved):
            writer.write(message)
    rows = {row.topic: row for row in card(tmp_path / "bad.mcap").rows}
    assert (rows["lidar/top"].gaps, rows["lidar/top"].back) == (2, 1)


def test_a_look_needs_few_chunks(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = look(path)
    assert found.info_ms > 0
    assert found.seek_ms > 0
    assert found.peak_mib > 1


@pytest.mark.parametrize("overlapping", [False, True])
def test_the_files_of_one_recording_are_one_log(tmp_path: Path, repo_root: Path, overlapping: bool) -> None:
    rig = Rig.load(repo_root / "calibration/rigs/demo.toml")
    whole = messages(20)
    halves = (whole[::2], whole[1::2]) if overlapping else (whole[:40], whole[40:])
    (tmp_path / "rec").mkdir()
    for name, part in zip(("drive.mcap", "drive-002.mcap"), halves, strict=True):
        with McapWriter(tmp_path / "rec" / name, rig) as writer:
            for message in part:
                writer.write(message)
    log = bare(tmp_path / "rec")
    sensors = [m.header for m in whole if not isinstance(m, Tracks)]
    assert [m.header for m in log.messages()] == sensors
    low, high = START + 5 * STEP, START + 15 * STEP
    assert [m.header for m in log.messages(low, high)] == [h for h in sensors if low <= h.arrival_ns < high]
    assert log.rig.topics == rig.topics
    assert len(list(log.labels())) == 20
    assert {row.topic: row.count for row in card(tmp_path / "rec").rows}["lidar/top"] == 20
    (tmp_path / "rec" / "drive-003.mcap").write_bytes(b"")
    log = bare(tmp_path / "rec")
    assert len(list(log.messages())) == 60
    assert log.refused == {("drive-003.mcap", "cannot be read"): 1}


def test_video_is_decoded_also_from_the_middle(tmp_path: Path) -> None:
    pytest.importorskip("av")
    with McapWriter(tmp_path / "v.mcap", images="h264") as writer:
        for k in range(40):
            at = START + k * STEP
            data = np.full((25, 33, 3), 5 * k, np.uint8)  # odd sides
            writer.write(CameraFrame(Header("camera/front", at, at + 1), "bgr8", 25, 33, data))
    frames = [m for m in bare(tmp_path / "v.mcap").messages() if isinstance(m, CameraFrame)]
    assert [f.header.capture_ns for f in frames] == [START + k * STEP for k in range(40)]
    assert [float(np.median(f.data)) for f in frames] == pytest.approx([5 * k for k in range(40)], abs=4)
    assert {f.data.shape for f in frames} == {(25, 33, 3)}
    log = bare(tmp_path / "v.mcap")
    middle = [m for m in log.messages(START + 25 * STEP, START + 28 * STEP) if isinstance(m, CameraFrame)]
    assert [f.header.capture_ns for f in middle] == [START + k * STEP for k in (25, 26, 27)]
    np.testing.assert_array_equal(middle[0].data, frames[25].data)
    assert not log.refused


def test_nothing_is_read_before_it_is_asked_for(path: Path) -> None:
    log = open_log(path)
    os.truncate(path, 100)
    assert log.topics == ("lidar/top", "camera/front", "audio/roof")
    assert not list(log)
    assert log.refused["log", "claims more than the file holds"] > 0
