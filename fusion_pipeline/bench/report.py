"""Benchmark figures, and the tables and JSON that they become."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Iterable
from dataclasses import asdict, dataclass

from rich.table import Table


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
        baseline = "" if figure.baseline is None else f"{figure.baseline:.4g} {figure.unit} ({figure.baseline_name})"
        what = figure.what + (f"\n  {figure.note}" if figure.note else "")
        view.add_row(what, f"{figure.value:.4g} {figure.unit}", baseline, figure.target, verdict)
    return view


def markdown(title: str, figures: Iterable[Figure]) -> str:
    """The figures as a Markdown table, for BENCHMARKS.md."""
    lines = [f"### {title}", "", "| what | result | baseline, same run | target | |", "|---|---|---|---|---|"]
    for figure in figures:
        verdict = "" if figure.met is None else ("met" if figure.met else "**missed**")
        baseline = "" if figure.baseline is None else f"{figure.baseline:.4g} {figure.unit} ({figure.baseline_name})"
        what = figure.what + (f"; {figure.note}" if figure.note else "")
        lines.append(f"| {what} | {figure.value:.4g} {figure.unit} | {baseline} | {figure.target} | {verdict} |")
    return "\n".join(lines) + "\n"


def as_json(title: str, figures: Iterable[Figure]) -> str:
    """The figures and the machine as JSON."""
    return json.dumps({"benchmark": title, "machine": machine(), "figures": [asdict(f) for f in figures]}, indent=2)


def machine() -> dict[str, str | int]:
    """What the figures were measured on."""
    return {
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 0,
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
