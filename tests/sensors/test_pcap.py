"""Captures of every link type, byte order and container that tools write, and what in them is not read."""

from __future__ import annotations

import socket
import struct
from collections import Counter
from pathlib import Path

import pytest

from fusion_pipeline.sensors.pcap import datagrams
from fusion_pipeline.sensors.retry import SetupError

PAYLOAD = bytes(range(200))
STAMP_NS = 1_700_000_000_123_456_000
V4 = socket.inet_aton("10.0.0.5"), socket.inet_aton("10.0.0.9")
V6 = socket.inet_pton(socket.AF_INET6, "fe80::5"), socket.inet_pton(socket.AF_INET6, "fe80::9")


def udp(payload: bytes = PAYLOAD) -> bytes:
    return struct.pack(">HHHH", 7000, 2368, 8 + len(payload), 0) + payload


def ipv4(body: bytes, protocol: int = 17, flags: int = 0) -> bytes:
    return struct.pack(">BBHHHBBH", 0x45, 0, 20 + len(body), 7, flags, 64, protocol, 0) + b"".join(V4) + body


def ipv6(body: bytes, extensions: bytes = b"", first: int = 17) -> bytes:
    return struct.pack(">IHBB", 6 << 28, len(extensions + body), first, 64) + b"".join(V6) + extensions + body


def fragments6(body: bytes, at: int) -> list[bytes]:
    """Of a datagram in two parts."""
    heads = [struct.pack(">BBHI", 17, 0, place, 99) for place in (1, at)]
    return [ipv6(heads[0] + body[:at], first=44), ipv6(heads[1] + body[at:], first=44)]


MAC = bytes(12)
LINKS = {
    "ethernet": (1, MAC + b"\x08\x00" + ipv4(udp())),
    "padded": (1, MAC + b"\x08\x00" + ipv4(udp()) + bytes(7)),
    "vlan": (1, MAC + b"\x81\x00\x00\x05\x08\x00" + ipv4(udp())),
    "qinq": (1, MAC + b"\x88\xa8\x00\x05\x81\x00\x00\x06\x08\x00" + ipv4(udp())),
    "ipv6": (1, MAC + b"\x86\xdd" + ipv6(udp())),
    "vlan6": (1, MAC + b"\x81\x00\x00\x05\x86\xdd" + ipv6(udp())),
    "hop by hop": (1, MAC + b"\x86\xdd" + ipv6(udp(), b"\x11\x00" + bytes(6), 0)),
    "cooked": (113, bytes(14) + b"\x08\x00" + ipv4(udp())),
    "cooked vlan": (113, bytes(14) + b"\x81\x00\x00\x05\x08\x00" + ipv4(udp())),
    "cooked2": (276, b"\x08\x00" + bytes(18) + ipv4(udp())),
    "cooked2 ipv6": (276, b"\x86\xdd" + bytes(18) + ipv6(udp())),
    "null": (0, b"\x02\0\0\0" + ipv4(udp())),
    "null big": (0, b"\0\0\0\x1e" + ipv6(udp())),
    "loop": (108, b"\0\0\0\x02" + ipv4(udp())),
    "raw": (101, ipv4(udp())),
    "raw6": (101, ipv6(udp())),
    "ipv4": (228, ipv4(udp())),
    "ipv6 raw": (229, ipv6(udp())),
}


def pcap(path: Path, link: int, packets: list[bytes], order: str = "<", nano: bool = False, cut: int = 0) -> Path:
    """A capture; with `cut` its packets lack that many bytes."""
    magic, tick = (0xA1B23C4D, 1) if nano else (0xA1B2C3D4, 1000)
    found = struct.pack(order + "IHHiIII", magic, 2, 4, 0, 0, 65535, link)
    for data in packets:
        seconds, rest = divmod(STAMP_NS, 10**9)
        found += (
            struct.pack(order + "IIII", seconds, rest // tick, len(data) - cut, len(data)) + data[: len(data) - cut]
        )
    path.write_bytes(found)
    return path


def pcapng(path: Path, link: int, packets: list[bytes], order: str = "<", resolution: int | None = None) -> Path:
    """A capture of two sections, the second with two interfaces."""

    def block(kind: int, body: bytes) -> bytes:
        body += bytes(-len(body) % 4)
        return struct.pack(order + "II", kind, len(body) + 12) + body + struct.pack(order + "I", len(body) + 12)

    options = b"" if resolution is None else struct.pack(order + "HHB3xHH", 9, 1, resolution, 0, 0)
    begin = block(0x0A0D0D0A, struct.pack(order + "IHHq", 0x1A2B3C4D, 1, 0, -1))
    interface = block(1, struct.pack(order + "HHI", link, 0, 0) + options)
    per_second = 10**6 if resolution is None else 1 << (resolution & 0x7F) if resolution & 0x80 else 10**resolution
    ticks = STAMP_NS // 10**9 * per_second + STAMP_NS % 10**9 * per_second // 10**9
    found = begin + interface + begin + block(1, struct.pack(order + "HHI", 147, 0, 0)) + interface
    found += block(5, struct.pack(order + "III", 0, 0, 0)) + block(
        0x80000BAD, b"abc"
    )  # statistics, and a foreign block
    for data in packets:
        head = struct.pack(order + "IIIII", 1, ticks >> 32, ticks & 0xFFFFFFFF, len(data), len(data))
        found += block(6, head + data)
    path.write_bytes(found)
    return path


@pytest.mark.parametrize("name", LINKS)
def test_link_types(tmp_path: Path, name: str) -> None:
    link, packet = LINKS[name]
    counts: Counter[str] = Counter()
    (found,) = datagrams(pcap(tmp_path / "a.pcap", link, [packet]), counts)
    assert (found.stamp_ns, found.port, found.sender_port, found.payload) == (STAMP_NS, 2368, 7000, PAYLOAD)
    assert found.sender == ("fe80::5" if V6[0] in packet else "10.0.0.5")
    assert not counts
    assert [*datagrams(pcapng(tmp_path / "a.pcapng", link, [packet]))] == [found]


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("nano", [False, True])
def test_byte_orders_and_ticks(tmp_path: Path, order: str, nano: bool) -> None:
    link, packet = LINKS["ethernet"]
    (found,) = datagrams(pcap(tmp_path / "a.pcap", link, [packet], order, nano))
    assert (found.stamp_ns, found.payload) == (STAMP_NS, PAYLOAD)
    for resolution in (None, 6, 9, 0x80 | 20):
        (found,) = datagrams(pcapng(tmp_path / "a.pcapng", link, [packet], order, resolution))
        assert abs(found.stamp_ns - STAMP_NS) < 1000
        assert found.payload == PAYLOAD


def test_fragments_are_joined_and_those_that_lack_some_are_counted(tmp_path: Path) -> None:
    body = udp()
    for parts in (
        [ipv4(body[:104], flags=0x2000), ipv4(body[104:], flags=13)],
        [ipv4(body[104:], flags=13), ipv4(body[:104], flags=0x2000)],
        fragments6(body, 104),
    ):
        (found,) = datagrams(pcap(tmp_path / "a.pcap", 101, parts))
        assert found.payload == PAYLOAD
    counts: Counter[str] = Counter()
    assert not [*datagrams(pcap(tmp_path / "a.pcap", 101, [ipv4(body[:104], flags=0x2000)]), counts)]
    assert counts == {"datagrams that lack fragments": 1}


def test_what_is_not_read_is_named_and_counted(tmp_path: Path) -> None:
    counts: Counter[str] = Counter()
    assert not [*datagrams(pcap(tmp_path / "a.pcap", 127, [bytes(80)] * 3), counts)]
    assert counts == {"packets of link type IEEE802_11_RADIOTAP, which is not read": 3}
    counts.clear()
    link, packet = LINKS["ethernet"]
    assert not [*datagrams(pcap(tmp_path / "a.pcap", link, [packet] * 2, cut=50), counts)]
    assert counts == {"packets cut short by the capture's snap length": 2}
    counts.clear()
    assert not [*datagrams(pcap(tmp_path / "a.pcap", 101, [ipv4(udp(), protocol=6)]), counts)]
    assert not counts  # other protocols are no damage
    whole = pcap(tmp_path / "a.pcap", link, [packet] * 3).read_bytes()
    for keep, read in ((len(whole) - 1, 2), (len(whole) - len(packet) - 3, 2), (len(whole) - len(packet) - 16, 2)):
        (tmp_path / "b.pcap").write_bytes(whole[:keep])
        counts.clear()
        assert len([*datagrams(tmp_path / "b.pcap", counts)]) == read
        assert counts == ({} if keep == len(whole) - len(packet) - 16 else {"capture cut off": 1})
    whole = pcapng(tmp_path / "a.pcapng", link, [packet] * 3).read_bytes()
    (tmp_path / "b.pcapng").write_bytes(whole[:-5])
    counts.clear()
    assert len([*datagrams(tmp_path / "b.pcapng", counts)]) == 2
    assert counts == {"capture cut off": 1}


def test_other_files_are_refused(tmp_path: Path) -> None:
    for data, says in ((b"hello" * 9, "no pcap file"), (b"", "no pcap file"), (b"\x1f\x8b" + bytes(40), "compressed")):
        (tmp_path / "a").write_bytes(data)
        with pytest.raises(SetupError, match=says):
            list(datagrams(tmp_path / "a"))
    with pytest.raises(SetupError, match="cannot be read"):
        list(datagrams(tmp_path / "none"))
