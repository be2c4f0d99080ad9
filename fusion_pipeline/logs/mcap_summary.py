"""What an MCAP file holds and where: from its index, and, as far as that says nothing, from the file itself.

Every part of an index is optional: statistics, chunk and message indexes, repeated channels and schemas, the index of
metadata and attachments (https://mcap.dev/spec, "Summary Section"). What is absent is looked for in the data section.
Only a file without its footer was cut off.
"""

from __future__ import annotations

import struct
from pathlib import Path

from fusion_pipeline.logs.checksum import crc32
from fusion_pipeline.logs.mcap_builder import Builder, Summary
from fusion_pipeline.logs.mcap_places import FOOTER, HEAD, MAGIC, DamagedError, McapFile, records
from fusion_pipeline.logs.mcap_walk import arrivals, indexes_all, look_into_chunks, walked

__all__ = ["Summary", "arrivals", "read_summary", "summary"]

LARGEST_SUMMARY = 1 << 29
FOOTER_BYTES = HEAD + 20 + len(MAGIC)


def summary(file: McapFile) -> Summary:
    """Of a file with an index what that says; of another what lies in it as far as it can be read."""
    found = _summary(file)
    if file.packed is not None and file.packed.damage and found.complete:
        found.lost[f"compressed file, {file.packed.damage}"] += 1
        found.complete = False
    return found


def _summary(file: McapFile) -> Summary:
    footer = _footer(file)
    if footer is None:
        return walked(file, whole=False)
    tail, start = footer
    try:
        found = _indexed(file, tail, start) if start else None
    except DamagedError:
        found = walked(file, whole=True)
        found.lost["damaged index"] += 1
        found.complete = False
    return found if found is not None else walked(file, whole=True)


def read_summary(path: Path) -> Summary:
    """Of a file by name. Raises LogError."""
    with McapFile(path) as file:
        return summary(file)


def _footer(file: McapFile) -> tuple[bytes, int] | None:
    """The file's last bytes and where its summary begins (0: it has none); None where the file was cut off."""
    if file.size < len(MAGIC) + FOOTER_BYTES:
        return None
    tail = file.read(file.size - FOOTER_BYTES, FOOTER_BYTES)
    kind, length, start = struct.unpack_from("<BQQ", tail)
    return (tail, start) if kind == FOOTER and length == 20 and tail.endswith(MAGIC) else None


def _indexed(file: McapFile, tail: bytes, start: int) -> Summary | None:
    """By the summary section; None where there are messages of which it does not say where. Raises DamagedError."""
    size = file.size - FOOTER_BYTES - start
    if not 0 <= size <= LARGEST_SUMMARY or start < len(MAGIC):
        raise DamagedError("damaged index")
    data = file.read(start, size)
    (checksum,) = struct.unpack_from("<I", tail, HEAD + 16)
    if checksum and crc32(tail[: HEAD + 16], crc32(data)) != checksum:
        raise DamagedError("damaged index")
    builder = Builder()
    for kind, body in records(memoryview(data)):
        builder.take(kind, body)
    if not indexes_all(file, builder, start):
        return None
    if builder.lacks_names() or not builder.counted:
        look_into_chunks(file, builder)
    return builder.made()
