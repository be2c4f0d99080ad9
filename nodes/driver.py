"""What the processes of all devices have in common."""

from __future__ import annotations

import threading
from abc import abstractmethod
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol, TypeVar

from fusion_pipeline.messages import Message
from fusion_pipeline.node import NodeError, Source
from fusion_pipeline.sensors.driver import Driver
from fusion_pipeline.sensors.retry import SetupError


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
        self._driver = self.driver()
        self._driver.prepare()

    def messages(self, stop: threading.Event) -> Iterator[Message]:
        """What the device sends. Raises NodeError where it cannot work as configured."""
        try:
            yield from self._driver.messages(stop)
        except SetupError as error:
            raise NodeError(str(error)) from error

    def counts(self) -> dict[tuple[str, str], int]:
        """Totals of what the driver lost or refused."""
        totals = self._driver.counts if hasattr(self, "_driver") else {}
        return {(self.config.topic, reason): total for reason, total in dict(totals).items()}
