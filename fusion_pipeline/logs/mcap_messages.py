"""The messages of an MCAP file in order of their times, chunk by chunk, from any time on."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace

from fusion_pipeline.logs.mcap_places import MESSAGE, DamagedError, McapFile, Stored, message, records
from fusion_pipeline.logs.mcap_summary import Summary


def in_order(
    file: McapFile, summary: Summary, channels: Collection[int], start_ns: int, end_ns: int, lost: Counter[str]
) -> Iterator[Stored]:
    """Messages of `channels` with `start_ns <= log_ns < end_ns`; their data are views of their chunks.

    Only chunks that can hold one are read. A damaged one costs what is in it and is counted in `lost`.
    """
    wanted = frozenset(channels)
    waiting: list[tuple[int, int, Stored]] = []
    number = 0
    places = [
        place for place in summary.places
        if place.start_ns < end_ns and place.end_ns >= start_ns
        and (place.channels is None or place.channels & wanted)
    ]  # fmt: skip
    for place in sorted(places, key=lambda item: (item.start_ns, item.offset)):
        while waiting and waiting[0][0] < place.start_ns:
            yield heapq.heappop(waiting)[2]
        try:
            for kind, body in records(file.unpacked(place)):
                if kind == MESSAGE:
                    stored = message(body)
                    if stored.channel in wanted and start_ns <= stored.log_ns < end_ns:
                        heapq.heappush(waiting, (stored.log_ns, number, stored))
                        number += 1
        except DamagedError as error:
            lost[str(error)] += 1
    while waiting:
        yield heapq.heappop(waiting)[2]


class Firsts:
    """The first messages of many channels, found by going through the file once, when one of them is asked for."""

    def __init__(self, file: McapFile, summary: Summary, most: Mapping[int, int]) -> None:
        """`most`: how many messages are looked for, by channel. `file` must be open when they are asked for."""
        self._file, self._summary, self._most = file, summary, most
        self._found: dict[int, list[Stored]] | None = None

    def of(self, channels: Collection[int], most: int = 1 << 30) -> list[Stored]:
        """The first messages of all `channels` together, in order of time, with data of their own."""
        if self._found is None:
            self._found = self._read()
        found = [stored for channel in channels for stored in self._found.get(channel, ())]
        return sorted(found, key=lambda stored: stored.log_ns)[:most]

    def _read(self) -> dict[int, list[Stored]]:
        counts = self._summary.counts
        open_: set[int] = {channel for channel in self._most if counts.get(channel) or not counts}
        found: dict[int, list[Stored]] = {channel: [] for channel in open_}
        for place in sorted(self._summary.places, key=lambda item: (item.start_ns, item.offset)):
            # Chunks may overlap: a channel is done when what follows is later than what there is of it.
            done = [c for c in open_ if len(found[c]) >= self._most[c] and place.start_ns >= found[c][-1].log_ns]
            open_.difference_update(done)
            if not open_:
                break
            if place.channels is not None and open_.isdisjoint(place.channels):
                continue
            fresh: dict[int, list[Stored]] = {}
            try:
                for kind, body in records(self._file.unpacked(place)):
                    if kind == MESSAGE and (stored := message(body)).channel in open_:
                        fresh.setdefault(stored.channel, []).append(stored)
            except DamagedError:  # noted where all messages are read
                pass
            for channel, items in fresh.items():
                most = self._most[channel]
                first = sorted(items, key=lambda item: item.log_ns)[:most]
                copies = [replace(item, data=memoryview(bytes(item.data))) for item in first]  # the chunk goes away
                found[channel] = sorted(found[channel] + copies, key=lambda item: item.log_ns)[:most]
        return found


def last_of(file: McapFile, summary: Summary, channel: int) -> Stored | None:
    """The last message of a channel, found from the end; None where there is none."""
    for place in sorted(summary.places, key=lambda item: -item.end_ns):
        if place.channels is None or channel in place.channels:
            try:
                found = [message(body) for kind, body in records(file.unpacked(place)) if kind == MESSAGE]
            except DamagedError:
                continue
            mine = [stored for stored in found if stored.channel == channel]
            if mine:
                return max(mine, key=lambda stored: stored.log_ns)
    return None
