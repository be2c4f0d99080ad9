"""MCAP files record by record, whosever they are: read as far as they are whole, and copied without loss."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from fusion_pipeline.logs.reader import LogError

MAGIC = b"\x89MCAP0\r\n"
CHUNK_BYTES = 4 << 20


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


class RawReader:
    """All messages of an MCAP file in the order in which they were written, and its metadata.

    A damaged chunk costs what is in it, a cut-off file what is missing. `lost` says what, `offset` how far it was read.
    """

    def __init__(self, path: Path) -> None:
        """Raises LogError where the file is no MCAP at all."""
        self.path = path
        self.lost: Counter[str] = Counter()
        self.metadata: list[tuple[str, dict[str, str]]] = []
        self.attachments: list[Any] = []
        self.offset = 0
        try:
            self.size = path.stat().st_size
            with path.open("rb") as file:
                head = file.read(len(MAGIC))
        except OSError as error:
            raise LogError(f"cannot read {path}: {error.strerror}") from None
        if head != MAGIC:
            said = "is empty" if not self.size else "does not begin as an MCAP file does"
            raise LogError(f"{path} {said}; it cannot be read or recovered as one")

    def __iter__(self) -> Iterator[Raw]:
        """Messages; those of damaged chunks are left out and counted."""
        from mcap.records import Attachment, Channel, Chunk, Footer, Message, Metadata, Schema
        from mcap.stream_reader import StreamReader, breakup_chunk

        schemas: dict[int, Any] = {}
        channels: dict[int, Any] = {}
        self.lost.clear()
        self.metadata.clear()
        self.attachments.clear()
        ended = False
        with self.path.open("rb") as file:
            # No record is longer than the file: a claimed length of gigabytes is refused, not allocated.
            records = iter(StreamReader(file, emit_chunks=True, record_size_limit=self.size).records)
            while True:
                try:
                    record = next(records)
                except StopIteration:
                    break
                except Exception as error:  # bytes are wrong in as many ways as there are fields
                    self.lost[f"rest of the file, {_named(error)}"] += self.size - self.offset
                    return
                self.offset = file.tell()
                if isinstance(record, Chunk):
                    try:
                        inner = breakup_chunk(record, validate_crc=True)
                    except Exception:
                        self.lost["damaged chunks"] += 1
                        continue
                else:
                    inner = [record]
                for part in inner:
                    if isinstance(part, Schema):
                        schemas[part.id] = part
                    elif isinstance(part, Channel):
                        channels[part.id] = part
                    elif isinstance(part, Metadata):
                        self.metadata.append((part.name, dict(part.metadata)))
                    elif isinstance(part, Attachment):
                        self.attachments.append(part)
                    elif isinstance(part, Footer):
                        ended = True
                    elif isinstance(part, Message):
                        channel = channels.get(part.channel_id)
                        if channel is None:
                            self.lost["messages of channels in damaged chunks"] += 1
                            continue
                        schema = schemas.get(channel.schema_id)
                        form = ("", b"") if schema is None else (schema.encoding, schema.data)
                        yield Raw(channel.topic, "" if schema is None else schema.name, channel.message_encoding,
                                  part.log_time, part.publish_time, part.sequence, part.data, form,
                                  dict(channel.metadata))  # fmt: skip
        if not ended:
            self.lost["end of the file"] += 1


def _named(error: Exception) -> str:
    return {"EndOfFile": "cut off", "RecordLengthLimitExceeded": "a record longer than the file"}.get(
        type(error).__name__, "damaged"
    )


class RawWriter:
    """Writes raw messages as they are; metadata and attachments before them. Use it in a `with` block."""

    def __init__(self, path: Path) -> None:
        """Create `path`, replacing what is there. Raises LogError."""
        from mcap.writer import CompressionType, Writer

        self.path, self.written = path, 0
        self._schemas: dict[tuple[str, str, bytes], int] = {}
        self._channels: dict[tuple[str, str, int], int] = {}
        try:
            self._file = path.open("wb")
        except OSError as error:
            raise LogError(f"cannot write {path}: {error.strerror}; choose another place") from None
        self._writer = Writer(self._file, chunk_size=CHUNK_BYTES, compression=CompressionType.LZ4)
        self._writer.start(profile="", library="fusion-pipeline")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._writer.finish()
        self._file.close()

    def write(self, raw: Raw) -> None:
        """Append a message."""
        form = (raw.schema, *raw.form)
        if form not in self._schemas:
            self._schemas[form] = self._writer.register_schema(raw.schema, *raw.form) if raw.schema else 0
        key = (raw.topic, raw.encoding, self._schemas[form])
        if key not in self._channels:
            self._channels[key] = self._writer.register_channel(raw.topic, raw.encoding, key[2], dict(raw.facts))
        self._writer.add_message(self._channels[key], raw.log_ns, raw.data, raw.publish_ns, raw.sequence)
        self.written += 1

    def beside(self, reader: RawReader) -> None:
        """Copy what a reader met beside messages."""
        for name, table in reader.metadata:
            self._writer.add_metadata(name, table)
        for item in reader.attachments:
            self._writer.add_attachment(item.create_time, item.log_time, item.name, item.media_type, item.data)
