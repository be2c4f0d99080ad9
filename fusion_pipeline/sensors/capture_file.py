"""Records of capture files: pcap in either byte order, in micro- or nanoseconds, and pcapng.

The formats are those of the IETF drafts draft-ietf-opsawg-pcap and draft-ietf-opsawg-pcapng.
"""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

from fusion_pipeline.clock import SECOND_NS
from fusion_pipeline.sensors.retry import SetupError

MAGIC_US, MAGIC_NS, MAGIC_PATCHED, MAGIC_PCAPNG = 0xA1B2C3D4, 0xA1B23C4D, 0xA1B2CD34, 0x0A0D0D0A
ORDER_MAGIC = 0x1A2B3C4D  # of a pcapng section
RECORD_MOST = 1 << 18  # bytes; a longer record means that the file is damaged
SECTION, INTERFACE, OLD_PACKET, SIMPLE_PACKET, PACKET = MAGIC_PCAPNG, 1, 2, 3, 6
RESOLUTION, OFFSET = 9, 14  # options of an interface: if_tsresol, if_tsoffset
CUT_OFF, DAMAGED, UNTIMED = "capture cut off", "capture damaged, the rest left out", "packets without a time"


class Record(NamedTuple):
    """One captured packet from its link layer on; `missing` bytes were cut off by the snap length."""

    stamp_ns: int
    link: int  # LINKTYPE_ number, https://www.tcpdump.org/linktypes.html
    data: bytes
    missing: int


def records(path: Path, counts: Counter[str]) -> Iterator[Record]:
    """The packets of a capture in order; damage is counted and ends it. Raises SetupError for any other file."""
    try:
        with path.open("rb") as file:
            head = file.read(24)
            if head[:4] == struct.pack("<I", MAGIC_PCAPNG):
                file.seek(0)
                yield from _pcapng(file, counts)
                return
            order = ">" if head[:2] == b"\xa1\xb2" else "<"
            number = struct.unpack(order + "I", head[:4])[0] if len(head) == 24 else 0
            if number not in (MAGIC_US, MAGIC_NS, MAGIC_PATCHED):
                packed = head[:2] == b"\x1f\x8b" or head[:4] == b"\x28\xb5\x2f\xfd"
                raise SetupError(
                    f"{path} is compressed; unpack it first" if packed
                    else f"{path} is no pcap file; record one with `tcpdump -i eth0 -w out.pcap udp`"
                )  # fmt: skip
            yield from _pcap(file, order, number, head, counts)
    except OSError as error:
        raise SetupError(f"{path} cannot be read: {error.strerror}") from None


def _pcap(file: BinaryIO, order: str, number: int, head: bytes, counts: Counter[str]) -> Iterator[Record]:
    link = struct.unpack_from(order + "I", head, 20)[0] & 0xFFFF  # above it lies the length of the frame's checksum
    tick_ns = 1 if number == MAGIC_NS else 1000
    form = struct.Struct(order + "IIII" + ("8x" if number == MAGIC_PATCHED else ""))
    while len(record := file.read(form.size)) == form.size:
        seconds, ticks, captured, original = form.unpack(record)
        if captured > RECORD_MOST or ticks * tick_ns >= SECOND_NS:
            counts[DAMAGED] += 1
            return
        data = file.read(captured)
        if len(data) < captured:
            record = data
            break
        yield Record(seconds * SECOND_NS + ticks * tick_ns, link, data, max(0, original - captured))
    else:
        if not record:
            return
    counts[CUT_OFF] += 1


class _Interface(NamedTuple):
    link: int
    snap: int
    per_second: int  # ticks
    offset_s: int


def _pcapng(file: BinaryIO, counts: Counter[str]) -> Iterator[Record]:
    order, interfaces = "<", list[_Interface]()
    while len(head := file.read(8)) == 8:
        kind = struct.unpack(order + "I", head[:4])[0]
        if kind == SECTION:  # the same in both byte orders
            magic = file.read(4)
            order = "<" if magic == struct.pack("<I", ORDER_MAGIC) else ">"
            if magic != struct.pack(order + "I", ORDER_MAGIC):
                counts[DAMAGED] += 1
                return
            file.seek(-4, 1)
            interfaces = []
        length = struct.unpack(order + "I", head[4:])[0]
        if length < 12 or length % 4 or length > RECORD_MOST + 1024:
            if kind in (INTERFACE, OLD_PACKET, SIMPLE_PACKET, PACKET, SECTION) or length < 12:
                counts[DAMAGED] += 1
                return
            file.seek(length - 8, 1)  # a long block of a kind that is not needed, such as decryption secrets
            continue
        body = file.read(length - 8)
        if len(body) < length - 8:
            counts[CUT_OFF] += 1
            return
        try:
            if kind == INTERFACE:
                interfaces.append(_interface(order, body))
            elif kind in (PACKET, OLD_PACKET):
                yield _packet(order, kind, body, interfaces)
            elif kind == SIMPLE_PACKET:
                counts[UNTIMED] += 1
        except (struct.error, IndexError):
            counts["damaged packets"] += 1
    if head:
        counts[CUT_OFF] += 1


def _interface(order: str, body: bytes) -> _Interface:
    link, _, snap = struct.unpack_from(order + "HHI", body)
    per_second, offset_s, at = 1_000_000, 0, 8
    while at + 4 <= len(body) - 4:
        code, size = struct.unpack_from(order + "HH", body, at)
        if code == RESOLUTION and size == 1:
            value = body[at + 4]
            per_second = 1 << (value & 0x7F) if value & 0x80 else 10 ** min(value, 18)
        elif code == OFFSET and size == 8:
            offset_s = struct.unpack_from(order + "q", body, at + 4)[0]
        elif code == 0:
            break
        at += 4 + (size + 3) // 4 * 4
    return _Interface(link, snap, per_second, offset_s)


def _packet(order: str, kind: int, body: bytes, interfaces: list[_Interface]) -> Record:
    form = order + ("IIIII" if kind == PACKET else "HxxIIII")
    number, high, low, captured, original = struct.unpack_from(form, body)
    known, data = interfaces[number], body[20 : 20 + captured]
    if len(data) < captured:
        raise struct.error
    seconds, ticks = divmod(high << 32 | low, known.per_second)
    stamp_ns = (seconds + known.offset_s) * SECOND_NS + ticks * SECOND_NS // known.per_second
    return Record(stamp_ns, known.link, data, max(0, original - captured))
