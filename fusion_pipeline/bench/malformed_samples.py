"""Small sound inputs of every kind that users bring, each with the files that may be changed.

Layouts as their formats' owners publish them: rosbag2's storage of SQLite and its metadata.yaml, libpcap's capture
format, the manuals of Velodyne (63-9243) and Hesai.
"""

from __future__ import annotations

import sqlite3
import struct
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path

import numpy as np

from fusion_pipeline.bench.wire import samples
from fusion_pipeline.logs.mcap_writer import McapWriter
from fusion_pipeline.messages import Lap, LogTime, SensorSet

SECOND = 1_000_000_000
START = 1_700_000_000 * SECOND


def written(path: Path, data: bytes | str) -> Path:
    """`path` with this content, its folders made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    return path


def picture(path: Path, width: int = 24, height: int = 16) -> Path:
    """A PNG or JPEG file of a slope."""
    import cv2

    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(
        str(path),
        np.add.outer(np.arange(height) * 5, np.arange(width)).astype(np.uint8).repeat(3).reshape(height, width, 3),
    )
    return path


def points(count: int, columns: int = 4) -> bytes:
    """Rows x, y, z, intensity, and more, as float32."""
    return np.random.default_rng(0).normal(0, 10, (count, columns)).astype(np.float32).tobytes()


def own_mcap(folder: Path) -> Path:
    """A log of our own with every sensor and every result."""
    path = folder / "own.mcap"
    with McapWriter(path, compression="none") as writer:
        for _ in range(2):
            for message in samples():
                if not isinstance(message, (SensorSet, Lap, LogTime)):
                    writer.write(message)
    return path


def sounds(folder: Path) -> Path:
    """A WAV and a FLAC with their manifest."""
    import soundfile

    tone = (np.sin(np.arange(800)[:, None] / 9) * [9000, 7000]).astype(np.int16)
    for name, form in (("a.wav", "PCM_16"), ("b.flac", "PCM_16"), ("c.wav", "FLOAT"), ("d.w64", "PCM_24")):
        soundfile.write(folder / name, tone, 8000, form)
    text = "".join(
        f'[audio.{name[0]}]\nsound = "{name}"\nstart_ns = {START}\n' for name in ("a.wav", "b.flac", "c.wav", "d.w64")
    )
    return written(folder / "sound.toml", text)


def pictures(folder: Path) -> Path:
    """JPEG and PNG files with their manifest and rig."""
    for k in range(2):
        picture(folder / f"front/{1000 + 50 * k}.jpg")
        picture(folder / f"rear/{1000 + 50 * k}.png")
    written(folder / "rig.toml", RIG)
    text = '[camera.front]\npictures = "front/*.jpg"\nnames = "ms"\n'
    text += '[camera.rear]\npictures = "rear/*.png"\nstart_ns = 1\nrate_hz = 10.0\n'
    return written(folder / "pictures.toml", 'rig = "rig.toml"\n' + text)


RIG = """name = "sample"

[lidar.top]
vehicle_from_sensor = { translation_m = [0, 0, 1.73], rotation = [[1, 0, 0], [0, 1, 0], [0, 0, 1.0]] }

[camera.front]
model = "pinhole"
width_px = 24
height_px = 16
matrix = [[20.0, 0.0, 12.0], [0.0, 20.0, 8.0], [0.0, 0.0, 1.0]]
distortion = [0.1, 0.0, 0.0, 0.0, 0.0]
vehicle_from_sensor = { translation_m = [0.27, 0.06, 1.65], rotation = [[0, 0, 1.0], [-1.0, 0, 0], [0, -1.0, 0]] }

[camera.left]
model = "fisheye"
width_px = 24
height_px = 16
matrix = [[10.0, 0.0, 12.0], [0.0, 10.0, 8.0], [0.0, 0.0, 1.0]]
distortion = [0.02, -0.005, 0.0, 0.0]
vehicle_from_sensor = { translation_m = [0.6, 0.9, 1.3], rotation = [[1.0, 0, 0], [0, 0, 1.0], [0, -1.0, 0]] }

[audio.roof]
microphones_m = [[0.1, 0.1, 0.0], [0.1, -0.1, 0.0], [-0.1, -0.1, 0.0], [-0.1, 0.1, 0.0]]
vehicle_from_sensor = { translation_m = [0.0, 0.0, 1.8] }
"""


def capture(path: Path, timed: Iterable[tuple[int, bytes]], port: int) -> Path:
    """A pcap of (ns, UDP payload) in Ethernet and IPv4."""
    data = [struct.pack("<IHHiIII", 0xA1B23C4D, 2, 4, 0, 0, 65535, 1)]
    for at, payload in timed:
        head = struct.pack(
            ">BBHHHBBH4s4s", 0x45, 0, 28 + len(payload), 0, 0, 64, 17, 0, b"\xc0\xa8\x01\xc9", b"\xc0\xa8\x01\x46"
        )
        frame = bytes(12) + b"\x08\x00" + head + struct.pack(">HHHH", port, port, 8 + len(payload), 0) + payload
        data += [struct.pack("<IIII", at // SECOND, at % SECOND, len(frame), len(frame)), frame]
    return written(path, b"".join(data))


def velodyne(folder: Path) -> Path:
    """A turn and a bit of a VLP-16 in coarse steps."""
    blocks, packets = 90, []
    for k in range(0, blocks * 12 + 24, 12):
        body = b"".join(
            struct.pack("<HH", 0xEEFF, (k + n) * 36000 // (blocks * 12) % 36000) + struct.pack("<HB", 4000, 9) * 32
            for n in range(12)
        )
        packets.append((START + k * 100_000, body + struct.pack("<IBB", k * 100, 0x37, 0x22)))
    capture(folder / "vlp.pcap", packets, 2368)
    return written(folder / "vlp.toml", '[lidar.top]\npcap = "vlp.pcap"\nmodel = "VLP-16"\nport = 2368\n')


def hesai(folder: Path) -> Path:
    """A turn and a bit of a PandarXT-16 in coarse steps."""
    packets = []
    for k in range(70):
        body = b"".join(
            struct.pack("<H", (k * 8 + n) * 72 % 36000) + struct.pack("<HBB", 2000, 9, 0) * 16 for n in range(8)
        )
        head = bytes([0xEE, 0xFF, 6, 1, 0, 0, 16, 8, 1, 4, 2, 1])
        tail = bytes(10) + b"\x37" + struct.pack("<H", 600) + bytes([123, 11, 14, 22, 13, 20])
        packets.append((START + k * 1_400_000, head + body + tail + struct.pack("<IBI", k * 1400, 0x42, k)))
    capture(folder / "xt.pcap", packets, 2368)
    rows = "".join(f"{n + 1},{15 - 2 * n},0\n" for n in range(16))
    written(folder / "xt.csv", "Channel,Elevation,Azimuth\n" + rows)
    return written(folder / "xt.toml", '[lidar.top]\npcap = "xt.pcap"\nmodel = "PandarXT-16"\nangles = "xt.csv"\n')


def ouster(folder: Path) -> Path:
    """A turn of an Ouster whose metadata is the library's default."""
    from ouster.sdk import core

    info = core.SensorInfo.from_default(core.LidarMode(512, 10))
    frame = core.LidarFrame(info)
    frame.timestamp[:] = START + np.arange(512, dtype=np.uint64) * 195_000
    frame.status[:] = 1
    frame.measurement_id[:] = np.arange(512)
    packets = [
        (START + k, bytes(p.buf))
        for k, p in enumerate(core.frame_to_packets(frame, core.PacketFormat.from_info(info), 0, 0))
    ]
    capture(folder / "os.pcap", packets, 7502)
    written(folder / "os.json", info.to_json_string())
    return written(folder / "os.toml", '[lidar.top]\npcap = "os.pcap"\nmetadata = "os.json"\n')


def ros_database(folder: Path) -> Path:
    """A ROS 2 bag: a database with its metadata.yaml."""
    from fusion_pipeline.bench.malformed_ros import DISTRIBUTION, ros_messages

    path = folder / "bag" / "bag_0.db3"
    path.parent.mkdir()
    stored = ros_messages("ros2")
    kinds = {topic: kind for topic, kind, _, _ in stored}
    with closing(sqlite3.connect(path)) as base:
        base.executescript(
            "CREATE TABLE topics(id INTEGER PRIMARY KEY, name TEXT, type TEXT, serialization_format TEXT,"
            " offered_qos_profiles TEXT);"
            "CREATE TABLE messages(id INTEGER PRIMARY KEY, topic_id INTEGER, timestamp INTEGER, data BLOB);"
            "CREATE TABLE message_definitions(id INTEGER PRIMARY KEY, topic_type TEXT, encoding TEXT,"
            " encoded_message_definition TEXT, type_description_hash TEXT);"
        )
        for number, (topic, kind) in enumerate(kinds.items(), 1):
            base.execute("INSERT INTO topics VALUES (?, ?, ?, 'cdr', '')", (number, topic, kind))
        for kind, text in {kind: text for _, kind, _, text in stored}.items():
            base.execute("INSERT INTO message_definitions VALUES (NULL, ?, 'ros2msg', ?, '')", (kind, text))
        for k, (topic, _, data, _) in enumerate(stored):
            row = [*kinds].index(topic) + 1, START + k * 10_000_000, data
            base.execute("INSERT INTO messages VALUES (NULL, ?, ?, ?)", row)
        base.commit()
    topics = "".join(
        f"    - topic_metadata:\n        name: {topic}\n        type: {kind}\n        serialization_format: cdr\n"
        f"        offered_qos_profiles: ''\n      message_count: 2\n" for topic, kind in kinds.items()
    )  # fmt: skip
    written(path.with_name("metadata.yaml"),
            "rosbag2_bagfile_information:\n  version: 5\n  storage_identifier: sqlite3\n"
            f"  duration:\n    nanoseconds: 1000\n  starting_time:\n    nanoseconds_since_epoch: {START}\n"
            f"  message_count: {len(stored)}\n  topics_with_message_count:\n{topics}  compression_format: ''\n"
            "  compression_mode: ''\n  relative_file_paths:\n    - bag_0.db3\n"
            f"  ros_distro: {DISTRIBUTION}\n")  # fmt: skip
    return path.parent
