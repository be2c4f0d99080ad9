"""The recorder keeps what it should, and a full or slow disk costs no more than what there was no room for."""

from __future__ import annotations

import resource
import shutil
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from calibration import rig
from fusion_pipeline.logs import parts
from fusion_pipeline.logs import record as record_module
from fusion_pipeline.logs.raw import RawReader
from fusion_pipeline.logs.reader import LogError, open_log
from fusion_pipeline.messages import AudioChunk, Boxes, CameraFrame, Detections, Header
from fusion_pipeline.node import NodeError
from nodes.recorder import Recorder, RecorderConfig

START = 1_700_000_000_000_000_000
MS = 1_000_000


def chunk(k: int, step_ms: float = 0.001) -> AudioChunk:
    """Silence."""
    at = START + round(k * step_ms * MS)
    return AudioChunk(Header("audio/roof", at, at), 16_000, np.zeros((320, 4), np.int16))


def frame(k: int, step_ms: float = 0.001, size: int = 2) -> CameraFrame:
    """Noise that no compression makes smaller."""
    at = START + round(k * step_ms * MS)
    picture = np.random.default_rng(k).integers(0, 255, (size, size, 3)).astype(np.uint8)
    return CameraFrame(Header("camera/front", at, at), "rgb8", size, size, picture)


def person(k: int, step_ms: float, away_m: float) -> Detections:
    """One pedestrian ahead."""
    one = np.float32
    boxes = Boxes(
        np.array([[away_m, 0, 0]], one), np.ones((1, 3), one), np.zeros(1, one), np.zeros((1, 2), one),
        np.full(1, 0.9, one), np.zeros(1, np.int64), np.zeros((1, 8), one), np.zeros((1, 3), one),
        np.full(1, -1, np.int64),
    )  # fmt: skip
    at = START + round(k * step_ms * MS)
    return Detections(Header("detections", at, at), ("pedestrian",), boxes)


def record(node: Recorder, count: int = 5) -> None:
    """Some messages."""
    for k in range(count):
        assert list(node.step(chunk(k))) == []
        assert list(node.step(frame(k))) == []


def opened(config: RecorderConfig, starts: int = 0) -> Recorder:
    """A recorder that runs."""
    node = Recorder(config, "recorder")
    node.starts = starts
    node.open()
    return node


def settled(node: Recorder) -> None:
    """Wait until the disk's thread has done what it has been given."""
    node._recording._filler.flush()
    until = time.monotonic() + 20
    while node._recording._held and time.monotonic() < until:
        time.sleep(0.005)
    assert not node._recording._held


def stamps(path: Path, topic: str = "camera/front") -> list[int]:
    """Milliseconds from the start of a topic's messages."""
    found = [m.header.arrival_ns for m in open_log(path).messages() if m.header.source == topic]
    return [(at - START) // MS for at in found]


@pytest.mark.parametrize(
    ("topics", "kept"),
    [((), {"audio/roof", "camera/front"}), (("audio",), {"audio/roof"}), (("camera/front",), {"camera/front"})],
)
def test_chosen_topics_are_kept(tmp_path: Path, topics: tuple[str, ...], kept: set[str]) -> None:
    node = opened(RecorderConfig(tmp_path / "new" / "log.mcap", topics=topics))
    record(node)
    node.close()
    log = open_log(tmp_path / "new" / "log.mcap")
    assert set(log.topics) == kept
    assert len(list(log.messages())) == 5 * len(kept)
    assert node.counts() == {}


def test_a_restart_keeps_what_was_recorded(tmp_path: Path) -> None:
    for starts, name in ((0, "log.mcap"), (1, "log-002.mcap"), (2, "log-003.mcap")):
        node = opened(RecorderConfig(tmp_path / "log.mcap"), starts)
        record(node, starts + 1)
        node.close()
        assert len(list(open_log(tmp_path / name).messages())) == 2 * (starts + 1)
    assert len(list(open_log(tmp_path / "log.mcap").messages())) == 2


def test_a_disk_that_runs_full_is_told_counted_and_gets_better(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    node = opened(RecorderConfig(tmp_path / "log.mcap"))
    real: Any = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(parts, "LOOK_S", 0.0)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: real._replace(free=1000))
    record(node, 3)
    settled(node)
    node._look(at_once=True)
    assert node.state == "degraded"
    assert "left on the disk; free some space; 6 messages lost" in node.detail
    assert node.counts() == {("audio/roof", "disk full"): 3, ("camera/front", "disk full"): 3}
    monkeypatch.setattr(shutil, "disk_usage", lambda path: real)
    record(node, 2)
    settled(node)
    node._look(at_once=True)
    assert node.state == "ready"
    node.close()
    log = open_log(tmp_path / "log.mcap")
    assert len(list(log.messages())) == 4
    reader = RawReader(tmp_path / "log.mcap")
    sequences = [raw.sequence for raw in reader if raw.topic == "audio/roof"]
    assert sequences == [4, 5]  # the gap is in the file, and so is the reason
    said = dict(reader.metadata)["fusion.recorded"]
    assert (said["lost"], said["messages"], said["lost, audio/roof: disk full"]) == ("6", "4", "3")


@pytest.fixture
def small_files() -> Iterator[None]:
    """No file may be larger than 2 MB: the kernel refuses in the middle of a write, as a full disk does."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2_000_000, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_write_that_fails_half_way_leaves_a_whole_file(tmp_path: Path, small_files: None) -> None:
    node = opened(RecorderConfig(tmp_path / "log.mcap", compression="none"))
    for k in range(8):
        list(node.step(frame(k, 100, 400)))  # half a megabyte each
        settled(node)
    node.close()
    assert node.counts() == {("camera/front", "disk full"): 4}
    log = open_log(tmp_path / "log.mcap")
    assert stamps(log.path) == [0, 100, 200, 300]
    assert not RawReader(log.path).lost


def test_a_slow_disk_costs_messages_not_memory_nor_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gate = threading.Event()
    real = record_module.Recording._put

    def slow(self: record_module.Recording, sealed: Any) -> None:
        gate.wait(20)
        real(self, sealed)

    monkeypatch.setattr(record_module.Recording, "_put", slow)
    node = opened(RecorderConfig(tmp_path / "log.mcap", buffer_mb=16))
    for k in range(60):
        list(node.step(frame(k, 10, 800)))  # 1.9 MB each: two in a chunk of 4 MB, four chunks in the buffer
    lost = node.counts()["camera/front", "disk too slow"]
    assert 60 - 12 <= lost < 60
    assert node._recording._held <= 16_000_000
    node._look(at_once=True)
    assert node.state == "degraded"
    gate.set()
    settled(node)
    list(node.step(frame(60, 10, 800)))
    node.close()
    assert len(stamps(tmp_path / "log.mcap")) == 61 - lost


def test_an_end_that_the_disk_holds_up_is_bounded_and_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real, gate = record_module.Recording._put, threading.Event()

    def slow(self: record_module.Recording, sealed: Any) -> None:
        gate.wait(20)
        real(self, sealed)

    monkeypatch.setattr(record_module.Recording, "_put", slow)
    monkeypatch.setattr(record_module, "END_S", 0.2)
    node = opened(RecorderConfig(tmp_path / "log.mcap"))
    for k in range(8):
        list(node.step(frame(k, 10, 800)))  # two in a chunk
    node.close()
    assert node.counts() == {("camera/front", "disk too slow"): 6}
    assert node.state == "degraded"
    gate.set()
    node._recording._thread.join(20)
    reader = RawReader(tmp_path / "log.mcap")
    assert sum(raw.topic == "camera/front" for raw in reader) == 2
    assert dict(reader.metadata)["fusion.recorded"]["lost"] == "6"


def test_a_replay_waits_for_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = record_module.Recording._put

    def slow(self: record_module.Recording, sealed: Any) -> None:
        time.sleep(0.02)
        real(self, sealed)

    monkeypatch.setattr(record_module.Recording, "_put", slow)
    node = Recorder(RecorderConfig(tmp_path / "log.mcap", buffer_mb=16), "recorder")
    node.replay = True
    node.open()
    for k in range(40):
        list(node.step(frame(k, 10, 800)))  # five times what the buffer holds
    node.close()
    assert node.counts() == {}
    assert len(stamps(tmp_path / "log.mcap")) == 40


def test_a_message_larger_than_the_buffer_is_written_all_the_same(tmp_path: Path) -> None:
    node = opened(RecorderConfig(tmp_path / "log.mcap", buffer_mb=16))
    for k in range(2):
        list(node.step(frame(k, 100, 2600)))  # 20 MB
        settled(node)
    node.close()
    assert stamps(tmp_path / "log.mcap") == [0, 100]


def test_a_rig_is_not_said_again_for_what_came_a_little_late(tmp_path: Path) -> None:
    node = opened(RecorderConfig(tmp_path / "log.mcap", rig=rig("demo")))
    for k in range(20):
        list(node.step(frame(k + (5 if k % 2 else 0), 10)))
    node.close()
    said = [raw.log_ns for raw in RawReader(tmp_path / "log.mcap") if raw.topic == "camera/front/calibration"]
    assert said == [START]


def test_files_end_by_time_and_each_is_a_log(tmp_path: Path) -> None:
    node = opened(RecorderConfig(tmp_path / "log.mcap", rig=rig("demo"), split_s=1.0))
    for k in range(25):
        list(node.step(frame(k, 100)))
    node.close()
    names = ["log.mcap", "log-002.mcap", "log-003.mcap"]
    assert [path.name for path in node._recording.paths] == names
    assert [stamps(tmp_path / name)[0] for name in names] == [0, 1000, 2000]
    for name in names:
        log = open_log(tmp_path / name)
        assert log.rig.cameras
        topics = {raw.topic for raw in RawReader(tmp_path / name)}
        assert {"tf", "camera/front/calibration", "camera/front"} <= topics


def test_files_end_by_size(tmp_path: Path) -> None:
    node = opened(RecorderConfig(tmp_path / "log.mcap", split_mb=4.0, compression="none"))
    for k in range(20):
        list(node.step(frame(k, 100, 600)))  # 1.1 MB
        settled(node)
    node.close()
    sizes = [path.stat().st_size for path in node._recording.paths]
    assert len(sizes) >= 5
    assert max(sizes) <= 4_100_000
    assert min(sizes[:-1]) >= 2_000_000
    assert [at for path in node._recording.paths for at in stamps(path)] == [100 * k for k in range(20)]


def test_the_last_seconds_are_written_when_asked_for(tmp_path: Path) -> None:
    node = opened(RecorderConfig(tmp_path / "log.mcap", keep_s=2.0, after_s=1.0))
    for k in range(100):
        if k in (50, 90):
            settled(node)
            assert "saving the last" in node.command(f"save number {k}")
        list(node.step(frame(k, 100)))
    node.close()
    first, second = tmp_path / "log.mcap", tmp_path / "log-002.mcap"
    assert [path.name for path in node._recording.paths] == ["log.mcap", "log-002.mcap"]
    # Chunks of at most a second: what is kept reaches back at least two seconds and at most three.
    assert 2000 <= stamps(first)[0] <= 3000
    assert 6000 <= stamps(first)[-1] <= 7000
    assert stamps(second)[-1] == 9900
    assert np.ptp(np.diff(stamps(first))) == 0
    assert dict(log_facts(first))["fusion.facts"]["saved_because"] == "number 50"
    with pytest.raises(NodeError, match="knows 'save', not 'pause'"):
        node.command("pause")


def log_facts(path: Path) -> list[tuple[str, dict[str, str]]]:
    """The metadata of a file."""
    reader = RawReader(path)
    for _ in reader:
        pass
    return reader.metadata


def test_what_is_kept_is_bounded_in_bytes(tmp_path: Path) -> None:
    node = opened(RecorderConfig(tmp_path / "log.mcap", keep_s=1e6, keep_mb=8.0, compression="none"))
    for k in range(30):
        list(node.step(frame(k, 100, 600)))
    settled(node)
    node._look(at_once=True)
    ring = node._recording._ring
    assert ring is not None
    assert ring.size <= 8_000_000
    assert "all that --keep-mb allows" in node.detail
    node.command("save")
    node.close()
    assert stamps(tmp_path / "log.mcap")[-1] == 2900


def test_a_detection_that_is_meant_saves_what_was_before_it(tmp_path: Path) -> None:
    condition = "label = 'pedestrian' and range_m < 10"
    node = opened(RecorderConfig(tmp_path / "log.mcap", keep_s=1.0, after_s=0.5, save_on=condition))
    for k in range(60):
        list(node.step(frame(k, 100)))
        list(node.step(person(k, 100, away_m=30.0 - k)))  # nearer than 10 m from the 21st on
        if k == 30:
            break
    node.close()
    found = stamps(tmp_path / "log.mcap")
    assert found[0] <= 1100
    assert found[-1] == 3000
    assert condition in dict(log_facts(tmp_path / "log.mcap"))["fusion.facts"]["saved_because"]


def test_nothing_is_written_where_nobody_asks(tmp_path: Path) -> None:
    node = opened(RecorderConfig(tmp_path / "log.mcap", keep_s=1.0))
    record(node)
    node.close()
    assert not list(tmp_path.glob("*.mcap"))


def test_a_chunk_is_closed_also_when_nothing_comes_any_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(record_module, "CLOSE_CHUNK_S", 0.0)
    node = opened(RecorderConfig(tmp_path / "log.mcap"))
    record(node, 1)
    list(node.advance(START))
    until = time.monotonic() + 20
    while node._recording._held and time.monotonic() < until:
        time.sleep(0.005)
    # Nobody has closed the file: this is what a kill would leave behind.
    assert {raw.topic for raw in RawReader(tmp_path / "log.mcap")} >= {"audio/roof", "camera/front"}
    node.close()


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"save_on": "label = 'car'"}, "needs keep_s"),
        ({"keep_s": 1.0, "save_on": "lable = 'car'"}, "did you mean 'label'"),
        ({"images": "webp"}, "known: raw, jpeg, png, h264"),
        ({"compression": "gzip"}, "known: none, lz4, zstd"),
        ({"split_s": -1.0}, "above 0"),
    ],
)
def test_settings_that_cannot_be_are_told(tmp_path: Path, change: dict[str, Any], told: str) -> None:
    with pytest.raises((LogError, NodeError, ValueError), match=told):
        opened(RecorderConfig(tmp_path / "log.mcap", **change))


def test_a_place_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "log.mcap").mkdir()
    with pytest.raises(LogError, match="choose another place"):
        opened(RecorderConfig(tmp_path / "log.mcap"))


@pytest.mark.parametrize("fate", ["deleted", "moved", "replaced"])
def test_a_file_that_vanishes_while_it_is_written_is_noticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fate: str
) -> None:
    monkeypatch.setattr(parts, "LOOK_S", 0.0)
    folder = tmp_path / "drive"
    node = opened(RecorderConfig(folder / "log.mcap"))
    record(node, 3)
    settled(node)
    if fate == "deleted":
        shutil.rmtree(folder)
    else:
        folder.rename(tmp_path / "elsewhere")
    if fate == "replaced":  # by another disk with a recording of the same name
        folder.mkdir()
        (folder / "log.mcap").write_bytes(b"another's")
    record(node, 4)
    settled(node)
    node._look(at_once=True)
    assert node.state == "degraded"
    assert "log.mcap was " in node.detail
    node.close()
    assert len(list(open_log(folder / "log-002.mcap").messages())) == 8
    lost = {"camera/front": 3, "audio/roof": 3} if fate == "deleted" else {}
    assert node.counts() == {(topic, "file deleted"): count for topic, count in lost.items()}
    if fate != "deleted":
        assert len(list(open_log(tmp_path / "elsewhere" / "log.mcap").messages())) == 6


def test_a_stamp_that_no_file_can_hold_is_refused_and_counted(tmp_path: Path) -> None:
    node = opened(RecorderConfig(tmp_path / "log.mcap"))
    record(node, 2)
    for at in (2**32 * 10**9, 2**62, 2**63 - 1):
        late = frame(2)
        list(node.step(replace(late, header=replace(late.header, capture_ns=at, arrival_ns=at))))
        list(node.step(replace(late, header=replace(late.header, capture_ns=at))))
    record(node, 2)
    node.close()
    assert node.counts() == {("camera/front", "refused: a stamp after 2106"): 6}
    assert len(list(open_log(tmp_path / "log.mcap").messages())) == 8
