"""What carries messages between nodes: the `Bus` protocol that every transport fulfils."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from numpy.typing import DTypeLike, NDArray

from fusion_pipeline.messages import Count, Message


@dataclass(frozen=True, slots=True)
class Envelope:
    """What the transport adds to a message: who wrote it, as which of its topic, and when (vehicle clock)."""

    writer: str
    sequence: int
    publish_ns: int


@dataclass(frozen=True, slots=True)
class End:
    """Stands in the place of a message: the topic's writer sends no more (replay)."""


END = End()


@dataclass(frozen=True, slots=True)
class Received:
    """A message, or END, with its topic and envelope."""

    topic: str
    message: Message | End
    envelope: Envelope


class Publisher(Protocol):
    """The writing end of one process. Its messages reach each reader in the order they were published."""

    def publish(self, message: Message) -> None:
        """Send on the topic `message.header.source`. Raises KeyError where that was not declared."""

    def loan(self, topic: str, shape: tuple[int, ...], dtype: DTypeLike) -> NDArray[Any]:
        """A writable array for a message on `topic`; it must not be written to after publishing."""

    def wait_for_readers(self, counts: Mapping[str, int], timeout_s: float) -> bool:
        """Wait until each topic has that many readers; False on timeout."""

    def end(self, *topics: str) -> None:
        """Tell the readers of `topics` that nothing more comes; of every declared topic where none is named."""

    def counts(self) -> tuple[Count, ...]:
        """Totals by topic and reason: "published", "dropped"."""

    def close(self) -> None:
        """Stop writing and free what is held."""


class Subscriber(Protocol):
    """The reading end of one process."""

    def receive(self, timeout_s: float) -> Received | None:
        """The next message, or None after `timeout_s` seconds. Bad input is counted, never raised."""

    def counts(self) -> tuple[Count, ...]:
        """Totals by topic and reason: "received", "overwritten", "lost", "refused: <reason>"."""

    def close(self) -> None:
        """Stop reading and free what is held."""


class Bus(Protocol):
    """Gives publishers and subscribers."""

    def publisher(self, topics: Iterable[str]) -> Publisher:
        """A publisher of exactly `topics`."""

    def subscriber(self, topics: Iterable[str], every: bool = False) -> Subscriber:
        """A subscriber of `topics`; `every` treats LATEST topics as EVERY, for a lossless replay."""

    def close(self) -> None:
        """Close what was handed out."""
