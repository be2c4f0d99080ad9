"""Counts of a process that outlive it: how many messages it has published and taken, in a file that it maps.

Totals of a process that is killed would be those of its last heartbeat. What is mapped is there to the last message, so
that over restarts published = received + dropped + lost, for each reader of each topic.
"""

from __future__ import annotations

import mmap
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from fusion_pipeline.messages import Count, Health

# Reasons why a reader has not got what was published for it.
RESTARTING, NOT_READY, GIVEN_UP = "lost while restarting", "lost before it was ready", "lost after it was given up"
Totals = Mapping[tuple[str, str], int]  # by topic and reason
_CELL = 8  # bytes


@dataclass(frozen=True)
class Carried:
    """Totals over the earlier starts of a process, and where its topics go on."""

    received: Totals = field(default_factory=dict)
    published: Totals = field(default_factory=dict)
    dropped: Totals = field(default_factory=dict)
    refused: Totals = field(default_factory=dict)
    next_written: Mapping[str, int] = field(default_factory=dict)  # topic -> sequence number of its next message
    next_read: Mapping[str, int] = field(default_factory=dict)


class Ledger:
    """One process's counts by topic; belongs to one writer. Readers see whole numbers, each at its own instant."""

    def __init__(self, path: Path, writes: Sequence[str], reads: Sequence[str]) -> None:
        """Open the file at `path`, or make it. Raises OSError."""
        cells = max(1, len(writes) + 2 * len(reads))
        with path.open("a+b") as file:
            file.truncate(cells * _CELL)
            self._map = mmap.mmap(file.fileno(), cells * _CELL)
        self._cells = memoryview(self._map).cast("q")
        self._written = {topic: row for row, topic in enumerate(writes)}
        self._read = {topic: len(writes) + 2 * row for row, topic in enumerate(reads)}

    def publishes(self, topic: str) -> None:
        """A message is about to go out: one that is cut short by a kill is then lost, and not sent under a number that
        the next message bears as well.
        """
        row = self._written.get(topic)
        if row is not None:
            self._cells[row] += 1

    def takes(self, topic: str, sequence: int) -> None:
        """A message has been handed to the node."""
        row = self._read.get(topic)
        if row is not None:
            self._cells[row] = sequence + 1
            self._cells[row + 1] += 1

    def published(self) -> dict[str, int]:
        """Messages by topic that went out, over all starts."""
        return {topic: self._cells[row] for topic, row in self._written.items()}

    def taken(self) -> dict[str, tuple[int, int]]:
        """By topic: the sequence number after that of the last message taken, and how many were taken."""
        return {topic: (self._cells[row], self._cells[row + 1]) for topic, row in self._read.items()}

    def close(self) -> None:
        """Let go of the file."""
        self._cells.release()
        self._map.close()

    def carried(self, last: Health | None) -> Carried:
        """What the next start of a process that has died begins with. `last` is its last heartbeat."""
        dropped = counter(last.dropped if last is not None else ())
        received: Counter[tuple[str, str]] = Counter()
        if last is not None:  # of topics that are not in the ledger, such as those of other hosts
            received.update({(c.topic, c.reason): c.total for c in last.received if c.topic not in self._read})
        for topic, (following, taken) in self.taken().items():
            passed = dropped[topic, "overwritten"]
            lost = sum(total for (name, reason), total in dropped.items() if name == topic and reason[:4] == "lost")
            received[topic, "received"] = taken + passed
            # What the dead process had passed over or missed since its last heartbeat; less than 0 where it had already
            # counted what came after the last message that it took, which the gap to the next one counts again.
            dropped[topic, RESTARTING] += following - taken - passed - lost
        return Carried(
            received,
            {(topic, "published"): total for topic, total in self.published().items()},
            dropped,
            counter(last.refused if last is not None else ()),
            self.published(),
            {topic: following for topic, (following, _) in self.taken().items()},
        )


def counter(counts: Iterable[Count]) -> Counter[tuple[str, str]]:
    """Counts by topic and reason."""
    totals: Counter[tuple[str, str]] = Counter()
    for count in counts:
        totals[count.topic, count.reason] += count.total
    return totals


def added(before: Totals, counts: Iterable[Count]) -> tuple[Count, ...]:
    """`counts` of this start with those of the starts before it."""
    if not before:
        return tuple(counts)
    totals = counter(counts)
    for key, total in before.items():
        totals[key] += total
    return tuple(Count(topic, reason, max(0, total)) for (topic, reason), total in totals.items())
