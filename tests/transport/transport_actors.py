"""Processes that the transport's tests start, stop and kill."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import time
import zlib
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from typing import Any

import numpy as np

from fusion_pipeline.messages import CameraFrame, Header
from fusion_pipeline.transport.leases import in_shared_memory
from fusion_pipeline.transport.zeromq import ZeromqBus

TOPIC = "camera/a"
SHAPE = (256, 512, 1)  # 128 KiB
Started = tuple[SpawnProcess, Connection]


@contextlib.contextmanager
def started(main: Callable[..., None], *args: Any) -> Iterator[Started]:
    """A spawned process that runs `main(*args, pipe)`, and the other end of its pipe; killed at the end."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=main, args=(*args, theirs))
    process.start()
    theirs.close()
    try:
        yield process, ours
    finally:
        process.kill()
        process.join()
        process.close()
        ours.close()


def said(pipe: Connection, timeout_s: float = 30.0) -> Any:
    """What the process sends next; fails where it says nothing."""
    assert pipe.poll(timeout_s), "the process says nothing"
    return pipe.recv()


def frame(number: int, array: Any) -> CameraFrame:
    """A picture whose header tells its checksum."""
    height, width, _ = array.shape
    return CameraFrame(Header(TOPIC, number, zlib.crc32(array.data)), "mono8", height, width, array)


def intact(picture: CameraFrame) -> bool:
    """Whether a picture is what its writer summed up."""
    return zlib.crc32(picture.data.data) == picture.header.arrival_ns


def write_pictures(endpoint: str, pause_s: float, half_way_at: int, pipe: Connection) -> None:
    """Write pictures for ever; at number `half_way_at` fill half of one, say so and sleep."""
    bus = ZeromqBus({TOPIC: endpoint})
    writer = bus.publisher((TOPIC,))
    writer.wait_for_readers({TOPIC: 1}, 30.0)
    noise = np.random.default_rng(1).integers(0, 256, SHAPE, np.uint8)
    for number in range(1 << 62):
        array = writer.loan(TOPIC, SHAPE, np.uint8)
        if number == half_way_at:
            array[: SHAPE[0] // 2] = 255
            pipe.send(os.getpid())
            time.sleep(60)
        np.add(noise, number % 256, out=array)
        writer.publish(frame(number, array))
        del array
        time.sleep(pause_s)


def read_pictures(endpoint: str, hold: int, pipe: Connection) -> None:
    """Hold the newest `hold` pictures, check each when it comes and when it goes; told anything, say what was seen."""
    bus = ZeromqBus({TOPIC: endpoint})
    reader = bus.subscriber((TOPIC,))
    held: list[CameraFrame] = []
    seen, torn, shared = 0, 0, 0
    while True:
        received = reader.receive(0.05)
        if received is not None and isinstance(received.message, CameraFrame):
            held.append(received.message)
            seen += 1
            torn += not intact(received.message)
            shared += in_shared_memory(received.message.data)
        if len(held) > hold:
            torn += not intact(held.pop(0))
        if pipe.poll():
            pipe.recv()
            pipe.send({"seen": seen, "torn": torn + sum(not intact(one) for one in held), "shared": shared})
