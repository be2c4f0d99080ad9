"""The process that plays a log: with its own stamps, deterministically, or in the place of live sensors."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fusion_pipeline.clock import now_ns, seconds_to_ns
from fusion_pipeline.messages import Header, LogTime, Message
from fusion_pipeline.node import NodeError, Source

if TYPE_CHECKING:
    from fusion_pipeline.logs.reader import Log

AHEAD = 8  # messages read ahead, so that a slow disk does not delay what is due
LOGTIME = "logtime"


@dataclass(frozen=True)
class PlayerConfig:
    """What to play, how fast, and as what."""

    log: Path
    rate: float = 1.0  # times real time; 0 as fast as the pipeline takes it
    topics: tuple[str, ...] = ()  # empty: all sensor topics
    start_s: float = 0.0  # after the log's first message
    end_s: float = 0.0  # 0: to its end
    loop: bool = False
    live: bool = False  # stamps become those of now, and nobody waits for slow readers


class Player(Source[PlayerConfig]):
    """A log's messages in order of arrival.

    Each new arrival time is announced by a `LogTime`: all that arrived before has been sent. So deadlines fall between
    the same messages at any rate. Played live there is no such announcement, as with sensors.
    """

    @classmethod
    def topics_written(cls, config: PlayerConfig) -> tuple[str, ...]:
        """The log's sensor topics, and the log's time."""
        return (*(config.topics or _open(config.log).topics), *(() if config.live else (LOGTIME,)))

    @classmethod
    def files(cls, config: PlayerConfig) -> tuple[Any, ...]:
        """The log."""
        return (config.log,)

    def open(self) -> None:
        """Look into the log. Raises NodeError for settings that cannot be."""
        if self.config.rate < 0:
            raise NodeError(f"rate is {self.config.rate}; write a number above 0, or 0 for as fast as possible")
        self._log = _open(self.config.log)
        unknown = sorted(set(self.config.topics) - set(self._log.topics))
        if unknown:
            raise NodeError(f"{self.config.log} has no topic {unknown[0]!r}; it has {', '.join(self._log.topics)}")

    def messages(self, stop: threading.Event) -> Iterator[Message]:
        """Play until the end, or for ever with `loop`."""
        shift = now_ns() - self._log.start_ns if self.config.live else 0
        pace = _Pace(1.0 if self.config.live else self.config.rate)
        last = 0
        for message, lap in self._laps(stop):
            moved = _moved(message, shift + lap)
            arrival = moved.header.arrival_ns
            if not pace.wait_until(arrival, stop):
                return
            if arrival > last and not self.config.live:
                yield LogTime(Header(LOGTIME, arrival - 1, arrival - 1))
            last = max(last, arrival)
            yield moved
        if last and not self.config.live:
            yield LogTime(Header(LOGTIME, last, last))

    def counts(self) -> dict[tuple[str, str], int]:
        """Totals of what could not be read."""
        return dict(self._log.refused) if hasattr(self, "_log") else {}

    def _laps(self, stop: threading.Event) -> Iterator[tuple[Message, int]]:
        """Messages with the time by which their lap lies after the first, read ahead by a thread."""
        ready: queue.Queue[tuple[Message, int] | BaseException | None] = queue.Queue(AHEAD)

        def put(item: tuple[Message, int] | BaseException | None) -> None:
            while not stop.is_set():
                try:
                    return ready.put(item, timeout=0.2)
                except queue.Full:
                    continue

        def read() -> None:
            try:
                lap, lap_ns = 0, self._log.end_ns - self._log.start_ns + seconds_to_ns(0.1)
                while not stop.is_set() and (lap == 0 or self.config.loop):
                    for message in self._wanted():
                        put((message, lap * lap_ns))
                        if stop.is_set():
                            return
                    lap += 1
                put(None)
            except Exception as error:
                put(error)

        threading.Thread(target=read, name="read ahead", daemon=True).start()
        while not stop.is_set():
            try:
                item = ready.get(timeout=0.2)
            except queue.Empty:
                continue
            if item is None:
                return
            if isinstance(item, BaseException):
                raise item
            yield item

    def _wanted(self) -> Iterator[Message]:
        first = self._log.start_ns + seconds_to_ns(self.config.start_s)
        final = self._log.start_ns + seconds_to_ns(self.config.end_s) if self.config.end_s else self._log.end_ns
        for message in self._log.messages():
            if message.header.arrival_ns > final:
                return
            chosen = not self.config.topics or message.header.source in self.config.topics
            if chosen and message.header.arrival_ns >= first:
                yield message


class _Pace:
    """Holds messages back until their time has come."""

    def __init__(self, rate: float) -> None:
        self._rate = rate
        self._began: tuple[float, int] | None = None

    def wait_until(self, stamp_ns: int, stop: threading.Event) -> bool:
        """False where `stop` was set first."""
        if self._rate:
            began_s, first_ns = self._began = self._began or (time.monotonic(), stamp_ns)
            stop.wait(max(0.0, began_s + (stamp_ns - first_ns) / 1e9 / self._rate - time.monotonic()))
        return not stop.is_set()


def _moved(message: Message, by_ns: int) -> Message:
    if not by_ns:
        return message
    header = message.header
    moved = replace(header, capture_ns=header.capture_ns + by_ns, arrival_ns=header.arrival_ns + by_ns)
    return replace(message, header=moved)


def _open(path: Path) -> Log:
    from fusion_pipeline.logs.reader import open_log

    return open_log(path)
