"""One MCAP file being written: chunks as they come, what describes the recording before and behind them.

Nothing is ever half in the file: where the disk gives no room, what was begun is cut off again and the error is raised,
so that the caller can count what was lost and go on when there is room.
"""

from __future__ import annotations

import contextlib
import os
import struct
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from fusion_pipeline.logs.checksum import crc32
from fusion_pipeline.logs.mcap_chunk import Channel, Sealed, record, text
from fusion_pipeline.logs.reader import LogError

MAGIC = b"\x89MCAP0\r\n"
_HEADER, _FOOTER, _ATTACHMENT, _ATTACHMENT_INDEX, _STATISTICS, _METADATA, _METADATA_INDEX = 1, 2, 9, 10, 11, 12, 13
_SUMMARY_OFFSET, _DATA_END = 14, 15


class McapOut:
    """A new file. Not for several threads at once."""

    def __init__(self, path: Path, library: str = "") -> None:
        """Create `path`, replacing what is there. Raises LogError where that is not possible."""
        self.path = path
        self.size = 0
        self.messages: Counter[str] = Counter()  # by topic
        self.first_ns, self.last_ns = 1 << 63, 0
        self._channels: dict[int, Channel] = {}
        self._counts: Counter[int] = Counter()
        self._chunks: list[bytes] = []
        self._attachments: list[bytes] = []
        self._metadata: list[bytes] = []
        self._file = -1
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644)
            library = library or f"fusion-pipeline {version('fusion-pipeline')}"
            self._append([MAGIC, record(_HEADER, text("") + text(library))])
        except OSError as error:
            self.abandon()
            raise LogError(f"cannot write {path}: {error.strerror}; choose another place") from None

    @property
    def closed(self) -> bool:
        """Whether it has been closed."""
        return self._file < 0

    def in_place(self) -> bool:
        """Whether `path` still names this file; it may have been deleted or moved, or its disk been changed."""
        try:
            there, own = self.path.stat(), os.fstat(self._file)
        except OSError:
            return False
        return (there.st_dev, there.st_ino) == (own.st_dev, own.st_ino)

    @property
    def deleted(self) -> bool:
        """Whether no name is left of the file: what is in it is lost once it is closed."""
        try:
            return self.closed or os.fstat(self._file).st_nlink == 0
        except OSError:  # the disk is gone
            return True

    def add_chunk(self, chunk: Sealed) -> None:
        """Append a chunk with its indexes. Raises OSError where it does not fit; the file is then as before."""
        start = self.size
        self._append(chunk.parts)
        self._chunks.append(chunk.index_record(start))
        self._channels.update((channel.id, channel) for channel in chunk.channels)
        self._counts.update(chunk.channel_counts)
        self.messages.update(chunk.messages)
        self.first_ns, self.last_ns = min(self.first_ns, chunk.first_ns), max(self.last_ns, chunk.last_ns)

    def add_metadata(self, name: str, table: Mapping[str, str]) -> None:
        """Append names with values. Raises OSError."""
        pairs = b"".join(text(key) + text(value) for key, value in table.items())
        made = record(_METADATA, text(name) + struct.pack("<I", len(pairs)) + pairs)
        start = self.size
        self._append([made])
        self._metadata.append(record(_METADATA_INDEX, struct.pack("<QQ", start, len(made)) + text(name)))

    def add_attachment(self, name: str, media_type: str, data: bytes, at_ns: int | None = None) -> None:
        """Append a file. Raises OSError."""
        at = time.time_ns() if at_ns is None else at_ns
        body = struct.pack("<QQ", at, at) + text(name) + text(media_type) + struct.pack("<Q", len(data)) + data
        made = record(_ATTACHMENT, body + struct.pack("<I", crc32(body)))
        start = self.size
        self._append([made])
        said = struct.pack("<QQQQQ", start, len(made), at, at, len(data)) + text(name) + text(media_type)
        self._attachments.append(record(_ATTACHMENT_INDEX, said))

    def close(self) -> None:
        """Append the index and close. Raises OSError where there is no room for it: the file then has none, and is
        read as one whose writer was cut off.
        """
        if self.closed:
            return
        try:
            self._append([self._ending()])
        finally:
            self.abandon()

    def abandon(self) -> None:
        """Close without an index."""
        if not self.closed:
            os.close(self._file)
            self._file = -1

    def _append(self, parts: Sequence[Any]) -> None:
        """Write all of `parts` or nothing."""
        views = [memoryview(part).cast("B") for part in parts if len(part)]
        total = sum(len(view) for view in views)
        done = 0
        try:
            while views:
                wrote = os.writev(self._file, views)
                done += wrote
                while views and wrote >= len(views[0]):
                    wrote -= len(views.pop(0))
                if views:
                    views[0] = views[0][wrote:]
        except OSError:
            if done:
                with contextlib.suppress(OSError):
                    os.ftruncate(self._file, self.size)
                    os.lseek(self._file, self.size, os.SEEK_SET)
            raise
        self.size += total

    def _ending(self) -> bytes:
        """The end of the data, the summary with everything's place, the footer."""
        end = record(_DATA_END, struct.pack("<I", 0))
        start = self.size + len(end)
        schemas = {channel.schema_id: channel.schema_record for channel in self._channels.values() if channel.schema_id}
        groups = (
            (3, b"".join(schemas.values())),
            (4, b"".join(channel.record for channel in self._channels.values())),
            (_STATISTICS, self._statistics(len(schemas))),
            (8, b"".join(self._chunks)),
            (_ATTACHMENT_INDEX, b"".join(self._attachments)),
            (_METADATA_INDEX, b"".join(self._metadata)),
        )
        summary, offsets = b"".join(group for _, group in groups), b""
        at = start
        for code, group in groups:
            if group:
                offsets += record(_SUMMARY_OFFSET, struct.pack("<BQQ", code, at, len(group)))
            at += len(group)
        footer = struct.pack("<BQQQ", _FOOTER, 20, start, at)
        checksum = crc32(footer, crc32(offsets, crc32(summary)))
        return end + summary + offsets + footer + struct.pack("<I", checksum) + MAGIC

    def _statistics(self, schemas: int) -> bytes:
        total = sum(self._counts.values())
        first, last = (self.first_ns, self.last_ns) if total else (0, 0)
        counts = b"".join(struct.pack("<HQ", number, count) for number, count in self._counts.items())
        said = struct.pack("<QHIIIIQQI", total, schemas, len(self._channels), len(self._attachments),
                           len(self._metadata), len(self._chunks), first, last, len(counts))  # fmt: skip
        return record(_STATISTICS, said + counts)
