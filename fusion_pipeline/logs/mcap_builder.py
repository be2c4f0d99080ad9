"""What records of an MCAP file say of it, collected in any order in which a writer may put them."""

from __future__ import annotations

import struct
from collections import Counter
from dataclasses import dataclass, field
from typing import NamedTuple

from fusion_pipeline.logs.mcap_places import (
    ATTACHMENT,
    CHANNEL,
    CHUNK_INDEX,
    METADATA,
    SCHEMA,
    STATISTICS,
    Channel,
    DamagedError,
    Place,
    chunk_place,
    schema_of,
    table,
    text,
)  # fmt: skip


@dataclass(slots=True)
class Summary:
    """Channels, places and counts of a file."""

    channels: dict[int, Channel] = field(default_factory=dict)
    places: list[Place] = field(default_factory=list)
    counts: Counter[int] = field(default_factory=Counter)  # messages by channel
    metadata: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    attachments: list[str] = field(default_factory=list)  # names
    lost: Counter[str] = field(default_factory=Counter)  # what was damaged: reason, how often
    start_ns: int = 0
    end_ns: int = 0
    complete: bool = True  # the file has its end, and nothing in it is damaged
    message_compression: str = ""  # "zstd" where each message's bytes are compressed for themselves


class Statistics(NamedTuple):
    """The figures of a statistics record."""

    messages: int
    schemas: int
    channels: int
    attachments: int
    metadata: int
    chunks: int
    start_ns: int
    end_ns: int


class Builder:
    """Takes records one by one and makes a Summary of them."""

    def __init__(self) -> None:
        self.places: list[Place] = []
        self.counts: Counter[int] = Counter()
        self.counted = False  # `counts` has every message of the file
        self.lost: Counter[str] = Counter()
        self.statistics: Statistics | None = None
        self.attached: dict[int, str] = {}  # names by offset
        self._metadata: dict[int, tuple[str, dict[str, str]]] = {}  # by offset
        self._schemas: dict[int, tuple[str, str, bytes]] = {}
        self._channels: dict[int, tuple[int, str, str]] = {}  # schema, topic, encoding

    def take(self, kind: int, body: memoryview, offset: int = 0) -> None:
        """A record's content; `offset`, where the record lies, matters for metadata and attachments alone.

        Records of other kinds are passed over. Raises DamagedError.
        """
        try:
            if kind == SCHEMA:
                number, written = schema_of(body)
                self._schemas[number] = written
            elif kind == CHANNEL:
                number, schema = struct.unpack_from("<HH", body)
                topic, at = text(body, 4)
                self._channels[number] = schema, topic, text(body, at)[0]
            elif kind == CHUNK_INDEX:
                self.places.append(chunk_place(body))
            elif kind == METADATA:
                name, at = text(body, 0)
                self._metadata[offset] = name, table(body, at)
            elif kind == ATTACHMENT:
                self.attached[offset] = text(body, 16)[0]
            elif kind == STATISTICS:
                self._take_statistics(body)
        except struct.error:
            raise DamagedError("damaged index") from None

    def _take_statistics(self, body: memoryview) -> None:
        *figures, named = struct.unpack_from("<QHIIIIQQI", body)
        self.statistics = Statistics(*figures)
        if named % 10:
            raise DamagedError("damaged index")
        for channel, count in struct.iter_unpack("<HQ", body[46 : 46 + named]):
            self.counts[channel] = count
        self.counted = sum(self.counts.values()) == self.statistics.messages  # an empty map is one that is not given

    def lacks_names(self) -> bool:
        """Whether there may be channels or schemas in the file that were not among the records so far."""
        used = set(self.counts).union(*(place.channels or () for place in self.places))
        schemas = {schema for schema, _, _ in self._channels.values() if schema}
        if used - self._channels.keys() or schemas - self._schemas.keys():
            return True
        figures = self.statistics
        return figures is not None and (figures.channels > len(self._channels) or figures.schemas > len(self._schemas))

    def made(self) -> Summary:
        """All that was taken. Times are those of the statistics; without these, those of the places."""
        none = ("", "", b"")
        channels = {
            number: Channel(topic, encoding, *self._schemas.get(schema, none))
            for number, (schema, topic, encoding) in self._channels.items()
        }
        found = Summary(channels, self.places, self.counts, [self._metadata[at] for at in sorted(self._metadata)],
                        [self.attached[at] for at in sorted(self.attached)], self.lost)  # fmt: skip
        figures = self.statistics
        if figures is not None and figures.messages and 0 < figures.end_ns >= figures.start_ns:
            found.start_ns, found.end_ns = figures.start_ns, figures.end_ns
        elif used := [place for place in self.places if place.end_ns or place.start_ns]:
            found.start_ns = min(place.start_ns for place in used)
            found.end_ns = max(place.end_ns for place in used)
        found.complete = not self.lost
        return found
