"""Hesai packets made after the manuals' layout, of a room whose distances are known."""

from __future__ import annotations

import math
import random
import struct
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from pcap_files import write_pcap

from fusion_pipeline.checks import faults_of
from fusion_pipeline.logs.reader import LogError, open_log
from fusion_pipeline.messages import LidarScan
from fusion_pipeline.sensors.hesai import MODELS, Hesai, HesaiConfig, packet_fault, turns
from fusion_pipeline.sensors.packets import Packet
from fusion_pipeline.sensors.retry import SetupError

BEGIN_S = 1_700_000_000
ROUNDS = 2000  # in a turn at 10 Hz: 50 us each, 0.18 degrees


def room(channel: int, azimuth_deg: float) -> float:
    """Metres; tells channel and azimuth apart."""
    return 5.0 + 0.5 * channel + 2.0 * math.cos(math.radians(azimuth_deg))


def encode(channels: int, first_round: int, sequence: int, dual: bool = False) -> tuple[float, bytes]:
    """When a packet is ready, in s, and its bytes. Dual: the even block lies 1 m before the odd one."""
    per = 2 if dual else 1
    rounds = [first_round + k // per for k in range(8)]
    body = b""
    for k, number in enumerate(rounds):
        hundredths = number * 36000 // ROUNDS % 36000
        body += struct.pack("<H", hundredths)
        for channel in range(channels):
            metres = room(channel, hundredths / 100) - (1.0 if dual and k % 2 else 0.0)
            body += struct.pack("<HBB", round(metres / 0.004), 3 * channel, 0)
    micro = rounds[-1] * 50
    seconds = BEGIN_S + micro // 1_000_000
    day, rest = divmod(seconds, 86400)
    year, month, date = (np.datetime64("1970-01-01") + day).astype(object).timetuple()[:3]
    clock = bytes([year - 1900, month, date, rest // 3600, rest // 60 % 60, rest % 60])
    head = bytes([0xEE, 0xFF, 6, 1, 0, 0, channels, 8, 1 if dual else 0, 4, 2, 1])
    tail = bytes(10) + bytes([0x39 if dual else 0x37]) + struct.pack("<H", 600) + clock
    tail += struct.pack("<IB", micro % 1_000_000, 0x42) + struct.pack("<I", sequence)
    return BEGIN_S + micro * 1e-6 + 0.0002, head + body + tail


def sweep(channels: int, count: float, dual: bool = False) -> Iterator[tuple[float, bytes]]:
    step = 4 if dual else 8
    for sequence in range(math.ceil(count * ROUNDS / step)):
        yield encode(channels, sequence * step, sequence, dual)


@pytest.mark.parametrize(("model", "size"), [("PandarXT-32", 1080), ("PandarXT-16", 568)])
@pytest.mark.parametrize("dual", [False, True])
def test_points_lie_where_the_room_is_and_say_when_they_were_fired(
    tmp_path: Path, model: str, size: int, dual: bool
) -> None:
    channels = len(MODELS[model].elevations_deg)
    sent = list(sweep(channels, 2.2, dual))
    assert {len(data) for _, data in sent} == {size}
    write_pcap(tmp_path / "a.pcap", sent)
    (tmp_path / "a.toml").write_text(f'[lidar.top]\npcap = "a.pcap"\nmodel = "{model}"\n')
    log = open_log(tmp_path / "a.toml")
    scans = [m for m in log.messages() if isinstance(m, LidarScan)]
    assert not log.refused
    assert [(found.name, found.severity) for found in log.findings] == [("nominal-angles", "warning")]
    assert [len(scan.xyz_m) for scan in scans[:2]] == [ROUNDS * channels * (2 if dual else 1)] * 2
    for number, scan in enumerate(scans[:2]):
        assert scan.header.capture_ns == pytest.approx((BEGIN_S + 0.1 * number) * 1e9, abs=300_000)
        assert scan.duration_ns == pytest.approx(0.1e9, abs=60_000)
        x, y, z = scan.xyz_m.astype(np.float64).T
        azimuth = np.degrees(np.arctan2(x, y)) % 360  # from y clockwise
        elevation = np.degrees(np.arctan2(z, np.hypot(x, y)))
        wanted = 15 - scan.ring.astype(float) * (1 if channels == 32 else 2)
        np.testing.assert_allclose(elevation, wanted, atol=1e-3)
        metres = np.linalg.norm(scan.xyz_m, axis=1)
        true = 5.0 + 0.5 * scan.ring + 2.0 * np.cos(np.radians(azimuth))
        off = true - metres
        assert np.minimum(np.abs(off), np.abs(off - 1.0) if dual else np.inf).max() < 0.005
        np.testing.assert_allclose(scan.intensity, 3 * scan.ring / 255, atol=1e-6)
        rounds = np.rint(azimuth / 0.18)
        laser_us = 1.512 if channels == 32 else 3.024
        np.testing.assert_allclose(scan.offset_ns / 1000, rounds * 50 + scan.ring * laser_us, atol=0.01)


def test_a_live_driver_reads_the_same(tmp_path: Path) -> None:
    path = write_pcap(tmp_path / "a.pcap", sweep(16, 2.2))
    driver = Hesai(HesaiConfig(str(path), model="PandarXT-16", real_time=False), lambda *_: None)
    driver.prepare()
    scans = list(driver.messages(threading.Event()))
    assert [len(scan.xyz_m) for scan in scans[:2]] == [ROUNDS * 16] * 2
    assert not +driver.counts


def test_a_correction_file_turns_every_channel(tmp_path: Path) -> None:
    lines = ["Channel,Elevation,Azimuth", *(f"{k + 1},{14 - 1.5 * k:.3f},{0.25 * k:.3f}" for k in range(16))]
    (tmp_path / "a.csv").write_text("\r\n".join(lines) + "\r\n")
    counts: Counter[str] = Counter()
    turn = turns(HesaiConfig("x", model="PandarXT-16", angles=tmp_path / "a.csv"), counts)
    for seconds, data in sweep(16, 0.5):
        assert list(turn.take(Packet(round(seconds * 1e9), data))) == [None]
    (scan,) = turn.finish()
    x, y, z = scan.xyz_m.astype(np.float64).T
    np.testing.assert_allclose(np.degrees(np.arctan2(z, np.hypot(x, y))), 14 - 1.5 * scan.ring, atol=1e-3)
    azimuth = np.degrees(np.arctan2(x, y)) - 0.25 * scan.ring
    np.testing.assert_allclose(azimuth / 0.18, np.rint(azimuth / 0.18), atol=0.01)
    for text in ("1,2\n", "1,x,3\n", "\n".join(lines[:9]), "\n".join(lines).replace("14.000", "nan")):
        (tmp_path / "a.csv").write_text(text)
        assert any("a.csv" in fault for fault in faults_of(HesaiConfig("a.pcap", angles=tmp_path / "a.csv")))
        with pytest.raises(SetupError, match=r"a\.csv"):
            turns(HesaiConfig("x", model="PandarXT-16", angles=tmp_path / "a.csv"), counts)


def test_losses_jumps_and_damage_are_counted_and_never_fatal() -> None:
    counts: Counter[str] = Counter()
    turn, rng, found = turns(HesaiConfig("x"), counts), random.Random(0), 0
    sent = list(sweep(32, 3.0))
    for number, (seconds, data) in enumerate(sent):
        if number != 100:
            found += sum(scan is not None for scan in turn.take(Packet(round(seconds * 1e9), data)))
    assert found == 2
    assert counts == {"lost: missing packets": 1}
    for seconds, data in sent * 3:
        broken = bytearray(data)
        for _ in range(rng.choice((0, 1, 30))):
            broken[rng.choice((rng.randrange(12), rng.randrange(len(data)), len(data) - 1 - rng.randrange(20)))] = (
                rng.randrange(256)
            )
        for scan in turn.take(Packet(round(seconds * 1e9), bytes(broken[: rng.choice((len(data), len(data), 700))]))):
            assert scan is None or np.isfinite(scan.xyz_m).all()
    list(turn.finish())
    assert counts["refused: not of a PandarXT-32 packet's size"] > 100
    assert counts["refused: damaged packet"] > 50
    assert packet_fault(encode(16, 0, 0)[1], "PandarXT-32") == "not of a PandarXT-32 packet's size"


def test_models_that_are_not_there_are_named(tmp_path: Path) -> None:
    write_pcap(tmp_path / "a.pcap", sweep(16, 0.1))
    (tmp_path / "a.toml").write_text('[lidar.top]\npcap = "a.pcap"\nmodel = "PandarXT32"\n')
    with pytest.raises(LogError, match="did you mean 'PandarXT-32'"):
        open_log(tmp_path / "a.toml")
    with pytest.raises(SetupError, match="known: PandarXT-32, PandarXT-16"):
        Hesai(HesaiConfig("x", model="QT64"), lambda *_: None).prepare()
