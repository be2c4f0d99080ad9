"""Transport between real processes: latency; then tears and leftovers."""

from __future__ import annotations

import contextlib
import statistics
import time
from collections.abc import Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection

import numpy as np
import zmq

from fusion_pipeline.bench.children import START_S, TOPIC, child, picture, socket_address
from fusion_pipeline.bench.report import Figure, step
from fusion_pipeline.bench.transport_safety import killed_figures, torn_figures
from fusion_pipeline.messages import CameraFrame
from fusion_pipeline.transport.leases import in_shared_memory
from fusion_pipeline.transport.zeromq import ZeromqBus

SMALL, LARGE = (100, 100, 1), (1920, 1080, 3)  # 10 kB, 6.2 MB
ROUNDS = 5
RATE_HZ = 60.0  # of small and large frames in turn


def run(quick: bool = False) -> tuple[Figure, ...]:
    """Latencies with one and four readers against plain pyzmq, torn frames, segments left (fewer with `quick`)."""
    frames = 150 if quick else 300
    step("plain pyzmq")
    plain = _plain(frames)
    # In turn: how soon a machine wakes a process up changes from one minute to the next, by a factor of two.
    rounds = []
    for number in range(1, ROUNDS + 1):
        step(f"latency with one reader and with four, {number} of {ROUNDS}")
        rounds.append((_latency(1, frames // ROUNDS), _latency(4, frames // ROUNDS)))
    one, four = (_pooled([pair[side] for pair in rounds]) for side in (0, 1))
    step("torn frames")
    torn = torn_figures(500 if quick else 20_000)
    step("readers and writers that are killed")
    return (*_latency_figures(plain, one, four), *torn, *killed_figures(2 if quick else 50))


@dataclass(frozen=True)
class _Latency:
    small: list[float]  # microseconds of each frame of each reader
    large: list[float]
    copied: int  # large frames that a reader or the writer copied

    @property
    def small_us(self) -> float:
        """p50."""
        return statistics.median(self.small)

    @property
    def large_us(self) -> float:
        """p50."""
        return statistics.median(self.large)


def _pooled(parts: list[_Latency]) -> _Latency:
    small, large = ([us for part in parts for us in getattr(part, name)] for name in ("small", "large"))
    return _Latency(small, large, sum(part.copied for part in parts))


def _latency_figures(plain: float, one: _Latency, four: _Latency) -> Iterator[Figure]:
    size = "6.2 MB frame, filled in place, one-way p50"
    by_small = one.large_us <= 1.3 * one.small_us
    yield Figure("10 kB message, one-way p50", one.small_us, "us")
    yield Figure(
        size, one.large_us, "us", "<= 1.3 x 10 kB message", by_small, one.small_us, "10 kB message"
    )  # fmt: skip
    yield Figure(
        size, one.large_us, "us", "<= 0.35 x baseline", one.large_us <= 0.35 * plain, plain, "pyzmq ipc, copy=True"
    )  # fmt: skip
    wake_ups = f"10 kB: {four.small_us / one.small_us:.2f} x, which is what waking four processes costs here"
    yield Figure(
        "the same with four readers", four.large_us, "us", "<= 1.3 x one reader", four.large_us <= 1.3 * one.large_us,
        one.large_us, "one reader", wake_ups,
    )  # fmt: skip
    yield Figure(
        "copies of 6.2 MB frames, four readers", four.copied, "", "0", four.copied == 0,
        note=f"{len(four.large)} frames received by all readers together, each read in place",
    )  # fmt: skip


def _latency(readers: int, frames: int) -> _Latency:
    with socket_address() as endpoint, contextlib.ExitStack() as stack:
        children = [stack.enter_context(child(_time_frames, endpoint)) for _ in range(readers)]
        bus = ZeromqBus({TOPIC: endpoint})
        stack.callback(bus.close)
        writer = bus.publisher((TOPIC,))
        if not writer.wait_for_readers({TOPIC: readers}, START_S):
            raise TimeoutError("the benchmark's readers did not start")
        for number in range(2 * frames):
            array = writer.loan(TOPIC, SMALL if number % 2 else LARGE, np.uint8)
            array[:] = number % 256
            writer.publish(picture(number, array))
            del array
            time.sleep(1 / RATE_HZ)
        writer.end()
        taken = [one.pipe.recv() for one in children]
        no_slot = sum(count.total for count in writer.counts() if count.reason == "no slot")
    small, large = ([us for one in taken for us in one[name]] for name in ("small", "large"))
    copied = no_slot * readers + sum(one["copied"] for one in taken)
    return _Latency(small, large, copied)


def _time_frames(endpoint: str, pipe: Connection) -> None:
    """Reader process: how long each frame took."""
    bus = ZeromqBus({TOPIC: endpoint})
    reader = bus.subscriber((TOPIC,))
    taken: dict[str, list[float]] = {"small": [], "large": []}
    copied = 0
    while (received := reader.receive(START_S)) is not None and isinstance(received.message, CameraFrame):
        us = (time.time_ns() - received.publish_ns) / 1000
        data, number = received.message.data, received.message.header.capture_ns
        if data.flat[0] != number % 256 or data.flat[-1] != number % 256:
            raise ValueError(f"frame {number} holds something else")
        warm = number >= 20  # before, slots are touched for the first time and the reader finds out about them
        if warm:
            taken["small" if data.shape == SMALL else "large"].append(us)
            copied += data.shape == LARGE and not in_shared_memory(data)
    pipe.send({**taken, "copied": copied})
    bus.close()


def _plain(frames: int) -> float:
    """p50 in us of a 6.2 MB frame through plain PUB and SUB sockets, copied on both sides."""
    with socket_address() as endpoint, child(_time_plain, endpoint) as reader, zmq.Context() as context:
        socket = context.socket(zmq.XPUB)
        socket.bind(endpoint)
        if not socket.poll(int(START_S * 1000)):
            raise TimeoutError("the benchmark's reader did not start")
        socket.recv()
        array = np.empty(LARGE, np.uint8)
        for number in range(frames):
            array[:] = number % 256
            socket.send_multipart([time.time_ns().to_bytes(8, "little"), array.data])
            time.sleep(1 / RATE_HZ)
        socket.send_multipart([b"", b""])
        taken: list[float] = reader.pipe.recv()
        socket.close(0)
    return statistics.median(taken)


def _time_plain(endpoint: str, pipe: Connection) -> None:
    taken = []
    with zmq.Context() as context:
        socket = context.socket(zmq.SUB)
        socket.setsockopt(zmq.SUBSCRIBE, b"")
        socket.connect(endpoint)
        while True:
            sent, data = socket.recv_multipart()
            if not sent:
                break
            taken.append((time.time_ns() - int.from_bytes(sent, "little")) / 1000)
            np.frombuffer(data, np.uint8)
        socket.close(0)
    pipe.send(taken)
