"""What happens when processes of a running graph are killed, and when it is stopped."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

from fusion_pipeline.bench.report import Figure
from fusion_pipeline.graph import Graph
from fusion_pipeline.messages import Tracks
from fusion_pipeline.supervisor import Supervisor, run

PATIENCE_S = 30.0


def fault_figures(graph: Graph, quick: bool = False) -> Iterator[Figure]:
    """Kill each node in turn and wait for the next output; stop the whole; start the command."""
    with TemporaryDirectory() as folder, Supervisor(graph, Path(folder), "bench") as supervisor:
        _next_output(supervisor)
        labels = [process.label for process in graph.processes if process.topics]
        for label in labels[:1] if quick else labels:
            run(supervisor, 1.0, lambda message: None, lambda: None)
            pid = supervisor.children[label].handle.pid
            assert pid is not None
            killed_ns, killed_s = time.time_ns(), time.monotonic()
            os.kill(pid, signal.SIGKILL)
            _next_output(supervisor, after_ns=killed_ns)
            waited = time.monotonic() - killed_s
            yield Figure(f"kill -9 of {label}: next output with a scan", waited, "s", "<= 2 s", waited <= 2)
        pids = [child.handle.pid for child in supervisor.children.values()]
        began = time.monotonic()
        supervisor.stop()
        took = time.monotonic() - began
    yield Figure("stop of the whole graph", took, "s", "<= 3 s", took <= 3)
    left = sum(pid is not None and Path(f"/proc/{pid}").exists() for pid in pids)
    yield Figure("processes left", left, "", "0", left == 0)
    yield from _start_figures()


def _next_output(supervisor: Supervisor, after_ns: int = 0) -> None:
    """Wait for tracks of a set with a scan in it that came after `after_ns`; sets of the missing do not count."""
    until = time.monotonic() + PATIENCE_S
    while time.monotonic() < until and not supervisor.ended:
        for message in supervisor.poll(0.1):
            if isinstance(message, Tracks) and message.header.arrival_ns > after_ns and _has_scan(message):
                return


def _has_scan(tracks: Tracks) -> bool:
    return any(source.source.startswith("lidar/") for source in tracks.sources)


def _start_figures() -> Iterator[Figure]:
    command = [sys.executable, "-m", "fusion_pipeline.cli"]
    times = []
    for _ in range(5):
        began = time.monotonic()
        subprocess.run([*command, "--help"], check=True, stdout=subprocess.DEVNULL)
        times.append(time.monotonic() - began)
    help_s = sorted(times)[2]
    yield Figure("fusion --help, median of 5", help_s, "s", "<= 0.4 s", help_s <= 0.4)
    began, first = time.monotonic(), float("nan")
    with subprocess.Popen([*command, "demo", "--for", "30"], stdout=subprocess.PIPE, text=True) as demo:
        assert demo.stdout is not None
        for line in demo.stdout:
            if "first detection" in line:
                first = time.monotonic() - began
                break
        demo.send_signal(signal.SIGINT)
        demo.communicate(timeout=PATIENCE_S)
    yield Figure("start of fusion demo to its first detection", first, "s", "<= 10 s", first <= 10)
