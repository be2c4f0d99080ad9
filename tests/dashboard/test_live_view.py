"""The terminal view: rates, latencies, losses and boxes as people read them."""

from __future__ import annotations

import io
import json
import os
import sys
from collections import deque
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

import pytest
from dashboard_samples import health, tracks
from rich.console import Console

from fusion_pipeline.child import Event
from fusion_pipeline.cli.topic import _rate_line
from fusion_pipeline.clock import now_ns
from fusion_pipeline.dashboard import board, live
from fusion_pipeline.dashboard.board import IN_HAND, IN_STAGES, SINCE_CAPTURE, Board, NodeBoard
from fusion_pipeline.dashboard.live import LiveView
from fusion_pipeline.dashboard.tables import side
from fusion_pipeline.graph import Graph
from fusion_pipeline.messages import Header, Health
from fusion_pipeline.supervisor import Supervisor


@dataclass
class FakeChild:
    state: str = "running"
    reason: str = ""
    restarts: deque[float] = field(default_factory=deque)


@dataclass
class FakeSupervisor:
    """What the view asks of a supervisor."""

    graph: Graph = field(default_factory=lambda: Graph(()))
    name: str = "vehicle"
    output: Path = Path("logs/vehicle")
    events: deque[Event] = field(default_factory=lambda: deque(maxlen=3))
    children: dict[str, Any] = field(default_factory=lambda: {"detector": FakeChild(), "camera.front": FakeChild()})


def view(terminal: bool, supervisor: FakeSupervisor | None = None, **options: Any) -> tuple[LiveView, io.StringIO]:
    text = io.StringIO()
    console = Console(file=text, force_terminal=terminal, width=160, highlight=False, color_system=None)
    return LiveView(cast(Supervisor, supervisor or FakeSupervisor()), console=console, **options), text


def test_rates_come_from_counts_between_heartbeats() -> None:
    board = NodeBoard()
    for beat in range(20):
        board.feed(health("detector", beat * 0.5, published=beat * 5))
    assert board.rates_hz() == pytest.approx({"detections": 10.0})


def test_a_restart_starts_counting_afresh() -> None:
    board = NodeBoard()
    for beat in range(4):
        board.feed(health("detector", beat * 0.5, published=1000 + beat * 5))
    board.feed(health("detector", 2.0, published=1, pid=11))
    assert board.rates_hz() == {}
    board.feed(health("detector", 2.5, published=6, pid=11))
    assert board.rates_hz() == pytest.approx({"detections": 10.0})


def test_a_stalled_node_shows_no_rate() -> None:
    board = NodeBoard()
    for beat in range(20):
        board.feed(health("detector", beat * 0.5, published=min(beat, 10)))
    assert board.rates_hz() == {"detections": 0.0}


def test_end_to_end_runs_from_the_stamps_when_live() -> None:
    board = Board()
    board.feed(tracks((10, 0, 0, 0)))
    timings = {timing.stage: timing for timing in board.end_to_end()}
    assert set(timings) == {IN_HAND, SINCE_CAPTURE}
    assert timings[SINCE_CAPTURE].p50_ms - timings[IN_HAND].p50_ms == pytest.approx(50.0)
    assert timings[IN_HAND].p50_ms >= 30.0


def test_end_to_end_is_the_sum_of_stages_in_replay() -> None:
    board = Board(replay=True)
    board.feed(tracks((10, 0, 0, 0), capture_ns=5))
    assert [(t.stage, t.p50_ms) for t in board.end_to_end()] == [(IN_STAGES, pytest.approx(30.0))]
    assert "aligner/wait for lidar/top" not in {timing.stage for timing in board.whole_run()}


def test_the_screen_shows_nodes_boxes_and_sounds() -> None:
    shown, text = view(terminal=True)
    for beat in range(4):
        shown.feed(health("detector", beat * 0.5, published=beat * 5))
    shown.feed(tracks((12.5, 5, 0, 0), (6, 0, 0, 2)))
    shown._console.print(shown.screen())
    page = text.getvalue()
    for part in (
        "vehicle", "detector", "ready", "10.0 Hz", "network", "30.0", "36.5", "CPUExecutionProvider",  # the node
        "camera.front", "running", "car", "pedestrian", "13.5", "12.5", "5.0", "siren", "+86° left", IN_HAND,
    ):  # fmt: skip
        assert part in page, part
    assert page.index("pedestrian") < page.index(" car ")  # the nearest comes first


def test_a_node_in_trouble_is_named() -> None:
    board = Board()
    board.feed(Health(Header("health/camera", 1, 1), "camera", 7, "degraded", "cannot open /dev/video0"))
    board.feed(Health(Header("health/lidar", 1, 1), "lidar", 8, "ready", "HDL-64E"))
    assert board.troubles() == ("camera: cannot open /dev/video0",)


def test_without_a_terminal_there_are_plain_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "PLAIN_PERIOD_S", 0.0)
    shown, text = view(terminal=False)
    with shown:
        shown.tick()
        shown.feed(health("detector", 0.0, published=1))
        shown.feed(tracks())
        shown.feed(tracks((12.5, -5, 0, 0), (16, 0, 0, 2)))
        shown.tick()
    lines = text.getvalue().splitlines()
    assert lines[0].endswith("2 of 2 processes up; dropped 0, refused 0")
    assert "first detection after" in lines[1]
    assert "car 0.90 at 13.5 m ahead and 1 more" in lines[2]
    assert lines[2].endswith("dropped 3, refused 2")
    assert "\x1b" not in text.getvalue()


def test_each_event_is_said_once_even_when_old_ones_are_forgotten() -> None:
    supervisor = FakeSupervisor()
    shown, text = view(False, supervisor)
    for number in range(10):
        supervisor.events.append(Event("detector", f"killed by SIGKILL ({number})"))
        shown.tick()
        shown.tick()
    assert [line.split("(")[1][0] for line in text.getvalue().splitlines()] == [str(n) for n in range(10)]


def test_nothing_is_shown_when_not_asked_to() -> None:
    supervisor = FakeSupervisor()
    supervisor.events.append(Event("detector", "killed"))
    shown, text = view(True, supervisor, show=False)
    with shown:
        shown.feed(tracks((1, 2, 0, 0)))
        shown.tick()
    assert text.getvalue() == ""
    assert shown.board.sets == 1


def test_the_summary_has_every_stage_of_the_run() -> None:
    shown, text = view(False)
    for _ in range(5):
        shown.feed(tracks((10, 0, 0, 0)))
    shown.feed(health("recorder", 0.0, published=1))
    shown.summary()
    page = text.getvalue()
    for part in ("latency table", "detector/network", "recorder/network", IN_HAND, "5 sets in", "logs/vehicle"):
        assert part in page, part


@pytest.mark.parametrize(
    ("azimuth", "words"), [(0, "ahead"), (1.5708, "left"), (-1.5708, "right"), (3.1, "behind"), (-0.8, "ahead right")]
)
def test_directions_in_words(azimuth: float, words: str) -> None:
    assert side(azimuth) == words


def test_a_screen_that_is_gone_does_not_end_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    reader, writer = os.pipe()
    with os.fdopen(writer, "w") as stream:
        monkeypatch.setattr(sys, "stdout", stream)
        shown = LiveView(cast(Supervisor, FakeSupervisor()), plain=True)
        os.close(reader)  # `fusion launch ... | head` is at its tenth line
        with shown:
            for beat in range(3):
                shown._drawn = 0.0
                shown.feed(health("detector", beat * 0.5, published=beat * 5))
                shown.tick()
        shown.summary()
        stream.write("what follows goes nowhere")
    assert shown.board.nodes["detector"].health is not None


def test_a_stalled_node_is_not_up() -> None:
    shown, _ = view(terminal=False)
    shown.feed(health("detector", 0.5, published=1, state="stalled"))
    assert "1 of 2 processes up" in shown.line()
    assert "detector: CPUExecutionProvider" in shown.line()


def test_what_has_ended_is_not_up() -> None:
    ended = FakeSupervisor()
    ended.children["camera.front"].state = "done"
    shown, _ = view(terminal=False, supervisor=ended)
    assert "1 of 2 processes up; 1 finished" in shown.line()


def test_a_clock_that_jumps_makes_no_rate() -> None:
    board = NodeBoard()
    for beat in range(4):
        jump_s = 0.0 if beat < 3 else -7200.0
        at = health("detector", 8000 + beat * 0.5 + jump_s, published=beat * 5)
        board.feed(replace(at, monotonic_ns=int(1e9 + beat * 0.5e9)))
    assert board.rates_hz() == pytest.approx({"detections": 10.0})


def test_figures_losses_and_troubles_are_left_in_the_run_folder(tmp_path: Path) -> None:
    shown, _ = view(False, FakeSupervisor(output=tmp_path))
    for number in range(5):
        shown.feed(tracks((10, 0, 0, 0), capture_ns=now_ns() - 80_000_000 + number))
    shown.feed(health("recorder", 0.0, published=1, state="degraded"))
    shown.write_summary()
    table = json.loads((tmp_path / live.SUMMARY).read_text(encoding="utf-8"))
    stages = {row["stage"]: row for row in table["latency_ms"]}
    assert (table["name"], table["sets"]) == ("vehicle", 5)
    assert (stages["detector/network"]["count"], stages["detector/network"]["p50_ms"]) == (5, pytest.approx(30.0))
    assert stages["recorder/network"]["max_ms"] == 41.0
    assert table["losses"] == {
        "recorder: set: overwritten": 3, "recorder: camera/front: refused: truncated": 2,
    }  # fmt: skip
    assert table["troubles"] == ["recorder: CPUExecutionProvider, 1 thread"]


@pytest.mark.parametrize(("pace", "words"), [(0.27, ("keeps up with 0.27 x of 1 x real time",)), (0.98, ())])
def test_a_replay_that_does_not_reach_its_rate_is_reported(
    pace: float, words: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown, text = view(False, FakeSupervisor(graph=Graph((), replay=True), output=tmp_path))
    shown._rate = 1.0  # of its player
    for number in range(30):
        at = 1_000_000_000 + number * 100_000_000
        monkeypatch.setattr(board.time, "monotonic_ns", lambda at=at: at)
        shown.feed(tracks((10, 0, 0, 0), capture_ns=round(number * 100_000_000 * pace)))
    assert shown._pace() == words
    assert all(word in shown.line() for word in words)
    shown.summary()
    assert ("keeps up with" in text.getvalue()) == bool(words)


def test_the_age_of_a_replayed_message_is_measured_on_the_clock_of_its_log() -> None:
    seen = [(k * 0.1, 42.0) for k in range(11)]
    assert _rate_line("camera/front", seen, 1.0, recorded=True) == (
        "camera/front: 10.0 Hz, interval 100.0 ms (min 100.0, max 100.0), "
        "age on arrival by the log p50 42.0 ms, p95 42.0 ms"
    )
    assert "age since capture p50 42.0 ms" in _rate_line("camera/front", seen, 1.0)


def test_the_list_of_objects_says_how_many_it_shows() -> None:
    from fusion_pipeline.dashboard.panels import list_title

    assert list_title(11, 11) == "11 objects"
    assert list_title(14, 11) == "the nearest 11 of 14 objects"
