"""What a graph refuses before it starts, and how it wires what it accepts."""

from __future__ import annotations

from pathlib import Path

import pytest
from sample_nodes import Counter, CounterConfig, Echo, EchoConfig, Needy, NeedyConfig

from fusion_pipeline.graph import Graph, GraphError, Process, load_graph
from fusion_pipeline.overrides import OverrideError


def test_wiring_joins_writers_and_readers_by_message_type() -> None:
    wiring = Graph((Process(Counter, CounterConfig()), Process(Echo, EchoConfig()))).check()
    assert wiring.writer_of["audio/one"] == "counter.one"
    assert wiring.topics_read["echo"] == ("audio/one", "logtime/one")
    assert wiring.readers("audio/one") == 1
    assert wiring.readers("detections") == 0


@pytest.mark.parametrize(
    ("processes", "said"),
    [
        ((), "no process"),
        ((Process(Counter, CounterConfig()), Process(Counter, CounterConfig())), "2 processes are named 'counter.one'"),
        ((Process(Counter, EchoConfig()),), "config is a EchoConfig, Counter wants CounterConfig"),
        ((Process(Needy, NeedyConfig()),), "needy reads Tracks, EgoMotion, but no process of the graph writes that"),
        (
            (Process(Counter, CounterConfig(), name="a"), Process(Counter, CounterConfig(), name="b")),
            "a and b both write 'audio/one'",
        ),
    ],
)
def test_faults_are_named(processes: tuple[Process, ...], said: str) -> None:
    with pytest.raises(GraphError, match=said):
        Graph(processes).check()


def test_every_fault_is_told_at_once() -> None:
    graph = Graph((Process(Counter, EchoConfig(), name="a"), Process(Echo, CounterConfig(), name="a")))
    with pytest.raises(GraphError) as caught:
        graph.check()
    assert str(caught.value).count(";") >= 2


def test_set_changes_a_config_by_type() -> None:
    graph = Graph((Process(Counter, CounterConfig()), Process(Echo, EchoConfig())))
    changed = graph.with_overrides(["counter.one.count=7", "echo.hang_on_stop=yes"])
    assert changed.processes[0].config.count == 7
    assert changed.processes[1].config.hang_on_stop is True
    assert graph.processes[0].config.count == 50


@pytest.mark.parametrize(
    ("assignment", "said"),
    [
        ("ecko.sleep_s=1", "did you mean 'echo'"),
        ("echo.sleep=1", "did you mean 'sleep_s'"),
        ("echo.sleep_s=fast", "expected a number"),
        ("echo.die_at=1.5", "expected a whole number"),
        ("echo.hang_on_stop=perhaps", "expected true or false"),
        ("echo", "write PROCESS.KEY=VALUE"),
    ],
)
def test_set_refuses_what_does_not_fit(assignment: str, said: str) -> None:
    with pytest.raises(OverrideError, match=said):
        Graph((Process(Counter, CounterConfig()), Process(Echo, EchoConfig()))).with_overrides([assignment])


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("graph = 3", "defines no `graph`"),
        ("graph = (", "line 1"),
        ("import no_such_module_here", "no_such_module_here"),
        ("raise ValueError('half a rig')", "half a rig"),
    ],
)
def test_broken_launch_files_are_told_in_a_line(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "broken.py"
    path.write_text(text)
    with pytest.raises(GraphError, match=said):
        load_graph(path)


def test_a_launch_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(GraphError, match="does not exist"):
        load_graph(tmp_path / "none.py")
