"""Live LiDARs among other senders: one device's packets alone become scans, groups are joined, addresses checked."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections import Counter

import numpy as np
import pytest
from udp_sender import free_port
from velodyne_packets import turns

from fusion_pipeline.messages import LidarScan
from fusion_pipeline.sensors.lidar import LidarConfig
from fusion_pipeline.sensors.packets import OneSender, packets
from fusion_pipeline.sensors.retry import DriverError, SetupError
from fusion_pipeline.sensors.velodyne import Velodyne, VelodyneConfig

pytest.importorskip("velodyne_decoder")
GOOD = b"good"


def fits(data: bytes) -> bool:
    return data == GOOD


def test_the_first_lidar_is_read_and_the_second_counted() -> None:
    counts: Counter[str] = Counter()
    one = OneSender("", 0, fits, counts)
    first, second, other = ("10.0.0.1", 2368, 2368), ("10.0.0.1", 2369, 2368), ("10.0.0.2", 2368, 2368)
    assert one.takes(other, b"bad")  # nobody is known yet: the driver says what is wrong with it
    assert one.takes(first, GOOD)
    assert one.takes(first, b"bad")
    assert [one.takes(stream, GOOD) for stream in (second, other, first)] == [False, False, True]
    assert not one.takes(other, b"bad")
    assert counts == {
        "refused: 10.0.0.1:2369 to port 2368 sends too": 1, "refused: 10.0.0.2:2368 to port 2368 sends too": 1,
    }  # fmt: skip
    for number in range(1000):
        one.takes(("10.0.0.9", number, 2368), GOOD)
    assert len(counts) < 8
    assert counts["refused: others sends too"] == 998


def test_a_named_sender_and_port_are_the_only_ones() -> None:
    counts: Counter[str] = Counter()
    one = OneSender("10.0.0.2", 2369, fits, counts)
    assert not one.takes(("10.0.0.1", 1, 2369), GOOD)
    assert not one.takes(("10.0.0.2", 1, 2368), GOOD)
    assert one.takes(("10.0.0.2", 1, 2369), GOOD)
    assert counts == {"refused: from another sender": 1}


def test_a_stranger_s_packets_never_enter_a_scan() -> None:
    port = free_port()
    driver = Velodyne(VelodyneConfig(f"udp://127.0.0.1:{port}"), lambda *_: None)
    driver.prepare()
    stop, scans = threading.Event(), list[LidarScan]()
    mine, foreign = list(turns(3.2, lambda *_: 20.0)), list(turns(3.2, lambda *_: 5.0, 500_000_000.0))

    def send() -> None:
        with (
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as lidar,
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger,
        ):
            lidar.connect(("127.0.0.1", port))
            stranger.connect(("127.0.0.1", port))
            while not stop.is_set():  # until the driver has what it needs; it may start late
                for (_, data), (_, other) in zip(mine, foreign, strict=True):
                    with contextlib.suppress(ConnectionRefusedError):
                        lidar.send(data)
                        stranger.send(other)
                        stranger.send(b"hello")
                    time.sleep(0.0013)
                    if stop.is_set():
                        return

    thread = threading.Thread(target=send)
    thread.start()
    for scan in driver.messages(stop):
        scans.append(scan)
        if len(scans) == 3:
            stop.set()
    thread.join()
    metres = {round(float(np.median(np.linalg.norm(scan.xyz_m, axis=1)))) for scan in scans}
    assert len(metres) == 1  # whoever came first
    for scan in scans:
        assert np.ptp(np.linalg.norm(scan.xyz_m, axis=1)) < 0.5
    assert sum(count for reason, count in driver.counts.items() if "sends too" in reason) > 50


def test_a_multicast_group_is_joined(monkeypatch: pytest.MonkeyPatch) -> None:
    port, counts = free_port(), Counter[str]()
    config = LidarConfig(f"udp://239.255.10.10:{port}", interface="127.0.0.1")
    stop = threading.Event()
    with packets(config, stop, counts, fits) as found, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton("127.0.0.1"))
        sender.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_LOOP, 1)
        sender.sendto(GOOD, ("239.255.10.10", port))
        got = [packet.data for _, packet in zip(range(3), found, strict=False) if packet is not None]
        assert got == [GOOD]
    bad = LidarConfig(f"udp://239.255.10.10:{port}", interface="203.0.113.77")
    with pytest.raises(DriverError, match="interface"), packets(bad, stop, counts, fits):
        pass


@pytest.mark.parametrize("config", [
    VelodyneConfig("udp://lidar:2368"), VelodyneConfig("udp://0.0.0.0:99999"), VelodyneConfig("udp://1.2.3:2368"),
    VelodyneConfig("udp://0.0.0.0:2368", sender="here"), VelodyneConfig("udp://0.0.0.0:2368", port=-1),
    VelodyneConfig("udp://0.0.0.0:2368", interface="eth0"), VelodyneConfig("udp://0.0.0.0:2368", silence_s=0.0),
])  # fmt: skip
def test_addresses_that_cannot_work_are_refused(config: VelodyneConfig) -> None:
    with pytest.raises(SetupError):
        Velodyne(config, lambda *_: None).prepare()
