"""The run of a fleet: every log once, again where it failed, and what came of it."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from fusion_pipeline.fleet.engine import Engine, Finished
from fusion_pipeline.fleet.folder import DONE, FAILED, RUNNING, WAITING, Entry, RunFolder
from fusion_pipeline.fleet.job import FleetError

WAIT_S = 0.5


@dataclass(frozen=True, slots=True)
class Report:
    """What a run has come to."""

    done: int  # of all logs, those of earlier runs included
    failed: tuple[Entry, ...]
    rows: int


def run(
    folder: RunFolder,
    engine: Engine,
    retries: int = 1,
    on_end: Callable[[Entry], None] = lambda entry: None,
) -> Report:
    """Do what is left of a run. A log that fails is put behind the others and tried again, `retries` times.

    `on_end` is called for each log that is done or has failed for good. Closes the engine, also when interrupted.
    """
    waiting = deque((entry, 1) for entry in folder.pending)
    running: dict[str, Entry] = {}
    try:
        while waiting or running:
            while waiting and len(running) < engine.slots:
                entry, attempt = waiting.popleft()
                entry.status, entry.attempts = RUNNING, entry.attempts + 1
                running[entry.name] = entry
                engine.submit(folder.order(entry, attempt))
            folder.save()
            for finished in engine.wait(WAIT_S):
                entry = running.pop(finished.order.name)
                if _again(folder, entry, finished, retries):
                    waiting.append((entry, finished.order.attempt + 1))
                else:
                    on_end(entry)
    finally:
        engine.close()
        for entry in running.values():
            entry.status = WAITING
        folder.save()
    rows = folder.finish()
    failed = tuple(entry for entry in folder.entries.values() if entry.status == FAILED)
    return Report(len(folder.entries) - len(failed), failed, rows)


def _again(folder: RunFolder, entry: Entry, finished: Finished, retries: int) -> bool:
    """Note how an attempt ended; whether the log is to be tried again."""
    if finished.result is not None:
        entry.status, entry.error = DONE, ""
        entry.rows, entry.seconds = int(finished.result["rows"]), float(finished.result["seconds"])
        return False
    entry.error, entry.wasted_s = finished.error, round(entry.wasted_s + finished.seconds, 3)
    folder.note_failure(entry, finished.trace)
    again = finished.order.attempt <= retries
    entry.status = WAITING if again else FAILED
    return again


def engine_of(name: str, folder: RunFolder, slots: int, address: str = "", limit_s: float = 0.0) -> Engine:
    """ "local" or "ray". Raises FleetError, or ModuleNotFoundError where Ray is not installed."""
    if name == "local":
        if address:
            raise FleetError("--address belongs to --engine ray")
        from fusion_pipeline.fleet.local import LocalEngine

        return LocalEngine(slots, folder.path, limit_s)
    if name == "ray":
        from fusion_pipeline.fleet.on_ray import RayEngine

        return RayEngine(slots, address, limit_s)
    raise FleetError(f"--engine {name}: choose local or ray")
