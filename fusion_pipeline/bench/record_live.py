"""The recorder in a running graph: live topics over the real bus, and a recorder that is killed again and again."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fusion_pipeline.bench.report import Figure
from fusion_pipeline.bench.steady import SteadyConfig
from fusion_pipeline.graph import LAUNCH_FILES, load_graph
from fusion_pipeline.logs.mcap_summary import read_summary
from fusion_pipeline.logs.raw import RawReader
from fusion_pipeline.logs.reader import LogError
from fusion_pipeline.logs.surgery import recovered
from fusion_pipeline.supervisor import Supervisor, run

PATIENCE_S = 60.0  # for processes to start and a disk to catch up
WARM_S = 5.0  # after which memory must not grow any more; less where the whole takes less
FLAT_MB = 16.0
KILL_MB = 20.0  # a second while recorders are killed
BEGUN_BYTES = 200_000  # a file of this size holds messages


def live_figures(folder: Path, megabytes: float, seconds: float) -> Iterator[Figure]:
    """Two cameras and a LiDAR in processes of their own, a recorder with its defaults: what arrived in the file."""
    out = folder / "live.mcap"
    graph = load_graph(LAUNCH_FILES / "steady.py", out=out, megabytes=megabytes, seconds=seconds)
    memory: list[tuple[float, float, float]] = []
    with Supervisor(graph, folder / "live", "bench") as supervisor:
        pid = supervisor.children["recorder"].handle.pid

        def look() -> None:
            found = _memory_mb(pid)
            if found is not None and out.exists() and out.stat().st_size > BEGUN_BYTES:
                memory.append((time.monotonic(), *found))

        run(supervisor, seconds + PATIENCE_S, lambda message: None, look)
        reasons = "; ".join(f"{child.process.label}: {child.reason}" for child in supervisor.failed)
    if reasons:
        raise RuntimeError(f"the benchmark's graph failed: {reasons}")
    sent = {process.config.topic: process.config.count for process in graph.processes
            if isinstance(process.config, SteadyConfig)}  # fmt: skip
    found = read_summary(out)
    kept = {channel.topic: found.counts[number] for number, channel in found.channels.items()}
    lost = sum(count - kept.get(topic, 0) for topic, count in sent.items())
    took = (found.end_ns - found.start_ns) / 1e9
    what = f"{megabytes:g} MB/s of live topics for {seconds:g} s"
    yield Figure(f"{what}: messages lost", lost, "", "0", lost == 0,
                 note=f"{sum(sent.values())} sent in {took:.1f} s, {out.stat().st_size / 1e6 / took:.0f} MB/s in the "
                 "file")  # fmt: skip
    out.unlink()
    yield _memory_figure(what, memory)


def _memory_figure(what: str, memory: list[tuple[float, float, float]]) -> Figure:
    times, own, resident = np.asarray(memory).T
    later = own[times >= times[0] + min(WARM_S, 0.3 * float(np.ptp(times)))]
    third = max(1, len(later) // 3)
    growth = float(np.median(later[-third:]) - np.median(later[:third]))
    return Figure(f"{what}: growth of the recorder's own memory, median of the last third over the first", growth, "MB",
                  f"<= {FLAT_MB:g} MB", growth <= FLAT_MB, note=f"own at most {own.max():.0f} MB; resident at most "
                  f"{resident.max():.0f} MB, with libraries and the senders' shared memory")  # fmt: skip


def _memory_mb(pid: int | None) -> tuple[float, float] | None:
    """A process's own memory, and all that is resident; None where it is gone."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines()
        table = dict(line.split(":", 1) for line in lines if line.startswith(("VmRSS", "RssAnon")))
        return int(table["RssAnon"].split()[0]) / 1e3, int(table["VmRSS"].split()[0]) / 1e3
    except (OSError, KeyError, ValueError):
        return None


@dataclass(frozen=True, slots=True)
class _Killed:
    """What was left of one recording."""

    lost_s: float  # from the last message in the file to the kill, of the topic that has most
    messages: int  # recovered, written anew, read back and compared
    holes: int  # messages that are missing in between
    readable: bool


def killed_figures(folder: Path, kills: int) -> Iterator[Figure]:
    """`fusion record` beside a running graph, killed by SIGKILL at random instants."""
    graph = load_graph(LAUNCH_FILES / "steady.py", megabytes=KILL_MB, size=0.1)
    rng = np.random.default_rng(11)
    found = []
    with Supervisor(graph, folder / "killed", "bench", listen=False):
        for number in range(kills):
            out = folder / f"killed-{number}.mcap"
            killed_ns = _record_and_kill(out, float(rng.uniform(0.0, 2.0)))
            found.append(_recover(out, killed_ns))
            out.unlink()
    worst = max((one.lost_s for one in found), default=0.0)
    messages, holes = sum(one.messages for one in found), sum(one.holes for one in found)
    unreadable = sum(not one.readable for one in found)
    what = f"kill -9 of the recorder, {kills} times at random"
    yield Figure(f"{what}: most that was lost", worst, "s", "<= 1 s", worst <= 1.0,
                 note=f"of what was sent; median {np.median([one.lost_s for one in found]):.2f} s")  # fmt: skip
    yield Figure(f"{what}: files that cannot be read after `fusion log recover`", unreadable, "", "0",
                 unreadable == 0 and messages > 0, note=f"recover wrote {messages} messages, read them back and "
                 f"compared them; {holes} missing in between")  # fmt: skip


def _record_and_kill(out: Path, after_s: float) -> int:
    """The instant of the kill, `after_s` after the file had begun."""
    command = [sys.executable, "-m", "fusion_pipeline.cli", "record", "--graph", str(os.getpid()), "--out", str(out)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        until = time.monotonic() + PATIENCE_S
        while not (out.exists() and out.stat().st_size > BEGUN_BYTES):
            if process.poll() is not None or time.monotonic() > until:
                process.kill()
                raise RuntimeError("the benchmark's recorder did not start")
            time.sleep(0.01)
        time.sleep(after_s)
        killed_ns = time.time_ns()
        os.kill(process.pid, signal.SIGKILL)
    return killed_ns


def _recover(path: Path, killed_ns: int) -> _Killed:
    """As `fusion log recover` does, which raises LogError where what it wrote is not what it read."""
    whole = path.with_name("whole.mcap")
    try:
        count, _ = recovered(path, whole)
    except LogError:
        return _Killed(float("inf"), 0, 0, False)
    last: dict[str, tuple[int, int]] = {}
    holes = 0
    for raw in RawReader(whole):
        if raw.topic.startswith(("camera/", "lidar/")):
            before = last.get(raw.topic)
            holes += 0 if before is None else raw.sequence - before[1] - 1
            last[raw.topic] = raw.log_ns, raw.sequence
    whole.unlink()
    lost_s = max(((killed_ns - at) / 1e9 for at, _ in last.values()), default=float("inf"))
    return _Killed(lost_s, count, holes, count > 0)
