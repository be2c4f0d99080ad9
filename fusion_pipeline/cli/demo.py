"""`fusion demo`: the simulated vehicle."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer


def demo(
    seconds: Annotated[float, typer.Option("--for", help="Stop after so many seconds; 0 never.", min=0.0)] = 20.0,
    picture: Annotated[
        Path | None,
        typer.Option("--picture", help="Draw now and then into this file; default: demo.png.", show_default=False),
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", help="Write one line of JSON for each sensor set.", show_default=False)
    ] = None,
    seed: Annotated[int, typer.Option("--seed", help="Another seed is another street.")] = 7,
    scenario: Annotated[str, typer.Option("--scenario", help="Where; `fusion sim --list` names them.")] = "city_street",
    threads: Annotated[int, typer.Option("--threads", help="For the network.", min=1)] = 1,
    assignments: Annotated[
        list[str] | None, typer.Option("--set", help="PROCESS.KEY=VALUE; may be repeated.", show_default=False)
    ] = None,
) -> None:
    """Drive a simulated vehicle through the whole pipeline.

    Camera, LiDAR, microphones and odometry are simulated in processes of their own, in real time. What the network
    finds is tracked, shown in the terminal, and drawn into a picture every other second.
    """
    from fusion_pipeline.cli.running import run_graph
    from fusion_pipeline.graph import LAUNCH_FILES, load_graph

    drawn = picture or Path("demo.png")
    graph = load_graph(LAUNCH_FILES / "demo.py", seed=seed, scenario=scenario, threads=threads, picture=drawn, out=out)
    graph = graph.with_overrides(assignments or [])
    began = time.time()
    run_graph(graph, "demo", seconds or None, asked=(picture,), results=out)
    if drawn.is_file() and drawn.stat().st_mtime >= began - 1.0:
        typer.echo(f"picture of the last frames: {drawn.resolve()}")
    else:  # nobody asked for it by name: a busy machine has more urgent work
        typer.echo(f"{drawn} was not drawn: this machine was too busy; try --for 60")
