"""A replay seen from another process: ages on its log's clock, and what it leaves behind."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from replay_samples import write_log

from fusion_pipeline.cli.dispatch import run
from fusion_pipeline.rundir import running_graphs

LIMIT_S = 120.0


@pytest.fixture
def replay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[subprocess.Popen[bytes]]:
    """Recorded detections into the tracker, round and round at real time, with folders of its own."""
    folder = tempfile.mkdtemp()  # a short path: those of sockets may have 107 bytes
    for name in ("TMPDIR", "XDG_RUNTIME_DIR"):
        monkeypatch.setenv(name, folder)
    monkeypatch.setattr(tempfile, "tempdir", folder)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    log = write_log(tmp_path / "small.mcap")
    command = [sys.executable, "-m", "fusion_pipeline.cli", "replay", str(log), "--from", "detections", "--quiet"]
    process = subprocess.Popen([*command, "--loops", "0", "--rate", "1"], start_new_session=True)
    try:
        yield process
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        shutil.rmtree(folder, ignore_errors=True)


def test_ages_are_those_of_the_log_and_the_summary_stays(
    replay: subprocess.Popen[bytes], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    until = time.monotonic() + LIMIT_S
    said = ""
    while "Hz" not in said and time.monotonic() < until and replay.poll() is None:
        if any(graph.pid == replay.pid for graph in running_graphs()):
            run(["topic", "hz", "detections", "--for", "4", "--graph", str(replay.pid)])
            said = capsys.readouterr().out
        time.sleep(0.1)
    ages = {float(age) for age in re.findall(r"age on arrival by the log p50 ([\d.]+) ms", said)}
    assert ages == {90.0}, said  # as recorded, in years past
    os.kill(replay.pid, signal.SIGINT)
    assert replay.wait(LIMIT_S) == 0
    (summary,) = (tmp_path / "state").rglob("summary.json")
    table = json.loads(summary.read_text(encoding="utf-8"))
    assert table["name"] == "replay"
    assert table["sets"] > 0
    assert all(row["max_ms"] < 1000 * LIMIT_S for row in table["latency_ms"]), "wall clock less log clock"
    assert any(row["stage"].startswith("tracker/") for row in table["latency_ms"])
