"""RoboSense packets made after the manuals' layout, of a room whose distances are known."""

from __future__ import annotations

import math
import random
import socket
import struct
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from pcap_files import write_pcap
from udp_sender import free_port

from fusion_pipeline.checks import faults_of
from fusion_pipeline.logs.reader import Log, LogError, open_log
from fusion_pipeline.messages import LidarScan
from fusion_pipeline.sensors.packets import Packet
from fusion_pipeline.sensors.retry import SetupError
from fusion_pipeline.sensors.robosense import MODELS, RoboSense, RoboSenseConfig, turns

BEGIN_S = 1_700_000_000
STEP = 20  # hundredths of a degree between firings: 1800 to a turn of about 0.1 s
LENS_M = {"RS-LiDAR-16": 0.03825, "RS-LiDAR-32": 0.03997}
PERIOD_US = {"RS-LiDAR-16": 55.5, "RS-LiDAR-32": 55.52}
MARKS = {"RS-LiDAR-16": 1, "RS-LiDAR-32": 2, "RS-Helios-5515": 1, "RS-Helios-1610": 2, "RS-Helios-16P": 3}
ANGLE_UNIT = {"RS-LiDAR-32": 0.001}
EVERY = ("RS-Helios-5515", "RS-Helios-1610", "RS-Helios-16P", "RS-LiDAR-16", "RS-LiDAR-32")


def lasers_of(model: str) -> int:
    return 16 if model in ("RS-LiDAR-16", "RS-Helios-16P") else 32


def fired_us(model: str, laser: int) -> float:
    """The formulas of the manuals of RS-LiDAR; of the RS-Helios some values of their tables."""
    if model == "RS-LiDAR-16":
        return 2.8 * laser
    if model == "RS-LiDAR-32":
        return 2.88 * (laser % 16) + 1.44 * ((laser + 1) // 16)
    return MODELS[model].firing_us[laser]


def own_angles(model: str) -> list[tuple[float, float]]:
    """(elevation, azimuth) of one unit, in degrees, in steps that all its packets can bear."""
    if model == "RS-LiDAR-16":
        return [(-(15.02 - 2 * k) if k < 8 else 15.03 - 2 * (k - 8), 0.0) for k in range(16)]
    mixed = [(7 * k) % lasers_of(model) for k in range(lasers_of(model))]
    return [(14.95 - 1.5 * k, (-4.06, 3.63)[k % 2] + 0.01 * k) for k in mixed]


def difop(model: str, dual: bool = False, firmware: bytes = b"\x06\x23\x10\x00\x00") -> bytes:
    body = bytearray(1248)
    body[:8] = bytes.fromhex("A5FF005A11115555")
    body[8:10] = struct.pack(">H", 600)
    body[32:36] = struct.pack(">HH", 0, 36000)
    body[40:45] = firmware
    body[300] = 0 if dual else 4
    for k, (up, aside) in enumerate(own_angles(model)):
        if model == "RS-LiDAR-16":
            body[1165 + 3 * k : 1168 + 3 * k] = round(abs(up) * 1e4).to_bytes(3, "big")
            continue
        for start, degrees in ((468, up), (564, aside)):
            size = round(abs(degrees) / ANGLE_UNIT.get(model, 0.01))
            body[start + 3 * k : start + 3 * k + 3] = struct.pack(">BH", degrees < 0, size)
    body[-2:] = b"\x0f\xf0"
    return bytes(body)


def stamp(model: str, micro: int) -> bytes:
    if not model.startswith("RS-LiDAR"):
        return (BEGIN_S + micro // 1_000_000).to_bytes(6, "big") + struct.pack(">I", micro % 1_000_000)
    year, month, day, hour, minute, second = time.gmtime(BEGIN_S + micro // 1_000_000)[:6]
    rest = micro % 1_000_000
    return bytes([year - 2000, month, day, hour, minute, second]) + struct.pack(">HH", rest // 1000, rest % 1000)


def room(laser: int, azimuth_deg: float) -> float:
    """Metres; tells laser and azimuth apart."""
    return 5.0 + 0.5 * laser + 2.0 * math.cos(math.radians(azimuth_deg))


def msop(model: str, first: int, dual: bool = False, unit_m: float = 0.0025) -> tuple[float, bytes]:
    """When the packet of the firings from number `first` on is ready, in s, and its bytes.

    Dual: the second return lies 1 m behind the first, but of laser 3, whose returns are one.
    """
    lasers, old, period = lasers_of(model), model.startswith("RS-LiDAR"), PERIOD_US.get(model, 55.56)
    unit_m = 0.005 if old else unit_m
    body = b""
    for block in range(12):
        if lasers == 16:
            firings = [first + block] * 2 if dual else [first + 2 * block, first + 2 * block + 1]
        else:
            firings = [first + block // 2 if dual else first + block]
        body += b"\xff\xee" + struct.pack(">H", firings[0] * STEP % 36000)
        for half, firing in enumerate(firings):
            for laser in range(lasers):
                rotor = STEP / 100 * (firing + fired_us(model, laser) / period)
                again = dual and (half if lasers == 16 else block % 2) and laser != 3
                body += struct.pack(">HB", round((room(laser, rotor) + (1.0 if again else 0.0)) / unit_m), 3 * laser)
    head = bytearray(42)
    head[:8] = bytes.fromhex("55AA050A5AA550A0") if old else bytes.fromhex("55AA055A00010000")
    if old:
        head[30] = MARKS[model]
    else:
        head[17], head[31], head[32] = (1 if unit_m == 0.0025 else 0), 6, MARKS[model]
    micro = round(first * period)
    head[20:30] = stamp(model, micro)
    ready = BEGIN_S + micro * 1e-6 + span(model, dual) * period * 1e-6 + 0.0002
    return ready, bytes(head) + body + bytes(4) + b"\x00\xff"


def span(model: str, dual: bool) -> int:
    """Firings in a packet."""
    return (12 if lasers_of(model) == 32 else 24) // (2 if dual else 1)


def sweep(model: str, count: float, dual: bool = False, unit_m: float = 0.0025) -> Iterator[tuple[float, bytes]]:
    for number in range(math.ceil(count * 36000 / STEP / span(model, dual))):
        yield msop(model, number * span(model, dual), dual, unit_m)


def log_of(
    folder: Path, model: str, packets: list[tuple[float, bytes]], info: bytes | None, keys: str = ""
) -> tuple[Log, list[LidarScan]]:
    """The log of a capture, the DIFOP packet in its midst and to a port of its own."""
    path, whole = folder / "a.pcap", b""
    parts = [(packets[:50], 6699), ([(packets[:50][-1][0], info)], 7788) if info else ([], 7788), (packets[50:], 6699)]
    for part, port in parts:
        data = write_pcap(path, part, port).read_bytes()
        whole += data[24:] if whole else data
    path.write_bytes(whole)
    (folder / "a.toml").write_text(f'[lidar.top]\npcap = "a.pcap"\nmodel = "{model}"\n{keys}\n')
    log = open_log(folder / "a.toml")
    return log, [message for message in log.messages() if isinstance(message, LidarScan)]


def check(scan: LidarScan, model: str, angles: list[tuple[float, float]], dual: bool, atol: float = 0.006) -> None:
    """Each point lies where the beam of its laser met the room at the time that it bears."""
    order = sorted(range(len(angles)), key=lambda k: -angles[k][0])
    laser = np.asarray(order)[scan.ring]
    up, aside = np.radians(np.asarray(angles)[laser]).T
    np.testing.assert_allclose(scan.intensity, 3 * laser / 255, atol=1e-6)
    period = PERIOD_US.get(model, 55.56)
    rotor = np.radians(scan.offset_ns / 1000 / period * STEP / 100)  # both turns begin at 0 degrees
    metres = 5.0 + 0.5 * laser + 2.0 * np.cos(rotor)
    lens = LENS_M.get(model, 0.03498)
    off = np.inf
    for extra in (0.0, 1.0) if dual else (0.0,):
        far = metres + extra
        wanted = np.column_stack([
            far * np.cos(up) * np.cos(rotor + aside) + lens * np.cos(rotor),
            -far * np.cos(up) * np.sin(rotor + aside) - lens * np.sin(rotor),
            far * np.sin(up),
        ])  # fmt: skip
        off = np.minimum(off, np.linalg.norm(scan.xyz_m - wanted, axis=1))
    assert np.max(off) < atol


@pytest.mark.parametrize("model", EVERY)
@pytest.mark.parametrize("dual", [False, True])
def test_points_lie_where_the_room_is_at_the_time_that_they_bear(tmp_path: Path, model: str, dual: bool) -> None:
    sent = list(sweep(model, 2.2, dual))
    assert {len(data) for _, data in sent} == {1248}
    log, scans = log_of(tmp_path, model, sent, difop(model, dual))
    assert not log.refused
    assert not list(log.findings)
    lasers, firings = lasers_of(model), 36000 // STEP
    assert [len(s.xyz_m) for s in scans[:2]] == [firings * (2 * lasers - 1 if dual else lasers)] * 2
    for number, scan in enumerate(scans[:2]):
        turn_s = firings * PERIOD_US.get(model, 55.56) * 1e-6
        assert scan.header.capture_ns == pytest.approx((BEGIN_S + number * turn_s) * 1e9, abs=300_000)
        check(scan, model, own_angles(model), dual)


def test_firing_times_are_those_of_the_tables() -> None:
    helios, small = MODELS["RS-Helios-5515"].firing_us, MODELS["RS-Helios-16P"].firing_us
    assert [helios[k - 1] for k in (1, 2, 8, 17, 18, 19, 20, 32)] == [0, 1.57, 11.36, 26.53, 29.01, 27.77, 30.25, 45.15]
    assert [small[k - 1] for k in (1, 2, 5, 9, 10, 16)] == [0, 3.15, 13.26, 26.53, 27.77, 43.91]
    assert {len(model.firing_us) for model in MODELS.values()} == {16, 32}


def test_the_resolution_is_that_of_the_header(tmp_path: Path) -> None:
    model = "RS-Helios-5515"
    _, scans = log_of(tmp_path, model, list(sweep(model, 1.2, unit_m=0.005)), difop(model))
    check(scans[0], model, own_angles(model), False)


def test_without_difop_angles_are_nominal_and_said_so_or_refused(tmp_path: Path) -> None:
    model = "RS-LiDAR-16"
    log, scans = log_of(tmp_path, model, list(sweep(model, 1.2)), None)
    assert [(f.name, f.severity) for f in log.findings] == [("nominal-angles", "warning")]
    nominal = [(-15.0 + 2 * k if k < 8 else 15.0 - 2 * (k - 8), 0.0) for k in range(16)]
    check(scans[0], model, nominal, False)
    unset = bytearray(difop(model))
    unset[1165:1213] = b"\xff" * 48
    log, _ = log_of(tmp_path, model, list(sweep(model, 0.2)), bytes(unset))
    assert [f.name for f in log.findings] == ["nominal-angles"]
    for other in ("RS-Helios-5515", "RS-LiDAR-32"):
        with pytest.raises(LogError, match=r"no DIFOP packet with angles from the RS.*`angles`"):
            log_of(tmp_path, other, list(sweep(other, 0.2)), None)


def test_an_angle_file_goes_before_difop(tmp_path: Path) -> None:
    model = "RS-Helios-16P"
    angles = [(up - 0.3, aside + 0.2) for up, aside in own_angles(model)]
    (tmp_path / "angle.csv").write_text("".join(f"{up:.2f},{aside:.2f}\t\r\n" for up, aside in angles))
    log, scans = log_of(tmp_path, model, list(sweep(model, 1.2)), difop(model), 'angles = "angle.csv"')
    assert not list(log.findings)
    check(scans[0], model, angles, False)
    for text in ("1,2\n", "1\n" * 16, "1,x\n" * 16, "nan,1\n" * 16, "95,1\n" * 16):
        (tmp_path / "angle.csv").write_text(text)
        config = RoboSenseConfig("udp://0.0.0.0:6699", model=model, angles=tmp_path / "angle.csv")
        assert any("angle.csv" in fault for fault in faults_of(config))
        with pytest.raises(SetupError, match=r"angle\.csv"):
            RoboSense(config, lambda *_: None).prepare()


def test_difop_of_another_sensor_is_not_taken(tmp_path: Path) -> None:
    model = "RS-Helios-5515"
    path = write_pcap(tmp_path / "a.pcap", [(BEGIN_S, difop(model))], 7788)
    other = bytearray(path.read_bytes())
    other[24 + 16 + 14 + 12 + 3] = 77  # the sender's address
    path.write_bytes(bytes(other) + write_pcap(tmp_path / "b.pcap", sweep(model, 0.3), 6699).read_bytes()[24:])
    (tmp_path / "a.toml").write_text(f'[lidar.top]\npcap = "a.pcap"\nmodel = "{model}"\n')
    with pytest.raises(LogError, match="no DIFOP packet"):
        open_log(tmp_path / "a.toml")


def test_losses_and_disorder_and_damage_are_counted(tmp_path: Path) -> None:
    model = "RS-LiDAR-16"
    counts: Counter[str] = Counter()
    turn = turns(RoboSenseConfig("x", model=model), counts, difop(model))
    sent = [(seconds, data) for seconds, data in sweep(model, 3.0)]
    found = 0
    for number, (seconds, data) in enumerate(sent):
        if number not in (40, 41, 42, 100):
            found += sum(scan is not None for scan in turn.take(Packet(round(seconds * 1e9), data)))
        if number == 60:
            assert list(turn.take(Packet(round(seconds * 1e9), sent[58][1]))) == [None]
    assert found == 2
    assert counts == {"lost: missing packets": 4, "refused: out of order": 1}
    rng = random.Random(0)
    for seconds, data in sent * 4:
        broken = bytearray(data)
        for _ in range(rng.choice((0, 1, 30))):
            broken[rng.choice((rng.randrange(42), rng.randrange(len(data)), len(data) - 1))] = rng.randrange(256)
        for scan in turn.take(Packet(round(seconds * 1e9), bytes(broken[: rng.choice((len(data), len(data), 700))]))):
            assert scan is None or np.isfinite(scan.xyz_m).all()
    list(turn.finish())
    assert counts["refused: not of a RoboSense packet's size"] > 50
    assert counts["refused: damaged packet"] > 20


def test_other_models_and_old_firmware_are_refused(tmp_path: Path) -> None:
    for model, other in (("RS-LiDAR-16", "RS-LiDAR-32"), ("RS-Helios-5515", "RS-Helios-16P")):
        log, scans = log_of(tmp_path, model, list(sweep(other, 0.2)), None)
        assert not scans
        assert {reason for _, reason in log.refused} == {f"not from a {model}"}
    sent = list(sweep("RS-LiDAR-16", 0.3))
    log, scans = log_of(tmp_path, "RS-LiDAR-16", sent, difop("RS-LiDAR-16", firmware=b"\x00\x55\xaa\x5a\x00"))
    assert not scans
    assert {reason for _, reason in log.refused} == {"firmware of before 2018, whose distances are in cm"}
    with pytest.raises(LogError, match="did you mean 'RS-LiDAR-16'"):
        log_of(tmp_path, "RS-Lidar-16", sent, None)
    with pytest.raises(SetupError, match="known: RS-Helios-5515"):
        RoboSense(RoboSenseConfig("x", model="Ruby"), lambda *_: None).prepare()
    assert any("model" in fault for fault in faults_of(RoboSenseConfig("x.pcap", model="Ruby")))


def test_a_part_of_the_turn_without_points_is_no_loss() -> None:
    model = "RS-Helios-5515"
    info = bytearray(difop(model))
    info[32:36] = struct.pack(">HH", 0, 24000)
    counts: Counter[str] = Counter()
    turn, scans = turns(RoboSenseConfig("x", model=model), counts, bytes(info)), list[LidarScan]()
    for number in range(450):  # 100 packets of 12 firings, 2.4 degrees each, span what is seen of a turn
        seconds, data = msop(model, number // 100 * 1800 + number % 100 * 12)
        scans += [scan for scan in turn.take(Packet(round(seconds * 1e9), data)) if scan is not None]
    assert [len(scan.xyz_m) for scan in scans[:3]] == [1200 * 32] * 3
    assert not +counts
    check(scans[1], model, own_angles(model), False)


def test_a_jump_within_a_packet_takes_the_time_of_the_rotor() -> None:
    model = "RS-Helios-5515"
    turn = turns(RoboSenseConfig("x", model=model), Counter(), difop(model))
    early, late = msop(model, 0)[1], msop(model, 900)
    joined = bytearray(early)
    joined[42 + 700 : 42 + 1200] = late[1][42 + 700 : 42 + 1200]  # 7 firings, and 5 from half a turn later
    assert list(turn.take(Packet(round(late[0] * 1e9), bytes(joined)))) == [None]
    (scan,) = turn.finish()
    check(scan, model, own_angles(model), False)


@pytest.mark.parametrize("model", ["RS-Helios-16P", "RS-LiDAR-32"])
def test_a_live_driver_reads_a_file(tmp_path: Path, model: str) -> None:
    path = write_pcap(tmp_path / "a.pcap", [*sweep(model, 2.2), (BEGIN_S + 1, difop(model))], 6699)
    driver = RoboSense(RoboSenseConfig(str(path), model=model, real_time=False), lambda *_: None)
    scans = list(driver.messages(threading.Event()))
    assert [len(scan.xyz_m) for scan in scans[:2]] == [1800 * lasers_of(model)] * 2
    assert not +driver.counts
    check(scans[0], model, own_angles(model), False)


@pytest.mark.parametrize("told", [True, False])
def test_a_live_driver_learns_angles_from_the_sensor_alone(told: bool) -> None:
    model, port, info_port = "RS-LiDAR-16", free_port(), free_port()
    said: list[tuple[str, str]] = []
    config = RoboSenseConfig(f"udp://127.0.0.1:{port}", model=model, difop_port=info_port)
    driver = RoboSense(config, lambda state, text: said.append((state, text)))
    driver.prepare()
    stop, scans, packets = threading.Event(), list[LidarScan](), [data for _, data in sweep(model, 40)]

    def send() -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as lidar:
            while not stop.is_set():
                for number, data in enumerate(packets):
                    lidar.sendto(data, ("127.0.0.1", port))
                    if told and number % 100 == 50:
                        lidar.sendto(difop(model), ("127.0.0.1", info_port))
                    if stop.wait(0.0013):
                        return

    thread = threading.Thread(target=send)
    thread.start()
    for scan in driver.messages(stop):
        scans.append(scan)
        if len(scans) == 3:
            stop.set()
    thread.join()
    ups = np.degrees(np.arcsin(scans[-1].xyz_m[:, 2] / np.linalg.norm(scans[-1].xyz_m, axis=1)))
    top = ups[scans[-1].ring == 0].mean()
    assert top == pytest.approx(15.03 if told else 15.0, abs=0.15)
    assert ("nominal angles" in said[-1][1]) is not told
