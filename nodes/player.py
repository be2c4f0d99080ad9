"""The process that plays a log: with its own stamps, deterministically, or in the place of live sensors."""

from __future__ import annotations

import math
import queue
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from fusion_pipeline.checks import Range
from fusion_pipeline.clock import LAST_NS, MILLISECOND_NS, SECOND_NS, now_ns, seconds_to_ns
from fusion_pipeline.messages import Header, Lap, LidarScan, LogTime, Message
from fusion_pipeline.node import NodeError, Source
from nodes.deck import COMMANDS, Deck

if TYPE_CHECKING:
    from fusion_pipeline.logs.reader import Log

WarmUp = Annotated[float, Range(0, infinite=True)]
AHEAD = 8  # messages read ahead, so that a slow disk does not delay what is due
SAY_S = 0.4  # how often its health says where it stands
LOGTIME, LAP = "logtime", "lap"
SETTLE_NS = SECOND_NS  # read on after `end_s`, since what belongs to the last set may arrive after it
GAP_NS = SECOND_NS // 10  # between two laps played live


@dataclass(frozen=True)
class PlayerConfig:
    """What to play, how fast, and as what. Times are seconds after the log's first message."""

    log: Path
    rate: Annotated[float, Range(0, 1e6)] = 1.0  # times real time; 0 as fast as the pipeline takes it
    topics: tuple[str, ...] = ()  # empty: all sensor topics
    remap: tuple[str, ...] = ()  # "camera/left=camera/front": the first is played as the second
    start_s: Annotated[float, Range(0)] = 0.0
    end_s: Annotated[float, Range(0)] = 0.0  # 0: to the log's end
    warm_up_s: WarmUp = 2.0  # before the start and a seek, played unseen so that nothing begins cold; inf: all
    loops: Annotated[int, Range(0)] = 1  # 0: for ever
    live: bool = False  # stamps become those of now, and nobody waits for slow readers
    paused: bool = False
    step_topic: str = ""  # a step ends when the set of this topic's next message is out; empty: the first topic
    step_ms: Annotated[float, Range(0, 60_000)] = 60.0  # the deadline of a set, after its message has arrived


class Player(Source[PlayerConfig]):
    """A log's messages in order of arrival.

    Each new arrival time is announced by a `LogTime`: all that arrived before has been sent. So deadlines fall between
    the same messages at any rate. Each lap, and each seek, begins with a `Lap`. Played live there is neither, as with
    sensors.
    """

    commands = COMMANDS

    @classmethod
    def topics_written(cls, config: PlayerConfig) -> tuple[str, ...]:
        """The log's sensor topics by their new names, the log's time and its laps."""
        new = renamed(config.remap)
        topics = (new.get(topic, topic) for topic in config.topics or _open(config.log).topics)
        return (*topics, *(() if config.live else (LOGTIME, LAP)))

    @classmethod
    def files(cls, config: PlayerConfig) -> tuple[Any, ...]:
        """The log; of a scene or sequence within a data set, the data set."""
        return (config.log if config.log.exists() else config.log.parent,)

    def open(self) -> None:
        """Look into the log. Raises NodeError for settings that cannot be."""
        config = self.config
        self._log = _open(config.log)
        refuse_impossible(config, self._log)
        self._new_name = renamed(config.remap)
        length_s = (self._log.end_ns - self._log.start_ns) / SECOND_NS
        self._until_ns = self._at(config.end_s) if config.end_s else LAST_NS
        self._say_s = 0.0
        self._deck = Deck(length_s, config.rate, config.paused)
        self.report(self.state, self._deck.status())
        topics = config.topics or self._log.topics
        self._step_topic = config.step_topic or self._new_name.get(topics[0], topics[0])

    def command(self, text: str) -> str:
        """Pause, resume, step, seek, set the rate, or tell where it stands."""
        if self.config.live and text.startswith("rate"):
            raise NodeError("this log stands in for sensors; its rate is 1")
        said = self._deck.command(text)
        self.report(self.state, said)
        return said

    def counts(self) -> dict[tuple[str, str], int]:
        """Totals of what could not be read."""
        return dict(self._log.refused) if hasattr(self, "_log") else {}

    def messages(self, stop: threading.Event) -> Iterator[Message]:
        """Play until the end, or as often as `loops` says."""
        number = lap = 0
        place_s = self.config.start_s
        while not stop.is_set() and (not self.config.loops or lap < self.config.loops):
            self._deck.begin()
            if self.config.live:
                yield from self._live(place_s, stop, wait=number > 0)
            else:
                yield from self._lap(number, place_s, stop)
            number += 1
            sought_s = self._deck.take_seek()
            lap, place_s = (lap + 1, self.config.start_s) if sought_s is None else (lap, sought_s)

    def _lap(self, number: int, place_s: float, stop: threading.Event) -> Iterator[Message]:
        """From `place_s` to the end, with the log's own stamps; ends early where a seek is asked for."""
        place_ns = self._at(place_s) if place_s else 0  # what was captured before the log's first arrival counts too
        begin_ns = self._log.start_ns
        if math.isfinite(self.config.warm_up_s) and place_s:
            begin_ns = max(begin_ns, place_ns - seconds_to_ns(self.config.warm_up_s))
        yield Lap(Header(LAP, begin_ns, begin_ns), number, place_ns, self._until_ns)
        last, step_end = 0, LAST_NS
        for message in self._read(begin_ns, stop):
            arrival = message.header.arrival_ns
            if arrival > step_end:  # the set is out when its deadline has passed
                yield LogTime(Header(LOGTIME, step_end, step_end))
                step_end = LAST_NS
                self._deck.stepped()
                self.report(self.state, self._deck.status())
            if not self._may_play(arrival, stop, unseen=arrival < place_ns):
                return
            if arrival > last:
                yield LogTime(Header(LOGTIME, arrival - 1, arrival - 1))
            last = max(last, arrival)
            yield message
            if step_end == LAST_NS and self._deck.stepping and self._makes_a_set(message, place_ns):
                step_end = arrival + round(self.config.step_ms * MILLISECOND_NS)
        if last:
            yield LogTime(Header(LOGTIME, last, last))

    def _makes_a_set(self, message: Message, place_ns: int) -> bool:
        """Whether a set that counts comes of it."""
        instant = message.middle_ns if isinstance(message, LidarScan) else message.header.capture_ns
        return message.header.source == self._step_topic and instant >= place_ns

    def _live(self, place_s: float, stop: threading.Event, wait: bool) -> Iterator[Message]:
        """From `place_s` to the end, as if it happened now."""
        if wait:
            stop.wait(GAP_NS / SECOND_NS)
        anchor, shift_ns = None, 0
        for message in self._read(self._at(place_s), stop):
            arrival = message.header.arrival_ns
            if not self._may_play(arrival, stop):
                return
            if anchor is None or self._deck.anchor != anchor:  # the first, and what follows a pause, happens now
                anchor, shift_ns = self._deck.anchor, now_ns() - arrival
            yield _moved(message, shift_ns)

    def _may_play(self, arrival_ns: int, stop: threading.Event, unseen: bool = False) -> bool:
        played = self._deck.may_play((arrival_ns - self._log.start_ns) / SECOND_NS, stop, unseen)
        if time.monotonic() >= self._say_s:
            self._say_s = time.monotonic() + SAY_S
            self.report(self.state, self._deck.status())
        return played

    def _read(self, begin_ns: int, stop: threading.Event) -> Iterator[Message]:
        """Messages by their new names, read ahead by a thread."""
        ready: queue.Queue[Message | BaseException | None] = queue.Queue(AHEAD)
        left = threading.Event()

        def put(item: Message | BaseException | None) -> None:
            while not (stop.is_set() or left.is_set()):
                try:
                    return ready.put(item, timeout=0.2)
                except queue.Full:
                    continue

        def read() -> None:
            try:
                end_ns = self._until_ns + SETTLE_NS if self._until_ns < LAST_NS else None
                for message in self._log.messages(begin_ns, end_ns, self.config.topics or None):
                    put(_named(message, self._new_name))
                    if stop.is_set() or left.is_set():
                        return
                put(None)
            except Exception as error:
                put(error)

        threading.Thread(target=read, name="read ahead", daemon=True).start()
        try:
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
        finally:
            left.set()

    def _at(self, seconds: float) -> int:
        return self._log.start_ns + seconds_to_ns(seconds)


def refuse_impossible(config: PlayerConfig, log: Log) -> None:
    """Raises NodeError for settings that `log` does not allow."""
    if config.rate < 0:
        raise NodeError(f"rate is {config.rate}; write a number above 0, or 0 for as fast as possible")
    unknown = sorted({*config.topics, *renamed(config.remap)} - set(log.topics) - {"detections"})
    if unknown:
        raise NodeError(f"{config.log} has no topic {unknown[0]!r}; it has {', '.join(log.topics)}")
    length_s = (log.end_ns - log.start_ns) / SECOND_NS
    if not 0 <= config.start_s <= length_s:
        raise NodeError(f"start {config.start_s:g} s: the log is {length_s:.2f} s long")
    if config.end_s and config.end_s <= config.start_s:
        raise NodeError(f"end {config.end_s:g} s: it lies before the start, {config.start_s:g} s")


def renamed(remap: tuple[str, ...]) -> dict[str, str]:
    """New topic names by old ones. Raises NodeError for what is no renaming."""
    table: dict[str, str] = {}
    for text in remap:
        old, _, new = text.partition("=")
        if not old or not new or "=" in new:
            raise NodeError(f"remap {text!r}: write OLD=NEW, such as camera/left=camera/front")
        if old.split("/")[0] != new.split("/")[0]:
            raise NodeError(f"remap {text!r}: a {old.split('/')[0]} cannot be played as a {new.split('/')[0]}")
        if old in table or new in table.values():
            raise NodeError(f"remap {text!r}: one of its topics is renamed twice")
        table[old] = new
    return table


def _named(message: Message, new_name: dict[str, str]) -> Message:
    header = message.header
    new = new_name.get(header.source)
    if new is None:
        return message
    return replace(
        message, header=replace(header, source=new, frame=new if header.frame == header.source else header.frame)
    )


def _moved(message: Message, by_ns: int) -> Message:
    header = message.header
    moved = replace(header, capture_ns=header.capture_ns + by_ns, arrival_ns=header.arrival_ns + by_ns)
    return replace(message, header=moved)


def _open(path: Path) -> Log:
    from fusion_pipeline.logs.reader import open_log

    return open_log(path)
