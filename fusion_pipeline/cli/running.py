"""Runs a graph in the terminal: the live table, the summary at the end, and failures as one line."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from fusion_pipeline.exposure import exposures
from fusion_pipeline.graph import Graph
from fusion_pipeline.messages import Message
from fusion_pipeline.supervisor import Supervisor, run

if TYPE_CHECKING:
    from fusion_pipeline.dashboard.live import LiveView


def run_graph(
    graph: Graph,
    name: str,
    for_s: float | None = None,
    output: Path | None = None,
    on_message: Callable[[Message], None] = lambda message: None,
    show: bool = True,
    player: str = "",
    asked: Iterable[Path | None] = (),
    results: Path | None = None,
    endless: bool | None = None,
    sets: bool = True,
    insecure: bool = False,
) -> Supervisor:
    """Run `graph` until it ends, Ctrl-C, or `for_s` seconds after it was ready; with `show`, its table and summary.

    With `insecure`, endpoints off loopback are allowed, and printed.
    Logs and the effective configuration go to `output`. While there is a table, keys go to the process `player`.
    Raises UserError where an output is an input; where what was asked for is missing,
    whatever `outcome.require_whole` raises, which has the last four arguments: without `for_s` a live graph is endless.
    """
    from fusion_pipeline.cli.outcome import GraphOutputs, require_whole
    from fusion_pipeline.dashboard.live import LiveView

    for line in exposures(graph) if insecure else ():
        typer.echo(f"insecure: {line}", err=True)
    outputs = GraphOutputs(graph)
    with contextlib.ExitStack() as stack:
        supervisor = stack.enter_context(Supervisor(graph, output, name, insecure=insecure))
        view = stack.enter_context(LiveView(supervisor, show))
        if player and view.on_screen:
            _listen_to_keys(stack, supervisor.controls[player], view)

        def take(message: Message) -> None:
            view.feed(message)
            on_message(message)

        run(supervisor, for_s, take, view.tick)
        supervisor.stop()
        for message in supervisor.rest():
            take(message)
    view.write_summary()
    if show:
        view.summary()
    if endless is None:
        endless = for_s is None and not graph.replay
    require_whole(supervisor, view.board, outputs, (*asked, results), results, endless, sets)
    return supervisor


def _listen_to_keys(stack: contextlib.ExitStack, control: str, view: LiveView) -> None:
    from fusion_pipeline.cli.keys import HINT, keyboard
    from fusion_pipeline.control import ControlError, ask

    def tell(word: str) -> None:
        try:
            said = ask(control, word)
        except ControlError as error:
            said = str(error)
        view.hint = f"{said}; {HINT}"

    if stack.enter_context(keyboard(tell)):
        view.hint = HINT
