"""The numbered files of a recording, each a log of its own."""

from __future__ import annotations

import contextlib
import errno
import glob
import shutil
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from fusion_pipeline.logs.mcap_chunk import Sealed
from fusion_pipeline.logs.mcap_out import McapOut
from fusion_pipeline.logs.provenance import RECORDED, Provenance
from fusion_pipeline.logs.reader import LogError
from fusion_pipeline.output_file import mark_partial

RESERVE_BYTES = 64 << 20  # left free on the disk: enough to close the file and for the machine to go on
LOOK_S = 0.5


def part_path(out: Path, number: int) -> Path:
    """The file of part `number`, from 1: drive.mcap, drive-002.mcap, drive-003.mcap."""
    return out if number == 1 else out.with_stem(f"{out.stem}-{number:03d}")


class Parts:
    """One file open at a time."""

    def __init__(self, out: Path, provenance: Provenance, first: int = 1) -> None:
        self.paths: list[Path] = []
        self.size = 0  # of all files that are closed
        self.messages: Counter[str] = Counter()
        self._out, self._provenance, self._number = out, provenance, first
        self._file: McapOut | None = None
        self._why = ""
        self.gone = ""  # what became of the last file that vanished while it was written, in words
        self.deleted: Counter[str] = Counter()  # messages by topic in files that were deleted
        self._looked_s, self._free = 0.0, 1 << 62

    @property
    def path(self) -> Path:
        """The file that is open, or the next one."""
        return self._file.path if self._file is not None else part_path(self._out, self._number)

    @property
    def total(self) -> int:
        """Bytes of all files."""
        return self.size + self.open_size

    @property
    def open_size(self) -> int:
        """Bytes of the file that is open."""
        return self._file.size if self._file is not None else 0

    def begin(self, why: str = "") -> None:
        """Open the next file, unless one is open; `why` is noted in it. Raises LogError or OSError."""
        if self._file is not None:
            return
        path = part_path(self._out, self._number)
        file = McapOut(path)
        facts = {**self._provenance.facts, "part": str(self._number)}
        if why:
            facts["saved_because"] = why
        try:
            replace(self._provenance, facts=facts).write_to(file)
        except OSError:
            file.abandon()
            path.unlink(missing_ok=True)
            raise
        self._file = file
        self.paths.append(path)

    def write(self, chunk: Sealed) -> None:
        """Append a chunk. Raises OSError or LogError where that is not possible; nothing of it is in the file then."""
        if self._time_to_look():
            self.leave_what_is_gone()
            self._measure_room()
        self._require_room(chunk.size)
        self.begin()
        assert self._file is not None
        self._file.add_chunk(chunk)
        self.messages.update(chunk.messages)

    def end(self, lost: Mapping[tuple[str, str], int]) -> None:
        """Close the file that is open, with what was recorded and lost until now. Raises OSError where the index
        finds no room.
        """
        self.leave_what_is_gone()
        file, self._file = self._file, None
        if file is None:
            return
        self._number += 1
        said = {f"lost, {topic}: {reason}": str(count) for (topic, reason), count in lost.items()}
        said |= {"messages": str(file.messages.total()), "lost": str(sum(lost.values()))}
        try:
            file.add_metadata(RECORDED, said)
            file.close()
        except OSError:
            file.abandon()
            with contextlib.suppress(OSError):
                self.paths[-1] = mark_partial(file.path, f"{file.messages.total()} messages")
            raise
        finally:
            file.abandon()
            self.size += file.size

    def leave_what_is_gone(self) -> None:
        """Where the open file is no longer at its place, the next chunk begins a new one: nobody would find what is
        written into the old one.
        """
        file = self._file
        if file is None or file.in_place():
            return
        self._file = None
        self._number += 1
        count = file.messages.total()
        if file.deleted:
            self.deleted.update(file.messages)
            what = f"was deleted while it was written, with {count} messages"
            file.abandon()
        else:
            what = f"was moved away while it was written; it ends there with {count} messages"
            with contextlib.suppress(OSError):
                file.close()
        self.size += file.size
        self.gone = f"{file.path} {what}; the recording goes on in {part_path(self._out, self._number).name}"

    def _time_to_look(self) -> bool:
        now = time.monotonic()
        if now - self._looked_s < LOOK_S:
            return False
        self._looked_s = now
        return True

    def _measure_room(self) -> None:
        folder = self._out.parent
        if folder.exists():
            self._free = shutil.disk_usage(folder).free

    def _require_room(self, size: int) -> None:
        self._free -= size
        if self._free < RESERVE_BYTES:
            raise OSError(errno.ENOSPC, f"{max(self._free, 0) / 1e6:.0f} MB left on the disk")


def parts_of(out: Path) -> list[Path]:
    """The files of a recording that are there, in order; one that was deleted leaves a gap in the numbers."""
    later = sorted(out.parent.glob(f"{glob.escape(out.stem)}-[0-9][0-9][0-9]*{glob.escape(out.suffix)}"))
    return [path for path in (out, *later) if path.is_file()]


REFUSALS = (OSError, LogError)  # what `write` and `end` may raise


def reason_of(error: BaseException) -> str:
    """What is counted for messages that could not be written."""
    full = (errno.ENOSPC, errno.EFBIG, errno.EDQUOT)
    if isinstance(error, OSError):
        return "disk full" if error.errno in full else f"not written: {error.strerror}"
    return "not written"
