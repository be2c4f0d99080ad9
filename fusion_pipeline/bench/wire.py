"""The wire format: bad input never gets past it, and what it costs."""

from __future__ import annotations

import random
import statistics
import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import msgpack
import numpy as np

from fusion_pipeline.bench.report import Figure
from fusion_pipeline.messages import (
    AudioChunk,
    Boxes,
    CameraFrame,
    Count,
    Detections,
    EgoMotion,
    Header,
    Health,
    Hop,
    Lap,
    LidarScan,
    LogTime,
    Message,
    Missing,
    SensorSet,
    SoundEvent,
    SourceStamp,
    StageTiming,
    Tracks,
)  # fmt: skip
from fusion_pipeline.transport.bus import Envelope
from fusion_pipeline.transport.leases import Leases
from fusion_pipeline.transport.wire import Lost, Refused, encode, read

CASES = 100_000
SCAN_POINTS = 120_000  # of an HDL-64E
Frames = list[bytes]


def run(quick: bool = False) -> tuple[Figure, ...]:
    """Damaged messages (fewer with `quick`), and the cost of a LiDAR scan's way through the wire format."""
    outcomes = fuzz(CASES // 50 if quick else CASES, seed=1)
    total, escaped = outcomes.total(), outcomes["escaped"]
    said = ", ".join(f"{count} {outcome}" for outcome, count in outcomes.most_common(6))
    return (
        Figure(f"exceptions that escape from {total:,} damaged messages", escaped, "", "0", escaped == 0, note=said),
        *_costs(quick),
    )


def samples() -> tuple[Message, ...]:
    """One message of every type, every field filled, the same each time."""
    n = 3
    boxes = Boxes(
        centers_m=_ramp(n, 3), sizes_m=_ramp(n, 3), yaws_rad=_ramp(n), velocities_mps=_ramp(n, 2), scores=_ramp(n),
        labels=np.arange(n), std=_ramp(n, 8), attribution=_ramp(n, 3), track_ids=np.arange(n) - 1,
    )  # fmt: skip
    sounds, sources = (SoundEvent("siren", 0.5, -1.25),), (SourceStamp("camera/front", 11, -2),)
    found = ("car", "truck"), boxes, sounds, sources, ("audio/roof: late",)
    pixels = np.arange(2 * 3 * 3, dtype=np.uint8).reshape(2, 3, 3)
    camera = CameraFrame(_header("camera/front"), "rgb8", 2, 3, pixels)
    ring = np.arange(n, dtype=np.uint16)
    scan = LidarScan(_header("lidar/top"), 100_000_000, _ramp(n, 3), _ramp(n), ring, np.arange(n, dtype=np.int32))
    audio = AudioChunk(_header("audio/roof"), 16_000, np.arange(-4, 4, dtype=np.int16).reshape(4, 2))
    six = np.arange(36.0).reshape(6, 6)
    ego = EgoMotion(_header("ego"), np.arange(3.0), np.array([0.0, 0, 0, 1]), np.arange(3.0), np.arange(3.0), six, six,
                    np.asarray([0.5, -0.25, 9.75]))  # fmt: skip
    counts, timings = (Count("lidar/top", "received", 7),), (StageTiming("read", 3, 1.5, 2.5, 3.5),)
    return (
        camera, scan, audio, ego,
        SensorSet(_header("set"), (scan,), (camera,), (audio,), (ego,), (Missing("camera/rear", "silent"),)),
        Detections(_header("detections"), *found, (ego,)), Tracks(_header("tracks"), *found, (ego,)),
        Health(_header("health/lidar"), "lidar", 42, "ready", "fine", timings, counts, counts, counts, counts,
               "lidar/top", 0.25, 10.0, 1, 5),
        LogTime(_header("logtime")), Lap(_header("lap/player"), 2, 10, 11),
    )  # fmt: skip


def fuzz(cases: int, seed: int) -> Counter[str]:
    """Damage good frames at random and read them: how many were "read", "refused: <reason>", "lost: <reason>", and how
    many raised anything else ("escaped").
    """
    chance, leases, outcomes = random.Random(seed), Leases(), Counter[str]()
    good = [[bytes(f) for f in encode(m.header.source, m, Envelope("writer", 5, 6))] for m in samples()]
    for _ in range(cases):
        damage = chance.choice(_DAMAGES)
        frames = damage(list(chance.choice(good)), chance)
        try:
            read(frames, leases)
        except Refused as refused:
            outcomes[f"refused: {refused.reason}"] += 1
        except Lost as lost:
            outcomes[f"lost: {lost.reason}"] += 1
        except Exception:
            outcomes["escaped"] += 1
        else:
            outcomes["read"] += 1
    return outcomes


def _header(source: str) -> Header:
    return Header(source, 1_000_000_007, 1_000_000_009, "vehicle", (Hop("camera/read", 3, 4),))


def _ramp(*shape: int) -> Any:
    return np.linspace(0, 1, int(np.prod(shape)), dtype=np.float32).reshape(shape)


def _flip(frames: Frames, chance: random.Random) -> Frames:
    """Change single bytes, mostly of the header."""
    at = 1 if chance.random() < 0.8 else chance.randrange(len(frames))
    data = bytearray(frames[at])
    for _ in range(chance.randint(1, 4)):
        if data:
            data[chance.randrange(len(data))] = chance.randrange(256)
    frames[at] = bytes(data)
    return frames


def _cut(frames: Frames, chance: random.Random) -> Frames:
    """Shorten or lengthen a frame."""
    at = chance.randrange(len(frames))
    frames[at] = frames[at][: chance.randint(0, len(frames[at]))] + chance.randbytes(chance.choice((0, 0, 1, 9)))
    return frames


def _shuffle(frames: Frames, chance: random.Random) -> Frames:
    """Drop, repeat or swap whole frames."""
    return chance.choices(frames, k=chance.randint(0, len(frames) + 1))


def _noise(frames: Frames, chance: random.Random) -> Frames:
    """Random bytes in place of the header, at times nested deeply."""
    deep = chance.choice((b"\x91", b"\x81\x01")) * chance.randint(1, 5000)
    frames[1] = deep if chance.random() < 0.2 else chance.randbytes(chance.randint(0, 200))
    return frames


def _replace(frames: Frames, chance: random.Random) -> Frames:
    """Put something unexpected in the place of one value of the header."""
    head = msgpack.unpackb(frames[1])
    lists = list(_lists(head))
    for _ in range(chance.randint(1, 3)):
        target = chance.choice(lists)
        if target:
            target[chance.randrange(len(target))] = chance.choice(_ODD)(chance)
    frames[1] = msgpack.packb(head)
    return frames


def _forge(frames: Frames, chance: random.Random) -> Frames:
    """Descriptors of shared memory that nobody gave."""
    head = msgpack.unpackb(frames[1])
    head[5] = [chance.choice((0, 1, 2**22, 2**31, 2**62)), chance.randrange(64), chance.randbytes(16)]
    for entry in head[3]:
        entry.extend((chance.choice((0, 4096, 2**40, 2**62)), chance.randrange(9), chance.choice((0, 4160, 2**62))))
    frames[1] = msgpack.packb(head)
    return [frames[0], frames[1]]


def _lists(value: Any) -> Iterator[list[Any]]:
    if isinstance(value, list):
        yield value
        for item in value:
            yield from _lists(item)


_DAMAGES: tuple[Callable[[Frames, random.Random], Frames], ...] = (_flip, _cut, _shuffle, _noise, _replace, _forge)
_ODD: tuple[Callable[[random.Random], Any], ...] = (
    lambda chance: None,
    lambda chance: chance.choice((-1, 0, 1, 2**31, 2**63 - 1, 2**64 - 1, -(2**63))),
    lambda chance: chance.choice((float("nan"), float("inf"), -1.5, 1e308)),
    lambda chance: chance.choice(("", "x" * 300, "\0", "<f4", "|O", ">f8", "<U5", "camera/front", "End")),
    lambda chance: chance.randbytes(chance.randint(0, 20)),
    lambda chance: chance.choice((True, [], [[]], {}, {"a": 1}, [1, 2, 3, 4, 5, 6, 7, 8, 9], [2**39, 2**39])),
)


def _costs(quick: bool) -> Iterator[Figure]:
    n, chance = SCAN_POINTS, np.random.default_rng(1)
    xyz, rest = chance.random((n, 3), np.float32), chance.random(n, np.float32)
    scan = LidarScan(_header("lidar/top"), 1, xyz, rest, np.zeros(n, np.uint16), np.zeros(n, np.int32))
    envelope, repeats = Envelope("writer", 5, 6), 200 if quick else 2000
    frames = encode("lidar/top", scan, envelope)
    arrays = scan.xyz_m, scan.intensity, scan.ring, scan.offset_ns
    copying = _median_us(lambda: [array.tobytes() for array in arrays], 200)
    size = f"LiDAR scan of {n:,} points"
    name = "copying its arrays once"
    yield Figure(
        f"encode a {size}",
        _median_us(lambda: encode("lidar/top", scan, envelope), repeats),
        "us",
        "",
        None,
        copying,
        name,
    )
    yield Figure(f"decode a {size}", _median_us(lambda: read(frames, None), repeats), "us", "", None, copying, name)


def _median_us(do: Callable[[], object], repeats: int) -> float:
    taken = []
    for _ in range(repeats):
        start = time.perf_counter_ns()
        do()
        taken.append(time.perf_counter_ns() - start)
    return statistics.median(taken) / 1000
