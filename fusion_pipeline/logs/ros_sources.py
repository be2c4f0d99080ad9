"""Where the messages of a bag come from: the rosbags library, or, where a file is cut off or bare, the file itself."""

from __future__ import annotations

import bz2
import sqlite3
import struct
from collections.abc import Collection, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from fusion_pipeline.clock import LAST_NS, SECOND_NS
from fusion_pipeline.logs.mcap_places import Channel
from fusion_pipeline.logs.reader import LogError

ROS1_MAGIC = b"#ROSBAG V2.0\n"
LARGEST_RECORD = 1 << 30


@dataclass(frozen=True, slots=True)
class RawRos:
    """A message as it is stored."""

    topic: str
    time_ns: int
    data: bytes


class BagSource(Protocol):
    """A bag that is open for reading messages again and again."""

    channels: dict[str, Channel]  # by topic; those with messages
    counts: dict[str, int]  # messages by topic
    start_ns: int
    end_ns: int
    faults: tuple[str, ...]  # what is wrong with the file; nothing: it is whole

    def messages(self, topics: Collection[str], start_ns: int, end_ns: int) -> Iterator[RawRos]:
        """In order of time. Ends early, with an error of any kind, where the file is damaged."""


class LibraryBag:
    """Through rosbags."""

    def __init__(self, path: Path) -> None:
        """Raises any error, since rosbags, sqlite, yaml and lz4 have their own."""
        self.path = path
        self.faults: tuple[str, ...] = ()
        with self._reader() as reader:
            encoding = "cdr" if reader.is2 else "ros1"
            self.channels = {
                c.topic: Channel(c.topic, encoding, c.msgtype, "ros2idl" if "IDL: " in c.msgdef[:100] else "ros2msg",
                                 c.msgdef.encode())
                for c in reader.connections if c.msgcount or not reader.is2
            }  # fmt: skip
            self.counts = {topic: int(info.msgcount) for topic, info in reader.topics.items()}
            self.start_ns, self.end_ns = int(reader.start_time), int(reader.end_time)

    def messages(self, topics: Collection[str], start_ns: int, end_ns: int) -> Iterator[RawRos]:
        """See BagSource."""
        with self._reader() as reader:
            wanted = [c for c in reader.connections if c.topic in topics]
            if wanted:
                for connection, time_ns, data in reader.messages(wanted, start_ns, min(end_ns, LAST_NS)):
                    yield RawRos(connection.topic, int(time_ns), data)

    def _reader(self) -> Any:
        from rosbags.highlevel import AnyReader
        from rosbags.typesys import Stores, get_typestore

        return AnyReader([self.path], default_typestore=get_typestore(Stores.ROS2_HUMBLE))


class LooseDatabase:
    """ROS 2 .db3 files without their metadata.yaml, or with pages that are damaged."""

    def __init__(self, paths: list[Path], fault: str) -> None:
        """Raises LogError where none can be read."""
        self.channels: dict[str, Channel] = {}
        self.counts: dict[str, int] = {}
        self.start_ns, self.end_ns = LAST_NS, 0
        self.faults: tuple[str, ...] = (fault,) if fault else ()
        self._paths = paths
        for path in paths:
            try:
                with closing(self._open(path)) as base:
                    for name, kind in base.execute("SELECT name, type FROM topics"):
                        self.channels[name] = Channel(name, "cdr", kind, "ros2msg", b"")
                    query = "SELECT name, count(*) FROM messages JOIN topics ON topic_id = topics.id GROUP BY name"
                    for name, count in base.execute(query):
                        self.counts[name] = self.counts.get(name, 0) + count
                    low, high = base.execute("SELECT min(timestamp), max(timestamp) FROM messages").fetchone()
            except sqlite3.Error as error:
                raise LogError(f"{path} cannot be read as a ROS bag: {error}") from None
            if low is not None:
                self.start_ns, self.end_ns = min(self.start_ns, int(low)), max(self.end_ns, int(high))
        if not self.end_ns:
            raise LogError(f"{paths[0]} cannot be read as a ROS bag: it holds no message")

    def messages(self, topics: Collection[str], start_ns: int, end_ns: int) -> Iterator[RawRos]:
        """See BagSource."""
        asked = ",".join("?" for _ in topics)
        query = (
            "SELECT topics.name, messages.timestamp, messages.data FROM messages JOIN topics ON "
            f"messages.topic_id = topics.id WHERE topics.name IN ({asked}) AND timestamp >= ? AND timestamp < ? "
            "ORDER BY timestamp, messages.id"
        )
        for path in self._paths:
            with closing(self._open(path)) as base:
                for topic, time_ns, data in base.execute(query, (*topics, start_ns, min(end_ns, LAST_NS))):
                    yield RawRos(topic, int(time_ns), data)

    @staticmethod
    def _open(path: Path) -> sqlite3.Connection:
        return sqlite3.connect(f"file:{path}?immutable=1", uri=True)


class LooseBag:
    """A ROS 1 bag without its index, as a crash leaves it, read from the beginning as far as it goes.

    The format: http://wiki.ros.org/Bags/Format/2.0
    """

    def __init__(self, path: Path) -> None:
        """Walks over the file. Raises LogError where it holds nothing."""
        self.path = path
        self.channels: dict[str, Channel] = {}
        self.counts: dict[str, int] = {}
        self.start_ns, self.end_ns = LAST_NS, 0
        self._whole = False
        for raw in self._walk():
            self.counts[raw.topic] = self.counts.get(raw.topic, 0) + 1
            self.start_ns, self.end_ns = min(self.start_ns, raw.time_ns), max(self.end_ns, raw.time_ns)
        if not self.end_ns:
            raise LogError(f"{path} cannot be read as a ROS bag: it holds no whole message; it was cut off")
        self.faults: tuple[str, ...] = () if self._whole else ("cut off",)

    def messages(self, topics: Collection[str], start_ns: int, end_ns: int) -> Iterator[RawRos]:
        """See BagSource; in the order in which they were written."""
        for raw in self._walk():
            if raw.topic in topics and start_ns <= raw.time_ns < end_ns:
                yield raw

    def _walk(self) -> Iterator[RawRos]:
        size = self.path.stat().st_size
        with self.path.open("rb") as file:
            file.seek(len(ROS1_MAGIC))
            names: dict[int, str] = {}
            while (at := file.tell()) < size:
                found = _record(file.read(4), file.read, size - at)
                if found is None:
                    return
                fields, data = found
                if fields.get("op") != b"\x05":
                    yield from self._take(fields, data, names)
                    continue
                try:
                    inner = _unsqueezed(fields.get("compression", b"none"), data)
                except Exception:  # bz2 and lz4 have errors of their own
                    continue
                place = 0
                while place < len(inner):
                    part = _inner(inner, place)
                    if part is None:
                        break
                    fields, data, place = part
                    yield from self._take(fields, data, names)
        self._whole = True

    def _take(self, fields: dict[str, bytes], data: bytes, names: dict[int, str]) -> Iterator[RawRos]:
        kind, number = fields.get("op"), int.from_bytes(fields.get("conn", b""), "little")
        if kind == b"\x07" and "topic" in fields:
            topic, said = fields["topic"].decode(errors="replace"), _fields(data)
            names[number] = topic
            name = said.get("type", b"").decode(errors="replace")
            text = said.get("message_definition", b"")
            self.channels[topic] = Channel(topic, "ros1", name.replace("/", "/msg/", 1), "ros1msg", text)
        elif kind == b"\x02" and number in names and len(fields.get("time", b"")) == 8:
            seconds, rest = struct.unpack("<II", fields["time"])
            yield RawRos(names[number], seconds * SECOND_NS + rest, data)


def _record(head: bytes, read: Any, left: int) -> tuple[dict[str, bytes], bytes] | None:
    """The fields and data of a record whose first length has been read; None where it is cut off."""
    if len(head) < 4:
        return None
    length = int.from_bytes(head, "little")
    if length > min(left, LARGEST_RECORD):
        return None
    fields, head = _fields(read(length)), read(4)
    size = int.from_bytes(head, "little")
    if len(head) < 4 or not fields or size > LARGEST_RECORD or size > left:
        return None
    data = read(size)
    return (fields, data) if len(data) == size or fields.get("compression") == b"none" else None


def _inner(data: bytes, at: int) -> tuple[dict[str, bytes], bytes, int] | None:
    length = int.from_bytes(data[at : at + 4], "little")
    middle = at + 4 + length
    size = int.from_bytes(data[middle : middle + 4], "little")
    end = middle + 4 + size
    if end > len(data) or not (fields := _fields(data[at + 4 : middle])):
        return None
    return fields, data[middle + 4 : end], end


def _fields(data: bytes) -> dict[str, bytes]:
    found, at = {}, 0
    while at + 4 <= len(data):
        length = int.from_bytes(data[at : at + 4], "little")
        name, equals, value = data[at + 4 : at + 4 + length].partition(b"=")
        if not equals or at + 4 + length > len(data):
            break
        found[name.decode(errors="replace")] = value
        at += 4 + length
    return found


def _unsqueezed(kind: bytes, data: bytes) -> bytes:
    if kind == b"bz2":
        return bz2.decompress(data)
    if kind == b"lz4":
        import lz4.frame

        return bytes(lz4.frame.decompress(data))
    return data
