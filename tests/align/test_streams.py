"""Sound, poses, offsets, silence, jumps: what each kind of stream gives to a set, and what it costs nobody."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fusion_pipeline.align import Aligner, AlignerConfig, Stream, default_reference
from fusion_pipeline.align.buffer import Sensed
from fusion_pipeline.messages import AudioChunk, CameraFrame, EgoMotion, Header, LidarScan, SensorSet

MS, START = 10**6, 1_700_000_000 * 10**9
RATE = 16_000


def scan(at_ms: float, late_ms: float = 1, topic: str = "lidar/top") -> LidarScan:
    """An empty scan without duration."""
    stamp = START + round(at_ms * MS)
    header = Header(topic, stamp, stamp + round(late_ms * MS))
    none = np.zeros(0, np.float32)
    return LidarScan(header, 0, np.zeros((0, 3), np.float32), none, np.zeros(0, np.uint16), np.zeros(0, np.int32))


def frame(at_ms: float, late_ms: float = 1) -> CameraFrame:
    """A picture of one pixel."""
    stamp = START + round(at_ms * MS)
    header = Header("camera/front", stamp, stamp + round(late_ms * MS))
    return CameraFrame(header, "mono8", 1, 1, np.zeros((1, 1, 1), np.uint8))


def chunk(first: int, samples: int = 320, shift_ms: float = 0.0, rate: int = RATE) -> AudioChunk:
    """Samples that carry their number, from number `first`."""
    stamp = START + first * 10**9 // RATE + round(shift_ms * MS)
    pcm = np.arange(first, first + samples, dtype=np.int64).astype(np.int16)[:, None]
    return AudioChunk(Header("audio/roof", stamp, stamp + samples * 10**9 // RATE), rate, pcm)


def pose(at_ms: float, x: float, yaw: float = 0.0) -> EgoMotion:
    """A pose on the x axis."""
    stamp = START + round(at_ms * MS)
    turn = np.asarray([0, 0, np.sin(yaw / 2), np.cos(yaw / 2)])
    eye = np.eye(6)
    return EgoMotion(
        Header("ego/odometry", stamp, stamp + MS), np.asarray([x, 0.0, 0.0]), turn, np.zeros(3), np.zeros(3), eye, eye
    )


def feed(aligner: Aligner, messages: Sequence[Sensed]) -> list[SensorSet]:
    """All sets of the messages in the order of their arrival, with deadlines in between, up to the end."""
    sets: list[SensorSet] = []
    for message in sorted(messages, key=lambda m: m.header.arrival_ns):
        sets.extend(aligner.advance(message.header.arrival_ns - 1))
        sets.extend(aligner.step(message))
    sets.extend(aligner.flush())
    return sets


def with_lidar(sets: list[SensorSet]) -> list[SensorSet]:
    """Without those that a silent LiDAR was not waited for."""
    return [s for s in sets if s.lidars]


def aligner_of(*streams: Stream, **options: float) -> Aligner:
    """An aligner of these streams to the LiDAR."""
    return Aligner(AlignerConfig(streams=streams, **options))  # type: ignore[arg-type]


WINDOW = round(AlignerConfig().audio_window_s * RATE)  # samples of a set


@given(st.integers(WINDOW, 30_000), st.lists(st.integers(1, 900), min_size=60, max_size=120))
@settings(max_examples=60, deadline=None)
def test_the_sound_of_a_set_is_exact_to_the_sample_however_it_was_cut(last: int, sizes: list[int]) -> None:
    chunks, first = [], 0
    for size in sizes:
        chunks.append(chunk(first, size))
        first += size
    t_ms = last * 1000 / RATE
    sets = feed(aligner_of(Stream("audio/roof"), deadline_ms=10_000.0), [*chunks, scan(t_ms)])
    if last > first:  # the recording ends before the scan
        return
    (audio,) = sets[0].audios
    assert audio.pcm[:, 0].tolist() == np.arange(last - WINDOW, last).astype(np.int16).tolist()
    assert abs(audio.end_ns - sets[0].header.capture_ns) <= 10**9 // RATE


def test_chunks_whose_stamps_wander_a_little_are_joined_by_counting() -> None:
    wander = [chunk(320 * k, shift_ms=0.7 * (-1) ** k) for k in range(60)]
    sets = with_lidar(feed(aligner_of(Stream("audio/roof")), [*wander, scan(1000)]))
    assert len(sets[0].audios[0].pcm) == WINDOW
    assert (np.diff(sets[0].audios[0].pcm[:, 0]) == 1).all()


@pytest.mark.parametrize("fault", ["hole", "overlap", "rate", "short"])
def test_sound_that_cannot_be_joined_is_missing_with_its_reason(fault: str) -> None:
    chunks = [chunk(320 * k) for k in range(60)]
    if fault == "hole":
        del chunks[40]
    elif fault == "overlap":
        chunks[40] = chunk(320 * 40, 480)
    elif fault == "rate":
        chunks[40] = chunk(320 * 40, rate=8_000)
    else:
        chunks = chunks[45:]
    (only,) = with_lidar(feed(aligner_of(Stream("audio/roof")), [*chunks, scan(1000)]))
    assert not only.audios
    assert [(m.source, m.reason) for m in only.missing] == [("audio/roof", "gap")]


def test_the_pose_is_interpolated_at_the_instant_of_the_set() -> None:
    poses = [pose(10 * k, x=k, yaw=0.1 * k) for k in range(12)]
    (only,) = feed(aligner_of(Stream("ego/odometry")), [*poses, scan(54)])
    (ego,) = only.egos
    assert ego.header.capture_ns == only.header.capture_ns
    assert ego.position_m[0] == pytest.approx(5.4)
    assert 2 * np.arctan2(ego.orientation[2], ego.orientation[3]) == pytest.approx(0.54)


def test_the_pose_is_never_extrapolated() -> None:
    (only,) = feed(aligner_of(Stream("ego/odometry")), [pose(0, 0), pose(10, 1), scan(50)])
    assert not only.egos
    assert only.missing[0].reason == "outside window"


def test_a_camera_with_an_offset_is_matched_by_its_corrected_stamp() -> None:
    frames = [frame(30 * k) for k in range(8)]
    (only,) = feed(aligner_of(Stream("camera/front", offset_ms=-30.0)), [*frames, scan(100)])
    assert only.cameras[0].header.capture_ns == START + 120 * MS  # 120 - 30 is nearest to 100


def test_a_second_lidar_is_matched_by_its_middle() -> None:
    second = [scan(90, topic="lidar/rear"), scan(140, topic="lidar/rear")]
    (only,) = feed(aligner_of(Stream("lidar/rear")), [scan(100), *second])
    assert [s.header.source for s in only.lidars] == ["lidar/top", "lidar/rear"]
    assert only.lidars[1].middle_ns == START + 90 * MS


def test_a_lidar_that_never_speaks_does_not_blind_the_camera() -> None:
    sets = feed(aligner_of(Stream("camera/front")), [frame(33 * k) for k in range(60)])
    assert len(sets) >= 10
    assert all(s.missing[0].source == "lidar/top" for s in sets)
    assert all(s.cameras for s in sets)
    gaps = np.diff([s.header.capture_ns for s in sets])
    assert (gaps == 100 * MS).all()


def test_a_lidar_that_comes_back_is_the_reference_again() -> None:
    scans = [scan(100 * k) for k in (*range(1, 10), *range(30, 40))]
    sets = feed(aligner_of(Stream("camera/front")), [*scans, *(frame(33 * k) for k in range(125))])
    stamps = [s.header.capture_ns for s in with_lidar(sets)]
    assert stamps == [START + 100 * k * MS for k in (*range(1, 10), *range(30, 40))]
    assert sum(not s.lidars for s in sets) >= 15
    assert (np.diff([s.header.capture_ns for s in sets]) > 0).all()


def test_one_lagging_camera_costs_a_set_its_frame_and_not_its_time() -> None:
    aligner = aligner_of(Stream("camera/front"))
    log = [*(scan(100 * k) for k in range(10)), *(frame(33 * k, late_ms=400) for k in range(30))]
    sets = with_lidar(feed(aligner, log))
    assert len(sets) == 10
    assert {s.missing[0].reason for s in sets[5:]} == {"late by 339 ms, arrival 400 ms after capture"}
    waits = [hop.end_ns - hop.start_ns for s in sets[:-1] for hop in s.header.hops]
    assert max(waits) <= 110 * MS


def test_a_log_that_loops_is_taken_as_a_new_beginning() -> None:
    aligner = aligner_of(Stream("camera/front"))
    lap = [m for k in range(30) for m in (scan(100 * k), frame(100 * k + 2))]
    sets = [s for _ in range(3) for message in lap for s in aligner.step(message)] + list(aligner.flush())
    assert len(sets) == 90
    assert sum(aligner.counts.values()) == sum(aligner.received.values()) == 180


def test_memory_is_bounded_when_the_reference_is_dead_and_time_stands_still() -> None:
    aligner = aligner_of(Stream("camera/front"), max_messages=16)
    for k in range(100):
        list(aligner.step(frame(k)))
    assert aligner.counts["camera/front", "evicted"] == 84


MESSAGES = st.one_of(
    st.builds(scan, st.integers(0, 2000), st.integers(-20, 300)),
    st.builds(frame, st.integers(0, 2000), st.integers(-20, 300)),
    st.builds(pose, st.integers(0, 2000), st.floats(-1, 1)),
    st.builds(chunk, st.integers(0, 30_000), st.integers(1, 2000)),
    st.builds(frame, st.integers(0, 2000), st.integers(5001, 9000)),
)


@given(st.lists(MESSAGES, max_size=80), st.booleans())
@settings(max_examples=150, deadline=None)
def test_every_message_ends_in_exactly_one_outcome(messages: list[Sensed], in_order: bool) -> None:
    aligner = aligner_of(Stream("camera/front"), Stream("ego/odometry"), Stream("audio/roof"), max_messages=12)
    if in_order:
        sets = feed(aligner, messages)
    else:
        sets = [s for message in messages for s in aligner.step(message)] + list(aligner.flush())
    for topic, count in aligner.received.items():
        assert sum(total for (name, _), total in aligner.counts.items() if name == topic) == count
    outcomes = {outcome.partition(":")[0] for _, outcome in aligner.counts}
    assert outcomes <= {"used", "late", "unmatched", "evicted", "refused"}
    assert all(part.header.arrival_ns <= s.header.arrival_ns for s in sets for part in (*s.lidars, *s.cameras, *s.egos))


@given(st.randoms(use_true_random=False))
@settings(max_examples=40, deadline=None)
def test_the_order_of_delivery_between_topics_changes_nothing(random: object) -> None:
    """Each topic in order, topics interleaved at will between promises of the log's time."""
    shuffle = random.shuffle  # type: ignore[attr-defined]
    log: list[Sensed] = [*(scan(100 * k, 3) for k in range(8)), *(frame(33 * k, 41) for k in range(25))]
    log += [*(pose(10 * k, k) for k in range(82)), *(chunk(320 * k) for k in range(42))]
    streams = (Stream("camera/front"), Stream("ego/odometry"), Stream("audio/roof"))
    expected = [_content(s) for s in feed(aligner_of(*streams), log)]
    aligner, sets = aligner_of(*streams), list[SensorSet]()
    for begin in range(0, 850, 50):  # whatever arrived within 50 ms comes in any order of its topics
        low, high = START + begin * MS, START + (begin + 50) * MS
        by_topic: dict[str, list[Sensed]] = {}
        for message in sorted(log, key=lambda m: m.header.arrival_ns):
            if low <= message.header.arrival_ns < high:
                by_topic.setdefault(message.header.source, []).append(message)
        turns = [topic for topic, queue in by_topic.items() for _ in queue]
        shuffle(turns)
        for topic in turns:
            sets.extend(aligner.step(by_topic[topic].pop(0)))
        sets.extend(aligner.advance(min(high, max(m.header.arrival_ns for m in log)) - 1))
    sets.extend(aligner.flush())
    assert [_content(s) for s in sets] == expected


def _content(s: SensorSet) -> tuple[object, ...]:
    parts = [(p.header.source, p.header.capture_ns) for p in (*s.lidars, *s.cameras, *s.audios, *s.egos)]
    return s.header.capture_ns, s.header.arrival_ns, parts, s.missing


@pytest.mark.parametrize(("reference", "kind"), [("camera/front", "cameras"), ("audio/roof", "audios")])
def test_any_stream_can_be_the_reference(reference: str, kind: str) -> None:
    """Of a log without a LiDAR: pictures make a set each, sound one for each tick; all of it is used."""
    ms = 1_000_000
    streams = tuple(Stream(t) for t in ("camera/front", "audio/roof") if t != reference)
    aligner = Aligner(AlignerConfig(reference, streams, audio_window_s=0.1))
    picture = np.zeros((2, 2, 3), np.uint8)
    found = []
    for number in range(100):
        at = 10_000 * ms + number * 20 * ms
        found += aligner.advance(at + 19 * ms)
        pcm = np.zeros((320, 1), np.int16)
        found += aligner.step(AudioChunk(Header("audio/roof", at, at + 20 * ms), 16_000, pcm))
        if number % 5 == 0:
            found += aligner.step(
                CameraFrame(Header("camera/front", at + 10 * ms, at + 20 * ms), "bgr8", 2, 2, picture)
            )
    found += aligner.flush()
    assert 18 <= len(found) <= 21
    assert all(len(getattr(one, kind)) == 1 for one in found)
    assert not any(item.source == reference for one in found for item in one.missing)
    steps = np.diff([one.header.capture_ns for one in found])
    assert (steps == 100 * ms).all()


def test_the_default_reference() -> None:
    assert default_reference(("audio/a", "camera/b", "lidar/c")) == "lidar/c"
    assert default_reference(("ego/o", "audio/a", "camera/b")) == "camera/b"
    assert default_reference(("ego/o", "audio/a")) == "audio/a"
    assert default_reference(("ego/o",)) == ""
