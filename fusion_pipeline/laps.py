"""Where a replay begins anew: every process meets that point between the same messages, whatever its inputs' speed."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping

from fusion_pipeline.messages import Lap
from fusion_pipeline.transport.bus import Received


class LapGate:
    """Holds back what belongs to the next lap until every writer has come to it.

    `lap_of` tells for each topic where its writer announces laps. Topics that are not in it are never held back.
    """

    def __init__(self, lap_of: Mapping[str, str]) -> None:
        self._lap_of = {**lap_of, **{topic: topic for topic in lap_of.values()}}
        self._wanted = frozenset(lap_of.values())
        self._come: set[str] = set()
        self._held: deque[Received] = deque()

    def take(self, received: Received) -> Iterator[Received]:
        """What may be handled now, in order: `received` or nothing, or the lap and then all that waited for it."""
        waiting = deque([received])
        while waiting:
            one = waiting.popleft()
            if self._lap_of.get(one.topic) in self._come:
                self._held.append(one)
            elif isinstance(one.message, Lap):
                self._come.add(one.topic)
                if self._come == self._wanted:
                    self._come.clear()
                    waiting, self._held = self._held, deque()
                    yield one
            else:
                yield one
