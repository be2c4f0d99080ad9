"""Packets with broken bytes: no driver ends, hangs or gives points that are no numbers; captures and manifests too."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pcap_files import write_pcap
from velodyne_packets import turns as velodyne_packets

from fusion_pipeline.logs.reader import LogError, open_log
from fusion_pipeline.sensors.packets import Packet
from fusion_pipeline.sensors.pcap import datagrams
from fusion_pipeline.sensors.retry import SetupError

VALUES = (0, 255, 128, 1, None)  # None: any


def broken(data: bytes, rng: random.Random) -> bytes:
    """Every third packet with some bytes changed, every twentieth cut."""
    found = bytearray(data)
    if rng.random() < 0.3:
        for _ in range(rng.choice((1, 4, 40))):
            at = rng.choice((rng.randrange(min(64, len(data))), rng.randrange(len(data)), len(data) - 1))
            value = rng.choice(VALUES)
            found[at] = rng.randrange(256) if value is None else value
    return bytes(found[: rng.randrange(len(found))] if rng.random() < 0.05 else found)


def scans_of(turn: Any, packets: Iterator[Packet]) -> int:
    count = 0
    for packet in packets:
        made = turn.take(packet)
        for scan in made if isinstance(made, Iterator) else (made,):
            if scan is not None:
                count += 1
                assert np.isfinite(scan.xyz_m).all()
                assert 0 <= scan.duration_ns < 4_000_000_000
                assert (scan.offset_ns >= 0).all()
    return count


def test_velodyne() -> None:
    pytest.importorskip("velodyne_decoder")
    from fusion_pipeline.sensors.velodyne import VelodyneConfig, turns

    counts, rng = Counter[str](), random.Random(0)
    sent = list(velodyne_packets(6, lambda laser, _: 5.0 + laser))
    turn = turns(VelodyneConfig("x"), counts)
    packets = (Packet(10**18 + round(us * 1000), broken(data, rng)) for us, data in sent * 3)
    assert scans_of(turn, packets) >= 4
    assert counts


def test_ouster(data_root: Path) -> None:
    pytest.importorskip("ouster.sdk")
    from fusion_pipeline.sensors.ouster import OusterConfig, turns

    source, counts, rng = data_root / "ouster", Counter[str](), random.Random(0)
    sent = list(datagrams(source / "OS-1-32-G_v2.1.1_1024x10.pcap"))
    turn = turns(OusterConfig("x"), (source / "OS-1-32-G_v2.1.1_1024x10.json").read_text(), counts)
    packets = (Packet(d.stamp_ns + k * 10**8, broken(d.payload, rng)) for k in range(30) for d in sent)
    assert scans_of(turn, packets) >= 1
    assert counts["lost: missing packets"] < 10_000
    assert counts["refused: stamps that no clock can have"] > 10


def test_captures_with_broken_bytes(tmp_path: Path) -> None:
    path = write_pcap(tmp_path / "a.pcap", [(1.7e9 + k, bytes(700)) for k in range(20)], mtu=200)
    whole, rng = path.read_bytes(), random.Random(0)
    for _ in range(1500):
        found = bytearray(whole)
        for _ in range(rng.choice((1, 5, 50))):
            found[rng.choice((rng.randrange(24), rng.randrange(200), rng.randrange(len(whole))))] = rng.randrange(256)
        path.write_bytes(found[: rng.choice((len(found), rng.randrange(len(found))))])
        try:
            assert sum(len(d.payload) for d in datagrams(path)) <= 2 * len(whole)
        except SetupError as error:
            assert "\n" not in str(error)  # noqa: PT017


def test_manifests_with_broken_text(tmp_path: Path) -> None:
    import soundfile

    soundfile.write(tmp_path / "a.wav", np.zeros((800, 2)), 16000)
    text = '[audio.roof]\nsound = "a.wav"\nstart_ns = 1700000000000000000\ndelay_ms = 1.5\n'
    path, rng, refused = tmp_path / "a.toml", random.Random(0), 0
    pieces = ("[", "]", "=", '"', "\n", "nan", "-", "1e999", "{", "'", "9" * 400, "\0", "inf", "[[audio]]", "rig = 1\n")
    for _ in range(600):
        at = rng.randrange(len(text))
        path.write_text(text[:at] + rng.choice(pieces) + text[at + rng.choice((0, 1, 9)) :])
        try:
            assert list(open_log(path).messages())
        except LogError as error:
            refused += 1
            assert "\n" not in str(error)  # noqa: PT017
    assert refused > 300
