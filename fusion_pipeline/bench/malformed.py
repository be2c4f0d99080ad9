"""Malformed inputs of every kind, thousands of them: read or refused in one line, soon, and with little memory.

A worker makes them one after another, each from `seed`, its kind and its number alone, and reads them in its own
process; this one waits, and starts another where a worker died or is stuck. Some are given to the real command line.
"""

from __future__ import annotations

import contextlib
import gc
import multiprocessing
import os
import random
import resource
import subprocess
import sys
import time
import traceback
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from tempfile import TemporaryDirectory

from fusion_pipeline.bench.malformed_change import change
from fusion_pipeline.bench.malformed_kinds import KINDS, Kind
from fusion_pipeline.bench.report import Figure, step

COUNT, QUICK = 20_000, 600
ONE_IN = 100  # that many of those that a verb reads are given to the real command line as well
SLOWEST_S, GROWTH_MIB = 2.0, 200.0
HANG_S = 30.0  # of one input: a worker that does not answer is ended
START_S = 120.0  # for a worker to begin, on a machine that has other work
ROOM_BYTES = 4 << 30  # of address space that a worker may take: the machine is not what is tried
FAST = Path("/dev/shm")


@dataclass
class Outcome:
    """What came of the inputs of a kind."""

    name: str
    inputs: int = 0
    read: int = 0
    refused: int = 0
    tracebacks: int = 0
    slowest_s: float = 0.0
    growth_mib: float = 0.0
    commands: int = 0
    wrong: list[str] = field(default_factory=list)  # "number 12: ..."


@dataclass(frozen=True)
class One:
    """What came of one input."""

    number: int
    answer: str  # "read", "refused", "skipped" or the last lines of a traceback
    seconds: float  # of the processor
    growth_mib: float


def run(quick: bool = False, count: int = 0, seed: int = 0) -> tuple[Figure, ...]:
    """Figures of `count` inputs, by default 20,000, or 600 with `quick`."""
    outcomes = list(outcomes_of(count or (QUICK if quick else COUNT), seed))
    inputs, wrong = sum(one.inputs for one in outcomes), sum(one.tracebacks for one in outcomes)
    slowest = max(outcomes, key=lambda one: one.slowest_s)
    growth = max(outcomes, key=lambda one: one.growth_mib)
    return (
        *(_figure(one) for one in outcomes),
        Figure(f"tracebacks, crashes and hangs, {inputs:,} malformed inputs", wrong, "", "0", not wrong,
               note=f"{sum(one.commands for one in outcomes)} of them through the command line; seed {seed}"),
        Figure(f"most processor time for one of them ({slowest.name})", slowest.slowest_s, "s", f"<= {SLOWEST_S:g}",
               slowest.slowest_s <= SLOWEST_S),
        Figure(f"most memory for one of them ({growth.name})", growth.growth_mib, "MiB", f"<= {GROWTH_MIB:g}",
               growth.growth_mib <= GROWTH_MIB),
    )  # fmt: skip


def _figure(one: Outcome) -> Figure:
    note = f"{one.inputs:,} inputs: {one.read} read, {one.refused} refused; slowest {one.slowest_s * 1000:.0f} ms, "
    note += f"most {one.growth_mib:.0f} MiB"
    return Figure(one.name, one.tracebacks, "", "0", not one.tracebacks, note="; ".join([note, *one.wrong[:3]]))


def outcomes_of(
    count: int, seed: int, kinds: tuple[Kind, ...] = KINDS, commands: bool = True, first: int = 0
) -> Iterator[Outcome]:
    """Kind by kind, what came of so many inputs in all, those from number `first` on."""
    shares = sum(kind.share for kind in kinds)
    done = 0
    for kind in kinds:
        numbers = range(first, first + max(1, round(count * kind.share / shares)))
        outcome = Outcome(kind.name)
        for one in _answers(kind, seed, numbers):
            _count(outcome, one)
            done += 1
            if done % 50 == 0:
                step(f"{done:,} of {count:,}, {kind.name}")
        if commands and kind.command:
            _try_commands(kind, seed, numbers[:: min(len(numbers), ONE_IN)], outcome)
        yield outcome


def _count(outcome: Outcome, one: One) -> None:
    if one.answer == "skipped":
        return
    outcome.inputs += 1
    outcome.slowest_s = max(outcome.slowest_s, one.seconds)
    outcome.growth_mib = max(outcome.growth_mib, one.growth_mib)
    outcome.read += one.answer == "read"
    outcome.refused += one.answer == "refused"
    if one.answer not in ("read", "refused"):
        outcome.tracebacks += 1
        outcome.wrong.append(f"number {one.number}: {one.answer}")
    elif one.seconds > SLOWEST_S or one.growth_mib > GROWTH_MIB:
        outcome.wrong.append(f"number {one.number}: {one.seconds:.1f} s, {one.growth_mib:.0f} MiB")


def _answers(kind: Kind, seed: int, numbers: range) -> Iterator[One]:
    """Of one worker after another, until every input has its answer."""
    context = multiprocessing.get_context("spawn")
    while numbers:
        ours, theirs = context.Pipe(duplex=False)
        worker = context.Process(target=_work, args=(kind, seed, numbers, theirs), daemon=True)
        worker.start()
        theirs.close()
        answered, patience_s = numbers.start, START_S
        hung = False
        with contextlib.suppress(EOFError):  # the worker has ended
            while answered < numbers.stop and not hung:
                hung = not ours.poll(patience_s)
                if not hung:
                    one = ours.recv()
                    answered, patience_s = one.number + 1, HANG_S
                    yield one
        worker.join(0 if hung else HANG_S)
        worker.kill()
        worker.join()
        if answered < numbers.stop:
            what = f"no answer in {HANG_S:g} s" if hung else f"the process ended with {worker.exitcode}"
            yield One(answered, what, HANG_S if hung else 0.0, 0.0)
            answered += 1
        worker.close()
        ours.close()
        numbers = range(answered, numbers.stop)


def _work(kind: Kind, seed: int, numbers: range, answers: Connection) -> None:
    """Make and read the inputs of a kind. What libraries print goes nowhere."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    warnings.simplefilter("ignore")
    with inputs(kind, seed) as (target, make):
        with contextlib.suppress(Exception):
            kind.read(target)  # imports, and what is made once
        _limit_memory()
        for number in numbers:
            make(number)
            before = _restart_peak()
            began = time.process_time()
            answer = answer_of(kind, target)
            seconds = time.process_time() - began
            answers.send(One(number, answer, seconds, _peak_mib() - before))


def answer_of(kind: Kind, target: Path) -> str:
    """ "read", "refused", "skipped" where a library is not there, or what went wrong."""
    try:
        kind.read(target)
    except ModuleNotFoundError:
        return "skipped"
    except Exception as error:
        ours = any(base.__module__.partition(".")[0] in ("fusion_pipeline", "nodes") for base in type(error).__mro__)
        if ours or isinstance(error, OSError):
            return "refused"
        frames = traceback.extract_tb(error.__traceback__)
        own = [f for f in frames if "/site-packages/" not in f.filename and "/bench/" not in f.filename][-1:]
        where = ", ".join(f"{Path(f.filename).name}:{f.lineno}" for f in [*own, frames[-1]])
        return " ".join(f"{type(error).__name__} at {where}: {error}".split())[:200]
    return "read"


@contextlib.contextmanager
def inputs(kind: Kind, seed: int) -> Iterator[tuple[Path, Callable[[int], None]]]:
    """The path that is opened, and a function that puts input `number` there, all else being sound again."""
    with TemporaryDirectory(prefix="fusion-bench-", dir=FAST if FAST.is_dir() else None) as name:
        target = kind.prepare(Path(name))
        files = sorted(p for p in Path(name).rglob("*") if p.is_file() and p.suffix not in kind.fixed)
        whole = {path: path.read_bytes() for path in files}
        changed: list[Path] = []

        def make(number: int) -> None:
            chance = random.Random(f"{seed}/{kind.name}/{number}")
            for path in changed:
                path.write_bytes(whole[path])
            changed[:] = chance.sample(files, min(len(files), chance.choice((1, 1, 1, 2))))
            for path in changed:
                change(path, whole[path], chance)

        yield target, make


def _try_commands(kind: Kind, seed: int, numbers: range, outcome: Outcome) -> None:
    """Some inputs through `fusion` itself."""
    with inputs(kind, seed) as (target, make):
        for number in numbers:
            make(number)
            command = [sys.executable, "-m", "fusion_pipeline.cli", *kind.command, str(target)]
            try:
                done = subprocess.run(command, capture_output=True, text=True, timeout=HANG_S, check=False)
            except subprocess.TimeoutExpired:
                said, code = f"no answer in {HANG_S:g} s", 1
            else:
                said, code = done.stderr, done.returncode
            outcome.commands += 1
            if code not in (0, 2, 3) or "Traceback" in said:
                outcome.tracebacks += 1
                outcome.wrong.append(
                    f"number {number}: `fusion {' '.join(kind.command)}` ends with {code}: {said[-200:]}"
                )


def _limit_memory() -> None:
    pages = int(Path("/proc/self/statm").read_text().split()[0]) if Path("/proc/self/statm").is_file() else 0
    if pages:
        most = pages * resource.getpagesize() + ROOM_BYTES
        resource.setrlimit(resource.RLIMIT_AS, (most, resource.RLIM_INFINITY))


def _restart_peak() -> float:
    """Begin a new peak of the memory in use where the system can; what is in use now, in MiB."""
    gc.collect(0)
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")
    return _peak_mib()


def _peak_mib() -> float:
    """The most that was in use since the last `_restart_peak`, of the process's whole life where it has no effect."""
    try:
        status = Path("/proc/self/status").read_text()
        return int(status.partition("VmHWM:")[2].split()[0]) / 1024
    except (OSError, IndexError):
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
