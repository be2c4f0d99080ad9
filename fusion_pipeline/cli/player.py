"""`fusion player`: pause, step, seek and the rate of a replay that runs in another terminal."""

from __future__ import annotations

from typing import Annotated

import typer

from fusion_pipeline.cli.errors import UserError

PLAYER = "player"  # the process of launch/replay.py that plays


def player(
    words: Annotated[
        list[str],
        typer.Argument(
            help="pause, resume, toggle, step [SETS], seek SECONDS, rate TIMES|max|faster|slower, status.",
            show_default=False,
        ),
    ],
    pid: Annotated[
        int, typer.Option("--graph", help="The replay's process number, where several run.", show_default=False)
    ] = 0,
) -> None:
    """Control a replay from another terminal or a program.

    Times are seconds after the log's first message; `seek +5` and `seek=-5` are from here. The answer is one line that
    says where the player stands.
    """
    from fusion_pipeline.cli.topic import graph_of
    from fusion_pipeline.control import ask

    card = graph_of(pid)
    if PLAYER not in card.controls:
        raise UserError(f"the graph {card.name} (process {card.pid}) plays no log; start one with `fusion replay`")
    text = " ".join(words).replace("=", " ", 1)
    typer.echo(ask(card.controls[PLAYER], text))
