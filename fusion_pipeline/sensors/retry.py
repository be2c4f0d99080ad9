"""One way to live with devices that are unplugged, silent or late: report, try again with back-off, go on."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TypeVar

Item = TypeVar("Item")
Report = Callable[[str, str], None]  # state ("ready" or "degraded"), detail

POLL_S = 0.2  # a device yields None when it has had nothing for this long


class DriverError(RuntimeError):
    """A device cannot be opened or has failed; it may come back, so the driver tries again."""


class SetupError(RuntimeError):
    """A device cannot work as configured, whatever is plugged in; the message says what to do."""


@dataclass(frozen=True)
class Patience:
    """How long a device may be silent, and how soon it is tried again."""

    silence_s: float = 2.0  # nothing for so long counts as a failure
    first_s: float = 0.5  # wait before the first new try; doubles with each failure
    longest_s: float = 10.0


PATIENCE = Patience()


def keep_reading(
    what: str,
    connect: Callable[[], AbstractContextManager[Iterator[Item | None]]],
    stop: threading.Event,
    report: Report,
    patience: Patience = PATIENCE,
) -> Iterator[Item]:
    """Items of the device `what`, through failures, until its input ends or `stop` is set.

    `connect` opens the device as a context; inside, it iterates over items, with None at least every POLL_S while there
    are none. DriverError, OSError and silence close it, are reported as "degraded", and lead to a new try. The first
    item reports "ready". Any other error passes through.
    """
    wait_s = patience.first_s
    working = False
    while not stop.is_set():
        try:
            with connect() as items:
                for item in _while_heard(what, items, stop, patience.silence_s):
                    if not working:
                        working, wait_s = True, patience.first_s
                        report("ready", what)
                    yield item
            return
        except (DriverError, OSError) as error:
            working = False
            report("degraded", f"{_text(what, error)}; next try in {wait_s:g} s")
        stop.wait(wait_s)
        wait_s = min(2 * wait_s, patience.longest_s)


def _while_heard(what: str, items: Iterator[Item | None], stop: threading.Event, silence_s: float) -> Iterator[Item]:
    heard = time.monotonic()
    for item in items:
        if stop.is_set():
            return
        if item is not None:
            yield item
            heard = time.monotonic()
        elif time.monotonic() - heard > silence_s:
            raise DriverError(f"{what}: nothing for {silence_s:g} s")


def _text(what: str, error: Exception) -> str:
    text = str(error)
    return text if what in text else f"{what}: {text}"
