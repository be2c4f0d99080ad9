"""`fusion replay`: a recorded log through the whole graph."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fusion_pipeline.cli.errors import UserError
from fusion_pipeline.cli.verdict import CALIBRATION, LENSES, Allow, allowed_names, print_findings

if TYPE_CHECKING:
    from fusion_pipeline.logs.reader import Log
    from fusion_pipeline.rig import Rig
    from fusion_pipeline.supervisor import Supervisor

DIFFERS = 3  # exit code where --check finds a difference
BEGINS, ENDS = ("sensors", "detections"), ("sets", "detections", "tracks")
RATES = (0.1, 1000.0)


def replay(
    log: Annotated[
        Path, typer.Argument(help="A log of any kind of docs/logs.md: a file, or a folder.", show_default=False)
    ],
    rate: Annotated[str, typer.Option("--rate", help='Times real time, 0.1 to 1000; or "max".')] = "max",
    start: Annotated[float, typer.Option("--start", help="Seconds after the first message.", min=0.0)] = 0.0,
    end: Annotated[float, typer.Option("--end", help="Seconds after the first message; 0 its end.", min=0.0)] = 0.0,
    warm_up: Annotated[
        str, typer.Option("--warm-up", help='Seconds played unseen before the start, and each seek; or "all".')
    ] = "2",
    loops: Annotated[int, typer.Option("--loops", help="How often; 0 until Ctrl-C. Each is the same.", min=0)] = 1,
    paused: Annotated[bool, typer.Option("--paused", help="Begin paused.")] = False,
    topics: Annotated[
        list[str] | None, typer.Option("--topic", help="Only this topic; may be repeated.", show_default=False)
    ] = None,
    remap: Annotated[
        list[str] | None, typer.Option("--remap", help="OLD=NEW topic; may be repeated.", show_default=False)
    ] = None,
    begin: Annotated[
        str, typer.Option("--from", help='"sensors", or "detections": the recorded ones into the tracker.')
    ] = "sensors",
    until: Annotated[str, typer.Option("--to", help='"sets", "detections" or "tracks": where it ends.')] = "tracks",
    model: Annotated[
        Path | None,
        typer.Option("--model", help="ONNX file or manifest; default: the shipped.", show_default=False),
    ] = None,
    rig: Annotated[
        Path | None, typer.Option("--rig", help="Rig file; by default the log's calibration.", show_default=False)
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", help="Write one line of JSON for each sensor set.", show_default=False)
    ] = None,
    check: Annotated[
        Path | None,
        typer.Option(
            "--check", help="Compare with these earlier lines; exit code 3 if they differ.", show_default=False
        ),
    ] = None,
    tolerance: Annotated[
        list[str] | None,
        typer.Option("--tolerance", help="FIELD=VALUE for --check; may be repeated.", show_default=False),
    ] = None,
    picture: Annotated[
        Path | None, typer.Option("--picture", help="Draw now and then into this .png.", show_default=False)
    ] = None,
    assignments: Annotated[
        list[str] | None, typer.Option("--set", help="PROCESS.KEY=VALUE; may be repeated.", show_default=False)
    ] = None,
    cpus: Annotated[
        str, typer.Option("--cpus", help="Pin the processes to these cores in turn, such as 0,1.", show_default=False)
    ] = "",
    threads: Annotated[int, typer.Option("--threads", help="For the network.", min=1)] = 1,
    quiet: Annotated[bool, typer.Option("--quiet", help="No table; only errors.")] = False,
    allow: Allow = None,
) -> None:
    """Play a recorded log through the same graph and write what it finds.

    Nothing is lost and deadlines run on the log's own time, so that the same log gives the same boxes at any rate. A
    part of a log (--start, --end) gives the same lines as the whole log does there, with --warm-up all; with a shorter
    one tracks begin anew. While it runs: space pauses, . steps by one set, arrows seek and change the rate; from
    another terminal, `fusion player`.
    """
    from fusion_pipeline.cli.running import run_graph
    from fusion_pipeline.graph import LAUNCH_FILES, load_graph
    from fusion_pipeline.logs.files import FileLog
    from fusion_pipeline.logs.reader import open_log
    from fusion_pipeline.manifest import CPU_MODEL
    from fusion_pipeline.metrics.likeness import tolerances_of
    from fusion_pipeline.rig import to_toml
    from fusion_pipeline.rundir import output_folder
    from fusion_pipeline.track.config import TrackerConfig
    from nodes.player import PlayerConfig, refuse_impossible, renamed

    allowed = allowed_names(allow)
    _one_of("--from", begin, BEGINS)
    _one_of("--to", until, ENDS)
    tolerances = tolerances_of(tolerance or ())
    if check is not None and not check.is_file():
        raise UserError(f"--check {check} does not exist; write it with --out in a run that was right")
    if check is not None and loops != 1:
        raise UserError("--check compares one lap; leave out --loops")
    if begin == "detections" and until != "tracks":
        raise UserError(f"--from detections --to {until}: nothing lies between; choose --to tracks")
    opened = open_log(log)
    play = PlayerConfig(log, start_s=start, end_s=end, warm_up_s=_warm_up(warm_up), loops=loops, paused=paused,
                        remap=tuple(remap or ()))  # fmt: skip
    chosen = _recorded_detections(log) if begin == "detections" else _chosen(opened, topics or ())
    refuse_impossible(play, opened)
    _print_known(opened, chosen, rig is not None, begin == "sensors" and until != "sets", allowed, quiet)
    new_name = renamed(play.remap)
    folder = output_folder("replay")
    if check is not None and out is None:
        out = folder / "sets.jsonl"
    if rig is None:
        if begin != "detections":
            _require_places(opened, chosen)
        if not opened.rig.topics:
            raise UserError(f"{log} does not say where its sensors sit; give a rig file with --rig")
        rig = folder / "rig.toml"
        rig.write_text(to_toml(_renamed_rig(opened.rig, new_name)), encoding="utf-8")
    graph = load_graph(
        LAUNCH_FILES / "replay.py",
        log=log,
        rig=rig,
        topics=chosen,
        model=model or CPU_MODEL,
        rate=_rate(rate),
        out=out,
        threads=threads,
        picture=picture,
        play=play,
        begin=begin,
        end=until,
        cpus=_cores(cpus),
        apart_s=opened.apart_s(TrackerConfig().max_age_s) if isinstance(opened, FileLog) else 0.0,
    )
    done = run_graph(
        graph.with_overrides(assignments or []), "replay", None, folder, show=not quiet, player="player",
        asked=(picture,), results=out, endless=not loops,
    )  # fmt: skip
    _refuse_losses(done)
    if check is not None and out is not None:
        from fusion_pipeline.metrics.likeness import compared

        begun = opened.start_ns + round(start * 1e9) if start else None
        ended = opened.start_ns + round(end * 1e9) if end else None
        found = compared(check, out, tolerances, begun, ended)
        for text in found.lines():
            typer.echo(text)
        if not found.same:
            raise typer.Exit(DIFFERS)


def _print_known(
    log: Log, topics: Collection[str], has_rig: bool, places: bool, allowed: Collection[str], quiet: bool
) -> None:
    """Print what is known to be wrong with a log before it is played.

    `has_rig`: calibration comes from a file, and what the log lacks of it does not matter. Raises UserError where
    `places`, that is where objects are to be placed, and results would be wrong by an error that is not allowed.
    """
    from fusion_pipeline.logs.survey import log_findings

    found = [item for item in log_findings(log) if not (has_rig and item.name in CALIBRATION)]
    found = [item for item in found if item.topic in topics or item.topic not in log.topics]
    shown = ("error",) if quiet else ("error", "warning")
    print_findings([item for item in found if item.severity in shown], allowed, err=True)
    other_camera = any(topic in log.rig.cameras for topic in topics)
    for item in found:
        lens = item.name in LENSES
        if places and item.name in CALIBRATION and item.severity == "error" and item.name not in allowed:
            if lens and other_camera:
                continue  # the camera is left out, and said
            raise UserError(
                f"{log.path}: {item.topic}: {item.detail} [{item.name}], so that results would be wrong; give a rig "
                f"file with --rig, leave the topic out with --topic, or pass --allow {item.name}"
            )


def _refuse_losses(supervisor: Supervisor) -> None:
    """A replay in which something was lost between processes is none. Raises UserError."""
    healths = [child.health for child in supervisor.children.values() if child.health is not None]
    lost = [
        f"{count.topic}: {count.total} {count.reason} at {health.node}"
        for health in healths for count in health.dropped
        if count.reason in ("dropped", "overwritten") or count.reason.startswith("lost")
    ]  # fmt: skip
    if lost and not supervisor.stop_asked:
        raise UserError(f"not all messages came through ({'; '.join(lost)}); the results are not to be relied on")


def _chosen(log: Log, topics: tuple[str, ...] | list[str]) -> tuple[str, ...]:
    """The topics to play, in the log's order. Raises UserError."""
    from fusion_pipeline.overrides import nearest

    for topic in topics:
        if topic not in log.topics:
            raise UserError(f"--topic {topic}: {nearest('topic', topic, log.topics)}")
    return tuple(topic for topic in log.topics if not topics or topic in topics)


def _require_places(log: Log, topics: tuple[str, ...]) -> None:
    """Raises UserError where the log does not say where its sensors sit."""
    from fusion_pipeline.rig import RigError, require_places

    try:
        require_places(log.rig, topics)
    except RigError as error:
        raise UserError(f"{log.path}: {error}") from None


def _recorded_detections(log: Path) -> tuple[str, ...]:
    """The topic to play with --from detections. Raises UserError."""
    from fusion_pipeline.logs.card import card

    if "detections" not in (row.topic for row in card(log).rows):
        raise UserError(f"--from detections: {log} has none recorded; `fusion record` keeps them in an .mcap file")
    return ("detections",)


def _renamed_rig(rig: Rig, new_name: dict[str, str]) -> Rig:
    """The rig with its sensors called as their topics are."""

    def named(mounts: Any) -> dict[str, Any]:
        return {new_name.get(topic, topic): mount for topic, mount in mounts.items()}

    return replace(rig, lidars=named(rig.lidars), cameras=named(rig.cameras), audios=named(rig.audios))


def _one_of(option: str, value: str, known: tuple[str, ...]) -> None:
    if value not in known:
        raise UserError(f"{option} {value}: choose one of {', '.join(known)}")


def _rate(text: str) -> float:
    """Times real time; 0 for "max". Raises UserError."""
    if text == "max":
        return 0.0
    rate = _number(text)
    if not RATES[0] <= rate <= RATES[1]:
        raise UserError(f'--rate {text}: write a number from {RATES[0]:g} to {RATES[1]:g}, or "max"')
    return rate


def _warm_up(text: str) -> float:
    seconds = float("inf") if text == "all" else _number(text)
    if not seconds >= 0:
        raise UserError(f'--warm-up {text}: write seconds, such as 2, or "all"')
    return seconds


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return float("nan")


def _cores(text: str) -> tuple[int, ...]:
    import os

    names = [name.strip() for name in text.split(",") if name.strip()]
    known = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
    wrong = [name for name in names if not name.isdigit() or int(name) not in known]
    if wrong:
        has = ", ".join(map(str, known)) or "none that can be chosen"
        raise UserError(f"--cpus {text}: this machine has no core {wrong[0]}; it has {has}")
    return tuple(int(name) for name in names)
