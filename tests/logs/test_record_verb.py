"""`fusion record` on graphs that run: everything arrives in the file, the last seconds on demand, and it says so."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import select
import shutil
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from fusion_pipeline.cli.dispatch import run
from fusion_pipeline.graph import LAUNCH_FILES, Graph, load_graph
from fusion_pipeline.logs.raw import RawReader
from fusion_pipeline.rundir import listening
from fusion_pipeline.supervisor import Supervisor

GRAPH = """
from fusion_pipeline.graph import LAUNCH_FILES, load_graph

graph = load_graph(LAUNCH_FILES / "steady.py", megabytes=3.0, seconds=2.0, size=0.05)
"""


@pytest.fixture(autouse=True)
def own_sockets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Graphs that others run on this machine are none of this test's."""
    folder = tempfile.mkdtemp()  # a short path: those of sockets may have 107 bytes
    monkeypatch.setattr(tempfile, "tempdir", folder)
    yield
    shutil.rmtree(folder, ignore_errors=True)


def counted(path: Path) -> dict[str, int]:
    """Messages by topic."""
    found: dict[str, int] = {}
    for raw in RawReader(path):
        found[raw.topic] = found.get(raw.topic, 0) + 1
    return found


def expected(graph: Graph) -> dict[str, int]:
    """What the sources send."""
    return {process.config.topic: process.config.count for process in graph.processes}


def test_all_that_a_graph_sends_is_in_the_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    launch, out = tmp_path / "few.py", tmp_path / "log.mcap"
    launch.write_text(GRAPH)
    assert run(["record", str(launch), "--out", str(out), "--compression", "zstd"]) == 0
    said = capsys.readouterr().out
    sent = expected(load_graph(launch))
    found = counted(out)
    assert {topic: found.get(topic) for topic in sent} == sent
    assert found["health/recorder"] > 0
    assert f"recorded {out.resolve()}" in said
    reader = RawReader(out)
    assert list(reader)
    names = {item.name: item.data for item in reader.attachments}
    processes = json.loads(names["configuration.json"])["processes"]
    assert {process["name"] for process in processes} == {"camera.a", "camera.b", "lidar.top", "recorder"}
    assert dict(reader.metadata)["fusion.recorded"]["lost"] == "0"


def test_a_running_graph_is_kept_and_saved_on_demand(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    graph, out = load_graph(LAUNCH_FILES / "steady.py", megabytes=2.0, size=0.05), tmp_path / "log.mcap"
    codes: list[int] = []

    def trigger() -> None:
        until = time.monotonic() + 30
        while not listening("recorder") and time.monotonic() < until:
            time.sleep(0.05)
        time.sleep(2.0)  # something to be kept
        codes.append(run(["record", "--trigger"]))

    with Supervisor(graph, tmp_path / "run", "test", listen=False) as supervisor:
        until = time.monotonic() + 60
        while not all(child.ever_ready for child in supervisor.children.values()) and time.monotonic() < until:
            list(supervisor.poll(0.2))
        asking = threading.Thread(target=trigger)
        asking.start()
        command = ["record", "--graph", str(os.getpid()), "--out", str(out), "--keep", "60", "--after", "0.2"]
        assert run([*command, "--for", "5"]) == 0
        asking.join()
    assert codes == [0]
    said = capsys.readouterr().out
    assert "saving the last" in said
    assert f"recorded {out.resolve()}" in said
    assert set(expected(graph)) <= set(counted(out))
    reader = RawReader(out)
    assert list(reader)
    assert dict(reader.metadata)["fusion.facts"]["saved_because"] == "by command"
    assert "configuration.json" in {item.name for item in reader.attachments}
    assert listening("recorder") == []


def test_a_key_saves_what_is_kept(tmp_path: Path) -> None:
    graph, out = load_graph(LAUNCH_FILES / "steady.py", megabytes=1.0, size=0.05), tmp_path / "log.mcap"
    command = [sys.executable, "-m", "fusion_pipeline.cli", "record", "--graph", str(os.getpid()), "--out", str(out)]
    with Supervisor(graph, tmp_path / "run", "test", listen=False):
        pid, terminal = pty.fork()  # a terminal of its own, in whose foreground it runs
        if not pid:
            os.environ["TMPDIR"] = str(tempfile.tempdir)
            os.execv(sys.executable, [*command, "--keep", "60", "--after", "0"])
        try:
            until, saved = time.monotonic() + 60, list[Path]()
            while not saved and time.monotonic() < until:
                saved = [path for path in tmp_path.glob("log*.mcap") if path.stat().st_size > 100_000]
                if listening("recorder"):
                    os.write(terminal, b"xs")
                if select.select([terminal], [], [], 0.3)[0]:
                    os.read(terminal, 4096)
            os.write(terminal, b"\x03")  # Ctrl-C ends it in order
            said = _rest(terminal)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
            os.close(terminal)
    assert code == 0, said
    assert "recorded" in said
    reader = RawReader(saved[0])
    assert list(reader)
    assert not reader.lost
    assert dict(reader.metadata)["fusion.facts"]["saved_because"] == "by key"


def _rest(terminal: int) -> str:
    """What is printed until the program at the other end of a terminal has ended."""
    said, until = b"", time.monotonic() + 60
    while time.monotonic() < until:
        if not select.select([terminal], [], [], 0.3)[0]:
            continue
        try:
            said += os.read(terminal, 4096)
        except OSError:
            break
    return said.decode(errors="replace")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--trigger"], "no recorder runs"),
        (["--save-on", "label = 'car'"], "--save-on needs --keep"),
        (["--keep", "5", "--save-on", "rnge_m < 3"], "did you mean 'range_m'"),
        (["--images", "gif"], "known: raw, jpeg, png, h264"),
        (["--compression", "gzip"], "known: none, lz4, zstd"),
        ([], "no graph runs"),
    ],
)
def test_what_cannot_be_is_told_in_a_line(
    arguments: list[str], told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["record", "--out", str(tmp_path / "log.mcap"), *arguments]) == 2
    said = capsys.readouterr().err
    assert told in said
    assert len(said.splitlines()) == 1


def test_what_was_lost_is_told_at_the_end(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from fusion_pipeline.cli.record import _told
    from fusion_pipeline.logs.mcap_out import McapOut

    file = McapOut(tmp_path / "log.mcap")
    file.add_metadata("fusion.recorded", {"messages": "4", "lost": "3", "lost, camera/front: disk full": "3"})
    file.close()
    assert _told(tmp_path / "log.mcap", 0.0, {"audio/roof: lost": 2})
    said = capsys.readouterr()
    assert "4 messages" in said.out
    assert said.err.splitlines() == [
        "LOST 2 messages of audio/roof: lost", "LOST 3 messages of camera/front: disk full",
    ]  # fmt: skip
