"""Fleets: two workers of Ray against one, and what a killed worker costs."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory

from fusion_pipeline.bench.replay import fusion
from fusion_pipeline.bench.report import Figure
from fusion_pipeline.fleet.folder import DONE, Entry, RunFolder
from fusion_pipeline.fleet.job import Row, Task
from fusion_pipeline.fleet.jobs import replay
from fusion_pipeline.fleet.run import engine_of
from fusion_pipeline.fleet.run import run as run_fleet
from fusion_pipeline.manifest import CPU_MODEL, SHIPPED

JOB = "fusion_pipeline.bench.fleet:watched"
PID = "pid"
PATIENCE_S = 600.0


@dataclass(frozen=True, slots=True)
class Done:
    """A run that is over."""

    seconds: float  # without the start of the engine
    entries: tuple[Entry, ...]
    killed: str = ""  # name of the log whose worker was killed

    @property
    def own_s(self) -> float:
        """Mean time of a log."""
        return sum(entry.seconds for entry in self.entries) / max(len(self.entries), 1)


def run(quick: bool = False) -> tuple[Figure, ...]:
    """Sixteen logs (four with `quick`) through the whole graph, by one worker and by two; then with one killed."""
    if find_spec("ray") is None:
        note = "ray is not installed; pip install 'fusion-pipeline[fleet]'"
        return (Figure("Ray, two workers against one (skipped)", 0.0, "", note=note),)
    with TemporaryDirectory(prefix="fusion-bench-") as name:
        folder = Path(name)
        logs = _logs(folder, 4 if quick else 16, 0.3 if quick else 3.0)
        # A network that takes most of the time, as in use; the small one where only the parts are to be tried.
        model = SHIPPED / "lidar_bev.onnx" if quick else CPU_MODEL
        (folder / "warm").mkdir()
        list(
            replay(Task(logs[0], folder / "warm", {"model": str(model)}))
        )  # files are in the cache for all that follows
        killed = (figure for engine in ("ray", "local") for figure in _killed(folder, logs, engine, model))
        return (*_speed(folder, logs, model), *killed)


def watched(task: Task) -> Iterator[Row]:
    """The job `replay`, which first says which process does it."""
    (task.folder / PID).write_text(str(os.getpid()))
    yield from replay(task)


def _logs(folder: Path, count: int, seconds: float) -> list[Path]:
    first = folder / "log00.mcap"
    fusion("sim", "city_street", "--seconds", str(seconds), "-o", str(first))
    others = [folder / f"log{number:02d}.mcap" for number in range(1, count)]
    for other in others:
        other.hardlink_to(first)
    return [first, *others]


def _speed(folder: Path, logs: list[Path], model: Path) -> Iterator[Figure]:
    one = _run(folder / "one", logs, "ray", 1, model)
    two = _run(folder / "two", logs, "ray", 2, model)
    gain = one.seconds / two.seconds
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    note = f"{one.seconds:.1f} s and {two.seconds:.1f} s; {cores} cores; each log {one.own_s:.1f} s alone"
    yield Figure(f"Ray, {len(logs)} logs replayed: two workers against one", gain, "x", ">= 1.7", gain >= 1.7,
                 1.0, "one worker", note)  # fmt: skip


def _killed(folder: Path, logs: list[Path], engine: str, model: Path) -> Iterator[Figure]:
    done = _run(folder / f"killed-{engine}", logs, engine, 2, model, kill=True)
    finished = sum(entry.status == DONE for entry in done.entries)
    again = [entry for entry in done.entries if entry.attempts > 1]
    wasted = sum(entry.wasted_s for entry in done.entries)
    only = [entry.name for entry in again] == [done.killed]
    what = f"{engine}, kill -9 of a worker at its log"
    yield Figure(f"{what}: logs done", finished, f"of {len(logs)}", str(len(logs)), finished == len(logs))
    yield Figure(f"{what}: logs begun again", len(again), "", "1, the killed worker's", only)
    # An attempt that was cut off lasted no longer than a whole one, but for what is different from run to run.
    most = 2 * max(entry.seconds for entry in done.entries)
    yield Figure(f"{what}: time done twice", wasted, "s", "<= that log's", wasted <= most, done.own_s,
                 "one log")  # fmt: skip


def _run(out: Path, logs: list[Path], engine: str, workers: int, model: Path, kill: bool = False) -> Done:
    folder = RunFolder(out, JOB, {"model": str(model)}, logs)
    made = engine_of(engine, folder, workers)
    killed: list[str] = []
    killer = threading.Thread(target=_kill_one, args=(out, killed), daemon=True)
    if kill:
        killer.start()
    began = time.perf_counter()
    run_fleet(folder, made, retries=1)
    seconds = time.perf_counter() - began
    if kill:
        killer.join(PATIENCE_S)
    return Done(seconds, tuple(folder.entries.values()), killed[0] if killed else "")


def _kill_one(out: Path, killed: list[str]) -> None:
    """Once a log is done, kill the worker that is at another."""
    until = time.monotonic() + PATIENCE_S
    while time.monotonic() < until:
        if list(out.glob("logs/*")):
            for path in sorted(out.glob(f"work/*/{PID}")):
                text = path.read_text() if path.exists() else ""
                if text.isdigit() and path.exists():
                    os.kill(int(text), signal.SIGKILL)
                    killed.append(path.parent.name.rpartition("-")[0])
                    return
        time.sleep(0.02)
