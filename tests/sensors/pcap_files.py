"""pcap files for tests, made of UDP payloads."""

from __future__ import annotations

import struct
from collections.abc import Iterable
from pathlib import Path

ETHERNET_II = bytes(12) + b"\x08\x00"


def write_pcap(path: Path, timed: Iterable[tuple[float, bytes]], port: int = 2368, mtu: int = 65535) -> Path:
    """A capture of (seconds, payload) from 192.168.1.201, in IPv4 fragments of at most `mtu` bytes of payload."""
    with path.open("wb") as file:
        file.write(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 1))
        for ident, (seconds, payload) in enumerate(timed):
            body = struct.pack(">HHHH", 443, port, 8 + len(payload), 0) + payload
            for start in range(0, len(body), mtu):
                part = body[start : start + mtu]
                flags = start // 8 | (0x2000 if start + mtu < len(body) else 0)
                ip = struct.pack(
                    ">BBHHHBBH4s4s", 0x45, 0, 20 + len(part), ident, flags, 64, 17, 0,
                    bytes((192, 168, 1, 201)), bytes((192, 168, 1, 70)),
                )  # fmt: skip
                record = ETHERNET_II + ip + part
                whole = int(seconds)
                file.write(struct.pack("<IIII", whole, round((seconds - whole) * 1e6), len(record), len(record)))
                file.write(record)
    return path
