"""Small nodes for tests of graphs: importable by spawned processes."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from fusion_pipeline.clock import now_ns
from fusion_pipeline.messages import (
    AudioChunk,
    Boxes,
    Detections,
    EgoMotion,
    Header,
    LogTime,
    Message,
    Tracks,
)  # fmt: skip
from fusion_pipeline.node import NodeError, Source, Stage


@dataclass(frozen=True)
class CounterConfig:
    """How many numbers, how fast, and what goes wrong."""

    name: str = "one"
    count: int = 50
    rate_hz: float = 0.0  # 0: as fast as the readers take them
    fail_open: str = ""
    samples: int = 160


class Counter(Source[CounterConfig]):
    """Audio chunks whose first sample is their number."""

    @classmethod
    def topics_written(cls, config: CounterConfig) -> tuple[str, ...]:
        return (f"audio/{config.name}", f"logtime/{config.name}")

    def open(self) -> None:
        if self.config.fail_open:
            raise NodeError(self.config.fail_open)

    def messages(self, stop: threading.Event) -> Iterator[Message]:
        for number in range(self.config.count):
            if stop.is_set():
                return
            now = now_ns()
            pcm = np.full((self.config.samples, 1), number % 32768, np.int16)
            yield AudioChunk(Header(f"audio/{self.config.name}", now, now), 16_000, pcm)
            yield LogTime(Header(f"logtime/{self.config.name}", now, now))
            if self.config.rate_hz:
                time.sleep(1 / self.config.rate_hz)


@dataclass(frozen=True)
class EchoConfig:
    """What the echo does on the way."""

    die_at: int = -1  # exit without a word at this number, the first time
    raise_at: int = -1
    hang_at: int = -1  # do not come back from this number, the first time
    marker: str = ""  # a file that remembers that it has died
    hang_on_stop: bool = False
    sleep_s: float = 0.0


class Echo(Stage[EchoConfig]):
    """Each chunk as detections with one box whose label is the number."""

    reads = (AudioChunk, LogTime)

    @classmethod
    def topics_written(cls, config: EchoConfig) -> tuple[str, ...]:
        return ("detections",)

    def open(self) -> None:
        self._ticks = 0

    def step(self, message: Message) -> Iterator[Message]:
        assert isinstance(message, AudioChunk)
        number, config = int(message.pcm[0, 0]), self.config
        if number == config.die_at and not os.path.exists(config.marker):  # noqa: PTH110
            open(config.marker, "w").close()  # noqa: PTH123
            os._exit(9)
        if number == config.hang_at and not os.path.exists(config.marker):  # noqa: PTH110
            open(config.marker, "w").close()  # noqa: PTH123
            time.sleep(3600)
        if number == config.raise_at:
            raise ZeroDivisionError("a bug")
        if config.sleep_s:
            time.sleep(config.sleep_s)
        yield detections(number, message.header.capture_ns, self._ticks)

    def advance(self, now_ns: int) -> Iterator[Message]:
        self._ticks += 1
        yield from ()

    def finish(self) -> Iterator[Message]:
        yield detections(-1, now_ns(), self._ticks)

    def close(self) -> None:
        while self.config.hang_on_stop:
            time.sleep(1)


def detections(number: int, capture_ns: int, ticks: int = 0) -> Detections:
    """One box that carries a number as its track id."""
    boxes = Boxes(
        centers_m=np.zeros((1, 3), np.float32), sizes_m=np.ones((1, 3), np.float32), yaws_rad=np.zeros(1, np.float32),
        velocities_mps=np.zeros((1, 2), np.float32), scores=np.ones(1, np.float32), labels=np.zeros(1, np.int64),
        std=np.zeros((1, 8), np.float32), attribution=np.ones((1, 3), np.float32) / 3,
        track_ids=np.asarray([number], np.int64),
    )  # fmt: skip
    return Detections(Header("detections", capture_ns, capture_ns), (f"ticks {ticks}",), boxes)


@dataclass(frozen=True)
class NeedyConfig:
    """Reads what nobody may write."""

    threshold: float = 0.5


class Needy(Stage[NeedyConfig]):
    """Wants tracks and poses."""

    reads = (Tracks, EgoMotion)

    def step(self, message: Message) -> Iterator[Message]:
        yield from ()
