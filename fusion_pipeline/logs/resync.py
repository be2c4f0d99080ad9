"""Where reading an MCAP file can go on behind damage: chunks are told by what their heads must say of each other."""

from __future__ import annotations

import struct

from fusion_pipeline.logs.mcap_places import CHUNK, DATA_END, HEAD, McapFile

STEP_BYTES = 1 << 20  # searched at a time
MOST_PADDING = 64  # bytes behind what a chunk holds, within its record
_CHUNK = struct.Struct("<BQQQQII")  # kind, length, first, last, uncompressed size, checksum, length of a name
_LONG = struct.Struct("<Q")
_NAMES = (b"", b"lz4", b"zstd")
_END = struct.pack("<BQ", DATA_END, 4)
_LAST_KIND, _PRIVATE = 0x0F, 0x80  # kinds of the format, and those that it leaves to others


def plausible(file: McapFile, at: int, kind: int, length: int) -> bool:
    """Whether a record whose length fits into the file can be what it claims to be."""
    if kind == CHUNK:
        size = min(HEAD + length, _CHUNK.size + 12)
        return _is_chunk(file.read(at, size), 0, file.size - at, padded=True)
    return 0 < kind <= _LAST_KIND or kind >= _PRIVATE


def next_record(file: McapFile, start: int) -> int | None:
    """The place of the next chunk, or of the end of the data, from `start` on; None where there is neither."""
    tail = _CHUNK.size + 12
    at = start
    while at < file.size:
        data = file.read(at, min(STEP_BYTES + tail, file.size - at))
        found = _in(data, min(STEP_BYTES, len(data)), file.size - at)
        if found is not None:
            return at + found
        at += STEP_BYTES
    return None


def _in(data: bytes, size: int, left: int) -> int | None:
    end = data.find(_END, 0, size + len(_END) - 1)
    at = data.find(CHUNK, 0, size if end < 0 else end)
    while at >= 0:
        if _is_chunk(data, at, left - at):
            return at
        at = data.find(CHUNK, at + 1, size if end < 0 else end)
    return end if end >= 0 else None


def _is_chunk(data: bytes, at: int, left: int, padded: bool = False) -> bool:
    """Whether a chunk begins at `data[at]`, with `left` bytes of the file from there on; `padded`: bytes that say
    nothing may follow within the record, as the format allows.
    """
    if at + _CHUNK.size + 8 > len(data):
        return False
    _, length, first, last, size, _, named = _CHUNK.unpack_from(data, at)
    if HEAD + length > left or named > 4 or first > last:
        return False
    place = at + _CHUNK.size
    if place + named + 8 > len(data):
        return False
    name = data[place : place + named]
    (packed,) = _LONG.unpack_from(data, place + named)
    used = _CHUNK.size - HEAD + named + 8 + packed
    whole = bool(length == used or (padded and used < length <= used + MOST_PADDING))
    return name in _NAMES and whole and (size == packed if not name else size > 0)
