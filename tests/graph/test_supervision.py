"""Signals, calls that do not come back, pauses, counts over restarts, service managers: nothing of it is silent."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sample_nodes import Counter, CounterConfig, Echo, EchoConfig

from fusion_pipeline import child as children
from fusion_pipeline import control
from fusion_pipeline import supervisor as supervision
from fusion_pipeline.cli.errors import EXIT_FAILED, EXIT_USER, RunFailed, UserError
from fusion_pipeline.cli.running import run_graph
from fusion_pipeline.control import ControlServer, ask
from fusion_pipeline.graph import Graph, Process
from fusion_pipeline.ledger import RESTARTING, Ledger, counter
from fusion_pipeline.messages import Count, Detections, Header, Health, Message
from fusion_pipeline.node import NodeUnavailable
from fusion_pipeline.progress import FIRST_S, StopFlag, Work
from fusion_pipeline.service import ServiceManager
from fusion_pipeline.supervisor import Supervisor, run

LIMIT_S = 120.0  # on an overloaded machine; usually a few seconds


@pytest.fixture(autouse=True)
def _own_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with tempfile.TemporaryDirectory(dir="/tmp", prefix="ft") as folder:  # short: a socket's path may have 107 bytes
        monkeypatch.setattr(tempfile, "tempdir", folder)
        monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
        yield


def drive(
    graph: Graph, tmp_path: Path, on_number: dict[int, Callable[[Supervisor], None]], for_s: float = LIMIT_S
) -> tuple[list[Message], Supervisor]:
    """Run a graph to its end; when so many detections have come, do something to it."""
    got: list[Message] = []
    waiting = dict(on_number)
    with Supervisor(graph, tmp_path / "out") as supervisor:

        def take(message: Message) -> None:
            got.append(message)
            if isinstance(message, Detections):
                count = len(numbers(got))
                for at in [at for at in waiting if count >= at]:
                    waiting.pop(at)(supervisor)

        run(supervisor, for_s, take, lambda: None)
    return got, supervisor


def numbers(messages: list[Message]) -> list[int]:
    return [int(m.boxes.track_ids[0]) for m in messages if isinstance(m, Detections)]


def send(label: str, number: int) -> Callable[[Supervisor], None]:
    """What sends a signal to one process of a graph."""
    return lambda supervisor: supervisor.children[label].signal(number)


@pytest.mark.parametrize("label", ["counter.one", "echo"])
def test_whoever_is_asked_to_stop_by_a_stranger_comes_back(tmp_path: Path, label: str) -> None:
    graph = Graph((Process(Counter, CounterConfig(count=200, rate_hz=20)), Process(Echo, EchoConfig())))
    got, supervisor = drive(graph, tmp_path, {20: send(label, signal.SIGTERM)})
    assert 199 in numbers(got)
    assert any("SIGTERM" in event.what and event.process == label for event in supervisor.events)
    assert {one.state for one in supervisor.children.values()} == {"done"}


@pytest.mark.parametrize("label", ["counter.one", "echo"])
def test_a_replay_that_is_asked_to_stop_in_part_ends_with_an_error(tmp_path: Path, label: str) -> None:
    graph = Graph((Process(Counter, CounterConfig(count=10**6)), Process(Echo, EchoConfig(sleep_s=0.01))), replay=True)
    got, supervisor = drive(graph, tmp_path, {5: send(label, signal.SIGTERM)})
    assert [one.reason for one in supervisor.failed] == ["stopped by SIGTERM from outside"]
    assert -1 not in numbers(got)  # the others did not take it for the end of their input


def test_a_call_that_does_not_come_back_is_shown_and_ended(tmp_path: Path) -> None:
    echo = EchoConfig(hang_at=20, marker=str(tmp_path / "hung"))
    graph = Graph((Process(Counter, CounterConfig(count=150, rate_hz=20)), Process(Echo, echo, stall_s=1.5)))
    got, supervisor = drive(graph, tmp_path, {})
    states = [m.state for m in got if isinstance(m, Health) and m.node == "echo"]
    assert "stalled" in states
    assert any("audio/one" in event.what and "killed" in event.what for event in supervisor.events)
    assert 149 in numbers(got)


def test_a_call_may_take_long_when_it_is_the_first_of_its_kind() -> None:
    work = Work(5.0)
    work.begin("camera/front")
    assert work.state()[2] == FIRST_S
    work.end()
    assert work.state() == ("", 0.0, 0.0)
    work.begin("camera/front")
    assert work.state()[2] == 5.0
    work.begin_unlimited("opening")
    assert work.state()[2] == 0.0


def test_time_in_which_the_process_stood_still_is_no_work(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    work = Work(5.0)
    stop = StopFlag(work)
    work.begin("its input")
    now[0] += 60
    work.pardon(59.5)
    assert work.state()[1] == pytest.approx(0.5)
    now[0] += 10
    assert work.state()[1] == pytest.approx(10.5)
    assert not stop.is_set()  # a source that looks at its flag lives
    assert work.state()[1] == 0.0


def test_counts_add_up_over_kills_of_reader_and_writer(tmp_path: Path) -> None:
    """published = received + lost, whoever was killed, however often."""
    graph = Graph((Process(Counter, CounterConfig(count=200, rate_hz=50)), Process(Echo, EchoConfig())))
    kills = {at: send(label, signal.SIGKILL) for at, label in ((10, "echo"), (25, "counter.one"), (40, "echo"))}
    # A counter begins anew where it is killed, so numbers repeat; sequence numbers do not.
    _got, supervisor = drive(graph, tmp_path, {**kills, 60: send("echo", signal.SIGTERM)})
    writer, reader = (supervisor.children[label].health for label in ("counter.one", "echo"))
    assert writer is not None
    assert reader is not None
    assert reader.starts >= 1  # on a slow machine the counter may end before the later kills
    published, received, dropped = (counter(c) for c in (writer.published, reader.received, reader.dropped))
    for topic in ("audio/one", "logtime/one"):
        lost = sum(total for (name, reason), total in dropped.items() if name == topic and reason[:4] == "lost")
        assert published[topic, "published"] == received[topic, "received"] + lost
    assert dropped["audio/one", RESTARTING] > 0
    assert published["audio/one", "published"] > (201 if writer.starts else 200)


def test_a_ledger_outlives_its_process(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "counts", ("a",), ("b",))
    for number in (0, 1, 4):  # 2 and 3 were overwritten by 4
        ledger.takes("b", number)
        ledger.publishes("a")
    ledger.takes("of another graph", 7)
    again = Ledger(tmp_path / "counts", ("a",), ("b",))
    assert again.published() == {"a": 3}
    last = Health(Header("health/x", 1, 1), "x", 1, "ready", dropped=(Count("b", "overwritten", 1),))
    carried = again.carried(last)
    assert carried.next_read == {"b": 5}
    assert carried.received == {("b", "received"): 4}
    assert carried.dropped == {("b", "overwritten"): 1, ("b", RESTARTING): 1}
    ledger.close()
    again.close()


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
        told = [0]
        def say(message):
            if type(message).__name__ == "Detections":
                told[0] += 1
                if told[0] % 50 == 1:
                    sys.stdout.write("alive\\n"); sys.stdout.flush()
        run(supervisor, None, say, lambda: None)
    for event in supervisor.events:
        sys.stdout.write(f"event {{event.process}}: {{event.what}}\\n")
"""


def test_a_supervisor_that_stood_still_kills_nobody(tmp_path: Path) -> None:
    script = tmp_path / "graph.py"
    script.write_text(SCRIPT.format(here=str(Path(__file__).parent), out=str(tmp_path / "out")))
    environment = {**os.environ, "TMPDIR": tempfile.gettempdir()}
    with subprocess.Popen([sys.executable, str(script)], stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "alive\n"
        process.send_signal(signal.SIGSTOP)
        time.sleep(children.SILENT_S + 1.0)
        process.send_signal(signal.SIGCONT)
        for _ in range(3):
            assert process.stdout.readline() == "alive\n"
        process.send_signal(signal.SIGTERM)
        rest = process.communicate(timeout=30)[0]
    events = [line for line in rest.splitlines() if line.startswith("event")]
    assert len(events) == 1
    assert events[0].startswith("event supervisor: stood still for")


def test_a_child_that_is_stopped_is_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(children, "SILENT_S", 1.5)
    graph = Graph((Process(Counter, CounterConfig(count=200, rate_hz=20)), Process(Echo, EchoConfig())))
    got, supervisor = drive(graph, tmp_path, {20: send("echo", signal.SIGSTOP)})
    assert any("no heartbeat" in event.what for event in supervisor.events)
    assert 199 in numbers(got)


def test_a_restarted_reader_of_what_has_ended_ends_as_well(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervision, "ORPHANED_S", 0.5)
    graph = Graph((Process(Counter, CounterConfig(count=30, rate_hz=50)), Process(Echo, EchoConfig(sleep_s=0.03))))
    began = time.monotonic()
    _, supervisor = drive(graph, tmp_path, {27: send("echo", signal.SIGKILL)})
    assert supervisor.ended
    assert time.monotonic() - began < LIMIT_S


def test_a_jump_of_the_clock_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    graph = Graph((Process(Counter, CounterConfig(count=10**6, rate_hz=20)), Process(Echo, EchoConfig())))
    with Supervisor(graph, tmp_path / "out") as supervisor:
        list(supervisor.poll(0.05))
        real = supervision.now_ns
        monkeypatch.setattr(supervision, "now_ns", lambda: real() + 3600 * 10**9)
        list(supervisor.poll(0.05))
    assert [e.what for e in supervisor.events if e.process == "host"] == ["the clock jumped by +3600.000 s"]


class Crashing(Counter):
    """Never gets as far as to be ready."""

    def open(self) -> None:
        raise OSError("the device is busy")


class Unavailable(Counter):
    """Wants what is not to be had at present."""

    def open(self) -> None:
        raise NodeUnavailable("the GPU has no memory left; end who holds it")


@pytest.mark.parametrize("node", [Crashing, Unavailable])
def test_a_crash_loop_is_no_wrong_setting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, node: type[Counter]) -> None:
    monkeypatch.setattr(supervision, "BREAKER_RESTARTS", 1)
    graph = Graph((Process(node, CounterConfig()), Process(Echo, EchoConfig())))
    with pytest.raises(RunFailed) as failed:
        run_graph(graph, "x", LIMIT_S, tmp_path / "out", show=False)
    assert failed.value.exit_code == EXIT_FAILED != EXIT_USER
    wrong = Graph((Process(Counter, CounterConfig(fail_open="no such device")), Process(Echo, EchoConfig())))
    with pytest.raises(UserError) as refused:
        run_graph(wrong, "x", LIMIT_S, tmp_path / "out", show=False)
    assert not isinstance(refused.value, RunFailed)


def test_a_service_manager_hears_of_start_life_and_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager, tempfile.TemporaryDirectory() as folder:
        manager.bind(f"{folder}/n")
        manager.settimeout(10)
        monkeypatch.setenv("NOTIFY_SOCKET", f"{folder}/n")
        drive(Graph((Process(Counter, CounterConfig(count=40, rate_hz=20)), Process(Echo, EchoConfig()))), tmp_path, {})
        said = []
        while not said or said[-1] != "STOPPING=1":
            said.append(manager.recv(4096).decode())
    assert said[0] == "READY=1"
    assert any(text.startswith("WATCHDOG=1\nSTATUS=") for text in said)


def test_nobody_need_listen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", "@nobody-listens-here")
    ServiceManager().notify("READY=1")
    monkeypatch.delenv("NOTIFY_SOCKET")
    ServiceManager().goes_on("fine")


def test_the_unit_is_sound_and_outlasts_the_slowest_stop(repo_root: Path, tmp_path: Path) -> None:
    from nodes.recorder import Recorder

    unit = (repo_root / "launch" / "fusion.service").read_text()
    settings = dict(line.split("=", 1) for line in unit.splitlines() if "=" in line and not line.startswith("#"))
    assert int(settings["TimeoutStopSec"]) > Recorder.stop_s + 2
    assert settings["RestartPreventExitStatus"] == str(EXIT_USER)
    assert settings["Type"] == "notify"
    assert int(settings["WatchdogSec"]) > Recorder.stop_s
    verified = tmp_path / "fusion.service"
    command = tmp_path / "fusion" / ".venv" / "bin" / "fusion"
    command.parent.mkdir(parents=True)
    command.write_text("#!/bin/sh\n")
    command.chmod(0o755)
    verified.write_text(unit.replace("%h", str(tmp_path)))
    try:
        done = subprocess.run(
            ["systemd-analyze", "--user", "verify", str(verified)], capture_output=True, text=True, timeout=60,
            env={**os.environ, "XDG_RUNTIME_DIR": str(tmp_path)},
        )  # fmt: skip
    except FileNotFoundError:
        pytest.skip("systemd-analyze is not installed")
    complaints = [line for line in done.stderr.splitlines() if "fusion.service" in line]
    assert complaints == []


def test_a_caller_that_stalls_holds_up_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(control, "PATIENCE_S", 1.5)
    path = str(tmp_path / "c")
    ControlServer(path, str.upper).start()
    with socket.socket(socket.AF_UNIX) as half, socket.socket(socket.AF_UNIX) as silent:
        half.connect(path)
        half.send(b"\0\0")  # half of a length, and no more
        silent.connect(path)
        assert ask(path, "pause") == "PAUSE"
        half.settimeout(20)
        assert half.recv(1) == b""  # sent away
