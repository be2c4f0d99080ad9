"""The main function of a child process: drives one node until it ends, is told to stop, or its parent is gone."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar

from fusion_pipeline.clock import now_ns
from fusion_pipeline.laps import LapGate
from fusion_pipeline.launchfile import packed, users_error
from fusion_pipeline.ledger import NOT_READY, RESTARTING, Carried, Ledger, added
from fusion_pipeline.messages import Count, Hop, Lap, LogTime, Message
from fusion_pipeline.node import Node, NodeError, NodeUnavailable, Source, Stage
from fusion_pipeline.progress import SOURCE_S, StopFlag, Work
from fusion_pipeline.trace import Timings
from fusion_pipeline.transport.bus import Publisher, Subscriber

TICK_S = 0.02  # a live stage learns the time at least this often
READERS_TIMEOUT_S = 15.0  # how long a writer waits for its readers before it publishes all the same
REPLAY_DRAIN_S, LIVE_DRAIN_S = 600.0, 2.0  # how long a writer that has ended stays for slow readers
OURS = ("fusion_pipeline", "nodes", "calibration")
TRACED = ("set", "detections", "tracks")  # topics whose messages carry the time they spent in transport


@dataclass(frozen=True)
class ProcessSpec:
    """All that a child process needs to know; travels by pickle to the spawned interpreter."""

    EXIT_CONFIG: ClassVar[int] = 2  # the node said that it cannot run as configured: restarting would not help
    EXIT_UNAVAILABLE: ClassVar[int] = 75  # something is not to be had at present (EX_TEMPFAIL): it is started again
    EXIT_STOPPED: ClassVar[int] = 128 + signal.SIGTERM  # asked to stop by a signal, before its input had ended

    label: str
    node: type[Node[Any]]
    config: Any
    cpu: int | None
    nice: int
    endpoints: Mapping[str, str]  # topic -> address
    writes: tuple[str, ...]
    reads: tuple[str, ...]
    readers: Mapping[str, int]  # topic -> how many processes listen
    replay: bool
    log: Path
    parent: int  # pid of the supervisor
    starts: int = 0  # how often the run has started it before
    laps: Mapping[str, str] = field(default_factory=dict)  # topic read -> topic on which its writer tells of laps
    lap_topic: str = ""  # where this process tells its own readers
    control: str = ""  # socket at which it takes commands
    writer: str = ""  # its name in the envelopes of its messages, over all starts
    ledger: Path | None = None  # where its counts are kept
    carried: Carried = field(default_factory=Carried)  # totals of earlier starts
    stall_s: float = 10.0  # one call of the node may take so long; 0 any time
    local: frozenset[str] = frozenset()  # topics that nodes of this graph publish

    @property
    def counted(self) -> tuple[str, ...]:
        """Topics read whose sequence numbers go on when their writers are restarted: those of the graph's own nodes."""
        return tuple(topic for topic in self.reads if topic in self.local)

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickled with the launch files and the topics that the parent knows: node and config may be defined there."""
        return packed(self)


class Runner:
    """Moves messages between the bus and one node."""

    def __init__(self, spec: ProcessSpec, node: Node[Any]) -> None:
        self.spec = spec
        self.node = node
        self.work = Work(spec.stall_s)
        self.stop: threading.Event = StopFlag(self.work)
        self.over = False  # the input has ended and all was handed on, as opposed to being asked to stop
        self.timings = Timings()
        self.publisher: Publisher | None = None
        self.subscriber: Subscriber | None = None
        self._ledger: Ledger | None = None

    def run(self) -> None:
        """Open the node, wait for its readers, move messages until the end."""
        from fusion_pipeline.transport.zeromq import ZeromqBus

        spec = self.spec
        bus = ZeromqBus(spec.endpoints, lossless=spec.replay or self.node.every)
        if spec.ledger is not None:
            self._ledger = Ledger(spec.ledger, spec.writes, spec.counted)
        try:
            self.publisher = bus.publisher(spec.writes) if spec.writes else None
            if self.publisher is not None and spec.writer:
                self.publisher.resume(spec.writer, spec.carried.next_written)
            self._open()
            if spec.control:
                from fusion_pipeline.control import ControlServer

                ControlServer(spec.control, self.node.command).start()
            # In this order: whoever subscribes is counted on by its writers, and must be free to read from then on.
            if self.publisher is not None:
                self._wait_for_readers(self.publisher)
            if spec.reads:
                self.subscriber = bus.subscriber(spec.reads)
                following = {topic: spec.carried.next_read.get(topic, 0) for topic in spec.counted}
                self.subscriber.resume(following, RESTARTING if spec.starts else NOT_READY)
            if self.node.state == "starting":
                self.node.report("ready", self.node.detail)
            self._drive()
            if self.publisher is not None and not self.stop.is_set():
                for topic in spec.writes:
                    self._count_published(topic)
                self.publisher.end()
                self.publisher.drain(REPLAY_DRAIN_S if spec.replay else LIVE_DRAIN_S, self.stop)
            self.over = not self.stop.is_set()
        finally:
            self.work.begin("closing")
            self.node.close()
            self.work.end()
            if self.subscriber is not None:
                self.subscriber.close()
            if self.publisher is not None:
                self.publisher.close()

    def published(self) -> tuple[tuple[Count, ...], tuple[Count, ...]]:
        """Totals that went out, over all starts, and totals that did not. "no slot" went out, as a copy."""
        counts = self.publisher.counts() if self.publisher is not None else ()
        return (
            added(self.spec.carried.published, (count for count in counts if count.reason == "published")),
            tuple(count for count in counts if count.reason not in ("published", "no slot") and count.total),
        )

    def received(self) -> tuple[tuple[Count, ...], tuple[Count, ...], tuple[Count, ...]]:
        """Totals that came in, over all starts, that were passed over or lost, and that were refused."""
        counts = self.subscriber.counts() if self.subscriber is not None else ()
        refused = tuple(count for count in counts if count.reason.startswith("refused"))
        came = tuple(count for count in counts if count.reason == "received")
        lost = tuple(c for c in counts if c not in refused and c not in came and c.total)
        return added(self.spec.carried.received, came), lost, refused

    def _open(self) -> None:
        self.work.begin_unlimited("opening")
        try:
            self.node.open()
        except Exception as error:
            # Every error class of this project says what the user has to mend; starting again would not help.
            if type(error).__module__.partition(".")[0] not in OURS:
                raise
            kind = NodeUnavailable if isinstance(error, NodeUnavailable) or _is_transient(error) else NodeError
            raise kind(str(error)) from error
        self.work.end()

    def _count_published(self, topic: str) -> None:
        if self._ledger is not None:
            self._ledger.publishes(topic)

    def _wait_for_readers(self, publisher: Publisher) -> None:
        until = time.monotonic() + READERS_TIMEOUT_S
        while not publisher.wait_for_readers(self.spec.readers, 1.0, self.stop) and not self.stop.is_set():
            # A replay waits for as long as it takes; what is live goes on without readers that may be dead.
            if not self.spec.replay and time.monotonic() > until:
                return

    def _drive(self) -> None:
        if isinstance(self.node, Source):
            self._publish(self.node.messages(self.stop), "its input", SOURCE_S)
        elif isinstance(self.node, Stage) and self.subscriber is not None:
            self._drive_stage(self.node, self.subscriber)

    def _drive_stage(self, node: Stage[Any], subscriber: Subscriber) -> None:
        laps = LapGate(self.spec.laps)
        open_topics = {t for t in self.spec.reads if not t.startswith("health/") and t not in self.spec.laps.values()}
        next_tick = time.monotonic()
        while open_topics and not self.stop.is_set():
            received = subscriber.receive(TICK_S)
            if received is not None and self._ledger is not None:
                self._ledger.takes(received.topic, received.envelope.sequence)
            for one in () if received is None else laps.take(received):
                if one.message is None:
                    open_topics.discard(one.topic)
                else:
                    self._handle(node, one.message, one.publish_ns)
            if not self.spec.replay and time.monotonic() >= next_tick:
                next_tick = time.monotonic() + TICK_S
                self._publish(node.advance(now_ns()), "time")
        if not self.stop.is_set():
            self._publish(node.finish(), "the end")

    def _handle(self, node: Stage[Any], message: Message, publish_ns: int) -> None:
        if isinstance(message, LogTime):
            self._publish(node.advance(message.header.arrival_ns), "time")
        elif isinstance(message, Lap):
            if message.number:
                self._publish(node.finish(), "the end")
            node.begin(message)
            if self.spec.lap_topic in self.spec.writes:
                lap = replace(message, header=replace(message.header, source=self.spec.lap_topic))
                self._publish([lap], "a lap")
        else:
            self._publish(node.step(self._traced(message, publish_ns)), message.header.source)

    def _traced(self, message: Message, publish_ns: int) -> Message:
        if message.header.source not in TRACED:
            return message
        hop = Hop(f"{self.node.name}/queue", publish_ns, now_ns())
        self.timings.add_hops((hop,))
        return replace(message, header=message.header.after(hop))

    def _made(self, messages: Iterable[Message], what: str, least_s: float) -> Iterator[Message]:
        """`messages`, each asked for as a call about `what` that has to come back."""
        iterator, work = iter(messages), self.work
        while True:
            work.begin(what, least_s)
            message = next(iterator, None)
            work.end()
            if message is None:
                return
            yield message

    def _publish(self, messages: Iterable[Message], what: str, least_s: float = 0.0) -> None:
        for message in self._made(messages, what, least_s):
            if self.publisher is None:
                continue
            self._count_published(message.header.source)
            self.publisher.publish(message)
            own = [hop for hop in message.header.hops if hop.stage.startswith(self.node.name + "/")]
            self.timings.add_hops(hop for hop in own if not hop.stage.endswith("/queue"))
            if not self.spec.replay:
                self.timings.add(f"{message.header.source} since capture", now_ns() - message.header.capture_ns)
            if self.stop.is_set():
                return


def run_process(spec: ProcessSpec) -> None:
    """Entry point of a spawned process. Exits 0 at the end of its input, EXIT_STOPPED where a signal ended it before,
    2 when the node cannot run as configured, 1 on a programming error, whose traceback goes to the process's log.
    """
    _redirect_output(spec.log)
    _die_with_parent(spec.parent)
    _place(spec)
    node = spec.node(spec.config, spec.label)
    node.starts, node.replay = spec.starts, spec.replay
    runner = Runner(spec, node)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the supervisor decides; Ctrl-C reaches the whole terminal group
    signal.signal(signal.SIGTERM, lambda *_: runner.stop.set())
    with _heartbeat(runner):
        try:
            runner.run()
        except NodeError as error:
            node.report("failed", str(error))
            sys.stderr.write(f"{error}\n")
            temporary = isinstance(error, NodeUnavailable)
            code = ProcessSpec.EXIT_UNAVAILABLE if temporary else ProcessSpec.EXIT_CONFIG
        except Exception as error:
            told = users_error(error)
            node.report("failed", told or traceback.format_exc().strip().splitlines()[-1])
            traceback.print_exc()
            if told:
                sys.stderr.write(f"{told}\n")
            code = 1
        else:
            code = 0 if runner.over else ProcessSpec.EXIT_STOPPED
    sys.stdout.flush()
    sys.stderr.flush()
    # Threads of native libraries may hang in their destructors; everything of ours is closed by now.
    os._exit(code)


def _is_transient(error: BaseException) -> bool:
    return bool(getattr(error, "transient", False))


@contextlib.contextmanager
def _heartbeat(runner: Runner) -> Iterator[None]:
    from fusion_pipeline.heartbeat import Heartbeat

    heartbeat = Heartbeat(runner)
    heartbeat.start()
    try:
        yield
    finally:
        heartbeat.stop()


def _redirect_output(log: Path) -> None:
    """Send what libraries print to the process's log, so that it cannot tear the terminal's table."""
    handle = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    sys.stdout.flush()
    sys.stderr.flush()
    os.dup2(handle, 1)
    os.dup2(handle, 2)
    os.close(handle)


def _die_with_parent(parent: int) -> None:
    """Have the kernel kill this process when the supervisor dies, even by SIGKILL."""
    if sys.platform == "linux":
        PR_SET_PDEATHSIG = 1
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(1)


def _place(spec: ProcessSpec) -> None:
    if spec.nice:
        os.nice(spec.nice)
    if spec.cpu is not None and hasattr(os, "sched_setaffinity"):
        try:
            os.sched_setaffinity(0, {spec.cpu})
        except OSError as error:
            allowed = sorted(os.sched_getaffinity(0))
            sys.stderr.write(f"cannot pin to core {spec.cpu} ({error.strerror}); this machine allows {allowed}\n")
