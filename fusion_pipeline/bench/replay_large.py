"""A log larger than anybody wants to read through: what it costs to look at it, and to seek in it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from fusion_pipeline.bench.report import Figure
from fusion_pipeline.logs.mcap_writer import McapWriter
from fusion_pipeline.logs.reader import open_log
from fusion_pipeline.messages import Message

SPARE = 1.5  # times its size must be free on the disk
GAP_NS = 50_000_000
REPEATS = 3
INFO_S, SEEK_S, MEMORY_MIB = 1.0, 0.3, 300.0
# In a process of its own, so that its memory is that of the work; what it prints is the answer.
PROBE = """
import json, sys, time
from pathlib import Path
from fusion_pipeline.logs.card import card
from fusion_pipeline.logs.reader import open_log
small, large, what = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]
next(iter(open_log(small).messages()))  # libraries are loaded
began = time.perf_counter()
if what == "info":
    assert card(large).complete
else:
    log = open_log(large)
    middle = (log.start_ns + log.end_ns) // 2
    until = middle + 2 * 10**9 if what == "read" else None  # as a player would read it
    found = log.messages(start_ns=middle, end_ns=until)
    assert 0 <= next(iter(found)).header.arrival_ns - middle < 1e9
    assert what == "seek" or sum(1 for _ in found) > 100
took = time.perf_counter() - began
# Not getrusage: what it says outlives exec, and so may be the benchmark's own.
status = Path("/proc/self/status").read_text().split()
print(json.dumps([took, int(status[status.index("VmHWM:") + 1]) / 1024]))
"""


def large_figures(log: Path, folder: Path, gigabytes: float) -> Iterator[Figure]:
    """`log` again and again, as one log of so many gigabytes, deleted afterwards."""
    what = f"log of {gigabytes:g} GB"
    free = shutil.disk_usage(folder).free / 1e9
    if free < SPARE * gigabytes:
        note = f"{free:.0f} GB are free on the disk of {folder}; it takes {SPARE * gigabytes:.0f} GB"
        yield Figure(f"{what}: info, seek, memory (skipped)", 0.0, "", note=note)
        return
    large = folder / "large.mcap"
    try:
        _write(log, large, gigabytes)
        info = min(_info(large) for _ in range(REPEATS))
        seeks = [_probe(log, large, "seek") for _ in range(REPEATS)]
        peak = max(_probe(log, large, "info")[1], *(memory for _, memory in seeks))
        reading = _probe(log, large, "read")[1]
    finally:
        large.unlink(missing_ok=True)
    seek = min(took for took, _ in seeks)
    yield Figure(f"{what}: fusion log info, whole command", info, "s", "<= 1", info <= INFO_S,
                 note=f"best of {REPEATS}; not in the cache before")  # fmt: skip
    yield Figure(f"{what}: opened, and the first message from its middle decoded", seek, "s", "<= 0.3", seek <= SEEK_S,
                 note=f"best of {REPEATS}; not in the cache before")  # fmt: skip
    yield Figure(f"{what}: most memory of a process that asks for its info, or seeks", peak, "MiB", "<= 300",
                 peak <= MEMORY_MIB, note=f"{reading:.0f} MiB to read 2 s from the middle")  # fmt: skip


def _write(log: Path, large: Path, gigabytes: float) -> None:
    opened = open_log(log)
    messages = list(opened.messages())
    lap_ns = opened.end_ns - opened.start_ns + GAP_NS
    lap = 0
    with McapWriter(large, opened.rig, compression="none") as writer:
        while not large.exists() or large.stat().st_size < gigabytes * 1e9:
            for message in messages:
                writer.write(_later(message, lap * lap_ns))
            lap += 1


def _later(message: Message, by_ns: int) -> Message:
    head = message.header
    return replace(
        message, header=replace(head, capture_ns=head.capture_ns + by_ns, arrival_ns=head.arrival_ns + by_ns)
    )


def _forget(path: Path) -> None:
    """Have the system drop what it holds of a file, so that it is read from the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
        if hasattr(os, "posix_fadvise"):
            os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)
    finally:
        os.close(handle)


def _info(large: Path) -> float:
    _forget(large)
    began = time.perf_counter()
    command = [sys.executable, "-m", "fusion_pipeline.cli", "log", "info", str(large)]
    subprocess.run(command, check=True, capture_output=True, timeout=300)
    return time.perf_counter() - began


def _probe(small: Path, large: Path, what: str) -> tuple[float, float]:
    """Seconds and MiB."""
    _forget(large)
    command = [sys.executable, "-c", PROBE, str(small), str(large), what]
    said = subprocess.run(command, check=True, capture_output=True, text=True, timeout=300).stdout
    took, peak = json.loads(said)
    return float(took), float(peak)
