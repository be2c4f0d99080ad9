"""What runs in one process: a `Source` that yields messages or a `Stage` that turns messages into messages.

Neither sees a socket, a signal or another process; `process.py` drives them live and in replay, and unit tests drive
them by calling them.
"""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Generic, TypeVar

from fusion_pipeline.messages import Lap, Message
from fusion_pipeline.topics import Topic
from fusion_pipeline.trace import Stopwatch

Config = TypeVar("Config")
Made = TypeVar("Made", bound=Message)


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a config is checked against besides itself: the graph that its node is part of."""

    written: tuple[str, ...] = ()  # every topic that some process, or another host, publishes
    configs: tuple[Any, ...] = ()  # of all nodes
    replay: bool = False
    thorough: bool = False  # `--check`: a second may be spent on what the node itself would find on opening


class NodeError(RuntimeError):
    """A node cannot do its work as configured; the message says what is wrong and what to do."""


class NodeUnavailable(NodeError):
    """A node cannot do its work at present, such as for want of memory on a GPU; started again later it may."""


class Node(ABC, Generic[Config]):
    """Common ground of sources and stages. Subclasses import heavy libraries in `open`, never at module level, so
    that a launch file stays light.
    """

    commands: ClassVar[tuple[str, ...]] = ()  # words that `command` understands; others are not even asked
    stop_s: ClassVar[float] = 2.0  # from being asked to stop to being killed
    own_topics: ClassVar[tuple[Topic, ...]] = ()  # rows for kinds of topics that only this user's nodes have
    every: ClassVar[bool] = False  # reads all there is, also of topics of which others want the newest alone

    def __init__(self, config: Config, name: str) -> None:
        self.config = config
        self.name = name
        self.state = "starting"
        self.detail = ""
        self.starts = 0  # how often this run has started the node before; what it wrote then must not be lost
        self.replay = False  # time is a log's, nothing may be lost, and everybody waits for the slowest
        self.watch = Stopwatch(name)

    @classmethod
    def topics_written(cls, config: Config) -> tuple[str, ...]:
        """The topics that a node with this config publishes on. Must be cheap: the launcher asks."""
        return ()

    @classmethod
    def files(cls, config: Config) -> tuple[Any, ...]:
        """Paths that must exist before the graph starts."""
        return ()

    @classmethod
    def check(cls, config: Config, around: Surroundings) -> Iterator[str]:
        """Sentences on what keeps a node with this config from working, beyond what the config's own rules say (see
        `checks.faults_of`). Asked in the parent before anything starts, so it should be light.
        """
        yield from ()

    @classmethod
    def notes(cls, config: Config, around: Surroundings) -> Iterator[str]:
        """Sentences on what works, but may be not what was meant; `fusion launch --check` prints them."""
        yield from ()

    @classmethod
    def products(cls, config: Config) -> tuple[Path, ...]:
        """Files that a run leaves behind for its user; the effective configuration is written beside each."""
        return ()

    @classmethod
    def outputs(cls, config: Config) -> tuple[Path, ...]:
        """Every file that a run writes for its user; no input of the graph may be among them."""
        return cls.products(config)

    def open(self) -> None:
        """Load and warm up; called once in the child process. Raise NodeError for what the user must mend."""

    def close(self) -> None:
        """Give back what `open` took; called once, also after an error."""

    def report(self, state: str, detail: str = "") -> None:
        """Set what the node's health says: "ready" or "degraded", and why."""
        self.state, self.detail = state, detail

    def counts(self) -> dict[tuple[str, str], int]:
        """Totals of what the node itself refused or dropped, by (topic, reason)."""
        return {}

    def command(self, text: str) -> str:
        """Do what a person asks while the node runs, such as "pause", and answer in a line. Comes from another thread
        than everything else. Raise NodeError for what cannot be.
        """
        raise NodeError(f"{self.name} takes no commands")

    def timed(self, stage: str) -> AbstractContextManager[None]:
        """Time a block as the hop "<node>/<stage>"."""
        return self.watch.timed(stage)

    def stamped(self, message: Made) -> Made:
        """`message` with the hops that were timed since the last call."""
        return replace(message, header=message.header.after(*self.watch.take()))


class Source(Node[Config]):
    """Yields messages from outside: a device, a log, a simulation."""

    @abstractmethod
    def messages(self, stop: threading.Event) -> Iterator[Message]:
        """Yield until there is nothing more or `stop` is set; check `stop` at least twice a second."""


class Stage(Node[Config]):
    """Takes messages of the types in `reads` from wherever the graph publishes them."""

    reads: ClassVar[tuple[type[Message], ...]] = ()
    reads_own: ClassVar[bool] = False  # and users' own topics, of those kinds that are recorded

    def begin(self, lap: Lap) -> None:
        """A replay begins, or begins anew elsewhere: forget what came before, as if just opened. `finish` has been
        called for that. Never called live.
        """

    @abstractmethod
    def step(self, message: Message) -> Iterator[Message]:
        """Zero or more messages that follow from `message`."""

    def advance(self, now_ns: int) -> Iterator[Message]:
        """Time has come to `now_ns`: whatever arrived before that has been seen. Called at least every 20 ms live,
        and for each LogTime in replay.
        """
        yield from ()

    def finish(self) -> Iterator[Message]:
        """All inputs have ended: what is still held back."""
        yield from ()
