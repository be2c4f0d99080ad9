"""Starts the processes of a graph, watches them, restarts what dies, and stops them all."""

from __future__ import annotations

import os
import secrets
import signal
import time
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType, TracebackType
from typing import Self

from fusion_pipeline.child import REPLAY_SILENT_S, SILENT_S, Child, Event, reachable, start
from fusion_pipeline.clock import SECOND_NS, now_ns
from fusion_pipeline.exposure import refuse_exposure
from fusion_pipeline.graph import Graph, Process
from fusion_pipeline.ledger import GIVEN_UP, RESTARTING
from fusion_pipeline.messages import Detections, Health, Message, Tracks
from fusion_pipeline.node import Stage
from fusion_pipeline.process import ProcessSpec
from fusion_pipeline.rundir import SocketFolder, output_folder, write_configuration, write_configuration_beside
from fusion_pipeline.service import ServiceManager
from fusion_pipeline.starvation import Starvation
from fusion_pipeline.transport.bus import Subscriber
from fusion_pipeline.transport.zeromq import ZeromqBus

BACKOFF_S = (0.0, 0.25, 0.5, 1.0, 2.0, 5.0)  # before the first, second, ... restart within BREAKER_WINDOW_S
BREAKER_RESTARTS = 6  # more restarts than this within the window: give the process up
BREAKER_WINDOW_S = 60.0
WATCHED = ("detections", "tracks")  # what `poll` yields besides health
AWAY_S = 1.0  # the supervisor itself stood still for longer: silence of that time is held against nobody
ORPHANED_S = 5.0  # after all that it reads has ended, a restarted process is asked to stop: the end was told before
JUMP_NS = SECOND_NS // 5  # by which the host's clock must move against the one that never jumps to be reported
READY_S, LAG_S = 120.0, 10.0  # a run of some seconds waits so long for its first set, and for who is ready after it


class Supervisor:
    """Runs one graph. Use as a context manager, and call `poll` until it says that the graph has ended."""

    def __init__(
        self, graph: Graph, output: Path | None = None, name: str = "graph", listen: bool = True,
        insecure: bool = False,
    ) -> None:  # fmt: skip
        self.graph, self.wiring = graph, graph.check()
        refuse_exposure(graph, insecure)
        self.name = name
        self.output = output or output_folder(name)
        self.events: deque[Event] = deque(maxlen=200)
        self.children: dict[str, Child] = {}
        self.controls: dict[str, str] = {}  # sockets of the processes that take commands, for `control.ask`
        self._listen = listen
        self._stop_asked = False
        self._looked_s = time.monotonic()
        self._clock_ns = now_ns() - time.monotonic_ns()
        self._unread: deque[Message] = deque()
        self._service = ServiceManager()
        self._starvation = Starvation()
        self._ended_s: dict[str, float] = {}  # since when all inputs of a restarted process have ended
        self.stop_signal = 0  # the number of the signal that asked

    def __enter__(self) -> Self:
        self.output.mkdir(parents=True, exist_ok=True)
        write_configuration(self.graph, self.output / "config.json")
        for process in self.graph.processes:
            for product in process.node.products(process.config):
                write_configuration_beside(self.graph, product)
        self._sockets = SocketFolder()
        self._handlers = {
            number: signal.signal(number, self._on_signal) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
        }
        try:
            self._start_all()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        self._service.notify("READY=1")
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
    def ready(self) -> bool:
        """Whether every process has been ready or has ended."""
        return all(child.ever_ready or child.state in ("done", "stopped", "failed") for child in self.children.values())

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
        return all(child.state in ("done", "stopped", "failed") for child in self.children.values())

    def poll(self, timeout_s: float) -> Iterator[Message]:
        """Yield what the graph published for up to `timeout_s` (health of every process, detections and tracks), and
        look after the processes meanwhile.
        """
        until = time.monotonic() + timeout_s
        while True:
            self._look_after()
            while self._unread:
                yield self._unread.popleft()
            left = until - time.monotonic()
            if left <= 0 or self._stop_asked or self.ended:
                return
            self._read(min(left, 0.1))

    def _read(self, timeout_s: float) -> bool:
        """Note one message that has come, and keep it for `poll`; False where none came."""
        received = self._subscriber.receive(timeout_s)
        if received is None:
            return False
        if isinstance(received.message, Health):
            self._note(received.message)
        if received.message is not None:
            self._unread.append(received.message)
        return True

    def rest(self) -> Iterator[Message]:
        """After `stop`: what was read and not yielded by `poll` yet, such as the last word of each process."""
        while self._unread:
            yield self._unread.popleft()

    def stop(self) -> None:
        """SIGTERM to all, wait, SIGKILL to who is left."""
        self._service.notify("STOPPING=1")
        alive = [child for child in self.children.values() if child.handle.is_alive()]
        for child in alive:
            child.asked = True
            child.signal(signal.SIGTERM)
            child.signal(signal.SIGCONT)  # one that was stopped cannot end otherwise
        asked = time.monotonic()
        for child in sorted(alive, key=lambda child: child.process.node.stop_s):
            child.handle.join(max(0.0, asked + child.process.node.stop_s - time.monotonic()))
            if child.handle.is_alive():
                self.events.append(Event(child.process.label, "did not stop when asked; killed"))
                child.signal(signal.SIGKILL)
                child.handle.join()
        if hasattr(self, "_subscriber"):
            while self._read(0.0):  # the last word of each, with its final counts
                pass
            for child in self.failed:
                self._settle(child, GIVEN_UP)
            self._subscriber.close()
            del self._subscriber
        for child in self.children.values():
            if child.state not in ("done", "failed"):
                child.state, child.reason = "stopped", "stopped when asked"

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        self._stop_asked, self.stop_signal = True, number

    def _start_all(self) -> None:
        bound = {p.label: p.endpoint or self._sockets.endpoint(p.label) for p in self.graph.processes}
        controls = {p.label: self._sockets.control(p.label) for p in self.graph.processes if p.node.commands}
        endpoints = {topic: reachable(bound[writer]) for topic, writer in self.wiring.writer_of.items()}
        health = {f"health/{p.label}": self._sockets.endpoint(f"{p.label}.health") for p in self.graph.processes}
        watched = (
            [t for t in self.wiring.writer_of if t.split("/")[0] in ("tracks", "detections")] if self._listen else []
        )
        everything = {**self.graph.remote, **endpoints, **health}
        self._subscriber: Subscriber = ZeromqBus(everything).subscriber((*health, *watched))
        writer_of = {**self.wiring.writer_of, **{f"health/{p.label}": p.label for p in self.graph.processes}}
        self._sockets.announce(self.name, everything, writer_of, controls, self.output)
        self.controls = controls
        local = frozenset(self.wiring.writer_of)
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
                writer=secrets.token_hex(8),
                ledger=self._sockets.path / f"{process.label.replace('/', '.')}.counts",
                stall_s=process.stall_s and max(process.stall_s, REPLAY_SILENT_S if self.graph.replay else 0.0),
                local=local,
            )
            self.children[process.label] = Child(process, spec, start(spec), last_heartbeat_s=time.monotonic())
        self._looked_s = time.monotonic()

    def _note(self, health: Health) -> None:
        child = self.children.get(health.node)
        if child is None or health.pid != child.handle.pid:
            return
        child.health = health
        child.last_heartbeat_s = time.monotonic()
        if child.state == "starting" and health.state in ("ready", "degraded", "stalled"):
            child.state, child.ever_ready, child.reason = "running", True, ""

    def _look_after(self) -> None:
        now = time.monotonic()
        self._heed_clocks(now)
        up = sum(child.up for child in self.children.values())
        self._service.goes_on(f"{up} of {len(self.children)} processes up")
        for child in self.children.values():
            if child.state == "waiting" and child.restart_at_s is not None and now >= child.restart_at_s:
                child.starts += 1
                child.handle = start(child.next_spec())
                child.state, child.restart_at_s, child.last_heartbeat_s = "starting", None, now
                child.killed_for = ""
            elif child.state in ("starting", "running"):
                self._check(child, now)
        if self._starvation.due(now):
            taken = {label: child.taken() for label, child in self.children.items() if child.up}
            found = self._starvation.look(now, self._published(), taken)
            self.events.extend(Event(reader, what) for reader, what in found)

    def _heed_clocks(self, now: float) -> None:
        """Notice that this process stood still (SIGSTOP, a debugger, a stalled machine), and that the clock jumped."""
        away_s, self._looked_s = now - self._looked_s, now
        if away_s > AWAY_S:
            for child in self.children.values():
                child.last_heartbeat_s += away_s
            if away_s > SILENT_S:
                what = f"stood still for {away_s:.1f} s; silence of that time is held against nobody"
                self.events.append(Event("supervisor", what))
        clock_ns = now_ns() - time.monotonic_ns()
        if abs(clock_ns - self._clock_ns) > JUMP_NS:
            jump_s = (clock_ns - self._clock_ns) / SECOND_NS
            self.events.append(Event("host", f"the clock jumped by {jump_s:+.3f} s"))
        self._clock_ns = clock_ns

    def _check(self, child: Child, now: float) -> None:
        code = child.handle.exitcode
        if code is None:
            if child.stuck(now, self.graph.replay):
                while self._read(0.0):  # what waits to be read may speak for it
                    pass
                why = child.stuck(now, self.graph.replay)
                if why and not child.killed_for:
                    child.killed_for = f"{why}; killed"
                    self.events.append(Event(child.process.label, child.killed_for))
                    child.signal(signal.SIGKILL)
            elif child.starts and not child.asked and self._inputs_ended_since(child, now):
                child.asked = True
                child.signal(signal.SIGTERM)
            return
        if code == 0 or child.asked:
            child.state, child.reason = "done", "finished"
            if child.asked:
                self._settle(child, RESTARTING)
            return
        child.reason = child.reason_of(code)
        child.refused = code == ProcessSpec.EXIT_CONFIG
        while child.restarts and now - child.restarts[0] > BREAKER_WINDOW_S:
            child.restarts.popleft()
        once = self.graph.replay or not child.process.restart
        if once or child.refused or len(child.restarts) >= BREAKER_RESTARTS:
            child.state = "failed"
            self.events.append(Event(child.process.label, f"given up: {child.reason}"))
            return
        wait = BACKOFF_S[min(len(child.restarts), len(BACKOFF_S) - 1)]
        child.restarts.append(now)
        child.state, child.restart_at_s = "waiting", now + wait
        self.events.append(Event(child.process.label, f"{child.reason}; starting again in {wait:g} s"))

    def _settle(self, child: Child, reason: str) -> None:
        """Count what was published for a process that reads no more."""
        while self._read(0.0):  # its last heartbeat first
            pass
        child.settle(self._published(), reason)

    def _published(self) -> dict[str, int]:
        return {topic: n for child in self.children.values() for topic, n in child.published().items()}

    def _inputs_ended_since(self, child: Child, now: float) -> bool:
        """Whether all that it reads had ended before it could hear of it."""
        topics = [t for t in child.spec.counted if t not in child.spec.laps.values()]
        writers = {self.wiring.writer_of[topic] for topic in topics}
        if not writers or any(self.children[label].state != "done" for label in writers):
            self._ended_s.pop(child.process.label, None)
            return False
        return now - self._ended_s.setdefault(child.process.label, now) > ORPHANED_S


def run(
    supervisor: Supervisor, for_s: float | None, on_message: Callable[[Message], None], on_tick: Callable[[], None]
) -> None:
    """Poll an entered `supervisor` until the graph ends, a signal comes, or `for_s` seconds after every process was
    ready; who is slower than the first set by `LAG_S` is not waited for.
    """
    until = float("inf") if for_s is None else time.monotonic() + for_s + READY_S
    begun = for_s is None
    while not supervisor.ended and not supervisor.stop_asked and time.monotonic() < until:
        if not begun and supervisor.ready:
            begun, until = True, min(until, time.monotonic() + (for_s or 0.0))
        for message in supervisor.poll(max(0.0, min(0.25, until - time.monotonic()))):
            if not begun and isinstance(message, (Detections, Tracks)):
                until = min(until, time.monotonic() + (for_s or 0.0) + LAG_S)
            on_message(message)
        on_tick()


def _reads_health(process: Process) -> bool:
    return issubclass(process.node, Stage) and Health in process.node.reads
