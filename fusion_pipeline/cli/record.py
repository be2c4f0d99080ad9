"""`fusion record`: what travels in a graph, into an MCAP file."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer


def record(
    file: Annotated[
        Path | None,
        typer.Argument(help="Launch file to start and record; without it, the graph that runs.", show_default=False),
    ] = None,
    out: Annotated[Path, typer.Option("--out", help="The .mcap file; replaced if it is there.")] = Path("log.mcap"),
    topics: Annotated[
        list[str] | None, typer.Option("--topic", help="Topic, or kind such as lidar; may be repeated.")
    ] = None,
    rig: Annotated[Path | None, typer.Option("--rig", help="Rig file to embed.", show_default=False)] = None,
    seconds: Annotated[float, typer.Option("--for", help="Stop after so many seconds; 0 never.", min=0.0)] = 0.0,
    pid: Annotated[int, typer.Option("--graph", help="The running graph's process number.", show_default=False)] = 0,
    assignments: Annotated[
        list[str] | None, typer.Option("--set", help="PROCESS.KEY=VALUE; may be repeated.", show_default=False)
    ] = None,
) -> None:
    """Record the topics of a running graph to an MCAP log.

    The file opens in Foxglove, Lichtblick and Rerun, and `fusion replay` plays it. Ctrl-C ends the recording.
    """
    from nodes.recorder import Recorder, RecorderConfig

    config = RecorderConfig(out, rig, tuple(topics or ()))
    if file is None:
        _record_running(Recorder(config, "recorder"), seconds, pid)
    else:
        from fusion_pipeline.cli.running import run_graph
        from fusion_pipeline.graph import Process, load_graph

        graph = load_graph(file).with_overrides(assignments or [])
        if config.rig is None:
            rigs = (getattr(process.config, "rig", None) for process in graph.processes)
            config = replace(config, rig=next((found for found in rigs if found), None))
        graph = replace(graph, processes=(*graph.processes, Process(Recorder, config, nice=5)))
        run_graph(graph, "record", seconds or None)
    typer.echo(f"recorded {out.resolve()}, {out.stat().st_size / 1e6:.1f} MB")


def _record_running(recorder: object, seconds: float, pid: int) -> None:
    """Listen beside the readers of a graph that another command runs, and write what comes."""
    from fusion_pipeline.cli.progress import progress
    from fusion_pipeline.cli.topic import graph_of
    from fusion_pipeline.rundir import running_graphs
    from fusion_pipeline.topics import topic_of
    from fusion_pipeline.transport.zeromq import ZeromqBus
    from nodes.recorder import Recorder

    assert isinstance(recorder, Recorder)
    card = graph_of(pid)
    recorder.open()
    bus = ZeromqBus(card.endpoints)
    until = time.monotonic() + seconds if seconds else float("inf")
    try:
        subscriber = bus.subscriber([topic for topic in card.endpoints if topic_of(topic).recorded])
        with progress("messages") as advance:
            while time.monotonic() < until:
                received = subscriber.receive(0.2)
                if received is not None and received.message is not None:
                    list(recorder.step(received.message))
                    advance(note=recorder.detail)
                elif received is None and not any(graph.pid == card.pid for graph in running_graphs()):
                    break
    finally:
        recorder.close()
        bus.close()
