"""UDP payloads of a pcap file: Ethernet with or without VLAN, Linux "cooked" or raw IPv4, fragments put together."""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from fusion_pipeline.clock import SECOND_NS
from fusion_pipeline.sensors.retry import SetupError

MAGIC_US, MAGIC_NS, MAGIC_PCAPNG = 0xA1B2C3D4, 0xA1B23C4D, 0x0A0D0D0A
IPV4, VLAN, UDP = 0x0800, (0x8100, 0x88A8), 17
LINK_ETHERNET, LINK_RAW, LINK_RAW_OPENBSD, LINK_COOKED = 1, 101, 12, 113
FRAGMENTED_MOST = 64  # datagrams waiting for their fragments; the oldest gives way
RECORD_MOST = 1 << 18  # bytes; a longer record means that the file is damaged


@dataclass(frozen=True)
class Datagram:
    """One UDP payload, when it was captured, whence it came and on which port it arrived."""

    stamp_ns: int
    sender: str
    port: int
    payload: bytes


def datagrams(path: Path) -> Iterator[Datagram]:
    """The UDP datagrams of a capture, in order; a capture cut short ends there. Raises SetupError."""
    fragments: dict[tuple[bytes, bytes, int], dict[int, bytes]] = {}
    for stamp_ns, link, record in _records(path):
        packet = _ipv4(link, record)
        if len(packet) < 20 or packet[0] >> 4 != 4 or packet[9] != UDP:
            continue
        head = (packet[0] & 15) * 4
        length, ident, flags = struct.unpack_from(">HHH", packet, 2)
        body, offset, more = packet[head:length], (flags & 0x1FFF) * 8, bool(flags & 0x2000)
        if more or offset:
            whole = _joined(fragments, (packet[12:16], packet[16:20], ident), offset, body, more)
            if whole is None:
                continue
            body = whole
        if len(body) >= 8:
            _, port, size, _ = struct.unpack_from(">HHHH", body)
            yield Datagram(stamp_ns, socket.inet_ntoa(packet[12:16]), port, body[8:size])


def _records(path: Path) -> Iterator[tuple[int, int, bytes]]:
    with path.open("rb") as file:
        head = file.read(24)
        magic = head[:4]
        order = "<" if magic in (struct.pack("<I", MAGIC_US), struct.pack("<I", MAGIC_NS)) else ">"
        number = struct.unpack(order + "I", magic)[0] if len(head) == 24 else 0
        if number == MAGIC_PCAPNG:
            raise SetupError(f"{path} is a pcapng file; convert it with `editcap -F pcap {path.name} out.pcap`")
        if number not in (MAGIC_US, MAGIC_NS):
            raise SetupError(f"{path} is no pcap file; record one with `tcpdump -i eth0 -w out.pcap udp`")
        link = struct.unpack_from(order + "I", head, 20)[0] & 0xFFFF
        tick_ns = 1 if number == MAGIC_NS else 1000
        while len(record := file.read(16)) == 16:
            seconds, ticks, kept, _ = struct.unpack(order + "IIII", record)
            if kept > RECORD_MOST:
                return
            data = file.read(kept)
            if len(data) == kept:
                yield seconds * SECOND_NS + ticks * tick_ns, link, data


def _ipv4(link: int, record: bytes) -> bytes:
    """The IPv4 packet in a link-layer record; empty where there is none."""
    if link in (LINK_RAW, LINK_RAW_OPENBSD):
        return record
    at = {LINK_ETHERNET: 12, LINK_COOKED: 14}.get(link, len(record))
    while len(record) >= at + 2:
        kind = int.from_bytes(record[at : at + 2], "big")
        if kind not in VLAN:
            return record[at + 2 :] if kind == IPV4 else b""
        at += 4
    return b""


def _joined(
    fragments: dict[tuple[bytes, bytes, int], dict[int, bytes]],
    key: tuple[bytes, bytes, int],
    offset: int,
    body: bytes,
    more: bool,
) -> bytes | None:
    """The whole datagram once its last missing fragment is there."""
    parts = fragments.setdefault(key, {})
    parts[offset] = body
    if not more:
        parts[-1] = (offset + len(body)).to_bytes(4, "big")  # known total length
    if len(fragments) > FRAGMENTED_MOST:
        del fragments[next(iter(fragments))]
    if -1 not in parts or sum(len(part) for at, part in parts.items() if at >= 0) < int.from_bytes(parts[-1], "big"):
        return None
    del fragments[key]
    return b"".join(parts[at] for at in sorted(parts) if at >= 0)
