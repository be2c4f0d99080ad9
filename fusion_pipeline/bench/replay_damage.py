"""Damaged logs of several kinds, thousands of them: nothing escapes but a named error, nothing grows, nothing hangs."""

from __future__ import annotations

import multiprocessing
import resource
import time
import wave
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

import cv2
import numpy as np

from fusion_pipeline.bench.report import Figure
from fusion_pipeline.bench.wire import samples
from fusion_pipeline.logs.mcap_writer import McapWriter
from fusion_pipeline.logs.raw import RawReader
from fusion_pipeline.logs.reader import open_log
from fusion_pipeline.logs.surgery import recovered
from fusion_pipeline.messages import AudioChunk, CameraFrame, Detections, EgoMotion, LidarScan

WORKERS = 2
FAST = Path("/dev/shm")  # where there is one: the disk is not what is measured
TOO_MANY = 10_000  # messages from a log of a few dozen: it does not end by itself
SLOW_S, GROWTH_MIB = 5.0, 200.0
CAMERA = """calib_time: 09-Jan-2012 13:57:47
S_rect_02: 1.242000e+03 3.750000e+02
R_rect_00: 1 0 0 0 1 0 0 0 1
P_rect_02: 7.2e+02 0 6.1e+02 4.5e+01 0 7.2e+02 1.73e+02 0 0 0 1 0
"""
MANIFEST = """[camera.front]
pictures = "pictures/*.jpg"
names = "ms"

[audio.roof]
sound = "roof.wav"
start_ns = 1000000000
"""
Damage = Callable[[bytearray, np.random.Generator], None]


@dataclass
class Outcome:
    """What came of a share of the mutations."""

    counts: Counter[str] = field(default_factory=Counter)
    escaped: list[str] = field(default_factory=list)
    false: int = 0  # messages of MCAP files that were never written
    slowest_s: float = 0.0
    growth_mib: float = 0.0


def damage_figures(folder: Path, mutations: int) -> Iterator[Figure]:
    """So many damaged logs, opened, read to their end and, where they are MCAP, recovered."""
    place = FAST if FAST.is_dir() else folder
    context = multiprocessing.get_context("spawn")
    shares = [(str(place), worker, mutations // WORKERS) for worker in range(WORKERS)]
    with context.Pool(WORKERS) as pool:
        outcomes = pool.starmap(_share, shares)
    counts = sum((one.counts for one in outcomes), Counter[str]())
    escaped = [name for one in outcomes for name in one.escaped]
    said = ", ".join(f"{count} {what}" for what, count in counts.most_common())
    examples = f"; {'; '.join(escaped[:3])}" if escaped else ""
    yield Figure(f"exceptions other than a named error, {counts.total():,} damaged logs", len(escaped), "", "0",
                 not escaped, note=said + examples)  # fmt: skip
    false = sum(one.false for one in outcomes)
    yield Figure("messages recovered from damaged MCAP files that were never written", false, "", "0", false == 0)
    slowest, growth = max(one.slowest_s for one in outcomes), max(one.growth_mib for one in outcomes)
    yield Figure("most processor time for one of them", slowest, "s", f"<= {SLOW_S:g}", slowest <= SLOW_S)
    yield Figure("most memory that reading them added", growth, "MiB", f"<= {GROWTH_MIB:g}", growth <= GROWTH_MIB)


def _share(place: str, seed: int, mutations: int) -> Outcome:
    """One worker's mutations."""
    rng, outcome = np.random.default_rng(seed), Outcome()
    with TemporaryDirectory(prefix="fusion-bench-", dir=place) as name:
        folder = Path(name)
        logs = small_logs(folder)
        written = {log: _messages(log) for log, files in logs.items() if files == [log]}
        for log in logs:
            _read(log, Outcome(), written)
        before = _peak_mib()
        for number in range(mutations):
            log = list(logs)[number % len(logs)]
            file = logs[log][int(rng.integers(len(logs[log])))]
            whole = file.read_bytes()
            damaged = bytearray(whole)
            DAMAGES[int(rng.integers(len(DAMAGES)))](damaged, rng)
            file.write_bytes(damaged)
            began = time.process_time()
            _read(log, outcome, written)
            outcome.slowest_s = max(outcome.slowest_s, time.process_time() - began)
            file.write_bytes(whole)
        outcome.growth_mib = _peak_mib() - before
    return outcome


def _read(log: Path, outcome: Outcome, written: dict[Path, set[bytes]]) -> None:
    try:
        opened = open_log(log)
        for count, _ in enumerate(opened.messages()):
            if count > TOO_MANY:
                raise OverflowError("the log does not end")
        outcome.counts["read in part" if opened.refused else "read"] += 1
    except Exception as error:
        _note(error, log, outcome)
    if log in written:
        whole = log.with_name("recovered.mcap")
        try:
            recovered(log, whole)
            outcome.false += sum(raw.data not in written[log] for raw in RawReader(whole))
        except Exception as error:
            _note(error, log, outcome)


def _note(error: Exception, log: Path, outcome: Outcome) -> None:
    if type(error).__module__.startswith("fusion_pipeline."):
        outcome.counts["refused"] += 1
    else:
        outcome.counts["escaped"] += 1
        outcome.escaped.append(f"{log.name}: {type(error).__name__}: {error}"[:120])


def _messages(log: Path) -> set[bytes]:
    return {raw.data for raw in RawReader(log)}


def _peak_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def small_logs(folder: Path) -> dict[Path, list[Path]]:
    """Logs of a few kilobytes of each kind, each with the files that may be damaged."""
    logs = {path: [path] for path in (folder / f"{form}.mcap" for form in ("lz4", "zstd", "none"))}
    for path in logs:
        _mcap(path)
    logs[folder / "drive_sync"] = _kitti(folder)
    logs[folder / "manifest.toml"] = _manifest(folder)
    return logs


def _mcap(path: Path) -> None:
    kinds = (CameraFrame, LidarScan, AudioChunk, EgoMotion, Detections)
    with McapWriter(path, compression=path.stem) as writer:
        for _ in range(3):
            for message in samples():
                if isinstance(message, kinds):
                    writer.write(message)


def _kitti(folder: Path) -> list[Path]:
    (folder / "calib_cam_to_cam.txt").write_text(CAMERA)
    (folder / "calib_velo_to_cam.txt").write_text("R: 0 -1 0 0 0 -1 1 0 0\nT: 0 -0.08 -0.27\n")
    drive = folder / "drive_sync"
    for name in ("velodyne_points", "image_02"):
        (drive / name / "data").mkdir(parents=True)
        (drive / name / "timestamps.txt").write_text("".join(f"2011-09-26 12:00:00.{i}50000000\n" for i in range(3)))
    for number in range(3):
        rows = np.random.default_rng(number).normal(0, 10, (40, 4)).astype(np.float32)
        rows.tofile(drive / "velodyne_points" / "data" / f"{number:010d}.bin")
        cv2.imwrite(str(drive / "image_02" / "data" / f"{number:010d}.png"), np.zeros((8, 12, 3), np.uint8))
    return sorted(path for path in [*drive.rglob("*"), *folder.glob("calib*.txt")] if path.is_file())


def _manifest(folder: Path) -> list[Path]:
    pictures, sound = folder / "pictures", folder / "roof.wav"
    pictures.mkdir()
    for number in range(3):
        cv2.imwrite(str(pictures / f"{1_000 + 50 * number}.jpg"), np.zeros((8, 12, 3), np.uint8))
    with wave.open(str(sound), "wb") as file:
        file.setnchannels(2)
        file.setsampwidth(2)
        file.setframerate(8000)
        file.writeframes(np.arange(1600, dtype="<i2").tobytes())
    manifest = folder / "manifest.toml"
    manifest.write_text(MANIFEST)
    return [manifest, sound, *sorted(pictures.iterdir())]


def _cut(data: bytearray, rng: np.random.Generator) -> None:
    del data[int(rng.integers(0, len(data) + 1)) :]


def _flip(data: bytearray, rng: np.random.Generator) -> None:
    if data:
        data[int(rng.integers(len(data)))] ^= 1 << int(rng.integers(8))


def _scribble(data: bytearray, rng: np.random.Generator) -> None:
    at, count = int(rng.integers(0, max(1, len(data) - 8))), int(rng.integers(1, 9))
    data[at : at + count] = rng.integers(0, 256, count, np.uint8).tobytes()


def _claim(data: bytearray, rng: np.random.Generator) -> None:
    """A length of 4 GB, or of more than there is on earth."""
    at = int(rng.integers(0, max(1, len(data) - 8)))
    data[at : at + 8] = int(rng.choice([0xFFFF_FFFF, 1 << 32, 1 << 62])).to_bytes(8, "little")


def _double(data: bytearray, rng: np.random.Generator) -> None:
    """A part comes twice, or at another place."""
    a, b = sorted(int(v) for v in rng.integers(0, len(data) + 1, 2))
    at = int(rng.integers(0, len(data) + 1))
    data[at:at] = data[a:b]


def _drop(data: bytearray, rng: np.random.Generator) -> None:
    at = int(rng.integers(0, max(1, len(data))))
    del data[at : at + int(rng.integers(1, 64))]


DAMAGES: tuple[Damage, ...] = (_cut, _flip, _scribble, _claim, _double, _drop)
