"""The jobs that come with the program: replay, evaluate, mine, convert."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fusion_pipeline.clock import SECOND_NS
from fusion_pipeline.fleet.job import FleetError, Row, Task

if TYPE_CHECKING:
    from fusion_pipeline.logs.reader import Log
    from fusion_pipeline.messages import Tracks

SETS = "sets.jsonl"
RECORDED = ("tracks", "detections")
GRAPH = ("model", "rig", "threads")
OPTIONS = {
    "replay": GRAPH, "evaluate": (*GRAPH, "distance_m", "range_m"), "mine": (*GRAPH, "where"), "convert": (),
}  # fmt: skip


def refuse_options(job: str, options: Mapping[str, str]) -> None:
    """What can be told before any log is opened. Raises FleetError or WhereError. Nothing is known of users' jobs."""
    from fusion_pipeline.logs.rows import COLUMNS
    from fusion_pipeline.logs.where import parse_where

    if job not in OPTIONS:
        return
    for name in options:
        if name not in OPTIONS[job] and ("." not in name or job == "convert"):
            known = ", ".join(OPTIONS[job]) or "none"
            more = "" if job == "convert" else "; and PROCESS.KEY, such as detector.min_score"
            raise FleetError(f"{job} has no option {name!r}; known: {known}{more}")
    if job == "mine":
        if not options.get("where"):
            raise FleetError("mine wants a condition: --where \"label = 'pedestrian' and range_m < 10\"")
        parse_where(options["where"], ("log", "time_s", *COLUMNS))
    model = Path(options["model"]) if "model" in options else None
    if model is not None and not model.exists():
        raise FleetError(f"model {model} does not exist")


def replay(task: Task) -> Iterator[Row]:
    """The log through the whole graph: sets.jsonl, and a row for each object and each sound.

    Options: model, rig, threads, and PROCESS.KEY as `--set` of `fusion replay` takes them.
    """
    for found in _replayed(task):
        yield from _rows(found, _open(task.log).start_ns)


def mine(task: Task) -> Iterator[Row]:
    """The rows of recorded tracks, or else detections, or else of a replay, that fulfil the option `where`."""
    from fusion_pipeline.logs.rows import COLUMNS
    from fusion_pipeline.logs.where import parse_where
    from fusion_pipeline.messages import Detections, Tracks

    wanted = parse_where(task.option("where", ""), ("log", "time_s", *COLUMNS))
    log = _open(task.log)
    recorded = [topic for topic in RECORDED if topic in getattr(log, "results", ())]
    found = log.messages(topics=recorded[:1]) if recorded else _replayed(task)
    for one in found:
        if isinstance(one, (Tracks, Detections)):
            yield from (row for row in _rows(one, log.start_ns) if wanted({"log": str(task.log), **row}))


def convert(task: Task) -> Iterator[Row]:
    """The log as MCAP, in the log's folder of the run."""
    from fusion_pipeline.logs.surgery import converted

    out = task.folder / f"{task.log.stem}.mcap"
    found = converted(task.log, out)
    count = sum(topic.count for topic in found.topics)
    yield {"messages": count, "bytes": out.stat().st_size, "file": out.name}


def evaluate(task: Task) -> Iterator[Row]:
    """The replayed tracks against the log's labels: a row for each class, and one for all ("").

    Options beside those of `replay`: distance_m (2), how far centres may lie apart; range_m (50), of what counts.
    """
    from fusion_pipeline.fleet.scores import scored

    labels = list(_open(task.log).labels())
    if not labels:
        raise FleetError(f"{task.log} has no labels to compare with")
    found = list(_replayed(task))
    yield from scored(labels, found, _number(task, "distance_m", 2.0), _number(task, "range_m", 50.0))


def _replayed(task: Task) -> Iterator[Tracks]:
    """The graph of `fusion replay` in this process, which gives the same lines as one of several does."""
    from fusion_pipeline.graph import LAUNCH_FILES, load_graph
    from fusion_pipeline.inline import run_inline
    from fusion_pipeline.logs.files import FileLog
    from fusion_pipeline.manifest import CPU_MODEL
    from fusion_pipeline.messages import Tracks
    from fusion_pipeline.rig import RigError, require_places, to_toml
    from fusion_pipeline.track.config import TrackerConfig

    log, folder = _open(task.log), task.folder
    rig = Path(task.option("rig", str(folder / "rig.toml")))
    if "rig" not in task.options:
        try:
            require_places(log.rig, log.topics)
        except RigError as error:
            raise FleetError(f"{task.log}: {error}") from None
        rig.write_text(to_toml(log.rig), encoding="utf-8")
    graph = load_graph(
        LAUNCH_FILES / "replay.py", log=task.log, rig=rig, topics=log.topics, out=folder / SETS,
        model=Path(task.option("model", str(CPU_MODEL))), threads=int(_number(task, "threads", 1)),
        apart_s=log.apart_s(TrackerConfig().max_age_s) if isinstance(log, FileLog) else 0.0,
    )  # fmt: skip
    graph = graph.with_overrides(f"{name}={value}" for name, value in task.options.items() if "." in name)
    tracks: list[Tracks] = []
    counts = run_inline(graph, lambda message: tracks.append(message) if isinstance(message, Tracks) else None)
    (folder / "counts.json").write_text(json.dumps(_plain(counts), indent=1) + "\n", encoding="utf-8")
    yield from tracks


def _rows(found: Any, start_ns: int) -> Iterator[Row]:
    from fusion_pipeline.logs.rows import object_rows

    at = {"time_s": round((found.header.capture_ns - start_ns) / SECOND_NS, 6)}
    for row in object_rows(found):
        yield {**at, **row}


def _open(path: Path) -> Log:
    from fusion_pipeline.logs.reader import open_log

    return open_log(path)


def _number(task: Task, name: str, default: float) -> float:
    try:
        return float(task.option(name, str(default)))
    except ValueError:
        raise FleetError(f"option {name}={task.options[name]}: write a number") from None


def _plain(counts: Mapping[str, Mapping[tuple[str, str], int]]) -> dict[str, dict[str, int]]:
    return {node: {": ".join(key): total for key, total in table.items()} for node, table in counts.items()}
