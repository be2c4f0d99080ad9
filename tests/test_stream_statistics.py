"""Statistics of a stream's stamps: gaps, rates, clocks; the same of a recording and while it runs."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from fusion_pipeline.clock import MILLISECOND_NS, SECOND_NS
from fusion_pipeline.stream_findings import edge_findings, stream_findings
from fusion_pipeline.stream_statistics import StreamStatistics, StreamSummary, rate_hz, summarise_stream

START = 1_700_000_000 * SECOND_NS


def stamps(seconds: NDArray[np.float64]) -> NDArray[np.int64]:
    """As nanoseconds of the epoch."""
    return START + np.rint(seconds * 1e9).astype(np.int64)


def regular(count: int = 600, hz: float = 10.0, jitter_ms: float = 0.0) -> NDArray[np.float64]:
    """Seconds."""
    return np.arange(count) / hz + np.random.default_rng(0).normal(0, jitter_ms / 1e3, count)


def names(
    captures: NDArray[np.float64], latency_s: float | NDArray[np.float64] = 0.02, kind: str = "lidar"
) -> list[str]:
    """Of the findings."""
    return [name for name, _, _ in stream_findings(kind, summary(captures, latency_s))]


def summary(captures: NDArray[np.float64], latency_s: float | NDArray[np.float64] = 0.02) -> StreamSummary:
    """Of a stream."""
    return summarise_stream(stamps(captures), stamps(captures + latency_s))


@pytest.mark.parametrize("kind", ["lidar", "camera", "audio", "ego"])
@pytest.mark.parametrize("hz", [1.0, 10.0, 29.97, 50.0])
@pytest.mark.parametrize("jitter", [0.0, 0.05, 0.2])
def test_a_stream_with_jitter_is_not_accused(kind: str, hz: float, jitter: float) -> None:
    assert (
        names(regular(hz=hz, jitter_ms=jitter * 1e3 / hz), kind=kind) in ([], ["backward-stamp"])[: 1 + (jitter > 0.1)]
    )


def test_events_have_no_rate_and_no_gaps() -> None:
    at = np.cumsum(np.random.default_rng(3).exponential(0.4, 300))
    found = summary(at)
    assert not found.regular
    assert found.gap_count == 0
    assert found.rate_hz == pytest.approx(2.5, rel=0.15)
    assert names(np.concatenate([at, at[-1] + 30.0 + at])) == ["gap"]


@pytest.mark.parametrize("hole_s", [0.35, 1.0, 3.0, 60.0])
@pytest.mark.parametrize("jitter_ms", [0.0, 5.0])
def test_a_hole_is_a_gap(hole_s: float, jitter_ms: float) -> None:
    at = regular(60, jitter_ms=jitter_ms)
    at[30:] += hole_s
    assert names(at) == ["gap"]
    assert summary(at).gap_count == 1


def test_single_messages_that_are_missing_are_counted() -> None:
    rng = np.random.default_rng(1)
    at = regular(600)
    found = summary(at[rng.random(600) > 0.2])
    assert found.rate_hz == pytest.approx(10.0)
    assert found.mean_rate_hz == pytest.approx(8.0, rel=0.05)
    assert "dropped" in names(at[rng.random(600) > 0.2])
    assert names(np.delete(at, [100, 200, 300, 400, 500, 550, 560])) == ["irregular-rate"]
    assert names(np.delete(at, 100)) == []


def test_clocks() -> None:
    at = regular()
    assert names(at, -0.2) == ["future-stamp"]
    assert names(at, -0.002) == []
    assert names(at, -0.1, "ego") == []
    assert names(at, 37.0) == ["clock-offset"]
    assert names(at, 2.0) == ["late-stream"]
    jumped = at.copy()
    jumped[300:] += 10.0
    assert "clock-jump" in names(jumped, at + 0.02 - jumped)
    assert "backward-stamp" in names(np.where(at > 30, at - 5.0, at), np.where(at > 30, 5.02, 0.02))
    assert names(np.repeat(at[::2], 2), np.tile([0.02, 0.12], 300)) == ["repeated-stamp"]
    (word,) = (detail for _, detail, _ in stream_findings("camera", summary(at, 37.0)))
    assert "TAI" in word


def test_unstamped_messages_are_named_and_spoil_nothing_else() -> None:
    at = regular(100)
    captures, arrivals = stamps(at), stamps(at + 0.02)
    captures[:] = 0
    found = summarise_stream(captures, arrivals)
    assert (found.unstamped, found.rate_hz, found.latency_ms) == (100, pytest.approx(10.0), (0.0, 0.0, 0.0))
    assert [name for name, _, _ in stream_findings("camera", found)] == ["unstamped"]
    captures = stamps(at)
    captures[40] = 0
    assert [name for name, _, _ in stream_findings("camera", summarise_stream(captures, arrivals))] == ["unstamped"]


def test_a_clock_that_runs_fast_is_told_from_noise_and_backlog() -> None:
    at = regular(6000)
    noise = np.random.default_rng(5).exponential(0.01, 6000)
    found = summary(at, 1.0 - at * 100e-6 + noise)
    assert found.drift_ppm == pytest.approx(100.0, rel=0.1)
    assert names(at, 0.9 - at * 100e-6 + noise, "camera") == ["clock-drift"]
    assert names(at, 0.05 + noise) == []
    assert "clock-drift" not in names(at, 0.05 + at * 2e-3 + noise)  # messages pile up


def test_two_sensors_in_one_topic_have_a_rate_that_none_has() -> None:
    assert "implausible-rate" in names(regular(600, 377.0))
    assert names(regular(600, 377.0), kind="ego") == []


def test_beginnings_and_ends() -> None:
    found = summary(regular(100))
    assert list(edge_findings(found, found.first_ns, found.last_ns)) == []
    assert list(edge_findings(found, found.first_ns - SECOND_NS, found.last_ns + SECOND_NS)) == []
    late = list(edge_findings(found, found.first_ns - 30 * SECOND_NS, found.last_ns + 30 * SECOND_NS))
    assert [name for name, _, _ in late] == ["late-start", "early-end"]


def test_while_it_runs_the_totals_are_those_of_the_whole() -> None:
    at = regular(3000, jitter_ms=1.0)
    at[700:] += 4.0
    at[1500:] += 1.0
    at[2000] = at[1999]
    captures, arrivals = stamps(at), stamps(at + 0.02)
    captures[[100, 1024, 2500]] = 0
    live, whole = StreamStatistics(window=256), summarise_stream(captures, arrivals)
    for capture, arrival in zip(captures.tolist(), arrivals.tolist(), strict=True):
        live.add(capture, arrival)
    found = live.summary()
    for name in ("count", "first_ns", "last_ns", "gap_count", "backward", "repeated", "unstamped", "future"):
        assert getattr(found, name) == getattr(whole, name), name
    assert found.gaps == whole.gaps
    assert found.rate_hz == pytest.approx(whole.rate_hz, rel=0.02)
    assert StreamStatistics().summary() == StreamSummary()


def test_the_rate_is_one_over_the_median_period() -> None:
    assert rate_hz(stamps(regular(5))) == pytest.approx(10.0)
    assert rate_hz(np.asarray([START], np.int64)) == 0.0
    assert rate_hz(np.zeros(0, np.int64)) == 0.0
    assert rate_hz(np.full(4, START)) == 0.0
    assert summarise_stream(np.zeros(0, np.int64), np.zeros(0, np.int64)) == StreamSummary()
    at = np.asarray([START, START + 100 * MILLISECOND_NS], np.int64)
    assert summarise_stream(at, at).rate_hz == pytest.approx(10.0)


def test_a_rate_that_changes_on_the_way_is_found_wherever_it_does() -> None:
    for first in (100, 300, 700):
        at = np.cumsum([*[0.1] * first, *[0.2] * (800 - first)])
        assert "rate-change" in names(at), first
    (text,) = (detail for name, detail, _ in stream_findings("camera", summary(at)) if name == "rate-change")
    assert text == "10.0 Hz, and for some time 5.0 Hz"
    assert "rate-change" not in names(regular(600, jitter_ms=5.0))
    rng = np.random.default_rng(2)
    assert "rate-change" not in names(regular(600)[rng.random(600) > 0.3])
