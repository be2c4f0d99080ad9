"""A graph that is maltreated round by round: killed, terminated, stopped, stuck, and its supervisor stopped as well.

After the rounds every process has to be back, and for each reader of each topic what was published has to be what was
received and what is counted as lost, over all starts.
"""

from __future__ import annotations

import signal
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path
from tempfile import TemporaryDirectory

from fusion_pipeline.bench.report import Figure
from fusion_pipeline.bench.steady import VARIANTS, samples, stamped
from fusion_pipeline.clock import now_ns
from fusion_pipeline.graph import Graph, Process
from fusion_pipeline.ledger import counter
from fusion_pipeline.messages import CameraFrame, Message
from fusion_pipeline.node import Source, Stage
from fusion_pipeline.supervisor import Supervisor

HZ, SIZE = 40.0, 0.02  # small pictures, often
STALL_S = 1.0
PAUSE_S = 1.5  # of a process or the supervisor between SIGSTOP and SIGCONT: no reason to restart anybody
AWAY_S = 6.0  # of the supervisor: longer than a process may be without a heartbeat
PATIENCE_S = 30.0
ROUNDS = 100
FAULTS = (
    *((kind, label) for label in ("source", "reader") for kind in ("KILL", "TERM", "STOP")),
    ("hang", "reader"), ("STOP/CONT", "reader"), ("STOP/CONT", "source"), ("absence", "supervisor"),
)  # fmt: skip


@dataclass(frozen=True)
class SoakConfig:
    """The file whose appearance tells a node something."""

    flag: Path
    name: str = ""


class SoakSource(Source[SoakConfig]):
    """Pictures until the flag appears."""

    @classmethod
    def topics_written(cls, config: SoakConfig) -> tuple[str, ...]:
        """The one."""
        return ("camera/soak",)

    def messages(self, stop: threading.Event) -> Iterator[Message]:
        """At a steady rate."""
        pictures, number = samples("camera/soak", SIZE), 0
        while not stop.wait(1 / HZ) and not self.config.flag.exists():
            yield stamped(pictures[number % VARIANTS], now_ns())
            number += 1


class SoakReader(Stage[SoakConfig]):
    """Takes pictures; a step that finds the flag removes it and never comes back."""

    reads = (CameraFrame,)

    def step(self, message: Message) -> Iterator[Message]:
        """Nothing follows."""
        if self.config.flag.exists():
            self.config.flag.unlink()
            while True:
                time.sleep(60.0)
        yield from ()


def run(quick: bool) -> tuple[Figure, ...]:
    """The figures of `fusion bench faults`."""
    return tuple(soak_figures(len(FAULTS) if quick else ROUNDS))


def soak_figures(rounds: int = ROUNDS) -> Iterator[Figure]:
    """A figure for each fault of each process, and the sums."""
    with TemporaryDirectory() as folder:
        yield from _soak(Path(folder), rounds)


def _soak(folder: Path, rounds: int) -> Iterator[Figure]:
    end, hang = folder / "end", folder / "hang"
    graph = Graph((
        Process(SoakSource, SoakConfig(end), "source", stall_s=STALL_S),
        Process(SoakReader, SoakConfig(hang), "reader", stall_s=STALL_S),
        Process(SoakReader, SoakConfig(folder / "never"), "witness"),
    ))  # fmt: skip
    waits: dict[tuple[str, str], list[float]] = defaultdict(list)
    with Supervisor(graph, folder / "run", "soak") as supervisor:
        _poll_until(supervisor, lambda: all(child.up for child in supervisor.children.values()))
        for (kind, label), _ in zip(cycle(FAULTS), range(rounds), strict=False):
            for child in supervisor.children.values():
                child.restarts.clear()  # of earlier rounds: nobody is given up for them
            waits[kind, label].append(_round(supervisor, kind, label, hang))
        end.touch()
        _poll_until(supervisor, lambda: supervisor.ended)
    for (kind, label), times in waits.items():
        back = [waited for waited in times if waited < PATIENCE_S]
        name = f"{kind} of {label}, {len(times)} times: back"
        yield Figure(name, len(back), "times", f"{len(times)}", len(back) == len(times))
        yield Figure(f"{kind} of {label}: the slowest return", max(times), "s", f"< {PATIENCE_S:g} s",
                     max(times) < PATIENCE_S)  # fmt: skip
    yield from _sums(supervisor)


def _round(supervisor: Supervisor, kind: str, label: str, hang: Path) -> float:
    """Seconds until the process is back at work: a new one, or the same after a pause."""
    began = time.monotonic()
    if label == "supervisor":
        starts_of = [child.starts for child in supervisor.children.values()]
        time.sleep(AWAY_S)  # nobody looks after the processes and reads their heartbeats, as under SIGSTOP
        _poll_until(supervisor, lambda: False, PAUSE_S)
        same = starts_of == [child.starts for child in supervisor.children.values()]
        return time.monotonic() - began if same else PATIENCE_S
    child = supervisor.children[label]
    starts, seen = child.starts, child.health
    if kind == "hang":
        _poll_until(supervisor, lambda: False, 0.5)  # the first step of a start may take long; it is over then
        hang.touch()
    elif kind == "STOP/CONT":
        child.signal(signal.SIGSTOP)
        _poll_until(supervisor, lambda: False, PAUSE_S)
        child.signal(signal.SIGCONT)
        _poll_until(supervisor, lambda: child.up and child.health is not seen)
        return time.monotonic() - began if child.starts == starts else PATIENCE_S
    else:
        child.signal(getattr(signal, f"SIG{kind}"))
    _poll_until(supervisor, lambda: child.starts > starts and child.up)
    return time.monotonic() - began


def _poll_until(supervisor: Supervisor, reached: Callable[[], bool], within_s: float = PATIENCE_S) -> None:
    until = time.monotonic() + within_s
    while not reached() and time.monotonic() < until:
        list(supervisor.poll(0.05))


def _sums(supervisor: Supervisor) -> Iterator[Figure]:
    """For each reader: published = received + lost."""
    health = supervisor.children["source"].health
    published = counter(health.published if health is not None else ())["camera/soak", "published"]
    for label in ("reader", "witness"):
        health = supervisor.children[label].health
        if health is None:
            continue
        received = counter(health.received)["camera/soak", "received"]
        lost = {reason: n for (_, reason), n in counter(health.dropped).items() if reason[:4] == "lost" and n}
        for reason, count in lost.items():
            yield Figure(f"{label}: {reason}", count, "messages", "", True)
        left = published - received - sum(lost.values())
        yield Figure(f"{label}: published {published} - received {received} - lost", left, "messages", "0", left == 0)
