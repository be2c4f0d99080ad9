"""One verdict on a recording in every verb: its words, its exit code, and what --allow lets pass."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from calibration import rig
from fusion_pipeline.cli.dispatch import run
from fusion_pipeline.geometry.camera import CameraModel
from fusion_pipeline.geometry.pose import Pose
from fusion_pipeline.logs.mcap_writer import McapWriter
from fusion_pipeline.logs.reader import open_log
from fusion_pipeline.messages import Boxes, CameraFrame, Detections, Header, LidarScan, Message
from fusion_pipeline.rig import LidarMount, Rig

START, MS = 1_700_000_000_000_000_000, 1_000_000
SMALL = CameraModel("pinhole", 6, 4, np.asarray([[3.0, 0, 3], [0, 3, 2], [0, 0, 1]]), np.zeros(0))
DEMO = Rig.load(rig("demo"))
RIG = replace(DEMO, cameras={"camera/front": replace(DEMO.cameras["camera/front"], model=SMALL)})
Say = Callable[..., tuple[int, str, str]]


@pytest.fixture
def say(capsys: pytest.CaptureFixture[str]) -> Say:
    """Run a command: its exit code, its output, its errors."""

    def command(*words: object) -> tuple[int, str, str]:
        code = run([str(word) for word in words])
        shown = capsys.readouterr()
        assert "Traceback" not in shown.out + shown.err
        return code, shown.out, shown.err

    return command


def scan(at_ms: float, topic: str = "lidar/top") -> LidarScan:
    at = START + round(at_ms * MS)
    xyz = np.random.default_rng(1).normal(0, 9, (50, 3)).astype(np.float32)
    none = np.zeros(50, np.int32)
    return LidarScan(Header(topic, at - 20 * MS, at), 0, xyz, np.ones(50, np.float32), none.astype(np.uint16), none)


def picture(at_ms: float, data: bytes = b"") -> CameraFrame:
    """A raw picture, or a compressed one of any bytes."""
    at = START + round(at_ms * MS)
    pixels = np.frombuffer(data, np.uint8) if data else np.full((4, 6, 3), 90, np.uint8)
    return CameraFrame(Header("camera/front", at - 5 * MS, at), "jpeg" if data else "bgr8", 4, 6, pixels)


def detections(at_ms: float) -> Detections:
    at = START + round(at_ms * MS)
    return Detections(Header("detections", at, at + 30 * MS), ("car",), Boxes.empty())


def log(path: Path, messages: Iterable[Message], of: Rig | None = RIG, truth: int = 0) -> Path:
    with McapWriter(path, of) as writer:
        for message in messages:
            writer.write(message)
        for k in range(truth):
            writer.note("truth", {"boxes": []}, START + k * MS)
    return path


def with_gap() -> list[Message]:
    return [scan(100 * k + (1500 if k > 20 else 0)) for k in range(40)]


VERBS = {
    "log info": ("log", "info"), "log check": ("log", "check"), "log plot": ("log", "plot", "p.png"),
    "log convert": ("log", "convert", "c.mcap"),
}  # fmt: skip


@pytest.mark.parametrize("verb", VERBS)
def test_a_gap_is_the_same_in_every_verb_and_may_be_allowed(verb: str, tmp_path: Path, say: Say) -> None:
    path = log(tmp_path / "gap.mcap", with_gap())
    group, name, *out = VERBS[verb]
    line = (group, name, path, *(tmp_path / one for one in out))
    code, shown, _ = say(*line)
    assert code == 3
    (text,) = (line for line in shown.splitlines() if line.startswith("error "))
    assert re.match(r"error \[gap\] lidar/top: 1\.60 s without a message, where one comes every 100 ms\. ", text)
    assert "something is wrong: 1 error" in shown
    assert all((tmp_path / one).is_file() for one in out), "what was asked for is written all the same"
    code, shown, _ = say(*line, "--allow", "gap")
    assert code == 0
    assert "allowed: error [gap]" in shown
    assert "nothing is wrong, but read the above: 1 allowed" in shown
    code, _, said = say(*line, "--allow", "gaps")
    assert code == 2
    assert "did you mean 'gap'" in said


def test_a_verdict_as_json_has_names_severities_and_remedies(tmp_path: Path, say: Say) -> None:
    path = log(tmp_path / "gap.mcap", with_gap())
    for name in ("info", "check"):
        code, shown, _ = say("log", name, path, "--json", "--allow", "late-start")
        (row,) = json.loads(shown)["findings"]
        assert (code, row["name"], row["severity"], row["topic"], row["allowed"]) == (
            3, "gap", "error", "lidar/top", False,
        )  # fmt: skip
        assert row["remedy"]


def test_convert_counts_what_it_leaves_out(tmp_path: Path, say: Say) -> None:
    """Recorded results are converted; the truth of a simulation has no form to be written in, and is named."""
    messages = [scan(100 * k) for k in range(10)] + [detections(100 * k) for k in range(4)]
    whole = log(tmp_path / "whole.mcap", messages, truth=7)
    code, shown, _ = say("log", "convert", whole, tmp_path / "a.mcap")
    assert code == 0
    assert "a.mcap: 14 messages, " in shown, "recorded results are converted too"
    assert "not converted: truth, 7 messages" in shown
    assert "not converted: fusion/beside" not in shown
    again = open_log(tmp_path / "a.mcap")
    assert sum(1 for _ in again.messages(topics=("detections",))) == 4


def test_a_topic_of_raw_and_compressed_pictures_is_converted_whole(tmp_path: Path, say: Say) -> None:
    import cv2

    jpeg = cv2.imencode(".jpg", np.full((4, 6, 3), 90, np.uint8))[1].tobytes()
    path = log(tmp_path / "two.mcap", [picture(100 * k, jpeg if k % 2 else b"") for k in range(10)])
    code, shown, said = say("log", "convert", path, tmp_path / "out.mcap")
    assert (code, said) == (0, ""), shown
    assert "out.mcap: 10 messages, " in shown


def test_a_replay_without_places_is_refused_until_they_are_given_or_allowed(tmp_path: Path, say: Say) -> None:
    two = Rig("one of two", {"lidar/top": LidarMount(Pose.identity())})
    scans = [scan(100 * k, topic) for k in range(5) for topic in ("lidar/top", "lidar/rear")]
    path = log(tmp_path / "unplaced.mcap", scans, two)
    code, _, said = say("replay", path, "--quiet")
    assert code == 2
    said = " ".join(said.split())
    assert "lidar/rear: " in said
    assert "[no-transform], so that results would be wrong; give a rig file with --rig, leave the topic out" in said
    assert "--allow no-transform" in said
    assert not list(tmp_path.glob("*.jsonl"))


def test_a_replay_without_a_lens_is_refused(tmp_path: Path, say: Say) -> None:
    bare = Rig("no lens", {"lidar/top": LidarMount(Pose.identity())})
    messages: list[Message] = [scan(100 * k) for k in range(5)] + [picture(100 * k) for k in range(5)]
    path = log(tmp_path / "lensless.mcap", sorted(messages, key=lambda m: m.header.arrival_ns), bare)
    code, _, said = say("replay", path, "--quiet")
    assert code == 2
    assert "camera/front" in said
    assert "[no-lens]" in said


def test_a_recording_with_a_gap_ends_with_its_finding(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from fusion_pipeline.cli.record import _told

    path = log(tmp_path / "gap.mcap", with_gap())
    assert _told(path, 0.0, {})
    said = capsys.readouterr()
    assert "recorded " in said.out
    assert said.err.startswith("error [gap] lidar/top: 1.60 s without a message")
    assert not _told(path, 0.0, {}, ["gap"])
    assert "allowed: error [gap]" in capsys.readouterr().err


def test_a_recording_whose_calibration_comes_later_is_none_that_went_wrong(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from fusion_pipeline.cli.record import _told

    messages = [one for k in range(10) for one in (scan(100 * k), picture(100 * k + 5))]
    path = log(tmp_path / "bare.mcap", messages, Rig("bare", {"lidar/top": LidarMount(Pose.identity())}))
    assert not _told(path, 0.0, {})
    assert "error [no-lens] camera/front" in capsys.readouterr().err
