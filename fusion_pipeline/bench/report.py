"""Benchmark figures, and the tables and JSON that they become."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass

from rich.markup import escape
from rich.table import Table


def _silent(text: str) -> None:
    """Nobody looks."""


say: Callable[[str], None] = _silent  # what a benchmark is at; set by whoever runs it


def step(text: str) -> None:
    """Report what a benchmark that takes minutes measures now."""
    say(text)


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured number beside its baseline, which was measured in the same run, and its target."""

    what: str
    value: float
    unit: str
    target: str = ""  # as people read it: "<= 3 ms"
    met: bool | None = None  # None where there is no target
    baseline: float | None = None
    baseline_name: str = ""
    note: str = ""
    low: float | None = None  # of the 95 % interval
    high: float | None = None
    n: int | None = None  # how many things were counted
    beside: tuple[tuple[str, float], ...] = ()  # further values by name, of the same run


def ranged(figure: Figure) -> str:
    """The value with its unit, its 95 % interval and n, as far as it has them."""
    text = f"{figure.value:.4g} {figure.unit}".rstrip()
    if figure.low is not None and figure.high is not None:
        text += f" [{figure.low:.3g}, {figure.high:.3g}]"
    return text if figure.n is None else f"{text} n={figure.n}"


def compared(figure: Figure) -> str:
    """The baseline, and what else was measured beside the value."""
    parts = [] if figure.baseline is None else [f"{figure.baseline:.4g} {figure.unit} ({figure.baseline_name})"]
    parts += [f"{value:.4g} {figure.unit} ({name})" for name, value in figure.beside]
    return "; ".join(" ".join(part.split()) for part in parts)


def table(title: str, figures: Iterable[Figure]) -> Table:
    """The figures as a terminal table."""
    view = Table(title=title, title_justify="left")
    for column, justify in (
        ("what", "left"),
        ("result", "right"),
        ("baseline", "right"),
        ("target", "left"),
        ("", "left"),
    ):
        view.add_column(column, justify=justify)  # type: ignore[arg-type]
    for figure in figures:
        verdict = "" if figure.met is None else ("met" if figure.met else "MISSED")
        what = figure.what + (f"\n  {figure.note}" if figure.note else "")
        view.add_row(*(escape(cell) for cell in (what, ranged(figure), compared(figure), figure.target, verdict)))
    return view


def markdown(title: str, figures: Iterable[Figure]) -> str:
    """The figures as a Markdown table, for BENCHMARKS.md."""
    lines = [f"### {title}", "", "| what | result | baseline, same run | target | |", "|---|---|---|---|---|"]
    for figure in figures:
        verdict = "" if figure.met is None else ("met" if figure.met else "**missed**")
        what = figure.what + (f"; {figure.note}" if figure.note else "")
        lines.append(f"| {what} | {ranged(figure)} | {compared(figure)} | {figure.target} | {verdict} |")
    return "\n".join(lines) + "\n"


def as_markdown(measured: Mapping[str, Sequence[Figure]], date: str) -> str:
    """Benchmarks by title as a Markdown document that names the machine and the day."""
    about = "\n".join(f"* {name}: {value}" for name, value in machine().items())
    head = f"""# Benchmarks

Printed by `fusion bench all --markdown --out BENCHMARKS.md` on {date}.
Baseline and result come from the same run. Missed targets say so.

{about}
"""
    return "\n".join([head, *(markdown(title, figures) for title, figures in measured.items())])


def as_json(measured: Mapping[str, Sequence[Figure]]) -> str:
    """Benchmarks by title, and the machine, as JSON."""
    tables = [{"benchmark": title, "figures": [asdict(f) for f in figures]} for title, figures in measured.items()]
    return json.dumps({"machine": machine(), "benchmarks": tables}, indent=2) + "\n"


def machine() -> dict[str, str | int]:
    """What the figures were measured on."""
    return {
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 0,
        "memory": f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.0f} GiB",
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
    }


def _processor() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as lines:  # noqa: PTH123
            names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    except OSError:
        names = []
    return names[0] if names else platform.processor() or platform.machine()
