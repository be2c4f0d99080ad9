"""A hostile writer on a live address: whatever it sends is refused or lost, with a reason and a count."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgpack
import numpy as np
import pytest
import zmq

from fusion_pipeline.messages import AudioChunk, CameraFrame, Header
from fusion_pipeline.transport.bus import Envelope
from fusion_pipeline.transport.leases import in_shared_memory
from fusion_pipeline.transport.shared_memory import Place, Pool, PoolAddress
from fusion_pipeline.transport.wire import VERSION, encode, take_apart
from fusion_pipeline.transport.zeromq import ZeromqBus

TOPIC = "camera/a"
PICTURE = CameraFrame(Header(TOPIC, 1, 1), "mono8", 256, 256, np.arange(1 << 16, dtype=np.uint8).reshape(256, 256, 1))
GOOD = [bytes(part) for part in encode(TOPIC, PICTURE, Envelope("writer", 0, 1))]
Frames = list[bytes]


class Live:
    """A reader, and a socket that sends it anything."""

    def __init__(self, address: str) -> None:
        self.bus = ZeromqBus({TOPIC: address})
        self.reader = self.bus.subscriber((TOPIC,))
        self.context = zmq.Context()
        self.socket = self.context.socket(zmq.XPUB)
        self.socket.setsockopt(zmq.SNDHWM, 0)
        self.socket.setsockopt(zmq.XPUB_VERBOSER, 1)
        self.socket.bind(address)
        self.wait_for(TOPIC)

    def wait_for(self, subscription: str) -> None:
        while self.socket.poll(20_000):
            if self.socket.recv() == b"\1" + subscription.encode():
                return
        raise AssertionError("nobody subscribes")

    def reasons(self, frames: Frames) -> dict[str, int]:
        """What the reader counts when it is sent `frames` and then a good message, which must come through."""
        before = {c.reason: c.total for c in self.reader.counts()}
        self.socket.send_multipart(frames)
        good = [bytes(p) for p in encode(TOPIC, PICTURE, Envelope(os.urandom(4).hex(), 0, 1))]
        self.socket.send_multipart(good)
        received = self.reader.receive(20.0)
        assert received is not None
        assert isinstance(received.message, CameraFrame)
        np.testing.assert_array_equal(received.message.data, PICTURE.data)
        after = {c.reason: c.total - before.get(c.reason, 0) for c in self.reader.counts() if c.reason != "received"}
        return {reason: total for reason, total in after.items() if total}

    def close(self) -> None:
        self.socket.close(0)
        self.context.term()
        self.bus.close()


@pytest.fixture
def live(tmp_path: Path) -> Iterator[Live]:
    """A reader under attack."""
    made = Live(f"ipc://{tmp_path / 's'}")
    yield made
    made.close()


def _with(index: int, value: Any) -> Frames:
    head = msgpack.unpackb(GOOD[1])
    head[index] = value
    return [GOOD[0], msgpack.packb(head), GOOD[2]]


BAD = {
    "nothing but a topic": ([GOOD[0]], "truncated"),
    "no array": (GOOD[:2], "truncated"),
    "a short array": ([*GOOD[:2], GOOD[2][:-1]], "truncated"),
    "a long array": ([*GOOD[:2], GOOD[2] + b"x"], "bad shape"),
    "one array too many": ([*GOOD, b"x"], "truncated"),
    "noise": ([GOOD[0], b"\xc1\xff noise", GOOD[2]], "garbage"),
    "deep nesting": ([GOOD[0], b"\x91" * 1_000_000, GOOD[2]], "too deep"),
    "a frame over the limit": ([*GOOD[:2], bytes(65 << 20)], "oversized"),
    "a promise over the limit": (_with(3, [["|u1", [1 << 30, 1, 1]]]), "oversized"),
    "another version": (_with(0, VERSION + 1), "wrong version"),
    "another type": (_with(1, "LidarScan"), "wrong type"),
    "another dtype": (_with(3, [["<f4", [128, 128, 1]]]), "wrong dtype"),
    "an object dtype": (_with(3, [["|O", [256, 256, 1]]]), "wrong dtype"),
    "a negative shape": (_with(3, [["|u1", [-256, -256, 1]]]), "bad shape"),
    "another shape": (_with(3, [["|u1", [65536]]]), "bad shape"),
    "a negative sequence number": (_with(2, ["writer", -1, 0]), "garbage"),
    "a pool without descriptor fields": (_with(5, [1]), "bad descriptor"),
    "a descriptor without pool": (_with(3, [["|u1", [256, 256, 1], 4096, 1, 4160]]), "bad descriptor"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_frames_are_refused_and_counted(live: Live, name: str) -> None:
    frames, reason = BAD[name]
    assert live.reasons(frames) == {f"refused: {reason}": 1}


def test_topics_that_begin_like_a_known_one_do_not_fill_the_table(live: Live) -> None:
    for number in range(50):
        live.socket.send_multipart([f"{TOPIC}{number}".encode(), b"\xc1"])
    assert live.reasons([b"camera/a\xff", GOOD[1]]) == {"refused: garbage": 51}
    assert {count.topic for count in live.reader.counts()} <= {TOPIC, "?"}


def _shared(pool: PoolAddress, place: Place, shape: tuple[int, ...] = (256, 256, 1)) -> Frames:
    """Frames that point into `pool`, under a writer's name that was not seen before."""
    stamp = [os.urandom(4).hex(), 0, 1]
    head = msgpack.unpackb(GOOD[1])
    head[2:4], head[5] = [stamp, [["|u1", list(shape), *place]]], list(pool)
    return [GOOD[0], msgpack.packb(head)]


def test_forged_descriptors(live: Live, tmp_path: Path) -> None:
    pool = Pool()
    (place,) = pool.place(take_apart(TOPIC, PICTURE).arrays)
    assert place is not None
    address = pool.address
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    pipe = os.open(fifo, os.O_RDWR)
    other = os.memfd_create("fusion-frames")  # unsealed: its owner could make it shorter under a reader
    os.ftruncate(other, 1 << 20)
    os.write(other, address.token)
    with tempfile.TemporaryFile() as file:
        file.write(address.token + bytes(1 << 20))
        cases: list[tuple[PoolAddress, Place, str]] = [
            (address._replace(pid=2**22 + 1), place, "lost: shared memory unreachable"),
            (address._replace(pid=0), place, "lost: shared memory unreachable"),
            (address._replace(fd=2**40), place, "lost: shared memory unreachable"),
            (address._replace(fd=pipe), place, "lost: shared memory unreachable"),
            (address._replace(fd=file.fileno()), place, "lost: shared memory unreachable"),
            (address._replace(fd=other), place, "lost: shared memory unreachable"),
            (address._replace(token=bytes(16)), place, "lost: shared memory unreachable"),
            (address, place._replace(generation=place.generation + 1), "lost: slot reused"),
            (address, place._replace(slot=place.slot + 1), "refused: bad descriptor"),
            (address, place._replace(slot=0), "refused: bad descriptor"),
            (address, place._replace(slot=2**62), "refused: bad descriptor"),
            (address, place._replace(start=place.slot), "refused: bad descriptor"),
            (address, place._replace(start=2**62), "refused: bad descriptor"),
        ]
        for forged, where, reason in cases:
            assert live.reasons(_shared(forged, where)) == {reason: 1}, (forged, where)
    live.socket.send_multipart(_shared(address, place))  # the true one
    received = live.reader.receive(20.0)
    assert received is not None
    assert isinstance(received.message, CameraFrame)
    assert in_shared_memory(received.message.data)
    np.testing.assert_array_equal(received.message.data, PICTURE.data)
    os.close(pipe)
    os.close(other)


def test_readers_cannot_write_to_a_pool() -> None:
    pool = Pool()
    path = f"/proc/{pool.address.pid}/fd/{pool.address.fd}"
    fd = os.open(path, os.O_RDWR)
    try:
        with pytest.raises(PermissionError):
            os.write(fd, b"x")
        with pytest.raises(PermissionError):
            os.ftruncate(fd, 0)
    finally:
        os.close(fd)


def test_a_forger_cannot_stop_a_writer(tmp_path: Path) -> None:
    """Subscriptions are input as well."""
    bus = ZeromqBus({"audio/a": f"ipc://{tmp_path / 's'}"})
    writer, reader = bus.publisher(("audio/a",)), bus.subscriber(("audio/a",))
    context = zmq.Context()
    socket = context.socket(zmq.XSUB)
    socket.connect(f"ipc://{tmp_path / 's'}")
    for event in (b"", b"\0audio/a", b"\2noise", b"\1\xff\xfe", *(b"\1" + os.urandom(8) for _ in range(100))):
        socket.send(event)
    assert writer.wait_for_readers({"audio/a": 1}, 20.0)
    time.sleep(0.05)
    writer.publish(AudioChunk(Header("audio/a", 1, 1), 16_000, np.zeros((4, 1), np.int16)))
    assert reader.receive(20.0) is not None
    socket.close(0)
    context.term()
    bus.close()


def test_pools_of_writers_that_are_gone_are_let_go(live: Live) -> None:
    def opened() -> int:
        return len(os.listdir("/proc/self/fd"))  # noqa: PTH208

    def one(number: int) -> None:
        pool = Pool()
        (place,) = pool.place(take_apart(TOPIC, PICTURE).arrays)
        assert place is not None
        live.socket.send_multipart(_shared(pool.address, place))
        assert live.reader.receive(20.0) is not None

    one(0)
    before = opened()
    for number in range(50):  # a writer that is started again and again
        one(number)
    assert opened() < before + 10
