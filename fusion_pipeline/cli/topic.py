"""`fusion topic`: what travels in a graph that runs now."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fusion_pipeline.cli.errors import UserError
from fusion_pipeline.rundir import RunningGraph, running_graphs

if TYPE_CHECKING:
    from fusion_pipeline.transport.bus import Received

topic = typer.Typer(
    add_completion=False, rich_markup_mode="rich", no_args_is_help=True, help="Look at a running graph."
)
Pid = Annotated[
    int, typer.Option("--graph", help="Process number of the graph, where several run.", show_default=False)
]
For = Annotated[float, typer.Option("--for", help="Seconds; 0 until Ctrl-C.", min=0.0)]
Name = Annotated[str, typer.Argument(help="Such as lidar/top, tracks or health/detector.", show_default=False)]


@topic.command("list", help="List the topics: who writes them, of which type, how they are delivered.")
def list_topics(graph: Pid = 0) -> None:
    """Print the table of topics."""
    from rich.console import Console
    from rich.table import Table

    from fusion_pipeline.topics import topic_of

    card = graph_of(graph)
    table = Table(title=f"{card.name}, process {card.pid}", title_justify="left")
    for column in ("topic", "written by", "message", "nominal", "delivery"):
        table.add_column(column, no_wrap=True)
    for name in sorted(card.endpoints):
        row = topic_of(name)
        rate = f"{row.rate_hz:g} Hz"
        table.add_row(name, card.writer_of.get(name, ""), row.message.__name__, rate, row.delivery.value)
    Console().print(table)


@topic.command("hz", help="Measure the rate, the regularity and the age of a topic's messages, once a second.")
def hz(name: Name, seconds: For = 0.0, graph: Pid = 0) -> None:
    """Print one line a second."""
    from rich.console import Console

    console, began, seen = Console(highlight=False), time.monotonic(), list[tuple[float, float]]()
    said, recorded = began, _plays_a_log(graph_of(graph))
    for received in _messages(name, seconds, graph):
        now = time.monotonic()
        if received is not None and received.message is not None:
            header = received.message.header
            # A replayed stamp is of the log's clock: only the log's own arrival can be compared with it.
            until_ns = header.arrival_ns if recorded else time.time_ns()
            seen.append((now, (until_ns - header.capture_ns) / 1e6))
        if now - said >= 1.0:
            console.print(_rate_line(name, seen, now - said, recorded), markup=False, soft_wrap=True)
            seen, said = seen[-1:] if now - said < 10 else [], now


def _rate_line(name: str, seen: list[tuple[float, float]], over_s: float, recorded: bool = False) -> str:
    import numpy as np

    if len(seen) < 2:
        return f"{name}: nothing in {over_s:.0f} s" if not seen else f"{name}: 1 message in {over_s:.0f} s"
    times, ages = np.asarray(seen).T
    gaps = np.diff(times) * 1e3
    age = "age on arrival by the log" if recorded else "age since capture"
    return (
        f"{name}: {1e3 / gaps.mean():.1f} Hz, "
        f"interval {gaps.mean():.1f} ms (min {gaps.min():.1f}, max {gaps.max():.1f}), "
        f"{age} p50 {np.median(ages):.1f} ms, p95 {np.percentile(ages, 95):.1f} ms"
    )


def _plays_a_log(card: RunningGraph) -> bool:
    """Whether the graph's stamps are those of a recording."""
    try:
        table = json.loads((Path(card.output) / "config.json").read_text(encoding="utf-8"))
        return bool(table["replay"])
    except (OSError, ValueError, KeyError, TypeError):
        return "player" in card.controls


@topic.command("echo", help="Show messages as JSON lines: stamps, fields, and shapes in place of large arrays.")
def echo(
    name: Name,
    count: Annotated[int, typer.Option("--count", help="Stop after that many; 0 never.", min=0)] = 0,
    seconds: For = 0.0,
    graph: Pid = 0,
) -> None:
    """Print one line a message."""
    from fusion_pipeline.results import describe

    shown = 0
    for received in _messages(name, seconds, graph):
        if received is not None and received.message is not None:
            typer.echo(describe(received.message))
            shown += 1
            if count and shown >= count:
                return


def graph_of(pid: int) -> RunningGraph:
    """The graph that process `pid` runs; with 0, the only one. Raises UserError."""
    graphs = [card for card in running_graphs() if not pid or card.pid == pid]
    if not graphs:
        which = f"no graph with process number {pid} runs" if pid else "no graph runs"
        raise UserError(f"{which} on this machine for this user; start one with `fusion launch` or `fusion demo`")
    if len(graphs) > 1:
        listed = ", ".join(f"{card.pid} ({card.name})" for card in graphs)
        raise UserError(f"several graphs run: {listed}; choose one with --graph")
    return graphs[0]


def _messages(name: str, seconds: float, pid: int) -> Iterator[Received | None]:
    """What comes on a topic, and None at least five times a second; ends with the topic or after `seconds`."""
    from fusion_pipeline.overrides import nearest
    from fusion_pipeline.transport.zeromq import ZeromqBus

    card = graph_of(pid)
    if name not in card.endpoints:
        raise UserError(nearest("topic", name, card.endpoints))
    bus = ZeromqBus(card.endpoints)
    until = time.monotonic() + seconds if seconds else float("inf")
    try:
        subscriber = bus.subscriber((name,))
        while time.monotonic() < until:
            received = subscriber.receive(0.2)
            if received is not None and received.message is None:
                raise UserError(f"the writer of {name} has ended")
            if received is None and not any(graph.pid == card.pid for graph in running_graphs()):
                raise UserError(f"the graph {card.name} has ended")
            yield received
    finally:
        bus.close()
