"""Where attempts run: a few at a time, each of which ends in one `Finished`, whatever happens to its worker."""

from __future__ import annotations

import traceback
from dataclasses import dataclass
from typing import Any, Protocol

from fusion_pipeline.fleet.job import Order


@dataclass(frozen=True, slots=True)
class Finished:
    """How an attempt ended: with a result, or an error in a line and its traceback."""

    order: Order
    seconds: float
    result: dict[str, Any] | None = None
    error: str = ""
    trace: str = ""


class Engine(Protocol):
    """Workers."""

    slots: int

    def submit(self, order: Order) -> None:
        """Begin an attempt; at most `slots` may run."""

    def wait(self, timeout_s: float) -> list[Finished]:
        """What has ended, waiting for something to end for up to `timeout_s`."""

    def close(self) -> None:
        """Stop what runs and leave nothing behind."""


def told(error: BaseException) -> tuple[str, str]:
    """An error in a line, and its traceback."""
    said = " ".join(str(error).split()) or "no message"
    return f"{type(error).__name__}: {said}", "".join(traceback.format_exception(error))
