"""What an MCAP file holds and where: from its index, or, where a crash left none, from walking over it once."""

from __future__ import annotations

import struct
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from fusion_pipeline.arrays import Array
from fusion_pipeline.logs.checksum import crc32
from fusion_pipeline.logs.mcap_places import (
    CHANNEL,
    CHUNK,
    CHUNK_INDEX,
    DATA_END,
    FOOTER,
    HEAD,
    MAGIC,
    MESSAGE,
    MESSAGE_INDEX,
    METADATA,
    METADATA_INDEX,
    SCHEMA,
    STATISTICS,
    Channel,
    DamagedError,
    McapFile,
    Place,
    chunk_place,
    message,
    records,
    schema_of,
    table,
    text,
    unpack,
)  # fmt: skip

RUN_BYTES = 4 << 20  # messages outside of chunks are read so many bytes at a time
LARGEST_SUMMARY = 1 << 29
FOOTER_BYTES = HEAD + 20 + len(MAGIC)


@dataclass(slots=True)
class Summary:
    """Channels, places and counts of a file."""

    channels: dict[int, Channel] = field(default_factory=dict)
    places: list[Place] = field(default_factory=list)
    counts: Counter[int] = field(default_factory=Counter)  # messages by channel
    metadata: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    lost: Counter[str] = field(default_factory=Counter)  # what walking over the file met: reason, how often
    start_ns: int = 0
    end_ns: int = 0
    complete: bool = True  # from an index


class _Builder:
    """Takes records in any order in which a writer may put them."""

    def __init__(self) -> None:
        self.found = Summary()
        self.metadata_at: list[tuple[int, int]] = []
        self.statistics: tuple[int, int, int, int] | None = None  # messages, chunks, start, end
        self._schemas: dict[int, tuple[str, str, bytes]] = {}

    def take(self, kind: int, body: memoryview) -> None:
        """A schema, channel, chunk index, statistics or metadata record. Raises DamagedError."""
        try:
            if kind == SCHEMA:
                number, written = schema_of(body)
                self._schemas[number] = written
            elif kind == CHANNEL:
                number, schema = struct.unpack_from("<HH", body)
                topic, at = text(body, 4)
                encoding, _ = text(body, at)
                self.found.channels[number] = Channel(topic, encoding, *self._schemas.get(schema, ("", "", b"")))
            elif kind == CHUNK_INDEX:
                self.found.places.append(chunk_place(body))
            elif kind == METADATA:
                name, at = text(body, 0)
                self.found.metadata.append((name, table(body, at)))
            elif kind == METADATA_INDEX:
                offset, length = struct.unpack_from("<QQ", body)
                self.metadata_at.append((offset, length))
            elif kind == STATISTICS:
                messages, *_, chunks, start, end, named = struct.unpack_from("<QHIIIIQQI", body)
                self.statistics = messages, chunks, start, end
                for channel, count in struct.iter_unpack("<HQ", body[46 : 46 + named]):
                    self.found.counts[channel] = count
        except struct.error:
            raise DamagedError("damaged index") from None


def summary(file: McapFile) -> Summary:
    """Of a file with an index what that says; of another what lies in it as far as it can be read."""
    try:
        found = _indexed(file)
    except DamagedError:
        found = None
    return found if found is not None else _walked(file)


def _indexed(file: McapFile) -> Summary | None:
    if file.size < len(MAGIC) + FOOTER_BYTES:
        return None
    tail = file.read(file.size - FOOTER_BYTES, FOOTER_BYTES)
    kind, length, start, _, checksum = struct.unpack_from("<BQQQI", tail)
    if kind != FOOTER or length != 20 or tail[-len(MAGIC) :] != MAGIC or not start:
        return None
    size = file.size - FOOTER_BYTES - start
    if not 0 < size <= LARGEST_SUMMARY:
        return None
    data = file.read(start, size)
    if checksum and not _sound(data, tail, checksum):
        return None
    builder = _Builder()
    for kind, body in records(memoryview(data)):
        builder.take(kind, body)
    if builder.statistics is None:
        return None
    found = builder.found
    messages, _, found.start_ns, found.end_ns = builder.statistics
    if messages and not found.places:
        return None  # messages lie outside of chunks; an index says nothing of these
    for offset, length in builder.metadata_at:
        kind, _ = file.head(offset)
        if kind == METADATA:
            builder.take(METADATA, memoryview(file.read(offset + HEAD, length - HEAD)))
    return found


def _sound(data: bytes, tail: bytes, checksum: int) -> bool:
    return crc32(tail[: HEAD + 16], crc32(data)) == checksum


def _walked(file: McapFile) -> Summary:
    """Record by record; what is damaged is counted and passed over as far as lengths can be trusted."""
    walk, at, ended = _Walk(), len(MAGIC), False
    while at < file.size and not ended:
        try:
            kind, length = file.head(at)
        except DamagedError:
            break
        try:
            if kind in (SCHEMA, CHANNEL, METADATA, CHUNK, MESSAGE):
                walk.take(kind, memoryview(file.read(at + HEAD, length)), at)
        except DamagedError as error:
            walk.found.lost[str(error)] += 1
        at += HEAD + length
        ended = kind in (DATA_END, FOOTER)
    return walk.end(ended)


class _Walk(_Builder):
    """Makes places of what it is given."""

    def __init__(self) -> None:
        super().__init__()
        self._run: Place | None = None  # messages outside of chunks, one after the other

    def take(self, kind: int, body: memoryview, at: int = 0) -> None:
        """A record of the data section that begins at `at`."""
        if kind == CHUNK:
            self._chunk(body, at)
        elif kind == MESSAGE:
            self._extend(Place(*self._span([body]), at, len(body) + HEAD, None, True))
        else:
            super().take(kind, body)

    def end(self, ended: bool) -> Summary:
        """All that there was; `ended`: the data section has its end."""
        self._extend(None)
        found = self.found
        if not ended:
            found.lost["cut off"] += 1
        found.start_ns = min((place.start_ns for place in found.places), default=0)
        found.end_ns = max((place.end_ns for place in found.places), default=0)
        found.complete = not found.lost and all(place.plain for place in found.places)
        return found

    def _chunk(self, body: memoryview, at: int) -> None:
        messages = []
        for kind, inner in records(unpack(body)):
            if kind == MESSAGE:
                messages.append(inner)
            elif kind in (SCHEMA, CHANNEL):
                super().take(kind, inner)
        if messages:
            channels = frozenset(message(inner).channel for inner in messages)
            self.found.places.append(Place(*self._span(messages), at, len(body) + HEAD, channels))

    def _span(self, messages: list[memoryview]) -> tuple[int, int]:
        times = []
        for inner in messages:
            stored = message(inner)
            self.found.counts[stored.channel] += 1
            times.append(stored.log_ns)
        return min(times), max(times)

    def _extend(self, place: Place | None) -> None:
        run = self._run
        if place is not None and run is not None and run.offset + run.length == place.offset and run.length < RUN_BYTES:
            span = min(run.start_ns, place.start_ns), max(run.end_ns, place.end_ns)
            self._run = Place(*span, run.offset, run.length + place.length, None, True)
            return
        if run is not None:
            self.found.places.append(run)
        self._run = place


def arrivals(file: McapFile, place: Place) -> dict[int, Array]:
    """(n,) arrival times of each channel's messages in a chunk, in the order written, from its message indexes."""
    offset, length = place.index
    found: dict[int, Array] = {}
    if length:
        for kind, body in records(memoryview(file.read(offset, length))):
            if kind == MESSAGE_INDEX and len(body) >= 6:
                channel, size = struct.unpack_from("<HI", body)
                if size % 16 == 0 and 6 + size <= len(body):
                    found[channel] = np.frombuffer(body[6 : 6 + size], "<u8")[::2].astype(np.int64)
    return found


def read_summary(path: Path) -> Summary:
    """Of a file by name. Raises LogError."""
    with McapFile(path) as file:
        return summary(file)
