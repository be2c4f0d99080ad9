"""`fusion bench`: each part of the pipeline beside its baseline."""

from __future__ import annotations

import datetime
import sys
import time
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fusion_pipeline.cli.errors import UserError

if TYPE_CHECKING:
    from rich.console import Console

# Name -> (module with `run(quick)`, title).
BENCHMARKS: dict[str, tuple[str, str]] = {
    "transport": ("fusion_pipeline.bench.transport", "Between processes"),
    "wire": ("fusion_pipeline.bench.wire", "Messages as bytes, whole and damaged"),
    "align": ("fusion_pipeline.bench.align", "Alignment"),
    "encode": ("fusion_pipeline.bench.encode", "Encoding"),
    "network": ("fusion_pipeline.bench.network", "Networks"),
    "track": ("fusion_pipeline.bench.track", "Tracking"),
    "world": ("fusion_pipeline.bench.world", "The simulated world"),
    "record": ("fusion_pipeline.bench.record", "Recording"),
    "replay": ("fusion_pipeline.bench.replay", "Logs and replay"),
    "fleet": ("fusion_pipeline.bench.fleet", "Fleets of logs"),
    "graph": ("fusion_pipeline.bench.graph", "The whole graph"),
    "malformed": ("fusion_pipeline.bench.malformed", "Malformed inputs of every kind"),
    "faults": ("fusion_pipeline.bench.soak", "Processes killed, stopped and stuck, round by round"),
}
ALL = "all"


def bench(
    name: Annotated[str, typer.Argument(help=f"One of {', '.join(BENCHMARKS)}; or all.", show_default=False)],
    quick: Annotated[bool, typer.Option("--quick", help="Fewer repetitions: a look, not a measurement.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Figures and machine as JSON.")] = False,
    markdown: Annotated[bool, typer.Option("--markdown", help="Figures and machine as Markdown.")] = False,
    out: Annotated[
        Path | None, typer.Option("--out", help="Write JSON or Markdown into this file.", show_default=False)
    ] = None,
    count: Annotated[
        int, typer.Option("--count", help="How many malformed inputs; 0: as many as usual.", min=0, max=10_000_000)
    ] = 0,
    seed: Annotated[int, typer.Option("--seed", help="Of the malformed inputs.", min=0)] = 0,
) -> None:
    """Measure a part of the pipeline beside its baseline.

    Baseline and result are measured in the same run, since machines differ and are noisy. Close other programs first.
    Recorded drives, where a benchmark wants them, are looked for under $FUSION_DATA.
    """
    from rich.console import Console

    from fusion_pipeline.bench import report
    from fusion_pipeline.output_file import write_whole

    if json and markdown:
        raise UserError("--json and --markdown exclude each other; take one")
    names = _names(name)
    if (count or seed) and names != ("malformed",):
        raise UserError("--count and --seed are of `fusion bench malformed` alone; leave them out")
    chosen = {"count": count, "seed": seed} if names == ("malformed",) else {}
    console = Console(stderr=True)
    measured: dict[str, tuple[report.Figure, ...]] = {}
    for number, one in enumerate(names, 1):
        module, title = BENCHMARKS[one]
        head = f"{title} ({number} of {len(names)})"
        with console.status(head) as status:
            report.say = _reporter(console, head, status.update)
            measured[title] = tuple(import_module(module).run(quick, **chosen))
        if not json and not markdown:
            Console().print(report.table(title, measured[title]))
    if json or markdown:
        text = report.as_json(measured) if json else report.as_markdown(measured, datetime.date.today().isoformat())
        if out is None:
            sys.stdout.write(text)
        else:
            write_whole(out, text)
            console.print(f"written: {out}")


def _reporter(console: Console, head: str, update: Callable[[str], None]) -> Callable[[str], None]:
    """Shows what is being measured: in the status line, or as lines where there is no terminal."""
    began = time.monotonic()

    def say(text: str) -> None:
        line = f"{head}, {time.monotonic() - began:.0f} s: {text}"
        if console.is_terminal:
            update(line)
        else:
            console.print(line, highlight=False)

    return say


def _names(name: str) -> tuple[str, ...]:
    """The benchmarks that a name stands for. Raises UserError."""
    if name == ALL:
        return tuple(BENCHMARKS)
    if name not in BENCHMARKS:
        raise UserError(f"no benchmark is called {name!r}; known: {', '.join(BENCHMARKS)}, {ALL}")
    return (name,)
