"""`fusion replay`: a recorded log through the whole graph."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fusion_pipeline.cli.errors import UserError

DIFFERS = 3  # exit code where --check finds a difference


def replay(
    log: Annotated[Path, typer.Argument(help="KITTI drive, KITTI object folder, or MCAP file.", show_default=False)],
    rate: Annotated[str, typer.Option("--rate", help='Times real time, such as 0.5; or "max".')] = "max",
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
    picture: Annotated[
        Path | None, typer.Option("--picture", help="Draw now and then into this .png.", show_default=False)
    ] = None,
    assignments: Annotated[
        list[str] | None, typer.Option("--set", help="PROCESS.KEY=VALUE; may be repeated.", show_default=False)
    ] = None,
    threads: Annotated[int, typer.Option("--threads", help="For the network.", min=1)] = 1,
    quiet: Annotated[bool, typer.Option("--quiet", help="No table; only errors.")] = False,
) -> None:
    """Play a recorded log through the same graph and write what it finds.

    Nothing is lost and deadlines run on the log's own time, so that the same log gives the same boxes at any rate.
    """
    from fusion_pipeline.cli.running import run_graph
    from fusion_pipeline.graph import LAUNCH_FILES, load_graph
    from fusion_pipeline.logs.reader import open_log
    from fusion_pipeline.manifest import DEFAULT_MODEL
    from fusion_pipeline.rig import to_toml
    from fusion_pipeline.rundir import output_folder

    if check is not None and not check.is_file():
        raise UserError(f"--check {check} does not exist; write it with --out in a run that was right")
    opened = open_log(log)
    folder = output_folder("replay")
    if check is not None and out is None:
        out = folder / "sets.jsonl"
    if rig is None:
        rig = folder / "rig.toml"
        rig.write_text(to_toml(opened.rig), encoding="utf-8")
    graph = load_graph(
        LAUNCH_FILES / "replay.py",
        log=log,
        rig=rig,
        topics=opened.topics,
        model=model or DEFAULT_MODEL,
        rate=_rate(rate),
        out=out,
        threads=threads,
        picture=picture,
    )
    run_graph(graph.with_overrides(assignments or []), "replay", None, folder, show=not quiet)
    if check is not None and out is not None:
        from fusion_pipeline.metrics.likeness import compared

        found = compared(check, out)
        for text in found.lines():
            typer.echo(text)
        if not found.same:
            raise typer.Exit(DIFFERS)


def _rate(text: str) -> float:
    """Times real time; 0 for "max". Raises UserError."""
    if text == "max":
        return 0.0
    try:
        rate = float(text)
    except ValueError:
        rate = -1.0
    if not 0 < rate < float("inf"):
        raise UserError(f'--rate {text}: write a number above 0, such as 0.5 or 10, or "max"')
    return rate
