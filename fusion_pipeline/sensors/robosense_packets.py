"""Packets of RoboSense's spinning LiDARs: RS-Helios (5515, 1610, 1615, 16P), RS-LiDAR-16 and RS-LiDAR-32.

Layouts by RoboSense's user manuals of these models (MSOP: points; DIFOP: the device and its angles), compared with
RoboSense's own decoders (github.com/RoboSense-LiDAR/rs_driver and ros_rslidar) and with tier4/nebula. The firing times
of RS-LiDAR-16 and 32 are the manuals' formulas, those of the RS-Helios the tables in nebula; rs_driver spaces the
latter evenly instead, which differs by at most 9 us. No more than these public texts: none has been held against a
real sensor.
"""

from __future__ import annotations

import calendar
import struct
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fusion_pipeline.arrays import Doubles
from fusion_pipeline.clock import LAST_NS, SECOND_NS
from fusion_pipeline.sensors.retry import SetupError

PACKET_BYTES, HEAD_BYTES, BLOCK_BYTES, BLOCKS, COLUMNS = 1248, 42, 100, 12, 32
POINTS = np.dtype([("flag", "S2"), ("azimuth", ">u2"), ("points", [("distance", ">u2"), ("intensity", "u1")], COLUMNS)])
TURN = 36000  # hundredths of a degree
INFO_START = bytes.fromhex("a5ff005a11115555")  # of a DIFOP packet
OLD_START, NEW_START = bytes.fromhex("55aa050a5aa550a0"), bytes.fromhex("55aa055a")  # of an MSOP packet
TAIL = b"\x00\xff"
ELEVATIONS_AT, AZIMUTHS_AT, RS16_ELEVATIONS_AT = 468, 564, 1165
CENTIMETRES = (b"\x55\xaa\x5a", b"\xe9\x01\x00")  # top board firmware of before 2018: another unit, other corrections

_HELIOS_US = (
    0, 1.57, 3.15, 4.72, 6.3, 7.87, 9.45, 11.36, 13.26, 15.17, 17.08, 18.99, 20.56, 22.14, 23.71, 25.29, 26.53, 29.01,
    27.77, 30.25, 31.49, 32.73, 33.98, 35.22, 36.46, 37.7, 38.94, 40.18, 41.42, 42.67, 43.91, 45.15,
)  # fmt: skip
_HELIOS_16P_US = (
    0, 3.15, 6.3, 9.45, 13.26, 17.08, 20.56, 23.71, 26.53, 27.77, 31.49, 32.73, 36.46, 38.94, 41.42, 43.91,
)  # fmt: skip


@dataclass(frozen=True)
class Model:
    """What tells the models apart."""

    firing_us: tuple[float, ...]  # of each laser, from the block's time on
    period_us: float  # from one firing of all lasers to the next
    old: bool  # whether its packets have the old start, a calendar date and 0.5 cm
    angle_unit_deg: float  # of DIFOP
    lens_m: float  # from the axis to the lens, outwards
    marks: frozenset[tuple[int, int]]  # bytes of the header that name it; others name another model
    nominal_deg: tuple[float, ...] = ()  # elevations; only where every unit has them, and no azimuths, nearly

    @property
    def lasers(self) -> int:
        """How many lasers it has."""
        return len(self.firing_us)


_RS32_US = tuple(2.88 * (k % 16) + 1.44 * ((k + 1) // 16) for k in range(32))
MODELS = {
    "RS-Helios-5515": Model(_HELIOS_US, 55.56, False, 0.01, 0.03498, frozenset({(6, 0), (6, 1)})),
    "RS-Helios-1610": Model(_HELIOS_US, 55.56, False, 0.01, 0.03498, frozenset({(6, 2), (6, 4)})),
    "RS-Helios-1615": Model(_HELIOS_US, 55.56, False, 0.01, 0.03498, frozenset({(7, 0), (6, 4)})),
    "RS-Helios-16P": Model(_HELIOS_16P_US, 55.56, False, 0.01, 0.03498, frozenset({(7, 0), (6, 3)})),
    "RS-LiDAR-16": Model(
        tuple(2.8 * k for k in range(16)), 55.5, True, 0.0001, 0.03825, frozenset({(1, 0)}),
        (*(-15.0 + 2 * k for k in range(8)), *(15.0 - 2 * k for k in range(8))),
    ),
    "RS-LiDAR-32": Model(_RS32_US, 55.52, True, 0.001, 0.03997, frozenset({(2, 0)})),
}  # fmt: skip
_NAMED = frozenset({mark for model in MODELS.values() for mark in model.marks} | {(3, 0), (4, 0), (5, 0)})


@dataclass(frozen=True)
class Info:
    """What a DIFOP packet says."""

    angles: Doubles | None  # (lasers, 2) elevation and azimuth in degrees; None where the sensor has none stored
    blind: int  # hundredths of a degree of the turn in which it does not measure
    fault: str  # what keeps its points from being read; "" for nothing


def is_info(data: bytes) -> bool:
    """Whether a payload is a DIFOP packet."""
    return len(data) == PACKET_BYTES and data.startswith(INFO_START)


def info_of(data: bytes, name: str) -> Info:
    """The content of a DIFOP packet of the model called `name`."""
    model = MODELS[name]
    if model.lasers == 16 and model.old:
        table = np.frombuffer(data, "u1", 48, RS16_ELEVATIONS_AT).reshape(16, 3).astype(np.int64)
        sizes = table @ (65536, 256, 1)
        elevations = np.where(np.arange(16) < 8, -sizes, sizes) * model.angle_unit_deg
        azimuths, stored = np.zeros(16), bool((sizes > 0).all())
    else:
        elevations, known = _signed(data, ELEVATIONS_AT, model)
        azimuths, also = _signed(data, AZIMUTHS_AT, model)
        stored = known and also and len(np.unique(elevations)) == model.lasers
    angles = np.column_stack([elevations, azimuths])
    begin, end = struct.unpack_from(">HH", data, 32)
    fault = "firmware of before 2018, whose distances are in cm" if model.old and data[41:44] in CENTIMETRES else ""
    return Info(
        angles=angles if stored and (np.abs(angles) < 90).all() else None,
        blind=TURN - (end - begin) % TURN if (end - begin) % TURN else 0,
        fault=fault,
    )


def _signed(data: bytes, start: int, model: Model) -> tuple[Doubles, bool]:
    """Angles of a sign byte, 0 or 1, and 16 bits each; and whether all are such."""
    table = np.frombuffer(data, [("sign", "u1"), ("size", ">u2")], model.lasers, start)
    sizes = table["size"].astype(np.float64) * model.angle_unit_deg
    return np.where(table["sign"] == 0, sizes, -sizes), bool((table["sign"] <= 1).all())


def nominal(name: str) -> Doubles | None:
    """(lasers, 2) elevation and azimuth in degrees that each unit of a model has nearly; None where there are none."""
    elevations = MODELS[name].nominal_deg
    return np.column_stack([elevations, np.zeros(len(elevations))]) if elevations else None


def angles_in(path: Path, name: str) -> Doubles:
    """(lasers, 2) of a file with a line "elevation,azimuth" for each laser, or "elevation" alone. Raises SetupError."""
    lasers = MODELS[name].lasers
    try:
        lines = path.read_text(encoding="utf-8-sig").split("\n")
        rows = [[float(word) for word in line.strip().rstrip(",").split(",")] for line in lines if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise SetupError(f"{path} cannot be read: {getattr(error, 'strerror', None) or error}") from None
    except ValueError:
        rows = []
    wanted = (1, 2) if MODELS[name].nominal_deg else (2,)
    if len(rows) != lasers or {len(row) for row in rows} not in ({width} for width in wanted):
        raise SetupError(
            f'{path} has not the {lasers} lines "elevation,azimuth" in degrees of an angle file of a {name}; it is on '
            "the memory stick that came with the sensor"
        )
    table = np.zeros((lasers, 2))
    table[:, : len(rows[0])] = rows
    if not (np.abs(table) < 90).all():
        raise SetupError(f"{path} has angles beyond 90 degrees")
    return table


def packet_fault(data: bytes, name: str) -> str:
    """What keeps `data` from being an MSOP packet of the model called `name`; "" for a good one."""
    model = MODELS[name]
    if len(data) != PACKET_BYTES:
        return "not of a RoboSense packet's size"
    if not data.startswith(OLD_START if model.old else NEW_START):
        return f"not from a {name}"
    mark = (data[30], 0) if model.old else (data[31], data[32])
    if mark in _NAMED and mark not in model.marks:
        return f"not from a {name}"
    if (
        data[-2:] != TAIL
        or data[HEAD_BYTES:-6:BLOCK_BYTES] != b"\xff" * BLOCKS
        or data[HEAD_BYTES + 1 : -6 : BLOCK_BYTES] != b"\xee" * BLOCKS
        or max(azimuths_of(data)) >= TURN
        or device_ns(data) is None
        or not (model.old or data[17] in (0, 1))
    ):
        return "damaged packet"
    return ""


def azimuths_of(data: bytes) -> list[int]:
    """Of the blocks, in hundredths of a degree."""
    high, low = data[HEAD_BYTES + 2 : -6 : BLOCK_BYTES], data[HEAD_BYTES + 3 : -6 : BLOCK_BYTES]
    return [256 * one + other for one, other in zip(high, low, strict=True)]


def unit_m(data: bytes, name: str) -> float:
    """Metres of one step of a distance."""
    return 0.005 if MODELS[name].old or data[17] == 0 else 0.0025


def device_ns(data: bytes) -> int | None:
    """The sensor's time of a packet's first firing; None for one that is no time."""
    if data.startswith(NEW_START):
        seconds, micro = int.from_bytes(data[20:26], "big"), int.from_bytes(data[26:30], "big")
    else:
        year, month, day, hour, minute, second, millis, micros = struct.unpack_from(">6BHH", data, 20)
        if month > 12 or day > 31 or hour > 23 or minute > 59 or second > 60 or max(millis, micros) > 999:
            return None
        # Without GPS months and days may count from 0; only differences are used.
        seconds = calendar.timegm((2000 + year, max(month, 1), max(day, 1), hour, minute, second))
        micro = millis * 1000 + micros
    found = seconds * SECOND_NS + micro * 1000
    return found if micro < 1_000_000 and found <= LAST_NS else None
