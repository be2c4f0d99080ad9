"""What other hosts could reach starts only where it was asked for."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from fusion_pipeline.exposure import exposures, refuse_exposure
from fusion_pipeline.graph import Graph, GraphError, Process
from fusion_pipeline.supervisor import Supervisor
from nodes.tracker import Tracker, TrackerConfig


def graph(endpoint: str = "", remote: str = "tcp://127.0.0.1:7001") -> Graph:
    """A tracker that publishes at `endpoint` what it makes of detections at `remote`."""
    return Graph((Process(Tracker, TrackerConfig(), endpoint=endpoint),), remote={"detections": remote})


@pytest.mark.parametrize("endpoint", ["", "ipc:///tmp/x", "tcp://127.0.0.1:7002", "tcp://localhost:7002"])
def test_a_graph_of_this_host_is_not_exposed(endpoint: str) -> None:
    assert exposures(graph(endpoint)) == ()


@pytest.mark.parametrize(
    ("made", "words"),
    [(graph("tcp://0.0.0.0:7002"), "tracker publishes tracks at tcp://0.0.0.0:7002"),
     (graph(remote="tcp://car:7001"), "detections comes from tcp://car:7001")],
)  # fmt: skip
def test_what_is_exposed_is_named_and_refused(made: Graph, words: str, tmp_path: Path) -> None:
    assert words in exposures(made)[0]
    with pytest.raises(GraphError, match="--insecure"):
        refuse_exposure(made)
    with pytest.raises(GraphError, match="--insecure"):
        Supervisor(made, tmp_path / "out")
    assert Supervisor(made, tmp_path / "out", insecure=True).wiring


def test_the_check_of_a_launch_file_says_so(tmp_path: Path) -> None:
    file = tmp_path / "far.py"
    file.write_text(
        "from fusion_pipeline.graph import Graph, Process\n"
        "from nodes.tracker import Tracker, TrackerConfig\n"
        'graph = Graph((Process(Tracker, TrackerConfig()),), remote={"detections": "tcp://car:7001"})\n'
    )
    command = [sys.executable, "-m", "fusion_pipeline.cli", "launch", str(file), "--check"]
    refused = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert refused.returncode == 2
    assert "--insecure" in refused.stderr
    assert "Traceback" not in refused.stderr
    allowed = subprocess.run([*command, "--insecure"], capture_output=True, text=True, timeout=60, check=False)
    assert allowed.returncode == 0
