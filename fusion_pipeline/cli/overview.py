"""What `fusion --help` shows."""

from __future__ import annotations

from rich.console import Console
from rich.markup import escape
from rich.panel import Panel
from rich.table import Table

from fusion_pipeline.cli.verbs import VERBS


def show_overview() -> None:
    """Write the verbs, each with its line, and the first steps."""
    console = Console(highlight=False)
    console.print("\n [bold]fusion[/] VERB [OPTIONS]\n")
    console.print(" Camera, LiDAR and audio: aligned, fused, tracked, published; live or from a log.\n")
    console.print(_panel("Verbs", {name: verb.summary for name, verb in VERBS.items()}))
    options = {
        "--help": "This page; after a verb, that verb's options and examples.",
        "--version": "The version of fusion_pipeline.",
        "--debug": "Show the traceback of an error instead of one line.",
    }
    console.print(_panel("Options", options))
    console.print(" First steps: [bold cyan]fusion demo[/], then [bold cyan]fusion replay --help[/].\n")


def _panel(title: str, rows: dict[str, str]) -> Panel:
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column(style="bold cyan", no_wrap=True, min_width=9)
    table.add_column()
    for name, text in rows.items():
        table.add_row(name, escape(text))
    return Panel(table, title=title, title_align="left", border_style="dim")
