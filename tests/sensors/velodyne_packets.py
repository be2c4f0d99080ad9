"""VLP-16 packets by the format in Velodyne's manual (63-9243): what a sensor inside a known world would send."""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Iterator

# Elevations in the order in which the lasers of a VLP-16 fire, and where the laser sits above the optical centre.
ELEVATIONS_DEG = (-15, 1, -13, 3, -11, 5, -9, 7, -7, 9, -5, 11, -3, 13, -1, 15)
HEIGHTS_MM = (11.2, -0.7, 9.7, -2.2, 8.1, -3.7, 6.6, -5.1, 5.1, -6.6, 3.7, -8.1, 2.2, -9.7, 0.7, -11.2)
FIRING_US, LASER_US = 55.296, 2.304
BLOCKS = 12
STEP_DEG = 0.4  # azimuth from one block, of two firings, to the next: 10 Hz
PACKET_US = BLOCKS * 2 * FIRING_US

RangeOf = Callable[[int, float], float]  # (laser, azimuth in degrees) -> metres, 0 for no return


def packet(first_deg: float, device_us: float, range_m: RangeOf) -> bytes:
    """One data packet of 1206 bytes whose first block looks to `first_deg` (clockwise from ahead)."""
    blocks = []
    for block in range(BLOCKS):
        azimuth = (first_deg + block * STEP_DEG) % 360
        body = struct.pack("<HH", 0xEEFF, round(azimuth * 100) % 36000)
        for firing in range(2):
            for laser in range(16):
                turned = (firing * FIRING_US + laser * LASER_US) / (2 * FIRING_US) * STEP_DEG
                distance = range_m(laser, (azimuth + turned) % 360)
                body += struct.pack("<HB", round(distance / 0.002), 10 * laser)
        blocks.append(body)
    return b"".join(blocks) + struct.pack("<IBB", int(device_us) % 3_600_000_000, 0x37, 0x22)


def turns(count: float, range_m: RangeOf, start_us: float = 1_000_000.0) -> Iterator[tuple[float, bytes]]:
    """(device time in us, packet) of `count` turns."""
    for index in range(math.ceil(count * 360 / (BLOCKS * STEP_DEG))):
        device_us = start_us + index * PACKET_US
        yield device_us, packet(index * BLOCKS * STEP_DEG % 360, device_us, range_m)
