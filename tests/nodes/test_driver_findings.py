"""A driver's health says of a running stream what `fusion log check` says of a recording of it."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from fusion_pipeline.messages import CameraFrame, Header, Message
from fusion_pipeline.sensors.driver import Driver
from fusion_pipeline.stream_watch import StreamWatch
from nodes import driver
from nodes.driver import DriverSource

START, SECOND = 1_700_000_000_000_000_000, 1_000_000_000


def watched(captures_s: list[float], late_s: float = 0.02, kind: str = "camera") -> StreamWatch:
    """A stream whose messages come `late_s` after their captures."""
    watch = StreamWatch(f"{kind}/front")
    for at in captures_s:
        watch.add(START + round(at * SECOND), START + round((at + late_s) * SECOND), at)
    return watch


TENTHS = [0.1 * k for k in range(300)]


def names(found: tuple[str, ...]) -> list[str]:
    return [text.rpartition("[")[2].rstrip("]") for text in found]


def test_a_stream_that_is_right_has_no_trouble() -> None:
    assert watched(TENTHS).troubles(30.0) == ()
    assert watched(TENTHS[:4], late_s=-5.0).troubles(0.4) == (), "too few to say anything"
    assert watched(TENTHS, late_s=-5.0, kind="tracks").troubles(30.0) == (), "no sensor"


def test_a_stream_that_stops_is_reported_and_forgotten_when_it_came_back() -> None:
    watch = watched(TENTHS)
    assert watch.troubles(30.2) == ()
    assert watch.troubles(33.1) == ("3.20 s without a message, where one comes every 100 ms [gap]",)
    for k in range(150):
        at = 33.0 + 0.1 * k
        watch.add(START + round(at * SECOND), START + round((at + 0.02) * SECOND), at)
        if k == 20:
            (text,) = watch.troubles(at)
            assert text == "3.10 s without a message, where one comes every 100 ms [gap]"
    assert watch.troubles(48.0) == ()


def test_a_rate_that_halves_is_reported_at_once_and_for_as_long_as_it_lasts() -> None:
    slow = [TENTHS[-1] + 0.2 * (k + 1) for k in range(200)]
    assert names(watched(TENTHS + slow[:15]).troubles(slow[14])) == ["dropped", "rate-change"]
    assert watched(TENTHS + slow).troubles(slow[-1]) == ()  # it was slow for all the time that this watch was asked
    watch = watched(TENTHS)
    assert watch.troubles(30.0) == ()
    for at in slow:
        watch.add(START + round(at * SECOND), START + round((at + 0.02) * SECOND), at)
    assert watch.troubles(slow[-1]) == ("10.0 Hz, and for some time 5.0 Hz [rate-change]",)


def test_stamps_in_the_future_and_clocks_that_are_off() -> None:
    assert names(watched(TENTHS, late_s=-0.2).troubles(30.0)) == ["future-stamp"]
    (text,) = watched(TENTHS, late_s=37.0).troubles(30.0)
    assert text == "stamps lie 37.0 s before the arrivals (37 s: TAI against UTC?) [clock-offset]"


@dataclass(frozen=True)
class Config:
    topic: str = "camera/front"
    files: tuple[Path, ...] = ()


class Pictures:
    """A device whose clock is ahead."""

    def __init__(self, report: Callable[[str, str], None], ahead_ns: int) -> None:
        self.counts: Counter[str] = Counter()
        self._report, self._ahead_ns = report, ahead_ns

    def prepare(self) -> None:
        """Nothing."""

    def messages(self, stop: threading.Event) -> Iterator[Message]:
        self._report("ready", "a camera")
        pixels = np.zeros((2, 2, 3), np.uint8)
        for k in range(40):
            at = START + k * SECOND // 10
            yield CameraFrame(Header("camera/front", at + self._ahead_ns, at), "bgr8", 2, 2, pixels)
        self._report("degraded", "a camera: unplugged")


class Source(DriverSource[Config]):
    ahead_ns = 200_000_000

    def driver(self) -> Driver:
        return Pictures(self.report, self.ahead_ns)


@pytest.mark.parametrize("ahead_ns", [200_000_000, -20_000_000])
def test_the_health_of_a_driver_says_it(ahead_ns: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(driver, "LOOK_S", 0.0)
    source = Source(Config(), "camera.front")
    source.ahead_ns = ahead_ns  # type: ignore[misc]
    source.open()
    found = source.messages(threading.Event())
    for _ in range(30):
        next(found)
    source.counts()  # as the heartbeat does
    if ahead_ns > 0:
        assert source.state == "degraded"
        assert source.detail.startswith(
            "camera/front: 30 of 30 stamps lie up to 200 ms after the arrival [future-stamp]"
        )
    else:
        assert (source.state, source.detail) == ("ready", "a camera")
    list(found)
    source.counts()
    assert (source.state, source.detail) == ("degraded", "a camera: unplugged"), "what the device itself says is first"
