"""Workers on this machine: processes that take one log after another. One that dies costs the log it was at."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import sys
import threading
import time
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path

from fusion_pipeline.fleet.engine import Finished, told
from fusion_pipeline.fleet.job import Order, carry_out

GRACE_S = 2.0
ORPHAN_LOOK_S = 0.5


@dataclass(slots=True)
class _Worker:
    process: BaseProcess
    pipe: Connection
    order: Order | None = None
    began_s: float = 0.0


class LocalEngine:
    """`slots` processes; an attempt that takes longer than `limit_s` is killed (0: never)."""

    def __init__(self, slots: int, logs: Path, limit_s: float = 0.0) -> None:
        """What the workers print goes to `logs`."""
        self.slots, self._logs, self._limit_s = slots, logs, limit_s
        self._context = multiprocessing.get_context("spawn")
        self._workers: list[_Worker] = []

    def submit(self, order: Order) -> None:
        """Give it to an idle worker, or to a new one."""
        worker = next((worker for worker in self._workers if worker.order is None), None) or self._hire()
        worker.order, worker.began_s = order, time.monotonic()
        try:
            worker.pipe.send(order)
        except OSError:  # it died idle; its end is seen in `wait`
            return

    def wait(self, timeout_s: float) -> list[Finished]:
        """What has ended, also by death or because it took too long."""
        busy = [worker for worker in self._workers if worker.order is not None]
        if not busy:
            return []
        now = time.monotonic()
        if self._limit_s:
            first = min(worker.began_s for worker in busy)
            timeout_s = max(0.0, min(timeout_s, first + self._limit_s - now))
        ready = wait([end for worker in busy for end in (worker.pipe, worker.process.sentinel)], timeout_s)
        done = []
        for worker in busy:
            late = self._limit_s > 0 and time.monotonic() - worker.began_s >= self._limit_s
            if worker.pipe in ready or worker.process.sentinel in ready or late:
                done.append(self._ended(worker, late))
        return done

    def close(self) -> None:
        """End the workers, and what they have started."""
        for worker in self._workers:
            worker.process.terminate()
        until = time.monotonic() + GRACE_S
        for worker in self._workers:
            worker.process.join(max(0.0, until - time.monotonic()))
            worker.process.kill()
            worker.process.join()
            worker.pipe.close()
        self._workers.clear()

    def _hire(self) -> _Worker:
        ours, theirs = self._context.Pipe()
        log = self._logs / "workers.txt"
        log.parent.mkdir(parents=True, exist_ok=True)
        # No daemon: such may have no children, and a job may start processes.
        process = self._context.Process(target=_serve, args=(theirs, os.getpid(), log), name="fusion-fleet")
        process.start()
        theirs.close()
        worker = _Worker(process, ours)
        self._workers.append(worker)
        return worker

    def _ended(self, worker: _Worker, late: bool) -> Finished:
        order, seconds = worker.order, time.monotonic() - worker.began_s
        assert order is not None
        worker.order = None
        with contextlib.suppress(EOFError, OSError):
            if worker.pipe.poll():
                result, error, trace = worker.pipe.recv()
                return Finished(order, seconds, result, error, trace)
        self._workers.remove(worker)
        if not late:
            worker.process.join(GRACE_S)  # its pipe may close a moment before it is gone
        alive = worker.process.is_alive()
        worker.process.kill()
        worker.process.join()
        why = f"took longer than {self._limit_s:g} s" if late and alive else _death(worker.process.exitcode)
        worker.pipe.close()
        return Finished(order, seconds, None, why, why)


def _death(code: int | None) -> str:
    if code is not None and code < 0:
        return f"the worker was killed by {signal.Signals(-code).name}"
    return f"the worker ended with exit code {code}"


def _serve(pipe: Connection, parent: int, log: Path) -> None:
    """The main function of a worker."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the driver's, who then ends the workers
    handle = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    os.dup2(handle, sys.stdout.fileno())
    os.dup2(handle, sys.stderr.fileno())
    os.close(handle)
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()
    while True:
        try:
            order = pipe.recv()
        except (EOFError, OSError):
            return
        try:
            answer: tuple[object, str, str] = (carry_out(order), "", "")
        except Exception as error:
            answer = (None, *told(error))
        pipe.send(answer)


def _end_with(parent: int) -> None:
    """A worker whose driver is gone would finish what nobody waits for."""
    while os.getppid() == parent:
        time.sleep(ORPHAN_LOOK_S)
    os._exit(1)
