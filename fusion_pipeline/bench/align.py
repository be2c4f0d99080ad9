"""The aligner against ground truth: wrong pairs, lost messages, throughput.

Streams: LiDAR at 10 Hz, a camera at 30 Hz whose frames arrive 40 ms late with 15 ms of jitter, a second camera that
lags by 200 ms, poses at 100 Hz; a tenth of everything dropped. The truth of a pair is the nearest frame of all that
were received. The baseline pairs the same messages greedily, as the approximate-time synchroniser of ROS 2's Python
message_filters is documented to: at each arrival, the combination of queued messages nearest to the new one, if its
stamps lie within a slop, is emitted and removed.
"""

from __future__ import annotations

import time
from collections import deque
from itertools import product

import numpy as np

from fusion_pipeline.align import Aligner, AlignerConfig, Stream
from fusion_pipeline.align.buffer import Sensed
from fusion_pipeline.bench.report import Figure
from fusion_pipeline.clock import MILLISECOND_NS as MS
from fusion_pipeline.messages import CameraFrame, EgoMotion, Header, LidarScan, SensorSet

LIDAR, FRONT, REAR, EGO = "lidar/top", "camera/front", "camera/rear", "ego/odometry"
START_NS = 1_700_000_000_000_000_000
DEADLINE_MS = 300.0  # long enough for the lagging camera
SLOP_NS, QUEUE = 50 * MS, 100  # of the baseline; a shorter queue would lose the lagging camera altogether
STREAMS = (Stream(FRONT, 100.0), Stream(REAR, 100.0), Stream(EGO, 100.0))


def streams(seconds: float, seed: int = 0) -> list[Sensed]:
    """Messages in the order of their arrival."""
    rng = np.random.default_rng(seed)
    made: list[Sensed] = []
    for topic, rate, late_ms, jitter_ms in (
        (LIDAR, 10, 3, 1),
        (FRONT, 30, 40, 15),
        (REAR, 30, 200, 15),
        (EGO, 100, 2, 1),
    ):
        arrived = 0
        for k in range(int(seconds * rate)):
            stamp = START_NS + round((k / rate) * 1e9) + int(rng.normal(0, 0.3) * MS)
            delay = (late_ms + jitter_ms * rng.uniform(-1, 1)) * MS
            # A link delivers in order: what comes behind a late one is late too.
            arrived = max(arrived + 1, stamp + int(delay))
            if rng.random() >= 0.1:
                made.append(_message(topic, stamp, arrived))
    return sorted(made, key=lambda message: message.header.arrival_ns)


def _message(topic: str, stamp: int, arrived: int) -> Sensed:
    header = Header(topic, stamp, arrived)
    if topic == LIDAR:
        none = np.zeros(0, np.float32)
        return LidarScan(header, 0, np.zeros((0, 3), np.float32), none, np.zeros(0, np.uint16), np.zeros(0, np.int32))
    if topic == EGO:
        eye = np.eye(6)
        return EgoMotion(header, np.zeros(3), np.asarray([0.0, 0, 0, 1]), np.zeros(3), np.zeros(3), eye, eye)
    return CameraFrame(header, "mono8", 1, 1, np.zeros((1, 1, 1), np.uint8))


def aligned(messages: list[Sensed]) -> tuple[list[SensorSet], Aligner]:
    """What the aligner makes of the messages."""
    aligner = Aligner(AlignerConfig(LIDAR, STREAMS, DEADLINE_MS))
    sets: list[SensorSet] = []
    for message in messages:
        sets.extend(aligner.advance(message.header.arrival_ns - 1))
        sets.extend(aligner.step(message))
    sets.extend(aligner.flush())
    return sets, aligner


def greedy(messages: list[Sensed]) -> list[tuple[int, ...]]:
    """Stamps of the tuples (LiDAR, front, rear, ego) that the greedy synchroniser emits."""
    topics = (LIDAR, FRONT, REAR, EGO)
    queues: dict[str, deque[int]] = {topic: deque(maxlen=QUEUE) for topic in topics}
    found: list[tuple[int, ...]] = []
    for message in messages:
        stamp, topic = message.header.capture_ns, message.header.source
        queues[topic].append(stamp)
        near = [
            [stamp] if other == topic else sorted((s for s in queues[other] if abs(s - stamp) <= SLOP_NS),
                                                  key=lambda s: abs(s - stamp))
            for other in topics
        ]  # fmt: skip
        for combination in product(*near):
            if max(combination) - min(combination) < SLOP_NS:
                found.append(combination)
                for other, used in zip(topics, combination, strict=True):
                    queues[other].remove(used)
                break
    return found


def _nearest(stamps: np.ndarray[tuple[int], np.dtype[np.int64]], t: int) -> int:
    """The distance of the nearest stamp."""
    return int(np.abs(stamps - t).min())


def run(quick: bool = False) -> tuple[Figure, ...]:
    """Wrong pairs and conservation beside the baseline, then throughput."""
    messages = streams(30.0 if quick else 300.0)
    of = {t: np.asarray([m.header.capture_ns for m in messages if m.header.source == t]) for t in (FRONT, REAR, EGO)}
    sets, aligner = aligned(messages)
    pairs = [(s.header.capture_ns, c) for s in sets if s.lidars for c in s.cameras]
    wrong = sum(abs(c.header.capture_ns - t) != _nearest(of[c.header.source], t) for t, c in pairs)
    theirs = greedy(messages)
    bad = sum(
        abs(found - one[0]) != _nearest(of[t], one[0])
        for one in theirs
        for t, found in ((FRONT, one[1]), (REAR, one[2]))
    )
    scans = sum(message.header.source == LIDAR for message in messages)
    leak = abs(sum(aligner.counts.values()) - len(messages))
    share, their_share = 100 * wrong / len(pairs), 100 * bad / max(2 * len(theirs), 1)
    rate, their_rate = _rates(messages)
    name = "greedy, as ROS 2's Python synchroniser"
    return (
        Figure("pairs that are not the nearest", share, "%", "0", wrong == 0, their_share, name, f"{len(pairs)} pairs"),
        Figure("sets for scans", 100 * len([s for s in sets if s.lidars]) / scans, "%", "", None,
               100 * len(theirs) / scans, name, f"{scans} scans"),
        Figure("conservation error", leak, "messages", "0", leak == 0, note=f"{len(messages)} messages"),
        Figure("throughput", rate, "messages/s", ">= 100000", rate >= 100_000, their_rate, name),
    )  # fmt: skip


def _rates(messages: list[Sensed]) -> tuple[float, float]:
    """Messages per second of both, the best of three."""

    def best(work: object) -> float:
        assert callable(work)
        times = []
        for _ in range(3):
            start = time.perf_counter()
            work(messages)
            times.append(time.perf_counter() - start)
        return len(messages) / min(times)

    return best(aligned), best(greedy)
