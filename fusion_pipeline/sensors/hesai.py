"""Hesai PandarXT-32 and PandarXT-16, live or from a pcap file.

Packets by the user manuals of both (section "Point Cloud Data Packet"); the times of rounds and lasers are those that
tier4/nebula's decoders of these models have.
"""

from __future__ import annotations

import calendar
import struct
import threading
from collections import Counter
from collections.abc import Generator, Iterator
from contextlib import AbstractContextManager, closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import numpy as np

from fusion_pipeline.arrays import Doubles
from fusion_pipeline.checks import OneOf, Range
from fusion_pipeline.clock import LAST_NS, SECOND_NS
from fusion_pipeline.messages import Header, LidarScan
from fusion_pipeline.sensors.device_clock import DeviceClock
from fusion_pipeline.sensors.lidar import LidarConfig, check_addresses
from fusion_pipeline.sensors.packets import Packet, packets
from fusion_pipeline.sensors.retry import Patience, Report, SetupError, keep_reading

START, VERSION, BLOCKS = b"\xee\xff", 6, 8
HEAD_BYTES, TAIL_BYTES, SEQUENCE_BYTES = 12, 24, 4
SINGLE, DUAL = (0x33, 0x37, 0x38), (0x39, 0x3B, 0x3C)  # return modes
TURN = 36000  # hundredths of a degree
FIRST_NS, ROUND_NS, CHANNEL_NS = 5_632, 50_000, 368  # from a round's command to its first laser, from round to round
LONGEST_NS = SECOND_NS  # of a turn; the slowest takes 0.2 s
CLOCK_JUMP_NS = SECOND_NS  # between the sensor's clock and ours
COUNTED_PACKETS = 100_000  # a longer gap in the sequence is a sensor started anew


@dataclass(frozen=True)
class Model:
    """What tells the models apart."""

    elevations_deg: tuple[float, ...]  # nominal, from channel 1 on, which is the top one
    laser_ns: int  # from one laser to the next

    @property
    def packet_bytes(self) -> int:
        """Size of a packet; these models always send the sequence number."""
        return HEAD_BYTES + BLOCKS * (2 + 4 * len(self.elevations_deg)) + TAIL_BYTES + SEQUENCE_BYTES


MODELS = {
    "PandarXT-32": Model(tuple(15.0 - k for k in range(32)), 1_512),
    "PandarXT-16": Model(tuple(15.0 - 2 * k for k in range(16)), 3_024),
}


@dataclass(frozen=True)
class HesaiConfig(LidarConfig):
    """A Hesai and what kind it is."""

    model: Annotated[str, OneOf(*MODELS)] = "PandarXT-32"
    angles: Path | None = None  # its correction file, lines "channel,elevation,azimuth"; default: nominal angles
    min_range_m: Annotated[float, Range(0, 1000)] = 0.05
    max_range_m: Annotated[float, Range(0, 1000, above=True)] = 120.0

    def faults(self) -> Iterator[str]:
        """And ranges in the wrong order, and a correction file that is none."""
        yield from super().faults()
        if self.min_range_m >= self.max_range_m:
            yield f"min_range_m = {self.min_range_m:g} is not below max_range_m = {self.max_range_m:g}"
        if self.angles is not None and self.angles.is_file():
            try:
                angles_of(self)
            except SetupError as error:
                yield f"angles: {error}"

    @property
    def files(self) -> tuple[Path, ...]:
        """Files that must exist."""
        return (*super().files, *((self.angles,) if self.angles else ()))


class Hesai:
    """Scans of one turn each, both returns of the dual modes in one scan.

    `capture_ns`: each packet bears the sensor's date and microseconds at the last round of firing in it; the least
    delayed packets tie that clock to the vehicle's. Coordinates are in Hesai's frame: y at azimuth 0, x to its right.
    """

    def __init__(self, config: HesaiConfig, report: Report) -> None:
        self.config = config
        self.counts: Counter[str] = Counter()
        self._report = report
        self._angles: Doubles | None = None

    def prepare(self) -> None:
        """Check the settings and read the angles. Raises SetupError."""
        check_addresses(self.config)
        self._angles = angles_of(self.config)

    def messages(self, stop: threading.Event) -> Iterator[LidarScan]:
        """Scans until `stop` is set or the file ends."""
        if self._angles is None:
            self.prepare()

        def connect() -> AbstractContextManager[Iterator[LidarScan | None]]:
            return closing(self._scans(stop))

        nominal = "" if self.config.angles else ", with nominal angles"
        what = f"Hesai {self.config.model} at {self.config.source}{nominal}"
        yield from keep_reading(what, connect, stop, self._report, Patience(self.config.silence_s))

    def _scans(self, stop: threading.Event) -> Generator[LidarScan | None, None, None]:
        with packets(self.config, stop, self.counts, partial(fits, self.config)) as received:
            turn = turns(self.config, self.counts, self._angles)
            for packet in received:
                yield from turn.take(packet) if packet is not None else (None,)
            yield from turn.finish()


def angles_of(config: HesaiConfig) -> Doubles:
    """(channels, 2) elevation and azimuth in degrees: of the correction file, or nominal. Raises SetupError."""
    if config.model not in MODELS:
        raise SetupError(f"Hesai model {config.model!r} is unknown; known: {', '.join(MODELS)}")
    nominal = MODELS[config.model].elevations_deg
    if config.angles is None:
        return np.column_stack([nominal, np.zeros(len(nominal))])
    try:
        lines = config.angles.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise SetupError(f"{config.angles} cannot be read: {getattr(error, 'strerror', None) or error}") from None
    found: dict[int, tuple[float, float]] = {}
    for text in lines:
        words = [word.strip() for word in text.split(",")]
        if len(words) >= 3 and words[0].isdecimal():
            try:
                found[int(words[0])] = float(words[1]), float(words[2])
            except ValueError:
                raise SetupError(f"{config.angles}: {text[:60]!r} is no line of a correction file") from None
    table = np.asarray([found.get(k + 1, (np.nan, np.nan)) for k in range(len(nominal))])
    if len(found) != len(nominal) or not (np.abs(table) <= 180).all():
        raise SetupError(
            f"{config.angles} has not the {len(nominal)} channels of a {config.model}; a correction file has lines "
            '"channel,elevation,azimuth" in degrees, and can be exported from the sensor\'s web page'
        )
    return table


def fits(config: HesaiConfig, data: bytes) -> bool:
    """Whether a payload is a packet of points of the configured model."""
    return not packet_fault(data, config.model)


def packet_fault(data: bytes, model: str) -> str:
    """What keeps `data` from being a packet of `model`; "" for a good one."""
    kind = MODELS[model]
    if len(data) != kind.packet_bytes:
        return f"not of a {model} packet's size"
    channels, blocks, _, unit_mm, returns, _ = data[6:HEAD_BYTES]
    if data[:2] != START or data[2] != VERSION or (channels, blocks) != (len(kind.elevations_deg), BLOCKS):
        return f"not from a {model}"
    if not unit_mm or returns not in (1, 2) or data[-18] not in (*SINGLE, *DUAL) or _device_ns(data) is None:
        return "damaged packet"
    if max(struct.unpack_from("<H", data, HEAD_BYTES + k * (2 + 4 * channels))[0] for k in range(BLOCKS)) >= TURN:
        return "damaged packet"
    return ""


def _device_ns(data: bytes) -> int | None:
    """The sensor's time of the last round of firing; None for one that is no time."""
    year, month, day, hour, minute, second = data[-15:-9]
    microseconds = int.from_bytes(data[-9:-5], "little")
    if not (year >= 70 and 1 <= month <= 12 and 1 <= day <= 31 and hour < 24 and minute < 60 and second < 61):
        return None
    found = calendar.timegm((1900 + year, month, day, hour, minute, second)) * SECOND_NS + microseconds * 1000
    return found if microseconds <= 1_000_000 and found <= LAST_NS else None


def turns(config: HesaiConfig, counts: Counter[str], angles: Doubles | None = None) -> _Turn:
    """For packets that come from elsewhere, such as a capture: `take` each, `finish` at the end. Raises SetupError."""
    return _Turn(config, angles_of(config) if angles is None else angles, counts)


class _Turn:
    """Packets gathered into scans."""

    _last: Packet | None
    _azimuth: int | None  # of the last block, in hundredths of a degree
    _turned: int  # since the turn began
    _parts: list[tuple[Any, Any, int, int]]  # blocks, when each began, returns, mm of a distance's unit

    def __init__(self, config: HesaiConfig, angles: Doubles, counts: Counter[str]) -> None:
        self._config, self._model, self._counts = config, MODELS[config.model], counts
        self._channels = len(angles)
        elevation, self._azimuth_rad = np.deg2rad(angles).T
        self._level, self._up = np.cos(elevation), np.sin(elevation)
        point = np.dtype([("distance", "<u2"), ("reflectivity", "u1"), ("", "u1")])
        self._block = np.dtype([("azimuth", "<u2"), ("points", point, (self._channels,))])
        self._clock = DeviceClock()
        self._restart()

    def take(self, packet: Packet) -> Iterator[LidarScan | None]:
        """The scan that ended within `packet`, or None."""
        if self._last is not None and packet.lap != self._last.lap:
            yield from self.finish()
            self._restart()
        if fault := packet_fault(packet.data, self._config.model):
            self._counts[f"refused: {fault}"] += 1
            yield None
            return
        device_ns = _device_ns(packet.data) or 0
        if self._jumped(packet, device_ns):
            yield from self.finish()
            self._restart()
        returns = 2 if packet.data[-18] in DUAL else 1
        blocks = np.frombuffer(packet.data, self._block, BLOCKS, HEAD_BYTES)
        rounds = (BLOCKS - 1 - np.arange(BLOCKS)) // returns
        starts_ns = device_ns + FIRST_NS - ROUND_NS * rounds
        last_laser_ns = CHANNEL_NS + (self._channels - 1) * self._model.laser_ns
        self._clock.observe(device_ns + FIRST_NS + last_laser_ns, packet.arrival_ns)
        azimuths = blocks["azimuth"].astype(np.int64)
        before = azimuths[0] if self._azimuth is None else self._azimuth
        steps = (np.diff(azimuths, prepend=before) + TURN // 2) % TURN - TURN // 2
        turned = self._turned + np.cumsum(steps)
        whole = np.flatnonzero(np.abs(turned) >= TURN)
        cut = int(whole[0]) if len(whole) else BLOCKS
        self._add(packet, blocks[:cut], starts_ns[:cut], returns)
        if cut < BLOCKS:
            yield from self.finish()
            turned = turned - TURN * np.sign(turned[cut])
            self._add(packet, blocks[cut:], starts_ns[cut:], returns)
        elif int(starts_ns[0]) - self._begin_ns > LONGEST_NS:
            self._counts["refused: turns without an end, the rotor stands"] += 1
            self._parts, turned = [], np.zeros(BLOCKS, np.int64)
        self._azimuth, self._turned, self._last = int(azimuths[-1]), int(turned[-1]), packet
        yield None

    def finish(self) -> Iterator[LidarScan]:
        """What has been gathered of a turn."""
        if self._parts:
            scan = self._scan()
            self._parts = []
            if scan is not None:
                yield scan

    def _restart(self) -> None:
        self._clock.forget()
        self._last = self._azimuth = None
        self._turned, self._begin_ns, self._arrival_ns = 0, 0, 0
        self._parts = []

    def _jumped(self, packet: Packet, device_ns: int) -> bool:
        """Whether the sensor was started anew since the last packet; counts what is missing between them."""
        if self._last is None:
            return False
        missing = (_sequence(packet) - _sequence(self._last) - 1) % (1 << 32)
        if 0 < missing < COUNTED_PACKETS:
            self._counts["lost: missing packets"] += missing
        elapsed = device_ns - (_device_ns(self._last.data) or 0)
        if elapsed < 0 or abs(elapsed - (packet.arrival_ns - self._last.arrival_ns)) > CLOCK_JUMP_NS:
            self._counts["the sensor's clock jumped"] += 1
            return True
        return False

    def _add(self, packet: Packet, blocks: Any, starts_ns: Any, returns: int) -> None:
        if len(blocks):
            if not self._parts:
                self._begin_ns = int(starts_ns[0])
            self._parts.append((blocks, starts_ns, returns, packet.data[9]))
            self._arrival_ns = packet.arrival_ns

    def _scan(self) -> LidarScan | None:
        blocks = np.concatenate([part[0] for part in self._parts])
        starts_ns = np.concatenate([part[1] for part in self._parts])
        units_m = np.concatenate([np.full(len(part[0]), part[3] * 1e-3) for part in self._parts])
        second = np.concatenate([np.arange(len(part[0])) % 2 == 1 if part[2] == 2 else np.zeros(len(part[0]), bool)
                                 for part in self._parts])  # fmt: skip
        raw = blocks["points"]["distance"]
        distances = raw * units_m[:, None]
        seen = (raw > 0) & (distances >= self._config.min_range_m) & (distances <= self._config.max_range_m)
        same = np.zeros_like(seen)
        same[1:] = second[1:, None] & (raw[1:] == raw[:-1])  # one return, sent twice
        seen &= ~same
        if not seen.any():
            return None
        rows, channels = np.nonzero(seen)
        times = starts_ns[rows] + CHANNEL_NS + channels * self._model.laser_ns
        first_ns = int(times.min())
        turn = np.deg2rad(blocks["azimuth"][rows] / 100.0) + self._azimuth_rad[channels]
        metres = distances[seen]
        level = metres * self._level[channels]
        xyz = np.column_stack([level * np.sin(turn), level * np.cos(turn), metres * self._up[channels]])
        offsets = (times - first_ns).astype(np.int32)
        capture_ns = self._clock.vehicle_ns(first_ns)
        topic = self._config.topic
        return LidarScan(
            header=Header(topic, capture_ns, max(capture_ns, self._arrival_ns), topic),
            duration_ns=int(offsets.max()),
            xyz_m=xyz.astype(np.float32),
            intensity=blocks["points"]["reflectivity"][seen] / np.float32(255),
            ring=channels.astype(np.uint16),
            offset_ns=offsets,
        )


def _sequence(packet: Packet) -> int:
    return int.from_bytes(packet.data[-SEQUENCE_BYTES:], "little")
