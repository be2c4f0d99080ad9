"""RoboSense RS-Helios (5515, 1610, 1615, 16P), RS-LiDAR-16 and RS-LiDAR-32, live or from a pcap file.

Their packets are described in `robosense_packets`, with the sources.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Collection, Generator, Iterable, Iterator
from contextlib import AbstractContextManager, closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from fusion_pipeline.arrays import Doubles
from fusion_pipeline.clock import SECOND_NS
from fusion_pipeline.messages import LidarScan
from fusion_pipeline.sensors import robosense_packets as form
from fusion_pipeline.sensors.lidar import UDP, check_addresses
from fusion_pipeline.sensors.packets import Beside, packets
from fusion_pipeline.sensors.pcap import Datagram, datagrams
from fusion_pipeline.sensors.retry import Patience, Report, SetupError, keep_reading
from fusion_pipeline.sensors.robosense_config import RoboSenseConfig, unknown_angles
from fusion_pipeline.sensors.robosense_packets import MODELS
from fusion_pipeline.sensors.robosense_turn import Turn

__all__ = [
    "MODELS",
    "Recorded",
    "RoboSense",
    "RoboSenseConfig",
    "SetupError",
    "fits",
    "recorded",
    "turns",
    "unknown_angles",
]
INFO_WAIT_NS = 3 * SECOND_NS // 2  # a sensor sends its DIFOP packets at least once a second


class RoboSense:
    """Scans of one turn each, both returns of the dual mode in one scan.

    `capture_ns`: each packet bears the sensor's time of its first firing; the least delayed packets tie that clock to
    the vehicle's. Coordinates are in RoboSense's frame: x at azimuth 0, y to its left. Rings count from the top.
    """

    def __init__(self, config: RoboSenseConfig, report: Report) -> None:
        self.config = config
        self.counts: Counter[str] = Counter()
        self._report = report
        self._angles: Doubles | None = None

    def prepare(self) -> None:
        """Check the settings and read the angles. Raises SetupError."""
        check_addresses(self.config)
        if self.config.model not in MODELS:
            raise SetupError(f"RoboSense model {self.config.model!r} is unknown; known: {', '.join(MODELS)}")
        if self.config.angles is not None:
            self._angles = form.angles_in(self.config.angles, self.config.model)

    def messages(self, stop: threading.Event) -> Iterator[LidarScan]:
        """Scans until `stop` is set or the file ends."""
        self.prepare()

        def connect() -> AbstractContextManager[Iterator[LidarScan | None]]:
            return closing(self._scans(stop))

        what, nominal = f"RoboSense {self.config.model} at {self.config.source}", False
        for scan in keep_reading(what, connect, stop, self._report, Patience(self.config.silence_s)):
            if nominal != (self._angles is None):
                nominal = not nominal
                self._report("ready", f"{what}{', with nominal angles: no DIFOP packet came' if nominal else ''}")
            yield scan

    def _scans(self, stop: threading.Event) -> Generator[LidarScan | None, None, None]:
        config, live = self.config, self.config.source.startswith(UDP)
        if self._angles is None and not live:
            info = recorded(datagrams(Path(config.source)), config).info
            self._angles = form.info_of(info, config.model).angles if info else None
        beside = Beside(config.difop_port, form.is_info) if config.angles is None else None
        with packets(config, stop, self.counts, partial(fits, config), beside) as received:
            turn = Turn(config, self._angles, self.counts, INFO_WAIT_NS if live else 0)
            for packet in received:
                yield from turn.take(packet) if packet is not None else (None,)
                self._angles = turn.angles
            yield from turn.finish()


def fits(config: RoboSenseConfig, data: bytes) -> bool:
    """Whether a payload is a packet of points of the configured model."""
    return not form.packet_fault(data, config.model)


@dataclass(frozen=True)
class Recorded:
    """What a capture holds of one sensor."""

    info: bytes | None  # its first DIFOP packet with angles
    points: bool  # whether there are packets of points


def recorded(captured: Iterable[Datagram], config: RoboSenseConfig, senders: Collection[str] = ()) -> Recorded:
    """What is there of the sensor at one of the addresses `senders`, by default of the first that sends points."""
    infos: dict[str, bytes] = {}
    wanted, points = set(senders) or ({config.sender} if config.sender else set()), False
    for datagram in captured:
        if form.is_info(datagram.payload):
            if form.info_of(datagram.payload, config.model).angles is not None:
                infos.setdefault(datagram.sender, datagram.payload)
        elif (
            not points
            and config.port in (0, datagram.port)
            and (not wanted or datagram.sender in wanted)
            and fits(config, datagram.payload)
        ):
            wanted, points = wanted or {datagram.sender}, True
        if points and (found := wanted & infos.keys()):
            return Recorded(infos[found.pop()], True)
    return Recorded(None, points)


def turns(config: RoboSenseConfig, counts: Counter[str], info: bytes | None = None) -> Turn:
    """For packets that come from elsewhere, such as a capture: `take` each, `finish` at the end.

    `info` is a DIFOP packet of the sensor; others may be among those taken. Raises SetupError.
    """
    driver = RoboSense(config, lambda *_: None)
    driver.prepare()
    turn = Turn(config, driver._angles, counts, 0)
    if info is not None:
        turn.learn(info)
    return turn
