"""The beat of simulated sensors: on the grid of the vehicle clock, honest about what was missed, quick to stop."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from itertools import islice, pairwise

import pytest

from fusion_pipeline.clock import MILLISECOND_NS, SECOND_NS, now_ns
from fusion_pipeline.sensors.beat import on_beat

PERIOD_NS = 10 * MILLISECOND_NS
START_NS = 1_700_000_000_003_000_000


class FakeClock:
    """Stands still until it is told to go on; remembers what was missed."""

    def __init__(self) -> None:
        self.now_ns = START_NS
        self.missed: list[int] = []
        self.made: list[int] = []
        self.costs_ns: Iterator[int] = iter(())

    def __call__(self) -> int:
        return self.now_ns

    def make(self, instant_ns: int) -> int:
        self.now_ns += next(self.costs_ns, 0)
        self.made.append(instant_ns)
        return instant_ns

    def beat(self, delay_ns: int = 0, stop: threading.Event | None = None) -> Iterator[int]:
        return on_beat(self.make, 100.0, delay_ns, stop or threading.Event(), self.missed.append, self)


def test_instants_are_on_the_grid_and_none_is_left_out() -> None:
    clock = FakeClock()
    clock.costs_ns = iter([PERIOD_NS] * 20)  # as fast as the beat
    instants = list(islice(clock.beat(), 12))
    assert all(t % PERIOD_NS == 0 for t in instants)
    assert all(b - a == PERIOD_NS for a, b in pairwise(instants))
    assert 0 < instants[0] - START_NS <= PERIOD_NS
    assert clock.missed == []


def test_the_first_instant_is_one_that_can_still_be_made_in_time() -> None:
    late, prompt = FakeClock(), FakeClock()
    assert next(prompt.beat()) == START_NS + 7 * MILLISECOND_NS
    # With a delay of 2.5 periods, an instant of the past is due in the future.
    first = next(late.beat(delay_ns=25 * MILLISECOND_NS))
    assert START_NS < first + 25 * MILLISECOND_NS <= START_NS + PERIOD_NS


def test_who_is_slow_goes_on_with_the_newest_and_counts_the_rest() -> None:
    clock = FakeClock()
    clock.costs_ns = iter([35 * MILLISECOND_NS] * 20)
    instants = []
    for t in islice(clock.beat(), 8):
        instants.append(t)
        assert clock.now_ns >= t
    steps = [(b - a) // PERIOD_NS for a, b in pairwise(instants)]
    assert clock.missed == [step - 1 for step in steps]
    assert sum(steps) * PERIOD_NS > 7 * 30 * MILLISECOND_NS
    # What it begins with is the newest that is due by then.
    begun = [START_NS + k * 35 * MILLISECOND_NS for k in range(1, 8)]
    assert all(0 <= now - t < PERIOD_NS for now, t in zip(begun, instants[1:], strict=True))


def test_one_long_pause_is_counted_once() -> None:
    clock = FakeClock()
    clock.costs_ns = iter([PERIOD_NS, PERIOD_NS, 500 * MILLISECOND_NS, PERIOD_NS, PERIOD_NS, PERIOD_NS])
    instants = list(islice(clock.beat(), 6))
    steps = [(b - a) // PERIOD_NS for a, b in pairwise(instants)]
    assert sorted(steps)[:-1] == [1, 1, 1, 1]
    assert clock.missed == [max(steps) - 1]
    assert 45 <= max(steps) <= 51


def test_messages_come_after_their_delay_on_the_real_clock() -> None:
    delay_ns = 30 * MILLISECOND_NS
    came = []
    for t in islice(on_beat(lambda t: t, 50.0, delay_ns, threading.Event(), lambda _: None), 6):
        came.append((t, now_ns()))
    assert all(t % (20 * MILLISECOND_NS) == 0 for t, _ in came)
    assert all(now >= t + delay_ns - MILLISECOND_NS for t, now in came)
    assert all(now < t + delay_ns + SECOND_NS for t, now in came)


@pytest.mark.parametrize("delay_s", [0.0, 100.0])
def test_stop_is_heard_while_waiting(delay_s: float) -> None:
    stop = threading.Event()
    beat = on_beat(lambda t: t, 0.01, round(delay_s * SECOND_NS), stop, lambda _: None)  # one in 100 s
    threading.Timer(0.1, stop.set).start()
    began = time.monotonic()
    assert len(list(beat)) <= 1
    assert time.monotonic() - began < 0.6


def test_nothing_is_made_once_it_has_stopped() -> None:
    stop, clock = threading.Event(), FakeClock()
    beat = clock.beat(stop=stop)
    next(beat)
    stop.set()
    assert list(beat) == []
    assert len(clock.made) == 1


def test_a_clock_set_back_is_followed_within_a_period() -> None:
    clock = FakeClock()
    clock.costs_ns = iter([PERIOD_NS] * 50)
    beat = clock.beat(delay_ns=2 * MILLISECOND_NS)
    list(islice(beat, 3))
    clock.now_ns -= 3600 * SECOND_NS
    began = time.monotonic()
    after = list(islice(beat, 5))
    assert time.monotonic() - began < 5 * 0.012 + 0.5
    assert all(b > a for a, b in pairwise(after))
    assert 0 <= clock.now_ns - after[-1] <= 3 * PERIOD_NS
    assert clock.missed == []


def test_a_clock_set_forward_is_followed_at_once_and_nothing_was_missed() -> None:
    clock = FakeClock()
    clock.costs_ns = iter([PERIOD_NS] * 50)
    beat = clock.beat()
    next(beat)
    clock.now_ns += 3600 * SECOND_NS
    assert abs(clock.now_ns - next(beat)) <= 2 * PERIOD_NS
    assert clock.missed == []


@pytest.mark.parametrize("jump_s", [3600, -3600])
def test_a_clock_that_jumps_is_followed_and_nothing_was_missed(jump_s: int) -> None:
    clock = FakeClock()
    clock.costs_ns = iter([PERIOD_NS] * 5 + [jump_s * SECOND_NS] + [PERIOD_NS] * 20)
    instants = list(islice(clock.beat(), 12))
    assert clock.missed == []
    assert abs(instants[-1] - clock.now_ns) < 20 * PERIOD_NS
