"""What every kind of bag offers to its reader: connections with their types, and stored messages in order of time."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from itertools import chain, pairwise
from typing import NamedTuple, Protocol

from fusion_pipeline.findings import Findings
from fusion_pipeline.logs.mcap_places import Channel

Lost = Counter[tuple[str, str]]  # what could not be read, by topic ("log": of no topic) and reason


class RawRos(NamedTuple):
    """A message as it is stored."""

    connection: int
    time_ns: int
    data: bytes


class BagSource(Protocol):
    """A bag that can be read again and again.

    A connection is a topic with one type and one definition; a topic may have several of them.
    """

    channels: dict[int, Channel]  # by connection, those without a message too
    counts: dict[int, int]  # messages by connection
    start_ns: int
    end_ns: int  # of the last message
    faults: tuple[str, ...]  # why the file is not whole; empty: it is whole
    findings: Findings  # what was noticed on opening

    def messages(self, connections: Collection[int], start_ns: int, end_ns: int, lost: Lost) -> Iterator[RawRos]:
        """Messages with `start_ns <= time < end_ns` in order of time; what is damaged is left out and counted."""


class JoinedBags:
    """The parts of one recording as one source. Connections of the same topic, type and definition are one."""

    def __init__(self, parts: Sequence[BagSource]) -> None:
        """`parts` in any order; at least one."""
        self._parts = sorted(parts, key=lambda part: part.start_ns)
        self.channels: dict[int, Channel] = {}
        self.counts: dict[int, int] = {}
        self.findings = Findings()
        self.start_ns = min(part.start_ns for part in parts)
        self.end_ns = max(part.end_ns for part in parts)
        self.faults = tuple(dict.fromkeys(fault for part in self._parts for fault in part.faults))
        self._ours: list[dict[int, int]] = []  # of each part: its connections to ours
        numbers: dict[Channel, int] = {}
        for part in self._parts:
            self.findings.update(part.findings)
            ours = {}
            for theirs, channel in part.channels.items():
                number = ours[theirs] = numbers.setdefault(channel, len(numbers))
                self.channels[number] = channel
                self.counts[number] = self.counts.get(number, 0) + part.counts.get(theirs, 0)
            self._ours.append(ours)

    def messages(self, connections: Collection[int], start_ns: int, end_ns: int, lost: Lost) -> Iterator[RawRos]:
        """See BagSource; one part after the other, or merged where their times overlap."""
        wanted = [
            (part, ours) for part, ours in zip(self._parts, self._ours, strict=True)
            if part.start_ns < end_ns and part.end_ns >= start_ns
        ]  # fmt: skip
        streams = [self._of(part, ours, connections, start_ns, end_ns, lost) for part, ours in wanted]
        if all(a.end_ns <= b.start_ns for (a, _), (b, _) in pairwise(wanted)):
            return chain.from_iterable(streams)
        return heapq.merge(*streams, key=lambda raw: raw.time_ns)

    @staticmethod
    def _of(
        part: BagSource, ours: dict[int, int], connections: Collection[int], start_ns: int, end_ns: int, lost: Lost
    ) -> Iterator[RawRos]:
        asked = [theirs for theirs, number in ours.items() if number in connections]
        for theirs, time_ns, data in part.messages(asked, start_ns, end_ns, lost) if asked else ():
            yield RawRos(ours[theirs], time_ns, data)
