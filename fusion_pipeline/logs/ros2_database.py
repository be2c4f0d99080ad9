"""One .db3 file of a ROS 2 bag: topics, definitions and messages in an SQLite database, read and never written.

The tables: https://github.com/ros2/rosbag2, rosbag2_storage_sqlite3. Only tables are read, no views; every query has a
budget of work in proportion to the file; values of another type than the table's are counted and left out.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Collection, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

from fusion_pipeline.clock import LAST_NS
from fusion_pipeline.findings import Findings
from fusion_pipeline.logs.mcap_places import Channel
from fusion_pipeline.logs.reader import LogError
from fusion_pipeline.logs.ros2_staging import SQLITE_MAGIC, Staged
from fusion_pipeline.logs.ros_sources import Lost, RawRos

STEP = 10_000  # instructions of SQLite's machine between two looks at the budget
LEAST_BUDGET = 20_000_000  # instructions: about 0.2 s
PER_BYTE = 40  # instructions for each byte of the file; a row of 20 bytes takes some 30
LARGEST_MESSAGE = 1 << 30
ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"  # no CDR message begins so: its first two bytes name a representation below 256
MOST_HOLES = 1000  # places at which reading of a damaged file goes on


class Database:
    """A database as a source; its connections are numbered as its topics are."""

    def __init__(self, path: Path, squeezed: bool | None = None) -> None:
        """Read its topics and times. `squeezed`: whether each message is compressed; None: as the first one is.

        `counts` are 0 until `count` is called or they are set. Raises LogError where it cannot be read at all.
        """
        self.path = path
        self.findings = Findings()
        self.faults: tuple[str, ...] = ()
        self.channels: dict[int, Channel] = {}
        self.counts: dict[int, int] = {}
        self.total = 0  # messages
        self.start_ns, self.end_ns = LAST_NS, 0
        self._staged = Staged(path)
        if self._staged.beside:
            self.findings.add("not-closed", "", f"part of {path.name} is in {self._staged.beside}")
        self._torn = self._short() or bool(self._staged.damage)
        self._spent = False
        try:
            with closing(self._open()) as base:
                self._check(base)
                self._read_topics(base)
                if self._torn:
                    self._salvage(base, self._staged.damage or "cut off")
                else:
                    self._read_times(base)
                self._squeezed = self._looks_squeezed(base) if squeezed is None else squeezed
        except sqlite3.Error as error:
            raise LogError(f"{path} cannot be read as a ROS bag: {self._said(error)}") from None

    def count(self) -> None:
        """Count the messages of each topic, for which all of the table is looked at."""
        if self.faults:
            return  # counted on opening
        try:
            with closing(self._open()) as base:
                for number, count in base.execute("SELECT topic_id, count(*) FROM messages GROUP BY topic_id"):
                    if number in self.counts:
                        self.counts[number] = count
                    else:
                        self.findings.add("unread-topic", "", f"{count} messages of no topic in {self.path.name}")
        except sqlite3.Error as error:
            with closing(self._open()) as base:
                self._salvage(base, self._said(error))

    def messages(self, connections: Collection[int], start_ns: int, end_ns: int, lost: Lost) -> Iterator[RawRos]:
        """See BagSource."""
        wanted = [key for key in connections if key in self.channels]
        if not wanted or not self.total:
            return
        unpack = _unpacker() if self._squeezed else None
        with closing(self._open()) as base:
            for connection, time_ns, data in self._rows(base, wanted, start_ns, end_ns, lost):
                if type(time_ns) is not int or not 0 <= time_ns < LAST_NS:
                    lost[self.channels[connection].topic, "message without a time"] += 1
                elif type(data) is not bytes:
                    lost[self.channels[connection].topic, "message that is no bytes"] += 1
                elif unpack is None:
                    yield RawRos(connection, time_ns, data)
                elif (plain := unpack(data)) is not None:
                    yield RawRos(connection, time_ns, plain)
                else:
                    lost[self.channels[connection].topic, "damaged message"] += 1

    def _rows(
        self, base: sqlite3.Connection, wanted: list[int], start_ns: int, end_ns: int, lost: Lost
    ) -> Iterator[tuple[int, Any, Any]]:
        last = (-1, -1 << 63)  # time and number of the last row
        if not self._torn:
            query, values = _query(wanted if len(wanted) < len(self.channels) else None, start_ns, end_ns)
            try:
                for number, connection, time_ns, data in base.execute(query, values):
                    last = time_ns, number
                    if connection in self.channels:
                        yield connection, time_ns, data
                    else:
                        lost["log", "message of an unknown topic"] += 1
                return
            except sqlite3.Error as error:
                if self._spent or not isinstance(last[0], int):
                    lost["log", self._said(error)] += 1
                    return
        asked = frozenset(wanted)
        for number, connection, time_ns, data in self._by_number(base, "topic_id, timestamp, data", lost):
            if connection not in asked:
                continue
            if not isinstance(time_ns, int) or (start_ns <= time_ns < end_ns and (time_ns, number) > last):
                yield connection, time_ns, data

    def _by_number(self, base: sqlite3.Connection, columns: str, lost: Lost) -> Iterator[tuple[int, Any, Any, Any]]:
        """Rows of a damaged file in the order of their numbers, over its holes; first the number, then `columns`."""
        last, step = -1 << 62, 1
        reason = "cut off" if self._torn else "damaged page"
        for _ in range(MOST_HOLES):
            try:
                for row in base.execute(
                    f"SELECT rowid, {columns} FROM messages WHERE rowid > ? ORDER BY rowid", (last,)
                ):
                    last, step = row[0], 1
                    yield row
                return
            except sqlite3.Error:
                if step == 1:
                    lost["log", reason] += 1
                last = max(last, 0) + step
                step *= 2
                if self._spent or last > LAST_NS:
                    return

    def _check(self, base: sqlite3.Connection) -> None:
        kinds = dict(base.execute("SELECT name, type FROM sqlite_master WHERE name IN ('topics', 'messages')"))
        for name in ("topics", "messages"):
            if kinds.get(name) != "table":
                raise LogError(f"{self.path} cannot be read as a ROS bag: no such table: {name}")
            columns = base.execute("SELECT name, hidden FROM pragma_table_xinfo(?)", (name,)).fetchall()
            needed = ("id", "topic_id", "timestamp", "data") if name == "messages" else ("id", "name", "type")
            for column in needed:
                if (column, 0) not in columns:
                    raise LogError(f"{self.path} cannot be read as a ROS bag: {name} has no column {column}")

    def _read_topics(self, base: sqlite3.Connection) -> None:
        written = {}
        try:
            columns = "topic_type, encoding, encoded_message_definition"
            for kind, encoding, text in base.execute(f"SELECT {columns} FROM message_definitions"):
                if isinstance(kind, str) and isinstance(encoding, str) and isinstance(text, str):
                    written[kind] = encoding, text.encode()
        except sqlite3.Error:  # before ROS 2 Iron there is no such table
            written.clear()
        form = "serialization_format" if self._has(base, "serialization_format") else "'cdr'"
        for number, name, kind, encoding in base.execute(f"SELECT id, name, type, {form} FROM topics"):
            if not (isinstance(number, int) and isinstance(name, str) and isinstance(kind, str)):
                self.findings.add("unread-topic", "", f"a row of the table of topics in {self.path.name} is damaged")
                continue
            encoding = encoding if isinstance(encoding, str) and encoding else "cdr"
            self.channels[number] = Channel(name, encoding, kind, *written.get(kind, ("ros2msg", b"")))
            self.counts[number] = 0

    @staticmethod
    def _has(base: sqlite3.Connection, column: str) -> bool:
        query = "SELECT count(*) FROM pragma_table_xinfo('topics') WHERE name = ? AND hidden = 0"
        return bool(base.execute(query, (column,)).fetchone()[0])

    def _read_times(self, base: sqlite3.Connection) -> None:
        """When the first and last message came, and how many there are."""
        try:
            query = "SELECT min(timestamp), max(timestamp) FROM messages WHERE timestamp >= 0 AND timestamp < ?"
            low, high = base.execute(query, (LAST_NS,)).fetchone()
            self.total = base.execute("SELECT count(*) FROM messages").fetchone()[0]
        except sqlite3.Error as error:
            if self._spent:
                raise
            return self._salvage(base, self._said(error))
        if low is not None:
            self.start_ns, self.end_ns = int(low), int(high)

    def _salvage(self, base: sqlite3.Connection, fault: str) -> None:
        """Of a damaged file, see what there is."""
        self.faults = (fault,)
        self.total = 0
        self.counts = dict.fromkeys(self.counts, 0)
        for _, number, time_ns, _ in self._by_number(base, "topic_id, timestamp, 0", Lost()):
            if number in self.counts and isinstance(time_ns, int) and 0 <= time_ns < LAST_NS:
                self.total += 1
                self.counts[number] += 1
                self.start_ns, self.end_ns = min(self.start_ns, time_ns), max(self.end_ns, time_ns)

    def _looks_squeezed(self, base: sqlite3.Connection) -> bool:
        """Whether the first message is compressed; bags whose metadata.yaml says so may have lost it."""
        try:
            found = base.execute("SELECT substr(data, 1, 4) FROM messages LIMIT 1").fetchone()
        except sqlite3.Error:
            return False
        return found is not None and found[0] == ZSTD_MAGIC

    def _open(self) -> sqlite3.Connection:
        size = self._staged.path.stat().st_size
        left = [LEAST_BUDGET + PER_BYTE * size]
        self._spent = False

        def over() -> bool:
            left[0] -= STEP
            self._spent = left[0] < 0
            return self._spent

        address = f"{self._staged.path.resolve().as_uri()}?immutable=1"  # a name may have ?, # or % in it
        base = sqlite3.connect(address, uri=True, check_same_thread=False)
        base.text_factory = lambda raw: raw.decode(errors="replace")
        base.set_progress_handler(over, STEP)
        try:
            base.execute("PRAGMA trusted_schema=OFF")
            if self._torn:  # lets SQLite read a file that is shorter than its header says
                base.execute("PRAGMA writable_schema=ON")
        except sqlite3.Error:
            base.close()
            raise
        return base

    def _short(self) -> bool:
        """Whether the file is shorter than its header says. Raises LogError where it is no database."""
        try:
            with self._staged.path.open("rb") as file:
                head = file.read(100)
                size = file.seek(0, 2)
        except OSError as error:
            raise LogError(f"cannot read {self.path}: {error.strerror}") from None
        if not head.startswith(SQLITE_MAGIC):
            said = "does not begin as an SQLite database does" if head else "is empty"
            raise LogError(f"{self.path} cannot be read as a ROS bag: it {said}")
        page = int.from_bytes(head[16:18], "big")
        return size < (65536 if page == 1 else page) * int.from_bytes(head[28:32], "big")

    def _said(self, error: sqlite3.Error) -> str:
        return "reading it takes more work than its size explains" if self._spent else str(error)


def _query(wanted: list[int] | None, start_ns: int, end_ns: int) -> tuple[str, list[int]]:
    """Rows in order of time. Without bounds rows come whose times are no numbers, too."""
    conditions, values = [], list[int]()
    if wanted is not None:
        conditions.append(f"topic_id IN ({','.join(str(number) for number in wanted)})")
    if start_ns > 0:
        conditions.append("timestamp >= ?")
        values.append(start_ns)
    if end_ns < LAST_NS:
        conditions.append("timestamp < ?")
        values.append(end_ns)
    where = f" WHERE {' AND '.join(conditions)}" if conditions else ""
    return f"SELECT id, topic_id, timestamp, data FROM messages{where} ORDER BY timestamp, id", values


def _unpacker() -> Callable[[bytes], bytes | None]:
    """A function that unpacks a message compressed with zstd; None where it is damaged."""
    import zstandard

    unpack = zstandard.ZstdDecompressor()

    def unpacked(data: bytes) -> bytes | None:
        try:
            size = zstandard.get_frame_parameters(data).content_size
            if size <= LARGEST_MESSAGE:
                return bytes(unpack.decompress(data))
            if size != zstandard.CONTENTSIZE_UNKNOWN:
                return None
            parts, left = [], LARGEST_MESSAGE
            for part in unpack.read_to_iter(data):
                parts.append(part)
                left -= len(part)
                if left < 0:
                    return None
            return b"".join(parts)
        except zstandard.ZstdError:
            return None

    return unpacked
