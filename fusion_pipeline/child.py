"""One process of a graph as its supervisor sees it: its state, its last heartbeat, and why it ended."""

from __future__ import annotations

import contextlib
import os
import signal
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from multiprocessing import get_context, resource_tracker
from multiprocessing.process import BaseProcess
from pathlib import Path

from fusion_pipeline.graph import Process
from fusion_pipeline.ledger import Ledger, added
from fusion_pipeline.messages import Health
from fusion_pipeline.process import ProcessSpec, run_process

SILENT_S = 5.0  # a ready process without heartbeat for this long is stuck, and killed to be restarted
STARTING_SILENT_S = 120.0  # the same of one that is starting: large libraries are imported before the first heartbeat
# A replay has time, and no second try: on an overloaded machine a process may get no turn for long.
REPLAY_SILENT_S = 120.0


@dataclass(frozen=True, slots=True)
class Event:
    """Something the supervisor did or saw, for people to read."""

    process: str
    what: str


@dataclass
class Child:
    """A process, how often it has been started, and what is known of it."""

    process: Process
    spec: ProcessSpec
    handle: BaseProcess
    health: Health | None = None
    last_heartbeat_s: float = 0.0
    restarts: deque[float] = field(default_factory=deque)  # monotonic, within the breaker's window
    starts: int = 0  # how often it has been started before
    restart_at_s: float | None = None
    state: str = "starting"  # starting, running, waiting, done (its input has ended), stopped (when asked), failed
    ever_ready: bool = False
    asked: bool = False  # the supervisor has asked it to stop
    refused: bool = False  # it cannot run as configured: to start it again would not help
    reason: str = ""
    killed_for: str = ""  # why the supervisor killed it

    @property
    def stalled(self) -> bool:
        """Whether it says that a call of its node has not come back for long."""
        return self.state == "running" and self.health is not None and self.health.state == "stalled"

    @property
    def up(self) -> bool:
        """Whether it runs and does its work."""
        return self.state == "running" and not self.stalled

    def stuck(self, now: float, replay: bool) -> str:
        """Why it has to be killed at `now` (monotonic): no heartbeat, or a call past its limit; "" where it works."""
        silent_s = SILENT_S if self.state == "running" else STARTING_SILENT_S
        silent_s = max(silent_s, REPLAY_SILENT_S) if replay else silent_s
        if now - self.last_heartbeat_s > silent_s:
            return f"no heartbeat for {silent_s:.0f} s"
        health = self.health
        if health is None or health.pid != self.handle.pid or not health.work_limit_s:
            return ""
        if health.work_s <= health.work_limit_s:
            return ""
        return f"its work on {health.work} has not come back for {health.work_s:.0f} s"

    def next_spec(self) -> ProcessSpec:
        """What the next start needs to know: it goes on with the counts of this one."""
        if self.spec.ledger is None:
            return replace(self.spec, starts=self.starts)
        with self._ledger() as ledger:
            return replace(self.spec, starts=self.starts, carried=ledger.carried(self.health))

    def published(self) -> dict[str, int]:
        """Messages by topic that it has published, over all starts."""
        with self._ledger() as ledger:
            return ledger.published()

    def taken(self) -> dict[str, int]:
        """By topic, the sequence number after that of the last message that it has taken."""
        with self._ledger() as ledger:
            return {topic: following for topic, (following, _) in ledger.taken().items()}

    def settle(self, published: Mapping[str, int], reason: str) -> None:
        """It reads no more: what was published for it and never taken is counted in its health as `reason`."""
        with self._ledger() as ledger:
            left = {topic: published.get(topic, 0) - following for topic, (following, _) in ledger.taken().items()}
        if self.health is not None:
            missed = {(topic, reason): count for topic, count in left.items() if count > 0}
            self.health = replace(self.health, dropped=added(missed, self.health.dropped))

    def _ledger(self) -> contextlib.closing[Ledger]:
        assert self.spec.ledger is not None
        return contextlib.closing(Ledger(self.spec.ledger, self.spec.writes, self.spec.counted))

    def signal(self, number: int) -> None:
        """Send a signal, if the process is still there."""
        if self.handle.pid is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.handle.pid, number)

    def reason_of(self, code: int) -> str:
        """Why it ended with this exit code."""
        if code == ProcessSpec.EXIT_STOPPED:
            return "stopped by SIGTERM from outside"
        if code < 0:
            return self.killed_for or f"killed by {signal.Signals(-code).name}"
        last = _last_line(self.spec.log)
        return f"exit {code}: {last}" if last else f"exit {code}"


def _last_line(log: Path) -> str:
    try:
        lines = [line for line in log.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()]
    except OSError:
        return ""
    return lines[-1] if lines else ""


def start(spec: ProcessSpec) -> BaseProcess:
    """Start the process of a node in an interpreter of its own."""
    handle = get_context("spawn").Process(target=run_process, args=(spec,), name=f"fusion-{spec.label}")
    # Until the child ignores Ctrl-C, which goes to all of the terminal, it would print a traceback for it.
    resource_tracker.ensure_running()  # it would unblock the signal
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        handle.start()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    return handle


def reachable(endpoint: str) -> str:
    """Where readers of this host find what is bound to `endpoint`."""
    return endpoint.replace("://0.0.0.0:", "://127.0.0.1:").replace("://*:", "://127.0.0.1:")
