"""A running graph in the terminal: a table that renews itself, or a line now and then where there is no terminal."""

from __future__ import annotations

import contextlib
import json
import math
import os
import time
from collections.abc import Callable
from dataclasses import asdict
from types import TracebackType
from typing import Self

from rich.columns import Columns
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.markup import escape
from rich.text import Text

from fusion_pipeline.child import Event
from fusion_pipeline.dashboard.board import Board
from fusion_pipeline.dashboard.tables import (
    label_of,
    latency_table,
    nearest_rows,
    nodes_table,
    objects_table,
    side,
    sounds_table,
)
from fusion_pipeline.messages import Detections, Message, StageTiming, Tracks
from fusion_pipeline.supervisor import Supervisor

REFRESH_S = 0.25  # of the table: the eye needs no more, and the cores have other work
SUMMARY = "summary.json"  # in the run's folder
PLAIN_PERIOD_S = 5.0  # between lines where there is no terminal


class LiveView:
    """Shows what `supervisor` runs while the context is open; feed it every message and call `tick` now and then.

    With `show` off it only gathers. `plain` writes lines in place of the table; by default it does where the output is
    no terminal.
    """

    def __init__(
        self, supervisor: Supervisor, show: bool = True, console: Console | None = None, plain: bool | None = None
    ) -> None:
        graph = supervisor.graph
        self.board = Board(graph.replay, tracked=any("tracks" in process.topics for process in graph.processes))
        self._supervisor = supervisor
        players = (process.config for process in graph.processes if process.label == "player")
        self._rate = float(getattr(next(players, None), "rate", 0.0)) if graph.replay else 0.0
        self._show = show
        self._console = console or _Terminal(highlight=False)
        self._plain = not self._console.is_terminal if plain is None else plain
        self._live = Live(console=self._console, auto_refresh=False, transient=True)
        self._began = self._drawn = time.monotonic()
        self._last_event: Event | None = None
        self._seen_first = False
        self.hint = "Ctrl-C ends the run"  # the table's last line

    def __enter__(self) -> Self:
        if self._show and not self._plain:
            self._draw(self._live.start)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._draw(self._live.stop)

    @property
    def on_screen(self) -> bool:
        """Whether there is a table that renews itself, rather than lines or nothing."""
        return self._show and not self._plain

    @property
    def elapsed_s(self) -> float:
        """Seconds since the view was made."""
        return time.monotonic() - self._began

    def feed(self, message: Message) -> None:
        """Take a message of the graph."""
        self.board.feed(message)
        found = self.board.last
        if not self._seen_first and found is not None and len(found.boxes):
            self._seen_first = True
            self._say(f"first detection after {self.elapsed_s:.1f} s: {_nearest(found)}")

    def tick(self) -> None:
        """Say what happened, and draw anew where it is time to."""
        self._say_events()
        now = time.monotonic()
        if self._show and now - self._drawn >= (PLAIN_PERIOD_S if self._plain else REFRESH_S):
            self._drawn = now
            if self._plain:
                self._say(self.line())
            else:
                self._draw(lambda: self._live.update(self.screen(), refresh=True))

    def screen(self) -> RenderableType:
        """The whole table."""
        states = {label: (child.state, child.reason) for label, child in self._supervisor.children.items()}
        parts: list[RenderableType] = [nodes_table(states, self.board.nodes, self._title())]
        if self.board.last is not None:
            side_by_side: list[RenderableType] = [objects_table(self.board.last)]
            if self.board.last.sounds:
                side_by_side.append(sounds_table(self.board.last))
            parts.append(Columns(side_by_side))
            parts.append(Text.assemble(*(_end_to_end(timing) for timing in self.board.end_to_end())))
        for trouble in (*self.board.stream_troubles(), *self._pace()):
            parts.append(Text(f" {trouble}", style="yellow"))
        parts.append(Text(self.hint, style="dim"))
        return Group(*parts)

    def line(self) -> str:
        """The state in one line of plain text."""
        board, children = self.board, self._supervisor.children
        stalled = self.board.stalled()
        up = sum(child.state == "running" and label not in stalled for label, child in children.items())
        parts = [f"{self.elapsed_s:.0f} s", f"{up} of {len(children)} processes up"]
        finished = sum(child.state == "done" for child in children.values())
        parts.extend([f"{finished} finished"] if finished else [])
        if board.last is not None:
            parts.append(f"{board.set_rate_hz():.1f} sets/s")
            parts.append(_nearest(board.last))
            parts.extend(f"{t.stage}: p50 {t.p50_ms:.1f} ms, p95 {t.p95_ms:.1f} ms" for t in board.end_to_end()[:1])
        parts.append(f"dropped {board.dropped()}, refused {board.refused()}")
        parts.extend(self._pace())
        parts.extend(board.troubles())
        parts.extend(board.stream_troubles())
        return "; ".join(parts)

    def summary(self) -> None:
        """The latency table of the whole run, then what was lost and where the logs are."""
        self._draw(self._print_summary)

    def _print_summary(self) -> None:
        self._say_events()
        stages = (*self.board.whole_run(), *self.board.elsewhere())
        if stages:
            self._console.print(latency_table(stages, "latency table"))
        for trouble in (*self.board.troubles(), *self.board.stream_troubles(), *self._pace()):
            self._console.print(Text(trouble), style="yellow", soft_wrap=True)
        restarts = sum(len(child.restarts) for child in self._supervisor.children.values())
        self._console.print(
            f"{self.board.sets_made} sets in {self.elapsed_s:.1f} s; dropped {self.board.dropped()}, "
            f"refused {self.board.refused()}, restarts {restarts}; logs in {self._supervisor.output}",
            soft_wrap=True,
        )

        lost = self.board.losses()
        for what, count in lost.items():
            self._console.print(Text(f"{count} x {what}"), soft_wrap=True)
        if stages:
            self._console.print(f"figures and losses are in {self._supervisor.output / SUMMARY}", soft_wrap=True)

    def write_summary(self) -> None:
        """Latency by stage, losses by node, topic and reason, and what was wrong, as JSON in the run's folder."""
        table = {
            "name": self._supervisor.name, "seconds": round(self.elapsed_s, 3), "sets": self.board.sets,
            "latency_ms": [asdict(timing) for timing in (*self.board.whole_run(), *self.board.elsewhere())],
            "losses": self.board.losses(),
            "troubles": [*self.board.troubles(), *self.board.stream_troubles(), *self._pace()],
        }  # fmt: skip
        with contextlib.suppress(OSError):  # a full disk does not end a run differently
            (self._supervisor.output / SUMMARY).write_text(json.dumps(table, indent=1) + "\n", encoding="utf-8")

    def _pace(self) -> tuple[str, ...]:
        """That a replay at a rate does not reach it."""
        pace = self.board.pace()
        slow = self._rate and 0 < pace < 0.9 * self._rate
        return (f"keeps up with {pace:.2f} x of {self._rate:g} x real time",) if slow else ()

    def _title(self) -> str:
        return f"{escape(self._supervisor.name)}, {self.elapsed_s:.0f} s, {self.board.set_rate_hz():.1f} sets/s"

    def _say(self, text: str, style: str | None = None) -> None:
        if self._show:
            self._draw(lambda: self._live.console.print(Text(text), style=style, soft_wrap=True))

    def _draw(self, show: Callable[[], object]) -> None:
        """Show something. A screen that is gone (a closed pipe or terminal, a full disk) does not stop the run."""
        if self._console.quiet:
            return
        try:
            show()
        except OSError:
            _give_up(self._console)

    def _say_events(self) -> None:
        events = list(self._supervisor.events)
        said = [number for number, event in enumerate(events, 1) if event is self._last_event]
        for event in events[said[0] if said else 0 :]:
            self._say(f"{event.process}: {event.what}", "yellow")
            self._last_event = event


class _Terminal(Console):
    """A console that falls silent where its reader has gone; that of the library ends the program."""

    def on_broken_pipe(self) -> None:
        """Say nothing more."""
        _give_up(self)


def _give_up(console: Console) -> None:
    """Nothing more is shown, not even what still waits in the stream's buffer."""
    console.quiet = True
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), console.file.fileno())


def _end_to_end(timing: StageTiming) -> tuple[str, str]:
    return f" {timing.stage}: p50 {timing.p50_ms:.1f} ms, p95 {timing.p95_ms:.1f} ms \n", "bold"


def _nearest(found: Tracks | Detections) -> str:
    """The boxes of a set in words."""
    boxes = found.boxes
    if not len(boxes):
        return "nothing in sight"
    row = nearest_rows(boxes)[0]
    x, y = boxes.centers_m[row, :2].tolist()
    more = f" and {len(boxes) - 1} more" if len(boxes) > 1 else ""
    label = label_of(found.class_names, int(boxes.labels[row]))
    return f"{label} {boxes.scores[row]:.2f} at {math.hypot(x, y):.1f} m {side(math.atan2(y, x))}{more}"
