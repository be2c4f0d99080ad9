"""MCAP files by their places: records and chunks read where they lie, views instead of copies, claims checked first.

The format: https://mcap.dev/spec. No length that a file claims is believed before it is compared with what is there.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from fusion_pipeline.logs.checksum import crc32
from fusion_pipeline.logs.compressed_file import is_compressed, uncompressed
from fusion_pipeline.logs.reader import LogError

MAGIC = b"\x89MCAP0\r\n"
ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
SUFFIXES = (".mcap", ".mcap.active")  # the second while some recorders are at work
SCHEMA, CHANNEL, MESSAGE, CHUNK, MESSAGE_INDEX, CHUNK_INDEX = 3, 4, 5, 6, 7, 8
FOOTER, ATTACHMENT, STATISTICS, METADATA, DATA_END = 2, 9, 11, 12, 15
HEAD = 9  # bytes before a record's content: its kind and its length
LARGEST_CHUNK = 1 << 30  # bytes; a chunk that claims more is not unpacked
# No input can become more than so many times as large (an LZ4 sequence, a zstd block of one repeated byte). Black
# pictures come near to that, so nothing but these facts and LARGEST_CHUNK bounds a claim.
MOST_SQUEEZED = {"lz4": 255, "zstd": 128 * 1024 // 4, "": 1}
_HEAD = struct.Struct("<BQ")
_MESSAGE = struct.Struct("<HIQQ")
_CHUNK = struct.Struct("<QQQII")
_WORD, _LONG, _PAIR = struct.Struct("<I"), struct.Struct("<Q"), struct.Struct("<HQ")


class DamagedError(ValueError):
    """Bytes that are not what the format says; a short reason."""


@dataclass(frozen=True, slots=True)
class Channel:
    """A channel with its schema."""

    topic: str
    encoding: str  # of its messages: protobuf, json, cdr, ros1
    schema: str  # name; "" without one
    schema_encoding: str
    schema_text: bytes


@dataclass(frozen=True, slots=True)
class Stored:
    """One message as it lies in its chunk."""

    channel: int
    sequence: int
    log_ns: int
    data: memoryview


@dataclass(frozen=True, slots=True)
class Place:
    """A chunk, or a run of messages outside of chunks, in the file."""

    start_ns: int
    end_ns: int
    offset: int
    length: int
    channels: frozenset[int] | None  # None: not known
    plain: bool = False  # messages that lie in the file as they are
    index: tuple[int, int] = (0, 0)  # where its message indexes lie: offset, length


def is_mcap(path: Path) -> bool:
    """Whether a path is a file with an MCAP file's name, or with that of a compressed one (.mcap.zstd and the like)."""
    return (path.name.lower().endswith(SUFFIXES) and path.is_file()) or is_compressed(path, *SUFFIXES)


class McapFile:
    """A file to read from at any place. Use it in a `with` block, or close it.

    One that is compressed as a whole is decompressed first; as long as one of these is open it is not done again.
    """

    def __init__(self, path: Path) -> None:
        """Raises LogError where the file cannot be read or does not begin as an MCAP file."""
        self.path = path
        self.packed = uncompressed(path) if is_compressed(path, *SUFFIXES) else None
        try:
            self._file = (self.packed.path if self.packed is not None else path).open("rb", buffering=0)
        except OSError as error:
            raise LogError(f"cannot read {path}: {error.strerror}") from None
        self.size = os.fstat(self._file.fileno()).st_size
        if self.read(0, min(len(MAGIC), self.size)) != MAGIC:
            self.close()
            said = "is empty" if not self.size else "does not begin as an MCAP file does"
            if self.packed is not None and self.packed.damage:
                said = f"is {self.packed.damage} as a compressed file"
            raise LogError(
                f"{path} {said}; it cannot be read as one, and holds no camera, LiDAR, audio or ego messages"
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file; what has been read stays."""
        self._file.close()

    def read(self, offset: int, length: int) -> bytes:
        """Exactly these bytes. Raises DamagedError where the file is shorter."""
        if offset < 0 or length < 0 or offset + length > self.size:
            raise DamagedError("claims more than the file holds")
        parts = []
        while length:
            part = os.pread(self._file.fileno(), min(length, 1 << 30), offset)
            if not part:
                raise DamagedError("cut off")
            parts.append(part)
            offset, length = offset + len(part), length - len(part)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def head(self, offset: int) -> tuple[int, int]:
        """Kind and content length of the record at `offset`. Raises DamagedError."""
        kind, length = _HEAD.unpack(self.read(offset, HEAD))
        if offset + HEAD + length > self.size:
            raise DamagedError("cut off")
        return kind, length

    def unpacked(self, place: Place) -> memoryview:
        """The records in a place, checked by their checksum where there is one. Raises DamagedError."""
        if place.plain:
            return memoryview(self.read(place.offset, place.length))
        kind, length = self.head(place.offset)
        if kind != CHUNK or place.length not in (0, length + HEAD):
            raise DamagedError("no chunk where the index says")
        return unpack(memoryview(self.read(place.offset + HEAD, length)))


def unpack(body: memoryview) -> memoryview:
    """The records of a chunk's content. Raises DamagedError."""
    try:
        _, _, size, checksum, named = _CHUNK.unpack_from(body)
        at = _CHUNK.size + named
        compression = bytes(body[_CHUNK.size : at]).decode()
        (packed,) = _LONG.unpack_from(body, at)
    except (struct.error, UnicodeDecodeError):
        raise DamagedError("damaged chunk") from None
    data = body[at + 8 : at + 8 + packed]
    if compression not in MOST_SQUEEZED:
        raise DamagedError(f"chunk compressed with {compression[:20]}")
    if len(data) != packed or size > (packed + 64) * MOST_SQUEEZED[compression]:
        raise DamagedError("damaged chunk")
    if size > LARGEST_CHUNK:
        raise DamagedError(f"chunk of {size / 1e9:.1f} GB")
    found = memoryview(_inflate(compression, data, size))
    if len(found) != size or (checksum and crc32(found) != checksum):
        raise DamagedError("damaged chunk")
    return found


def _inflate(compression: str, data: memoryview, size: int) -> memoryview | bytes:
    if not compression:
        return data
    if compression == "lz4":
        import lz4.frame

        try:
            return bytes(lz4.frame.LZ4FrameDecompressor().decompress(data, max_length=size + 1))
        except RuntimeError as error:
            raise DamagedError("damaged chunk") from error
    return inflate_zstd(data, size)


def inflate_zstd(data: memoryview | bytes, size: int | None = None) -> bytes:
    """The content of a zstd frame, of `size` bytes where that is known. Raises DamagedError."""
    import zstandard

    try:
        claimed = zstandard.get_frame_parameters(data).content_size
        if size is None:
            unknown = claimed == zstandard.CONTENTSIZE_UNKNOWN
            size = min((len(data) + 64) * MOST_SQUEEZED["zstd"], LARGEST_CHUNK) if unknown else claimed
            if size > min(LARGEST_CHUNK, (len(data) + 64) * MOST_SQUEEZED["zstd"]):
                raise DamagedError("damaged message")
        elif claimed not in (size, zstandard.CONTENTSIZE_UNKNOWN):
            raise DamagedError("damaged chunk")
        return zstandard.ZstdDecompressor().decompress(data, max_output_size=size) if size else b""
    except zstandard.ZstdError as error:
        raise DamagedError("damaged chunk") from error


def records(data: memoryview) -> Iterator[tuple[int, memoryview]]:
    """Kind and content of the records in `data`. Raises DamagedError where they do not end with it."""
    at, size = 0, len(data)
    while at < size:
        if at + HEAD > size:
            raise DamagedError("damaged chunk")
        kind, length = _HEAD.unpack_from(data, at)
        at += HEAD
        if at + length > size:
            raise DamagedError("damaged chunk")
        yield kind, data[at : at + length]
        at += length


def message(body: memoryview) -> Stored:
    """A message record. Raises DamagedError."""
    if len(body) < _MESSAGE.size:
        raise DamagedError("damaged message")
    channel, sequence, log_ns, _ = _MESSAGE.unpack_from(body)
    return Stored(channel, sequence, log_ns, body[_MESSAGE.size :])


def schema_of(body: memoryview) -> tuple[int, tuple[str, str, bytes]]:
    """Number of a schema record, and its name, encoding and text. Raises DamagedError, struct.error."""
    (number,) = struct.unpack_from("<H", body)
    name, at = text(body, 2)
    encoding, at = text(body, at)
    (length,) = struct.unpack_from("<I", body, at)
    return number, (name, encoding, bytes(body[at + 4 : at + 4 + length]))


def text(body: memoryview, at: int) -> tuple[str, int]:
    """A string with its length before it, and where it ends. Raises DamagedError."""
    try:
        (length,) = _WORD.unpack_from(body, at)
        end = at + 4 + length
        if end > len(body):
            raise DamagedError("damaged record")
        return bytes(body[at + 4 : end]).decode(), end
    except (struct.error, UnicodeDecodeError):
        raise DamagedError("damaged record") from None


def table(body: memoryview, at: int) -> dict[str, str]:
    """A map of strings. Raises DamagedError."""
    if at + 4 > len(body):
        raise DamagedError("damaged record")
    (length,) = _WORD.unpack_from(body, at)
    end, at, found = at + 4 + length, at + 4, {}
    while at < end:
        key, at = text(body, at)
        found[key], at = text(body, at)
    return found


def chunk_place(body: memoryview) -> Place:
    """A chunk index record. Raises DamagedError."""
    try:
        start, end, offset, length, named = struct.unpack_from("<QQQQI", body)
        at = 36
        if named % 10 or at + named + 8 > len(body):
            raise DamagedError("damaged index")
        pairs = list(_PAIR.iter_unpack(body[at : at + named]))
        (indexes,) = _LONG.unpack_from(body, at + named)
    except struct.error:
        raise DamagedError("damaged index") from None
    if not pairs:
        return Place(start, end, offset, length, None)
    known = frozenset(channel for channel, _ in pairs)
    return Place(start, end, offset, length, known, index=(min(place for _, place in pairs), indexes))
