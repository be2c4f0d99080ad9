"""The keyboard while a log is played: keys become words for the player; the live table goes on."""

from __future__ import annotations

import contextlib
import os
import select
import sys
import threading
from collections.abc import Callable, Iterator, Mapping

KEYS = {
    b" ": "toggle", b".": "step", b"\x1b[C": "seek +5", b"\x1b[D": "seek -5",
    b"\x1b[A": "rate faster", b"\x1b[B": "rate slower", b"m": "rate max", b"1": "rate 1",
}  # fmt: skip
HINT = "space pauses, . steps, left and right seek 5 s, up and down change the rate, Ctrl-C ends the run"
LOOK_S = 0.2


@contextlib.contextmanager
def keyboard(tell: Callable[[str], None], keys: Mapping[bytes, str] = KEYS) -> Iterator[bool]:
    """Call `tell` with each word of `keys` that is typed, from a thread. Yields whether there is a keyboard at all: not
    where the input is no terminal, or belongs to another program.
    """
    if not _ours():
        yield False
        return
    import termios
    import tty

    done, descriptor = threading.Event(), sys.stdin.fileno()
    before = termios.tcgetattr(descriptor)
    tty.setcbreak(descriptor)  # keys come at once and unseen; Ctrl-C stays a signal
    reader = threading.Thread(target=_read, args=(descriptor, done, tell, keys), name="keyboard", daemon=True)
    reader.start()
    try:
        yield True
    finally:
        done.set()
        reader.join(2 * LOOK_S)
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)


def words_of(typed: bytes, keys: Mapping[bytes, str] = KEYS) -> list[str]:
    """The words of what was typed; keys that mean nothing are passed over."""
    words = []
    while typed:
        length = 3 if typed.startswith(b"\x1b[") else 1
        word = keys.get(typed[:length])
        words += [word] if word else []
        typed = typed[length:]
    return words


def _ours() -> bool:
    try:
        return sys.stdin.isatty() and os.tcgetpgrp(sys.stdin.fileno()) == os.getpgrp()
    except (OSError, ValueError, AttributeError):  # no terminal, closed, or not of this kind
        return False


def _read(descriptor: int, done: threading.Event, tell: Callable[[str], None], keys: Mapping[bytes, str]) -> None:
    while not done.is_set():
        if select.select([descriptor], [], [], LOOK_S)[0]:
            try:
                typed = os.read(descriptor, 64)
            except OSError:
                return
            if not typed:
                return
            for word in words_of(typed, keys):
                tell(word)
