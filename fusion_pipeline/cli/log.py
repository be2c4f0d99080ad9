"""`fusion log`: what is in a log, what is wrong with it, and logs made of logs."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from fusion_pipeline.cli.errors import UserError
from fusion_pipeline.cli.log_export import diff, export
from fusion_pipeline.cli.log_pictures import images, video
from fusion_pipeline.cli.progress import progress
from fusion_pipeline.cli.verdict import Allow, allowed_names, as_table, end_by, print_findings, rate_text, verdict

log = typer.Typer(
    add_completion=False, rich_markup_mode="rich", no_args_is_help=True, help="Look into logs and mend them."
)
Source = Annotated[
    Path, typer.Argument(help="A log of any kind of docs/logs.md: a file, or a folder.", show_default=False)
]
Out = Annotated[Path, typer.Argument(help="The .mcap file to write; replaced if it is there.", show_default=False)]
Json = Annotated[bool, typer.Option("--json", help="As JSON.")]
log.command("export", help="Boxes as KITTI or nuScenes results, or as a Parquet table.")(export)
log.command("diff", help="What differs between two logs, by field. Exit code 3 where something does.")(diff)
log.command("images", help="A camera's pictures, with boxes drawn in.")(images)
log.command("video", help="A film of a camera, with boxes drawn in.")(video)


@log.command(
    "info",
    help="Topics, counts, rates and size, from the index alone. Exit code 3 where that shows an error.",
)
def info(path: Source, as_json: Json = False, allow: Allow = None) -> None:
    """Print the card of a log."""
    from rich import box
    from rich.console import Console
    from rich.table import Table

    from fusion_pipeline.logs.card import card

    allowed = allowed_names(allow)
    found = card(path)
    if as_json:
        table = {**asdict(found), "path": str(path), "seconds": found.seconds}
        sys.stdout.write(json.dumps({**table, "findings": as_table(found.findings, allowed)}, indent=1) + "\n")
        end_by(found.findings, allowed)
        return
    title = f"{path.name}: {found.seconds:.1f} s, {found.megabytes:.1f} MB"
    view = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    for column in ("topic", "schema"):
        view.add_column(column, overflow="fold")
    for column in ("count", "rate", "gaps", "back"):
        view.add_column(column, no_wrap=True, justify="right")
    for row in found.rows:
        numbers = [str(value) if value >= 0 else "" for value in (row.count, row.gaps, row.back)]
        rate = rate_text(row.rate_hz, row.mean_rate_hz) if row.count >= 0 else ""
        if rate and row.gaps < 0:
            rate = f"~{rate}"  # of the whole recording: the index has no times of single messages
        schema = f"{row.schema} (not read)" if row.unread else row.schema
        view.add_row(row.topic, schema, numbers[0], rate, *numbers[1:])
    console = Console(highlight=False)
    console.print(view)
    for name, value in found.facts:
        console.print(f"{name}: {value}", markup=False)
    print_findings(found.findings, allowed)
    console.print(f"from the index alone: {verdict(found.findings, allowed)}; `fusion log check` decodes everything",
                  soft_wrap=True)  # fmt: skip
    end_by(found.findings, allowed)


@log.command(
    "check", help="Decode every message; report gaps, clocks that jump, damage. Exit code 3 where something is wrong."
)
def check(path: Source, as_json: Json = False, allow: Allow = None) -> None:
    """Print what is wrong with a log."""
    from rich.console import Console

    from fusion_pipeline.logs.survey import surveyed

    allowed = allowed_names(allow)
    with progress("messages") as advance:
        found = surveyed(path, advance)
    sound = not found.wrong(allowed)
    if as_json:
        table = {**asdict(found), "path": str(path), "sound": sound, "findings": as_table(found.findings, allowed)}
        sys.stdout.write(json.dumps(table, indent=1) + "\n")
    else:
        console = Console(highlight=False)
        for topic in found.topics:
            rate = rate_text(topic.rate_hz, topic.mean_rate_hz)
            console.print(
                f"{topic.name}: {topic.count} messages, {rate}, {len(topic.gaps)} gaps, "
                f"{topic.backwards} captures back in time, {topic.repeated} repeated, "
                f"{topic.missing} missing by their numbers, "
                f"late {topic.latency_ms[0]:.1f} ms, at most {topic.latency_ms[1]:.1f} ms",
                markup=False, soft_wrap=True,
            )  # fmt: skip
        print_findings(found.findings, allowed)
        console.print(verdict(found.findings, allowed))
    end_by(found.findings, allowed)


@log.command("recover", help="Write what can still be read of a damaged log as a whole one, and say what was lost.")
def recover(path: Source, out: Out) -> None:
    """Make a cut-off or damaged MCAP file whole."""
    from fusion_pipeline.logs.surgery import recovered

    with progress("messages") as advance:
        count, lost = recovered(path, out, advance)
    said = "; ".join(f"{reason}: {number}" for reason, number in lost.items()) or "nothing"
    typer.echo(f"{out}: {count} messages, read back and compared; lost: {said}")


@log.command("cut", help="Take a part of a log.")
def cut(
    path: Source,
    out: Out,
    start: Annotated[float, typer.Option("--start", help="Seconds after the first message.")] = 0.0,
    end: Annotated[float, typer.Option("--end", help="Seconds after the first message.")] = float("inf"),
    topics: Annotated[
        list[str] | None, typer.Option("--topic", help="Only this topic; may be repeated.", show_default=False)
    ] = None,
) -> None:
    """Copy what lies between two times."""
    from fusion_pipeline.logs import surgery

    with progress("messages") as advance:
        count = surgery.cut(path, out, start, min(end, 1e9), topics or (), advance)
    typer.echo(f"{out}: {count} messages")


@log.command("thin", help="Keep one of every so many messages of some topics.")
def thin(
    path: Source,
    out: Out,
    every: Annotated[list[str], typer.Option("--every", help="TOPIC=N, such as camera/front=3; may be repeated.")],
) -> None:
    """Copy with fewer messages of some topics."""
    from fusion_pipeline.logs.surgery import thinned

    table = {}
    for item in every:
        topic, _, number = item.rpartition("=")
        if not topic or not number.isdigit() or int(number) < 1:
            raise UserError(f"--every {item} is not TOPIC=N; write for example --every camera/front=3")
        table[topic] = int(number)
    with progress("messages") as advance:
        count = thinned(path, out, table, advance)
    typer.echo(f"{out}: {count} messages")


@log.command("merge", help="Several logs of one time as one.")
def merge(
    paths: Annotated[list[Path], typer.Argument(help="The logs.", show_default=False)],
    out: Annotated[Path, typer.Option("--out", "-o", help="The .mcap file to write.")],
) -> None:
    """Join logs by the times of their messages."""
    from fusion_pipeline.logs.surgery import merged

    with progress("messages") as advance:
        count = merged(paths, out, advance)
    typer.echo(f"{out}: {count} messages of {len(paths)} logs")


@log.command("convert", help="Any log that can be read, such as a KITTI drive, as MCAP. Exit code 3 as `check`.")
def convert(path: Source, out: Out, allow: Allow = None) -> None:
    """Write the messages and the rig of a log as MCAP with Foxglove's schemas."""
    from fusion_pipeline.logs.surgery import converted, not_converted

    allowed = allowed_names(allow)
    with progress("messages") as advance:
        found = converted(path, out, advance)
    print_findings(found.findings, allowed)
    for topic, number in not_converted(path, found):
        typer.echo(f"not converted: {topic}, {number} messages")
    count, refused = sum(topic.count for topic in found.topics), _refused(found.refused)
    whole = f"{count} messages of {count + refused}" if refused else f"{count} messages"
    typer.echo(f"{out}: {whole}, {out.stat().st_size / 1e6:.1f} MB; {verdict(found.findings, allowed)}")
    end_by(found.findings, allowed)


def _refused(rows: Iterable[tuple[str, str, int]]) -> int:
    """Messages that were left out; what is damaged in the file itself is counted otherwise."""
    return sum(number for topic, _, number in rows if topic != "log")


@log.command("plot", help="Draw when each topic spoke, its gaps and its latency. Exit code 3 as `check`.")
def plot(
    path: Source,
    out: Annotated[Path, typer.Argument(help="The .png file.", show_default=False)],
    allow: Allow = None,
) -> None:
    """Write the timeline of a log as a picture."""
    import cv2

    from fusion_pipeline.dashboard.timeline import timeline
    from fusion_pipeline.logs.survey import surveyed
    from fusion_pipeline.output_file import write_whole

    allowed = allowed_names(allow)
    if out.suffix != ".png":
        raise UserError(f"{out} should end in .png")
    with progress("messages") as advance:
        found = surveyed(path, advance)
    picture = timeline(found, verdict(found.findings, allowed))
    write_whole(out, cv2.imencode(".png", picture)[1].tobytes())
    print_findings(found.findings, allowed)
    typer.echo(f"written: {out}; {verdict(found.findings, allowed)}")
    end_by(found.findings, allowed)
