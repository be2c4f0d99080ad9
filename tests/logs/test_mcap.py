"""MCAP logs: nothing is lost or changed, others can open them, damage costs only what it hit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fusion_pipeline.logs.mcap_reader import McapLog
from fusion_pipeline.logs.mcap_writer import McapWriter
from fusion_pipeline.logs.reader import LogError, open_log
from fusion_pipeline.messages import (
    AudioChunk,
    Boxes,
    CameraFrame,
    EgoMotion,
    Header,
    Health,
    Hop,
    LidarScan,
    Message,
    Tracks,
)  # fmt: skip
from fusion_pipeline.messages.ego import unmeasured
from fusion_pipeline.rig import Rig, to_toml

START = 1_700_000_000_000_000_000
STAMPS = st.integers(START, START + 10**12)
HOPS = st.lists(st.builds(Hop, st.sampled_from(["camera/read", "a b"]), STAMPS, STAMPS), max_size=2).map(tuple)


def headers(topic: str) -> st.SearchStrategy[Header]:
    """Headers on `topic` with any stamps."""
    return st.builds(Header, st.just(topic), STAMPS, STAMPS, st.sampled_from([topic, "vehicle"]), HOPS)


def scan(header: Header, n: int, seed: int) -> LidarScan:
    """A scan of n random points."""
    rng = np.random.default_rng(seed)
    xyz, bright = rng.normal(0, 30, (n, 3)).astype(np.float32), rng.random(n).astype(np.float32)
    ring, offset = rng.integers(0, 64, n).astype(np.uint16), rng.integers(0, 10**8, n).astype(np.int32)
    return LidarScan(header, int(rng.integers(0, 10**8)), xyz, bright, ring, offset)


def frame(header: Header, encoding: str, seed: int) -> CameraFrame:
    """A picture of random bytes."""
    rng = np.random.default_rng(seed)
    shape = {"rgb8": (4, 6, 3), "bgr8": (4, 6, 3), "mono8": (4, 6, 1)}.get(encoding, (17,))
    return CameraFrame(header, encoding, 4, 6, rng.integers(0, 255, shape).astype(np.uint8))


def chunk(header: Header, samples: int, channels: int, seed: int) -> AudioChunk:
    """Random samples."""
    pcm = np.random.default_rng(seed).integers(-32768, 32767, (samples, channels)).astype(np.int16)
    return AudioChunk(header, 16_000, pcm)


def ego(header: Header, seed: int) -> EgoMotion:
    """A random pose."""
    rng = np.random.default_rng(seed)
    turn = rng.normal(size=4)
    return EgoMotion(
        header, rng.normal(size=3), turn / np.linalg.norm(turn), rng.normal(size=3), rng.normal(size=3),
        rng.normal(size=(6, 6)), rng.normal(size=(6, 6)),
        rng.normal(size=3) if seed % 2 else unmeasured(),
    )  # fmt: skip


SEEDS = st.integers(0, 10**6)
MESSAGES = st.one_of(
    st.builds(scan, headers("lidar/top"), st.integers(0, 30), SEEDS),
    st.builds(frame, headers("camera/front"), st.sampled_from(["jpeg", "png"]), SEEDS),
    st.builds(frame, headers("camera/rear"), st.sampled_from(["rgb8", "bgr8", "mono8"]), SEEDS),
    st.builds(chunk, headers("audio/roof"), st.integers(0, 30), st.integers(1, 8), SEEDS),
    st.builds(ego, headers("ego/odometry"), SEEDS),
)


def same(a: Message, b: Message) -> bool:
    """Whether two messages agree in every field, bit by bit."""
    if type(a) is not type(b):
        return False
    pairs = [(getattr(a, field.name), getattr(b, field.name)) for field in fields(a)]
    return all(x.tobytes() == y.tobytes() if isinstance(x, np.ndarray) else x == y for x, y in pairs)


def write(path: Path, messages: Sequence[Message], rig: Rig | None = None) -> Path:
    """A log of these messages."""
    with McapWriter(path, rig) as writer:
        for message in messages:
            writer.write(message)
    return path


@given(st.lists(MESSAGES, min_size=1, max_size=8, unique_by=lambda m: (m.header.source, m.header.capture_ns)))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_what_is_read_is_what_was_written(tmp_path: Path, messages: list[Message]) -> None:
    log = open_log(write(tmp_path / "log.mcap", messages))
    back = list(log.messages())
    expected = sorted(messages, key=lambda m: m.header.arrival_ns)
    assert len(back) == len(expected)
    assert [m.header.arrival_ns for m in back] == [m.header.arrival_ns for m in expected]
    for message in back:
        assert any(same(message, other) for other in expected)
    assert not log.refused
    assert (log.start_ns, log.end_ns) == (expected[0].header.arrival_ns, expected[-1].header.arrival_ns)


def a_log(path: Path, count: int = 40, rig: Rig | None = None) -> list[Message]:
    """A log of scans, pictures and tracks."""
    messages: list[Message] = []
    for k in range(count):
        at = START + k * 100_000_000
        messages.append(scan(Header("lidar/top", at, at + 3), 3000, k))
        messages.append(frame(Header("camera/front", at + 1, at + 4), "png", k))
        boxes = Boxes.empty()
        messages.append(Tracks(Header("tracks", at, at + 5), ("car",), boxes))
        messages.append(Health(Header("health/detector", at, at + 6), "detector", 1, "ready"))
    write(path, messages, rig)
    return messages


def test_the_rig_travels_in_the_log(tmp_path: Path, repo_root: Path) -> None:
    rig = Rig.load(repo_root / "calibration" / "rigs" / "demo.toml")
    a_log(tmp_path / "log.mcap", 3, rig)
    assert to_toml(open_log(tmp_path / "log.mcap").rig) == to_toml(rig)


def test_an_independent_reader_decodes_every_message(tmp_path: Path, repo_root: Path) -> None:
    from mcap.reader import make_reader
    from mcap_protobuf.decoder import DecoderFactory

    rig = Rig.load(repo_root / "calibration" / "rigs" / "demo.toml")
    a_log(tmp_path / "log.mcap", 5, rig)
    seen: dict[str, int] = {}
    with (tmp_path / "log.mcap").open("rb") as file:
        for schema, channel, record in make_reader(file).iter_messages():
            assert schema is not None
            if channel.message_encoding == "protobuf":
                decoder = DecoderFactory().decoder_for("protobuf", schema)
                assert decoder is not None
                decoder(record.data)
            seen[schema.name] = seen.get(schema.name, 0) + 1
    assert seen["foxglove.PointCloud"] == seen["foxglove.CompressedImage"] == seen["foxglove.SceneUpdate"] == 5
    assert seen["foxglove.FrameTransform"] >= len(rig.topics)
    assert seen["foxglove.CameraCalibration"] >= 1


@pytest.mark.parametrize("share", [0.3, 0.6, 0.95])
def test_a_log_that_was_cut_off_is_read_as_far_as_it_goes(tmp_path: Path, share: float) -> None:
    messages = a_log(tmp_path / "log.mcap")
    data = (tmp_path / "log.mcap").read_bytes()
    (tmp_path / "cut.mcap").write_bytes(data[: int(len(data) * share)])
    log = McapLog(tmp_path / "cut.mcap")
    assert not log.complete
    back = list(log.messages())
    sensors = [m for m in messages if isinstance(m, (LidarScan, CameraFrame))]
    assert len(back) >= share * len(sensors) - 2 * 11  # at most what came in a second
    assert all(same(a, b) for a, b in zip(back, sensors, strict=False))
    assert log.refused["log", "cut off"] == 1


@pytest.mark.parametrize("data", [b"", b"\x89MCAP0\r\n", b"garbage" * 100])
def test_what_is_no_log_is_told_in_a_line(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "bad.mcap").write_bytes(data)
    with pytest.raises(LogError, match="holds no camera"):
        open_log(tmp_path / "bad.mcap")


def test_a_flipped_bit_costs_at_most_a_chunk_and_never_an_exception(tmp_path: Path) -> None:
    a_log(tmp_path / "log.mcap", 20)
    data = bytearray((tmp_path / "log.mcap").read_bytes())
    rng = np.random.default_rng(0)
    for place in rng.integers(20, len(data) - 20, 25):
        damaged = bytearray(data)
        damaged[place] ^= 1 << int(rng.integers(8))
        (tmp_path / "bad.mcap").write_bytes(damaged)
        try:
            log = open_log(tmp_path / "bad.mcap")
            list(log.messages())
        except LogError:
            continue
