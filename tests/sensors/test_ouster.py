"""A real turn of an OS-1: decoded from its file, and sent as real datagrams."""

from __future__ import annotations

import hashlib
import json
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from udp_sender import free_port, sender_to

from fusion_pipeline.messages import LidarScan
from fusion_pipeline.sensors.ouster import Ouster, OusterConfig
from fusion_pipeline.sensors.pcap import datagrams
from fusion_pipeline.sensors.retry import SetupError

core = pytest.importorskip("ouster.sdk.core")
RECORDING = "OS-1-32-G_v2.1.1_1024x10"


def quiet(state: str, detail: str) -> None:
    """Nobody listens."""


@pytest.fixture
def recording(data_root: Path) -> OusterConfig:
    """The driver's settings for the file."""
    folder = data_root / "ouster"
    if not folder.is_dir():
        pytest.skip(f"no Ouster packets at {folder}")
    return OusterConfig(str(folder / f"{RECORDING}.pcap"), metadata=folder / f"{RECORDING}.json", real_time=False)


@pytest.fixture
def from_file(recording: OusterConfig) -> LidarScan:
    """The one scan of the file."""
    driver = Ouster(recording, quiet)
    (scan,) = driver.messages(threading.Event())
    assert not +driver.counts
    return scan


def test_file(from_file: LidarScan, recording: OusterConfig) -> None:
    """All returns are there, as far as the published digest of the ranges has them."""
    scan = from_file
    assert len(scan.xyz_m) == 27310
    assert scan.ring.max() == 31
    assert 0.09e9 < scan.duration_ns < 0.1e9
    assert scan.offset_ns.max() == scan.duration_ns
    assert 0 < scan.intensity.mean() < 1
    # Ring 0 is the top: the mean elevation falls from ring to ring.
    elevation = np.arctan2(scan.xyz_m[:, 2], np.hypot(scan.xyz_m[:, 0], scan.xyz_m[:, 1]))
    means = [elevation[scan.ring == ring].mean() for ring in range(32)]
    assert (np.diff(means) < 0).all()
    assert scan.header.arrival_ns - scan.header.capture_ns == pytest.approx(scan.duration_ns, abs=3_000_000)


def test_points_agree_with_the_published_ranges(from_file: LidarScan, recording: OusterConfig) -> None:
    """Ranges put back together from the points give the MD5 that Ouster publishes with the file."""
    digest = json.loads(recording.metadata.with_name(f"{RECORDING}_digest.json").read_text())
    info = core.SensorInfo(recording.metadata.read_text())
    scan = from_file
    columns = np.rint(scan.offset_ns / (scan.duration_ns / 1023)).astype(int)
    beams = scan.ring.astype(int)
    directions, origins = (np.asarray(part).reshape(32, 1024, 3) for part in _lut(info))
    along = ((scan.xyz_m - origins[beams, columns]) * directions[beams, columns]).sum(axis=1)
    step = np.linalg.norm(directions[beams, columns], axis=1)
    ranges = np.zeros((32, 1024), np.uint32)
    ranges[beams, columns] = np.rint(along / step**2)
    assert hashlib.md5(ranges.tobytes()).hexdigest() in json.dumps(digest)


def _lut(info: object) -> tuple[np.ndarray, np.ndarray]:
    lut = core.XYZLut(info)
    return lut.direction, lut.offset


def test_udp(recording: OusterConfig, from_file: LidarScan) -> None:
    """The file's packets sent to a real socket give the same scan; garbage is refused and counted."""
    port = free_port()
    driver = Ouster(OusterConfig(f"udp://127.0.0.1:{port}", metadata=recording.metadata), quiet)
    driver.prepare()
    payloads = [datagram.payload for datagram in datagrams(Path(recording.source))]
    imu = bytes(int(core.PacketFormat.from_info(core.SensorInfo(recording.metadata.read_text())).imu_packet_size))

    def send() -> None:
        with sender_to(port, probe=imu) as sender:
            sender.send(b"hello")
            sender.send(b"\xff" * len(payloads[0]))
            for payload in payloads:
                sender.send(payload)
                time.sleep(0.001)

    thread = threading.Thread(target=send)
    thread.start()
    stop = threading.Event()
    scan = next(iter(driver.messages(stop)))
    stop.set()
    thread.join()
    for name in ("xyz_m", "intensity", "ring", "offset_ns", "duration_ns"):
        np.testing.assert_array_equal(getattr(scan, name), getattr(from_file, name))
    assert +driver.counts == {"refused: not of this Ouster's packet size": 1, "refused: no Ouster columns": 1}


def test_bad_metadata(tmp_path: Path) -> None:
    """The text says how to fetch it."""
    path = tmp_path / "ouster.json"
    path.write_text("{}")
    with pytest.raises(SetupError, match="curl http://SENSOR"):
        Ouster(OusterConfig("udp://0.0.0.0:7502", metadata=path), quiet).prepare()
