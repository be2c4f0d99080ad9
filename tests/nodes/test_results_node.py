"""The node that writes lines keeps its head when the disk does not."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pytest

from fusion_pipeline.messages import Boxes, Header, Tracks
from fusion_pipeline.node import NodeError
from nodes.results import Results, ResultsConfig


def tracks(stamp: int) -> Tracks:
    """An empty set."""
    return Tracks(Header("tracks", stamp, stamp), ("car",), Boxes.empty())


def test_one_line_for_each_message(tmp_path: Path) -> None:
    node = Results(ResultsConfig(tmp_path / "new" / "sets.jsonl"), "results")
    node.open()
    for stamp in range(3):
        assert list(node.step(tracks(stamp))) == []
    node.close()
    lines = (tmp_path / "new" / "sets.jsonl").read_text().splitlines()
    assert [json.loads(line)["stamp_ns"] for line in lines] == [0, 1, 2]


def test_a_restart_goes_on_after_the_last_whole_line(tmp_path: Path) -> None:
    path = tmp_path / "sets.jsonl"
    first = Results(ResultsConfig(path), "results")
    first.open()
    list(first.step(tracks(1)))
    first.close()
    with path.open("a") as file:
        file.write('{"stamp_ns": 2, "fra')  # killed here
    second = Results(ResultsConfig(path), "results")
    second.starts = 1
    second.open()
    list(second.step(tracks(3)))
    second.close()
    assert [json.loads(line)["stamp_ns"] for line in path.read_text().splitlines()] == [1, 3]


def test_a_place_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    with pytest.raises(NodeError, match="choose another --out"):
        Results(ResultsConfig(tmp_path), "results").open()


class Full(io.StringIO):
    """A disk without room until told otherwise."""

    room = False

    def write(self, text: str) -> int:
        if not self.room:
            raise OSError(28, "No space left on device")
        return super().write(text)


def test_a_full_disk_is_counted_and_told_and_gets_better(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    node = Results(ResultsConfig(tmp_path / "sets.jsonl"), "results")
    node.open()
    node.close()
    monkeypatch.setattr(node, "_file", disk := Full())
    list(node.step(tracks(1)))
    assert node.state == "degraded"
    assert "No space left" in node.detail
    assert node.counts() == {("tracks", "not written"): 1}
    disk.room = True
    list(node.step(tracks(2)))
    assert node.state == "ready"
    assert np.isclose(json.loads(disk.getvalue())["stamp_ns"], 2)
