"""UDP payloads of a capture file: Ethernet with VLAN tags, Linux "cooked" (`tcpdump -i any`), loopback or raw IP.

IPv4 and IPv6, fragments put together. Link types: https://www.tcpdump.org/linktypes.html.
"""

from __future__ import annotations

import socket
import struct
from collections import Counter, deque
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from fusion_pipeline.sensors.capture_file import records

IPV4, IPV6, UDP = 0x0800, 0x86DD, 17
VLAN = (0x8100, 0x88A8, 0x9100)
# Link type -> where its two bytes of EtherType lie.
ETHER_TYPES = {1: 12, 113: 14, 276: 0}  # EN10MB, LINUX_SLL, LINUX_SLL2
PAYLOAD_AT = {276: 20}  # where it does not follow the EtherType
# Link types that begin with IP -> bytes before it; its version tells IPv4 from IPv6.
RAW_IP = {0: 4, 108: 4, 12: 0, 14: 0, 101: 0, 228: 0, 229: 0}  # NULL, LOOP, RAW (three numbers), IPV4, IPV6
NAMES = {
    6: "IEEE802_5", 7: "ARCNET", 9: "PPP", 10: "FDDI", 50: "PPP_HDLC", 51: "PPP_ETHER", 104: "C_HDLC",
    105: "IEEE802_11", 127: "IEEE802_11_RADIOTAP", 187: "BLUETOOTH_HCI_H4", 189: "USB_LINUX", 192: "PPI",
    195: "IEEE802_15_4", 220: "USB_LINUX_MMAPPED", 227: "CAN_SOCKETCAN", 249: "USBPCAP", 253: "NETLINK",
}  # fmt: skip
EXTENSIONS = (0, 43, 60, 135, 139, 140)  # IPv6 headers of 8 (n + 1) bytes; a fragment's (44) has 8
FRAGMENT = 44
FRAGMENTED_MOST = 64  # datagrams waiting for their fragments; the oldest gives way
SHORT = "packets cut short by the capture's snap length"
INCOMPLETE = "datagrams that lack fragments"
TWICE_NS = 10_000_000  # between two copies of one packet
TWICE_AMONG = 8  # packets between them, of several devices
Fragments = dict[tuple[bytes, bytes, int], dict[int, bytes]]


class Datagram(NamedTuple):
    """One UDP payload, when it was captured, whence it came and on which port it arrived."""

    stamp_ns: int
    sender: str
    port: int
    payload: bytes
    sender_port: int = 0


def datagrams(path: Path, counts: Counter[str] | None = None) -> Iterator[Datagram]:
    """The UDP datagrams of a capture, in order; a capture cut short ends there.

    What could not be read is in `counts`; packets of other protocols are passed over. Raises SetupError.
    """
    counts = Counter() if counts is None else counts
    fragments: Fragments = {}
    for record in records(path, counts):
        packet = _ip(record.link, record.data)
        if packet is None:
            counts[f"packets of link type {link_name(record.link)}, which is not read"] += 1
            continue
        found = _udp(packet, fragments, counts)
        if found is None:
            continue
        source, body = found
        if len(body) < 8:
            counts[SHORT if record.missing else "damaged packets"] += 1
            continue
        sender_port, port, size, _ = struct.unpack_from(">HHHH", body)
        size = size or len(body)  # 0: left to the network card
        if size > len(body):
            counts[SHORT if record.missing else "damaged packets"] += 1
            continue
        sender = socket.inet_ntop(socket.AF_INET if len(source) == 4 else socket.AF_INET6, source)
        yield Datagram(record.stamp_ns, sender, port, body[8:size], sender_port)
    if fragments:
        counts[INCOMPLETE] += len(fragments)


def once(captured: Iterable[Datagram], counts: Counter[str]) -> Iterator[Datagram]:
    """Each datagram once, the copies counted as "packets captured twice".

    `tcpdump -i any` on a host with a bridge, a bond or VLANs has one copy for each interface that a packet passes, as
    has a mirrored port. A LiDAR's packets bear their time, so that two of them are never alike.
    """
    recent: deque[Datagram] = deque(maxlen=TWICE_AMONG)
    for datagram in captured:
        payload = datagram.payload
        for other in recent:
            if (
                payload == other.payload
                and datagram.sender == other.sender
                and datagram.port == other.port
                and datagram.stamp_ns - other.stamp_ns < TWICE_NS
            ):
                counts["packets captured twice"] += 1
                break
        else:
            recent.append(datagram)
            yield datagram


def link_name(link: int) -> str:
    """A link type as tcpdump.org names it, or its number."""
    return NAMES.get(link, str(link))


def _ip(link: int, data: bytes) -> bytes | None:
    """The IP packet in a link-layer record; empty where there is none, None for a link type that is not read."""
    if link in RAW_IP:
        return data[RAW_IP[link] :]
    at = ETHER_TYPES.get(link)
    if at is None:
        return None
    body = PAYLOAD_AT.get(link, at + 2)
    kind = int.from_bytes(data[at : at + 2], "big")
    while kind in VLAN:  # a tag: two bytes of its number, then the next EtherType
        kind = int.from_bytes(data[body + 2 : body + 4], "big")
        body += 4
    return data[body:] if kind in (IPV4, IPV6) else b""


def _udp(packet: bytes, fragments: Fragments, counts: Counter[str]) -> tuple[bytes, bytes] | None:
    """Source address and UDP datagram of an IP packet; None where it is no UDP, or not the last of its fragments."""
    version = packet[0] >> 4 if packet else 0
    if version == 4 and len(packet) >= 20:
        if packet[9] != UDP:
            return None
        length, ident, flags = struct.unpack_from(">HHH", packet, 2)
        body = packet[(packet[0] & 15) * 4 : length or None]  # length 0: left to the network card
        source, target, offset, more = packet[12:16], packet[16:20], (flags & 0x1FFF) * 8, bool(flags & 0x2000)
    elif version == 6 and len(packet) >= 40:
        length = int.from_bytes(packet[4:6], "big")
        source, target, ident, offset, more = packet[8:24], packet[24:40], 0, 0, False
        following, at, end = packet[6], 40, 40 + length if length else len(packet)
        while following in EXTENSIONS or following == FRAGMENT:
            if at + 8 > len(packet):
                return None
            if following == FRAGMENT:
                place, ident = struct.unpack_from(">HI", packet, at + 2)
                offset, more = place & 0xFFF8, bool(place & 1)
            following, at = packet[at], at + (8 if following == FRAGMENT else 8 * (packet[at + 1] + 1))
        if following != UDP:
            return None
        body = packet[at:end]
    else:
        return None
    if more or offset:
        whole = _joined(fragments, (source, target, ident), offset, body, more, counts)
        return None if whole is None else (source, whole)
    return source, body


def _joined(
    fragments: Fragments, key: tuple[bytes, bytes, int], offset: int, body: bytes, more: bool, counts: Counter[str]
) -> bytes | None:
    """The whole datagram once its last missing fragment is there."""
    parts = fragments.setdefault(key, {})
    parts[offset] = body
    if not more:
        parts[-1] = (offset + len(body)).to_bytes(4, "big")  # known total length
    if len(fragments) > FRAGMENTED_MOST:
        del fragments[next(iter(fragments))]
        counts[INCOMPLETE] += 1
    if -1 not in parts or sum(len(part) for at, part in parts.items() if at >= 0) < int.from_bytes(parts[-1], "big"):
        return None
    del fragments[key]
    return b"".join(parts[at] for at in sorted(parts) if at >= 0)
