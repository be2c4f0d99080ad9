"""ROS 1 bags: by their index, or, where a recorder did not write one, walked over from the beginning."""

from __future__ import annotations

import struct
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from fusion_pipeline.clock import LAST_NS
from fusion_pipeline.findings import Findings
from fusion_pipeline.logs.compressed_file import inner_name, uncompressed
from fusion_pipeline.logs.mcap_places import Channel
from fusion_pipeline.logs.reader import LogError
from fusion_pipeline.logs.ros1_records import (
    CHUNK,
    CHUNK_INFO,
    CONNECTION,
    HEADER,
    MESSAGE,
    DamagedBagError,
    Found,
    fields_of,
    messages_in,
    note_connection,
    number,
    operation,
    record_at,
    time_of,
    unpacked,
)  # fmt: skip
from fusion_pipeline.logs.ros_sources import Lost, RawRos

MAGIC = b"#ROSBAG V2.0\n"
LARGEST_RECORD = 1 << 30
LARGEST_HEADER = 1 << 24  # a connection's header is in its record's data
RUN = 1 << 22  # bytes of messages outside of chunks that are read at once
REST = -1  # length of a chunk that its recorder did not finish: to the end of the file


@dataclass(frozen=True, slots=True)
class _Chunk:
    at: int
    start_ns: int
    end_ns: int
    counts: dict[int, int]  # messages by connection
    run: int = 0  # length of a run of records that are in no chunk, or REST


class Ros1Bag:
    """A .bag file, or the .bag.active that a recorder has not closed."""

    def __init__(self, path: Path) -> None:
        """Read its index, or walk over it. Raises LogError where it holds no message or is no bag that is read."""
        self.path = path
        self._whole = uncompressed(path) if inner_name(path) != path.name else None
        self.findings = Findings()
        self.faults: tuple[str, ...] = ()
        self._chunks: list[_Chunk] = []
        self._connections: dict[int, dict[str, bytes]] = {}
        self._damage = ""
        with self._open() as file:
            self._size = file.seek(0, 2)
            if not self._indexed(file):
                self._chunks.clear()
                self._connections.clear()
                self._walk(file)
        self._chunks.sort(key=lambda chunk: chunk.start_ns)
        self.counts = dict.fromkeys(self._connections, 0)
        for chunk in self._chunks:
            for key, count in chunk.counts.items():
                self.counts[key] = self.counts.get(key, 0) + count
        self.channels = {key: _channel(fields) for key, fields in self._connections.items()}
        if any(count and key not in self.channels for key, count in self.counts.items()):
            self.faults += ("messages of unknown connections",)
        if not any(self.counts.values()):
            said = "no whole message; it was cut off" if self.faults else "no message"
            raise LogError(f"{path} cannot be read as a ROS bag: it holds {said}")
        self.start_ns = min(chunk.start_ns for chunk in self._chunks)
        self.end_ns = max(chunk.end_ns for chunk in self._chunks)

    def messages(self, connections: Collection[int], start_ns: int, end_ns: int, lost: Lost) -> Iterator[RawRos]:
        """See BagSource."""
        wanted = frozenset(connections)
        chunks = [
            chunk for chunk in self._chunks
            if chunk.start_ns < end_ns and chunk.end_ns >= start_ns and not wanted.isdisjoint(chunk.counts)
        ]  # fmt: skip
        waiting: list[tuple[Found, bytes]] = []  # of chunks whose times overlap
        with self._open() as file:
            for place, chunk in enumerate(chunks):
                try:
                    data = self._records(file, chunk)
                except DamagedBagError as error:
                    lost["log", str(error)] += 1
                    continue
                found, whole = messages_in(data, wanted, start_ns, end_ns, {})
                if not whole and not chunk.run:
                    lost["log", "damaged chunk"] += 1
                later_ns = chunks[place + 1].start_ns if place + 1 < len(chunks) else LAST_NS
                if not waiting and (not found or found[-1][0] <= later_ns):
                    for time_ns, connection, start, end in found:
                        yield RawRos(connection, time_ns, data[start:end])
                    continue
                waiting += [(item, data) for item in found]
                waiting.sort(key=lambda pair: pair[0][0])
                ready = next((k for k, (item, _) in enumerate(waiting) if item[0] > later_ns), len(waiting))
                for (time_ns, connection, start, end), data in waiting[:ready]:
                    yield RawRos(connection, time_ns, data[start:end])
                del waiting[:ready]
        for (time_ns, connection, start, end), data in waiting:  # where the last chunk is damaged
            yield RawRos(connection, time_ns, data[start:end])

    def _open(self) -> BinaryIO:
        try:
            return (self._whole.path if self._whole is not None else self.path).open("rb")
        except OSError as error:
            raise LogError(f"cannot read {self.path}: {error.strerror}") from None

    def _indexed(self, file: BinaryIO) -> bool:
        """Read the index at the end of the file; False where there is none, or it is not whole."""
        file.seek(0)
        magic = file.read(20)
        if not magic.startswith(MAGIC):
            raise LogError(f"{self.path} {_no_bag(magic)}")
        file.seek(len(MAGIC))
        head = self._record(file)
        fields = head[0] if head is not None else {}
        if operation(fields) != HEADER:
            return False
        if encryptor := fields.get("encryptor", b"").decode(errors="replace"):
            raise LogError(
                f"{self.path} is encrypted (by {encryptor[:60]}), which is not read; decrypt it with `rosbag decrypt`"
            )
        try:
            at, connections, chunks = (number(fields, name) for name in ("index_pos", "conn_count", "chunk_count"))
        except DamagedBagError:
            return False
        if not at:
            self.findings.add("not-closed", "", f"{self.path.name} has no index")
            return False
        if not chunks or not len(MAGIC) < at < self._size or self._size - at > LARGEST_RECORD:
            return False
        file.seek(at)
        try:
            self._read_index(file.read(self._size - at), at)
        except DamagedBagError:
            return False
        return len(self._connections) == connections and len(self._chunks) == chunks

    def _read_index(self, data: bytes, end: int) -> None:
        at = 0
        while (place := record_at(data, at)) is not None:
            head, middle, start, at = place
            fields = fields_of(data[head:middle])
            if operation(fields) == CONNECTION:
                note_connection(fields, data[start:at], self._connections)
            elif operation(fields) == CHUNK_INFO:
                position, length = number(fields, "chunk_pos"), number(fields, "count")
                if number(fields, "ver") != 1 or position >= end or at - start != 8 * length:
                    raise DamagedBagError("damaged index")
                words = struct.unpack(f"<{2 * length}I", data[start:at])
                counts = dict(zip(words[::2], words[1::2], strict=True))
                times = [time_of(fields.get(name, b"")) for name in ("start_time", "end_time")] if counts else [0, 0]
                self._chunks.append(_Chunk(position, times[0], times[1], counts))
        if at != len(data):
            raise DamagedBagError("damaged index")

    def _walk(self, file: BinaryIO) -> None:
        """Find what there is, record by record, as far as it goes."""
        at = len(MAGIC)
        file.seek(at)
        self.faults = ("cut off",)
        while at < self._size:
            found = self._record(file)
            if found is None:
                return
            fields, length = found
            kind, after = operation(fields), file.tell() + length
            if kind == CHUNK:
                open_end = after > self._size or (not length and _unfinished(fields))
                self._note(file, _Chunk(at, 0, 0, {}, REST if open_end else 0))
                after = self._size + 1 if open_end else after
            elif kind == MESSAGE:
                after = self._note(file, _Chunk(at, 0, 0, {}, max(RUN, after - at)))
            elif not kind:
                return
            elif kind == CONNECTION and length <= LARGEST_HEADER:
                note_connection(fields, file.read(length), self._connections)
            if after > self._size:
                return
            at = after
            file.seek(at)
        self.faults = (self._damage,) if self._damage else ()

    def _note(self, file: BinaryIO, chunk: _Chunk) -> int:
        """Add a chunk with the times and counts that its messages have; where a run of records ends."""
        try:
            data = self._records(file, chunk)
        except DamagedBagError as error:
            self._damage = str(error)
            return 0
        run = _end(data) if chunk.run > 0 else chunk.run
        found, _ = messages_in(data[:run] if run > 0 else data, None, 0, LAST_NS, self._connections)
        counts: dict[int, int] = {}
        for item in found:
            counts[item[1]] = counts.get(item[1], 0) + 1
        if found:
            self._chunks.append(_Chunk(chunk.at, found[0][0], found[-1][0], counts, run))
        return chunk.at + run if run > 0 else self._size + 1

    def _records(self, file: BinaryIO, chunk: _Chunk) -> bytes:
        """The records of a chunk. Raises DamagedBagError."""
        file.seek(chunk.at)
        if chunk.run > 0:
            return file.read(chunk.run)
        found = self._record(file)
        if found is None or operation(found[0]) != CHUNK:
            raise DamagedBagError("no chunk where the index says")
        fields, length = found
        if file.tell() + length > self._size and chunk.run != REST:
            raise DamagedBagError("cut off")
        size = length if (compression := fields.get("compression", b"none")) == b"none" else number(fields, "size")
        data = file.read(LARGEST_RECORD if chunk.run == REST else length)
        return unpacked(compression, data, size, chunk.run != REST)

    def _record(self, file: BinaryIO) -> tuple[dict[str, bytes], int] | None:
        """Fields of the record at the file's place, which is then at its data, and that data's length as claimed."""
        left = self._size - file.tell() - 8
        length = int.from_bytes(file.read(4), "little")
        if length > min(left, LARGEST_HEADER):
            return None
        fields = fields_of(file.read(length))
        size = int.from_bytes(file.read(4), "little")
        return (fields, size) if fields and size <= LARGEST_RECORD else None


def _unfinished(fields: dict[str, bytes]) -> bool:
    """Whether a chunk without data is one that its recorder was still compressing."""
    return fields.get("compression", b"none") != b"none" and not any(fields.get("size", b""))


def _end(data: bytes) -> int:
    """Where the last whole record of a run of messages and connections ends."""
    at = 0
    while (place := record_at(data, at)) is not None:
        if operation(fields_of(data[place[0] : place[1]])) not in (MESSAGE, CONNECTION):
            break
        at = place[3]
    return at


def _channel(fields: dict[str, bytes]) -> Channel:
    topic, kind = (fields.get(name, b"").decode(errors="replace") for name in ("topic", "type"))
    plain = "/".join(part for part in topic.split("/") if part)
    name = kind if "/msg/" in kind else kind.replace("/", "/msg/", 1)
    text = fields.get("message_definition", b"")
    return Channel(f"/{plain}" if topic.startswith("/") else plain, "ros1", name, "ros1msg", text)


def _no_bag(magic: bytes) -> str:
    said = "cannot be read as a ROS bag: "
    if not magic:
        return f"{said}it is empty"
    if magic.startswith((b"#ROSBAG V1", b"#ROSRECORD V1")):
        version = magic.partition(b"V")[2][:3].decode(errors="replace").strip()
        return f"is a ROS bag of version {version}, which is not read; `rosbag fix` makes it one of version 2.0"
    return f"{said}it does not begin as one does"
