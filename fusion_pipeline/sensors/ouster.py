"""Ouster LiDARs of any model and packet profile, live or from a pcap file."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Generator, Iterator
from contextlib import AbstractContextManager, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from fusion_pipeline.arrays import Array
from fusion_pipeline.clock import LAST_NS, SECOND_NS
from fusion_pipeline.messages import Header, LidarScan
from fusion_pipeline.sensors.device_clock import DeviceClock
from fusion_pipeline.sensors.lidar import LidarConfig, check_addresses
from fusion_pipeline.sensors.packets import Packet, packets
from fusion_pipeline.sensors.retry import Patience, Report, SetupError, keep_reading

COUNTED_TURNS = 100  # a longer gap in the count of turns is a sensor started anew, or damage
LONGEST_NS = 2 * SECOND_NS  # of a turn; the slowest Ouster makes 5 in a second


@dataclass(frozen=True)
class OusterConfig(LidarConfig):
    """An Ouster and its metadata."""

    metadata: Path = Path("ouster.json")  # `curl http://SENSOR/api/v1/sensor/metadata -o ouster.json`

    @property
    def files(self) -> tuple[Path, ...]:
        """Files that must exist."""
        return (*super().files, self.metadata)


class Ouster:
    """Scans of one turn each.

    `capture_ns`: the sensor stamps every column with its own clock. A packet leaves after its last column, so that
    stamp and the arrival of the least delayed packets tie the sensor's clock to the vehicle's. Each point's offset is
    that of its column. Coordinates are in Ouster's sensor frame.
    """

    def __init__(self, config: OusterConfig, report: Report) -> None:
        self.config = config
        self.counts: Counter[str] = Counter()
        self._report = report
        self._info: Any = None

    def prepare(self) -> None:
        """Load the SDK and the metadata. Raises SetupError."""
        check_addresses(self.config)
        try:
            text = self.config.metadata.read_text()
        except (OSError, ValueError) as error:
            raise SetupError(f"{self.config.metadata} cannot be read: {error}") from error
        self._info = _info(text, str(self.config.metadata))

    def messages(self, stop: threading.Event) -> Iterator[LidarScan]:
        """Scans until `stop` is set or the file ends."""
        if self._info is None:
            self.prepare()

        def connect() -> AbstractContextManager[Iterator[LidarScan | None]]:
            return closing(self._scans(stop))

        what = f"Ouster at {self.config.source}"
        yield from keep_reading(what, connect, stop, self._report, Patience(self.config.silence_s))

    def _scans(self, stop: threading.Event) -> Generator[LidarScan | None, None, None]:
        turn = _Turn(self.config, self._info, self.counts)
        with packets(self.config, stop, self.counts, turn.fits) as received:
            for packet in received:
                yield turn.take(packet) if packet is not None else None
            if (scan := turn.finish()) is not None:
                yield scan


def _info(text: str, where: str) -> Any:
    try:
        from ouster.sdk import core
    except ImportError as error:
        raise SetupError("an Ouster needs ouster-sdk; pip install 'fusion-pipeline[live]'") from error
    try:
        return core.SensorInfo(text)
    except (RuntimeError, ValueError) as error:
        raise SetupError(
            f"{where} is no Ouster metadata: {error}; fetch it with "
            "`curl http://SENSOR/api/v1/sensor/metadata -o ouster.json`"
        ) from error


def turns(config: OusterConfig, metadata: str, counts: Counter[str]) -> _Turn:
    """For packets that come from elsewhere, such as a bag: `take` each, `finish` at the end. Raises SetupError.

    `metadata` is the sensor's, as JSON text; the one that `config` names is not read.
    """
    return _Turn(config, _info(metadata, "the bag's metadata"), counts)


class _Turn:
    """Packets gathered into scans."""

    def __init__(self, config: OusterConfig, info: Any, counts: Counter[str]) -> None:
        from ouster.sdk import core

        self._core = core
        self._config = config
        self._info = info
        self._counts = counts
        self._format = core.PacketFormat.from_info(info)
        self._packet = core.LidarPacket(self._format)
        self._points_of = core.XYZLut(info)
        self._columns = int(info.format.columns_per_frame)
        self._packets_of_turn = self._columns // int(self._format.columns_per_packet)
        self._clock = DeviceClock()
        self._lap = 0
        self._restart()

    def take(self, packet: Packet) -> LidarScan | None:
        """The scan that `packet` completes, if it does."""
        ended = None
        if packet.lap != self._lap:
            self._lap, ended = packet.lap, self.finish()
            self._restart()
        buffer = np.frombuffer(packet.data, np.uint8)
        try:
            fault = self._fault(buffer)
            if fault:
                self._counts[f"refused: {fault}"] += 1
            if fault or len(buffer) != self._format.lidar_packet_size:
                return ended
            return self._taken(packet, buffer) or ended
        except (RuntimeError, ValueError, OverflowError, IndexError, TypeError):  # the library's own, whatever it met
            self._counts["refused: packet that cannot be decoded"] += 1
            self._restart()
            return ended

    def fits(self, data: bytes) -> bool:
        """Whether a payload is a packet of points of this Ouster."""
        buffer = np.frombuffer(data, np.uint8)
        return len(buffer) == self._format.lidar_packet_size and not self._fault(buffer)

    def _taken(self, packet: Packet, buffer: Array) -> LidarScan | None:
        self._count_losses(buffer)
        self._packet.buf[:] = buffer
        self._packet.host_timestamp = packet.arrival_ns
        stamps = self._format.packet_header(self._core.ColHeader.TIMESTAMP, buffer)
        self._clock.observe(int(stamps[-1]), packet.arrival_ns)
        # A turn whose last packets are lost ends with the first packet of the next, which the batcher keeps.
        complete = self._batcher.batch(self._packet, self._frame)
        self._arrival_ns, self._pending = packet.arrival_ns, True
        return self._scan() if complete else None

    def finish(self) -> LidarScan | None:
        """What is left of a turn at the end of a file."""
        return self._scan() if self._pending else None

    def _restart(self) -> None:
        self._batcher = self._core.FrameBatcher(self._info)
        self._frame = self._core.LidarFrame(self._info)
        self._clock.forget()
        self._arrival_ns, self._pending = 0, False
        self._last: tuple[int, int] | None = None  # turn and place in it of the packet before

    def _fault(self, buffer: Array) -> str:
        size = len(buffer)
        if size == self._format.imu_packet_size:
            return ""
        if size != self._format.lidar_packet_size:
            return "not of this Ouster's packet size"
        columns = self._format.packet_header(self._core.ColHeader.MEASUREMENT_ID, buffer).astype(np.int64)
        if columns[-1] >= self._columns or (np.diff(columns) != 1).any():
            return "no Ouster columns"
        stamps = self._format.packet_header(self._core.ColHeader.TIMESTAMP, buffer)
        if stamps.max() > LAST_NS or stamps.max() - stamps.min() > LONGEST_NS or (stamps[1:] < stamps[:-1]).any():
            return "stamps that no clock can have"
        self._packet.buf[:] = buffer
        validity = self._packet.validate(self._info, self._format)
        return "" if validity == self._core.PacketValidationFailure.NONE else "from another Ouster"

    def _count_losses(self, buffer: Array) -> None:
        """Packets missing before this one; in a narrowed azimuth window only those inside a run count."""
        column = int(self._format.packet_header(self._core.ColHeader.MEASUREMENT_ID, buffer)[0])
        turn, place = int(self._format.frame_id(buffer)), column // int(self._format.columns_per_packet)
        if self._last is not None:
            turns = turn - self._last[0]
            missing = turns * self._packets_of_turn + place - self._last[1] - 1
            whole = tuple(self._info.format.column_window) == (0, self._columns - 1)
            if missing > 0 and 0 <= turns < COUNTED_TURNS and (whole or turns == 0):
                self._counts["lost: missing packets"] += missing
        self._last = (turn, place)

    def _scan(self) -> LidarScan | None:
        frame, self._pending = self._frame, False
        ranges = frame.field("RANGE")
        valid = (np.asarray(frame.status) & 1).astype(bool)
        seen = (ranges > 0) & valid  # rows are beams from the top, columns instants
        stamps = frame.timestamp.astype(np.int64)
        if not seen.any():
            return None
        first_ns = int(stamps[valid].min())
        if int(stamps[valid].max()) - first_ns > LONGEST_NS:
            self._counts["refused: turn whose stamps lie apart"] += 1
            self._restart()
            return None
        offsets = stamps - first_ns
        header = Header(
            source=self._config.topic,
            capture_ns=self._clock.vehicle_ns(first_ns),
            arrival_ns=self._arrival_ns,
            frame=self._config.topic,
        )
        rings, columns = np.nonzero(seen)
        reflectivity = frame.field("REFLECTIVITY")[seen].astype(np.float32)
        scan = LidarScan(
            header=header,
            duration_ns=int(offsets[valid].max()),
            xyz_m=self._points_of(ranges)[seen].astype(np.float32),
            intensity=np.clip(reflectivity / 255, 0, 1),
            ring=rings.astype(np.uint16),
            offset_ns=offsets[columns].astype(np.int32),
        )
        self._frame = self._core.LidarFrame(self._info)
        return scan
