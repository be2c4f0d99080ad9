"""What carries messages between nodes: the `Bus` protocol that every transport fulfils."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from numpy.typing import DTypeLike, NDArray

from fusion_pipeline.messages import Count, Message

NEVER = threading.Event()


@dataclass(frozen=True, slots=True)
class Envelope:
    """What the transport adds to a message: who wrote it, as which of its topic, and when (vehicle clock)."""

    writer: str
    sequence: int
    publish_ns: int


@dataclass(frozen=True, slots=True)
class Received:
    """A message with its topic and envelope; None in its place says that the topic's writer sends no more (replay)."""

    topic: str
    message: Message | None
    envelope: Envelope

    @property
    def publish_ns(self) -> int:
        """When it was published, vehicle clock."""
        return self.envelope.publish_ns


class Publisher(Protocol):
    """The writing end of one process. Its messages reach each reader in the order they were published."""

    def publish(self, message: Message) -> None:
        """Send on the topic `message.header.source`. Raises KeyError where that was not declared."""

    def resume(self, writer: str, following: Mapping[str, int]) -> None:
        """Go on as `writer` with these sequence numbers by topic."""

    def loan(self, topic: str, shape: tuple[int, ...], dtype: DTypeLike) -> NDArray[Any]:
        """A writable array for a message on `topic`; it must not be written to after publishing."""

    def wait_for_readers(self, counts: Mapping[str, int], timeout_s: float, stop: threading.Event = NEVER) -> bool:
        """Wait until each topic has that many readers; False on timeout or when `stop` is set."""

    def end(self, *topics: str) -> None:
        """Tell the readers of `topics` that nothing more comes; of every declared topic where none is named."""

    def drain(self, timeout_s: float, stop: threading.Event = NEVER) -> bool:
        """After `end`: wait until every reader has taken all there was; False on timeout or when `stop` is set."""

    def counts(self) -> tuple[Count, ...]:
        """Totals by topic and reason: "published", "dropped"."""

    def close(self) -> None:
        """Stop writing and free what is held."""


class Subscriber(Protocol):
    """The reading end of one process."""

    def receive(self, timeout_s: float) -> Received | None:
        """The next message, or None after `timeout_s` seconds. Bad input is counted, never raised."""

    def resume(self, following: Mapping[str, int], reason: str) -> None:
        """Expect messages from these sequence numbers on; those before the first that comes count as `reason`."""

    def counts(self) -> tuple[Count, ...]:
        """Totals by topic and reason: "received", "overwritten", "lost", "refused: <reason>"."""

    def close(self) -> None:
        """Stop reading and free what is held."""


class Bus(Protocol):
    """Gives publishers and subscribers."""

    def publisher(self, topics: Iterable[str]) -> Publisher:
        """A publisher of exactly `topics`."""

    def subscriber(self, topics: Iterable[str]) -> Subscriber:
        """A subscriber of `topics`, delivered as the table of topics says."""

    def close(self) -> None:
        """Close what was handed out."""
