"""Processes that are killed or stopped at the worst moment: nothing torn, nothing stuck, nothing left behind."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from transport_actors import SHAPE, TOPIC, frame, intact, read_pictures, said, started, write_pictures

from fusion_pipeline.messages import CameraFrame
from fusion_pipeline.transport.bus import Publisher, Subscriber
from fusion_pipeline.transport.leases import in_shared_memory
from fusion_pipeline.transport.zeromq import ZeromqBus

NEVER = -1
pytestmark = pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="shared memory needs Linux")


@pytest.fixture
def bus(endpoint: str) -> Iterator[ZeromqBus]:
    """A bus over `endpoint`."""
    made = ZeromqBus({TOPIC: endpoint})
    yield made
    made.close()


@pytest.fixture
def endpoint(tmp_path: Path) -> Iterator[str]:
    """An ipc address. Afterwards no process maps a pool, and nothing new is in /dev/shm."""
    before = set(Path("/dev/shm").iterdir())
    yield f"ipc://{tmp_path / 's'}"
    assert not [line for line in Path("/proc/self/maps").read_text().splitlines() if "memfd:fusion" in line]
    assert set(Path("/dev/shm").iterdir()) <= before


def _asked(pipe: Connection) -> dict[str, int]:
    pipe.send("?")
    answer: dict[str, int] = said(pipe)
    return answer


def _until_seen(pipe: Connection, more_than: int) -> dict[str, int]:
    until = time.monotonic() + 30
    while (answer := _asked(pipe))["seen"] <= more_than:
        assert time.monotonic() < until, f"the reader does not get on: {answer}"
        time.sleep(0.01)
    return answer


def _write(writer: Publisher, numbers: range) -> None:
    noise = np.random.default_rng(1).integers(0, 256, SHAPE, np.uint8)
    for number in numbers:
        array = writer.loan(TOPIC, SHAPE, np.uint8)
        np.add(noise, number % 256, out=array)
        writer.publish(frame(number, array))
        del array
        time.sleep(0.001)


def _next(reader: Subscriber, shared: bool) -> CameraFrame:
    """The next picture; with `shared`, the next that lies in its writer's memory."""
    until = time.monotonic() + 30
    while time.monotonic() < until:
        received = reader.receive(0.1)
        if received is not None and isinstance(received.message, CameraFrame):
            assert intact(received.message)
            if in_shared_memory(received.message.data) or not shared:
                return received.message
    raise AssertionError("no picture came")


def _totals(part: Any) -> dict[str, int]:
    return {count.reason: count.total for count in part.counts() if count.topic == TOPIC and count.total}


def test_writer_killed_in_the_middle_of_a_frame(bus: ZeromqBus, endpoint: str) -> None:
    reader = bus.subscriber((TOPIC,))
    with started(write_pictures, endpoint, 0.002, 40) as (process, pipe):
        held = [_next(reader, shared=True)]
        pid = said(pipe)
        while (received := reader.receive(0.2)) is not None:  # all that was published before
            assert isinstance(received.message, CameraFrame)
            held.append(received.message)
        os.kill(pid, signal.SIGKILL)
        process.join()
    assert held[-1].header.capture_ns == 39  # the half frame never comes
    assert all(intact(picture) for picture in held)
    with started(write_pictures, endpoint, 0.002, NEVER):  # a new writer, the same address
        again = _next(reader, shared=True)
        assert intact(again)
    assert "lost" not in _totals(reader)  # its numbers start anew: no gap
    assert all(intact(picture) for picture in held)  # what the dead one wrote stays as long as it is held


def test_reader_killed_while_it_holds_frames(bus: ZeromqBus, endpoint: str) -> None:
    writer, other = bus.publisher((TOPIC,)), bus.subscriber((TOPIC,))
    with started(read_pictures, endpoint, 4) as (process, pipe):
        assert writer.wait_for_readers({TOPIC: 2}, 30.0)
        _write(writer, range(50))
        assert _until_seen(pipe, 10)["torn"] == 0
        process.kill()
        process.join()
    until = time.monotonic() + 30
    while writer.wait_for_readers({TOPIC: 2}, 0.0):
        assert time.monotonic() < until, "the dead reader is still counted"
        time.sleep(0.01)
    assert writer.wait_for_readers({TOPIC: 1}, 5.0)
    _write(writer, range(50, 300))
    for number in range(300, 600):  # what is in the queues comes first
        _write(writer, range(number, number + 1))
        if _next(other, shared=False).header.capture_ns >= 300:
            break
    else:
        raise AssertionError("the other reader hears nothing new")
    assert "no slot" not in _totals(writer)  # it holds no slot any more


def test_stopped_reader_holds_up_nobody_and_finds_nothing_torn(bus: ZeromqBus, endpoint: str) -> None:
    writer = bus.publisher((TOPIC,))
    with (
        started(read_pictures, endpoint, 4) as (stopped, stopped_pipe),
        started(read_pictures, endpoint, 4) as (_, lively_pipe),
    ):
        assert writer.wait_for_readers({TOPIC: 2}, 30.0)
        _write(writer, range(50))
        seen = _until_seen(lively_pipe, 10)["seen"]
        assert _until_seen(stopped_pipe, 10)["shared"] > 0
        assert stopped.pid is not None
        os.kill(stopped.pid, signal.SIGSTOP)
        _write(writer, range(50, 500))
        assert _until_seen(lively_pipe, seen + 50)["torn"] == 0
        assert "no slot" not in _totals(writer)
        os.kill(stopped.pid, signal.SIGCONT)
        before = _asked(stopped_pipe)["seen"]
        _write(writer, range(500, 550))
        answer = _until_seen(stopped_pipe, before)
        assert answer["torn"] == 0


def test_reader_that_holds_every_slot_gets_copies(bus: ZeromqBus, endpoint: str) -> None:
    writer, reader = bus.publisher((TOPIC,)), bus.subscriber((TOPIC,))
    assert writer.wait_for_readers({TOPIC: 1}, 30.0)
    held = []
    for number in range(60):
        _write(writer, range(number, number + 1))
        held.append(_next(reader, shared=False))
    assert [picture.header.capture_ns for picture in held] == list(range(60))
    assert _totals(writer)["no slot"] > 0
    assert "lost" not in _totals(reader)
    del held
    _write(writer, range(60, 61))
    assert in_shared_memory(_next(reader, shared=False).data)


def test_reader_that_comes_too_late_for_its_slots_counts_them(bus: ZeromqBus, endpoint: str) -> None:
    writer, reader = bus.publisher((TOPIC,)), bus.subscriber((TOPIC,))
    assert writer.wait_for_readers({TOPIC: 1}, 30.0)
    _write(writer, range(3))
    _next(reader, shared=False)
    _write(writer, range(3, 6))
    _next(reader, shared=True)
    _write(writer, range(6, 66))  # waits in the queue while its slots are written again
    while _next(reader, shared=False).header.capture_ns < 65:
        pass
    totals = _totals(reader)
    assert totals["lost: slot reused"] > 0
    assert totals["received"] + totals["lost: slot reused"] == 66


def test_reader_that_cannot_open_the_pool_gets_copies(
    bus: ZeromqBus, endpoint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fusion_pipeline.transport.leases.supported", lambda: False)
    writer, reader = bus.publisher((TOPIC,)), bus.subscriber((TOPIC,))
    assert writer.wait_for_readers({TOPIC: 1}, 30.0)
    for number in range(10):
        _write(writer, range(number, number + 1))
        picture = _next(reader, shared=False)
        assert picture.header.capture_ns == number
        assert not in_shared_memory(picture.data)
    assert _totals(reader) == {"received": 10}


def test_reader_whose_ability_ends_goes_back_to_copies(
    bus: ZeromqBus, endpoint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    reader, writer = bus.subscriber((TOPIC,)), bus.publisher((TOPIC,))
    assert writer.wait_for_readers({TOPIC: 1}, 30.0)
    for number in range(5):
        _write(writer, range(number, number + 1))
        _next(reader, shared=False)
    writer.close()
    monkeypatch.setattr("fusion_pipeline.transport.leases.supported", lambda: False)
    restarted = bus.publisher((TOPIC,))
    until = time.monotonic() + 30
    while not restarted.wait_for_readers({TOPIC: 1}, 0.0):  # a reader joins again while it receives
        assert reader.receive(0.05) is None
        assert time.monotonic() < until
    _write(restarted, range(1))  # points into a pool that this reader cannot open
    assert reader.receive(0.5) is None
    _write(restarted, range(1, 2))
    assert _next(reader, shared=False).header.capture_ns == 1
    assert _totals(reader)["lost: shared memory unreachable"] == 1
