"""Stamps that no set may believe, and clocks that are wrong: refused with a reason, reported in words."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import numpy as np
import pytest
from test_streams import MS, START, aligner_of, feed, frame, pose, scan, with_lidar

from fusion_pipeline.align import Stream
from fusion_pipeline.align.buffer import Sensed
from fusion_pipeline.align.clocks import StreamClock
from fusion_pipeline.align.plausible import AHEAD, BEHIND, NO_CLOCK, TOO_LONG
from fusion_pipeline.messages import AudioChunk, Header, LidarScan

SECOND = 1000 * MS


def street(seconds: int = 3) -> list[Sensed]:
    """Scans at 10 Hz and pictures at 20 Hz, all in order."""
    return [*(scan(100 * k) for k in range(10 * seconds)), *(frame(50 * k + 5, 20) for k in range(20 * seconds))]


def moved(message: Sensed, capture_ns: int) -> Sensed:
    """The same, captured elsewhere; its arrival stays."""
    header = message.header
    return replace(message, header=replace(header, capture_ns=header.capture_ns + capture_ns))


@pytest.mark.parametrize(
    ("culprit", "reason"),
    [
        (replace(scan(1001), duration_ns=3600 * SECOND), TOO_LONG),
        (replace(scan(1001), duration_ns=1 << 62), TOO_LONG),
        (moved(scan(1001), 4900 * MS), AHEAD),
        (moved(scan(1001), -5100 * MS), BEHIND),
        (replace(scan(1001), header=Header("lidar/top", 1 << 63, 1 << 63)), NO_CLOCK),
        (moved(frame(1001), 4900 * MS), AHEAD),
        (moved(frame(1001), 200 * MS), AHEAD),
        (moved(pose(1001, 0.0), 3600 * SECOND), AHEAD),
        (
            AudioChunk(Header("audio/roof", START + 1000 * MS, START + 1001 * MS), 1, np.zeros((9999, 1), np.int16)),
            TOO_LONG,
        ),
    ],
)
def test_one_absurd_stamp_costs_one_message(culprit: Sensed, reason: str) -> None:
    streams = (Stream("camera/front"), Stream("ego/odometry"), Stream("audio/roof"))
    expected = with_lidar(feed(aligner_of(*streams), street()))
    aligner = aligner_of(*streams)
    sets = with_lidar(feed(aligner, [*street(), culprit]))
    topic = culprit.header.source
    assert aligner.counts[topic, reason] == 1
    seen = {s.header.capture_ns: s.present for s in sets}
    assert all(seen[s.header.capture_ns] == s.present for s in expected)
    assert aligner.counts["lidar/top", "late"] == 0


def test_a_scan_of_another_time_scale_is_named() -> None:
    """A LiDAR that counts TAI: none of its scans is used, and each set says why."""
    aligner = aligner_of(Stream("camera/front"))
    log = [moved(m, 37 * SECOND) if isinstance(m, LidarScan) else m for m in street(6)]
    sets = feed(aligner, log)
    assert aligner.counts["lidar/top", AHEAD] == 60
    reasons = {missing.reason for s in sets[5:] for missing in s.missing if missing.source == "lidar/top"}
    assert reasons == {AHEAD}
    assert aligner.clocks.troubles() == {"lidar/top": "its stamps lie 37.0 s after their arrival: TAI against UTC?"}


def test_an_offset_that_the_rig_knows_is_no_fault() -> None:
    aligner = aligner_of(Stream("camera/front"), reference_offset_ms=-37_000.0)
    log = [moved(m, 37 * SECOND) if isinstance(m, LidarScan) else m for m in street(3)]
    assert len(with_lidar(feed(aligner, log))) == 30
    assert aligner.clocks.troubles() == {}


def test_a_late_camera_is_late_and_not_silent() -> None:
    """220 ms from capture to arrival, where a set waits for 120 ms."""
    aligner = aligner_of(Stream("camera/front"), deadline_ms=120.0)
    log = [*(scan(100 * k, 0) for k in range(40)), *(frame(100 * k, 220) for k in range(40))]
    sets = with_lidar(feed(aligner, log))
    reasons = [s.missing[0].reason for s in sets]
    assert set(reasons[3:]) == {"late by 100 ms, arrival 220 ms after capture"}


def test_a_camera_that_falls_silent_is_silent_from_a_second_on() -> None:
    aligner = aligner_of(Stream("camera/front"))
    sets = with_lidar(
        feed(aligner, [m for m in street(4) if isinstance(m, LidarScan) or m.header.capture_ns < START + SECOND])
    )
    reasons = {(s.header.capture_ns - START) // SECOND: s.missing[0].reason for s in sets if s.missing}
    assert reasons == {1: "outside window", 2: "silent", 3: "silent"}


def delays(seconds: int, rate_hz: int, ppm: float, jitter_ms: float, seed: int = 3) -> Iterable[tuple[int, int]]:
    """Arrivals and stamps of a stream whose clock runs `ppm` fast, 30 ms of transport and jitter on top."""
    rng = np.random.default_rng(seed)
    late = rng.exponential(jitter_ms, seconds * rate_hz)
    for k in range(seconds * rate_hz):
        true = k * SECOND // rate_hz
        yield START + true + round((30 + late[k]) * MS), START + true + round(true * ppm * 1e-6)


@pytest.mark.parametrize("ppm", [100.0, -100.0, 40.0])
@pytest.mark.parametrize("rate_hz", [10, 100])
def test_a_drift_is_reported_in_minutes(ppm: float, rate_hz: int) -> None:
    clock, first_s = StreamClock(), 0.0
    for arrival, stamp in delays(600, rate_hz, ppm, 3.0):
        clock.note(arrival, stamp)
        if clock.trouble():
            first_s = (arrival - START) / SECOND
            break
    assert 0 < first_s <= 240
    assert ("fast" if ppm > 0 else "slow") in clock.trouble()
    words = clock.trouble().split()
    assert float(words[words.index("ppm") - 1]) == pytest.approx(abs(ppm), rel=0.1)


@pytest.mark.parametrize("seed", range(10))
def test_jitter_is_no_drift(seed: int) -> None:
    clock = StreamClock()
    for arrival, stamp in delays(900, 10, 1.0, 8.0, seed):
        clock.note(arrival, stamp)
        assert clock.trouble() == ""


@pytest.mark.parametrize(
    ("moved_s", "words"),
    [
        (-18.0, "18.0 s before their arrival: GPS time against UTC?"),
        (7200.0, "7200.0 s after their arrival: local time against UTC?"),
        (-1.7e9, "does its clock count from its own start?"),
        (0.25, "220 ms after their arrival"),
    ],
)
def test_an_offset_is_reported_in_seconds(moved_s: float, words: str) -> None:
    clock = StreamClock()
    for arrival, stamp in delays(4, 10, 0.0, 1.0):
        clock.note(arrival, stamp + round(moved_s * SECOND))
    assert words in clock.trouble()


def test_a_step_is_reported_and_a_pause_is_none() -> None:
    clock = StreamClock()
    for arrival, stamp in delays(20, 10, 0.0, 1.0):
        clock.note(arrival, stamp - (400 * MS if arrival - START > 10 * SECOND else 0))
    assert clock.trouble() == "its stamps stepped by -0.40 s"
    clock = StreamClock()
    for arrival, stamp in delays(60, 10, 0.0, 1.0):
        if not 20 < (arrival - START) / SECOND < 40:
            clock.note(arrival, stamp)
    assert clock.trouble() == ""
