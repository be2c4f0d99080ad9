"""The folder of a run: what was asked, how far each log has come, and where the results are.

run.json        job, options and logs, as first asked
state.json      of each log: waiting, running, done or failed; attempts, seconds, the error
logs/NAME/      of each finished log: result.json, rows.parquet, and what the job wrote
failed/NAME.txt the traceback of a log's last failure
rows.parquet    the rows of all logs; summary.parquet has a row for each log
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from fusion_pipeline.fleet.job import RESULT, ROWS, FleetError, Order
from fusion_pipeline.fleet.tables import join, write_rows

WAITING, RUNNING, DONE, FAILED = "waiting", "running", "done", "failed"


@dataclass(slots=True)
class Entry:
    """One log of a run."""

    name: str
    log: str
    status: str = WAITING
    attempts: int = 0
    rows: int = 0
    seconds: float = 0.0  # of the attempt that succeeded
    wasted_s: float = 0.0  # of those that did not
    error: str = ""


class RunFolder:
    """A run that is begun, or gone on with."""

    def __init__(self, path: Path, job: str, options: Mapping[str, str], logs: Iterable[Path]) -> None:
        """Create `path`, or look how far it has come. Raises FleetError where it holds another run."""
        self.path, self.job, self.options = path, job, dict(options)
        found = sorted({log.resolve() for log in logs})
        if not found:
            raise FleetError("the run has no log; check the pattern of --logs, in quotes")
        self.entries = {name: Entry(name, str(log)) for log in found for name in (_name(log),)}
        asked = {"job": job, "options": self.options}
        try:
            path.mkdir(parents=True, exist_ok=True)
            before = _json(path / "run.json")
            if before is not None and {key: before.get(key) for key in asked} != asked:
                raise FleetError(
                    f"{path} holds another run ({before.get('job')} {_options(before)}); choose another --out, or "
                    "delete it"
                )
            if before is None and any(path.iterdir()):
                raise FleetError(f"{path} is not empty and no run; choose another --out")
            _write(path / "run.json", {**asked, "logs": [str(log) for log in found]})
            shutil.rmtree(path / "work", ignore_errors=True)  # of a run that was cut off
        except OSError as error:
            raise FleetError(f"cannot write {path}: {error.strerror}; choose another --out") from error
        self._resume()

    @property
    def pending(self) -> list[Entry]:
        """What is still to do; the failed are tried again."""
        return [entry for entry in self.entries.values() if entry.status != DONE]

    def order(self, entry: Entry, attempt: int) -> Order:
        """The attempt at a log, in a folder of its own."""
        work = self.path / "work" / f"{entry.name}-{entry.attempts}"
        return Order(
            entry.name, self.job, Path(entry.log), work, self.path / "logs" / entry.name, self.options, attempt
        )

    def save(self) -> None:
        """Write state.json, whole or not at all."""
        _write(self.path / "state.json", {"logs": [asdict(entry) for entry in self.entries.values()]})

    def note_failure(self, entry: Entry, trace: str) -> None:
        """Keep the traceback of a failure."""
        (self.path / "failed").mkdir(exist_ok=True)
        (self.path / "failed" / f"{entry.name}.txt").write_text(trace, encoding="utf-8")

    def finish(self) -> int:
        """Write the tables of all logs; returns how many rows there are."""
        shutil.rmtree(self.path / "work", ignore_errors=True)
        write_rows(self.path / "summary.parquet", [asdict(entry) for entry in self.entries.values()])
        done = [entry for entry in self.entries.values() if entry.status == DONE]
        return join((self.path / "logs" / entry.name / ROWS for entry in done), self.path / "rows.parquet")

    def _resume(self) -> None:
        """A log counts as done where its result is there and it has not changed since."""
        known = {field.name for field in fields(Entry)}
        for row in (_json(self.path / "state.json") or {}).get("logs", []):
            entry = self.entries.get(row.get("name", ""))
            if entry is not None:
                for key, value in row.items():
                    if key in known and key != "log":
                        setattr(entry, key, value)
        for entry in self.entries.values():
            result = _json(self.path / "logs" / entry.name / RESULT)
            if result is not None and _unchanged(Path(entry.log), result):
                entry.status, entry.rows, entry.seconds = DONE, int(result["rows"]), float(result["seconds"])
                entry.error = ""
            else:
                entry.status = WAITING


def state_of(path: Path) -> list[Entry]:
    """How far the logs of a run have come, without touching it. Raises FleetError."""
    state = _json(path / "state.json")
    if state is None:
        raise FleetError(f"{path} is no run of `fusion fleet`; it has no state.json")
    return [Entry(**row) for row in state["logs"]]


def _name(log: Path) -> str:
    """A file name for a log, one of its own even where two logs have the same."""
    kept = "".join(c if c.isalnum() or c in "-_" else "_" for c in log.stem)[:60]
    return f"{kept}-{hashlib.sha256(str(log).encode()).hexdigest()[:6]}"


def _unchanged(log: Path, result: Mapping[str, Any]) -> bool:
    try:
        stat = log.stat()
    except OSError:
        return True  # it was there when it was done
    return (stat.st_size, stat.st_mtime_ns) == (result.get("bytes"), result.get("modified_ns"))


def _options(run: Mapping[str, Any]) -> str:
    return " ".join(f"{key}={value}" for key, value in run.get("options", {}).items()) or "without options"


def _json(path: Path) -> dict[str, Any] | None:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise FleetError(f"{path} cannot be read: {error}; delete it to begin anew") from error
    return found if isinstance(found, dict) else {}


def _write(path: Path, table: Mapping[str, Any]) -> None:
    part = path.with_name(f".{path.name}.part")
    part.write_text(json.dumps(table, indent=1) + "\n", encoding="utf-8")
    part.replace(path)
