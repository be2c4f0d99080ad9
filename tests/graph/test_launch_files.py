"""What users write themselves: nodes beside the launch file, messages and topics of their own, and their mistakes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from fusion_pipeline.graph import GraphError, load_graph
from fusion_pipeline.supervisor import Supervisor, run

RADAR = """
import time
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fusion_pipeline.clock import now_ns
from fusion_pipeline.messages import Header
from fusion_pipeline.node import Source
from fusion_pipeline.topics import Delivery, Topic


@dataclass(frozen=True, slots=True, eq=False)
class RadarScan:
    header: Header
    ranges_m: NDArray[np.float32]
    mode: str = "short"


@dataclass(frozen=True)
class RadarConfig:
    name: str = "front"
    count: int = 5


class Radar(Source[RadarConfig]):
    own_topics = (Topic("radar", RadarScan, 20.0, Delivery.EVERY, True, 1 << 20),)

    @classmethod
    def topics_written(cls, config):
        return (f"radar/{config.name}",)

    def messages(self, stop):
        for number in range(self.config.count):
            now = now_ns()
            yield RadarScan(Header(f"radar/{self.config.name}", now, now), np.arange(20, dtype=np.float32) + number)
"""
DRIVE = """
from dataclasses import dataclass
from pathlib import Path

from fusion_pipeline.graph import Graph, Process
from fusion_pipeline.node import Stage
from my_own_radar import Radar, RadarConfig, RadarScan
from nodes.recorder import Recorder, RecorderConfig

HERE = Path(__file__).parent


@dataclass(frozen=True)
class SumConfig:
    out: Path = HERE / "sum.txt"


class Sum(Stage[SumConfig]):
    reads = (RadarScan,)

    def open(self):
        self.total = 0.0

    def step(self, message):
        self.total += float(message.ranges_m.sum())
        yield from ()

    def close(self):
        self.config.out.write_text(f"{self.total:g}")


graph = Graph(
    (
        Process(Radar, RadarConfig()),
        Process(Sum, SumConfig()),
        Process(Recorder, RecorderConfig(HERE / "drive.mcap"), restart=False),
    ),
    replay=True,
)
"""


def test_messages_of_ones_own_travel_and_are_recorded(tmp_path: Path) -> None:
    (tmp_path / "my_own_radar.py").write_text(RADAR)
    (tmp_path / "drive.py").write_text(DRIVE)
    graph = load_graph(tmp_path / "drive.py")
    assert graph.check().topics_read == {"radar.front": (), "sum": ("radar/front",), "recorder": ("radar/front",)}
    with Supervisor(graph, tmp_path / "logs", "own") as supervisor:
        run(supervisor, 60.0, lambda message: None, lambda: None)
        assert not supervisor.failed
    assert float((tmp_path / "sum.txt").read_text()) == sum(sum(range(n, n + 20)) for n in range(5))
    mcap = pytest.importorskip("mcap.reader")
    with (tmp_path / "drive.mcap").open("rb") as stream:
        found = [json.loads(m.data) for _, c, m in mcap.make_reader(stream).iter_messages() if c.topic == "radar/front"]
    assert len(found) == 5
    assert found[0]["type"] == "RadarScan"
    assert found[0]["ranges_m"]["shape"] == [20]


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('return (f"radar/', 'return (f"sonar/', "of no known kind"),
        ('Topic("radar"', 'Topic("camera"', "choose another kind"),
        ("header: Header", "head: Header", "first field must be `header: Header`"),
        ("mode: str", "mode: set", "cannot travel in a message"),
    ],
)
def test_rows_that_cannot_be_are_named(tmp_path: Path, old: str, new: str, said: str) -> None:
    name = f"radar_{abs(hash(old))}"
    (tmp_path / f"{name}.py").write_text(RADAR.replace(old, new, 1))
    (tmp_path / "drive.py").write_text(DRIVE.replace("my_own_radar", name))
    with pytest.raises(GraphError, match=said):
        load_graph(tmp_path / "drive.py").check()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("raise ValueError('half a rig')", "drive.py, line 1: ValueError: half a rig"),
        ("def graph():\n    return 1 / 0\n", "drive.py, line 2: ZeroDivisionError: division by zero"),
        ("import radar_of_nobody", "No module named 'radar_of_nobody'"),
        (
            "from fusion_pipeline.graph import Graph, Process\nfrom nodes.tracker import Tracker, TrackerConfig\n"
            "class Mine(Tracker):\n    @classmethod\n    def topics_written(cls, config):\n"
            "        return config.nothing\ngraph = Graph((Process(Mine, TrackerConfig()),))\n",
            "drive.py, line 6: AttributeError",
        ),
    ],
)
def test_a_users_mistake_is_told_with_its_line(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "drive.py").write_text(text)
    command = [sys.executable, "-m", "fusion_pipeline.cli", "launch", str(tmp_path / "drive.py"), "--check"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 2
    assert said in done.stderr
    assert done.stderr.count("\n") == 1
