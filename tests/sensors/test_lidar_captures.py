"""Captures named by a manifest: several LiDARs in one, and what of a capture is not read."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from pcap_files import write_pcap
from velodyne_packets import turns

from fusion_pipeline.logs.reader import Log, LogError, open_log
from fusion_pipeline.messages import LidarScan

pytest.importorskip("velodyne_decoder")


def two_lidars(path: Path, together: bool = True) -> Path:
    """A capture of two VLP-16 at one address that send to two ports, the second by far nearer to its walls."""
    packets = []
    for port, metres in ((2368, 20.0), (2369, 5.0)):
        later = 0.0 if together or port == 2368 else 10.0
        for device_us, data in turns(1.5, lambda _, __, metres=metres: metres):
            packets.append((1_700_000_000 + later + device_us * 1e-6, data, port))
    with path.open("wb") as file:
        for k, (seconds, data, port) in enumerate(sorted(packets)):
            one = write_pcap(path.with_suffix(".one"), [(seconds, data)], port).read_bytes()
            file.write(one[24:] if k else one)
    return path


def scans_of(path: Path, keys: str) -> tuple[Log, list[LidarScan]]:
    path.with_suffix(".toml").write_text(f'[lidar.top]\npcap = "{path.name}"\nmodel = "VLP-16"\n{keys}\n')
    log = open_log(path.with_suffix(".toml"))
    return log, [m for m in log.messages() if isinstance(m, LidarScan)]


def test_two_lidars_in_one_capture_are_never_mixed(tmp_path: Path) -> None:
    path = two_lidars(tmp_path / "two.pcap")
    for keys, metres in (("", 20.0), ("port = 2368", 20.0), ("port = 2369", 5.0)):
        log, scans = scans_of(path, keys)
        for scan in scans:
            np.testing.assert_allclose(np.linalg.norm(scan.xyz_m, axis=1), metres, atol=0.2)
        assert sum(len(scan.xyz_m) for scan in scans) > 35_000
        assert [f.name for f in log.findings if f.severity == "error"] == ([] if keys else ["mixed-senders"])
        assert not log.refused
    log, _ = scans_of(path, "")
    assert "2369" in next(iter(log.findings)).detail
    with pytest.raises(LogError, match="no UDP packet to port 2370"):
        scans_of(path, "port = 2370")
    with pytest.raises(LogError, match=r"no UDP packet from 10\.0\.0\.1"):
        scans_of(path, 'sender = "10.0.0.1"')


def test_what_a_capture_holds_that_is_not_read_is_named(tmp_path: Path) -> None:
    path = two_lidars(tmp_path / "two.pcap")
    radio = bytearray(path.read_bytes())
    radio[20] = 105
    path.write_bytes(radio)
    with pytest.raises(LogError, match=r"could be read: .* of link type IEEE802_11"):
        scans_of(path, "")


def test_a_lidar_that_was_started_anew_is_one(tmp_path: Path) -> None:
    path = two_lidars(tmp_path / "two.pcap", together=False)
    log, scans = scans_of(path, "port = 2368")
    for scan in scans:
        np.testing.assert_allclose(np.linalg.norm(scan.xyz_m, axis=1), 20.0, atol=0.2)
    assert not [f for f in log.findings if f.severity == "error"]
