"""`fusion eval` from the command line: what it prints and writes, and how it refuses."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from fusion_pipeline.cli.dispatch import run
from fusion_pipeline.manifest import SHIPPED

sys.path.insert(0, str(Path(__file__).parents[1] / "evaluate"))
from kitti_folders import objects

MODEL = ("--model", str(SHIPPED / "lidar_bev.onnx"))


@pytest.fixture
def kitti(tmp_path: Path) -> Path:
    return objects(tmp_path / "training")


def test_tables_plots_pictures_json_and_card(kitti: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (kitti / "image_2" / "000001.png").unlink()
    places = ("--out", "a.json", "--plots", "plots", "--pictures", "worst", "--card", "card.md")
    where = [str(tmp_path / name) if not name.startswith("--") else name for name in places]
    assert run(["eval", str(kitti), *MODEL, *where, "--robust", "1", "--markdown"]) == 0
    shown = capsys.readouterr()
    assert "| cars BEV AP@0.7, moderate |" in shown.out
    assert "under corruption; 2 labelled frames, each alone, without earlier sweeps; 1 of them under" in shown.out
    assert "| kinds of corruption that these frames allow; left out: fewer beams in all frames: " in shown.out
    assert "missing: " in shown.err
    assert "image_2: 1 of 2 labelled frames are missing (000001): the camera" in shown.err
    assert (tmp_path / "plots" / "kitti_cars_bev_0.7.png").is_file()
    first = (tmp_path / "card.md").read_text()
    assert "| kinds of corruption that these frames allow; left out: fewer beams" in first
    # the same again of the figures alone
    assert run(["eval", str(tmp_path / "a.json"), "--card", str(tmp_path / "card.md"), "--json"]) == 0
    assert (tmp_path / "card.md").read_text() == first
    assert json.loads(capsys.readouterr().out)["evaluations"][0]["model"] == "lidar-bev"


def test_one_frame(kitti: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["eval", str(kitti), *MODEL, "--frame", "1"]) == 0
    head, _, columns, *rows = capsys.readouterr().out.splitlines()
    assert head == "lidar-bev, KITTI object/000001, score >= 0.3"
    assert columns.startswith("found")
    assert any(" Car" in row for row in rows)
    assert run(["eval", str(kitti), *MODEL, "--frame", "9"]) == 2
    assert "no labelled frame is called '9'" in capsys.readouterr().err
    assert run(["eval", "simulated", "--frame", "9"]) == 2
    assert "--frame looks at one frame of one KITTI folder" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("data", "said"),
    [("nowhere", "nowhere is no folder"), (".", "holds no KITTI data"), ("none.json", "none.json: No such file")],
)
def test_what_cannot_be_judged_is_one_line(
    data: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(["eval", data, *MODEL]) == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1


def test_real_frames(data_root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["eval", str(data_root), *MODEL, "--json"]) == 0
    (one,) = json.loads(capsys.readouterr().out)["evaluations"]
    rows = {row["what"]: row for section in one["sections"].values() for row in section}
    cars = rows["cars BEV AP@0.5, moderate"]
    assert cars["n"] >= 14
    assert cars["low"] <= cars["value"] <= cars["high"]
    assert cars["value"] > 60  # the shipped network was trained on simulation alone, and works
