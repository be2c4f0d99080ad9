"""Messages survive the wire; everything else is refused with a reason."""

from __future__ import annotations

from contextlib import suppress

import msgpack
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fusion_pipeline.messages import AudioChunk, Header, SensorSet
from fusion_pipeline.transport.bus import Envelope
from fusion_pipeline.transport.wire import Refused, decode, encode

CHUNK = AudioChunk(Header("audio/roof", 1, 2), 16000, np.arange(8, dtype=np.int16).reshape(4, 2))
FRAMES = [bytes(frame) for frame in encode("audio/roof", CHUNK, Envelope("w", 3, 4))]


def test_round_trip_of_nested_messages() -> None:
    received = decode(encode("set", SensorSet(Header("set", 1, 2), audios=(CHUNK,)), Envelope("w", 3, 4)))
    assert isinstance(received.message, SensorSet)
    assert received.envelope == Envelope("w", 3, 4)
    pcm = received.message.audios[0].pcm
    np.testing.assert_array_equal(pcm, CHUNK.pcm)
    assert not pcm.flags.writeable


def test_end_of_stream() -> None:
    assert decode(encode("audio/roof", None, Envelope("w", 3, 4))).message is None


def _with(index: int, value: object) -> list[bytes]:
    head = msgpack.unpackb(FRAMES[1])
    head[index] = value
    return [FRAMES[0], msgpack.packb(head), FRAMES[2]]


@pytest.mark.parametrize(
    ("frames", "reason"),
    [
        ([], "truncated"),
        (FRAMES[:2], "truncated"),
        ([*FRAMES[:2], FRAMES[2][:-1]], "truncated"),
        ([FRAMES[0], b"\x91" * 100_000, FRAMES[2]], "too deep"),
        ([FRAMES[0], b"\xdd\xff\xff\xff\xff", FRAMES[2]], "garbage"),
        ([FRAMES[0], FRAMES[1], b"\0" * (5 << 20)], "oversized"),
        ([b"nothing", *FRAMES[1:]], "unknown topic"),
        (_with(0, 99), "wrong version"),
        (_with(1, "CameraFrame"), "wrong type"),
        (_with(3, [["|O", [4, 2]]]), "wrong dtype"),
        (_with(3, [["<u2", [4, 2]]]), "wrong dtype"),
        (_with(3, [["<i2", [-4, -2]]]), "bad shape"),
        (_with(3, [["<i2", [8]]]), "bad shape"),
        (_with(3, [["<i2", [1 << 31, 2]]]), "oversized"),
        (_with(3, [["<i2", [4, 3]]]), "truncated"),
    ],
)
def test_bad_input_is_refused(frames: list[bytes], reason: str) -> None:
    with pytest.raises(Refused) as caught:
        decode(frames)
    assert caught.value.reason == reason


@settings(max_examples=500, deadline=None)
@given(st.integers(0, len(FRAMES[1]) - 1), st.integers(0, 255))
def test_mutated_header_is_read_or_refused(at: int, value: int) -> None:
    header = bytearray(FRAMES[1])
    header[at] = value
    with suppress(Refused):  # any other exception fails the test
        decode([FRAMES[0], bytes(header), FRAMES[2]])
