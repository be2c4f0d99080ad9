"""What every driver is: the one form in which nodes know devices."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from typing import Protocol

from fusion_pipeline.messages import Message


class Driver(Protocol):
    """A device, live or simulated. Made from its config and a `Report` (see retry)."""

    counts: Counter[str]  # totals of what was lost or refused, by reason

    def prepare(self) -> None:
        """Load libraries and calibration, warm up; no device needs to be there. Raises SetupError."""

    def messages(self, stop: threading.Event) -> Iterator[Message]:
        """Messages until `stop` is set or the input ends; failures of the device are reported and waited out."""
