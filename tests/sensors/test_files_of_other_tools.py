"""Files as other tools leave them: packets captured twice, frame numbers without zeros, formats that are not read."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import cv2
import numpy as np
import pytest
from pcap_files import write_pcap
from velodyne_packets import turns

from fusion_pipeline.cli.dispatch import run
from fusion_pipeline.logs.manifest_streams import by_numbers
from fusion_pipeline.logs.reader import LogError, open_log
from fusion_pipeline.logs.survey import surveyed
from fusion_pipeline.messages import CameraFrame, LidarScan
from fusion_pipeline.picture_file import pixels
from fusion_pipeline.sensors.pcap import TWICE_AMONG, TWICE_NS, Datagram, once

START = 1_700_000_000_000_000_000
RATE = f"start_ns = {START}\nrate_hz = 10"


def pictures(folder: Path, names: list[str], stamps: str = RATE, pattern: str = "front/*") -> Path:
    """A manifest of pictures of 24 x 32, each of them brighter than the one before."""
    (folder / "front").mkdir()
    for number, name in enumerate(names):
        encoded = cv2.imencode(".png", np.full((24, 32, 3), 10 + 5 * number, np.uint8))[1]
        (folder / "front" / name).write_bytes(encoded.tobytes())
    manifest = folder / "drive.toml"
    manifest.write_text(f'[camera.front]\npictures = "{pattern}"\n{stamps}\n')
    return manifest


def room(laser: int, azimuth_deg: float) -> float:
    """Metres; tells lasers apart."""
    return 5.0 + 0.5 * laser + azimuth_deg / 360


def datagram(number: int, stamp_ns: int) -> Datagram:
    return Datagram(stamp_ns, "192.168.1.201", 2368, bytes(1200) + number.to_bytes(4, "big"), 2368)


def test_packets_captured_twice_are_read_once(tmp_path: Path) -> None:
    """`tcpdump -i any` on a bridge: without this each scan would have every point twice, and nothing would say so."""
    sent = [(1.7e9 + at / 1e6, data) for at, data in turns(2.4, room)]
    write_pcap(tmp_path / "once.pcap", sent)
    write_pcap(tmp_path / "twice.pcap", ((at + k * 2e-5, data) for at, data in sent for k in (0, 1)))
    scans = {}
    for name in ("once", "twice"):
        manifest = tmp_path / f"{name}.toml"
        manifest.write_text(f'[lidar.top]\npcap = "{name}.pcap"\nmodel = "VLP-16"\n')
        log = open_log(manifest)
        scans[name] = [message for message in log.messages() if isinstance(message, LidarScan)]
        assert not log.refused
        found = [(item.name, item.count) for item in log.findings if item.name == "repeated-packets"]
        assert found == ([] if name == "once" else [("repeated-packets", len(sent))])
    assert len(scans["once"]) == len(scans["twice"]) > 1
    for one, two in zip(scans["once"], scans["twice"], strict=True):
        np.testing.assert_array_equal(one.xyz_m, two.xyz_m)


def test_copies_are_known_behind_packets_of_others_and_never_after_a_while() -> None:
    first, *others = (datagram(number, number * 1000) for number in range(TWICE_AMONG))
    counted = Counter[str]()
    copy = first._replace(stamp_ns=9000)
    late = first._replace(stamp_ns=TWICE_NS + 1)
    elsewhere = first._replace(port=2369)
    assert list(once([first, elsewhere, *others[1:], copy], counted)) == [first, elsewhere, *others[1:]]
    assert list(once([first, late], counted)) == [first, late]
    assert counted == {"packets captured twice": 1}


def test_packets_that_a_capture_lacks_are_lost_and_not_refused(tmp_path: Path) -> None:
    sent = [(1.7e9 + at / 1e6, data) for number, (at, data) in enumerate(turns(2.4, room)) if number != 40]
    write_pcap(tmp_path / "a.pcap", sent)
    (tmp_path / "a.toml").write_text('[lidar.top]\npcap = "a.pcap"\nmodel = "VLP-16"\n')
    found = [(item.name, item.detail, item.count) for item in surveyed(tmp_path / "a.toml").findings]
    assert ("lost", "missing packets", 1) in found
    assert not [name for name, _, _ in found if name == "refused"]


def test_pictures_come_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    """ffmpeg's %d.png has no zeros before its numbers: 10.png would come before 2.png."""
    log = open_log(pictures(tmp_path, [f"frame{number}.png" for number in range(1, 13)]))
    frames = [message for message in log.messages() if isinstance(message, CameraFrame)]
    values = [int(pixels(frame.data)[0, 0, 0]) for frame in frames]
    assert values == [10 + 5 * number for number in range(12)]


def test_names_are_sorted_by_all_of_their_numbers() -> None:
    names = ["b2", "a10.png", "a2.png", "a2_10.png", "a2_9.png", "0010", "9", "a", ""]
    assert sorted(names, key=by_numbers) == ["", "9", "0010", "a", "a2.png", "a2_9.png", "a2_10.png", "a10.png", "b2"]


@pytest.mark.parametrize(("head", "name"), [
    (b"RIFF\x10\0\0\0WEBPVP8 ", "WebP"), (b"II*\0\x08\0\0\0", "TIFF"), (b"MM\0*\0\0\0\x08", "TIFF"),
    (b"BM\x36\x24", "BMP"),
    (b"GIF89a\x01\0", "GIF"), (b"\0\0\0\x20ftypisom\0\0\x02\0", "video (MP4)"),
    (b"\x1a\x45\xdf\xa3\x01", "video (Matroska)"),
    (b"\0\0\0\x1cftypavif\0\0\0\0", "AVIF"), (b"P6\n32 24\n255\n", "PPM"),
])  # fmt: skip
def test_pictures_of_other_formats_are_named_and_not_called_damaged(tmp_path: Path, head: bytes, name: str) -> None:
    manifest = pictures(tmp_path, ["0.x", "1.x"])
    (tmp_path / "front" / "1.x").write_bytes(head + bytes(100))
    log = open_log(manifest)
    assert len(list(log.messages())) == 1
    assert log.refused == {("camera/front", f"{name} is not read; convert it to PNG or JPEG"): 1}


def test_what_is_no_picture_is_still_damage(tmp_path: Path) -> None:
    manifest = pictures(tmp_path, ["0.png", "1.png"])
    (tmp_path / "front" / "1.png").write_bytes(b"nothing of the kind" * 9)
    log = open_log(manifest)
    assert len(list(log.messages())) == 1
    assert log.refused == {("camera/front", "file damaged: neither a PNG nor a JPEG picture"): 1}


def test_seconds_are_not_taken_for_nanoseconds(tmp_path: Path) -> None:
    """1700000000.25.png in ns would be a time in 1970, 1.7 s after it began."""
    manifest = pictures(tmp_path, [f"{1_700_000_000 + k}.{25 * k + 10}.png" for k in range(3)], 'names = "ns"')
    with pytest.raises(LogError, match="no whole number of ns"):
        open_log(manifest)
    manifest.write_text(manifest.read_text().replace('"ns"', '"s"'))
    assert [m.header.capture_ns - START for m in open_log(manifest).messages()] == [
        k * 1_000_000_000 + (25 * k + 10) * 10_000_000 for k in range(3)
    ]


def test_pictures_of_several_sizes_are_found_without_a_lens(tmp_path: Path) -> None:
    manifest = pictures(tmp_path, [f"{number}.png" for number in range(6)])
    other = cv2.imencode(".png", np.full((48, 64, 3), 90, np.uint8))[1]
    (tmp_path / "front" / "3.png").write_bytes(other.tobytes())
    found = [item.text() for item in surveyed(manifest).findings if item.name == "picture-sizes"]
    assert len(found) == 1
    assert "of 6 pictures 5 are 32 x 24, 1 are 64 x 48" in found[0]


def test_a_table_of_messages_says_what_is_not_in_it(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("pyarrow")
    monkeypatch.chdir(tmp_path)
    manifest = pictures(tmp_path, ["0.png", "1.png"])
    assert run(["log", "export", str(manifest), "whole.parquet", "--as", "messages"]) == 0
    (tmp_path / "front" / "1.png").write_bytes(b"BM" + bytes(100))
    assert run(["log", "export", str(manifest), "part.parquet", "--as", "messages"]) == 3
    assert "part.parquet: 1 rows" in (said := capfd.readouterr().out)
    assert "error [refused] camera/front: BMP is not read; convert it to PNG or JPEG" in said
