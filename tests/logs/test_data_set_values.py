"""Values of wrong type, sign, size and depth in the files of published data sets: one line, never another error."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from test_kitti_sequences import odometry, tracking
from test_nuscenes import scene

from fusion_pipeline.logs.reader import LogError, open_log

WRONG: tuple[Any, ...] = (
    None, True, -1, 3.5, 1e300, float("nan"), float("inf"), "", "x", [], [1], {}, [[]], 10**30, [None] * 3,
    [float("nan")] * 4, ["1", "2", "3"], [0, 0, 0, 0],
)  # fmt: skip


def survives(path: Path) -> str:
    """Open a log and read all of it; what it says if it refuses, in one line."""
    try:
        log = open_log(path)
        for message in log.messages():
            assert message.header.source
        for _ in log.labels():
            pass
    except LogError as error:
        said = str(error)
    else:
        said = ""
    assert "\n" not in said
    return said


def test_nuscenes_tables(tmp_path: Path) -> None:
    folder, rng, refusals = scene(tmp_path), random.Random(0), 0
    for file in sorted(folder.glob("*.json")):
        whole = file.read_text()
        keys = list(json.loads(whole)[0])
        for key in keys:
            for value in rng.sample(WRONG, 6):
                table = json.loads(whole)
                table[rng.randrange(len(table))][key] = value
                file.write_text(json.dumps(table))
                refusals += bool(survives(folder))
        for text in ("[" * 100_000, "[1]", "[[]]", '[{"token": ' + "9" * 5000 + "}]", "{}", "[null]", ""):
            file.write_text(text)
            said = survives(folder)
            assert said or text == "[null]" or file.stem not in ("scene", "sample"), text[:20]
        file.write_text(whole)
    assert refusals > 150
    assert survives(folder) == ""


@pytest.mark.parametrize("make", [tracking, odometry])
def test_kitti_files(tmp_path: Path, make: Any) -> None:
    root = make(tmp_path) if make is odometry else make(tmp_path / "training", 1) / "0000"
    rng, refusals = random.Random(0), 0
    files = list((root.parents[1] if make is odometry else root.parent).rglob("*.txt"))
    assert len(files) >= 3
    for file in files:
        whole = file.read_text()
        words = whole.split(" ")
        for wrong in ("nan", "1e300", "-1e999", "x", "", "\n", "\0", "[]", "-0", "9" * 400):
            for _ in range(6):
                at = rng.randrange(len(words))
                file.write_text(" ".join([*words[:at], wrong, *words[at + 1 :]]))
                refusals += bool(survives(root))
        file.write_text(whole)
    assert refusals > 20
    assert survives(root) == ""


def test_kitti_scans_with_points_that_are_no_numbers(tmp_path: Path) -> None:
    root = tracking(tmp_path / "training", 1)
    file = next((root / "velodyne" / "0000").glob("*.bin"))
    rows = np.fromfile(file, np.float32).reshape(-1, 4)
    rows[3, 0], rows[7, 3] = np.nan, np.inf
    rows.tofile(file)
    log = open_log(root / "0000")
    scans = list(log.messages(topics=("lidar/top",)))
    assert sorted(len(scan.xyz_m) for scan in scans) == [98, 100, 100]  # type: ignore[attr-defined]
    np.full_like(rows, np.nan).tofile(file)
    assert len(list(log.messages(topics=("lidar/top",)))) == 2
    assert log.refused == {("lidar/top", "file damaged: no point is a number"): 1}


def test_frames_keep_their_numbers_where_a_line_is_empty(tmp_path: Path) -> None:
    path = odometry(tmp_path)
    times = (path / "times.txt").read_text().split()
    whole = list(open_log(path).messages())
    (path / "times.txt").write_text("\n".join([times[0], "", *times[2:]]) + "\n")
    log = open_log(path)
    part = list(log.messages())
    for kind in ("lidar/top", "camera/front", "ego/oxts"):
        before = [m.header.arrival_ns for m in whole if m.header.source == kind]
        after = [m.header.arrival_ns for m in part if m.header.source == kind]
        assert after == [before[0], *before[2:]]
    assert all(reason == "file without a stamp" for _, reason in log.refused)
    assert log.refused
    root = tracking(tmp_path / "training", 1)
    file = root / "oxts" / "0000.txt"
    lines = file.read_text().splitlines()
    file.write_text("\n".join([lines[0], "", lines[2]]) + "\n")
    ego = [m.header.capture_ns for m in open_log(root / "0000").messages(topics=("ego/oxts",))]
    assert np.diff(ego).tolist() == [2 * 103_100_000]


def test_argoverse_tables(tmp_path: Path) -> None:
    feather = pytest.importorskip("pyarrow.feather")
    import pyarrow as pa
    from test_argoverse2 import log_folder

    root, rng = log_folder(tmp_path / "02678d04"), random.Random(0)
    assert survives(root) == ""
    refusals = 0
    for file in sorted(root.rglob("*.feather")):
        whole = file.read_bytes()
        table = feather.read_table(file)
        names = table.column_names
        del table
        for name in names:
            for value in (float("nan"), 1e300, -5.0, "x", None):
                file.write_bytes(whole)
                columns = feather.read_table(file, memory_map=False).to_pydict()
                rows = columns[name]
                at = rng.randrange(len(rows))
                if isinstance(value, str) or value is None or isinstance(rows[0], str):
                    columns[name] = [value] * len(rows)
                else:
                    columns[name] = [float(v) for v in rows]
                    columns[name][at] = value
                feather.write_feather(pa.table(columns), str(file))
                refusals += bool(survives(root))
        file.write_bytes(whole)
    assert refusals > 30
    assert survives(root) == ""
