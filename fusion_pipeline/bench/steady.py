"""A source that sends what sensors send, at a steady rate and of a given size: for the recorder's benchmark."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from fusion_pipeline.clock import now_ns
from fusion_pipeline.messages import CameraFrame, Header, LidarScan, Message
from fusion_pipeline.node import Source

PICTURE = (600, 800, 3)  # 1.44 MB
POINTS = 90_000  # of 22 bytes: 1.98 MB
VARIANTS = 4


@dataclass(frozen=True)
class SteadyConfig:
    """What to send."""

    topic: str = "camera/a"  # pictures, or, below lidar/, scans
    hz: float = 20.0
    count: int = 0  # end after so many; 0 never
    size: float = 1.0  # share of the full size


def samples(topic: str, size: float = 1.0) -> list[Message]:
    """Noise that no compression makes smaller, of which one after the other is sent."""
    rng = np.random.default_rng(len(topic))
    header = Header(topic, 0, 0)
    found: list[Message] = []
    for _ in range(VARIANTS):
        if topic.startswith("lidar/"):
            n = max(1, round(size * POINTS))
            xyz, light = rng.normal(0, 30, (n, 3)).astype(np.float32), rng.random(n).astype(np.float32)
            ring, offset = rng.integers(0, 64, n).astype(np.uint16), rng.integers(0, 10**8, n).astype(np.int32)
            found.append(LidarScan(header, 10**8, xyz, light, ring, offset))
        else:
            height = max(1, round(size * PICTURE[0]))
            picture = rng.integers(0, 256, (height, *PICTURE[1:]), np.uint8)
            found.append(CameraFrame(header, "rgb8", height, PICTURE[1], picture))
    return found


class Steady(Source[SteadyConfig]):
    """Messages at their times; where the machine does not keep up, as fast as it can."""

    @classmethod
    def topics_written(cls, config: SteadyConfig) -> tuple[str, ...]:
        """The one."""
        return (config.topic,)

    def open(self) -> None:
        """Make up the noise."""
        self._samples = samples(self.config.topic, self.config.size)

    def messages(self, stop: threading.Event) -> Iterator[Message]:
        """Send `count` of them, or until `stop`."""
        config, began, number = self.config, time.monotonic(), 0
        while not stop.wait(max(0.0, began + number / config.hz - time.monotonic())):
            yield stamped(self._samples[number % VARIANTS], now_ns())
            number += 1
            if number == config.count:
                return


def stamped(message: Message, at_ns: int) -> Message:
    """A sample as of that time."""
    header = Header(message.header.source, at_ns, at_ns)
    if isinstance(message, LidarScan):
        return LidarScan(header, message.duration_ns, message.xyz_m, message.intensity, message.ring, message.offset_ns)
    assert isinstance(message, CameraFrame)
    return CameraFrame(header, message.encoding, message.height_px, message.width_px, message.data)
