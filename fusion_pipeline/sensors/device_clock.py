"""A sensor's own clock mapped onto the vehicle clock."""

from __future__ import annotations

from fusion_pipeline.clock import SECOND_NS


class DeviceClock:
    """Vehicle time of instants that a device stamps with a clock of its own.

    Stamps of the device are even, arrivals are not: each comes late by a delay that is never negative. So the offset
    between the clocks follows the arrivals slowly, by at most `rise_ppm` upwards and `fall_ppm` downwards, and keeps
    the device's even spacing. With a steep fall it is the least delay that counts, which suits packets. Offsets that
    differ by more than `jump_ns` are another clock (a restart, a lap of a counter) and are taken over at once.
    """

    def __init__(self, rise_ppm: float = 100.0, fall_ppm: float = float("inf"), jump_ns: int = SECOND_NS // 2) -> None:
        self._rise, self._fall, self._jump_ns = rise_ppm * 1e-6, fall_ppm * 1e-6, jump_ns
        self._offset_ns = 0
        self._last_ns: int | None = None

    def observe(self, device_ns: int, arrival_ns: int) -> None:
        """Learn that what the device stamped `device_ns` was in hand at vehicle time `arrival_ns`."""
        offset = arrival_ns - device_ns
        if self._last_ns is None or abs(offset - self._offset_ns) > self._jump_ns:
            self._offset_ns = offset
        else:
            elapsed = max(0, device_ns - self._last_ns)
            if offset > self._offset_ns:
                self._offset_ns = min(offset, self._offset_ns + int(elapsed * self._rise))
            else:
                step = offset - self._offset_ns
                self._offset_ns += step if self._fall == float("inf") else max(step, -int(elapsed * self._fall))
        self._last_ns = device_ns

    def vehicle_ns(self, device_ns: int) -> int:
        """Vehicle time of the instant that the device calls `device_ns`."""
        return device_ns + self._offset_ns

    def forget(self) -> None:
        """The device starts anew: the next observation sets the offset."""
        self._last_ns = None
