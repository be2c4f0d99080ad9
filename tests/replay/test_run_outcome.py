"""A run that did not make what was asked for says so, in one line and by its exit code."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from replay_samples import write_log

from fusion_pipeline.logs.files import FileLog, Item
from fusion_pipeline.output_file import partial_files
from fusion_pipeline.rig import Rig
from fusion_pipeline.supervisor import run as run_supervisor

LIMIT_S = 150.0
EARLIER = '{"of": "an earlier run"}\n'


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_log(tmp_path_factory.mktemp("log") / "small.mcap")


def replay(log: Path, out: Path, *options: str) -> subprocess.Popen[str]:
    """Recorded detections into the tracker: no network, so that it starts soon."""
    command = [sys.executable, "-m", "fusion_pipeline.cli", "replay", str(log), "--from", "detections", "--quiet"]
    return subprocess.Popen(
        [*command, "--out", str(out), *options], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        start_new_session=True, preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )  # fmt: skip


def ended(process: subprocess.Popen[str], code: int) -> str:
    """What it said; one line, no traceback."""
    said, _ = process.communicate(timeout=LIMIT_S)
    assert process.returncode == code, said
    assert "Traceback" not in said
    assert len(said.strip().splitlines()) <= 1, said
    return said


def interrupted(process: subprocess.Popen[str], out: Path, partial: bool) -> None:
    """Send Ctrl-C to the whole group, as a terminal does, when some lines are written."""
    until = time.monotonic() + LIMIT_S
    while time.monotonic() < until and process.poll() is None:
        files = partial_files(out) if partial else [out]
        if files and files[0].exists() and files[0].stat().st_size:
            break
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGINT)


def test_a_full_disk_ends_a_replay_with_one_line(log: Path) -> None:
    said = ended(replay(log, Path("/dev/full")), 2)
    assert "cannot write /dev/full" in said
    assert "No space left" in said


def test_ctrl_c_keeps_whole_lines_under_a_partial_name_and_the_earlier_results(log: Path, tmp_path: Path) -> None:
    out = tmp_path / "sets.jsonl"
    out.write_text(EARLIER)
    process = replay(log, out, "--rate", "0.2")
    interrupted(process, out, partial=True)
    said = ended(process, 130)
    assert out.read_text() == EARLIER
    (partial,) = partial_files(out)
    assert str(partial) in said
    text = partial.read_text()
    assert text.endswith("\n")
    assert all("stamp_ns" in json.loads(line) for line in text.splitlines())


def test_ctrl_c_is_the_end_of_a_replay_without_one(log: Path, tmp_path: Path) -> None:
    out = tmp_path / "sets.jsonl"
    process = replay(log, out, "--loops", "0", "--rate", "5")
    interrupted(process, out, partial=True)
    ended(process, 0)
    assert partial_files(out) == []
    assert out.read_text().endswith("\n")


def test_results_without_a_set_are_no_success(log: Path, tmp_path: Path) -> None:
    said = ended(replay(log, tmp_path / "sets.jsonl", "--end", "0.001"), 4)
    assert "0 sets" in said


class Slow:
    """A graph that is ready after half a second."""

    def __init__(self) -> None:
        self.began = time.monotonic()
        self.ended = self.stop_asked = False

    @property
    def ready(self) -> bool:
        return time.monotonic() - self.began > 0.5

    def poll(self, timeout_s: float) -> Iterator[Any]:
        time.sleep(min(timeout_s, 0.05))
        yield from ()


def test_the_time_of_a_run_counts_from_ready() -> None:
    graph: Any = Slow()
    run_supervisor(graph, 0.2, lambda message: None, lambda: None)
    assert graph.ready, "it ended before it had begun"


def test_frames_of_different_scenes_are_apart() -> None:
    def log_of(step_ns: int) -> FileLog:
        items = [Item(k * step_ns, "lidar/top", lambda: None) for k in range(5)]  # type: ignore[arg-type,return-value]
        return FileLog(Path("x"), Rig("x"), items)

    assert np.isclose(log_of(1_000_000_000).apart_s(0.8), 1.0)
    assert log_of(500_000_000).apart_s(0.8) == 0.0
