"""What messages hold: black pictures, scans without points, silent sound, sizes and counts against the rig."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from calibration import rig
from fusion_pipeline.geometry.camera import CameraModel
from fusion_pipeline.geometry.pose import Pose
from fusion_pipeline.logs.content import content_findings, content_of, place_findings
from fusion_pipeline.logs.mcap_writer import McapWriter
from fusion_pipeline.logs.survey import surveyed
from fusion_pipeline.messages import AudioChunk, CameraFrame, EgoMotion, Header, LidarScan, Message
from fusion_pipeline.rig import LidarMount, Rig

START, PERIOD = 1_700_000_000_000_000_000, 100_000_000
SMALL = CameraModel("pinhole", 64, 48, np.asarray([[50.0, 0, 32], [0, 50, 24], [0, 0, 1]]), np.zeros(0))
DEMO = Rig.load(rig("demo"))
RIG = replace(DEMO, cameras={"camera/front": replace(DEMO.cameras["camera/front"], model=SMALL)})


def header(topic: str, number: int) -> Header:
    """Of message `number`, 20 ms on its way."""
    return Header(topic, START + number * PERIOD, START + number * PERIOD + 20_000_000)


def scan(number: int, xyz: NDArray[np.float32] | None = None, intensity: float = 0.5, ns: int = PERIOD) -> LidarScan:
    """A thousand points, or those given."""
    if xyz is None:
        xyz = np.random.default_rng(number).normal(0, 10, (1000, 3)).astype(np.float32)
    n = len(xyz)
    return LidarScan(header("lidar/top", number), ns, xyz, np.full(n, intensity, np.float32), np.zeros(n, np.uint16),
                     np.zeros(n, np.int32))  # fmt: skip


def frame(number: int, level: int = 90, size: tuple[int, int] = (64, 48)) -> CameraFrame:
    """A picture of one grey."""
    width, height = size
    pixels = np.full((height, width, 3), level, np.uint8)
    return CameraFrame(header("camera/front", number), "bgr8", height, width, pixels)


def chunk(number: int, pcm: NDArray[np.int16]) -> AudioChunk:
    """Sound of 100 ms."""
    return AudioChunk(header("audio/roof", number), 10 * len(pcm), pcm)


def noise(number: int, channels: int = 4) -> NDArray[np.int16]:
    """Sound that is neither silent nor loud."""
    return np.random.default_rng(number).integers(-3000, 3000, (1600, channels)).astype(np.int16)


def pose(number: int, x: float = 1.0) -> EgoMotion:
    """A pose."""
    zeros, eye = np.zeros(3), np.eye(6)
    return EgoMotion(header("ego/odometry", number), np.asarray([x, 0, 0]), np.asarray([0, 0, 0, 1.0]), zeros, zeros,
                     eye, eye)  # fmt: skip


def found(messages: Iterable[Message], of: Rig = RIG) -> dict[str, str]:
    """Names of the findings of one topic, with their details."""
    messages = list(messages)
    content = content_of(messages[0])
    assert content is not None
    for message in messages:
        content.look(message)
    return {name: detail for name, detail, _ in content_findings(messages[0].header.source, content, of)}


def test_what_is_right_has_no_finding() -> None:
    for messages in ([scan(k) for k in range(10)], [frame(k) for k in range(10)],
                     [chunk(k, noise(k)) for k in range(10)], [pose(k) for k in range(10)]):  # fmt: skip
        assert found(messages) == {}


NONE, ZEROS = np.full((1000, 3), np.nan, np.float32), np.zeros((1000, 3), np.float32)


@pytest.mark.parametrize("bad", [NONE, ZEROS, np.zeros((0, 3), np.float32)], ids=["nan", "zeros", "empty"])
def test_scans_without_a_point_that_has_a_place(bad: NDArray[np.float32]) -> None:
    messages = [scan(k, bad if k in (3, 4) else None) for k in range(10)]
    assert found(messages)["empty-scan"] == "2 of 10 scans have no point with a place"


def test_one_point_with_a_place_is_no_empty_scan() -> None:
    for row in (0, 1, 500, 999):
        xyz = ZEROS.copy()
        xyz[row] = 1.0
        assert "empty-scan" not in found([scan(k, xyz) for k in range(5)])
    mixed = NONE.copy()
    mixed[:, 0] = 0.0
    assert "empty-scan" in found([scan(k, mixed) for k in range(5)]), "a point of which a part is no number is none"


def test_scans_without_intensity() -> None:
    assert found(scan(k, intensity=0.0) for k in range(10)) == {"no-intensity": "intensity is 0 in 10 scans"}
    assert found(scan(k, intensity=0.2 * (k == 7)) for k in range(10)) == {}


def test_scans_with_few_points_or_of_short_duration() -> None:
    few = np.ones((100, 3), np.float32)
    assert found(scan(k, few if k == 5 else None) for k in range(12))["short-scan"].startswith("1 of 12 scans have")
    assert "short-scan" in found(scan(k, ns=PERIOD // 10 if k in (5, 6) else PERIOD) for k in range(12))
    edges = found(scan(k, few if k in (0, 11) else None) for k in range(12))
    assert edges == {}, "the first and the last turn are cut by the recording itself"


def test_black_pictures_are_told_from_dark_ones() -> None:
    assert found(frame(k, 3 if k < 4 else 90) for k in range(10)) == {"black-picture": "4 of 10 pictures"}
    dark = [frame(k, 2) for k in range(10)]
    for picture in dark:
        picture.data[17, 23] = 60  # one lamp, beside the pixels that are sampled
    assert found(dark) == {}


def test_pictures_of_another_size_than_the_lens() -> None:
    detail = "10 of 10 pictures are 128 x 96, the lens is of 64 x 48"
    assert found(frame(k, size=(128, 96)) for k in range(10)) == {"lens-size": detail}
    assert list(found(frame(k, size=(63, 48)) for k in range(10))) == ["lens-crop"]
    assert found([frame(k, size=(128, 96)) for k in range(10)], replace(RIG, cameras={})) == {}


def test_clipped_and_silent_sound() -> None:
    loud = [noise(k) for k in range(10)]
    for pcm in loud:
        pcm[:80, 0] = 32767
        pcm[80:160, 1] = -32768
    assert found(chunk(k, pcm) for k, pcm in enumerate(loud)) == {
        "clipped-sound": "2% of the samples are at full scale"
    }
    single = [noise(k) for k in range(10)]
    single[3][40, 2] = 32767
    assert found(chunk(k, pcm) for k, pcm in enumerate(single)) == {}
    dead = [noise(k) for k in range(10)]
    for pcm in dead:
        pcm[:, 2] = 7  # a constant is no sound either
    assert found(chunk(k, pcm) for k, pcm in enumerate(dead)) == {"silent-sound": "channel 3 of 4 without a sound"}
    assert found(chunk(k, np.zeros((1600, 4), np.int16)) for k in range(10)) == {
        "silent-sound": "all channels without a sound"
    }


def test_the_number_of_microphones_is_that_of_the_rig() -> None:
    two = [chunk(k, noise(k, 2)) for k in range(10)]
    assert found(two) == {"microphone-count": "2 channels, 4 microphones in the rig"}
    assert found(two, replace(RIG, audios={})) == {}


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_poses_that_are_no_numbers(bad: float) -> None:
    assert found(pose(k, bad if k == 3 else 1.0) for k in range(10)) == {"not-finite": "1 of 10 poses"}


def test_sensors_without_a_place() -> None:
    bare = Rig("bare", {})
    names = {topic: name for name, topic, _ in place_findings(("lidar/top", "camera/front", "audio/roof"), bare)}
    assert names == {"lidar/top": "no-transform", "camera/front": "no-lens", "audio/roof": "no-calibration"}
    alone = {topic: name for name, topic, _ in place_findings(("camera/front", "camera/rear"), bare)}
    assert set(alone.values()) == {"no-calibration"}
    assert list(place_findings(("lidar/top",), Rig("one", {"lidar/top": LidarMount(Pose.identity())}))) == []


def test_the_survey_of_a_recording_has_them(tmp_path: Path) -> None:
    path = tmp_path / "bad.mcap"
    with McapWriter(path, RIG) as writer:
        for k in range(20):
            writer.write(scan(k, NONE))
            writer.write(frame(k, 0))
            writer.write(chunk(k, np.zeros((1600, 2), np.int16)))
            writer.write(pose(k, float("nan")))
    survey = surveyed(path)
    assert {(item.topic, item.name) for item in survey.findings} == {
        ("lidar/top", "empty-scan"), ("camera/front", "black-picture"), ("audio/roof", "silent-sound"),
        ("audio/roof", "microphone-count"), ("ego/odometry", "refused"),
    }  # fmt: skip
    assert survey.wrong()
    assert survey.wrong(["empty-scan", "refused"])
    assert not survey.wrong(["empty-scan", "refused", "microphone-count"])
