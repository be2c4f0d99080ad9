"""Whole graphs of real processes: order, ends, restarts, stops, orphans."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from sample_nodes import Counter, CounterConfig, Echo, EchoConfig

from fusion_pipeline.graph import Graph, Process
from fusion_pipeline.messages import Detections, Health, Message
from fusion_pipeline.rundir import running_graphs
from fusion_pipeline.supervisor import Supervisor, run

LIMIT_S = 25.0


@pytest.fixture(autouse=True)
def _own_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    # Short: the path of a Unix socket may have 107 bytes.
    with tempfile.TemporaryDirectory(dir="/tmp", prefix="ft") as folder:
        monkeypatch.setattr(tempfile, "tempdir", folder)
        monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
        yield


def drive(graph: Graph, tmp_path: Path, for_s: float | None = LIMIT_S) -> tuple[list[Message], Supervisor]:
    """Run a graph to its end, and hand out what it said."""
    got: list[Message] = []
    with Supervisor(graph, tmp_path / "out") as supervisor:
        run(supervisor, for_s, got.append, lambda: None)
    return got, supervisor


def numbers(messages: list[Message]) -> list[int]:
    """The track ids of all detections."""
    return [int(m.boxes.track_ids[0]) for m in messages if isinstance(m, Detections)]


def test_replay_delivers_everything_in_order_and_ends(tmp_path: Path) -> None:
    count = 300
    graph = Graph((Process(Counter, CounterConfig(count=count)), Process(Echo, EchoConfig())), replay=True)
    got, supervisor = drive(graph, tmp_path)
    assert numbers(got) == [*range(count), -1]
    last = [m for m in got if isinstance(m, Detections)][-1]
    assert last.class_names == (f"ticks {count}",)  # one advance for each LogTime, none from the wall clock
    assert {child.state for child in supervisor.children.values()} == {"done"}
    assert not list(Path(tempfile.gettempdir()).glob("fusion-*/*"))


def test_configuration_is_written_beside_the_output(tmp_path: Path) -> None:
    graph = Graph((Process(Counter, CounterConfig(count=3)), Process(Echo, EchoConfig(sleep_s=0.01))), replay=True)
    drive(graph, tmp_path)
    written = json.loads((tmp_path / "out" / "config.json").read_text())
    assert {p["name"]: p["config"] for p in written["processes"]}["echo"]["sleep_s"] == 0.01
    assert "numpy" in written["versions"]


def test_a_node_that_dies_comes_back_and_the_graph_goes_on(tmp_path: Path) -> None:
    echo = EchoConfig(die_at=20, marker=str(tmp_path / "died"))
    graph = Graph((Process(Counter, CounterConfig(count=120, rate_hz=20)), Process(Echo, echo)))
    got, supervisor = drive(graph, tmp_path)
    found = numbers(got)
    assert {19, 119} <= set(found)
    assert 20 not in found
    assert any("starting again" in event.what for event in supervisor.events)


def test_a_bug_in_a_replay_ends_it_with_the_reason(tmp_path: Path) -> None:
    graph = Graph((Process(Counter, CounterConfig(count=5000)), Process(Echo, EchoConfig(raise_at=7))), replay=True)
    got, supervisor = drive(graph, tmp_path)
    assert numbers(got) == list(range(7))
    (reason,) = [child.reason for child in supervisor.failed]
    assert re.fullmatch(r"exit 1: \S+sample_nodes\.py, line \d+: ZeroDivisionError: a bug", reason)


def test_a_node_that_cannot_run_as_configured_ends_the_graph(tmp_path: Path) -> None:
    graph = Graph(
        (Process(Counter, CounterConfig(fail_open="no such device; plug it in")), Process(Echo, EchoConfig()))
    )
    _, supervisor = drive(graph, tmp_path)
    assert [child.reason for child in supervisor.failed] == ["exit 2: no such device; plug it in"]


def test_a_node_that_ignores_sigterm_is_killed(tmp_path: Path) -> None:
    graph = Graph(
        (Process(Counter, CounterConfig(count=10_000, rate_hz=50)), Process(Echo, EchoConfig(hang_on_stop=True)))
    )
    with Supervisor(graph, tmp_path / "out") as supervisor:
        run(supervisor, LIMIT_S, lambda m: setattr(supervisor, "_stop_asked", isinstance(m, Detections)), lambda: None)
        pids = [child.handle.pid for child in supervisor.children.values()]
    assert any("killed" in event.what for event in supervisor.events)
    assert not any(pid and Path(f"/proc/{pid}").exists() for pid in pids)


def test_health_tells_rates_and_counts(tmp_path: Path) -> None:
    graph = Graph((Process(Counter, CounterConfig(count=30, rate_hz=20)), Process(Echo, EchoConfig())))
    got, _ = drive(graph, tmp_path)
    last = {m.node: m for m in got if isinstance(m, Health)}
    assert [(c.topic, c.total) for c in last["echo"].received if c.topic == "audio/one"] == [("audio/one", 30 + 1)]
    assert any(c.topic == "detections" for c in last["echo"].published)
    assert any(t.stage == "detections since capture" for t in last["echo"].timings)


def test_two_graphs_meet_over_tcp(tmp_path: Path) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"tcp://127.0.0.1:{probe.getsockname()[1]}"
    counter = Process(
        Counter, CounterConfig(count=10_000, rate_hz=50), endpoint=address.replace("127.0.0.1", "0.0.0.0")
    )
    here = Graph((Process(Echo, EchoConfig()),), remote={"audio/one": address, "logtime/one": address})
    got: list[Message] = []
    with (
        Supervisor(Graph((counter,)), tmp_path / "there", insecure=True) as there,
        Supervisor(here, tmp_path / "here") as near,
    ):
        until = time.monotonic() + LIMIT_S
        while len(numbers(got)) < 20 and time.monotonic() < until:
            list(there.poll(0.05))
            got.extend(near.poll(0.05))
    assert len(numbers(got)) >= 20


SCRIPT = """
import sys
from pathlib import Path
sys.path.insert(0, {here!r})
from sample_nodes import *
from fusion_pipeline.graph import Graph, Process
from fusion_pipeline.supervisor import Supervisor, run
if __name__ == "__main__":
    graph = Graph((Process(Counter, CounterConfig(count=10**6, rate_hz=50)), Process(Echo, EchoConfig())))
    with Supervisor(graph, Path({out!r})) as supervisor:
        pids = [child.handle.pid for child in supervisor.children.values()]
        def say(message):
            if type(message).__name__ == "Detections" and pids:
                sys.stdout.write(" ".join(map(str, pids)) + "\\n"); sys.stdout.flush(); pids.clear()
        run(supervisor, None, say, lambda: None)
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_no_orphan_however_the_supervisor_ends(tmp_path: Path, number: signal.Signals) -> None:
    script = tmp_path / "graph.py"
    script.write_text(SCRIPT.format(here=str(Path(__file__).parent), out=str(tmp_path / "out")))
    environment = {**os.environ, "TMPDIR": tempfile.gettempdir()}
    with subprocess.Popen([sys.executable, str(script)], stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout is not None
        pids = [int(word) for word in process.stdout.readline().split()]
        assert len(pids) == 2
        assert [graph.pid for graph in running_graphs()] == [process.pid]
        process.send_signal(number)
        process.wait(30)
    until = time.monotonic() + 30
    while time.monotonic() < until and any(_runs(pid) for pid in pids):
        time.sleep(0.05)
    assert not any(_runs(pid) for pid in pids)
    assert running_graphs() == []


def _runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False
