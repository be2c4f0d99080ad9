"""Pairs, conservation and independence of the order of delivery."""

from collections.abc import Sequence

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from fusion_pipeline.align import Aligner, AlignerConfig, Stream
from fusion_pipeline.messages import CameraFrame, Header, LidarScan, SensorSet

MS, START = 10**6, 1_700_000_000 * 10**9
CONFIG = AlignerConfig(streams=(Stream("camera/front"),))


def scan(at_ms: int, late_ms: int = 20) -> LidarScan:
    stamp = START + at_ms * MS
    header = Header("lidar/top", stamp, stamp + late_ms * MS)
    return LidarScan(
        header, 0, np.zeros((0, 3), "f4"), np.zeros(0, "f4"), np.zeros(0, np.uint16), np.zeros(0, np.int32)
    )


def frame(at_ms: int, late_ms: int = 60) -> CameraFrame:
    stamp = START + at_ms * MS
    pixels = np.zeros((1, 1, 1), np.uint8)
    return CameraFrame(Header("camera/front", stamp, stamp + late_ms * MS), "mono8", 1, 1, pixels)


def align(messages: Sequence[CameraFrame | LidarScan]) -> tuple[list[SensorSet], Aligner]:
    aligner = Aligner(CONFIG)
    sets = [s for message in messages for s in aligner.step(message)]
    return sets + list(aligner.flush()), aligner


def content(sets: list[SensorSet]) -> list[tuple[int, tuple[int, ...]]]:
    return [(s.header.capture_ns, tuple(c.header.capture_ns for c in s.cameras)) for s in sets]


@settings(max_examples=50, deadline=None)
@given(st.lists(st.booleans(), min_size=60, max_size=60))
def test_any_interleaving_gives_the_same_nearest_pairs(choices: list[bool]) -> None:
    lidar = [scan(100 * k) for k in range(10)]
    camera = [frame(33 * k + 5) for k in range(32)]
    expected = content(align(lidar + camera)[0])
    for t, cameras in expected:
        near = min((c.header.capture_ns for c in camera), key=lambda stamp: abs(stamp - t))
        assert cameras == (near,)
    left, right, mixed = list(lidar), list(camera), []
    for first in choices:
        source = (left or right) if first else (right or left)
        if source:
            mixed.append(source.pop(0))
    sets, aligner = align(mixed + left + right)
    assert content(sets) == expected
    assert sum(aligner.counts.values()) == sum(aligner.received.values())


def test_a_dead_camera_is_named_and_a_dead_lidar_ticks() -> None:
    aligner = Aligner(CONFIG)
    assert not list(aligner.step(scan(0)))
    (first,) = aligner.advance(START + 80 * MS)
    assert [(m.source, m.reason) for m in first.missing] == [("camera/front", "silent")]
    list(aligner.step(frame(100)))
    (tick,) = aligner.advance(START + 260 * MS)
    assert tick.header.capture_ns == START + 100 * MS
    assert tick.cameras
    assert tick.missing[0].source == "lidar/top"


def test_a_stamp_from_the_far_future_is_refused() -> None:
    aligner = Aligner(CONFIG)
    assert not list(aligner.step(frame(0, late_ms=-37_000)))
    assert aligner.counts == {("camera/front", "refused: captured after its arrival"): 1}
