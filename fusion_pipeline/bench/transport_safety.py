"""Torn frames, and what the killed leave behind."""

from __future__ import annotations

import contextlib
import mmap
import os
import signal
import tempfile
import time
import zlib
from collections.abc import Iterator
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np

from fusion_pipeline.bench.children import START_S, TOPIC, child, picture, socket_address
from fusion_pipeline.bench.report import Figure
from fusion_pipeline.messages import CameraFrame
from fusion_pipeline.transport.leases import in_shared_memory
from fusion_pipeline.transport.zeromq import ZeromqBus

TORN, LARGE = (480, 640, 1), (1920, 1080, 3)  # 0.3 MB, 6.2 MB
HELD = 5  # frames that a reader holds while it checks them again


def torn_figures(frames: int) -> Iterator[Figure]:
    """A writer at full speed, one reader that checks every byte, and one that is stopped while it holds frames."""
    with (
        socket_address() as endpoint,
        child(_check_frames, endpoint) as checker,
        child(_check_frames, endpoint) as stalled,
    ):
        bus = ZeromqBus({TOPIC: endpoint})
        writer = bus.publisher((TOPIC,))
        if not writer.wait_for_readers({TOPIC: 2}, START_S):
            raise TimeoutError("the benchmark's readers did not start")
        noise = np.random.default_rng(1).integers(0, 256, TORN, np.uint8)
        number, checked = 0, 0
        while checked < frames:
            array = writer.loan(TOPIC, TORN, np.uint8)
            np.add(noise, number % 256, out=array)
            writer.publish(picture(number, array, zlib.crc32(array.data)))
            del array
            number += 1
            if number == 200:  # both are at work by now
                os.kill(stalled.pid, signal.SIGSTOP)
            while checker.pipe.poll():
                checked = checker.pipe.recv()["checked"]
            if not checker.process.is_alive():
                raise RuntimeError("the benchmark's reader died")
        os.kill(stalled.pid, signal.SIGCONT)
        writer.end()
        results = [_last(reader.pipe) for reader in (checker, stalled)]
        bus.close()
    torn = sum(result["torn"] for result in results)
    note = (
        f"{number:,} frames written, {results[0]['checked']:,} + {results[1]['checked']:,} checked twice, byte by byte"
    )
    naive = _naive_tears(min(frames, 2000))
    yield Figure(
        f"torn frames of {frames:,} at full speed, one reader stalled", torn, "", "0", torn == 0, naive,
        f"{min(frames, 2000):,} frames of a ring without leases", note,
    )  # fmt: skip


def _check_frames(endpoint: str, pipe: Connection) -> None:
    """Reader process: check each frame when it comes, and once more before it is let go."""
    bus = ZeromqBus({TOPIC: endpoint})
    reader = bus.subscriber((TOPIC,))
    held: list[CameraFrame] = []
    result = {"checked": 0, "torn": 0}
    ended = False
    while not ended or held:
        received = None if ended else reader.receive(START_S)
        if received is not None and isinstance(received.message, CameraFrame):
            held.append(received.message)
            result["torn"] += is_torn(received.message)
        else:
            ended = True
        if held and (ended or len(held) > HELD):
            result["torn"] += is_torn(held.pop(0))
            result["checked"] += 1
            if result["checked"] % 100 == 0:
                pipe.send(result)
    pipe.send({**result, "ended": True})
    bus.close()


def is_torn(frame: CameraFrame) -> bool:
    """Whether the picture is not the one that was checksummed."""
    return zlib.crc32(frame.data.data) != frame.header.arrival_ns


def _last(pipe: Connection) -> dict[str, int]:
    while "ended" not in (result := pipe.recv()):
        pass
    return dict(result)


def _naive_tears(frames: int) -> int:
    """The same with shared memory that nobody leases: eight slots, the number of the newest in a word before them."""
    size = int(np.prod(TORN))
    with tempfile.TemporaryFile() as file:
        file.truncate(8 + 8 * (size + 4))
        with child(_naive_reader, f"/proc/{os.getpid()}/fd/{file.fileno()}", frames) as reader:
            memory = mmap.mmap(file.fileno(), 0)
            noise = np.random.default_rng(1).integers(0, 256, size, np.uint8)
            number = 0
            while not reader.pipe.poll():
                number += 1
                start = 8 + number % 8 * (size + 4)
                array = np.frombuffer(memory, np.uint8, size, start + 4)
                np.add(noise, number % 256, out=array)
                memory[start : start + 4] = zlib.crc32(array.data).to_bytes(4, "little")
                memory[:8] = number.to_bytes(8, "little")
            torn: int = reader.pipe.recv()
    return torn


def _naive_reader(path: str, pipe: Connection, frames: int) -> None:
    size, torn, seen, last = int(np.prod(TORN)), 0, 0, 0
    held: list[int] = []
    with open(path, "rb") as file:  # noqa: PTH123
        memory = mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ)
    view = memoryview(memory)
    while seen < frames:
        number = int.from_bytes(view[:8], "little")
        if number == last:
            continue
        last = number
        held.append(8 + number % 8 * (size + 4))
        if len(held) > HELD:
            start = held.pop(0)
            torn += zlib.crc32(view[start + 4 : start + 4 + size]) != int.from_bytes(view[start : start + 4], "little")
            seen += 1
    pipe.send(torn)


def killed_figures(rounds: int) -> Iterator[Figure]:
    """Kill a writer in the middle of a frame, and a reader that holds some, again and again."""
    before = set(Path("/dev/shm").iterdir())
    left_pools, kills, naive = 0, 0, 0
    for _ in range(rounds):
        with (
            socket_address() as endpoint,
            child(_fill_for_ever, endpoint) as writer,
            child(_hold_for_ever, endpoint) as reader,
        ):
            victims = (writer, reader) if kills % 4 else (reader, writer)
            for one in (writer, reader):
                one.pipe.recv()  # at work
            pools = set[str]().union(*(_pools_of(Path("/proc") / str(victim.pid)) for victim in victims))
            for victim in victims:
                os.kill(victim.pid, signal.SIGKILL)
                victim.process.join()
                kills += 1
        left_pools += sum(len(pools & _pools_of(process)) for process in Path("/proc").glob("[0-9]*"))
        naive += _naive_left()
    left = len(set(Path("/dev/shm").iterdir()) - before) + left_pools
    yield Figure(
        f"segments left after {kills} x kill -9 of writers and readers", left, "", "0", left == 0, naive,
        f"{rounds} writers of a file in /dev/shm",
    )  # fmt: skip


def _pools_of(process: Path) -> set[str]:
    """Inodes of the pools that a process (its folder in /proc) has mapped; none where it may not be looked at."""
    try:
        lines = (process / "maps").read_text().splitlines()
    except OSError:
        return set()
    return {line.split()[4] for line in lines if "memfd:fusion" in line}


def _naive_left() -> int:
    """A writer that names its memory, killed: how many names stay."""
    with child(_named_for_ever, "") as writer:
        path = Path(writer.pipe.recv())
        os.kill(writer.pid, signal.SIGKILL)
        writer.process.join()
        left = path.exists()
        path.unlink(missing_ok=True)
    return int(left)


def _named_for_ever(_: str, pipe: Connection) -> None:
    path = Path("/dev/shm") / f"fusion-bench-{os.getpid()}"
    path.write_bytes(bytes(4096))
    pipe.send(str(path))
    time.sleep(START_S)


def _fill_for_ever(endpoint: str, pipe: Connection) -> None:
    bus = ZeromqBus({TOPIC: endpoint})
    writer = bus.publisher((TOPIC,))
    writer.wait_for_readers({TOPIC: 1}, START_S)
    for number in range(1 << 62):
        array = writer.loan(TOPIC, LARGE, np.uint8)
        if number == 5:
            pipe.send("at work")
        array[:] = number % 256
        writer.publish(picture(number, array))
        del array


def _hold_for_ever(endpoint: str, pipe: Connection) -> None:
    bus = ZeromqBus({TOPIC: endpoint})
    reader = bus.subscriber((TOPIC,))
    held: list[Any] = []
    while True:
        received = reader.receive(START_S)
        held = [*held[-HELD:], received]
        if (
            received is not None
            and isinstance(received.message, CameraFrame)
            and in_shared_memory(received.message.data)
        ):
            with contextlib.suppress(BrokenPipeError):
                pipe.send("at work")
