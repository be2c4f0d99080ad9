"""Starts the processes of a graph, watches them, restarts what dies, and stops them all."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from multiprocessing.process import BaseProcess
from pathlib import Path
from types import FrameType, TracebackType
from typing import Self

from fusion_pipeline.graph import Graph, Process
from fusion_pipeline.messages import Health, Message
from fusion_pipeline.node import Stage
from fusion_pipeline.process import ProcessSpec, run_process
from fusion_pipeline.rundir import SocketFolder, output_folder, write_configuration
from fusion_pipeline.transport.bus import Subscriber
from fusion_pipeline.transport.zeromq import ZeromqBus

BACKOFF_S = (0.0, 0.25, 0.5, 1.0, 2.0, 5.0)  # before the first, second, ... restart within BREAKER_WINDOW_S
BREAKER_RESTARTS = 6  # more restarts than this within the window: give the process up
BREAKER_WINDOW_S = 60.0
WATCHED = ("detections", "tracks")  # what `poll` yields besides health
SILENT_S = 5.0  # a ready process without heartbeat for this long is stuck, and killed to be restarted
REPLAY_SILENT_S = (
    120.0  # a replay has time, and no second try: on an overloaded machine a process may get no turn for long
)


@dataclass
class Child:
    """One process of the graph as the supervisor sees it."""

    process: Process
    spec: ProcessSpec
    handle: BaseProcess
    health: Health | None = None
    last_heartbeat_s: float = 0.0
    restarts: deque[float] = field(default_factory=deque)  # monotonic, within the breaker's window
    starts: int = 0  # how often it has been started before
    restart_at_s: float | None = None
    state: str = "starting"  # starting, running, waiting, done, failed
    ever_ready: bool = False
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Event:
    """Something the supervisor did or saw, for people to read."""

    process: str
    what: str


class Supervisor:
    """Runs one graph. Use as a context manager, and call `poll` until it says that the graph has ended."""

    def __init__(self, graph: Graph, output: Path | None = None, name: str = "graph", listen: bool = True) -> None:
        self.graph = graph
        self.wiring = graph.check()
        self.name = name
        self.output = output or output_folder(name)
        self.events: deque[Event] = deque(maxlen=200)
        self.children: dict[str, Child] = {}
        self.controls: dict[str, str] = {}  # sockets of the processes that take commands, for `control.ask`
        self._listen = listen
        self._context = multiprocessing.get_context("spawn")
        self._stop_asked = False

    def __enter__(self) -> Self:
        self.output.mkdir(parents=True, exist_ok=True)
        write_configuration(self.graph, self.output / "config.json")
        for process in self.graph.processes:
            for product in process.node.products(process.config):
                self._write_beside(product)
        self._sockets = SocketFolder()
        self._handlers = {
            number: signal.signal(number, self._on_signal) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
        }
        try:
            self._start_all()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
        self._sockets.remove()

    @property
    def stop_asked(self) -> bool:
        """Whether SIGINT, SIGTERM or SIGHUP came."""
        return self._stop_asked

    @property
    def failed(self) -> list[Child]:
        """The processes that were given up."""
        return [child for child in self.children.values() if child.state == "failed"]

    @property
    def ended(self) -> bool:
        """Whether nothing runs any more, or what runs is of no use: a process cannot run as configured, or a replay
        has lost one.
        """
        if any(not child.ever_ready or self.graph.replay for child in self.failed):
            return True
        return all(child.state in ("done", "failed") for child in self.children.values())

    def poll(self, timeout_s: float) -> Iterator[Message]:
        """Yield what the graph published for up to `timeout_s` (health of every process, detections and tracks), and
        look after the processes meanwhile.
        """
        until = time.monotonic() + timeout_s
        while True:
            self._look_after()
            left = until - time.monotonic()
            if left <= 0 or self._stop_asked or self.ended:
                return
            received = self._subscriber.receive(min(left, 0.1))
            if received is None or received.message is None:
                continue
            if isinstance(received.message, Health):
                self._note(received.message)
            yield received.message

    def stop(self) -> None:
        """SIGTERM to all, wait, SIGKILL to who is left."""
        alive = [child for child in self.children.values() if child.handle.is_alive()]
        for child in alive:
            _signal(child.handle, signal.SIGTERM)
        asked = time.monotonic()
        for child in sorted(alive, key=lambda child: child.process.node.stop_s):
            child.handle.join(max(0.0, asked + child.process.node.stop_s - time.monotonic()))
            if child.handle.is_alive():
                self.events.append(Event(child.process.label, "did not stop when asked; killed"))
                _signal(child.handle, signal.SIGKILL)
                child.handle.join()
        for child in self.children.values():
            if child.state not in ("done", "failed"):
                child.state = "done"
        if hasattr(self, "_subscriber"):
            self._subscriber.close()
            del self._subscriber

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        self._stop_asked = True

    def _start_all(self) -> None:
        bound = {p.label: p.endpoint or self._sockets.endpoint(p.label) for p in self.graph.processes}
        controls = {p.label: self._sockets.control(p.label) for p in self.graph.processes if p.node.commands}
        endpoints = {topic: _reachable(bound[writer]) for topic, writer in self.wiring.writer_of.items()}
        health = {f"health/{p.label}": self._sockets.endpoint(f"{p.label}.health") for p in self.graph.processes}
        watched = (
            [t for t in self.wiring.writer_of if t.split("/")[0] in ("tracks", "detections")] if self._listen else []
        )
        everything = {**self.graph.remote, **endpoints, **health}
        self._subscriber: Subscriber = ZeromqBus(everything).subscriber((*health, *watched))
        writer_of = {**self.wiring.writer_of, **{f"health/{p.label}": p.label for p in self.graph.processes}}
        self._sockets.announce(self.name, everything, writer_of, controls, self.output)
        self.controls = controls
        for process in self.graph.processes:
            writes = self.wiring.written_by(process.label)
            spec = ProcessSpec(
                label=process.label,
                node=process.node,
                config=process.config,
                cpu=process.cpu,
                nice=process.nice,
                endpoints={**everything, **dict.fromkeys(writes, bound[process.label])},
                writes=writes,
                reads=(*self.wiring.topics_read[process.label], *(health if _reads_health(process) else ())),
                readers={t: self.wiring.readers(t) + (t in watched) for t in writes},
                replay=self.graph.replay,
                log=self.output / f"{process.label}.log",
                parent=os.getpid(),
                laps=self.wiring.laps_read_by(process.label),
                lap_topic=self.wiring.lap_of.get(process.label, ""),
                control=controls.get(process.label, ""),
            )
            self.children[process.label] = Child(process, spec, self._spawn(spec), last_heartbeat_s=time.monotonic())

    def _write_beside(self, product: Path) -> None:
        """The configuration beside what a run leaves behind; where that cannot be written, the node itself will say."""
        with contextlib.suppress(OSError):
            product.parent.mkdir(parents=True, exist_ok=True)
            write_configuration(self.graph, product.with_name(f"{product.name}.config.json"))

    def _spawn(self, spec: ProcessSpec) -> BaseProcess:
        handle = self._context.Process(target=run_process, args=(spec,), name=f"fusion-{spec.label}")
        handle.start()
        return handle

    def _note(self, health: Health) -> None:
        child = self.children.get(health.node)
        if child is None or health.pid != child.handle.pid:
            return
        child.health = health
        child.last_heartbeat_s = time.monotonic()
        if child.state == "starting" and health.state in ("ready", "degraded"):
            child.state, child.ever_ready = "running", True

    def _look_after(self) -> None:
        now = time.monotonic()
        for child in self.children.values():
            if child.state == "waiting" and child.restart_at_s is not None and now >= child.restart_at_s:
                child.starts += 1
                child.handle = self._spawn(replace(child.spec, starts=child.starts))
                child.state, child.restart_at_s, child.last_heartbeat_s = "starting", None, now
            elif child.state in ("starting", "running"):
                self._check(child, now)

    def _check(self, child: Child, now: float) -> None:
        code = child.handle.exitcode
        if code is None:
            allowed_s = REPLAY_SILENT_S if self.graph.replay else SILENT_S
            if child.state == "running" and now - child.last_heartbeat_s > allowed_s:
                self.events.append(Event(child.process.label, f"no heartbeat for {allowed_s:.0f} s; killed"))
                _signal(child.handle, signal.SIGKILL)
            return
        if code == 0:
            child.state, child.reason = "done", "finished"
            return
        child.reason = _reason(code, child.spec.log)
        while child.restarts and now - child.restarts[0] > BREAKER_WINDOW_S:
            child.restarts.popleft()
        once = self.graph.replay or not child.process.restart
        if once or code == ProcessSpec.EXIT_CONFIG or len(child.restarts) >= BREAKER_RESTARTS:
            child.state = "failed"
            self.events.append(Event(child.process.label, f"given up: {child.reason}"))
            return
        wait = BACKOFF_S[min(len(child.restarts), len(BACKOFF_S) - 1)]
        child.restarts.append(now)
        child.state, child.restart_at_s = "waiting", now + wait
        self.events.append(Event(child.process.label, f"{child.reason}; starting again in {wait:g} s"))


def run(
    supervisor: Supervisor, for_s: float | None, on_message: Callable[[Message], None], on_tick: Callable[[], None]
) -> None:
    """Poll an entered `supervisor` until the graph ends, a signal comes, or `for_s` seconds have passed."""
    until = None if for_s is None else time.monotonic() + for_s
    while not supervisor.ended and not supervisor.stop_asked and (until is None or time.monotonic() < until):
        for message in supervisor.poll(0.25 if until is None else min(0.25, max(0.0, until - time.monotonic()))):
            on_message(message)
        on_tick()


def _reads_health(process: Process) -> bool:
    return issubclass(process.node, Stage) and Health in process.node.reads


def _reachable(endpoint: str) -> str:
    """Where readers of this host find what is bound to `endpoint`."""
    return endpoint.replace("://0.0.0.0:", "://127.0.0.1:").replace("://*:", "://127.0.0.1:")


def _signal(handle: BaseProcess, number: int) -> None:
    if handle.pid is not None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(handle.pid, number)


def _reason(code: int, log: Path) -> str:
    if code < 0:
        return f"killed by {signal.Signals(-code).name}"
    try:
        lines = [line for line in log.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()]
    except OSError:
        lines = []
    return f"exit {code}: {lines[-1]}" if lines else f"exit {code}"
