"""Files are written beside their final place and take their name when they are whole.

While it is written, `drive.mcap` is called `drive.partial.mcap`. A file that was at the final place stays as it is
until then: a full disk, Ctrl-C or a kill costs nothing that was there before, and a final name never stands for half a
product. What is whole of an output that ended early stays under the name that says so, and `PARTIAL` lists it for
whoever reports to the user.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

MOST_PARTIAL = 1000  # of one name, before the user is asked to tidy up
PARTIAL: list[tuple[Path, str]] = []  # what this process left under a partial name, and what is in it


@dataclass(slots=True)
class OutputFile:
    """An output that is being written to `path`; set `holds` as soon as a part of it would be of use to someone."""

    final: Path  # where it goes when it is whole; links are followed
    path: Path  # where to write
    holds: str | Callable[[], str] = ""  # such as "120 messages"; empty: nothing is worth keeping
    direct: bool = field(default=False)  # a device or a pipe: there is nothing to rename

    def finish(self) -> None:
        """Give the file its final name. Raises OSError."""
        if not self.direct:
            with contextlib.suppress(OSError):
                self.path.chmod(stat.S_IMODE(self.final.stat().st_mode))
            self.path.replace(self.final)

    def leave(self) -> None:
        """The output ended early: keep what it holds under its partial name, or delete it where it holds nothing."""
        if self.direct:
            return
        if holds := self.holds if isinstance(self.holds, str) else self.holds():
            PARTIAL.append((self.path, holds))
        else:
            self.path.unlink(missing_ok=True)


def begin_output(path: Path) -> OutputFile:
    """Reserve a name beside `path`, whose folder is made. Raises OSError where nothing can be written there."""
    final = Path(os.path.realpath(path))
    if final.is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    if final.exists() and not final.is_file():
        return OutputFile(final, path, direct=True)
    final.parent.mkdir(parents=True, exist_ok=True)
    for place in partial_names(final):
        try:
            os.close(os.open(place, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666))
        except FileExistsError:
            continue
        return OutputFile(final, place)
    raise FileExistsError(errno.EEXIST, "too many partial files of this name; delete those of no use", str(path))


def partial_names(path: Path) -> Iterator[Path]:
    """Names for a part of `path`: drive.partial.mcap, drive.partial-2.mcap, ..."""
    for number in range(1, MOST_PARTIAL):
        yield path.with_name(f"{path.stem}.partial{'' if number == 1 else f'-{number}'}{path.suffix}")


def partial_files(path: Path) -> list[Path]:
    """The partial files of `path` that exist, in the order in which they were begun."""
    return [place for place in partial_names(Path(os.path.realpath(path))) if place.is_file()]


def mark_partial(path: Path, holds: str) -> Path:
    """Give a file at its final place, which turned out to lack something, a partial name. Raises OSError."""
    output = begin_output(path)
    if not output.direct:
        output.final.replace(output.path)
        output.holds = holds
        output.leave()
    return output.path


@contextlib.contextmanager
def whole_file(path: Path) -> Iterator[OutputFile]:
    """`with whole_file(out) as file:` write to `file.path`; at the end of the block it becomes `out`.

    Where the block raises, also KeyboardInterrupt, what `file.holds` names is kept under the partial name, and deleted
    where it names nothing. Raises OSError.
    """
    output = begin_output(path)
    try:
        yield output
        output.finish()
    except BaseException:
        output.leave()
        raise


def write_whole(path: Path, data: bytes | str) -> None:
    """Write a small file, whole or not at all; text as UTF-8. Raises OSError, which names `path`."""
    try:
        with whole_file(path) as file:
            file.path.write_bytes(data.encode("utf-8") if isinstance(data, str) else data)
    except OSError as error:
        raise type(error)(error.errno, error.strerror or str(error), str(path)) from None


class LineFile:
    """A file that grows by whole lines: what the disk takes only in part is cut off again."""

    def __init__(self, path: Path, goes_on: bool = False) -> None:
        """Create `path`, emptying what is there; with `goes_on` append, after its last whole line. Raises OSError."""
        path.parent.mkdir(parents=True, exist_ok=True)
        how = os.O_RDWR if goes_on else os.O_WRONLY | os.O_TRUNC
        self._file = os.open(path, how | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o666)
        try:
            self._size = self._whole_bytes() if goes_on else 0
            if goes_on:
                os.ftruncate(self._file, self._size)
        except OSError:
            os.close(self._file)
            raise

    def write(self, line: str) -> None:
        """Append a line, with its line break, or nothing of it. Raises OSError."""
        rest = memoryview(line.encode("utf-8"))
        size = len(rest)
        try:
            while rest:
                rest = rest[os.write(self._file, rest) :]
        except OSError:
            with contextlib.suppress(OSError):  # a device has no length
                os.ftruncate(self._file, self._size)
            raise
        self._size += size

    def close(self) -> None:
        """Close the file; more than once does no harm."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def _whole_bytes(self) -> int:
        """Up to and with the last line break."""
        end = os.fstat(self._file).st_size
        while end > 0:
            begin = max(0, end - 65536)
            found = os.pread(self._file, end - begin, begin).rfind(b"\n")
            if found >= 0:
                return begin + found + 1
            end = begin
        return 0
