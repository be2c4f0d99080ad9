"""Is this machine ready? What was found, and the line that mends what is missing."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Literal

from fusion_pipeline.manifest import DEFAULT_MODEL

State = Literal["ok", "warning", "failed"]
PATIENCE_S = 60.0
APT_OPEN3D = "sudo apt install libusb-1.0-0 libgl1 libegl1 libgomp1"
# module: (distribution, advice beyond reinstalling, needed for)
REQUIRED = {
    "numpy": ("numpy", "", ""), "cv2": ("opencv-python", "", ""), "onnxruntime": ("onnxruntime-gpu", "", ""),
    "zmq": ("pyzmq", "", ""), "msgpack": ("msgpack", "", ""), "numba": ("numba", "", ""), "scipy": ("scipy", "", ""),
    "foxglove": ("foxglove-sdk", "", ""), "mcap": ("mcap", "", ""), "soundfile": ("soundfile", "", ""),
}  # fmt: skip
OPTIONAL = {
    "open3d": ("open3d", APT_OPEN3D, "simulated training scans"),
    "sounddevice": ("sounddevice", "sudo apt install libportaudio2", "live microphones"),
    "velodyne_decoder": ("velodyne-decoder", "pip install 'fusion-pipeline[live]'", "Velodyne LiDARs"),
    "ouster.sdk": ("ouster-sdk", "pip install 'fusion-pipeline[live]'", "Ouster LiDARs"),
    "torch": ("torch", "pip install 'fusion-pipeline[train]'", "training"),
}
NETWORK = """
import sys
from pathlib import Path
from fusion_pipeline.detect.network import Network
print(Network(Path(sys.argv[1]), (sys.argv[2],), 1).describe())
"""
UDP_BYTES = 4 << 20  # what the LiDAR drivers ask the kernel for
DISK_FREE, MEMORY_FREE = 2 << 30, 2 << 30


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at."""

    name: str
    state: State
    found: str
    advice: str = ""  # what to type or do, where something is wrong


def checks() -> Iterator[Check]:
    """All checks, one after another; none raises."""
    yield _python()
    for module, (name, advice, _) in REQUIRED.items():
        yield _library(module, name, advice, "")
    for module, (name, advice, purpose) in OPTIONAL.items():
        yield _library(module, name, advice, purpose)
    yield _network("cpu")
    yield _network("cuda")
    yield _run_folder()
    yield _shared_memory()
    yield _clock()
    yield _cores()
    yield _memory()
    yield _disk()
    yield _udp_buffer()
    yield _cameras()


def _python() -> Check:
    found = sys.version.split()[0]
    good = (3, 11) <= sys.version_info[:2] <= (3, 13)
    return Check("Python", "ok" if good else "failed", found, "" if good else "take Python 3.11, 3.12 or 3.13")


def _child(code: str, *arguments: str) -> tuple[int, str]:
    """Exit status and last line of a Python child: what crashes or hangs there does no harm here."""
    command = [sys.executable, "-c", code, *arguments]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S, check=False)
    except subprocess.TimeoutExpired:
        return 1, f"no answer within {PATIENCE_S:.0f} s"
    lines = (done.stdout if done.returncode == 0 else done.stderr or done.stdout).strip().splitlines()
    return done.returncode, lines[-1] if lines else ("" if done.returncode == 0 else f"exit status {done.returncode}")


def _library(module: str, name: str, advice: str, purpose: str) -> Check:
    try:
        installed = version(name)
    except PackageNotFoundError:
        installed = ""
    title = f"library {module}"
    code, said = _child(f"import {module}")
    if code == 0:
        return Check(title, "ok", installed or "installed")
    if purpose and not installed:
        return Check(title, "ok", f"not installed; only for {purpose}", advice)
    state: State = "warning" if purpose else "failed"
    return Check(title, state, said, advice or f"{sys.executable} -m pip install --force-reinstall {name}")


def _network(provider: str) -> Check:
    code, said = _child(NETWORK, str(DEFAULT_MODEL), provider)
    if code == 0:
        return Check(f"network on {provider}", "ok", said)
    said = said.partition(": ")[2] or said
    if provider == "cpu":
        return Check("network on cpu", "failed", said, "make clean, then make setup")
    return Check(f"network on {provider}", "warning", said, "without a GPU this is as it should be: providers=cpu")


def _run_folder() -> Check:
    from fusion_pipeline.rundir import SocketFolder

    try:
        folder = SocketFolder()
    except OSError as error:
        return Check("run folder", "failed", str(error), "set TMPDIR to a folder of your own, with a short path")
    mode = folder.path.parent.stat().st_mode & 0o777
    found = f"{folder.path.parent}, mode {mode:o}" + (f"; swept {folder.swept} of dead runs" if folder.swept else "")
    folder.remove()
    return Check("run folder", "ok" if mode == 0o700 else "failed", found, "" if mode == 0o700 else "chmod 700 it")


def _shared_memory() -> Check:
    from fusion_pipeline.transport.shared_memory import Pool, supported

    if not supported():
        return Check("shared memory", "warning", "not on this system", "large messages are copied: correct, but slower")
    try:
        Pool()
    except OSError as error:
        return Check("shared memory", "warning", str(error), "large messages are copied; check ulimit -v and memory")
    return Check("shared memory", "ok", "large arrays are read in place")


def _clock() -> Check:
    advice = "sudo apt install chrony; between hosts of one vehicle use PTP (linuxptp)"
    if Path("/run/systemd/timesync/synchronized").exists():
        return Check("clock", "ok", "synchronised by systemd-timesyncd")
    tool = shutil.which("timedatectl")
    if tool is None:
        return Check("clock", "ok", "cannot tell whether it is synchronised; that matters between hosts only", advice)
    command = [tool, "show", "--property=NTPSynchronized", "--value"]
    try:
        said = subprocess.run(command, capture_output=True, text=True, timeout=5, check=False).stdout.strip()
    except subprocess.TimeoutExpired:
        said = ""
    if said == "yes":
        return Check("clock", "ok", "synchronised")
    return Check("clock", "warning", "not synchronised" if said else "cannot tell whether it is synchronised", advice)


def _cores() -> Check:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = Path("/sys/fs/cgroup/cpu.max")
    found = f"{cores} for this process"
    if quota.is_file() and (limit := quota.read_text().split())[0] != "max":
        found += f", {int(limit[0]) / int(limit[1]):g} by the container's quota"
    few = cores < 2
    return Check(
        "cores", "warning" if few else "ok", found, "sets will be late; lower the sensors' rates" if few else ""
    )


def _memory() -> Check:
    table = Path("/proc/meminfo")
    if not table.is_file():
        return Check("memory", "ok", "unknown on this system")
    lines = dict(line.split(":", 1) for line in table.read_text().splitlines())
    free = int(lines["MemAvailable"].split()[0]) * 1024
    low = free < MEMORY_FREE
    return Check("memory", "warning" if low else "ok", f"{free / 2**30:.1f} GiB free", "close programs" if low else "")


def _disk() -> Check:
    from fusion_pipeline.rundir import state_folder

    folder = state_folder()
    there = next(path for path in (folder, *folder.parents) if path.exists())
    free = shutil.disk_usage(there).free
    low = free < DISK_FREE
    found = f"{free / 2**30:.0f} GiB free for logs in {folder}"
    return Check("disk", "warning" if low else "ok", found, "free some space" if low else "")


def _udp_buffer() -> Check:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver:
        receiver.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, UDP_BYTES)
        granted = receiver.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) // (2 if sys.platform == "linux" else 1)
    found = f"{granted / 2**20:.2g} MiB for packets"
    if granted >= UDP_BYTES:
        return Check("UDP buffer", "ok", found)
    return Check(
        "UDP buffer", "warning", found, f"for LiDARs over the network: sudo sysctl -w net.core.rmem_max={UDP_BYTES}"
    )


def _cameras() -> Check:
    devices = sorted(Path("/dev").glob("video*"))
    if not devices:
        return Check("cameras", "ok", "none plugged in")
    locked = [device for device in devices if not os.access(device, os.R_OK | os.W_OK)]
    found = ", ".join(map(str, devices))
    if not locked:
        return Check("cameras", "ok", found)
    return Check("cameras", "warning", f"{locked[0]} may not be read", "sudo usermod -aG video $USER, then log in anew")
