"""A graph of processes: what runs, with which config, and who reads whom; checked before anything starts."""

from __future__ import annotations

import dataclasses
import traceback
import typing
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from multiprocessing.reduction import ForkingPickler
from pathlib import Path
from types import ModuleType
from typing import Any

from fusion_pipeline import overrides
from fusion_pipeline.checks import faults_of
from fusion_pipeline.launchfile import module_of, pickled_place, users_error
from fusion_pipeline.messages import Lap
from fusion_pipeline.node import Node, Source, Stage, Surroundings
from fusion_pipeline.topics import Topic, add_topics, own_topics, topic_of
from fusion_pipeline.transport import schema

LAUNCH_FILES = Path(__file__).resolve().parents[1] / "launch"  # those that come with the checkout


class GraphError(ValueError):
    """A graph that cannot run; the message names the process and what to do, `faults` has one sentence for each."""

    def __init__(self, *faults: str) -> None:
        super().__init__("; ".join(faults))
        self.faults = faults


@dataclass(frozen=True)
class Process:
    """One node in a process of its own."""

    node: type[Node[Any]]
    config: Any
    name: str = ""  # default: the node's class in lower case, with the config's `name` behind it
    cpu: int | None = None  # pin to this core
    nice: int = 0  # 0 to 19; higher yields to others
    restart: bool = True  # start again with back-off when it dies
    stall_s: float = 10.0  # start again when one call of the node takes longer, or 120 s if it is the first; 0: never
    endpoint: str = ""  # publish here, such as "tcp://0.0.0.0:7001", for graphs on other hosts; default: this host only

    @property
    def label(self) -> str:
        """The process's name in the graph, such as "camera.front" or "detector"."""
        if self.name:
            return self.name
        sensor = getattr(self.config, "name", "")
        return self.node.__name__.lower() + (f".{sensor}" if sensor else "")

    @property
    def topics(self) -> tuple[str, ...]:
        """What it publishes."""
        return self.node.topics_written(self.config)


@dataclass(frozen=True)
class Wiring:
    """Who publishes what and who listens, by process label."""

    writer_of: Mapping[str, str]  # topic -> label
    topics_read: Mapping[str, tuple[str, ...]]  # label -> topics
    lap_of: Mapping[str, str] = field(default_factory=dict)  # label -> the topic on which it says that a lap begins
    notes: tuple[str, ...] = ()  # what works, but may be not what was meant

    def readers(self, topic: str) -> int:
        """How many processes listen to `topic`."""
        return sum(topic in topics for topics in self.topics_read.values())

    def written_by(self, label: str) -> tuple[str, ...]:
        """All that a process publishes."""
        return tuple(topic for topic, writer in self.writer_of.items() if writer == label)

    def laps_read_by(self, label: str) -> dict[str, str]:
        """Of each topic that a process reads from a replay: where its writer says that a lap begins."""
        writers = {topic: self.writer_of.get(topic, "") for topic in self.topics_read[label]}
        return {topic: self.lap_of[writer] for topic, writer in writers.items() if writer in self.lap_of}


@dataclass(frozen=True)
class Graph:
    """Processes that together make a pipeline."""

    processes: tuple[Process, ...]
    replay: bool = False  # time is the log's; every topic is delivered without loss
    notes: Mapping[str, str] = field(default_factory=dict)  # free facts for the effective configuration
    remote: Mapping[str, str] = field(default_factory=dict)  # topics of other hosts: {"lidar/top": "tcp://car:7001"}
    topics: tuple[Topic, ...] = ()  # rows for kinds of topics of one's own, beside those of the nodes' `own_topics`

    def with_overrides(self, assignments: typing.Iterable[str]) -> Graph:
        """The graph with `--set` assignments applied. Raises OverrideError."""
        table = overrides.parse(assignments)
        labels = [process.label for process in self.processes]
        for name in table:
            if name not in labels:
                raise overrides.OverrideError(f"--set {name}: {overrides.nearest('process', name, labels)}")
        changed = tuple(
            dataclasses.replace(p, config=overrides.apply(p.config, table.get(p.label, {}), p.label))
            for p in self.processes
        )
        return dataclasses.replace(self, processes=changed)

    def check(self, thorough: bool = False) -> Wiring:
        """Make sure that the graph can run. Raises GraphError with every fault that was found.

        With `thorough` also what a node would find on opening, such as an operator that ONNX Runtime has not.
        """
        self._refuse([*self._name_faults(), *self._config_faults()])
        self._refuse([*self._value_faults(), *self._topic_faults()])
        self._refuse(self._file_faults())
        wiring, faults = self._wire()
        self._refuse(faults)
        written = (*wiring.writer_of, *self.remote)
        around = Surroundings(written, tuple(p.config for p in self.processes), self.replay, thorough)
        who: dict[str, list[str]] = {}  # one rig is wrong for all who read it
        for process in self.processes:
            for text in _node_faults(process, around):
                who.setdefault(text, []).append(process.label)
        self._refuse([f"{', '.join(dict.fromkeys(labels))}: {text}" for text, labels in who.items()])
        notes = (f"{p.label}: {note}" for p in self.processes for note in p.node.notes(p.config, around))
        return dataclasses.replace(wiring, notes=tuple(notes)) if thorough else wiring

    @staticmethod
    def _refuse(faults: list[str]) -> None:
        if faults:
            raise GraphError(*dict.fromkeys(faults))

    def _value_faults(self) -> list[str]:
        """Of the configs alone; and whether node and config can be handed to a process of their own."""
        faults = [f"{process.label}: {text}" for process in self.processes for text in faults_of(process.config)]
        for process in self.processes:
            try:
                ForkingPickler.dumps((process.node, process.config))
            except Exception as error:  # pickle raises a dozen types
                what = f"{pickled_place(process.node)} and its {pickled_place(process.config)}"
                faults.append(f"{process.label}: {what} cannot be handed to a process of their own: {error}")
            for key, value, low, high in (("nice", process.nice, 0, 19), ("cpu", process.cpu or 0, 0, 65_535)):
                if not isinstance(value, int) or not low <= value <= high:
                    faults.append(f"{process.label}: {key} = {value!r}: write a whole number from {low} to {high}")
        return faults

    def _topic_faults(self) -> list[str]:
        """Make users' own topics known in this process; what is wrong with their rows."""
        rows = [("the graph", self.topics), *((p.label, p.node.own_topics) for p in self.processes)]
        faults = []
        for label, own in rows:
            for row in own:
                try:
                    add_topics((row,))
                    schema.check_message(row.message)
                except (ValueError, TypeError) as error:
                    faults.append(f"{label}: {error}")
        return faults

    def _name_faults(self) -> list[str]:
        if not self.processes:
            return ["the graph has no process"]
        seen = Counter(process.label for process in self.processes)
        return [f"{n} processes are named {label!r}; give each a name of its own" for label, n in seen.items() if n > 1]

    def _config_faults(self) -> list[str]:
        faults = []
        for process in self.processes:
            wanted = config_type(process.node)
            if wanted is not None and not isinstance(process.config, wanted):
                got = type(process.config).__name__
                faults.append(f"{process.label}: config is a {got}, {process.node.__name__} wants {wanted.__name__}")
        return faults

    def _file_faults(self) -> list[str]:
        return [
            f"{process.label}: {path} does not exist"
            for process in self.processes
            for path in process.node.files(process.config)
            if not Path(path).exists()
        ]

    def _wire(self) -> tuple[Wiring, list[str]]:
        faults: list[str] = []
        writer_of: dict[str, str] = {}
        for process in self.processes:
            for topic in process.topics:
                try:
                    topic_of(topic)
                except KeyError as error:
                    faults.append(f"{process.label}: {error.args[0]}")
                    continue
                if topic in writer_of:
                    faults.append(f"{writer_of[topic]} and {process.label} both write {topic!r}; rename one of them")
                writer_of[topic] = process.label
        for topic, address in self.remote.items():
            if topic in writer_of:
                faults.append(
                    f"{topic!r} is remote ({address}) and also written by {writer_of[topic]}; drop one of them"
                )
            try:
                topic_of(topic)
            except KeyError as error:
                faults.append(f"remote: {error.args[0]}")
        if faults:
            return Wiring({}, {}), faults
        known = {**writer_of, **dict.fromkeys(self.remote, "")}
        read = {p.label: self._topics_read(p, known) for p in self.processes}
        for process in self.processes:
            unread = not any(not t.startswith("health/") for t in read[process.label])
            if issubclass(process.node, Stage) and unread:
                wanted = ", ".join(message.__name__ for message in process.node.reads)
                faults.append(f"{process.label} reads {wanted}, but no process of the graph writes that")
        return _with_laps(Wiring(writer_of, read)), faults

    @staticmethod
    def _topics_read(process: Process, writer_of: Mapping[str, str]) -> tuple[str, ...]:
        if not issubclass(process.node, Stage):
            return ()
        types, own = process.node.reads, process.label
        added = [row for row in own_topics() if row.recorded] if process.node.reads_own else []
        rows = {t: topic_of(t) for t, writer in writer_of.items() if writer != own}
        return tuple(t for t, row in rows.items() if row.message in types or row in added)


def _node_faults(process: Process, around: Surroundings) -> Iterator[str]:
    """What the node finds wrong with its config; errors that it raises are faults too."""
    try:
        yield from process.node.check(process.config, around)
    except (ValueError, RuntimeError, OSError) as error:
        if type(error).__module__ == "builtins" and not isinstance(error, OSError):
            raise
        yield str(error)


def _with_laps(wiring: Wiring) -> Wiring:
    """A replay's laps run through the graph: who reads from one that tells of laps, tells its own readers of them."""
    lap_of = {writer: topic for topic, writer in wiring.writer_of.items() if topic_of(topic).message is Lap}
    told = True
    while told:
        told = False
        for label, topics in wiring.topics_read.items():
            if label not in lap_of and any(wiring.writer_of.get(topic) in lap_of for topic in topics):
                lap_of[label], told = f"lap/{label}", True
    read = {
        label: tuple(dict.fromkeys((*topics, *(lap_of[w] for t in topics if (w := wiring.writer_of.get(t)) in lap_of))))
        for label, topics in wiring.topics_read.items()
    }
    listened = {topic for topics in read.values() for topic in topics}
    writer_of = {**wiring.writer_of, **{topic: label for label, topic in lap_of.items() if topic in listened}}
    return Wiring(writer_of, read, lap_of)


def config_type(node: type[Node[Any]]) -> type[Any] | None:
    """The dataclass that a node class was declared with, as in `class Detector(Stage[DetectorConfig])`."""
    for base in getattr(node, "__orig_bases__", ()):
        if typing.get_origin(base) in (Node, Source, Stage):
            argument = typing.get_args(base)[0]
            return argument if isinstance(argument, type) else None
    return None


def load_graph(path: Path, **arguments: Any) -> Graph:
    """The `graph` of a launch file: a `Graph`, or a function that makes one of `arguments`. Raises GraphError."""
    if not path.is_file():
        raise GraphError(f"launch file {path} does not exist")
    if path.suffix != ".py":
        raise GraphError(f"{path} is not a Python file; a launch file ends in .py")
    try:
        module = module_of(path)
    except (SyntaxError, UnicodeDecodeError) as error:
        line = error.lineno if isinstance(error, SyntaxError) else 1
        place = error.filename if isinstance(error, SyntaxError) and error.filename else path
        raise GraphError(f"{place}, line {line}: {getattr(error, 'msg', error)}") from None
    except Exception as error:
        raise GraphError(_place(error, path)) from error
    return _graph_of(module, path, arguments)


def _place(error: Exception, path: Path) -> str:
    """The user's line that raised it; of what lies deeper, the launch file's own."""
    if told := users_error(error):
        return told
    frames = reversed(traceback.extract_tb(error.__traceback__))
    line = next((f.lineno for f in frames if Path(f.filename) == path.resolve()), 0)
    return f"{path}, line {line}: {type(error).__name__}: {error}"


def _graph_of(module: ModuleType, path: Path, arguments: Mapping[str, Any]) -> Graph:
    graph = getattr(module, "graph", None)
    try:
        made = graph(**arguments) if callable(graph) else graph
    except Exception as error:
        if not (told := users_error(error)):
            raise
        raise GraphError(told) from error
    if not isinstance(made, Graph):
        raise GraphError(f"{path} defines no `graph`; see launch/vehicle.py for the form")
    return made
