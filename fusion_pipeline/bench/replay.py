"""Logs: the same lines at any rate, after seeks, over loops and under any load; damage; how fast reading is."""

from __future__ import annotations

import contextlib
import hashlib
import json
import multiprocessing
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from fusion_pipeline.bench.replay_damage import damage_figures
from fusion_pipeline.bench.replay_large import large_figures
from fusion_pipeline.bench.replay_reading import reading_figures
from fusion_pipeline.bench.report import Figure
from fusion_pipeline.clock import seconds_to_ns
from fusion_pipeline.logs.reader import open_log

SCENARIO, SECONDS = "city_street", 4.0
PATIENCE_S = 600.0
Row = dict[str, Any]


def run(quick: bool = False) -> tuple[Figure, ...]:
    """All of it, on a simulated log; drives and loops are shorter with `quick`."""
    with TemporaryDirectory(prefix="fusion-bench-") as folder:
        log = Path(folder) / "street.mcap"
        fusion("sim", SCENARIO, "--seconds", str(SECONDS / 4 if quick else SECONDS), "-o", str(log))
        return (
            *same_figures(log, quick),
            *reading_figures(log, quick),
            *damage_figures(Path(folder), 200 if quick else 10_000),
            *large_figures(log, Path(folder), 0.3 if quick else 10.0),
        )


class CommandError(RuntimeError):
    """A command of this program that failed while it was measured; the message has its last words."""


def fusion(*arguments: str) -> str:
    """Run the command and return what it printed. Raises CommandError."""
    command = [sys.executable, "-m", "fusion_pipeline.cli", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S)
    if done.returncode:
        said = done.stderr.strip().splitlines()[-1:]
        raise CommandError(f"`fusion {' '.join(arguments)}` failed: {' '.join(said) or done.returncode}")
    return done.stdout


def same_figures(log: Path, quick: bool) -> Iterator[Figure]:
    """The real graph of processes, again and again."""
    runs = _Runs(log)
    whole = runs.lines("--rate", "max")
    outputs = {"max": whole, "1 x": runs.lines("--rate", "1"), **_loaded(runs, (1,) if quick else (1, 2, 4))}
    outputs["one core for all"] = runs.lines("--cpus", "0")
    if len(_cores()) > 1:
        outputs["pinned to two cores in turn"] = runs.lines("--cpus", ",".join(map(str, _cores()[:2])))
    if not quick:
        outputs["0.25 x"] = runs.lines("--rate", "0.25")
    yield _differing("different outputs of replays of the whole graph", outputs, whole)

    loops = 3 if quick else 20
    laps = runs.lines("--loops", str(loops))
    parts = {str(k): laps[k * len(whole) : (k + 1) * len(whole)] for k in range(loops)}
    wrong = sum(_digest(part) != _digest(whole) for part in parts.values()) + (len(laps) != loops * len(whole))
    yield Figure(f"loops of {loops} that differ from a single replay", wrong, "", "0", wrong == 0)

    middle_s = round(runs.seconds / 2, 3)
    since = [row for row in whole if row["stamp_ns"] >= runs.start_ns + seconds_to_ns(middle_s)]
    sought = {
        "--start": runs.lines("--start", str(middle_s), "--warm-up", "all"),
        "--start at 1 x": runs.lines("--start", str(middle_s), "--warm-up", "all", "--rate", "1"),
        "sought from another process": runs.after_seek(middle_s),
    }
    yield _differing(f"outputs after a seek to {middle_s:g} s that differ from the whole's there", sought, since)
    cold = {
        "--start": runs.lines("--start", str(middle_s)),
        "--start under load": _loaded(runs, (2,), "--start", str(middle_s))["under load 2"],
    }
    yield _differing("the same with 2 s of warm-up: outputs that differ from each other", cold, cold["--start"])


class _Runs:
    """Replays of one log; their lines without the times that stages took."""

    def __init__(self, log: Path) -> None:
        self._log, self._out = log, log.with_suffix(".jsonl")
        opened = open_log(log)
        self.start_ns, self.seconds = opened.start_ns, (opened.end_ns - opened.start_ns) / 1e9

    def lines(self, *options: str) -> list[Row]:
        fusion("replay", str(self._log), "--out", str(self._out), "--quiet", *options)
        return rows_of(self._out)

    def after_seek(self, to_s: float) -> list[Row]:
        """Begun paused, sought from another process, then played."""
        command = [sys.executable, "-m", "fusion_pipeline.cli", "replay", str(self._log), "--out", str(self._out),
                   "--quiet", "--paused", "--warm-up", "all"]  # fmt: skip
        with subprocess.Popen(command) as running:
            try:
                until = time.monotonic() + PATIENCE_S
                for words in (("seek", str(to_s)), ("resume",)):
                    while not self._told(running.pid, *words) and time.monotonic() < until:
                        time.sleep(0.2)  # it may still be starting
                running.wait(PATIENCE_S)
            finally:
                running.kill()
        return rows_of(self._out)

    @staticmethod
    def _told(pid: int, *words: str) -> bool:
        with contextlib.suppress(CommandError):
            fusion("player", *words, "--graph", str(pid))
            return True
        return False


def rows_of(path: Path) -> list[Row]:
    """The lines of a result file without the times that stages took."""
    rows = [json.loads(text) for text in path.read_text(encoding="utf-8").splitlines()]
    return [{key: value for key, value in row.items() if key != "hops"} for row in rows]


def _digest(rows: list[Row]) -> str:
    return hashlib.sha256("\n".join(json.dumps(row, sort_keys=True) for row in rows).encode()).hexdigest()


def _differing(what: str, outputs: dict[str, list[Row]], wanted: list[Row]) -> Figure:
    wrong = [name for name, rows in outputs.items() if _digest(rows) != _digest(wanted)]
    said = f"; not the same: {', '.join(wrong)}" if wrong else ""
    note = f"{len(wanted)} sets, sha256 {_digest(wanted)[:12]}; {', '.join(outputs)}{said}"
    return Figure(what, len(wrong), f"of {len(outputs)}", "0", not wrong and bool(wanted), note=note)


def _loaded(runs: _Runs, loads: tuple[int, ...], *options: str) -> dict[str, list[Row]]:
    found = {}
    for busy in loads:
        with _load(busy):
            found[f"under load {busy}"] = runs.lines(*options)
    return found


def _cores() -> list[int]:
    return sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []


@contextlib.contextmanager
def _load(busy: int) -> Iterator[None]:
    """So many processes that do nothing but compute."""
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=_spin, daemon=True) for _ in range(busy)]
    for worker in workers:
        worker.start()
    try:
        yield
    finally:
        for worker in workers:
            worker.kill()
            worker.join()


def _spin() -> None:
    until = time.monotonic() + PATIENCE_S
    while time.monotonic() < until:
        pass
