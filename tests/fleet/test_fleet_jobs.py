"""The jobs that come with the program, on a small simulated log; scenes found in their tables."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pq = pytest.importorskip("pyarrow.parquet", reason="pyarrow is not installed: pip install 'fusion-pipeline[fleet]'")

from fusion_pipeline.cli.dispatch import run  # noqa: E402
from fusion_pipeline.fleet.job import FleetError, Task  # noqa: E402
from fusion_pipeline.fleet.jobs import convert, evaluate, mine, replay  # noqa: E402
from fusion_pipeline.fleet.mining import Scene, mined  # noqa: E402
from fusion_pipeline.fleet.tables import join, read_rows, write_rows  # noqa: E402
from fusion_pipeline.logs.reader import open_log  # noqa: E402
from fusion_pipeline.logs.where import WhereError  # noqa: E402
from fusion_pipeline.metrics.likeness import compared  # noqa: E402


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("logs") / "street.mcap"
    command = [sys.executable, "-m", "fusion_pipeline.cli", "sim", "city_street", "--seconds", "1", "-o", str(path)]
    subprocess.run(command, check=True, capture_output=True, timeout=120)
    return path


def test_replay_in_one_process_gives_what_the_graph_of_processes_gives(log: Path, tmp_path: Path) -> None:
    rows = list(replay(Task(log, tmp_path)))
    lines = [json.loads(text) for text in (tmp_path / "sets.jsonl").read_text().splitlines()]
    assert len(rows) == sum(len(line["objects"]) + len(line["sounds"]) for line in lines)
    assert {"time_s", "label", "range_m", "track_id", "speed_mps"} <= set(rows[0])
    there = tmp_path / "there.jsonl"
    assert run(["replay", str(log), "--out", str(there), "--quiet"]) == 0
    exactly = dict.fromkeys(("center_m", "size_m", "yaw_rad", "velocity_mps", "score", "std", "attribution"), 0.0)
    found = compared(there, tmp_path / "sets.jsonl", exactly)
    assert found.same, list(found.lines())
    assert found.sets == len(lines) == 10


def test_mine_evaluate_convert(log: Path, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    near = list(mine(Task(log, tmp_path / "mine", {"where": "kind = 'box' and range_m < 15"})))
    assert near
    assert all(_number(row["range_m"]) < 15 for row in near)
    (tmp_path / "evaluate").mkdir()
    scores = {row["class"]: row for row in evaluate(Task(log, tmp_path / "evaluate", {}))}
    assert scores[""]["labelled"] == sum(_number(row["labelled"]) for name, row in scores.items() if name)
    assert 0.3 < _number(scores["car"]["recall"]) <= 1
    (row,) = convert(Task(log, tmp_path))
    assert open_log(tmp_path / str(row["file"])).topics == open_log(log).topics


def _number(value: object) -> float:
    assert isinstance(value, (int, float))
    return float(value)


def test_a_log_without_labels_cannot_be_evaluated(log: Path, tmp_path: Path) -> None:
    out = tmp_path / "bare.mcap"
    assert run(["log", "cut", str(log), str(out), "--end", "0.3", "--topic", "lidar/top"]) == 0
    with pytest.raises(FleetError, match="no labels"):
        list(evaluate(Task(out, tmp_path)))


def test_scenes_are_parted_by_pauses_and_come_with_their_cut(tmp_path: Path) -> None:
    def row(log: str, time_s: float, label: str, range_m: float | None) -> dict[str, Any]:
        return {"log": log, "time_s": time_s, "label": label, "range_m": range_m}

    rows = [row("b c.mcap", 7.0, "car", 3.0), row("a", 5.0, "car", 4.0), row("a", 1.5, "dog", 9.0),
            row("a", 1.0, "car", 8.0), row("a", 1.2, "car", 30.0), row("a", 1.1, "siren", None)]  # fmt: skip
    write_rows(tmp_path / "rows.parquet", rows)
    scenes = mined(tmp_path, "range_m < 10")
    assert scenes == [
        Scene("a", 1.0, 1.5, 2, 8.0, ("car", "dog")), Scene("a", 5.0, 5.0, 1, 4.0, ("car",)),
        Scene("b c.mcap", 7.0, 7.0, 1, 3.0, ("car",)),
    ]  # fmt: skip
    command = scenes[2].cut(tmp_path / "s.mcap", 8.0, 2.0)
    assert shlex.split(command)[:4] == ["fusion", "log", "cut", "b c.mcap"]
    assert shlex.split(command)[-4:] == ["--start", "0.00", "--end", "9.00"]
    assert scenes[0].cut(Path("s.mcap"), 0, 0).startswith("fusion log convert a a.mcap && fusion log cut a.mcap")
    with pytest.raises(WhereError, match="label"):
        mined(tmp_path, "lable = 'car'")
    with pytest.raises(FleetError, match="does not exist"):
        mined(tmp_path / "nothing", "range_m < 10")


def test_tables_of_different_columns_are_joined(tmp_path: Path) -> None:
    write_rows(tmp_path / "a.parquet", [{"x": 1, "y": None}, {"x": 2.5, "y": None}])
    write_rows(tmp_path / "b.parquet", [{"x": 3, "z": "t"}])
    write_rows(tmp_path / "c.parquet", [])
    assert join([tmp_path / f"{name}.parquet" for name in "abc"], tmp_path / "all.parquet") == 3
    assert list(read_rows(tmp_path / "all.parquet")) == [
        {"x": 1.0, "y": None, "z": None}, {"x": 2.5, "y": None, "z": None}, {"x": 3.0, "y": None, "z": "t"},
    ]  # fmt: skip
    with pytest.raises(FleetError, match="several kinds"):
        write_rows(tmp_path / "d.parquet", [{"x": 1}, {"x": "one"}])


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["replay", "--set", "modl=x"], "no option 'modl'"),
        (["replay", "--set", "model"], "write KEY=VALUE"),
        (["replay", "--set", "model=none.onnx"], "none.onnx does not exist"),
        (["convert", "--set", "a.b=1"], "no option 'a.b'"),
        (["mine"], "mine wants a condition"),
        (["mine", "--where", "lable = 1"], "did you mean 'label'"),
        (["replay", "--engine", "cloud"], "choose local or ray"),
        (["replay", "--address", "auto"], "belongs to --engine ray"),
        (["replay", "--engine", "ray", "--address", "127.0.0.1:1"], "nothing answers at 127.0.0.1:1"),
        (["repaly"], "choose one of replay, evaluate, mine, convert"),
    ],
)
def test_bad_options_are_told_in_a_line(
    arguments: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a.mcap").touch()
    assert run(["fleet", "run", *arguments, "--logs", str(tmp_path / "*.mcap"), "--out", str(tmp_path / "run")]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert said in error


def test_a_pattern_that_names_no_log(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["fleet", "run", "replay", "--logs", str(tmp_path / "*.mcap")]) == 2
    assert "no log is called so" in capsys.readouterr().err
