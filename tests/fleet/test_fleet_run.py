"""Runs of a fleet: resumed, with logs that fail and workers that die, on this machine and on Ray."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest
from fleet_samples import fleet_of

pq = pytest.importorskip("pyarrow.parquet", reason="pyarrow is not installed: pip install 'fusion-pipeline[fleet]'")

from fusion_pipeline.fleet.folder import RunFolder, state_of  # noqa: E402
from fusion_pipeline.fleet.job import FleetError, job_of  # noqa: E402
from fusion_pipeline.fleet.local import LocalEngine  # noqa: E402
from fusion_pipeline.fleet.run import Report, engine_of, run  # noqa: E402

JOB = "fleet_samples:count"


@pytest.fixture(autouse=True)
def _importable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent))


@pytest.fixture(params=["local", "ray"])
def do(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Callable[..., Report]]:
    """A run with two workers."""
    if request.param == "ray":
        pytest.importorskip("ray", reason="ray is not installed: pip install 'fusion-pipeline[fleet]'")
    before = set(Path("/dev/shm").glob("plasma*")) if Path("/dev/shm").is_dir() else set()

    def runner(out: Path, logs: list[Path], retries: int = 1) -> Report:
        folder = RunFolder(out, JOB, {"markers": str(tmp_path)}, logs)
        return run(folder, engine_of(request.param, folder, 2), retries)

    yield runner
    assert set(Path("/dev/shm").glob("plasma*")) <= before


def test_a_log_that_fails_or_kills_its_worker_costs_itself_alone(do: Callable[..., Report], tmp_path: Path) -> None:
    logs = fleet_of(tmp_path / "logs", a="one", b="fail", c="die", d="die-once", e="three", f="sixty")
    out = tmp_path / "run"
    report = do(out, logs)
    assert report.done == 4
    assert {Path(entry.log).name for entry in report.failed} == {"b.log", "c.log"}
    state = {Path(entry.log).name: entry for entry in state_of(out)}
    assert [state[f"{name}.log"].attempts for name in "abcdef"] == [1, 2, 2, 2, 1, 1]
    assert "no wheels" in state["b.log"].error
    assert "no wheels" in (out / "failed" / f"{state['b.log'].name}.txt").read_text()
    assert "killed" in state["c.log"].error or "lost" in state["c.log"].error
    rows = pq.read_table(out / "rows.parquet").to_pylist()
    assert len(rows) == report.rows == len("one") + len("die-once") + len("three") + len("sixty")
    assert {Path(row["log"]).name for row in rows} == {"a.log", "d.log", "e.log", "f.log"}
    assert not (out / "work").exists()
    # What was done stays; the failed are tried again, and one of them has been mended.
    logs[1].write_text("mended")
    done_at = {entry.name: (out / "logs" / entry.name / "result.json").stat().st_mtime_ns for entry in state.values()
               if entry.status == "done"}  # fmt: skip
    again = do(out, logs, retries=0)
    assert [Path(entry.log).name for entry in again.failed] == ["c.log"]
    assert again.rows == report.rows + len("mended")
    assert all((out / "logs" / name / "result.json").stat().st_mtime_ns == at for name, at in done_at.items())


def test_a_log_that_takes_too_long_is_given_up(tmp_path: Path) -> None:
    logs = fleet_of(tmp_path / "logs", a="one", b="sleep 60")
    folder = RunFolder(tmp_path / "run", JOB, {}, logs)
    report = run(folder, LocalEngine(2, folder.path, limit_s=3.0), retries=0)
    assert report.done == 1
    assert "longer than 3 s" in report.failed[0].error


def test_a_changed_log_is_done_again(tmp_path: Path) -> None:
    logs = fleet_of(tmp_path / "logs", a="one", b="two")
    out = tmp_path / "run"
    run(RunFolder(out, JOB, {}, logs), LocalEngine(1, out), 0)
    logs[0].write_text("longer")
    assert [Path(entry.log).name for entry in RunFolder(out, JOB, {}, logs).pending] == ["a.log"]


def test_another_run_is_refused(tmp_path: Path) -> None:
    logs = fleet_of(tmp_path / "logs", a="one")
    RunFolder(tmp_path / "run", JOB, {}, logs)
    with pytest.raises(FleetError, match="holds another run"):
        RunFolder(tmp_path / "run", "convert", {}, logs)
    with pytest.raises(FleetError, match="holds another run"):
        RunFolder(tmp_path / "run", JOB, {"a": "b"}, logs)
    with pytest.raises(FleetError, match="not empty and no run"):
        RunFolder(tmp_path / "logs", JOB, {}, logs)
    with pytest.raises(FleetError, match="no log"):
        RunFolder(tmp_path / "run2", JOB, {}, [])


@pytest.mark.parametrize("name", ["repaly", "no_such_module:count", "fleet_samples:nothing", "os:sep"])
def test_jobs_that_are_none_are_refused(name: str) -> None:
    with pytest.raises(FleetError, match="job"):
        job_of(name)


def test_a_killed_driver_leaves_nothing_and_is_gone_on_with(tmp_path: Path) -> None:
    texts = {f"l{number}": "sleep 1" for number in range(4)}
    logs = fleet_of(tmp_path / "logs", **texts)
    out = tmp_path / "run"
    command = [sys.executable, "-m", "fusion_pipeline.cli", "fleet", "run", JOB, "--logs", str(tmp_path / "logs/*.log"),
               "--out", str(out), "--workers", "1"]  # fmt: skip
    driver = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    until = time.monotonic() + 60
    while not list(out.glob("logs/*/result.json")) and time.monotonic() < until:
        time.sleep(0.05)
    driver.kill()
    driver.wait()
    done = {path.parent.name for path in out.glob("logs/*/result.json")}
    assert 1 <= len(done) < len(logs)
    pids = {path: json.loads(path.read_text())["pid"] for path in out.glob("logs/*/result.json")}
    for pid in set(pids.values()):
        while time.monotonic() < until and _alive(pid):
            time.sleep(0.05)
        assert not _alive(pid)
    ended = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert ended.returncode == 0, ended.stderr
    assert "going on" in ended.stdout
    assert "4 of 4 logs done" in ended.stdout
    assert {path: json.loads(path.read_text())["pid"] for path in pids} == pids  # not done again


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"


def test_interrupted_with_ctrl_c(tmp_path: Path) -> None:
    fleet_of(tmp_path / "logs", a="sleep 60")
    out = tmp_path / "run"
    command = [sys.executable, "-m", "fusion_pipeline.cli", "fleet", "run", JOB, "--logs", str(tmp_path / "logs/*.log"),
               "--out", str(out)]  # fmt: skip
    # A shell that runs tests in the background has children ignore Ctrl-C; this one must hear it.
    heeds = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
    driver = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, preexec_fn=heeds)
    until = time.monotonic() + 60
    while not list(out.glob("work/*/note.txt")) and time.monotonic() < until:
        time.sleep(0.05)
    driver.send_signal(signal.SIGINT)
    _, said = driver.communicate(timeout=30)
    assert driver.returncode == 130
    assert "Traceback" not in said
    assert [entry.status for entry in state_of(out)] == ["waiting"]
