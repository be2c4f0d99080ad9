"""`fusion launch`: start the graph of a launch file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fusion_pipeline.cli.errors import EXIT_USER


def launch(
    file: Annotated[Path, typer.Argument(help="Python file that defines `graph`.", show_default=False)],
    assignments: Annotated[
        list[str] | None, typer.Option("--set", help="PROCESS.KEY=VALUE; may be repeated.", show_default=False)
    ] = None,
    seconds: Annotated[float, typer.Option("--for", help="Stop after so many seconds; 0 never.", min=0.0)] = 0.0,
    output: Annotated[
        Path | None, typer.Option("--logs", help="Folder for logs and configuration.", show_default=False)
    ] = None,
    check: Annotated[bool, typer.Option("--check", help="Check the graph, print its wiring, start nothing.")] = False,
    insecure: Annotated[
        bool, typer.Option("--insecure", help="Allow tcp:// endpoints off loopback: no peer is authenticated there.")
    ] = False,
) -> None:
    """Start the graph of a launch file and watch it run.

    Every process is watched: one that dies is started again, with growing pauses, and given up when that does not help.
    """
    from fusion_pipeline.exposure import refuse_exposure
    from fusion_pipeline.graph import GraphError, load_graph

    graph = load_graph(file).with_overrides(assignments or [])
    refuse_exposure(graph, insecure)
    if check:
        try:
            wiring = graph.check(thorough=True)
        except GraphError as error:
            for fault in error.faults:
                typer.echo(f"fusion: {' '.join(fault.split())}", err=True)
            raise typer.Exit(EXIT_USER) from None
        _print_wiring(wiring)
        return
    from fusion_pipeline.cli.running import run_graph

    run_graph(graph, file.stem, seconds or None, output, insecure=insecure)


def _print_wiring(wiring: object) -> None:
    from rich.console import Console
    from rich.table import Table

    from fusion_pipeline.graph import Wiring

    assert isinstance(wiring, Wiring)
    table = Table("topic", "written by", "read by")
    for topic, writer in wiring.writer_of.items():
        table.add_row(
            topic, writer, ", ".join(label for label, topics in wiring.topics_read.items() if topic in topics)
        )
    Console().print(table)
    for note in wiring.notes:
        typer.echo(note)
