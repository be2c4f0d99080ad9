"""Processes and messages of the transport's benchmarks."""

from __future__ import annotations

import contextlib
import multiprocessing
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from typing import Any

from fusion_pipeline.messages import CameraFrame, Header

TOPIC = "camera/bench"
START_S = 30.0  # for a process to start on a busy machine


@dataclass(frozen=True)
class Child:
    """A process and our end of its pipe."""

    process: SpawnProcess
    pipe: Connection

    @property
    def pid(self) -> int:
        """Its process id."""
        pid = self.process.pid
        if pid is None:
            raise RuntimeError("the process has not started")
        return pid


@contextlib.contextmanager
def child(main: Callable[..., None], endpoint: str, *more: Any) -> Iterator[Child]:
    """A process that runs `main(endpoint, pipe, ...)`; killed, if need be, at the end."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=main, args=(endpoint, theirs, *more), daemon=True)
    process.start()
    theirs.close()
    try:
        yield Child(process, ours)
        process.join(2.0)
    finally:
        process.kill()
        process.join()
        process.close()
        ours.close()


@contextlib.contextmanager
def socket_address() -> Iterator[str]:
    """An ipc address in a folder of its own, deleted afterwards."""
    with tempfile.TemporaryDirectory(prefix="fusion-bench-") as folder:
        yield f"ipc://{folder}/s"


def picture(number: int, array: Any, checksum: int = 0) -> CameraFrame:
    """A message that carries `array` (height, width, 1 or 3)."""
    height, width, channels = array.shape
    return CameraFrame(Header(TOPIC, number, checksum), "mono8" if channels == 1 else "rgb8", height, width, array)
