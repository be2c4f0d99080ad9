"""Progress of long work: a bar that appears only when the work takes longer than two seconds."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sized
from contextlib import contextmanager
from typing import Protocol, TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

T = TypeVar("T")
PATIENCE_S = 2.0  # shorter work needs no bar
PLAIN_PERIOD_S = 10.0  # between lines where there is no terminal


class Advance(Protocol):
    """Called by the worker after each piece of work."""

    def __call__(self, steps: int = 1, note: str = "") -> None:
        """`steps` more are done; `note` is shown behind the bar."""


class _Bar:
    def __init__(self, what: str, total: int | None, console: Console) -> None:
        self._what, self._total, self._console = what, total, console
        self._start = self._said = time.monotonic()
        self._done = 0
        self._progress: Progress | None = None

    def __call__(self, steps: int = 1, note: str = "") -> None:
        self._done += steps
        now = time.monotonic()
        if now - self._start < PATIENCE_S:
            return
        if not self._console.is_terminal:
            if now - self._said >= PLAIN_PERIOD_S:
                self._said = now
                of = "" if self._total is None else f" of {self._total}"
                self._console.print(f"{self._what}: {self._done}{of} {note}".rstrip(), highlight=False)
            return
        if self._progress is None:
            self._progress = Progress(
                TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(),
                TextColumn("[dim]{task.fields[note]}"), console=self._console, transient=True,
            )  # fmt: skip
            self._task = self._progress.add_task(self._what, total=self._total, note=note)
            self._progress.start()
        self._progress.update(self._task, completed=self._done, note=note)

    def close(self) -> None:
        if self._progress is not None:
            self._progress.stop()


@contextmanager
def progress(what: str, total: int | None = None, console: Console | None = None) -> Iterator[Advance]:
    """`with progress("frames", 50) as advance: ...; advance()`. Writes to stderr, so that output can be piped."""
    bar = _Bar(what, total, console or Console(stderr=True))
    try:
        yield bar
    finally:
        bar.close()


def tracked(items: Iterable[T], what: str, total: int | None = None) -> Iterator[T]:
    """The items, with progress; `total` is their number where they do not know it themselves."""
    if total is None and isinstance(items, Sized):
        total = len(items)
    with progress(what, total) as advance:
        for item in items:
            yield item
            advance()
