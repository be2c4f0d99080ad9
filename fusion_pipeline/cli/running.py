"""Runs a graph in the terminal: the live table, the summary at the end, and failures as one line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from fusion_pipeline.cli.errors import UserError
from fusion_pipeline.graph import Graph
from fusion_pipeline.messages import Message
from fusion_pipeline.supervisor import Supervisor, run


def run_graph(
    graph: Graph,
    name: str,
    for_s: float | None = None,
    output: Path | None = None,
    on_message: Callable[[Message], None] = lambda message: None,
    show: bool = True,
) -> Supervisor:
    """Run `graph` until it ends, Ctrl-C, or `for_s` seconds have passed; with `show`, its table and summary.

    Logs and the effective configuration go to `output`. Raises UserError where a process was given up.
    """
    from fusion_pipeline.dashboard.live import LiveView

    with Supervisor(graph, output, name) as supervisor, LiveView(supervisor, show) as view:

        def take(message: Message) -> None:
            view.feed(message)
            on_message(message)

        run(supervisor, for_s, take, view.tick)
        supervisor.stop()
    if show:
        view.summary()
    if supervisor.failed:
        reasons = "; ".join(f"{child.process.label}: {child.reason}" for child in supervisor.failed)
        raise UserError(f"{reasons} (logs are in {supervisor.output})")
    return supervisor
