"""LiDAR packets in bags, decoded by the code of their drivers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import numpy as np

from fusion_pipeline.clock import SECOND_NS
from fusion_pipeline.logs.reader import FormError
from fusion_pipeline.messages import LidarScan


class PacketScans:
    """The packets of one topic, gathered into scans of a turn each."""

    def __init__(self, topic: str, velodyne: bool, metadata: str) -> None:
        """`metadata` is an Ouster's, as its topic of that name has it."""
        self.counts: Counter[str] = Counter()
        self._topic, self._velodyne, self._metadata = topic, velodyne, metadata
        self._turn: Any = None

    def take(self, message: Any, time_ns: int) -> Iterator[LidarScan]:
        """The scans that a VelodyneScan or a PacketMsg completes. Raises FormError."""
        from fusion_pipeline.sensors.packets import Packet

        if self._velodyne:
            packets = [
                Packet(int(p.stamp.sec) * SECOND_NS + int(p.stamp.nanosec), np.asarray(p.data, np.uint8).tobytes())
                for p in message.packets
            ]
        else:
            packets = [Packet(time_ns, np.asarray(message.buf, np.uint8).tobytes())]
        for packet in packets:
            if self._turn is None:
                self._turn = self._begin(packet.data)
            found = self._turn.take(packet)
            yield from (scan for scan in ((found,) if found is None or isinstance(found, LidarScan) else found) if scan)

    def finish(self) -> Iterator[LidarScan]:
        """What is left of a turn."""
        if self._turn is not None:
            found = self._turn.finish()
            yield from (scan for scan in ((found,) if found is None or isinstance(found, LidarScan) else found) if scan)

    def _begin(self, data: bytes) -> Any:
        from fusion_pipeline.sensors.retry import SetupError

        name = self._topic.partition("/")[2]
        try:
            if self._velodyne:
                from fusion_pipeline.sensors.velodyne import MODEL_BYTES, VelodyneConfig, turns

                model = next((known for known, byte in MODEL_BYTES.items() if data and data[-1] == byte), "")
                if not model:
                    raise FormError("packets of an unknown Velodyne, or of an HDL-64E, which needs its calibration")
                return turns(VelodyneConfig(source="bag", name=name, model=model), self.counts)
            if not self._metadata:
                raise FormError("Ouster packets before their metadata")
            from fusion_pipeline.sensors.ouster import OusterConfig
            from fusion_pipeline.sensors.ouster import turns as ouster_turns

            return ouster_turns(OusterConfig(source="bag", name=name), self._metadata, self.counts)
        except SetupError as error:
            raise FormError(str(error)) from None
