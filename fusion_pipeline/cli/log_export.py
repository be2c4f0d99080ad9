"""`fusion log export` and `fusion log diff`: results in others' formats, and what differs between two logs."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fusion_pipeline.cli.errors import UserError
from fusion_pipeline.cli.progress import progress

if TYPE_CHECKING:
    from fusion_pipeline.logs.reader import Log
    from fusion_pipeline.rig import Rig

FORMATS = ("kitti", "kitti-tracking", "nuscenes", "nuscenes-tracking", "parquet", "messages")
DIFFERS = 3  # exit code of `diff` where the logs are not the same


def export(
    path: Annotated[Path, typer.Argument(help="A sets.jsonl, or any log.", show_default=False)],
    out: Annotated[Path, typer.Argument(help="The file, or for kitti the folder, to write.", show_default=False)],
    form: Annotated[str, typer.Option("--as", help=f"{', '.join(FORMATS)}.", show_default=False)],
    log_path: Annotated[
        Path | None,
        typer.Option("--log", help="Of a sets.jsonl, the log that it was made of: frames, poses.", show_default=False),
    ] = None,
    rig_path: Annotated[
        Path | None, typer.Option("--rig", help="A rig file; by default the log's.", show_default=False)
    ] = None,
    topic: Annotated[
        str,
        typer.Option("--topic", help="tracks, detections, truth or labels; by default the first.", show_default=False),
    ] = "",
    camera: Annotated[str, typer.Option("--camera", help="For kitti, by default the first.", show_default=False)] = "",
) -> None:
    """Write the boxes of a result file or a log for KITTI's and nuScenes' evaluations, or as a Parquet table.

    `parquet` has a row for each object and sound, `messages` one for each message of a log.
    """
    from fusion_pipeline.logs import object_tables, write_kitti, write_nuscenes
    from fusion_pipeline.logs.reader import open_log
    from fusion_pipeline.logs.result_lines import read_results

    if form not in FORMATS:
        raise UserError(f"--as {form} is unknown; known: {', '.join(FORMATS)}")
    if not out.parent.is_dir():
        raise UserError(f"the folder {out.parent} does not exist; make it, or choose another place")
    with progress("rows" if form in ("parquet", "messages") else "sets") as advance:
        if form == "messages":
            log = open_log(path)
            every = log.messages(topics=(*log.topics, *getattr(log, "results", ())))
            count = object_tables.write_parquet(
                object_tables.rows_of_messages(every), object_tables.MESSAGE_COLUMNS, out, advance
            )
            typer.echo(f"{out}: {count} rows")
            return _left_out(log)
        found = read_results(path, topic)
        if form == "parquet":
            rows = object_tables.rows_of_objects(found)
            count = object_tables.write_parquet(rows, object_tables.OBJECT_COLUMNS, out, advance)
            return typer.echo(f"{out}: {count} rows")
        log_, rig = _beside(path, log_path, rig_path)
        if form.startswith("kitti"):
            frames = write_kitti.Frames.of(log_, rig, camera)
            write = write_kitti.write_objects if form == "kitti" else write_kitti.write_tracking
            return typer.echo(f"{out}: {write(found, frames, out, advance)} frames")
        if log_ is None:
            raise UserError("--as nuscenes needs poses; name the log that the results were made of with --log")
        samples = write_nuscenes.Samples.of(log_)
        count, left = write_nuscenes.write_nuscenes(found, samples, out, form.endswith("tracking"), advance)
    said = "; ".join(f"{reason}: {number}" for reason, number in sorted(left.items()))
    return typer.echo(f"{out}: {count} boxes" + (f"; left out: {said}" if said else ""))


def _left_out(log: Log) -> None:
    """Print which messages of a log that was read through are in no row, and end with exit code 3 for it."""
    from fusion_pipeline.cli.verdict import end_by, print_findings
    from fusion_pipeline.logs.survey import log_findings

    found = [item for item in log_findings(log) if item.name in ("refused", "lost", "truncated")]
    print_findings(found)
    end_by(found)


def _beside(path: Path, log_path: Path | None, rig_path: Path | None) -> tuple[Log | None, Rig | None]:
    """The log that results were made of, and its rig or the one that is named."""
    from fusion_pipeline.logs.reader import open_log
    from fusion_pipeline.rig import Rig

    log = open_log(log_path or path) if log_path is not None or path.suffix != ".jsonl" else None
    rig = Rig.load(rig_path) if rig_path is not None else log.rig if log is not None else None
    return log, rig


def diff(
    first: Annotated[Path, typer.Argument(help="A log.", show_default=False)],
    second: Annotated[Path, typer.Argument(help="Another.", show_default=False)],
    as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
) -> None:
    """Print what differs between two logs: topics, counts, stamps, and by field the first message that differs."""
    from fusion_pipeline.logs.difference import compared

    with progress("messages") as advance:
        found = compared(first, second, advance)
    if as_json:
        sys.stdout.write(json.dumps({**asdict(found), "same": found.same}, indent=1) + "\n")
    else:
        for text in found.lines():
            typer.echo(text)
        typer.echo("nothing differs" if found.same else "the logs differ")
    if not found.same:
        raise typer.Exit(DIFFERS)
