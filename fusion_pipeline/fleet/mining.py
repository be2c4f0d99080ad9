"""Scenes that fulfil a condition, found in the tables of a run: log, time, and the command that cuts them out."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fusion_pipeline.fleet.job import FleetError
from fusion_pipeline.fleet.tables import columns_of, read_rows
from fusion_pipeline.logs.where import parse_where

TABLE = "rows.parquet"


@dataclass(frozen=True, slots=True)
class Scene:
    """Rows of one log that fulfil a condition, with no longer pause between them than asked for."""

    log: str
    from_s: float  # after the log's first message
    until_s: float
    rows: int
    nearest_m: float | None
    labels: tuple[str, ...]

    def cut(self, out: Path, before_s: float, after_s: float) -> str:
        """The command that cuts the scene out of its log."""
        start, end = max(0.0, self.from_s - before_s), self.until_s + after_s
        part = ["--start", f"{start:.2f}", "--end", f"{end:.2f}"]
        if self.log.endswith(".mcap"):
            return shlex.join(["fusion", "log", "cut", self.log, str(out), *part])
        whole = f"{Path(self.log).name}.mcap"  # only MCAP is cut
        convert = shlex.join(["fusion", "log", "convert", self.log, whole])
        return f"{convert} && {shlex.join(['fusion', 'log', 'cut', whole, str(out), *part])}"


def mined(run: Path, where: str, gap_s: float = 1.0) -> list[Scene]:
    """The scenes of a run, by log and time. Raises FleetError or WhereError."""
    table = run / TABLE if run.is_dir() else run
    if not table.is_file():
        raise FleetError(f"{table} does not exist; `fusion fleet run` writes it when all logs are done")
    columns = columns_of(table)
    if "time_s" not in columns:
        raise FleetError(f"{table} has no times to find; run the job replay or mine (it has {', '.join(columns)})")
    condition = parse_where(where, columns)
    by_log: dict[str, list[dict[str, Any]]] = {}
    for row in read_rows(table):
        if condition(row):
            by_log.setdefault(str(row["log"]), []).append(
                {name: row.get(name) for name in ("time_s", "range_m", "label")}
            )
    return [scene for log in sorted(by_log) for scene in _scenes(log, by_log[log], gap_s)]


def _scenes(log: str, rows: Iterable[dict[str, Any]], gap_s: float) -> Iterator[Scene]:
    part: list[dict[str, Any]] = []
    for row in sorted(rows, key=lambda row: float(row["time_s"])):
        if part and row["time_s"] - part[-1]["time_s"] > gap_s:
            yield _scene(log, part)
            part = []
        part.append(row)
    if part:
        yield _scene(log, part)


def _scene(log: str, rows: list[dict[str, Any]]) -> Scene:
    ranges = [row["range_m"] for row in rows if row["range_m"] is not None]
    labels = tuple(sorted({str(row["label"]) for row in rows if row["label"] is not None}))
    return Scene(log, rows[0]["time_s"], rows[-1]["time_s"], len(rows), min(ranges, default=None), labels)
