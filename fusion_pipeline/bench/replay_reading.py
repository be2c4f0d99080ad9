"""How fast logs are read: beside the mcap library's memory-mapped reader, and through player and aligner."""

from __future__ import annotations

import mmap
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from fusion_pipeline.bench.report import Figure
from fusion_pipeline.logs.mcap_writer import McapWriter
from fusion_pipeline.logs.reader import open_log
from fusion_pipeline.messages import AudioChunk, CameraFrame, LidarScan, Message

DRIVE = Path("kitti_raw/2011_09_26/2011_09_26_drive_0052_sync")
PATIENCE_S = 600.0


def reading_figures(log: Path, quick: bool) -> Iterator[Figure]:
    """Decoding every message beside bare reading of the same file; then a KITTI drive without network."""
    source = open_log(log)
    for compression, said in (("lz4", "as recorded by default, LZ4"), ("none", "not compressed")):
        path = log.with_name(f"reading_{compression}.mcap")
        with McapWriter(path, source.rig, compression=compression) as writer:
            for message in source.messages():
                writer.write(message)
        yield _beside_bare(path, said, 2 if quick else 7)
        path.unlink()
    yield _kitti(quick)


def _beside_bare(log: Path, said: str, repeats: int) -> Figure:
    ours, theirs = [], []
    for _ in range(repeats):
        began = time.perf_counter()
        size = sum(_bytes(message) for message in open_log(log).messages())
        ours.append(size / 1e6 / (time.perf_counter() - began))
        began = time.perf_counter()
        raw = _bare(log)
        theirs.append(raw / 1e6 / (time.perf_counter() - began))
    pace, bare = float(np.median(ours)), float(np.median(theirs))
    what = f"reading and decoding a log of all senses, {said}"
    return Figure(what, pace, "MB/s", ">= 0.8 x", pace >= 0.8 * bare, bare,
                  "the mcap library's memory-mapped reader, which decodes nothing and checks no sum")  # fmt: skip


def _bare(log: Path) -> int:
    from mcap.reader import SeekingReader

    with log.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
        return sum(len(message.data) for _, _, message in SeekingReader(mapped).iter_messages())


def _bytes(message: Message) -> int:
    if isinstance(message, LidarScan):
        return 22 * len(message.xyz_m)
    if isinstance(message, CameraFrame):
        return message.data.nbytes
    return message.pcm.nbytes if isinstance(message, AudioChunk) else 0


def _kitti(quick: bool) -> Figure:
    """Player, aligner and result file as processes; the start is left out by playing the drive twice and often."""
    what = "KITTI drive 0052 through player and aligner, without network"
    root = os.environ.get("FUSION_DATA", "")
    drive = Path(root) / DRIVE
    if not root or not drive.is_dir():
        return Figure(f"{what} (skipped)", 0.0, "", note="set FUSION_DATA to a folder that holds kitti_raw/")
    log = open_log(drive)
    length_s = (log.end_ns - log.start_ns) / 1e9
    few, many = 2, 4 if quick else 22
    more_s = _seconds(drive, many) - _seconds(drive, few)
    pace = length_s * (many - few) / max(more_s, 1e-9)
    return Figure(what, pace, "x real time", ">= 10", pace >= 10, note=f"{many - few} laps of {length_s:.1f} s")


def _seconds(drive: Path, loops: int) -> float:
    command = [sys.executable, "-m", "fusion_pipeline.cli", "replay", str(drive), "--to", "sets", "--quiet",
               "--loops", str(loops)]  # fmt: skip
    began = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True, timeout=PATIENCE_S)
    return time.perf_counter() - began
