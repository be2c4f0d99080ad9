"""Velodyne packets against a world whose distances are known: over a real socket, from files, and damaged."""

from __future__ import annotations

import contextlib
import math
import threading
import time
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
from pcap_files import write_pcap
from udp_sender import free_port, sender_to
from velodyne_packets import ELEVATIONS_DEG, HEIGHTS_MM, PACKET_US, packet, turns

from fusion_pipeline.clock import now_ns
from fusion_pipeline.messages import LidarScan
from fusion_pipeline.sensors.retry import SetupError
from fusion_pipeline.sensors.velodyne import Velodyne, VelodyneConfig, packet_fault

pytest.importorskip("velodyne_decoder")
TURN_PACKETS = 75


def room(laser: int, azimuth_deg: float) -> float:
    """A cone whose radius tells laser and azimuth apart."""
    return 5.0 + 0.5 * laser + 2.0 * math.cos(math.radians(azimuth_deg))


def quiet(state: str, detail: str) -> None:
    """Nobody listens."""


def assert_is_room(scan: LidarScan) -> None:
    """Every point lies within 1 cm of where the world has it, and says so with the right beam and time."""
    by_height = np.argsort(ELEVATIONS_DEG)[::-1]  # ring 0 is the top beam
    laser = by_height[scan.ring]
    elevation = np.radians(np.array(ELEVATIONS_DEG))[laser]
    x, y, _ = scan.xyz_m.astype(np.float64).T
    azimuth = np.degrees(np.arctan2(-y, x)) % 360
    distance = np.array([room(int(n), a) for n, a in zip(laser, azimuth, strict=True)])
    expected = np.stack(
        [
            distance * np.cos(elevation) * np.cos(np.radians(azimuth)),
            -distance * np.cos(elevation) * np.sin(np.radians(azimuth)),
            distance * np.sin(elevation) + np.array(HEIGHTS_MM)[laser] / 1000,
        ],
        axis=1,
    )
    assert np.abs(expected - scan.xyz_m).max() < 0.01
    np.testing.assert_allclose(scan.intensity, 10 * laser / 255, atol=1e-6)
    # The head turns 360 degrees in 75 packets.
    turned = scan.offset_ns / (TURN_PACKETS * PACKET_US * 1000) * 360
    error = (azimuth - azimuth[scan.offset_ns.argmin()] - turned + 180) % 360 - 180
    assert np.abs(error).max() < 0.2


def from_file(config: VelodyneConfig) -> list[LidarScan]:
    """All scans of a file."""
    return list(Velodyne(config, quiet).messages(threading.Event()))


def capture(path: Path, count: float, **settings: float) -> Path:
    """A file of `count` turns, each packet in hand when its last laser has fired."""
    timed = (((us + PACKET_US) / 1e6, data) for us, data in turns(count, room, **settings))
    return write_pcap(path, timed)


def test_file(tmp_path: Path) -> None:
    """Points, rings, offsets and stamps of scans from a file."""
    before = now_ns()
    scans = from_file(VelodyneConfig(str(capture(tmp_path / "room.pcap", 2.2)), real_time=False))
    assert [len(scan.xyz_m) for scan in scans[:2]] == [29184, 28800]
    for scan in scans:
        assert_is_room(scan)
        assert scan.header.source == "lidar/top"
    first, second = scans[:2]
    assert first.header.capture_ns >= before - 2_000_000
    assert second.header.capture_ns - first.header.capture_ns == pytest.approx(76 * PACKET_US * 1000, abs=5000)
    assert second.duration_ns == pytest.approx(TURN_PACKETS * PACKET_US * 1000, rel=0.01)


def test_hour_wraps(tmp_path: Path) -> None:
    """The sensor's clock begins anew each hour; scans do not."""
    path = capture(tmp_path / "hour.pcap", 2.2, start_us=3_600_000_000 - 50_000)
    driver = Velodyne(VelodyneConfig(str(path), real_time=False), quiet)
    scans = list(driver.messages(threading.Event()))
    for scan in scans:
        assert_is_room(scan)
    assert scans[1].header.capture_ns - scans[0].header.capture_ns == pytest.approx(76 * PACKET_US * 1000, abs=5000)
    assert not +driver.counts


def test_loop(tmp_path: Path) -> None:
    """A looped file goes on in time."""
    config = VelodyneConfig(str(capture(tmp_path / "loop.pcap", 1.2)), real_time=False, loop=True)
    driver = Velodyne(config, quiet)
    stop = threading.Event()
    scans = list(islice(driver.messages(stop), 5))
    stamps = [scan.header.capture_ns for scan in scans]
    assert stamps == sorted(set(stamps))
    assert len(scans[2].xyz_m) == len(scans[0].xyz_m)
    assert not +driver.counts


def test_udp_and_garbage() -> None:
    """Real datagrams give the same scans; garbage among them is refused and counted, losses are counted."""
    port = free_port()
    driver = Velodyne(VelodyneConfig(f"udp://127.0.0.1:{port}"), quiet)
    driver.prepare()
    stop, scans = threading.Event(), list[LidarScan]()
    sending = list(turns(2.4, room))
    lost = 90

    def send() -> None:
        # Refused once the driver has what it needs.
        with contextlib.suppress(ConnectionRefusedError), sender_to(port, probe=bytes(512)) as sender:
            for index, (_, data) in enumerate(sending):
                if index == 40:
                    for garbage in (b"hello", bytes(1206), data[:-1] + b"\x28"):
                        sender.send(garbage)
                if index != lost:
                    sender.send(data)
                time.sleep(PACKET_US / 1e6)

    thread = threading.Thread(target=send)
    thread.start()
    for scan in driver.messages(stop):
        scans.append(scan)
        if len(scans) == 2:
            stop.set()
    thread.join()
    assert len(scans[0].xyz_m) == 29184
    for scan in scans:
        assert_is_room(scan)
    assert +driver.counts == {
        "refused: not of a Velodyne packet's size": 1,
        "refused: no Velodyne blocks": 1,
        "refused: not from a VLP-16": 1,
        "lost: missing packets": 1,
    }


def test_faults() -> None:
    """Position packets are no fault; a damaged block is."""
    good = packet(0, 0, room)
    assert packet_fault(good, "VLP-16") == ""
    assert packet_fault(bytes(512), "VLP-16") == ""
    damaged = good[:502] + b"\xff\xff" + good[504:]
    assert packet_fault(damaged, "VLP-16") == "no Velodyne blocks"


@pytest.mark.parametrize(
    ("config", "says"),
    [
        (VelodyneConfig("udp://0.0.0.0:2368", model="VLP-17"), "known: VLP-16"),
        (VelodyneConfig("udp://0.0.0.0:2368", model="HDL-64E"), "extract-hdl64e-calibration"),
        (VelodyneConfig("udp://nowhere"), "udp://HOST:PORT"),
    ],
)
def test_settings_that_cannot_be(config: VelodyneConfig, says: str) -> None:
    """The text says what to do."""
    with pytest.raises(SetupError, match=says):
        Velodyne(config, quiet).prepare()
