"""Logs: the same lines at any rate and under any load, damage, the card of a long log, and how fast reading is."""

from __future__ import annotations

import contextlib
import hashlib
import json
import multiprocessing
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from fusion_pipeline.bench.report import Figure
from fusion_pipeline.logs.card import card
from fusion_pipeline.logs.raw import RawReader, RawWriter
from fusion_pipeline.logs.reader import LogError, open_log
from fusion_pipeline.logs.surgery import merged, recovered
from fusion_pipeline.messages import AudioChunk, CameraFrame, LidarScan, Message

SCENARIO, SECONDS = "city_street", 4.0


def run(quick: bool = False) -> tuple[Figure, ...]:
    """All of it, on a simulated log."""
    with TemporaryDirectory(prefix="fusion-bench-") as folder:
        log = Path(folder) / "street.mcap"
        _fusion("sim", SCENARIO, "--seconds", str(SECONDS / 2 if quick else SECONDS), "-o", str(log))
        return (*_same(log, quick), *_damage(log, 20 if quick else 300), *_reading(log, quick), *_long(log, quick))


def _fusion(*arguments: str) -> None:
    subprocess.run([sys.executable, "-m", "fusion_pipeline.cli", *arguments], check=True, capture_output=True,
                   timeout=300)  # fmt: skip


def digest(lines: Path) -> str:
    """Of a result file, without the times that stages took."""
    found = hashlib.sha256()
    for text in lines.read_text(encoding="utf-8").splitlines():
        row = json.loads(text)
        row.pop("hops")
        found.update(json.dumps(row, sort_keys=True).encode())
    return found.hexdigest()


def _same(log: Path, quick: bool) -> Iterator[Figure]:
    """The real graph of processes, again and again."""
    out = log.with_suffix(".jsonl")
    ways: list[tuple[str, str, int]] = [("max", "max", 0), ("1 x", "1", 0), ("max under load", "max", 2)]
    if not quick:
        ways += [
            ("0.25 x", "0.25", 0),
            ("max again", "max", 0),
            ("1 x under load", "1", 4),
            ("max, one thread more", "max", 0),
        ]
    digests = []
    for _, rate, busy in ways:
        with _load(busy):
            _fusion("replay", str(log), "--rate", rate, "--out", str(out), "--quiet")
        digests.append(digest(out))
    sets = len(out.read_text().splitlines())
    different = len(set(digests)) - 1
    said = ", ".join(name for name, _, _ in ways)
    yield Figure(f"different outputs of {len(ways)} replays of the whole graph", different, "", "0", different == 0,
                 note=f"{sets} sets; {said}")  # fmt: skip


@contextlib.contextmanager
def _load(busy: int) -> Iterator[None]:
    """So many processes that do nothing but compute."""
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=_spin, daemon=True) for _ in range(busy)]
    for worker in workers:
        worker.start()
    try:
        yield
    finally:
        for worker in workers:
            worker.kill()
            worker.join()


def _spin() -> None:
    until = time.monotonic() + 300
    while time.monotonic() < until:
        pass


def _damage(log: Path, mutations: int) -> Iterator[Figure]:
    """Bits flipped, bytes cut off or made up: nothing false is read, nothing escapes."""
    small = log.with_name("small.mcap")
    kept = [raw for k, raw in enumerate(RawReader(log)) if raw.topic != "lidar/top" and k % 3 == 0]
    with RawWriter(small) as writer:
        for raw in kept[:400]:
            writer.write(raw)
    data, rng = small.read_bytes(), np.random.default_rng(5)
    true = {(raw.topic, raw.log_ns, raw.data) for raw in RawReader(small)}
    broken, whole = log.with_name("broken.mcap"), log.with_name("whole.mcap")
    escaped = false = 0
    for number in range(mutations):
        damaged = bytearray(data)
        if number % 3 == 0:
            damaged = damaged[: int(rng.integers(0, len(data)))]
        elif number % 3 == 1:
            damaged[int(rng.integers(len(data)))] ^= 1 << int(rng.integers(8))
        else:
            at = int(rng.integers(len(data) - 8))
            damaged[at : at + 8] = rng.integers(0, 256, 8, np.uint8).tobytes()
        broken.write_bytes(damaged)
        try:
            recovered(broken, whole)
            false += sum((raw.topic, raw.log_ns, raw.data) not in true for raw in RawReader(whole))
        except LogError:
            continue
        except Exception:
            escaped += 1
    yield Figure(f"exceptions other than a named error, {mutations} damaged logs recovered", escaped, "", "0",
                 escaped == 0, note=f"{false} messages read that were never written (outside chunks nothing is "
                 "checksummed)")  # fmt: skip


def _reading(log: Path, quick: bool) -> Iterator[Figure]:
    """Decoding every message beside the mcap library's bare reading of the same file."""
    ours, theirs = [], []
    for _ in range(2 if quick else 5):
        began = time.perf_counter()
        size = sum(_bytes(message) for message in open_log(log).messages())
        ours.append(size / 1e6 / (time.perf_counter() - began))
        began = time.perf_counter()
        raw = _bare(log)
        theirs.append(raw / 1e6 / (time.perf_counter() - began))
    pace, bare = float(np.median(ours)), float(np.median(theirs))
    yield Figure("reading and decoding a log", pace, "MB/s", ">= 0.8 x", pace >= 0.8 * bare, bare,
                 "the mcap library's reader, not decoding")  # fmt: skip


def _bare(log: Path) -> int:
    from mcap.reader import make_reader

    with log.open("rb") as file:
        return sum(len(message.data) for _, _, message in make_reader(file).iter_messages())


def _bytes(message: Message) -> int:
    if isinstance(message, LidarScan):
        return 22 * len(message.xyz_m)
    if isinstance(message, CameraFrame):
        return message.data.nbytes
    return message.pcm.nbytes if isinstance(message, AudioChunk) else 0


def _long(log: Path, quick: bool) -> Iterator[Figure]:
    """Whether a longer log takes longer to look at: `info` reads its index alone."""
    copies = 2 if quick else 8
    long = log.with_name("long.mcap")
    merged([log] * copies, long)
    times = []
    for _ in range(5):
        began = time.perf_counter()
        card(long)
        times.append((time.perf_counter() - began) * 1e3)
    took = float(np.median(times))
    yield Figure(f"info of a log of {long.stat().st_size / 1e9:.2f} GB", took, "ms", "<= 1000", took <= 1000)
