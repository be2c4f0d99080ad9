"""Small sound inputs of every kind that users bring, each with the files that may be changed.

Layouts as their formats' owners publish them: KITTI's development kits, nuScenes 1.0, Argoverse 2, rosbag2's storage of
SQLite and its metadata.yaml, libpcap's capture format, the manuals of Velodyne (63-9243) and Hesai.
"""

from __future__ import annotations

import json
import sqlite3
import struct
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np

from fusion_pipeline.bench.wire import samples
from fusion_pipeline.logs.mcap_writer import McapWriter
from fusion_pipeline.messages import CameraFrame, Health, Lap, LogTime, SensorSet

SECOND = 1_000_000_000
START = 1_700_000_000 * SECOND
P2, TR = "700 0 600 35 0 700 180 0 0 0 1 0", "0 -1 0 0 0 0 -1 -0.08 1 0 0 -0.27"
OXTS = " ".join(["49.0", "8.0", "110", "0", "0", "0", "0", "0", "8.0", "0", "0", "0", "0", "9.8"] + ["0"] * 16) + "\n"
LABEL = "Car 0 0 -1.5 100 100 200 200 1.5 1.6 4.0 2.0 1.6 20.0 0.3\n"


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
    assert Health
    assert CameraFrame
    return path


def kitti_raw(folder: Path) -> Path:
    """A drive of two frames with oxts and tracklets."""
    written(folder / "calib_cam_to_cam.txt", f"S_rect_02: 24 16\nR_rect_00: 1 0 0 0 1 0 0 0 1\nP_rect_02: {P2}\n")
    written(folder / "calib_velo_to_cam.txt", "R: 0 -1 0 0 0 -1 1 0 0\nT: 0 -0.08 -0.27\n")
    written(folder / "calib_imu_to_velo.txt", "R: 1 0 0 0 1 0 0 0 1\nT: -0.8 0.3 -0.8\n")
    drive = folder / "drive_sync"
    for name in ("velodyne_points", "image_02", "oxts"):
        written(drive / name / "timestamps.txt", "".join(f"2011-09-26 12:00:00.{k}50000000\n" for k in range(2)))
    for k in range(2):
        written(drive / f"velodyne_points/data/{k:010d}.bin", points(40))
        picture(drive / f"image_02/data/{k:010d}.png")
        written(drive / f"oxts/data/{k:010d}.txt", OXTS)
    pose = "<item><tx>10</tx><ty>1</ty><tz>-1</tz><rz>0.1</rz><occlusion>0</occlusion></item>"
    item = f"<item><objectType>Car</objectType><h>1.5</h><w>1.6</w><l>4</l><first_frame>0</first_frame><poses>{pose * 2}</poses></item>"
    written(drive / "tracklet_labels.xml", f"<boost_serialization><tracklets>{item}</tracklets></boost_serialization>")
    return drive


def kitti_object(folder: Path) -> Path:
    """Two frames with labels."""
    root = folder / "training"
    for k in range(2):
        written(root / f"velodyne/{k:06d}.bin", points(40))
        picture(root / f"image_2/{k:06d}.png")
        written(root / f"label_2/{k:06d}.txt", LABEL * 2)
        rows = [f"P{n}: {P2}" for n in range(4)] + [
            "R0_rect: 1 0 0 0 1 0 0 0 1",
            f"Tr_velo_to_cam: {TR}",
            f"Tr_imu_to_velo: {TR}",
        ]
        written(root / f"calib/{k:06d}.txt", "\n".join(rows) + "\n")
    return root


def kitti_tracking(folder: Path) -> Path:
    """A sequence of two frames."""
    root = folder / "training"
    for k in range(2):
        written(root / f"velodyne/0000/{k:06d}.bin", points(40))
        picture(root / f"image_02/0000/{k:06d}.png")
    rows = [f"P{n}: {P2}" for n in range(4)] + ["R_rect 1 0 0 0 1 0 0 0 1", f"Tr_velo_cam {TR}", f"Tr_imu_velo {TR}"]
    written(root / "calib/0000.txt", "\n".join(rows) + "\n")
    written(root / "label_02/0000.txt", "".join(f"{k} 7 {LABEL}" for k in range(2)))
    written(root / "oxts/0000.txt", OXTS * 2)
    return root / "0000"


def kitti_odometry(folder: Path) -> Path:
    """A sequence of two frames with poses."""
    path = folder / "sequences" / "00"
    for k in range(2):
        written(path / f"velodyne/{k:06d}.bin", points(40))
        picture(path / f"image_2/{k:06d}.png")
    written(path / "calib.txt", "\n".join([*(f"P{n}: {P2}" for n in range(4)), f"Tr: {TR}"]) + "\n")
    written(path / "times.txt", "0.000000e+00\n1.000000e-01\n")
    written(folder / "poses/00.txt", "".join(f"1 0 0 0 0 1 0 0 0 0 1 {k}\n" for k in range(2)))
    return path


def nuscenes(folder: Path) -> Path:
    """A scene of two key frames with a car."""
    tables: dict[str, list[dict[str, Any]]] = {
        "scene": [{"token": "s", "log_token": "l", "nbr_samples": 2, "first_sample_token": "0", "last_sample_token": "1",
                   "name": "scene-0061", "description": ""}],
        "sample": [], "sample_data": [], "ego_pose": [], "sample_annotation": [],
        "instance": [{"token": "i", "category_token": "car", "nbr_annotations": 2, "first_annotation_token": "0",
                      "last_annotation_token": "1"}],
        "category": [{"token": "car", "name": "vehicle.car", "description": ""}],
        "sensor": [{"token": "L", "channel": "LIDAR_TOP", "modality": "lidar"},
                   {"token": "C", "channel": "CAM_FRONT", "modality": "camera"}],
        "calibrated_sensor": [
            {"token": "L", "sensor_token": "L", "translation": [0.9, 0, 1.8], "rotation": [1, 0, 0, 0], "camera_intrinsic": []},
            {"token": "C", "sensor_token": "C", "translation": [1.7, 0, 1.5], "rotation": [0.5, -0.5, 0.5, -0.5],
             "camera_intrinsic": [[20, 0, 12], [0, 20, 8], [0, 0, 1]]}],
    }  # fmt: skip
    for k in range(2):
        stamp, near = 1_532_402_927_647_951 + k * 500_000, {"prev": str(k - 1) if k else "", "next": "" if k else "1"}
        tables["sample"].append({"token": str(k), "timestamp": stamp, "scene_token": "s", **near})
        tables["sample_annotation"].append({
            "token": str(k), "sample_token": str(k), "instance_token": "i", "visibility_token": "4",
            "attribute_tokens": [], "translation": [100.0, 220, 1], "size": [2, 4, 1.5], "rotation": [1, 0, 0, 0],
            "num_lidar_pts": 10, "num_radar_pts": 0, **near})  # fmt: skip
        for sensor, channel, kind in (("L", "LIDAR_TOP", "pcd.bin"), ("C", "CAM_FRONT", "jpg")):
            token, name = f"{k}{sensor}", f"samples/{channel}/{k}.{kind}"
            tables["ego_pose"].append(
                {"token": token, "timestamp": stamp, "rotation": [1, 0, 0, 0], "translation": [k, 2, 0]}
            )
            tables["sample_data"].append({
                "token": token, "sample_token": str(k), "ego_pose_token": token, "calibrated_sensor_token": sensor,
                "timestamp": stamp, "fileformat": kind, "is_key_frame": True, "height": 16 * (sensor == "C"),
                "width": 24 * (sensor == "C"), "filename": name, **near})  # fmt: skip
            if sensor == "L":
                written(folder / name, points(40, 5))
            else:
                picture(folder / name)
    for name, table in tables.items():
        written(folder / f"v1.0-mini/{name}.json", json.dumps(table))
    return folder / "v1.0-mini"


def argoverse2(folder: Path) -> Path:
    """A log of two sweeps with a car."""
    import pyarrow
    from pyarrow import feather

    def put(name: str, **columns: Any) -> None:
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        feather.write_feather(pyarrow.table(columns), path / name, compression="uncompressed")

    def poses(*rows: tuple[float, ...]) -> dict[str, list[float]]:
        names = ("qw", "qx", "qy", "qz", "tx_m", "ty_m", "tz_m")
        return {name: [float(row[k]) for row in rows] for k, name in enumerate(names)}

    path, names = folder / "02678d04", ["ring_front_center", "up_lidar"]
    put("calibration/egovehicle_SE3_sensor.feather", sensor_name=names,
        **poses((0.5, -0.5, 0.5, -0.5, 1.6, 0, 1.4), (1, 0, 0, 0, 1.4, 0, 1.6)))  # fmt: skip
    lens = {"fx_px": 20.0, "fy_px": 20.0, "cx_px": 12.0, "cy_px": 8.0, "k1": 0.0, "k2": 0.0, "k3": 0.0}
    put("calibration/intrinsics.feather", sensor_name=names[:1], **{key: [number] for key, number in lens.items()},
        height_px=np.asarray([16], np.uint32), width_px=np.asarray([24], np.uint32))  # fmt: skip
    stamps = [315_968_112_437_425_433 + k * 100_000_000 for k in range(2)]
    put(
        "city_SE3_egovehicle.feather",
        timestamp_ns=stamps,
        **poses(*((1, 0, 0, 0, 700 + k, 1200, -24) for k in range(2))),
    )
    xyz = np.frombuffer(points(40, 3), np.float32).reshape(-1, 3).astype(np.float16)
    for stamp in stamps:
        put(f"sensors/lidar/{stamp}.feather", x=xyz[:, 0], y=xyz[:, 1], z=xyz[:, 2], intensity=np.arange(40, dtype=np.uint8),
            laser_number=np.arange(40, dtype=np.uint8), offset_ns=np.arange(40, dtype=np.int32))  # fmt: skip
        picture(path / f"sensors/cameras/ring_front_center/{stamp + 1_000_000}.jpg")
    put("annotations.feather", timestamp_ns=stamps, track_uuid=["a", "a"], category=["REGULAR_VEHICLE"] * 2,
        length_m=[4.6] * 2, width_m=[1.9] * 2, height_m=[1.6] * 2, num_interior_pts=[33, 34],
        **poses(*((1, 0, 0, 0, 12 + k, 3, 0.5) for k in range(2))))  # fmt: skip
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
    text = '[camera.front]\npictures = "front/*.jpg"\nnames = "ms"\n[camera.rear]\npictures = "rear/*.png"\nstart_ns = 1\nrate_hz = 10.0\n'
    return written(folder / "pictures.toml", 'rig = "rig.toml"\n' + text)


RIG = """name = "sample"

[lidar.top]
vehicle_from_sensor = { translation_m = [0.0, 0.0, 1.73], rotation = [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]] }

[camera.front]
model = "pinhole"
width_px = 24
height_px = 16
matrix = [[20.0, 0.0, 12.0], [0.0, 20.0, 8.0], [0.0, 0.0, 1.0]]
distortion = [0.1, 0.0, 0.0, 0.0, 0.0]
vehicle_from_sensor = { translation_m = [0.27, 0.06, 1.65], rotation = [[0.0, 0.0, 1.0], [-1.0, 0.0, 0.0], [0.0, -1.0, 0.0]] }

[camera.left]
model = "fisheye"
width_px = 24
height_px = 16
matrix = [[10.0, 0.0, 12.0], [0.0, 10.0, 8.0], [0.0, 0.0, 1.0]]
distortion = [0.02, -0.005, 0.0, 0.0]
vehicle_from_sensor = { translation_m = [0.6, 0.9, 1.3], rotation = [[1.0, 0.0, 0.0], [0.0, 0.0, 1.0], [0.0, -1.0, 0.0]] }

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
    written(path.with_name("metadata.yaml"), "rosbag2_bagfile_information:\n  version: 5\n  storage_identifier: sqlite3\n"
            f"  duration:\n    nanoseconds: 1000\n  starting_time:\n    nanoseconds_since_epoch: {START}\n"
            f"  message_count: {len(stored)}\n  topics_with_message_count:\n{topics}  compression_format: ''\n"
            f"  compression_mode: ''\n  relative_file_paths:\n    - bag_0.db3\n  ros_distro: {DISTRIBUTION}\n")  # fmt: skip
    return path.parent
