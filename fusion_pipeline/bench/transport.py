"""Transport between real processes: latency, tears, and what is left behind by the killed."""

from __future__ import annotations

import contextlib
import mmap
import multiprocessing
import os
import signal
import statistics
import tempfile
import time
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from pathlib import Path
from typing import Any

import numpy as np
import zmq

from fusion_pipeline.bench.report import Figure
from fusion_pipeline.messages import CameraFrame, Header
from fusion_pipeline.transport.leases import in_shared_memory
from fusion_pipeline.transport.zeromq import ZeromqBus

TOPIC = "camera/bench"
SMALL, LARGE, TORN = (100, 100, 1), (1920, 1080, 3), (480, 640, 1)  # 10 kB, 6.2 MB, 0.3 MB
RATE_HZ = 60.0  # of small and large frames in turn
HELD = 5  # frames that a reader holds while it checks them again
START_S = 30.0  # for a process to start on a busy machine


def run(quick: bool = False) -> tuple[Figure, ...]:
    """Latencies with one and four readers against plain pyzmq, torn frames, segments left (fewer with `quick`)."""
    frames = 40 if quick else 300
    plain = _plain(frames)
    one = _latency(1, frames)
    four = _latency(4, frames)
    return (*_latency_figures(plain, one, four), *_torn_figures(500 if quick else 20_000), *_killed(2 if quick else 50))


@dataclass(frozen=True)
class _Latency:
    small_us: float
    large_us: float
    copied: int  # frames that a reader or the writer copied
    received: int


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
    yield Figure(
        "the same with four readers", four.large_us, "us", "<= 1.3 x one reader", four.large_us <= 1.3 * one.large_us,
        one.large_us, "one reader", f"10 kB with four readers: {four.small_us:.0f} us",
    )  # fmt: skip
    yield Figure(
        "copies of 6.2 MB frames, four readers", four.copied, "", "0", four.copied == 0,
        note=f"{four.received} frames received by all readers together, each read in place",
    )  # fmt: skip


def _latency(readers: int, frames: int) -> _Latency:
    with _endpoint() as endpoint, contextlib.ExitStack() as stack:
        children = [stack.enter_context(_child(_time_frames, endpoint)) for _ in range(readers)]
        bus = ZeromqBus({TOPIC: endpoint})
        stack.callback(bus.close)
        writer = bus.publisher((TOPIC,))
        if not writer.wait_for_readers({TOPIC: readers}, START_S):
            raise TimeoutError("the benchmark's readers did not start")
        for number in range(2 * frames):
            array = writer.loan(TOPIC, SMALL if number % 2 else LARGE, np.uint8)
            array[:] = number % 256
            writer.publish(_frame(number, array))
            del array
            time.sleep(1 / RATE_HZ)
        writer.end()
        taken = [child.pipe.recv() for child in children]
        no_slot = sum(count.total for count in writer.counts() if count.reason == "no slot")
    small, large = ([us for one in taken for us in one[name]] for name in ("small", "large"))
    copied = no_slot * readers + sum(one["copied"] for one in taken)
    return _Latency(statistics.median(small), statistics.median(large), copied, len(large))


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
    with _endpoint() as endpoint, _child(_time_plain, endpoint) as child, zmq.Context() as context:
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
        taken: list[float] = child.pipe.recv()
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


def _torn_figures(frames: int) -> Iterator[Figure]:
    """A writer at full speed, one reader that checks every byte, and one that is stopped while it holds frames."""
    with (
        _endpoint() as endpoint,
        _child(_check_frames, endpoint) as checker,
        _child(_check_frames, endpoint) as stalled,
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
            writer.publish(_frame(number, array, zlib.crc32(array.data)))
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
        results = [_last(child.pipe) for child in (checker, stalled)]
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
            result["torn"] += _torn(received.message)
        else:
            ended = True
        if held and (ended or len(held) > HELD):
            result["torn"] += _torn(held.pop(0))
            result["checked"] += 1
            if result["checked"] % 100 == 0:
                pipe.send(result)
    pipe.send({**result, "ended": True})
    bus.close()


def _torn(frame: CameraFrame) -> bool:
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
        with _child(_naive_reader, f"/proc/{os.getpid()}/fd/{file.fileno()}", frames) as child:
            memory = mmap.mmap(file.fileno(), 0)
            noise = np.random.default_rng(1).integers(0, 256, size, np.uint8)
            number = 0
            while not child.pipe.poll():
                number += 1
                start = 8 + number % 8 * (size + 4)
                array = np.frombuffer(memory, np.uint8, size, start + 4)
                np.add(noise, number % 256, out=array)
                memory[start : start + 4] = zlib.crc32(array.data).to_bytes(4, "little")
                memory[:8] = number.to_bytes(8, "little")
            torn: int = child.pipe.recv()
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


def _killed(rounds: int) -> Iterator[Figure]:
    """Kill a writer in the middle of a frame, and a reader that holds some, again and again."""
    before = set(Path("/dev/shm").iterdir())
    left_pools, kills, naive = 0, 0, 0
    for _ in range(rounds):
        with (
            _endpoint() as endpoint,
            _child(_fill_for_ever, endpoint) as writer,
            _child(_hold_for_ever, endpoint) as reader,
        ):
            victims = (writer, reader) if kills % 4 else (reader, writer)
            for child in (writer, reader):
                child.pipe.recv()  # at work
            for victim in victims:
                os.kill(victim.pid, signal.SIGKILL)
                victim.process.join()
                kills += 1
        left_pools += len(pools_mapped())
        naive += _naive_left()
    left = len(set(Path("/dev/shm").iterdir()) - before) + left_pools
    yield Figure(
        f"segments left after {kills} x kill -9 of writers and readers", left, "", "0", left == 0, naive,
        f"{rounds} writers of a file in /dev/shm",
    )  # fmt: skip


def pools_mapped() -> list[str]:
    """Which processes hold memory of a pool, as "<pid>: <mapping>"; of those that this user may look at."""
    found = []
    for maps in Path("/proc").glob("[0-9]*/maps"):
        with contextlib.suppress(OSError):
            found += [f"{maps.parent.name}: {line}" for line in maps.read_text().splitlines() if "memfd:fusion" in line]
    return found


def _naive_left() -> int:
    """A writer that names its memory, killed: how many names stay."""
    with _child(_named_for_ever, "") as child:
        path = Path(child.pipe.recv())
        os.kill(child.pid, signal.SIGKILL)
        child.process.join()
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
        writer.publish(_frame(number, array))
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


def _frame(number: int, array: Any, checksum: int = 0) -> CameraFrame:
    height, width, channels = array.shape
    return CameraFrame(Header(TOPIC, number, checksum), "mono8" if channels == 1 else "rgb8", height, width, array)


@dataclass(frozen=True)
class _Child:
    process: SpawnProcess
    pipe: Connection

    @property
    def pid(self) -> int:
        pid = self.process.pid
        if pid is None:
            raise RuntimeError("the process has not started")
        return pid


@contextlib.contextmanager
def _child(main: Callable[..., None], endpoint: str, *more: Any) -> Iterator[_Child]:
    """A process that runs `main(endpoint, pipe, ...)`; killed, if need be, at the end."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=main, args=(endpoint, theirs, *more), daemon=True)
    process.start()
    theirs.close()
    try:
        yield _Child(process, ours)
        process.join(0.0 if process.exitcode is None and ours.closed else 2.0)
    finally:
        process.kill()
        process.join()
        process.close()
        ours.close()


@contextlib.contextmanager
def _endpoint() -> Iterator[str]:
    with tempfile.TemporaryDirectory(prefix="fusion-bench-") as folder:
        yield f"ipc://{folder}/s"
