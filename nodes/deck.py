"""The controls of a player: pause, step, seek, rate. Words come from other threads while it plays."""

from __future__ import annotations

import threading
import time

from fusion_pipeline.node import NodeError

COMMANDS = ("pause", "resume", "toggle", "step", "seek", "rate", "status")
LOOK_S = 0.2  # how often a wait looks whether it should end
RATES = (0.1, 1000.0)


class Deck:
    """Says when a message may be played. All times are seconds after the log's first message."""

    def __init__(self, length_s: float, rate: float, paused: bool = False) -> None:
        """`rate` is times real time; 0 is as fast as the readers take it."""
        self._length_s, self._rate, self._paused = length_s, rate, paused
        self._changed = threading.Condition()
        self._steps = 0
        self._seek_s: float | None = None
        self._position_s = 0.0
        self._anchor: tuple[float, float] | None = None  # (monotonic, position) from which the pace is counted

    def command(self, text: str) -> str:
        """Do what `text` says and answer where the player stands. Raises NodeError for what cannot be done."""
        word, _, value = text.strip().partition(" ")
        with self._changed:
            self._do(word, value.strip())
            self._anchor = None
            self._changed.notify_all()
            return self._said()

    def status(self) -> str:
        """Where the player stands, in words."""
        with self._changed:
            return self._said()

    @property
    def anchor(self) -> tuple[float, float] | None:
        """Since when the pace holds: (monotonic, position); None where there is none."""
        with self._changed:
            return self._anchor

    def may_play(self, at_s: float, stop: threading.Event, unseen: bool = False) -> bool:
        """Wait until what lies at `at_s` is due; not at all for what is `unseen`. False: a seek was asked for, or
        `stop` was set.
        """
        with self._changed:
            while not stop.is_set() and self._seek_s is None:
                if unseen:
                    return True
                wait_s = self._wait_s(at_s)
                if wait_s <= 0:
                    self._position_s = at_s
                    return True
                self._changed.wait(min(wait_s, LOOK_S))
        return False

    @property
    def stepping(self) -> bool:
        """Whether a step has been asked for and is not over."""
        with self._changed:
            return self._steps > 0

    def stepped(self) -> None:
        """One set more is out."""
        with self._changed:
            self._steps = max(0, self._steps - 1)
            self._anchor = None

    def take_seek(self) -> float | None:
        """Where to go on, once, after `may_play` was false."""
        with self._changed:
            found, self._seek_s, self._anchor = self._seek_s, None, None
            self._position_s = self._position_s if found is None else found
            return found

    def begin(self) -> None:
        """Count the pace anew: what comes next does not follow from what came before."""
        with self._changed:
            self._anchor = None

    def _wait_s(self, at_s: float) -> float:
        if self._steps:
            return 0.0
        if self._paused:
            self._anchor = None
            return LOOK_S
        if not self._rate:
            return 0.0
        now = time.monotonic()
        began_s, first_s = self._anchor = self._anchor or (now, at_s)
        return began_s + (at_s - first_s) / self._rate - now

    def _do(self, word: str, value: str) -> None:
        if word in ("pause", "resume", "toggle"):
            self._paused = {"pause": True, "resume": False, "toggle": not self._paused}[word]
            self._steps = 0
        elif word == "step":
            count = _number(value or "1", "step")
            if count < 1 or count != int(count):
                raise NodeError(f"step {value}: write how many sets, such as 1 or 10")
            self._paused, self._steps = True, self._steps + int(count)
        elif word == "seek":
            here = self._position_s if self._seek_s is None else self._seek_s
            target = _number(value, "seek") + (here if value[:1] in ("+", "-") else 0.0)
            if target > self._length_s:
                raise NodeError(f"seek {value}: the log ends at {self._length_s:.2f} s")
            self._seek_s, self._steps = max(0.0, target), 0
        elif word == "rate":
            factor = {"faster": 2.0, "slower": 0.5}.get(value)
            rate = 0.0 if value == "max" else _number(value, "rate") if factor is None else (self._rate or 1.0) * factor
            if value != "max" and not RATES[0] <= rate <= RATES[1]:
                raise NodeError(f'rate {value}: write {RATES[0]:g} to {RATES[1]:g}, "max", "faster" or "slower"')
            self._rate = rate
        elif word != "status":
            raise NodeError(f"{word!r} is no command of a player; known: {', '.join(COMMANDS)}")

    def _said(self) -> str:
        doing = "paused" if self._paused else "playing"
        rate = f"{self._rate:g} x" if self._rate else "max"
        here = self._position_s if self._seek_s is None else self._seek_s
        return f"{doing} at {here:.2f} of {self._length_s:.2f} s, rate {rate}"


def _number(text: str, word: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = float("nan")
    if not abs(number) < 1e9:
        raise NodeError(f"{word} {text}: write a number")
    return number
