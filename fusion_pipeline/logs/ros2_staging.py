"""Databases of ROS 2 bags as files that SQLite can open without writing to the user's.

SQLite itself would bring what lies in a write-ahead log (-wal) or rollback journal (-journal) into the database, or
delete it. Where one of them holds something, a copy is made whole instead; a compressed file is decompressed.
"""

from __future__ import annotations

import shutil
import sqlite3
import tempfile
import weakref
from contextlib import closing
from pathlib import Path

from fusion_pipeline.logs.compressed_file import inner_name, uncompressed
from fusion_pipeline.logs.reader import LogError

SQLITE_MAGIC = b"SQLite format 3\0"
JOURNAL_MAGIC = bytes.fromhex("d9d505f920a163d7")  # https://www.sqlite.org/fileformat.html#the_rollback_journal
WAL_HEAD = 32  # bytes before the first frame: https://www.sqlite.org/fileformat.html#the_write_ahead_log
TRIES = 3


class Staged:
    """A file to open for reading, the user's own or one in a temporary folder that is removed with this object."""

    def __init__(self, path: Path) -> None:
        """Raises LogError where there is no room for a copy, or it cannot be read."""
        self.path = path
        self.beside = ""  # the name of the journal that is part of it
        self.damage = ""  # of the compression: "cut off" or "damaged"
        self._folder: Path | None = None
        try:
            if inner_name(path) != path.name:
                self._whole = uncompressed(path)
                self.path, self.damage = self._whole.path, self._whole.damage
            elif (journal := _journal(path)) is not None:
                self.beside = journal.name
                self.path = self._room("bag.db3", path.stat().st_size + journal.stat().st_size)
                self._together(path, journal)
        except OSError as error:
            raise LogError(f"cannot read {path}: {error.strerror}; where: {error.filename or self.path}") from None

    def _room(self, name: str, size: int) -> Path:
        place = Path(tempfile.gettempdir())
        if shutil.disk_usage(place).free < size:
            raise LogError(
                f"{self.path} is read from a copy of {size / 1e6:.0f} MB, for which {place} has no room; "
                "let TMPDIR name a folder that has"
            )
        self._folder = Path(tempfile.mkdtemp(prefix="fusion-bag-"))
        weakref.finalize(self, shutil.rmtree, self._folder, ignore_errors=True)
        return self._folder / name

    def _together(self, path: Path, journal: Path) -> None:
        """Copy both, in such an order that what a recorder writes meanwhile does no harm, and let SQLite join them."""
        copy = self.path.with_name(self.path.name + journal.name.removeprefix(path.resolve().name))
        for _ in range(TRIES):
            before = _head(journal)
            shutil.copyfile(path, self.path)
            shutil.copyfile(journal, copy)
            if _head(copy) == before:
                break
        else:
            raise LogError(f"{path} changes while it is read; read it when its recorder has ended")
        try:
            with closing(sqlite3.connect(self.path)) as base:
                base.execute("SELECT count(*) FROM sqlite_master").fetchone()
                base.execute("PRAGMA journal_mode=DELETE").fetchone()
        except sqlite3.Error as error:
            raise LogError(f"{path} cannot be read together with {journal.name}: {error}") from None


def _journal(path: Path) -> Path | None:
    """The write-ahead log or rollback journal beside a database, where it holds something."""
    whole = path.resolve()  # of a link, it lies beside what the link leads to
    for ending in ("-wal", "-journal"):
        found = whole.with_name(whole.name + ending)
        if found.is_file():
            head = _head(found)
            if len(head) >= WAL_HEAD if ending == "-wal" else head.startswith(JOURNAL_MAGIC):
                return found
    return None


def _head(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(WAL_HEAD)
