"""The recorder keeps what it should, and a full disk costs no more than what there was no room for."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fusion_pipeline.logs.reader import LogError, open_log
from fusion_pipeline.messages import AudioChunk, CameraFrame, Header
from nodes import recorder
from nodes.recorder import Recorder, RecorderConfig


def chunk(k: int) -> AudioChunk:
    """Silence."""
    return AudioChunk(Header("audio/roof", 10**9 + k, 10**9 + k), 16_000, np.zeros((320, 4), np.int16))


def frame(k: int) -> CameraFrame:
    """Black."""
    return CameraFrame(Header("camera/front", 10**9 + k, 10**9 + k), "mono8", 2, 2, np.zeros((2, 2, 1), np.uint8))


def record(node: Recorder, count: int = 5) -> None:
    """Some messages."""
    for k in range(count):
        assert list(node.step(chunk(k))) == []
        assert list(node.step(frame(k))) == []


@pytest.mark.parametrize(
    ("topics", "kept"),
    [((), {"audio/roof", "camera/front"}), (("audio",), {"audio/roof"}), (("camera/front",), {"camera/front"})],
)
def test_chosen_topics_are_kept(tmp_path: Path, topics: tuple[str, ...], kept: set[str]) -> None:
    node = Recorder(RecorderConfig(tmp_path / "new" / "log.mcap", topics=topics), "recorder")
    node.open()
    record(node)
    node.close()
    log = open_log(tmp_path / "new" / "log.mcap")
    assert set(log.topics) == kept
    assert len(list(log.messages())) == 5 * len(kept)


def test_a_restart_keeps_what_was_recorded(tmp_path: Path) -> None:
    for starts, name in ((0, "log.mcap"), (1, "log-2.mcap")):
        node = Recorder(RecorderConfig(tmp_path / "log.mcap"), "recorder")
        node.starts = starts
        node.open()
        record(node, starts + 1)
        node.close()
        assert len(list(open_log(tmp_path / name).messages())) == 2 * (starts + 1)
    assert len(list(open_log(tmp_path / "log.mcap").messages())) == 2


def test_a_full_disk_is_told_counted_and_gets_better(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    node = Recorder(RecorderConfig(tmp_path / "log.mcap"), "recorder")
    node.open()
    real: Any = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(recorder, "LOOK_S", 0.0)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: real._replace(free=1000))
    record(node, 3)
    assert node.state == "degraded"
    assert node.counts() == {("audio/roof", "disk full"): 3, ("camera/front", "disk full"): 3}
    monkeypatch.setattr(shutil, "disk_usage", lambda path: real)
    record(node, 2)
    assert node.state == "ready"
    node.close()
    assert len(list(open_log(tmp_path / "log.mcap").messages())) == 4


def test_a_place_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "log.mcap").mkdir()
    with pytest.raises(LogError, match="choose another place"):
        Recorder(RecorderConfig(tmp_path / "log.mcap"), "recorder").open()
