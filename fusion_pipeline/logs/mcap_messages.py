"""The messages of an MCAP file in order of their times, chunk by chunk, from any time on."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Collection, Iterator

from fusion_pipeline.clock import LAST_NS
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


def first_of(file: McapFile, summary: Summary, channel: int) -> Stored | None:
    """The first message of a channel; None where there is none."""
    return next(in_order(file, summary, (channel,), 0, LAST_NS, Counter()), None)


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
