"""Records of ROS 1 bags, read from bytes: http://wiki.ros.org/Bags/Format/2.0

A record is a length, a header of fields, a length and data. No length is believed before it is compared with what
is there.
"""

from __future__ import annotations

import bz2
import struct
from collections.abc import Collection
from operator import itemgetter

from fusion_pipeline.clock import SECOND_NS

MESSAGE, HEADER, INDEX, CHUNK, CHUNK_INFO, CONNECTION = 2, 3, 4, 5, 6, 7
LARGEST_UNPACKED = 1 << 28  # bytes of a chunk that says it is compressed; recorders make chunks of 1 MB and a message
_WORD, _PAIR = struct.Struct("<I"), struct.Struct("<II")
_CONNECTION, _TIME = b"\x09\x00\x00\x00conn=", b"\x0d\x00\x00\x00time="


class DamagedBagError(ValueError):
    """Bytes that are not what the format says; a short reason."""


Found = tuple[int, int, int, int]  # a message: its time, its connection, and where its data begins and ends


def fields_of(header: bytes) -> dict[str, bytes]:
    """Fields by name, as far as they are whole."""
    found, at = {}, 0
    while at + 4 <= len(header):
        (length,) = _WORD.unpack_from(header, at)
        name, equals, value = header[at + 4 : at + 4 + length].partition(b"=")
        if not equals or at + 4 + length > len(header):
            break
        found[name.decode(errors="replace")] = value
        at += 4 + length
    return found


def operation(fields: dict[str, bytes]) -> int:
    """The kind of a record; 0 without one."""
    return int.from_bytes(fields.get("op", b""), "little") if len(fields.get("op", b"")) == 1 else 0


def number(fields: dict[str, bytes], name: str) -> int:
    """An unsigned number of 4 or 8 bytes. Raises DamagedBagError."""
    value = fields.get(name, b"")
    if len(value) not in (4, 8):
        raise DamagedBagError("damaged record")
    return int.from_bytes(value, "little")


def time_of(value: bytes) -> int:
    """Seconds and nanoseconds as nanoseconds. Raises DamagedBagError."""
    if len(value) != 8:
        raise DamagedBagError("damaged record")
    seconds, rest = _PAIR.unpack(value)
    return int(seconds * SECOND_NS + rest)


def record_at(data: bytes, at: int) -> tuple[int, int, int, int] | None:
    """Start and end of the header and of the data of the record at `at`; None where it is cut off."""
    if at + 4 > len(data):
        return None
    middle = at + 4 + _WORD.unpack_from(data, at)[0]
    if middle + 4 > len(data):
        return None
    end = middle + 4 + _WORD.unpack_from(data, middle)[0]
    return (at + 4, middle, middle + 4, end) if end <= len(data) else None


def messages_in(
    data: bytes, wanted: Collection[int] | None, start_ns: int, end_ns: int, connections: dict[int, dict[str, bytes]]
) -> tuple[list[Found], bool]:
    """Messages in the records of a chunk, in order of time, and whether the records end with it.

    Without `wanted` those of all connections. `connections` takes the fields of connection records met on the way.
    """
    found: list[Found] = []
    at, size, layout = 0, len(data), None
    while at < size:
        place = record_at(data, at)
        if place is None:
            return _sorted(found), False
        head, middle, start, at = place
        if layout is None or not layout.fits(data, head, middle):
            fields = fields_of(data[head:middle])
            kind = operation(fields)
            if kind == CONNECTION:
                note_connection(fields, data[start:at], connections)
            elif not kind:
                return _sorted(found), False
            layout = _Layout.of(data[head:middle]) if kind == MESSAGE else layout
            if kind != MESSAGE or layout is None:
                continue
        (key,) = _WORD.unpack_from(data, head + layout.connection)
        if wanted is not None and key not in wanted:
            continue
        seconds, rest = _PAIR.unpack_from(data, head + layout.time)
        time_ns = seconds * SECOND_NS + rest
        if start_ns <= time_ns < end_ns:
            found.append((time_ns, key, start, at))
    return _sorted(found), True


def _sorted(found: list[Found]) -> list[Found]:
    found.sort(key=itemgetter(0))
    return found


def note_connection(fields: dict[str, bytes], data: bytes, connections: dict[int, dict[str, bytes]]) -> None:
    """Add a connection record: the fields of its data, and the topic under which it was recorded."""
    if len(fields.get("conn", b"")) == 4:
        connections.setdefault(number(fields, "conn"), {**fields_of(data), "topic": fields.get("topic", b"")})


class _Layout:
    """Where a message's header has its connection and time. A bag's writer puts them into one order for all."""

    def __init__(self, header: bytes, connection: int, time: int) -> None:
        self.connection, self.time = connection, time
        self._length = len(header)
        first, second = sorted(((connection, connection + 4), (time, time + 8)))
        spans = ((0, first[0]), (first[1], second[0]), (second[1], len(header)))
        self._fixed = [(low, high, header[low:high]) for low, high in spans if high > low]

    @classmethod
    def of(cls, header: bytes) -> _Layout | None:
        """Of a message's header; None where it lacks one of them."""
        fields = fields_of(header)
        if len(fields.get("conn", b"")) != 4 or len(fields.get("time", b"")) != 8:
            return None
        return cls(header, header.index(_CONNECTION) + len(_CONNECTION), header.index(_TIME) + len(_TIME))

    def fits(self, data: bytes, head: int, middle: int) -> bool:
        """Whether the header is of this layout."""
        if middle - head != self._length:
            return False
        return all(data[head + low : head + high] == part for low, high, part in self._fixed)


def unpacked(compression: bytes, data: bytes, size: int, whole: bool = True) -> bytes:
    """The records of a chunk; `size` is what it claims. Of one that is not `whole` what there is.

    Raises DamagedBagError.
    """
    if compression == b"none":
        return data
    if size > LARGEST_UNPACKED:
        raise DamagedBagError("chunk larger than 256 MiB unpacked")
    most = size if whole else LARGEST_UNPACKED
    if compression == b"bz2":
        packed = bz2.BZ2Decompressor()
        try:
            found = packed.decompress(data, most)
        except OSError:
            raise DamagedBagError("damaged chunk") from None
    elif compression == b"lz4":
        import lz4.frame

        packed = lz4.frame.LZ4FrameDecompressor()
        try:
            found = bytes(packed.decompress(data, max_length=most))
        except RuntimeError:  # the library's only error
            raise DamagedBagError("damaged chunk") from None
    else:
        raise DamagedBagError(f"chunk compressed with {compression.decode(errors='replace')[:20]!r}")
    if whole and len(found) != size:
        raise DamagedBagError("damaged chunk")
    return found
