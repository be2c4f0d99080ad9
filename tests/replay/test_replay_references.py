"""Recordings without a LiDAR: cameras alone, microphones alone, odometry alone; replayed, and launched."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from replay_samples import messages

from calibration import rig
from fusion_pipeline.cli.dispatch import run
from fusion_pipeline.geometry.camera import CameraModel
from fusion_pipeline.logs.mcap_writer import McapWriter
from fusion_pipeline.messages import AudioChunk, CameraFrame, EgoMotion, Header, Message
from fusion_pipeline.rig import Rig
from nodes.aligner import AlignerConfig, reference_of

DEMO = Rig.load(rig("demo"))
START, MS = 1_700_000_000_000_000_000, 1_000_000
LENS = CameraModel("pinhole", 6, 4, np.asarray([[3.0, 0, 3], [0, 3, 2], [0, 0, 1]]), np.zeros(0))
CAMERA = replace(DEMO.cameras["camera/front"], model=LENS)


def pictures(topic: str, number: int = 20) -> list[Message]:
    """Ten a second."""
    pixels = np.full((4, 6, 3), 90, np.uint8)
    stamps = [START + k * 100 * MS for k in range(number)]
    return [CameraFrame(Header(topic, at, at + 5 * MS), "bgr8", 4, 6, pixels) for at in stamps]


def sound(number: int = 100) -> list[Message]:
    """Fifty chunks a second of four microphones."""
    stamps = [START + k * 20 * MS for k in range(number)]
    return [AudioChunk(Header("audio/roof", at, at + 25 * MS), 16_000, np.full((320, 4), 90, np.int16))
            for at in stamps]  # fmt: skip


def poses() -> list[Message]:
    return [message for message in messages() if isinstance(message, EgoMotion)]


def write(path: Path, content: Sequence[Message], of: Rig) -> Path:
    with McapWriter(path, of) as writer:
        for message in sorted(content, key=lambda m: m.header.arrival_ns):
            writer.write(message)
    return path


CAMERAS = Rig("cameras", {}, {"camera/right": CAMERA})
SOUND = Rig("sound", {}, {}, {"audio/roof": DEMO.audios["audio/roof"]})


@pytest.mark.parametrize(
    ("content", "of", "expected"),
    [
        ([*pictures("camera/left"), *pictures("camera/right")], CAMERAS, {"camera/left", "camera/right"}),
        (sound(), SOUND, {"audio/roof"}),
    ],
    ids=["cameras", "microphones"],
)
def test_a_log_without_a_lidar_is_replayed_by_a_reference_of_its_own(
    content: list[Message], of: Rig, expected: set[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log, out = write(tmp_path / "log.mcap", content, of), tmp_path / "sets.jsonl"
    code = run(["replay", str(log), "--to", "sets", "--out", str(out), "--quiet"])
    assert code == 0, capsys.readouterr().err
    lines = [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()]
    assert len(lines) >= 12
    assert {topic for line in lines for topic in line["present"]} == expected


def test_odometry_alone_names_the_option_that_makes_sets_of_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log, out = write(tmp_path / "log.mcap", poses(), DEMO), tmp_path / "sets.jsonl"
    line = ["replay", str(log), "--to", "sets", "--out", str(out), "--quiet"]
    assert run(line) == 2
    said = capsys.readouterr().err
    assert "--set aligner.reference=ego/odometry" in said
    assert len(said.strip().splitlines()) == 1, said


def test_of_several_the_reference_is_one_that_the_rig_places() -> None:
    config = AlignerConfig(Path("rig.toml"), topics=("camera/left", "camera/right"))
    assert reference_of(config, ("camera/right",)) == "camera/right"
    assert reference_of(config, ()) == "camera/left"
    lidar = AlignerConfig(Path("rig.toml"), topics=("camera/right", "lidar/top"))
    assert reference_of(lidar, ("camera/right",)) == "lidar/top"


LAUNCH = """
from calibration import rig
from fusion_pipeline.graph import Graph, Process
from nodes.aligner import Aligner, AlignerConfig
from nodes.simulated import SimulatedEgo, SimulatedEgoConfig, SimulatedMicrophone, SimulatedMicrophoneConfig

RIG = rig("demo")
graph = Graph((
    Process(SimulatedMicrophone, SimulatedMicrophoneConfig(RIG, name="roof")),
    Process(SimulatedEgo, SimulatedEgoConfig(RIG, name="odometry")),
    Process(Aligner, AlignerConfig(RIG, topics=TOPICS)),
))
"""


def test_a_launched_graph_without_a_lidar_is_checked_by_the_same_rule(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    launch = tmp_path / "sound.py"
    launch.write_text(LAUNCH.replace("TOPICS", '("audio/roof", "ego/odometry")'), encoding="utf-8")
    assert run(["launch", str(launch), "--check"]) == 0, capsys.readouterr().err
    assert run(["launch", str(launch), "--check", "--set", "aligner.reference=audio/rof"]) == 2
    assert "did you mean 'audio/roof'" in capsys.readouterr().err
    launch.write_text(LAUNCH.replace("TOPICS", '("ego/odometry",)'), encoding="utf-8")
    assert run(["launch", str(launch), "--check"]) == 2
    assert "--set aligner.reference=ego/odometry" in capsys.readouterr().err
    assert run(["launch", str(launch), "--check", "--set", "aligner.reference=ego/odometry"]) == 0
