"""An MCAP file looked through record by record: wholly where it has no index, else where its index says nothing.

Damage is counted and passed over; reading goes on at the next chunk that can be found.
"""

from __future__ import annotations

import struct
from dataclasses import replace

import numpy as np

from fusion_pipeline.arrays import Array
from fusion_pipeline.logs.mcap_builder import Builder, Summary
from fusion_pipeline.logs.mcap_places import (
    ATTACHMENT,
    CHANNEL,
    CHUNK,
    DATA_END,
    FOOTER,
    HEAD,
    MAGIC,
    MESSAGE,
    MESSAGE_INDEX,
    METADATA,
    SCHEMA,
    DamagedError,
    McapFile,
    Place,
    message,
    records,
    unpack,
)  # fmt: skip
from fusion_pipeline.logs.resync import next_record, plausible

RUN_BYTES = 4 << 20  # messages outside of chunks are read so many bytes at a time
WINDOW_BYTES = 1 << 16  # heads of records are read so many bytes at a time
LARGEST_BESIDE = 1 << 29  # bytes of a schema, channel or metadata record
MESSAGE_HEAD = 22  # bytes of a message record before its data
_HEAD = struct.Struct("<BQ")
_TIMES = struct.Struct("<HIQ")


class _Heads:
    """Bytes at any place, of a window that is read at once, so that small records cost no reading each."""

    def __init__(self, file: McapFile) -> None:
        self._file, self._start, self._window = file, 0, b""

    def read(self, at: int, length: int) -> memoryview:
        """Raises DamagedError where the file is shorter."""
        begin = at - self._start
        if begin < 0 or begin + length > len(self._window):
            size = max(length, min(WINDOW_BYTES, self._file.size - at))
            self._start, self._window, begin = at, self._file.read(at, size), 0
        return memoryview(self._window)[begin : begin + length]

    def head(self, at: int) -> tuple[int, int]:
        """Kind and content length of the record at `at`. Raises DamagedError."""
        kind, length = _HEAD.unpack(self.read(at, HEAD))
        if at + HEAD + length > self._file.size:
            raise DamagedError("cut off")
        return kind, length


def walked(file: McapFile, whole: bool) -> Summary:
    """Of all records of the data section; `whole`: the file has its footer, so that it was not cut off."""
    walk, heads, at, ended = _Walk(), _Heads(file), len(MAGIC), False
    while at < file.size and not ended:
        try:
            kind, length = heads.head(at)
            if not plausible(file, at, kind, length):
                raise DamagedError("damaged record")
        except DamagedError:
            found = next_record(file, at + 1)
            if found is None:
                break
            walk.lost["bytes between records, damaged"] += found - at
            at = found
            continue
        try:
            if kind == CHUNK:
                walk.chunk(memoryview(file.read(at + HEAD, length)), at)
            elif kind == MESSAGE:
                walk.message(heads.read(at + HEAD, min(length, MESSAGE_HEAD)), at, length)
            elif kind == MESSAGE_INDEX:
                walk.index(at, length + HEAD)
            else:
                _take_beside(walk, heads, kind, at, length)
        except DamagedError as error:
            walk.lost[str(error)] += 1
        at += HEAD + length
        ended = kind in (DATA_END, FOOTER)
    if not (ended and whole):
        walk.lost["damaged record" if whole else "cut off"] += 1
    return walk.end()


def _take_beside(builder: Builder, heads: _Heads, kind: int, at: int, length: int) -> None:
    """A record of the data section that is neither a chunk nor a message. Raises DamagedError."""
    if kind in (SCHEMA, CHANNEL, METADATA):
        if length > LARGEST_BESIDE:
            raise DamagedError(f"record of {length / 1e6:.0f} MB")
        builder.take(kind, heads.read(at + HEAD, length), at)
    elif kind == ATTACHMENT:  # its name alone, not the file in it
        builder.take(kind, heads.read(at + HEAD, min(length, 16 + 4 + 1024)), at)


class _Walk(Builder):
    """Makes places of what it is given."""

    def __init__(self) -> None:
        super().__init__()
        self.counted = True
        self._run = [0, 0, 0, 0]  # messages outside of chunks, one after the other: first, last, offset, length

    def message(self, body: memoryview, at: int, length: int) -> None:
        """The head of a message outside of chunks. Raises DamagedError."""
        stored = message(body)
        self.counts[stored.channel] += 1
        first, last, offset, size = self._run
        if size and offset + size == at and size < RUN_BYTES:
            self._run = [min(first, stored.log_ns), max(last, stored.log_ns), offset, size + HEAD + length]
        else:
            self._end_run()
            self._run = [stored.log_ns, stored.log_ns, at, HEAD + length]

    def chunk(self, body: memoryview, at: int) -> None:
        """A chunk that begins at `at`. Raises DamagedError."""
        start, end, channels = 1 << 64, 0, set()
        for kind, inner in records(unpack(body)):
            if kind == MESSAGE:
                if len(inner) < MESSAGE_HEAD:
                    raise DamagedError("damaged message")
                channel, _, log_ns = _TIMES.unpack_from(inner)
                start, end = min(start, log_ns), max(end, log_ns)
                channels.add(channel)
                self.counts[channel] += 1
            elif kind in (SCHEMA, CHANNEL):
                self.take(kind, inner)
        if channels:
            self.places.append(Place(start, end, at, len(body) + HEAD, frozenset(channels)))

    def index(self, at: int, length: int) -> None:
        """A message index; that of the chunk before it where nothing lies between."""
        last = self.places[-1] if self.places and not self.places[-1].plain else None
        if last is None:
            return
        offset, size = last.index
        if at == (offset + size if size else last.offset + last.length):
            self.places[-1] = replace(last, index=(offset or at, size + length))

    def end(self) -> Summary:
        """All that there was."""
        self._end_run()
        return self.made()

    def _end_run(self) -> None:
        if self._run[3]:
            first, last, offset, length = self._run
            self.places.append(Place(first, last, offset, length, None, True))
        self._run = [0, 0, 0, 0]


def indexes_all(file: McapFile, builder: Builder, end: int) -> bool:
    """Whether no chunk or message lies before `end` of which the index says nothing.

    Looks only at what lies between the chunks of the index, and takes metadata, attachments, channels and schemas that
    are found there. Raises DamagedError where the index does not fit the file.
    """
    heads, at = _Heads(file), len(MAGIC)
    for place in [*sorted(builder.places, key=lambda item: item.offset), None]:
        until = end if place is None else place.offset
        if until < at or (place is not None and place.offset + place.length > end):
            raise DamagedError("damaged index")
        while at < until:
            kind, length = heads.head(at)
            if kind in (CHUNK, MESSAGE):
                return False
            if kind == DATA_END:
                break
            _take_beside(builder, heads, kind, at, length)
            at += HEAD + length
        if place is not None:
            at = place.offset + place.length + place.index[1]
    return True


def look_into_chunks(file: McapFile, builder: Builder) -> None:
    """Complete the channels, schemas and counts of `builder` from the chunks, as far as the index does not have them.

    Each chunk is looked at until nothing is missing; its messages are counted from its message indexes where it has
    some. Damaged chunks are counted in `builder.lost`.
    """
    places = sorted(builder.places, key=lambda item: item.offset)
    lacking, counts, sound = builder.lacks_names(), not builder.counted, []
    if counts:
        builder.counts.clear()
    for place in places:
        try:
            if lacking or (counts and not place.index[1]):
                sound.append(_look_into(file, builder, place, counts))
                lacking = lacking and builder.lacks_names()
                continue
            sound.append(place)
            if counts:
                for channel, times in arrivals(file, place).items():
                    builder.counts[channel] += len(times)
        except DamagedError as error:
            builder.lost[str(error)] += 1
    builder.places, builder.counted = sound, True


def _look_into(file: McapFile, builder: Builder, place: Place, counts: bool) -> Place:
    found: set[int] = set()
    for kind, body in records(file.unpacked(place)):
        if kind == MESSAGE:
            channel = message(body).channel
            found.add(channel)
            builder.counts[channel] += counts
        elif kind in (SCHEMA, CHANNEL):
            builder.take(kind, body)
    return replace(place, channels=frozenset(found))


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
