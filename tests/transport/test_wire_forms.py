"""The bytes of every message type: golden, there and back for any value, and safe when damaged."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from fusion_pipeline.bench.wire import fuzz, samples
from fusion_pipeline.messages import (
    MESSAGE_TYPES,
    AudioChunk,
    Boxes,
    CameraFrame,
    Count,
    Detections,
    EgoMotion,
    Header,
    Health,
    Hop,
    Lap,
    LidarScan,
    LogTime,
    Message,
    Missing,
    SensorSet,
    SoundEvent,
    SourceStamp,
    StageTiming,
    Tracks,
)  # fmt: skip
from fusion_pipeline.messages.health import STATES
from fusion_pipeline.transport.bus import Envelope
from fusion_pipeline.transport.wire import decode, encode

GOLDEN = Path(__file__).with_name("golden_frames.txt")
ENVELOPE = Envelope("writer", 5, 6)

times = st.integers(0, 2**62)
words = st.text(max_size=12)
numbers = st.floats(allow_nan=False)
counts = st.lists(st.builds(Count, words, words, times), max_size=2).map(tuple)


def _header(source: str) -> st.SearchStrategy[Header]:
    hops = st.lists(st.builds(Hop, words, times, times), max_size=2).map(tuple)
    return st.builds(Header, st.just(source), times, times, words, hops)


def _array(dtype: Any, *shape: int) -> st.SearchStrategy[Any]:
    return arrays.arrays(dtype, shape)  # any bits at all, NaN included


@st.composite
def _camera(draw: st.DrawFn) -> CameraFrame:
    height, width = draw(st.integers(1, 5)), draw(st.integers(1, 5))
    encoding, channels = draw(st.sampled_from([("rgb8", 3), ("bgr8", 3), ("mono8", 1), ("jpeg", 0), ("png", 0)]))
    shape = (height, width, channels) if channels else (draw(st.integers(0, 9)),)
    return CameraFrame(draw(_header("camera/front")), encoding, height, width, draw(_array(np.uint8, *shape)))


@st.composite
def _scan(draw: st.DrawFn) -> LidarScan:
    n = draw(st.integers(0, 4))
    parts = [_array(np.float32, n, 3), _array(np.float32, n), _array(np.uint16, n), _array(np.int32, n)]
    return LidarScan(draw(_header("lidar/top")), draw(times), *(draw(part) for part in parts))


@st.composite
def _audio(draw: st.DrawFn) -> AudioChunk:
    pcm = draw(_array(np.int16, draw(st.integers(0, 4)), draw(st.integers(1, 3))))
    return AudioChunk(draw(_header("audio/roof")), draw(st.integers(1, 192_000)), pcm)


@st.composite
def _ego(draw: st.DrawFn) -> EgoMotion:
    vectors = [draw(_array(np.float64, 3)) for _ in range(4)]
    matrices = [draw(_array(np.float64, 6, 6)) for _ in range(2)]
    turn = np.array([0.0, 0.6, 0.0, 0.8])
    return EgoMotion(draw(_header("ego")), vectors[0], turn, vectors[1], vectors[2], *matrices, vectors[3])


@st.composite
def _found(draw: st.DrawFn, kind: Any, topic: str) -> Any:
    n, f, i = draw(st.integers(0, 3)), np.float32, np.int64
    shapes = [(f, n, 3), (f, n, 3), (f, n), (f, n, 2), (f, n), (i, n), (f, n, 8), (f, n, 3), (i, n)]
    boxes = Boxes(*(draw(_array(*shape)) for shape in shapes))
    sounds = draw(st.lists(st.builds(SoundEvent, words, numbers, numbers), max_size=2).map(tuple))
    sources = draw(st.lists(st.builds(SourceStamp, words, times, st.integers(-(2**62), 2**62)), max_size=2).map(tuple))
    names = st.lists(words, max_size=2).map(tuple)
    made = kind(draw(_header(topic)), draw(names), boxes, sounds, sources, draw(names), draw(_some(_ego())))
    coasting = [draw(numbers) for _ in range(n)] if kind is Tracks and draw(st.booleans()) else []
    return dataclasses.replace(made, coasting_s=tuple(coasting)) if coasting else made


def _some(strategy: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.lists(strategy, max_size=2).map(tuple)


timings = st.builds(StageTiming, words, times, numbers, numbers, numbers)
messages = st.one_of(
    _camera(), _scan(), _audio(), _ego(), _found(Detections, "detections"), _found(Tracks, "tracks"),
    st.builds(SensorSet, _header("set"), _some(_scan()), _some(_camera()), _some(_audio()), _some(_ego()),
              _some(st.builds(Missing, words, words))),
    st.builds(Health, _header("health/x"), words, times, st.sampled_from(STATES), words, _some(timings),
              counts, counts, counts, counts, words, numbers, numbers, times, times),
    st.builds(LogTime, _header("logtime")), st.builds(Lap, _header("lap/x"), times, times, times),
)  # fmt: skip


def _same(one: Any, other: Any) -> None:
    assert type(one) is type(other)
    if dataclasses.is_dataclass(one):
        for field in dataclasses.fields(one):
            _same(getattr(one, field.name), getattr(other, field.name))
    elif isinstance(one, np.ndarray):
        assert (one.dtype, one.shape, one.tobytes()) == (other.dtype, other.shape, other.tobytes())
    elif isinstance(one, tuple):
        assert len(one) == len(other)
        for left, right in zip(one, other, strict=True):
            _same(left, right)
    else:
        assert one == other


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(messages)
def test_any_message_comes_back_as_it_was(message: Message) -> None:
    received = decode(encode(message.header.source, message, ENVELOPE))
    _same(received.message, message)
    assert received.envelope == ENVELOPE


def test_samples_hold_every_type() -> None:
    assert tuple(type(message) for message in samples()) == MESSAGE_TYPES


@pytest.mark.parametrize("message", samples(), ids=lambda message: type(message).__name__)
def test_golden_bytes(message: Message) -> None:
    """The format of logs and of other versions on the bus: a change needs a new VERSION, then new golden bytes."""
    golden = dict(line.split(" ", 1) for line in GOLDEN.read_text().splitlines())
    frames = [bytes.fromhex(text) for text in golden[type(message).__name__].split(",")]
    assert [bytes(frame) for frame in encode(message.header.source, message, ENVELOPE)] == frames
    _same(decode(frames).message, message)


def test_strided_arrays_are_sent_as_values() -> None:
    pcm = np.arange(24, dtype=np.int16).reshape(4, 6)[::2, ::-3]
    received = decode(encode("audio/a", AudioChunk(Header("audio/a", 1, 1), 8000, pcm), ENVELOPE))
    assert isinstance(received.message, AudioChunk)
    np.testing.assert_array_equal(received.message.pcm, pcm)


def test_damaged_messages_are_read_or_refused() -> None:
    outcomes = fuzz(4000, seed=2)
    assert outcomes["escaped"] == 0
    assert outcomes.total() == 4000
    assert outcomes["read"] > 0
    assert len([outcome for outcome in outcomes if outcome.startswith("refused")]) >= 7
