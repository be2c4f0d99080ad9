"""Log files that lie compressed as a whole, such as `drive_0.mcap.zstd` of `ros2 bag record --compression-mode file`.

The compression says nothing about the container in it: the file is decompressed into a temporary one, which any reader
of the container then opens. Formats: zstd (RFC 8878), LZ4 frames, gzip (RFC 1952), bzip2, xz; each may hold several
frames, one after the other. Which one it is, is read from its first bytes and not from its name.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from fusion_pipeline.logs.reader import LogError

SUFFIXES = (".zstd", ".zst", ".lz4", ".gz", ".bz2", ".xz")
MAGICS = {
    b"\x28\xb5\x2f\xfd": "zstd", b"\x04\x22\x4d\x18": "lz4", b"\x1f\x8b": "gzip", b"BZh": "bzip2",
    b"\xfd7zXZ\x00": "xz",
}  # fmt: skip
PIECE_BYTES = 1 << 12  # decompressed at a time; no format makes more than 128 MiB of so much
RESERVE_BYTES = 1 << 28  # of the disk, left to others
LARGEST_WINDOW = 1 << 31  # bytes; the most that `zstd --long` can ask for
CHECK_BYTES = 1 << 26  # written between two looks at the free space


@dataclass(frozen=True, eq=False)
class Uncompressed:
    """A temporary file with the content of a compressed one. It is removed when nothing refers to this object any
    more, at the latest when the process ends.
    """

    source: Path
    path: Path  # its name is that of the source without the compression's suffix
    damage: str  # "", "cut off" in the middle, or "damaged"; `path` has what comes before


_open: weakref.WeakValueDictionary[tuple[int, int, int, int], Uncompressed] = weakref.WeakValueDictionary()


def inner_name(path: Path) -> str:
    """The file's name without the suffix of a compression: "a_0.mcap" of a_0.mcap.zstd, "a.mcap" of a.mcap."""
    return path.name[: -len(path.suffix)] if path.suffix.lower() in SUFFIXES else path.name


def is_compressed(path: Path, *inner: str) -> bool:
    """Whether a file's name ends with one of the suffixes `inner` (such as ".mcap") and then a compression's."""
    return path.suffix.lower() in SUFFIXES and inner_name(path).lower().endswith(inner) and path.is_file()


def uncompressed(path: Path) -> Uncompressed:
    """The content of a compressed file, as a temporary file; one that this process has already is used again.

    Raises LogError where the file cannot be read, is not compressed in a way that is known, or where the temporary
    folder has no room for it.
    """
    try:
        found = path.stat()
        key = found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns
        known = _open.get(key)
        if known is None:
            with path.open("rb") as file:
                known = _open[key] = _decompressed(path, file)
    except OSError as error:
        raise LogError(f"cannot read {path}: {error.strerror}") from None
    return known


def _decompressed(path: Path, file: BinaryIO) -> Uncompressed:
    head = file.read(8)
    file.seek(0)
    name = next((name for magic, name in MAGICS.items() if head.startswith(magic)), "")
    if not name:
        raise LogError(f"{path} is named as a compressed file, but is not compressed in a way that is known "
                       f"({', '.join(MAGICS.values())})")  # fmt: skip
    folder = Path(tempfile.mkdtemp(prefix="fusion-log-"))
    target = folder / inner_name(path)
    try:
        with target.open("xb", buffering=0) as out:
            damage = _copy(path, file, out, *_decompressor(name))
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    made = Uncompressed(path, target, damage)
    weakref.finalize(made, _remove, folder, os.getpid())
    return made


def _remove(folder: Path, pid: int) -> None:
    if os.getpid() == pid:  # a forked process does not take its parent's file away
        shutil.rmtree(folder, ignore_errors=True)


def _copy(path: Path, file: BinaryIO, out: Any, make: Callable[[], Any], errors: type[Exception]) -> str:
    """Decompress frame after frame; the `damage` of what was made."""
    step, checked = make(), 0
    while piece := file.read(PIECE_BYTES):
        while piece:
            if step.eof:
                piece = piece.lstrip(b"\0")  # zeros behind a frame are padding
                if not piece:
                    break
                step = make()
            try:
                data = step.decompress(piece)
            except errors:
                return "damaged"
            piece = step.unused_data if step.eof else b""
            checked = _write(path, out, data, checked)
    return "" if step.eof else "cut off"


def _write(path: Path, out: Any, data: bytes, checked: int) -> int:
    """Append; bytes that may still be written before the free space must be looked at again."""
    view = memoryview(data)
    if checked < len(view):
        free = shutil.disk_usage(Path(out.name).parent).free - RESERVE_BYTES
        if free < len(view):
            raise _no_room(path, out)
        checked = min(free, CHECK_BYTES + len(view))
    checked -= len(view)
    try:
        while view:
            view = view[out.write(view) :]
    except OSError as error:
        raise _no_room(path, out) from error
    return checked


def _no_room(path: Path, out: Any) -> LogError:
    folder = Path(out.name).parent.parent
    return LogError(f"{path} does not fit into {folder} decompressed (more than {out.tell() / 1e6:.0f} MB); "
                    "set TMPDIR to a folder with more room, or decompress it yourself")  # fmt: skip


def _decompressor(name: str) -> tuple[Callable[[], Any], type[Exception]]:
    """What makes an object with `decompress`, `eof` and `unused_data` for one frame, and its error for wrong bytes."""
    if name == "zstd":
        import zstandard

        return lambda: zstandard.ZstdDecompressor(max_window_size=LARGEST_WINDOW).decompressobj(), zstandard.ZstdError
    if name == "lz4":
        import lz4.frame

        return lz4.frame.LZ4FrameDecompressor, RuntimeError
    if name == "gzip":
        import zlib

        return lambda: zlib.decompressobj(31), zlib.error
    if name == "bzip2":
        import bz2

        return bz2.BZ2Decompressor, OSError
    import lzma

    return lambda: lzma.LZMADecompressor(lzma.FORMAT_XZ), lzma.LZMAError
