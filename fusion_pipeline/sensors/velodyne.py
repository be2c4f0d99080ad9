"""Velodyne LiDARs: VLP-16, Puck Hi-Res, VLP-32, HDL-32E, HDL-64E and VLS-128, live or from a pcap file."""

from __future__ import annotations

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

from fusion_pipeline.checks import OneOf, Range
from fusion_pipeline.clock import SECOND_NS
from fusion_pipeline.messages import Header, LidarScan
from fusion_pipeline.sensors.device_clock import DeviceClock
from fusion_pipeline.sensors.lidar import LidarConfig, check_addresses
from fusion_pipeline.sensors.packets import Packet, packets
from fusion_pipeline.sensors.retry import Patience, Report, SetupError, keep_reading

PACKET_BYTES, POSITION_BYTES = 1206, 512
BLOCK_BYTES, BLOCKS = 100, 12
BLOCK_FLAGS = frozenset((0xEEFF, 0xDDFF, 0xCCFF, 0xBBFF))  # little-endian heads of the blocks: FF EE, FF DD, ...
HOUR_NS = 3600 * SECOND_NS
CLOCK_JUMP_NS = SECOND_NS  # between the sensor's clock and ours: it has been started anew
# Name in our configs -> (name in velodyne_decoder, beams). An HDL-64E needs its own calibration besides.
MODELS: dict[str, tuple[str, int]] = {
    "VLP-16": ("VLP16", 16),
    "Puck Hi-Res": ("PuckHiRes", 16),
    "VLP-32A": ("VLP32A", 32),
    "VLP-32B": ("VLP32B", 32),
    "VLP-32C": ("VLP32C", 32),
    "HDL-32E": ("HDL32E", 32),
    "HDL-64E": ("HDL64E_S3", 64),
    "HDL-64E S1": ("HDL64E_S1", 64),
    "HDL-64E S2": ("HDL64E_S2", 64),
    "HDL-64E S3": ("HDL64E_S3", 64),
    "VLS-128": ("VLS128", 128),
}

# The last byte of a packet, by Velodyne's manuals; models that are not here put other things there.
MODEL_BYTES = {"VLP-16": 0x22, "Puck Hi-Res": 0x24, "VLP-32C": 0x28, "HDL-32E": 0x21, "VLS-128": 0xA1}


@dataclass(frozen=True)
class VelodyneConfig(LidarConfig):
    """A Velodyne and what kind it is."""

    model: Annotated[str, OneOf(*MODELS)] = "VLP-16"  # a key of MODELS
    calibration: Path | None = None  # YAML; needed for an HDL-64E, whose lasers all differ
    min_range_m: Annotated[float, Range(0, 1000)] = 0.5
    max_range_m: Annotated[float, Range(0, 1000, above=True)] = 200.0

    def faults(self) -> Iterator[str]:
        """And ranges in the wrong order, and an HDL-64E without its calibration."""
        yield from super().faults()
        if self.min_range_m >= self.max_range_m:
            yield f"min_range_m = {self.min_range_m:g} is not below max_range_m = {self.max_range_m:g}"
        if self.model.startswith("HDL-64E") and self.calibration is None:
            yield f"calibration: each {self.model} has one of its own; name the file"

    @property
    def files(self) -> tuple[Path, ...]:
        """Files that must exist."""
        return (*super().files, *((self.calibration,) if self.calibration else ()))


class Velodyne:
    """Scans of one turn each.

    `capture_ns`: the sensor stamps each packet with its own clock (microseconds past the hour) at the first firing in
    it. The least delayed packets tie that clock to the vehicle's; a packet leaves the sensor after its last firing, so
    its span is taken off its arrival. Each point's offset counts from the first firing of the turn, by the sensor.
    """

    def __init__(self, config: VelodyneConfig, report: Report) -> None:
        self.config = config
        self.counts: Counter[str] = Counter()
        self._report = report
        self._decoder_config: Any = None

    def prepare(self) -> None:
        """Load the decoder and the calibration. Raises SetupError."""
        config = self.config
        check_addresses(config)
        if config.model not in MODELS:
            raise SetupError(f"Velodyne model {config.model!r} is unknown; known: {', '.join(MODELS)}")
        try:
            import velodyne_decoder as vd
        except ImportError as error:
            raise SetupError("a Velodyne needs velodyne-decoder; pip install 'fusion-pipeline[live]'") from error
        model, _ = MODELS[config.model]
        calibration = None
        if config.calibration:
            try:
                calibration = vd.Calibration.read(str(config.calibration))
            except (RuntimeError, ValueError) as error:
                raise SetupError(f"{config.calibration} is no Velodyne calibration: {error}") from error
        elif model.startswith("HDL64E"):
            raise SetupError(
                f"lidar {config.name}: each {config.model} has a calibration of its own; record 10 s of its packets, "
                "write it with `extract-hdl64e-calibration out.pcap > hdl64.yml`, and set `calibration` to that file"
            )
        self._decoder_config = vd.Config(
            model=getattr(vd.Model, model),
            calibration=calibration,
            min_range=config.min_range_m,
            max_range=config.max_range_m,
            timestamp_first_packet=True,
        )

    def messages(self, stop: threading.Event) -> Iterator[LidarScan]:
        """Scans until `stop` is set or the file ends."""
        if self._decoder_config is None:
            self.prepare()

        def connect() -> AbstractContextManager[Iterator[LidarScan | None]]:
            return closing(self._scans(stop))

        what = f"Velodyne {self.config.model} at {self.config.source}"
        yield from keep_reading(what, connect, stop, self._report, Patience(self.config.silence_s))

    def _scans(self, stop: threading.Event) -> Generator[LidarScan | None, None, None]:
        with packets(self.config, stop, self.counts, partial(fits, self.config)) as received:
            turn = _Turn(self.config, self._decoder_config, self.counts)
            for packet in received:
                yield from turn.take(packet) if packet is not None else (None,)
            yield from turn.finish()


def fits(config: VelodyneConfig, data: bytes) -> bool:
    """Whether a payload is a packet of points of the configured model."""
    return len(data) == PACKET_BYTES and not packet_fault(data, config.model)


def turns(config: VelodyneConfig, counts: Counter[str]) -> _Turn:
    """For packets that come from elsewhere, such as a bag: `take` each, `finish` at the end. Raises SetupError."""
    driver = Velodyne(config, lambda *_: None)
    driver.prepare()
    return _Turn(config, driver._decoder_config, counts)


class _Turn:
    """Packets gathered into scans."""

    def __init__(self, config: VelodyneConfig, decoder_config: Any, counts: Counter[str]) -> None:
        self._config = config
        self._decoder_config = decoder_config
        self._beams = MODELS[config.model][1]
        self._counts = counts
        self._clock = DeviceClock()
        self._last: Packet | None = None
        self._restart()

    def take(self, packet: Packet) -> Iterator[LidarScan | None]:
        """The scan that ended before `packet`, or None."""
        if self._last is not None and packet.lap != self._last.lap:
            yield from self.finish()
            self._restart()
        fault = packet_fault(packet.data, self._config.model)
        if fault:
            self._counts[f"refused: {fault}"] += 1
        if fault or len(packet.data) == POSITION_BYTES or not self._advance(packet):
            yield None
            return
        self._last = packet
        yield self._scan(self._decoder.decode(self._device_ns / SECOND_NS, packet.data, True))

    def finish(self) -> Iterator[LidarScan]:
        """What is left of a turn at the end of a file."""
        if (scan := self._scan(self._decoder.finish(True))) is not None:
            yield scan

    def _restart(self) -> None:
        import velodyne_decoder as vd

        self._decoder = vd.StreamDecoder(self._decoder_config)
        self._clock.forget()
        self._last = None
        self._device_ns = 0  # the sensor's clock, counted on across hours
        self._span_ns = 0  # from one packet to the next

    def _advance(self, packet: Packet) -> bool:
        """Move the sensor's clock on to `packet`; False for one that is older than the last."""
        stamp_ns = _stamp_ns(packet)
        if self._last is not None:
            step_ns = (stamp_ns - _stamp_ns(self._last)) % HOUR_NS
            waited_ns = packet.arrival_ns - self._last.arrival_ns
            if step_ns > HOUR_NS - SECOND_NS:
                self._counts["refused: out of order"] += 1
                return False
            if abs(step_ns - waited_ns) > CLOCK_JUMP_NS:
                self._counts["the sensor's clock jumped"] += 1
                self._restart()
            elif self._span_ns and step_ns > 1.5 * self._span_ns:
                self._counts["lost: missing packets"] += round(step_ns / self._span_ns) - 1
                self._device_ns += step_ns
            else:
                self._span_ns = step_ns
                self._device_ns += step_ns
        if self._last is None:
            self._device_ns = stamp_ns
        self._clock.observe(self._device_ns, packet.arrival_ns - self._span_ns)
        return True

    def _scan(self, decoded: tuple[Any, Any] | None) -> LidarScan | None:
        if decoded is None or self._last is None or len(decoded[1]) == 0:
            return None
        stamp, points = decoded
        # The decoder subtracts stamps that begin anew each hour.
        times_ns = np.round(points["time"].astype(np.float64) % 3600.0 * SECOND_NS).astype(np.int64)
        first_ns = int(times_ns.min())
        offsets = (times_ns - first_ns).astype(np.int32)
        header = Header(
            source=self._config.topic,
            capture_ns=self._clock.vehicle_ns(round(stamp.host * SECOND_NS) + first_ns),
            arrival_ns=self._last.arrival_ns,
            frame=self._config.topic,
        )
        return LidarScan(
            header=header,
            duration_ns=int(offsets.max()),
            xyz_m=np.stack([points["x"], points["y"], points["z"]], axis=1),
            intensity=points["intensity"] / np.float32(255),
            ring=(self._beams - 1 - points["ring"].astype(np.int32)).astype(np.uint16),  # the decoder counts upwards
            offset_ns=offsets,
        )


def packet_fault(data: bytes, model: str) -> str:
    """What keeps `data` from being a packet of `model`; "" for a good one, and for a position packet."""
    if len(data) == POSITION_BYTES:
        return ""
    if len(data) != PACKET_BYTES:
        return "not of a Velodyne packet's size"
    for start in range(0, BLOCKS * BLOCK_BYTES, BLOCK_BYTES):
        flag, azimuth = struct.unpack_from("<HH", data, start)
        if flag not in BLOCK_FLAGS or azimuth >= 36000:
            return "no Velodyne blocks"
    if data[-1] != MODEL_BYTES.get(model, data[-1]):
        return f"not from a {model}"
    return ""


def _stamp_ns(packet: Packet) -> int:
    return int.from_bytes(packet.data[1200:1204], "little") * 1000
