"""What is done with one log of a fleet."""

from __future__ import annotations

import importlib
import inspect
import json
import os
import shutil
import socket
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

Row = Mapping[str, object]
RESULT, ROWS = "result.json", "rows.parquet"
JOBS = {
    "replay": "fusion_pipeline.fleet.jobs:replay",
    "evaluate": "fusion_pipeline.fleet.jobs:evaluate",
    "mine": "fusion_pipeline.fleet.jobs:mine",
    "convert": "fusion_pipeline.fleet.jobs:convert",
}


class FleetError(ValueError):
    """A fleet that cannot run as asked; the message says what is wrong and what to do."""


@dataclass(frozen=True, slots=True)
class Task:
    """One log for a job. Files that the job writes into `folder` are kept beside its rows."""

    log: Path
    folder: Path
    options: Mapping[str, str] = field(default_factory=dict)

    def option(self, name: str, default: str) -> str:
        """The text of `--set name=...`."""
        return self.options.get(name, default)


Job = Callable[[Task], Iterable[Row]]


@dataclass(frozen=True, slots=True)
class Order:
    """One attempt at one log; travels to a worker. Folders must be reachable from there by the same paths."""

    name: str  # of the log within the run
    job: str
    log: Path
    work: Path  # the attempt's own folder
    final: Path  # where `work` is put when all is well
    options: Mapping[str, str] = field(default_factory=dict)
    attempt: int = 1


def job_of(name: str) -> Job:
    """One of JOBS, or "module:function" of the user's own. Raises FleetError."""
    module, colon, function = JOBS.get(name, name).partition(":")
    if not colon:
        raise FleetError(f"job {name!r}: choose one of {', '.join(JOBS)}, or write module:function of your own")
    try:
        found = getattr(importlib.import_module(module), function)
    except (ImportError, AttributeError) as error:
        raise FleetError(f"job {name!r} cannot be imported: {error}") from error
    if not callable(found) or not inspect.signature(found).parameters:
        raise FleetError(f"job {name!r} is no function of a Task")
    job: Job = found
    return job


def carry_out(order: Order) -> dict[str, object]:
    """Do the job, write rows and result, put the folder in its place. Returns the result; raises what the job raises.

    The folder appears whole or not at all, so that a killed worker leaves nothing that looks finished.
    """
    from fusion_pipeline.fleet.tables import write_rows

    began = time.monotonic()
    shutil.rmtree(order.work, ignore_errors=True)
    order.work.mkdir(parents=True)
    rows = job_of(order.job)(Task(order.log, order.work, order.options))
    count = write_rows(order.work / ROWS, ({"log": str(order.log), **row} for row in rows))
    stat = order.log.stat()
    result: dict[str, object] = {
        "log": str(order.log), "job": order.job, "rows": count, "seconds": round(time.monotonic() - began, 3),
        "bytes": stat.st_size, "modified_ns": stat.st_mtime_ns, "attempt": order.attempt,
        "host": socket.gethostname(), "pid": os.getpid(),
    }  # fmt: skip
    (order.work / RESULT).write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    shutil.rmtree(order.final, ignore_errors=True)
    order.final.parent.mkdir(parents=True, exist_ok=True)
    order.work.rename(order.final)
    return result
