"""What the processes of all devices have in common."""

from __future__ import annotations

import threading
import time
from abc import abstractmethod
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol, TypeVar

from fusion_pipeline.messages import Message
from fusion_pipeline.node import NodeError, Source
from fusion_pipeline.sensors.driver import Driver
from fusion_pipeline.sensors.retry import SetupError
from fusion_pipeline.stream_watch import StreamWatch

LOOK_S = 1.0  # how often the stream is evaluated; the heartbeat asks


class DeviceConfig(Protocol):
    """What the config of any driver tells."""

    @property
    def topic(self) -> str:
        """The topic of its messages."""

    @property
    def files(self) -> tuple[Path, ...]:
        """Files that must exist."""


Config = TypeVar("Config", bound=DeviceConfig)


class DriverSource(Source[Config]):
    """A source that hands on what a driver reads."""

    @classmethod
    def topics_written(cls, config: Config) -> tuple[str, ...]:
        """The device's one topic."""
        return (config.topic,)

    @classmethod
    def files(cls, config: Config) -> tuple[Any, ...]:
        """What the driver reads before it can begin."""
        return config.files

    @abstractmethod
    def driver(self) -> Driver:
        """The driver of this config; imports it."""

    def open(self) -> None:
        """Prepare the driver. The device itself may come later."""
        self._watch = StreamWatch(self.config.topic)
        self._looked_s = 0.0
        self._driver = self.driver()
        self._driver.prepare()

    def messages(self, stop: threading.Event) -> Iterator[Message]:
        """What the device sends. Raises NodeError where it cannot work as configured."""
        try:
            for message in self._driver.messages(stop):
                self._watch.add(message.header.capture_ns, message.header.arrival_ns)
                yield message
        except SetupError as error:
            raise NodeError(str(error)) from error

    def counts(self) -> dict[tuple[str, str], int]:
        """Totals of what the driver lost or refused. Asked with every heartbeat, also while the driver is silent."""
        self._look()
        totals = self._driver.counts if hasattr(self, "_driver") else {}
        return {(self.config.topic, reason): total for reason, total in dict(totals).items()}

    def report(self, state: str, detail: str = "") -> None:
        """What the driver says of its device; faults of the stream are added by `_look`."""
        self._device = state, detail
        super().report(state, detail)

    def _look(self) -> None:
        """Report what is wrong with the stream, as `fusion log check` would of a recording of it."""
        now = time.monotonic()
        if not hasattr(self, "_driver") or now - self._looked_s < LOOK_S:
            return
        self._looked_s = now
        state, detail = getattr(self, "_device", ("", ""))
        if state != "ready":  # the device itself is in trouble, or not there yet
            return
        found = self._watch.troubles(now)
        if found:
            super().report("degraded", "; ".join(f"{self.config.topic}: {text}" for text in found))
        elif self.state == "degraded":
            super().report(state, detail)
