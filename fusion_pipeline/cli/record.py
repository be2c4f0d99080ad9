"""`fusion record`: what travels in a graph, into MCAP files."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fusion_pipeline.cli.errors import UserError
from fusion_pipeline.cli.verdict import CALIBRATION, Allow, allowed_names, print_findings, wrong

if TYPE_CHECKING:
    from fusion_pipeline.findings import Finding
    from nodes.recorder import Recorder, RecorderConfig

KEYS = {b"s": "save by key"}
LOST = 3  # exit code where messages were lost


def record(
    file: Annotated[
        Path | None,
        typer.Argument(help="Launch file to start and record; without it, the graph that runs.", show_default=False),
    ] = None,
    out: Annotated[Path, typer.Option("--out", help="The .mcap file; replaced if it is there.")] = Path("log.mcap"),
    topics: Annotated[
        list[str] | None, typer.Option("--topic", help="Topic, or kind such as lidar; may be repeated.")
    ] = None,
    rig: Annotated[
        Path | None, typer.Option("--rig", help="Rig file to embed; default: the graph's.", show_default=False)
    ] = None,
    seconds: Annotated[float, typer.Option("--for", help="Stop after so many seconds; 0 never.", min=0.0)] = 0.0,
    split_mb: Annotated[float, typer.Option("--split-mb", help="A new file at this size; 0 never.", min=0.0)] = 0.0,
    split_s: Annotated[float, typer.Option("--split-s", help="A new file after this time; 0 never.", min=0.0)] = 0.0,
    keep: Annotated[
        float, typer.Option("--keep", help="Keep the last seconds in memory, write them when asked; 0 all.", min=0.0)
    ] = 0.0,
    keep_mb: Annotated[float, typer.Option("--keep-mb", help="At most so much of them.", min=1.0)] = 1024.0,
    after: Annotated[float, typer.Option("--after", help="Seconds written after it was asked.", min=0.0)] = 10.0,
    save_on: Annotated[
        str, typer.Option("--save-on", help="Save when this is true of a box or a sound.", show_default=False)
    ] = "",
    trigger: Annotated[bool, typer.Option("--trigger", help="Have recorders that run with --keep save now.")] = False,
    images: Annotated[
        str, typer.Option("--images", help="Raw pictures as raw, jpeg, png or h264; others stay as they come.")
    ] = "raw",
    compression: Annotated[str, typer.Option("--compression", help="none, lz4 or zstd.")] = "lz4",
    pid: Annotated[int, typer.Option("--graph", help="The running graph's process number.", show_default=False)] = 0,
    assignments: Annotated[
        list[str] | None, typer.Option("--set", help="PROCESS.KEY=VALUE; may be repeated.", show_default=False)
    ] = None,
    insecure: Annotated[
        bool, typer.Option("--insecure", help="Allow tcp:// endpoints off loopback: no peer is authenticated there.")
    ] = False,
    allow: Allow = None,
) -> None:
    """Record the topics of a running graph to MCAP logs.

    The files open in Foxglove and Lichtblick (in Rerun without boxes, odometry and sound), and `fusion replay`
    plays them. Ctrl-C ends the recording. With --keep nothing is written until someone presses s, calls `fusion
    record --trigger`, or --save-on is met. Names in its condition: kind, label, score, track_id, x_m, y_m, z_m,
    range_m, azimuth_rad, length_m, width_m, height_m, yaw_rad, speed_mps, topic. Exit code 3: something was lost,
    and the last lines say what.
    """
    from fusion_pipeline.findings import KINDS
    from nodes.recorder import RecorderConfig

    allowed = allowed_names(allow)
    if trigger:
        _trigger(pid)
        return
    config = RecorderConfig(
        out, rig, tuple(topics or ()), split_mb=split_mb, split_s=split_s, keep_s=keep, keep_mb=keep_mb,
        after_s=after, save_on=save_on, images=images, compression=compression,
    )  # fmt: skip
    _check(config)
    began = time.time()
    lost: dict[str, int] = {}
    ended_early: KeyboardInterrupt | None = None
    try:
        lost = (
            _record_graph(file, config, seconds, assignments or [], insecure)
            if file
            else _record_running(config, seconds, pid)
        )
    except KeyboardInterrupt as signal:
        ended_early = signal
    if _told(out, began, lost, KINDS if keep else allowed):
        raise typer.Exit(LOST)
    if ended_early is not None and not keep:  # what was to be saved is saved
        raise ended_early


def _check(config: RecorderConfig) -> None:
    """What would be refused in the recorder's process is refused before anything starts."""
    from fusion_pipeline.logs.mcap_chunk import COMPRESSIONS
    from fusion_pipeline.logs.picture_codec import check_form
    from fusion_pipeline.logs.rows import COLUMNS
    from fusion_pipeline.logs.where import WhereError, parse_where

    check_form(config.images)
    if config.compression not in COMPRESSIONS:
        raise UserError(f"--compression {config.compression} is unknown; known: {', '.join(COMPRESSIONS)}")
    if config.save_on and not config.keep_s:
        raise UserError("--save-on needs --keep: how many seconds before the moment are to be kept")
    if config.save_on:
        try:
            parse_where(config.save_on, COLUMNS)
        except WhereError as error:
            raise UserError(f"--save-on: {error}") from None


def _record_graph(
    file: Path, config: RecorderConfig, seconds: float, assignments: list[str], insecure: bool
) -> dict[str, int]:
    """Start a graph with a recorder in it; what did not reach the recorder."""
    from fusion_pipeline.cli.running import run_graph
    from fusion_pipeline.graph import Process, load_graph
    from nodes.recorder import Recorder

    graph = load_graph(file)
    others = tuple(process for process in graph.processes if process.node is not Recorder)  # ours in place of its own
    added = Process(Recorder, config, nice=5)
    graph = replace(graph, processes=(*others, added)).with_overrides(assignments)
    others, added = graph.processes[:-1], graph.processes[-1]
    if added.config.rig is None:
        rigs = (getattr(process.config, "rig", None) for process in others)
        added = replace(added, config=replace(added.config, rig=next((found for found in rigs if found), None)))
        graph = replace(graph, processes=(*others, added))
    with _save_by_key(added.config):
        supervisor = run_graph(graph, "record", seconds or None, sets=False, insecure=insecure)
    health = supervisor.children[added.label].health
    counts = () if health is None else (*health.dropped, *health.refused)
    return {f"{one.topic}: {one.reason}": one.total for one in counts if one.total}


def _record_running(config: RecorderConfig, seconds: float, pid: int) -> dict[str, int]:
    """Listen beside the readers of a graph that another command runs; what did not reach us."""
    from fusion_pipeline.cli.outputs import Output, configuration_beside, refuse_overwriting
    from fusion_pipeline.cli.topic import graph_of
    from fusion_pipeline.control import ControlServer
    from fusion_pipeline.rundir import SocketFolder
    from fusion_pipeline.topics import topic_of
    from fusion_pipeline.transport.zeromq import ZeromqBus
    from nodes.recorder import Recorder

    card = graph_of(pid)
    written = Path(card.output) / "config.json" if card.output else None
    refuse_overwriting(
        [Output(f"the output {config.out}", config.out), configuration_beside(config.out)], _read(written)
    )
    config = _with_configuration(config, written)
    recorder = Recorder(config, "recorder")
    sockets = SocketFolder()
    control = ControlServer(sockets.control("recorder"), recorder.command)
    bus = ZeromqBus(card.endpoints, lossless=True)
    try:
        recorder.open()
        control.start()
        subscriber = bus.subscriber([topic for topic in card.endpoints if topic_of(topic).recorded])
        with _save_by_key(config, recorder):
            _take_all(recorder, subscriber, seconds, card.pid)
        counts = subscriber.counts()
    finally:
        recorder.close()
        bus.close()
        control.close()
        sockets.remove()
    own = {f"{topic}: {reason}": total for (topic, reason), total in recorder.counts().items()}
    return own | {f"{one.topic}: {one.reason}": one.total for one in counts if one.reason != "received" and one.total}


def _take_all(recorder: Recorder, subscriber: object, seconds: float, pid: int) -> None:
    """Until the time is over, the graph has ended, or Ctrl-C."""
    from fusion_pipeline.cli.progress import progress
    from fusion_pipeline.clock import now_ns
    from fusion_pipeline.rundir import running_graphs
    from fusion_pipeline.transport.zeromq_subscriber import ZeromqSubscriber

    assert isinstance(subscriber, ZeromqSubscriber)
    until = time.monotonic() + seconds if seconds else float("inf")
    try:
        with progress("messages") as advance:
            while time.monotonic() < until:
                received = subscriber.receive(0.1)
                if received is not None and received.message is not None:
                    list(recorder.step(received.message))
                    advance(note=recorder.detail)
                elif received is None:
                    list(recorder.advance(now_ns()))
                    if not any(graph.pid == pid for graph in running_graphs()):
                        return
    except KeyboardInterrupt:
        if seconds:  # without a time it is the way to end a recording
            raise


def _read(written: Path | None) -> list[Path]:
    """The files that the configuration of a running graph names: what it plays, its rig, its network."""
    import json

    try:
        values: list[object] = [json.loads(written.read_text(encoding="utf-8"))] if written is not None else []
    except (OSError, ValueError):
        return []
    found = []
    while values:
        value = values.pop()
        if isinstance(value, dict):
            values += [item for key, item in value.items() if key != "out"]
        elif isinstance(value, list):
            values += value
        elif isinstance(value, str) and "/" in value and Path(value).exists():
            found.append(Path(value))
    return found


def _with_configuration(config: RecorderConfig, written: Path | None) -> RecorderConfig:
    """With the rig that the running graph names, and its configuration beside the recording."""
    import json

    if written is None or not written.is_file():
        return config
    text = written.read_text(encoding="utf-8")
    with contextlib.suppress(OSError):  # where that cannot be written, the recorder itself will say
        config.out.parent.mkdir(parents=True, exist_ok=True)
        config.out.with_name(f"{config.out.name}.config.json").write_text(text, encoding="utf-8")
    if config.rig is not None:
        return config
    try:
        named = [process["config"].get("rig") for process in json.loads(text)["processes"]]
    except (ValueError, KeyError, TypeError, AttributeError):
        return config
    return replace(config, rig=next((Path(one) for one in named if one and Path(one).is_file()), None))


def _save_by_key(config: RecorderConfig, recorder: Recorder | None = None) -> contextlib.AbstractContextManager[object]:
    """While this is open, pressing s saves what is kept."""
    import os

    from fusion_pipeline.cli.keys import keyboard
    from fusion_pipeline.control import ControlError, ask
    from fusion_pipeline.rundir import running_graphs

    def tell(word: str) -> None:
        if recorder is not None:
            recorder.command(word)
            return
        for card in running_graphs():
            if card.pid == os.getpid() and "recorder" in card.controls:
                with contextlib.suppress(ControlError):
                    ask(card.controls["recorder"], word)

    return keyboard(tell, KEYS) if config.keep_s else contextlib.nullcontext()


def _trigger(pid: int) -> None:
    """Ask recorders to save. Raises UserError where none does."""
    from fusion_pipeline.cli.topic import graph_of
    from fusion_pipeline.control import ControlError, ask
    from fusion_pipeline.rundir import listening

    refused = "no recorder runs on this machine for this user; start one with `fusion record --keep 60`"
    sockets = list(graph_of(pid).controls.values()) if pid else listening("recorder")
    done = False
    for socket in sockets:
        try:
            typer.echo(ask(socket, "save by command"))
            done = True
        except ControlError as error:
            refused = str(error)
    if not done:
        raise UserError(refused)


def _told(out: Path, began: float, lost: dict[str, int], allowed: Collection[str] = ()) -> bool:
    """Print what was recorded, what was lost and what is wrong with it; whether anything is."""
    from fusion_pipeline.findings import Findings
    from fusion_pipeline.logs.mcap_summary import read_summary
    from fusion_pipeline.logs.parts import parts_of
    from fusion_pipeline.logs.provenance import RECORDED

    parts, lost, found = parts_of(out), dict(lost), Findings()
    ours = [path for path in parts if path.stat().st_mtime >= began - 1]
    for path in ours:
        said = dict(read_summary(path).metadata).get(RECORDED)
        count = f"{said['messages']} messages" if said else "without its end; `fusion log recover` makes it whole"
        typer.echo(f"recorded {path.resolve()}, {path.stat().st_size / 1e6:.1f} MB, {count}")
        lost |= {key.removeprefix("lost, "): int(n) for key, n in (said or {}).items() if key.startswith("lost, ")}
        found.update(_wrong_with(path))
    print_findings(found, allowed, err=True)
    bad = wrong((item for item in found if item.name not in CALIBRATION), allowed)  # a rig can come later
    if not ours and not lost:
        typer.echo("nothing was saved: nobody asked for it")
    for path in [path for path in parts if path not in ours][:1]:
        typer.echo(f"{path} is of an earlier recording", err=True)
    for what, total in lost.items():
        typer.echo(f"LOST {total} messages of {what}", err=True)
    return bool(lost) or bad


def _wrong_with(path: Path) -> list[Finding]:
    """What the index of a recording shows, but for what belongs to a recording that begins or holds no sensor."""
    from fusion_pipeline.logs.card import card
    from fusion_pipeline.logs.reader import LogError

    try:
        return [item for item in card(path).findings if item.name not in ("late-start", "nothing-to-read")]
    except LogError:  # said by the line above it: it is not whole
        return []
