"""What a peer says counts for that peer alone, and a flood holds nobody up."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import zmq

from fusion_pipeline.messages import AudioChunk, CameraFrame, Header
from fusion_pipeline.transport import connections
from fusion_pipeline.transport.bus import Publisher
from fusion_pipeline.transport.inbox import QUEUE
from fusion_pipeline.transport.sockets import is_local, queue_of
from fusion_pipeline.transport.wire import SHARED
from fusion_pipeline.transport.zeromq import ZeromqBus
from fusion_pipeline.transport.zeromq_publisher import ZeromqPublisher

TOPIC = "audio/roof"


def chunk(number: int) -> AudioChunk:
    """A short sound."""
    return AudioChunk(Header(TOPIC, number, number), 16_000, np.zeros((160, 1), np.int16))


def picture(topic: str) -> CameraFrame:
    """A picture that is large enough for shared memory."""
    return CameraFrame(Header(topic, 1, 1), "bgr8", 480, 640, np.zeros((480, 640, 3), np.uint8))


@pytest.fixture
def writer() -> Iterator[tuple[ZeromqPublisher, str]]:
    """A publisher on tcp, with its address."""
    with zmq.Context() as context, context.socket(zmq.REP) as socket:
        address = f"tcp://127.0.0.1:{socket.bind_to_random_port('tcp://127.0.0.1')}"
    made = ZeromqPublisher((TOPIC,), {address}, lossless=False)
    yield made, address
    made.close()


@pytest.fixture
def peer() -> Iterator[zmq.Socket[bytes]]:
    """A raw peer: a DEALER speaks as a stranger's implementation might, since an XSUB filters what it sends."""
    with zmq.Context() as context, context.socket(zmq.XSUB) as socket:
        socket.setsockopt(zmq.LINGER, 0)
        yield socket


def until(reached: Callable[[], bool], seconds: float = 10.0) -> bool:
    """Whether it becomes true in time."""
    end = time.monotonic() + seconds
    while not reached() and time.monotonic() < end:
        time.sleep(0.01)
    return reached()


def test_who_withdraws_what_was_never_subscribed_changes_nothing(
    writer: tuple[ZeromqPublisher, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    publisher, address = writer
    bus = ZeromqBus({TOPIC: address})
    reader = bus.subscriber([TOPIC])
    assert publisher.wait_for_readers({TOPIC: 1}, 10)

    class Withdrawal:
        """As ZeroMQ hands over a withdrawal that came on a connection without a subscription."""

        buffer = b"\0" + TOPIC.encode()

        def __init__(self, fd: int) -> None:
            self._fd = fd

        def get(self, what: int) -> int:
            return self._fd

    noted = publisher._connections
    fds = list(noted._connections)
    noted._connections[999_999] = connections._Connection()
    for _ in range(5):
        noted._note(Withdrawal(999_999))  # type: ignore[arg-type]
    assert fds
    assert noted.count(TOPIC) == 1
    publisher.publish(chunk(1))
    received = reader.receive(10)
    assert received is not None
    assert received.message is not None
    bus.close()
    assert until(lambda: publisher.wait_for_readers({TOPIC: 0}, 0.05) and noted.count(TOPIC) == 0)


def test_a_reader_that_dies_is_no_reader(writer: tuple[ZeromqPublisher, str], peer: zmq.Socket[bytes]) -> None:
    publisher, address = writer
    peer.connect(address)
    peer.send(b"\1" + TOPIC.encode())
    assert publisher.wait_for_readers({TOPIC: 1}, 10)
    peer.close(0)
    assert until(lambda: publisher.drain(0.05))


@pytest.mark.parametrize("topics", [2, QUEUE - 1, QUEUE + 1, 2 * QUEUE + 1])
def test_every_topic_of_a_reader_is_counted_again_after_each_restart_of_its_writer(topics: int) -> None:
    """More topics than messages that may wait: ZeroMQ would drop subscriptions that find no room."""
    names = [f"audio/m{number}" for number in range(topics)]
    with tempfile.TemporaryDirectory(dir="/tmp", prefix="fc") as folder:  # short: a socket's path may have 107 bytes
        endpoints = dict.fromkeys(names, f"ipc://{folder}/s")
        readers = ZeromqBus(endpoints)
        reader = readers.subscriber(names)
        for _ in range(4):
            writers = ZeromqBus(endpoints)
            writer = writers.publisher(names)

            def counted(writer: Publisher = writer) -> bool:
                reader.receive(0.01)  # a reader sends its subscriptions again while it reads
                return writer.wait_for_readers(dict.fromkeys(names, 1), 0.01)

            assert until(counted), "a subscription was lost"
            writers.close()
        readers.close()


def test_a_reader_of_shared_memory_is_counted_once_by_a_writer_that_was_restarted() -> None:
    topic = "camera/front"
    with tempfile.TemporaryDirectory(dir="/tmp", prefix="fc") as folder:
        endpoints = {topic: f"ipc://{folder}/s"}
        readers = ZeromqBus(endpoints)
        reader = readers.subscriber([topic])
        for start in range(4):
            writer = ZeromqPublisher((topic,), set(endpoints.values()), lossless=False)

            def settled(writer: ZeromqPublisher = writer, start: int = start) -> bool:
                reader.receive(0.01)
                return writer.wait_for_readers({topic: 1}, 0.01) and (not start or writer._listening(topic) == 1)

            assert until(settled)

            def went_over(writer: ZeromqPublisher = writer) -> bool:
                writer.publish(picture(topic))
                reader.receive(0.05)
                noted = writer._connections
                return noted.count(SHARED + topic) == 1 and noted.count(topic) == 0

            assert until(went_over)
            writer.close()
        readers.close()


def test_a_flood_of_subscriptions_ends_the_connection_and_not_the_publisher(
    writer: tuple[ZeromqPublisher, str], peer: zmq.Socket[bytes]
) -> None:
    publisher, address = writer
    bus = ZeromqBus({TOPIC: address})
    reader = bus.subscriber([TOPIC])
    assert publisher.wait_for_readers({TOPIC: 1}, 10)
    peer.setsockopt(zmq.SNDHWM, 0)
    peer.connect(address)
    for number in range(2_000):
        peer.send(b"\1" + str(number).encode())

    def cut() -> bool:
        publisher.publish(chunk(1))
        return any(count.reason == "reader cut off: too many subscriptions" for count in publisher.counts())

    assert until(cut)
    received = reader.receive(10)
    assert received is not None
    assert received.message is not None
    bus.close()


def test_too_many_connections_are_cut(writer: tuple[ZeromqPublisher, str], monkeypatch: pytest.MonkeyPatch) -> None:
    publisher, address = writer
    monkeypatch.setattr(connections, "MOST_CONNECTIONS", 3)
    with zmq.Context() as context:
        peers = [context.socket(zmq.SUB) for _ in range(5)]
        for one in peers:
            one.setsockopt(zmq.LINGER, 0)
            one.setsockopt(zmq.RECONNECT_IVL, -1)
            one.setsockopt(zmq.SUBSCRIBE, TOPIC.encode())
            one.connect(address)

        def settled() -> bool:
            publisher.wait_for_readers({TOPIC: 9}, 0.02)
            return publisher._connections.refused["too many connections"] == 2

        assert until(settled)
        assert until(lambda: publisher.wait_for_readers({TOPIC: 3}, 0.02))
        for one in peers:
            one.close(0)


def test_a_frame_larger_than_any_subscription_is_never_held(
    writer: tuple[ZeromqPublisher, str], peer: zmq.Socket[bytes]
) -> None:
    publisher, address = writer
    peer.setsockopt(zmq.RECONNECT_IVL, -1)
    monitor = peer.get_monitor_socket(zmq.EVENT_DISCONNECTED)
    peer.connect(address)
    peer.send(b"\1" + bytes(connections.LARGEST_SUBSCRIPTION + 1))
    assert monitor.poll(10_000)
    monitor.close(0)
    peer.disable_monitor()
    publisher.publish(chunk(1))
    assert publisher._connections.count(TOPIC) == 0


@pytest.mark.parametrize(
    ("endpoint", "local"),
    [("ipc:///a/b", True), ("tcp://127.0.0.1:7001", True), ("tcp://localhost:1", True), ("tcp://[::1]:7001", True),
     ("tcp://0.0.0.0:7001", False), ("tcp://*:7001", False), ("tcp://10.0.0.2:7001", False), ("tcp://car:7001", False)],
)  # fmt: skip
def test_which_endpoints_other_hosts_reach(endpoint: str, local: bool, tmp_path: Path) -> None:
    assert is_local(endpoint) is local
    assert (queue_of(endpoint, ["camera/front"]) < queue_of("ipc://x", ["camera/front"])) is not local
