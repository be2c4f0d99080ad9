"""Packets of a RoboSense put together to scans of one turn each."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Iterator
from typing import Any

import numpy as np

from fusion_pipeline.arrays import Doubles
from fusion_pipeline.clock import SECOND_NS
from fusion_pipeline.messages import Header, LidarScan
from fusion_pipeline.sensors import robosense_packets as form
from fusion_pipeline.sensors.device_clock import DeviceClock
from fusion_pipeline.sensors.packets import Packet
from fusion_pipeline.sensors.retry import DriverError, SetupError
from fusion_pipeline.sensors.robosense_config import RoboSenseConfig, unknown_angles
from fusion_pipeline.sensors.robosense_packets import BLOCKS, COLUMNS, MODELS, TURN

LONGEST_NS = SECOND_NS  # of a turn; the slowest takes 0.2 s
CLOCK_JUMP_NS = SECOND_NS  # between the sensor's clock and ours
LATE_NS = SECOND_NS // 20  # a packet that much older than the last was overtaken on its way
NEAR_NS = SECOND_NS // 25  # packets less apart are within one turn, at up to 20 turns a second
GAP = 100  # hundredths of a degree between firings: only across the part of the turn in which nothing is measured


class Turn:
    """Packets gathered into scans."""

    _last: Packet | None
    _held: Packet | None  # of 16 lasers the first, until the second shows how many returns they bear
    _parts: list[tuple[Any, list[int], float, int, float]]  # blocks, when each began, hundredths a ns, returns, metres

    def __init__(self, config: RoboSenseConfig, angles: Doubles | None, counts: Counter[str], wait_ns: int) -> None:
        self.angles = angles  # (lasers, 2) elevation and azimuth in degrees; None: nominal
        self._config, self._model, self._counts = config, MODELS[config.model], counts
        self._wait_ns = 0 if angles is not None else wait_ns  # for a DIFOP packet, after the first of points
        self._first_ns: int | None = None
        self._info = form.Info(None, 0, "")
        lasers = self._model.lasers
        once = np.asarray(self._model.firing_us) * 1e3
        single = np.concatenate([once, once + self._model.period_us * 1e3]) if lasers == 16 else once
        both = np.stack([single, np.tile(once, COLUMNS // lasers)])
        self._offsets_ns = np.rint(both).astype(np.int64)  # by columns, of one and two returns
        self._last_ns = [int(offsets.max()) for offsets in self._offsets_ns]
        self._clock = DeviceClock()
        self._restart()

    def learn(self, data: bytes) -> None:
        """Take over what a DIFOP packet says, angles only where no file gave them."""
        self._info = form.info_of(data, self._config.model)
        if self._config.angles is None and self._info.angles is not None:
            self.angles = self._info.angles

    def take(self, packet: Packet) -> Iterator[LidarScan | None]:
        """The scan that ended within `packet`, or None. Raises DriverError (SetupError of a file) without angles."""
        if self._last is not None and packet.lap != self._last.lap:
            yield from self.finish()
            self._restart()
        if form.is_info(packet.data):
            self.learn(packet.data)
        elif fault := form.packet_fault(packet.data, self._config.model) or self._info.fault:
            self._counts[f"refused: {fault}"] += 1
        elif self._knows_angles(packet):
            yield from self._points(packet)
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
        self._last = self._held = None
        self._turned, self._begin_ns, self._arrival_ns = 0, 0, 0
        self._azimuth: int | None = None  # of the last block, in hundredths of a degree
        self._returns = self._next_ns = 0  # unknown
        self._parts = []

    def _knows_angles(self, packet: Packet) -> bool:
        if self.angles is not None:
            return True
        self._first_ns = packet.arrival_ns if self._first_ns is None else self._first_ns
        if packet.arrival_ns - self._first_ns < self._wait_ns:
            return False
        if form.nominal(self._config.model) is None:
            raise (DriverError if self._wait_ns else SetupError)(unknown_angles(self._config))
        return True

    def _points(self, packet: Packet) -> Iterator[LidarScan]:
        device_ns = form.device_ns(packet.data) or 0
        azimuths = form.azimuths_of(packet.data)
        if self._last is not None:
            elapsed = device_ns - (form.device_ns(self._last.data) or 0)
            if -LATE_NS < elapsed <= 0:
                self._counts["refused: out of order"] += 1
                return
            if elapsed < 0 or abs(elapsed - (packet.arrival_ns - self._last.arrival_ns)) > CLOCK_JUMP_NS:
                self._counts["the sensor's clock jumped"] += 1
                yield from self.finish()
                self._restart()
        before, self._last = self._last, packet
        self._returns = self._returns_of(packet, azimuths, before) or self._returns
        if not self._returns:
            self._held = packet
            return
        held, self._held = self._held, None
        if held is not None:
            yield from self._gather(held, form.azimuths_of(held.data))
        yield from self._gather(packet, azimuths)

    def _returns_of(self, packet: Packet, azimuths: list[int], before: Packet | None) -> int:
        """How many returns a packet bears, by its own azimuths; 0: it does not tell.

        32 lasers send their two returns in two blocks of one azimuth; 16 send them in one block, which then spans one
        firing instead of two: how fast the rotor turns tells that from the azimuths of the blocks.
        """
        if self._model.lasers == COLUMNS:
            return 2 if azimuths[::2] == azimuths[1::2] else 1
        if before is None:
            return 0
        elapsed = (form.device_ns(packet.data) or 0) - (form.device_ns(before.data) or 0)
        turned = abs(_nearest(azimuths[0] - form.azimuths_of(before.data)[0]))
        if not 0 < elapsed < NEAR_NS or not turned:
            return 0
        span_us = abs(_step(azimuths)) / (turned / elapsed) / 1e3  # of one block
        return 2 if span_us < 1.5 * self._model.period_us else 1

    def _gather(self, packet: Packet, azimuths: list[int]) -> Iterator[LidarScan]:
        device_ns, lasers = form.device_ns(packet.data) or 0, self._model.lasers
        pairs = self._returns if lasers == COLUMNS else 1  # blocks of one firing
        period_ns = self._model.period_us * 1e3 * (2 // self._returns if lasers == 16 else 1)  # of the blocks
        step, turned, cut = _step(azimuths[::pairs]), self._turned, BLOCKS
        last, after_ns, starts_ns = azimuths[0] if self._azimuth is None else self._azimuth, 0.0, list[int]()
        for number, azimuth in enumerate(azimuths):
            onward = _onward(azimuth - last, step)
            if number == 0:
                self._note_loss(device_ns, abs(onward))
            elif step and abs(onward) > GAP:
                after_ns += onward / step * period_ns
            elif number % pairs == 0:
                after_ns += period_ns
            starts_ns.append(device_ns + round(after_ns))
            last, turned = azimuth, turned + onward
            if abs(turned) >= TURN and cut == BLOCKS:
                cut, turned = number, turned - int(math.copysign(TURN, turned))
        self._clock.observe(starts_ns[-1] + self._last_ns[self._returns - 1], packet.arrival_ns)
        self._next_ns = starts_ns[-1] + round(period_ns)
        blocks, rate = np.frombuffer(packet.data, form.POINTS, BLOCKS, form.HEAD_BYTES), step / period_ns
        self._add(packet, blocks[:cut], starts_ns[:cut], rate)
        if cut < BLOCKS:
            yield from self.finish()
            self._add(packet, blocks[cut:], starts_ns[cut:], rate)
        elif starts_ns[0] - self._begin_ns > LONGEST_NS:
            self._counts["refused: turns without an end, the rotor stands"] += 1
            self._parts, turned = [], 0
        self._azimuth, self._turned = azimuths[-1], turned

    def _note_loss(self, device_ns: int, turned: int) -> None:
        """Count the packets that are missing before one, by the sensor's clock; it does not number them all."""
        if self._azimuth is None:
            return
        packet_ns = BLOCKS * self._model.period_us * 1e3 * (2 if self._model.lasers == 16 else 1) / self._returns
        late_ns = device_ns - self._next_ns
        blind = self._info.blind and abs(turned - self._info.blind) < 2 * GAP
        if late_ns > packet_ns / 2 and not blind:
            self._counts["lost: missing packets"] += round(late_ns / packet_ns)

    def _add(self, packet: Packet, blocks: Any, starts_ns: list[int], rate: float) -> None:
        if starts_ns:
            if not self._parts:
                self._begin_ns = starts_ns[0]
            unit_m = form.unit_m(packet.data, self._config.model)
            self._parts.append((blocks, starts_ns, rate, self._returns, unit_m))
            self._arrival_ns = packet.arrival_ns

    def _scan(self) -> LidarScan | None:
        angles = self.angles if self.angles is not None else form.nominal(self._config.model)
        assert angles is not None
        lasers = self._model.lasers
        blocks = np.concatenate([part[0] for part in self._parts])
        starts_ns = np.asarray([start for part in self._parts for start in part[1]], np.int64)
        sizes = [len(part[1]) for part in self._parts]
        rates = np.repeat([part[2] for part in self._parts], sizes)
        dual = np.repeat([part[3] == 2 for part in self._parts], sizes)
        units_m = np.repeat([part[4] for part in self._parts], sizes)
        raw = blocks["points"]["distance"].astype(np.int64)
        metres = raw * units_m[:, None]
        seen = (raw > 0) & (metres >= self._config.min_range_m) & (metres <= self._config.max_range_m)
        if lasers == 16:
            seen[:, 16:] &= ~(dual[:, None] & (raw[:, 16:] == raw[:, :16]))  # one return, sent twice
        else:
            second = dual[1:] & (starts_ns[1:] == starts_ns[:-1])
            seen[1:] &= ~(second[:, None] & (raw[1:] == raw[:-1]))
        if not seen.any():
            return None
        rows, columns = np.nonzero(seen)
        after_ns = self._offsets_ns[dual.astype(np.intp)[rows], columns]
        times = starts_ns[rows] + after_ns
        first_ns = int(times.min())
        laser, far = columns % lasers, metres[seen]
        rotor = np.deg2rad((blocks["azimuth"][rows] + rates[rows] * after_ns) / 100.0)
        elevation, azimuth = np.deg2rad(angles).T[:, laser]
        level, turn = far * np.cos(elevation), rotor + azimuth
        x = level * np.cos(turn) + self._model.lens_m * np.cos(rotor)
        y = -level * np.sin(turn) - self._model.lens_m * np.sin(rotor)
        offsets = (times - first_ns).astype(np.int32)
        capture_ns, topic = self._clock.vehicle_ns(first_ns), self._config.topic
        rings = np.argsort(np.argsort(-angles[:, 0], kind="stable"), kind="stable").astype(np.uint16)
        return LidarScan(
            header=Header(topic, capture_ns, max(capture_ns, self._arrival_ns), topic),
            duration_ns=int(offsets.max()),
            xyz_m=np.column_stack([x, y, far * np.sin(elevation)]).astype(np.float32),
            intensity=blocks["points"]["intensity"][seen] / np.float32(255),
            ring=rings[laser],
            offset_ns=offsets,
        )


def _nearest(difference: int) -> int:
    """A difference of azimuths, at most half a turn either way."""
    return (difference + TURN // 2) % TURN - TURN // 2


def _onward(difference: int, step: float) -> int:
    """A difference of azimuths; a large one is in the direction in which the rotor turns by `step` between blocks."""
    near = _nearest(difference)
    if abs(near) <= GAP:
        return near
    return difference % TURN if step >= 0 else -(-difference % TURN)


def _step(azimuths: list[int]) -> float:
    """Hundredths of a degree from one block to the next, whatever lies between two of them."""
    steps = [_nearest(after - before) for before, after in itertools.pairwise(azimuths)]
    near = [step for step in steps if abs(step) <= GAP]
    return sum(near) / len(near) if near else 0.0
