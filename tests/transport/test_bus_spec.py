"""What every bus does: one specification, run against each."""

from __future__ import annotations

import gc
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from fusion_pipeline.messages import AudioChunk, CameraFrame, Header, Health, Message
from fusion_pipeline.transport.bus import Bus, Publisher, Subscriber
from fusion_pipeline.transport.leases import in_shared_memory
from fusion_pipeline.transport.memory import MemoryBus
from fusion_pipeline.transport.wire import Refused
from fusion_pipeline.transport.zeromq import ZeromqBus

TOPICS = ("audio/a", "camera/a", "health/a")
SIDE = 256  # a picture of 64 KiB: large enough for shared memory
Open = Callable[..., Bus]


@pytest.fixture(params=["memory", "ipc", "tcp"])
def open_bus(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Open]:
    """A function that opens a bus of one kind; all are closed at the end."""
    buses: list[Bus] = []

    def opened(lossless: bool = False) -> Bus:
        if request.param == "memory":
            bus: Bus = MemoryBus(lossless)
        else:
            address = f"ipc://{tmp_path / 's'}" if request.param == "ipc" else f"tcp://127.0.0.1:{_free_port()}"
            bus = ZeromqBus(dict.fromkeys(TOPICS, address), lossless)
        buses.append(bus)
        return bus

    yield opened
    for bus in buses:
        bus.close()


def _free_port() -> int:
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def _audio(number: int) -> AudioChunk:
    return AudioChunk(Header("audio/a", number, number), 16_000, np.full((4, 1), number, np.int16))


def _picture(number: int) -> CameraFrame:
    pixels = np.full((SIDE, SIDE, 1), number, np.uint8)
    return CameraFrame(Header("camera/a", number, number), "mono8", SIDE, SIDE, pixels)


def _joined(bus: Bus, *topics: str) -> tuple[Publisher, Subscriber]:
    reader, writer = bus.subscriber(topics), bus.publisher(topics)
    assert writer.wait_for_readers(dict.fromkeys(topics, 1), 20.0)
    return writer, reader


def _total(part: Publisher | Subscriber, topic: str, reason: str) -> int:
    return sum(count.total for count in part.counts() if (count.topic, count.reason) == (topic, reason))


def _until_end(reader: Subscriber, ends: int = 1) -> list[Message]:
    messages = []
    while ends:
        received = reader.receive(20.0)
        assert received is not None, "the end did not come"
        if received.message is None:
            ends -= 1
        else:
            messages.append(received.message)
    return messages


def test_every_message_of_an_every_topic_comes_in_order(open_bus: Open) -> None:
    writer, reader = _joined(open_bus(), "audio/a")
    for number in range(50):
        writer.publish(_audio(number))
    writer.end()
    got = _until_end(reader)
    assert [message.header.capture_ns for message in got] == list(range(50))
    assert all(isinstance(m, AudioChunk) and (m.pcm == m.header.capture_ns).all() for m in got)
    assert _total(reader, "audio/a", "received") == 51  # with the end
    assert _total(reader, "audio/a", "lost") == 0
    assert _total(writer, "audio/a", "published") == 51


def test_the_newest_of_a_latest_topic_wins_and_the_rest_is_counted(open_bus: Open) -> None:
    writer, reader = _joined(open_bus(), "health/a", "audio/a")
    for number in range(30):
        writer.publish(Health(Header("health/a", number, number), "a", 1, "ready"))
    writer.end()
    got = _until_end(reader, ends=2)
    assert got[-1].header.capture_ns == 29
    assert len(got) + _total(reader, "health/a", "overwritten") + _total(reader, "health/a", "lost") == 30


def test_lossless_delivers_everything_to_a_reader_that_comes_late_to_it(open_bus: Open) -> None:
    writer, reader = _joined(open_bus(lossless=True), "camera/a")
    got: list[Message] = []
    thread = threading.Thread(target=lambda: got.extend(_until_end(reader)))
    for number in range(20):
        writer.publish(_picture(number))
    thread.start()
    for number in range(20, 300):  # far more than any queue holds
        writer.publish(_picture(number % 256))
    writer.end()
    thread.join(60)
    assert [message.header.capture_ns for message in got] == [number % 256 for number in range(300)]
    assert all(isinstance(m, CameraFrame) and (m.data == m.header.capture_ns).all() for m in got)


def test_writer_waits_for_readers(open_bus: Open) -> None:
    bus = open_bus()
    writer = bus.publisher(("audio/a", "health/a"))
    assert not writer.wait_for_readers({"audio/a": 1}, 0.05)
    stop = threading.Event()
    stop.set()
    assert not writer.wait_for_readers({"audio/a": 1}, 60.0, stop)
    readers = [bus.subscriber(("audio/a",)), bus.subscriber(("audio/a", "health/a"))]
    assert writer.wait_for_readers({"audio/a": 2, "health/a": 1}, 20.0)
    assert not writer.wait_for_readers({"audio/a": 3}, 0.05)
    readers[0].close()
    writer.publish(_audio(1))
    received = readers[1].receive(20.0)
    assert received is not None
    assert received.topic == "audio/a"


def test_drain_returns_once_readers_have_taken_everything(open_bus: Open) -> None:
    writer, reader = _joined(open_bus(), "camera/a")
    writer.publish(_picture(7))
    writer.end()
    assert not writer.drain(0.05)
    assert len(_until_end(reader)) == 1
    assert writer.drain(20.0)


def test_arrays_are_read_only_and_stay_as_they_were_sent(open_bus: Open) -> None:
    writer, reader = _joined(open_bus(), "camera/a")
    held = []
    for number in range(60):  # more than there are slots
        sent = _picture(number)
        writer.publish(sent)
        if sent.data.flags.writeable:
            sent.data[:] = 255  # the writer's own array, no loan: the reader does not see it
        received = reader.receive(20.0)
        assert received is not None
        assert isinstance(received.message, CameraFrame)
        held.append(received.message)
    for message in held:
        assert (message.data == message.header.capture_ns).all()
        assert not message.data.flags.writeable
        if in_shared_memory(message.data):  # others look at it too
            with pytest.raises(ValueError, match="WRITEABLE"):
                message.data.flags.writeable = True


def test_loans_travel_and_those_never_published_come_back(open_bus: Open) -> None:
    writer, reader = _joined(open_bus(), "camera/a")
    for number in range(100):
        writer.loan("camera/a", (SIDE, SIDE, 1), np.uint8)  # never published
        array = writer.loan("camera/a", (SIDE, SIDE, 1), np.uint8)
        array[:] = number
        writer.publish(CameraFrame(Header("camera/a", number, 0), "mono8", SIDE, SIDE, array))
        received = reader.receive(20.0)
        assert received is not None
        assert isinstance(received.message, CameraFrame)
        assert (received.message.data == number).all()
    del array, received
    gc.collect()
    assert _total(writer, "camera/a", "no slot") == 0


def test_gaps_are_counted(open_bus: Open) -> None:
    bus = open_bus()
    writer, reader = _joined(bus, "camera/a", "audio/a")
    writer.publish(_picture(1))
    assert reader.receive(20.0) is not None
    for number in range(400):  # nobody reads: queues run full
        writer.publish(_picture(number % 256))
    while reader.receive(1.0) is not None:
        pass
    writer.publish(_picture(3))  # shows the gap before it
    assert reader.receive(20.0) is not None
    seen = sum(count.total for count in reader.counts() if count.reason != "overwritten")
    assert seen == 402, reader.counts()


def test_wrong_use_is_refused(open_bus: Open) -> None:
    writer = open_bus().publisher(("audio/a",))
    with pytest.raises(KeyError):
        writer.publish(_picture(1))
    with pytest.raises(Refused, match="oversized"):
        writer.publish(AudioChunk(Header("audio/a", 1, 1), 16_000, np.zeros((1 << 22, 1), np.int16)))
    with pytest.raises(Refused, match="wrong type"):
        writer.publish(Health(Header("audio/a", 1, 1), "a", 1, "ready"))


def test_a_topic_whose_name_begins_like_another_is_not_mistaken_for_it(tmp_path: Path) -> None:
    bus = ZeromqBus(dict.fromkeys(("audio/a", "audio/ab"), f"ipc://{tmp_path / 's'}"))
    reader, writer = bus.subscriber(("audio/a",)), bus.publisher(("audio/a", "audio/ab"))
    assert writer.wait_for_readers({"audio/a": 1}, 20.0)
    writer.publish(AudioChunk(Header("audio/ab", 1, 1), 16_000, np.zeros((4, 1), np.int16)))
    writer.publish(_audio(2))
    received = reader.receive(20.0)
    bus.close()
    assert received is not None
    assert received.topic == "audio/a"
