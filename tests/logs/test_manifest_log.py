"""Packets, sound and pictures by a manifest."""

from __future__ import annotations

import struct
from pathlib import Path

import cv2
import numpy as np
import pytest
import soundfile

from fusion_pipeline.logs.reader import LogError, open_log
from fusion_pipeline.messages import AudioChunk, CameraFrame, LidarScan

START = 1_700_000_000_000_000_000
RIG = """name = "mine"
[audio.roof]
microphones_m = [[0.0, 0.0, 0.0]]
vehicle_from_sensor = { translation_m = [0.0, 0.0, 1.5] }
"""


def folder(path: Path, text: str = "") -> Path:
    """Five pictures, one second of sound, a manifest."""
    (path / "front").mkdir(parents=True)
    for k in range(5):
        cv2.imwrite(str(path / "front" / f"{1_700_000_000 + k}.{k}.jpg"), np.full((24, 32, 3), 10 * k, np.uint8))
    rng = np.random.default_rng(0)
    soundfile.write(path / "roof.wav", rng.integers(-9000, 9000, (16000, 2)).astype(np.int16), 16000, subtype="PCM_16")
    (path / "rig.toml").write_text(RIG)
    lines = ['rig = "rig.toml"', "[camera.front]", 'pictures = "front/*.jpg"', 'names = "s"', "delay_ms = 5",
             "[audio.roof]", 'sound = "roof.wav"', f"start_ns = {START}"]  # fmt: skip
    (path / "drive.toml").write_text(text or "\n".join(lines))
    return path / "drive.toml"


def test_pictures_and_sound_come_in_order_with_their_stamps(tmp_path: Path) -> None:
    log = open_log(folder(tmp_path / "d"))
    assert log.topics == ("camera/front", "audio/roof")
    assert log.rig.name == "mine"
    messages = list(log.messages())
    arrivals = [m.header.arrival_ns for m in messages]
    assert arrivals == sorted(arrivals)
    assert (log.start_ns, log.end_ns) == (arrivals[0], arrivals[-1])
    frames = [m for m in messages if isinstance(m, CameraFrame)]
    assert [f.header.capture_ns for f in frames] == [START + k * 1_100_000_000 for k in range(5)]
    assert {(f.encoding, f.height_px, f.width_px) for f in frames} == {("jpeg", 24, 32)}
    chunks = [m for m in messages if isinstance(m, AudioChunk)]
    true, rate = soundfile.read(tmp_path / "d" / "roof.wav", dtype="int16")
    np.testing.assert_array_equal(np.concatenate([c.pcm for c in chunks]), true)
    assert [c.header.capture_ns for c in chunks] == [START + k * 20_000_000 for k in range(50)]
    assert chunks[0].rate_hz == rate


def test_a_part_is_jumped_to(tmp_path: Path) -> None:
    log = open_log(folder(tmp_path / "d"))
    every = list(log.messages())
    low, high = START + 500_000_000, START + 2_000_000_000
    part = [m.header for m in log.messages(low, high)]
    assert part == [m.header for m in every if low <= m.header.arrival_ns < high]
    assert len(list(log.messages(topics=("camera/front",)))) == 5


def test_an_ouster_capture_and_its_metadata(tmp_path: Path, data_root: Path) -> None:
    source = data_root / "ouster"
    text = (
        f'[lidar.top]\npcap = "{source / "OS-1-32-G_v2.1.1_1024x10.pcap"}"\n'
        f'metadata = "{source / "OS-1-32-G_v2.1.1_1024x10.json"}"\n'
    )
    log = open_log(folder(tmp_path / "d", text))
    scans = [m for m in log.messages() if isinstance(m, LidarScan)]
    assert [len(scan.xyz_m) for scan in scans] == [27_310]  # the published number of ranges that are not 0
    assert log.start_ns <= scans[0].header.arrival_ns <= log.end_ns


@pytest.mark.parametrize(("text", "said"), [
    ("", "names no sensor"),
    ("[radar.front]\n", "key 'radar' is unknown"),
    ("camera = 3\n", r"write \[camera.NAME\]"),
    ("[camera.a]\npictures = \"front/*.jpg\"\n", "lacks 'rate_hz'"),
    ("[camera.a]\npictures = \"front/*.png\"\nnames = \"ns\"\n", "no picture is named"),
    ("[camera.a]\npictures = \"front/*.jpg\"\nnames = \"years\"\n", "'years' is unknown"),
    ("[camera.a]\npictures = \"front/*.jpg\"\nstamps = \"rig.toml\"\n", "stamps for 5 pictures"),
    ("[camera.a]\npictures = \"front/*.jpg\"\nspeed = 1\n", "key 'speed' is unknown"),
    ("[audio.a]\nsound = \"none.wav\"\nstart_ns = 1\n", "does not exist"),
    ("[audio.a]\nsound = \"rig.toml\"\nstart_ns = 1\n", "no sound file"),
    ("[lidar.a]\npcap = \"rig.toml\"\nmodel = \"VLP-16\"\n", "no pcap file"),
    ("[lidar.a]\npcap = \"bad.pcap\"\nmodel = \"VLP-16\"\n", "no UDP packet"),
    ("rig = \"front\"\n[audio.a]\nsound = \"roof.wav\"\nstart_ns = 1\n", "cannot be read"),
    ("x = = 1", "cannot be read"),
])  # fmt: skip
def test_what_is_wrong_is_said(tmp_path: Path, text: str, said: str) -> None:
    path = folder(tmp_path / "d", text or "name_nothing = 1" * 0 + "\n")
    (tmp_path / "d" / "bad.pcap").write_bytes(struct.pack("<IHHIIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 1))
    with pytest.raises(LogError, match=said):
        open_log(path)


def test_damage_is_counted_and_passed_over(tmp_path: Path) -> None:
    path = folder(tmp_path / "d")
    pictures = sorted((tmp_path / "d" / "front").glob("*.jpg"))
    pictures[0].write_bytes(b"no picture")
    log = open_log(path)
    pictures[1].unlink()
    data = (tmp_path / "d" / "roof.wav").read_bytes()
    (tmp_path / "d" / "roof.wav").write_bytes(data[: len(data) // 2])
    messages = list(log.messages())
    assert sum(isinstance(m, CameraFrame) for m in messages) == 3
    assert sum(len(m.pcm) for m in messages if isinstance(m, AudioChunk)) == pytest.approx(8000, abs=50)
    assert log.refused["camera/front", "file damaged: neither a PNG nor a JPEG picture"] == 1
    assert log.refused["camera/front", "file missing"] == 1
    assert log.refused["audio/roof", "cut off"] == 1


@pytest.mark.parametrize(("text", "said"), [
    ("[lidar.a]\npcap = \"a.pcap\"\nmodel = \"VLP-16\"\nsendr = \"10.0.0.1\"\n", "did you mean 'sender'"),
    ("[lidar.a]\npcap = \"a.pcap\"\nmodel = \"VLP-16\"\nsender = \"here\"\n", "no IP address"),
    ("[lidar.a]\npcap = \"a.pcap\"\nmodel = \"VLP-16\"\nport = 99999\n", "not within 1 to 65535"),
    ("[lidar.a]\npcap = \"a.pcap\"\nmodel = \"VLP-16\"\nport = true\n", "no whole number"),
    ("[lidar.a]\npcap = \"front\"\nmodel = \"VLP-16\"\n", "is no file"),
    ("[lidar.a]\npcap = [1]\nmodel = \"VLP-16\"\n", "is no text"),
    ("[camera.a]\npictures = \"front/*.jpg\"\nrate_hz = -10\nstart_ns = 1\n", "not above 0"),
    ("[camera.a]\npictures = \"front/*.jpg\"\nrate_hz = nan\nstart_ns = 1\n", "not above 0"),
    ("[camera.a]\npictures = \"front/*.jpg\"\nrate_hz = 10\nstart_ns = -1\n", "not within"),
    ("[camera.a]\npictures = \"front/*.jpg\"\nrate_hz = 10\nstart_ns = 1.5\n", "no whole number"),
    ("[camera.a]\npictures = \"/etc/*\"\nrate_hz = 10\nstart_ns = 1\n", "no pattern"),
    ("[camera.a]\npictures = \"front/*.jpg\"\nrate_hz = 10\nstart_ns = 1\ndelay_ms = \"5\"\n", "no number"),
    ("[audio.a]\nsound = \"roof.wav\"\nstart_ns = 1\ndelay_ms = inf\n", "not within"),
    ("rig = 3\n[audio.a]\nsound = \"roof.wav\"\nstart_ns = 1\n", "path of a rig file"),
    ("[audio.a]\nsound = \"roof.wav\"\nstart_ns = 999999999999999999999999\n", "within|cannot be read"),
])  # fmt: skip
def test_values_of_wrong_type_sign_or_size_are_one_line(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(LogError, match=said) as caught:
        open_log(folder(tmp_path / "d", text))
    assert "\n" not in str(caught.value)


def test_sound_that_does_not_fit_its_header_is_said(tmp_path: Path) -> None:
    path = folder(tmp_path / "d")
    sound = tmp_path / "d" / "roof.wav"
    data = bytearray(sound.read_bytes())
    struct.pack_into("<I", data, data.index(b"data") + 4, 4 * 8000)
    sound.write_bytes(data)
    log = open_log(path)
    assert {f.name for f in log.findings} == {"longer-than-header"}
    assert sum(len(m.pcm) for m in log.messages() if isinstance(m, AudioChunk)) == 16000
    soundfile.write(sound, np.full((16000, 1), 1.5), 16000, subtype="FLOAT")
    log = open_log(path)
    assert {int(m.pcm.max()) for m in log.messages() if isinstance(m, AudioChunk)} == {32767}
    assert {(f.name, f.count) for f in log.findings} == {("clipped-sound", 16000)}
