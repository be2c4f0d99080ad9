"""`fusion fleet`: a job on many logs, and scenes found in what it wrote."""

from __future__ import annotations

import glob
import os
from pathlib import Path
from typing import Annotated

import typer

from fusion_pipeline.cli.errors import UserError

UNFINISHED = 3  # exit code of `run` where a log has failed for good
fleet = typer.Typer(
    add_completion=False,
    rich_markup_mode="rich",
    no_args_is_help=True,
    help="Replay, evaluate, mine or convert many logs.",
)


@fleet.command(
    "run", help="Do a job on every log, on this machine or on Ray. The same command goes on where it was cut off."
)
def run(
    job: Annotated[
        str, typer.Argument(help="replay, evaluate, mine, convert, or module:function of your own.", show_default=False)
    ],
    logs: Annotated[
        list[str], typer.Option("--logs", help="Pattern in quotes, such as 'drives/*.mcap'; may be repeated.")
    ],
    out: Annotated[
        Path | None, typer.Option("--out", help="Folder of the run; default: fleet-JOB.", show_default=False)
    ] = None,
    engine: Annotated[str, typer.Option("--engine", help="local, or ray.")] = "local",
    address: Annotated[
        str, typer.Option("--address", help="A Ray cluster that runs, such as auto or ray://head:10001.")
    ] = "",
    workers: Annotated[int, typer.Option("--workers", help="Logs at a time; 0: one for each core.", min=0)] = 0,
    retries: Annotated[int, typer.Option("--retries", help="How often a log that failed is tried again.", min=0)] = 1,
    limit: Annotated[float, typer.Option("--limit", help="Seconds for one log; 0: any.", min=0.0)] = 0.0,
    where: Annotated[
        str, typer.Option("--where", help="For mine: the condition, such as \"label = 'pedestrian' and range_m < 10\".")
    ] = "",
    options: Annotated[
        list[str] | None, typer.Option("--set", help="KEY=VALUE for the job; may be repeated.", show_default=False)
    ] = None,
) -> None:
    """Run a job on many logs.

    Each log has a folder with its rows in the run's folder; rows.parquet and summary.parquet join them. Exit code 3
    where a log has failed for good.
    """
    from fusion_pipeline.cli.progress import progress
    from fusion_pipeline.fleet.folder import Entry, RunFolder
    from fusion_pipeline.fleet.job import job_of
    from fusion_pipeline.fleet.jobs import refuse_options
    from fusion_pipeline.fleet.run import engine_of
    from fusion_pipeline.fleet.run import run as run_fleet

    job_of(job)  # a name that is wrong is told before anything is written
    chosen = _options(options or (), where)
    refuse_options(job, chosen)
    slots = workers or (len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)
    folder = RunFolder(out or Path(f"fleet-{job.replace(':', '-')}"), job, chosen, _found(logs))
    left = len(folder.pending)
    if left < len(folder.entries):
        typer.echo(f"{folder.path}: {len(folder.entries) - left} of {len(folder.entries)} logs are done; going on")
    with progress("logs", left) as advance:

        def ended(entry: Entry) -> None:
            advance(note=f"{entry.name}: {entry.error or f'{entry.rows} rows'}"[:80])

        report = run_fleet(folder, engine_of(engine, folder, min(slots, max(left, 1)), address, limit), retries, ended)
    for entry in report.failed:
        typer.echo(f"failed: {entry.log}: {entry.error} ({folder.path / 'failed' / entry.name}.txt)", err=True)
    typer.echo(
        f"{report.done} of {len(folder.entries)} logs done, {report.rows} rows in {folder.path / 'rows.parquet'}"
    )
    if report.failed:
        typer.echo("the same command tries the failed logs again", err=True)
        raise typer.Exit(UNFINISHED)


@fleet.command("show", help="How far each log of a run has come.")
def show(folder: Annotated[Path, typer.Argument(help="Folder of the run.", show_default=False)]) -> None:
    """Print a row for each log."""
    from rich.console import Console
    from rich.table import Table

    from fusion_pipeline.fleet.folder import state_of

    table = Table(title=str(folder), title_justify="left")
    for column in ("log", "status", "attempts", "rows", "seconds", "error"):
        table.add_column(column, justify="left" if column in ("log", "status", "error") else "right")
    for entry in state_of(folder):
        table.add_row(Path(entry.log).name, entry.status, str(entry.attempts), str(entry.rows), f"{entry.seconds:.1f}",
                      entry.error)  # fmt: skip
    Console(highlight=False).print(table)


@fleet.command("mine", help="Scenes in a run's tables that fulfil a condition, and the commands that cut them out.")
def mine(
    folder: Annotated[Path, typer.Argument(help="Folder of a run of replay or mine.", show_default=False)],
    where: Annotated[
        str, typer.Option("--where", help="Such as \"label = 'pedestrian' and range_m < 10\".", show_default=False)
    ],
    gap: Annotated[float, typer.Option("--gap", help="A longer pause, in seconds, parts two scenes.", min=0.0)] = 1.0,
    before: Annotated[float, typer.Option("--before", help="Seconds to cut out before a scene.", min=0.0)] = 2.0,
    after: Annotated[float, typer.Option("--after", help="Seconds to cut out after it.", min=0.0)] = 2.0,
    limit: Annotated[int, typer.Option("--limit", help="Show so many scenes; 0 all.", min=0)] = 0,
) -> None:
    """Print two lines for each scene: what it is, and the command that cuts it out."""
    from fusion_pipeline.fleet.mining import mined

    scenes = mined(folder, where, gap)
    for number, scene in enumerate(scenes[: limit or None], 1):
        near = f", nearest {scene.nearest_m:.1f} m" if scene.nearest_m is not None else ""
        typer.echo(
            f"{scene.log}: {scene.from_s:.2f} to {scene.until_s:.2f} s, {', '.join(scene.labels) or 'no label'}"
            f"{near}, {scene.rows} rows"
        )
        typer.echo(f"    {scene.cut(Path(f'scene_{number:03d}.mcap'), before, after)}")
    typer.echo(f"{len(scenes)} scenes")


def _found(patterns: list[str]) -> list[Path]:
    """The logs that the patterns name. Raises UserError for one that names none."""
    found: list[Path] = []
    for pattern in patterns:
        here = [Path(name) for name in sorted(glob.glob(str(Path(pattern).expanduser()), recursive=True))]  # noqa: PTH207
        if not here:
            raise UserError(
                f"--logs {pattern}: no log is called so; write a pattern in quotes, such as 'drives/*.mcap'"
            )
        found += here
    return found


def _options(texts: tuple[str, ...] | list[str], where: str) -> dict[str, str]:
    table = {"where": where} if where else {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise UserError(f"--set {text}: write KEY=VALUE, such as model=mine.onnx or detector.min_score=0.4")
        table[name] = value
    return table
