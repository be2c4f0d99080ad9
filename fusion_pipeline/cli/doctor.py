"""`fusion doctor`: is this machine ready?"""

from __future__ import annotations

import json as json_module
import sys
from dataclasses import asdict
from typing import Annotated

import typer

STYLES = {"ok": "green", "warning": "yellow", "failed": "bold red"}


def doctor(
    json: Annotated[bool, typer.Option("--json", help="The checks as JSON.")] = False,
    compile_now: Annotated[
        bool, typer.Option("--compile", help="Compile the fast loops as well, so that the next start is quick.")
    ] = False,
) -> None:
    """Check this machine: libraries, GPU providers, clock, shared memory, devices.

    Says what was found, and what to type where something is missing. Ends with 2 where the demo could not run.
    """
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    from fusion_pipeline.doctor import checks

    found = []
    with Console(stderr=True).status("looking") as status:
        for check in checks():
            found.append(check)
            status.update(f"looking: {escape(check.name)}")
        if compile_now:
            from fusion_pipeline.warm import compile_loops

            status.update("compiling")
            compile_loops()
    if json:
        sys.stdout.write(json_module.dumps([asdict(check) for check in found], indent=2) + "\n")
    else:
        table = Table("check", "", "found", "what to do", header_style="dim", border_style="dim")
        for check in found:
            advice = check.advice if check.state != "ok" else ""
            state = f"[{STYLES[check.state]}]{check.state}[/]"
            table.add_row(escape(check.name), state, escape(check.found), escape(advice))
        Console().print(table)
    if any(check.state == "failed" for check in found):
        raise typer.Exit(2)
