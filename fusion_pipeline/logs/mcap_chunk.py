"""Chunks of an MCAP file, laid out in memory that is used again: a message is copied once, into its place.

Every chunk holds the schemas and channels of its messages. So a damaged chunk costs what is in it and no more, and any
sequence of chunks is a log: the last minute of a ring as well as a part of a recording.
"""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from fusion_pipeline.arrays import Bytes
from fusion_pipeline.logs.checksum import crc32
from fusion_pipeline.logs.reader import LogError

CHUNK_BYTES = 4 << 20
COMPRESSIONS = ("none", "lz4", "zstd")
MESSAGE = struct.Struct("<BQHIQQ")  # opcode, length, channel, sequence, log time, publish time
_CHUNK = struct.Struct("<BQQQQII")  # opcode, length, first, last, uncompressed size, checksum, length of a name
_SCHEMA, _CHANNEL, _MESSAGE, _CHUNK_CODE, _INDEX, _CHUNK_INDEX = 3, 4, 5, 6, 7, 8


def text(value: str) -> bytes:
    """A string as MCAP has it: its length, then its bytes."""
    data = value.encode()
    return struct.pack("<I", len(data)) + data


def record(code: int, body: bytes) -> bytes:
    """A record: its kind, its length, its content."""
    return struct.pack("<BQ", code, len(body)) + body


@dataclass(frozen=True, slots=True)
class Form:
    """How the messages of a channel are to be understood."""

    name: str  # of the schema; "" without one
    encoding: str  # of the schema: protobuf, jsonschema, ros2msg
    text: bytes
    message_encoding: str = "protobuf"
    facts: tuple[tuple[str, str], ...] = ()  # of the channel


@dataclass(frozen=True, slots=True)
class Channel:
    """A topic in one form, with the records that say so."""

    id: int
    schema_id: int  # 0 without one
    topic: str
    schema_record: bytes
    record: bytes


class Channels:
    """The channels of a recording, numbered in the order in which they came."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, Form], Channel] = {}
        self._schemas: dict[tuple[str, str, bytes], int] = {}

    def of(self, topic: str, form: Form) -> Channel:
        """The channel of `topic` in this form. Raises LogError where MCAP has no more numbers."""
        found = self._known.get((topic, form))
        if found is not None:
            return found
        number = len(self._known) + 1
        if number > 0xFFFF:
            raise LogError("an MCAP file has room for 65535 channels, and there are more")
        key, schema = (form.name, form.encoding, form.text), b""
        schema_id = 0
        if form.name:
            schema_id = self._schemas.setdefault(key, len(self._schemas) + 1)
            body = struct.pack("<H", schema_id) + text(form.name) + text(form.encoding)
            schema = record(_SCHEMA, body + struct.pack("<I", len(form.text)) + form.text)
        facts = b"".join(text(name) + text(value) for name, value in form.facts)
        said = struct.pack("<HH", number, schema_id) + text(topic) + text(form.message_encoding)
        channel = Channel(
            number, schema_id, topic, schema, record(_CHANNEL, said + struct.pack("<I", len(facts)) + facts)
        )
        self._known[topic, form] = channel
        return channel


class Chunk:
    """Messages as they will lie in the file."""

    def __init__(self, capacity: int = CHUNK_BYTES) -> None:
        self._memory: Bytes = np.empty(capacity, np.uint8)
        self.clear()

    def clear(self) -> None:
        """Begin anew in the same memory."""
        self.used = 0
        self.first_ns, self.last_ns = 1 << 63, 0
        self.messages: Counter[str] = Counter()  # by topic, what the caller counts as one
        self.channels: dict[int, Channel] = {}
        self._schemas: set[int] = set()
        self._index: dict[int, list[int]] = {}  # log time and place in turn, by channel

    @property
    def capacity(self) -> int:
        """Bytes of memory it takes."""
        return len(self._memory)

    @property
    def content(self) -> Bytes:
        """What is in it so far."""
        return self._memory[: self.used]

    def room_for(self, wanted: Sequence[tuple[Channel, int]]) -> bool:
        """Whether messages of these channels and sizes still fit."""
        return self.used + needed(wanted) <= len(self._memory)

    def within(self, log_ns: int, span_ns: int) -> bool:
        """Whether all of it would lie within `span_ns` with a message of this time."""
        return max(log_ns, self.last_ns) - min(log_ns, self.first_ns) < span_ns

    def room(self, channel: Channel, log_ns: int, publish_ns: int, sequence: int, size: int) -> Bytes:
        """(size,) the place of a new message, to be filled by the caller. It must fit."""
        if channel.id not in self.channels:
            self.channels[channel.id] = channel
            self._index[channel.id] = []
            if channel.schema_id and channel.schema_id not in self._schemas:
                self._schemas.add(channel.schema_id)
                self._append(channel.schema_record)
            self._append(channel.record)
        at = self.used
        MESSAGE.pack_into(
            self._memory.data,
            at,
            _MESSAGE,
            MESSAGE.size - 9 + size,
            channel.id,
            sequence & 0xFFFFFFFF,
            log_ns,
            publish_ns,
        )
        self._index[channel.id] += (log_ns, at)
        self.first_ns, self.last_ns = min(self.first_ns, log_ns), max(self.last_ns, log_ns)
        self.used = at + MESSAGE.size + size
        return self._memory[at + MESSAGE.size : self.used]

    def sealed(self, compression: str, with_copy: bool = False) -> Sealed:
        """The chunk as it goes into a file. Unless it is compressed or `with_copy`, it lies in this chunk's memory."""
        content = self.content
        checksum = crc32(content.data)
        packed = _compressed(content, compression)
        body: bytes | Bytes = content if packed is None else packed
        name = b"" if packed is None else compression.encode()
        if packed is None and with_copy:
            body = content.tobytes()
        length = _CHUNK.size - 9 + len(name) + 8 + len(body)
        head = _CHUNK.pack(_CHUNK_CODE, length, self.first_ns, self.last_ns, self.used, checksum, len(name))
        places, indexes, offset = [], [], 0
        for number, pairs in self._index.items():
            places.append((number, offset))
            size = 8 * len(pairs)
            indexes.append(
                struct.pack("<BQHI", _INDEX, 6 + size, number, size) + struct.pack(f"<{len(pairs)}Q", *pairs)
            )
            offset += len(indexes[-1])
        return Sealed(
            head + name + struct.pack("<Q", len(body)), body, b"".join(indexes), tuple(places), self.first_ns,
            self.last_ns, self.used, name.decode(), dict(self.messages), tuple(self.channels.values()),
            {number: len(pairs) // 2 for number, pairs in self._index.items()},
        )  # fmt: skip

    def _append(self, data: bytes) -> None:
        self._memory[self.used : self.used + len(data)] = np.frombuffer(data, np.uint8)
        self.used += len(data)


def needed(wanted: Sequence[tuple[Channel, int]]) -> int:
    """Bytes that messages of these channels and sizes take at most."""
    return sum(len(one.schema_record) + len(one.record) + MESSAGE.size + size for one, size in wanted)


@dataclass(frozen=True, slots=True, eq=False)
class Sealed:
    """A finished chunk with its indexes."""

    head: bytes
    body: bytes | Bytes
    indexes: bytes
    index_places: tuple[tuple[int, int], ...]  # channel, where its index begins within `indexes`
    first_ns: int
    last_ns: int
    uncompressed: int
    compression: str
    messages: dict[str, int] = field(default_factory=dict)  # by topic
    channels: tuple[Channel, ...] = ()
    channel_counts: dict[int, int] = field(default_factory=dict)

    @property
    def size(self) -> int:
        """Bytes in the file."""
        return len(self.head) + len(self.body) + len(self.indexes)

    @property
    def parts(self) -> Sequence[bytes | Bytes]:
        """What is written, in order."""
        return (self.head, self.body, self.indexes)

    def index_record(self, start: int) -> bytes:
        """The entry of the file's index for this chunk at byte `start`."""
        length = len(self.head) + len(self.body)
        places = b"".join(struct.pack("<HQ", number, start + length + at) for number, at in self.index_places)
        said = struct.pack("<QQQQI", self.first_ns, self.last_ns, start, length, len(places)) + places
        said += struct.pack("<Q", len(self.indexes)) + text(self.compression)
        return record(_CHUNK_INDEX, said + struct.pack("<QQ", len(self.body), self.uncompressed))


def _compressed(content: Bytes, compression: str) -> bytes | None:
    """None where it stays as it is: not asked for, or of no use."""
    if compression == "none":
        return None
    if compression == "lz4":
        import lz4.frame

        packed: bytes = lz4.frame.compress(content.data, content_checksum=False, store_size=True)
    elif compression == "zstd":
        import zstandard

        packed = zstandard.ZstdCompressor(level=1).compress(content.data)
    else:
        raise LogError(f"compression {compression!r} is unknown; known: {', '.join(COMPRESSIONS)}")
    return packed if len(packed) < len(content) else None
