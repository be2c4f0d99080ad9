"""MCAP files record by record, whosever they are: read as far as they are whole, and copied without loss."""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

import numpy as np

from fusion_pipeline.logs.checksum import crc32
from fusion_pipeline.logs.mcap_chunk import CHUNK_BYTES, Channels, Chunk, Form, needed
from fusion_pipeline.logs.mcap_out import McapOut
from fusion_pipeline.logs.mcap_places import (
    CHANNEL,
    CHUNK,
    DATA_END,
    FOOTER,
    HEAD,
    MAGIC,
    MESSAGE,
    METADATA,
    SCHEMA,
    DamagedError,
    McapFile,
    records,
    schema_of,
    table,
    text,
    unpack,
)  # fmt: skip
from fusion_pipeline.logs.reader import LogError
from fusion_pipeline.logs.resync import next_record, plausible

ATTACHMENT = 9
LARGEST = 1 << 30  # bytes of a record that is read into memory
SPAN_NS = 1_000_000_000  # of a chunk


@dataclass(frozen=True, slots=True)
class Raw:
    """One message as it is stored."""

    topic: str
    schema: str  # name, "" without one
    encoding: str
    log_ns: int
    publish_ns: int
    sequence: int
    data: bytes
    form: tuple[str, bytes] = ("", b"")  # the schema's own encoding and text
    facts: Mapping[str, str] = field(default_factory=dict)  # of the channel


@dataclass(frozen=True, slots=True)
class Attachment:
    """A file within the file."""

    name: str
    media_type: str
    create_ns: int
    data: bytes


class RawSource(Protocol):
    """Stored messages, and what lies beside them. `lost` is what could not be read, known after reading."""

    path: Path
    lost: Counter[str]
    metadata: list[tuple[str, dict[str, str]]]
    attachments: list[Attachment]

    def __iter__(self) -> Iterator[Raw]:
        """Messages in the order of the log."""


@dataclass(frozen=True, slots=True)
class _Channel:
    topic: str
    schema_id: int
    encoding: str
    facts: Mapping[str, str]


class RawReader:
    """All messages of an MCAP file in the order in which they were written, and its metadata.

    A damaged chunk costs what is in it, a damaged length what lies between it and the next chunk, a cut-off file what
    is missing. `lost` says what, `offset` how far it was read. No length that is claimed is believed before it is
    compared with the file's.
    """

    def __init__(self, path: Path) -> None:
        """Raises LogError where the file is no MCAP at all."""
        self.path = path
        self.lost: Counter[str] = Counter()
        self.metadata: list[tuple[str, dict[str, str]]] = []
        self.attachments: list[Attachment] = []
        self.offset = 0
        with McapFile(path) as file:
            self.size = file.size
            self._packed = file.packed  # kept, so that a compressed file is decompressed once

    def __iter__(self) -> Iterator[Raw]:
        """Messages; those of damaged chunks are left out and counted."""
        self.lost.clear()
        self.metadata.clear()
        self.attachments.clear()
        self._schemas: dict[int, tuple[str, str, bytes]] = {}
        self._channels: dict[int, _Channel] = {}
        with McapFile(self.path) as file:
            at: int | None = len(MAGIC)
            while at is not None and at < file.size:
                self.offset = at
                kind, length = _head(file, at)
                if kind in (DATA_END, FOOTER):
                    return
                if not kind:
                    at = self._passed_over(file, at)
                    continue
                try:
                    yield from self._record(kind, memoryview(file.read(at + HEAD, length)))
                except DamagedError as error:
                    self.lost["damaged chunks" if kind == CHUNK else f"records, {error}"] += 1
                at += HEAD + length
            self.offset = file.size
        self.lost["end of the file"] += 1

    def _passed_over(self, file: McapFile, at: int) -> int | None:
        """Where reading goes on behind bytes that are no record."""
        found = next_record(file, at + 1)
        if found is None:
            self.lost["rest of the file, cut off or damaged"] += file.size - at
        else:
            self.lost["bytes between records, damaged"] += found - at
        return found

    def _record(self, kind: int, body: memoryview) -> Iterator[Raw]:
        if kind == CHUNK:
            for inner, part in records(unpack(body)):
                yield from self._record(inner, part) if inner in (SCHEMA, CHANNEL, MESSAGE) else ()
        elif kind == MESSAGE:
            yield from self._message(body)
        elif kind in (SCHEMA, CHANNEL, METADATA, ATTACHMENT):
            try:
                self._beside(kind, body)
            except struct.error:
                raise DamagedError("damaged record") from None

    def _message(self, body: memoryview) -> Iterator[Raw]:
        if len(body) < 22:
            raise DamagedError("damaged message")
        number, sequence, log_ns, publish_ns = struct.unpack_from("<HIQQ", body)
        channel = self._channels.get(number)
        if channel is None:
            self.lost["messages of channels in damaged chunks"] += 1
            return
        name, encoding, written = self._schemas.get(channel.schema_id, ("", "", b""))
        yield Raw(channel.topic, name, channel.encoding, log_ns, publish_ns, sequence, bytes(body[22:]),
                  (encoding, written), channel.facts)  # fmt: skip

    def _beside(self, kind: int, body: memoryview) -> None:
        if kind == SCHEMA:
            number, written = schema_of(body)
            self._schemas[number] = written
        elif kind == CHANNEL:
            number, schema = struct.unpack_from("<HH", body)
            topic, at = text(body, 4)
            encoding, at = text(body, at)
            self._channels[number] = _Channel(topic, schema, encoding, table(body, at))
        elif kind == METADATA:
            name, at = text(body, 0)
            self.metadata.append((name, table(body, at)))
        else:
            create_ns = struct.unpack_from("<QQ", body)[1]
            name, at = text(body, 16)
            media, at = text(body, at)
            (length,) = struct.unpack_from("<Q", body, at)
            end = at + 8 + length
            if end + 4 > len(body):
                raise DamagedError("damaged attachment")
            (checksum,) = struct.unpack_from("<I", body, end)  # a writer may put bytes behind it
            if checksum and crc32(body[:end]) != checksum:
                raise DamagedError("damaged attachment")
            self.attachments.append(Attachment(name, media, create_ns, bytes(body[at + 8 : end])))


def _head(file: McapFile, at: int) -> tuple[int, int]:
    """Kind and length of the record at `at`; kind 0 where there is none that could be."""
    try:
        kind, length = file.head(at)
    except DamagedError:
        return 0, 0
    return (kind, length) if length <= LARGEST and plausible(file, at, kind, length) else (0, 0)


class RawWriter:
    """Writes raw messages as they are; metadata and attachments behind them. Use it in a `with` block."""

    def __init__(self, path: Path, compression: str = "lz4") -> None:
        """Create `path`, replacing what is there. Raises LogError."""
        self.path, self.written = path, 0
        self._compression = compression
        self._channels, self._chunk = Channels(), Chunk()
        self._file = McapOut(path)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if error is None or isinstance(error, Exception):  # a signal may have come in the middle of a message
                self._flush()
            self._file.close()
        except OSError as refusal:
            if error is None:
                raise self._failed(refusal) from None
        except LogError:
            if error is None:
                raise
        finally:
            self._file.abandon()

    def holds(self) -> str:
        """What is in the file, in words; empty where that is no message."""
        stored = self._file.messages.total()
        return f"{stored} messages" if stored else ""

    def write(self, raw: Raw) -> None:
        """Append a message. Raises LogError where the disk does not take it."""
        form = Form(raw.schema, *raw.form, raw.encoding, tuple(raw.facts.items()))
        channel = self._channels.of(raw.topic, form)
        wanted = [(channel, len(raw.data))]
        if not (self._chunk.room_for(wanted) and self._chunk.within(raw.log_ns, SPAN_NS)):
            self._flush()
            if not self._chunk.room_for(wanted):
                self._chunk = Chunk(max(CHUNK_BYTES, needed(wanted)))
        place = self._chunk.room(channel, raw.log_ns, raw.publish_ns, raw.sequence, len(raw.data))
        place[:] = np.frombuffer(raw.data, np.uint8)
        self._chunk.messages[raw.topic] += 1
        self.written += 1

    def beside(self, reader: RawSource) -> None:
        """Copy what a reader met beside messages. Raises LogError."""
        self._flush()
        try:
            for name, pairs in reader.metadata:
                self._file.add_metadata(name, pairs)
            for item in reader.attachments:
                self._file.add_attachment(item.name, item.media_type, item.data, item.create_ns)
        except OSError as error:
            raise self._failed(error) from None

    def _flush(self) -> None:
        if self._chunk.used:
            try:
                self._file.add_chunk(self._chunk.sealed(self._compression))
            except OSError as error:
                raise self._failed(error) from None
            finally:
                self._chunk.clear()

    def _failed(self, error: OSError) -> LogError:
        return LogError(f"cannot write {self.path}: {error.strerror}; choose another place or free some space")
