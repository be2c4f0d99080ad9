"""ROS messages of every kind that is read: clouds, pictures, packets, sound, transforms; in bags and in MCAP."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("rosbags")

from mcap.writer import Writer as McapFileWriter
from rosbags.rosbag1 import Writer as Writer1
from rosbags.typesys import Stores, get_types_from_msg, get_typestore
from test_rosbag import POINT, STAMP, STORES, Makes, points, write

from fusion_pipeline.logs.reader import FormError, LogError, open_log
from fusion_pipeline.logs.ros_forms import frame_of, scan_of, sound_of
from fusion_pipeline.messages import AudioChunk, CameraFrame, EgoMotion, LidarScan

VELODYNE = "velodyne_msgs/msg/VelodyneScan"
AUDIO = "audio_common_msgs/msg/"
DEFINITIONS = {
    "velodyne_msgs/msg/VelodynePacket": "builtin_interfaces/Time stamp\nuint8[1206] data",
    VELODYNE: "std_msgs/Header header\nvelodyne_msgs/VelodynePacket[] packets",
    f"{AUDIO}AudioData": "uint8[] data",
    f"{AUDIO}AudioDataStamped": "std_msgs/Header header\naudio_common_msgs/AudioData audio",
    f"{AUDIO}AudioInfo": "uint8 channels\nuint32 sample_rate\nstring sample_format\nuint32 bitrate\n"
    "string coding_format",
}
for store in STORES.values():
    for kind, text in DEFINITIONS.items():
        store.register(get_types_from_msg(text, kind))
WRITTEN = ("sensor_msgs/msg/PointCloud2", "sensor_msgs/msg/Image", "sensor_msgs/msg/CameraInfo",
           "tf2_msgs/msg/TFMessage", *DEFINITIONS)  # fmt: skip
SCHEMAS = {name: STORES["ros2"].generate_msgdef(name, ros_version=2)[0] for name in WRITTEN}


def ros2_mcap(path: Path, content: list[tuple[str, Any]], step_ns: int = 10**7) -> Path:
    """As rosbag2's MCAP plugin writes it: profile ros2, schemas as ros2msg, messages as cdr."""
    store = STORES["ros2"]
    with path.open("wb") as file:
        writer = McapFileWriter(file)
        writer.start(profile="ros2", library="rosbag2")
        channels: dict[str, int] = {}
        for number, (topic, message) in enumerate(content):
            kind = message.__msgtype__
            if topic not in channels:
                schema = writer.register_schema(kind, "ros2msg", SCHEMAS[kind].encode())
                channels[topic] = writer.register_channel(topic, "cdr", schema, {"offered_qos_profiles": ""})
            at = STAMP + number * step_ns
            writer.add_message(channels[topic], at, bytes(store.serialize_cdr(message, kind)), at, number)
        writer.finish()
    return path


def ros1_bag(path: Path, content: list[tuple[str, Any]], step_ns: int = 10**7) -> Path:
    store = STORES["ros1"]
    with Writer1(path) as writer:
        for number, (topic, message) in enumerate(content):
            kind = message.__msgtype__
            known = {c.topic: c for c in writer.connections}
            connection = known.get(topic) or writer.add_connection(topic, kind, typestore=store)
            writer.write(connection, STAMP + number * step_ns, store.serialize_ros1(message, kind))
    return path


def test_ros_2_messages_in_mcap_are_what_rosbags_reads(tmp_path: Path) -> None:
    makes = Makes("ros2")
    picture = np.random.default_rng(2).integers(0, 255, (24, 32, 3)).astype(np.uint8)
    content = [("/tf_static", makes.frames()), ("/velodyne/points", makes.cloud(points())),
               ("/cam/camera_info", makes.info()), ("/cam/image_raw", makes.image(picture, "rgb8", pad=4))]  # fmt: skip
    log = open_log(ros2_mcap(tmp_path / "a.mcap", content))
    other = open_log(write(tmp_path / "bag", "ros2"))  # sqlite, through rosbags
    assert log.topics == other.topics
    for ours, theirs in zip(log.messages(), other.messages(), strict=True):
        assert ours.header == theirs.header
        if isinstance(ours, LidarScan) and isinstance(theirs, LidarScan):
            np.testing.assert_array_equal(ours.xyz_m, theirs.xyz_m)
            np.testing.assert_array_equal(ours.offset_ns, theirs.offset_ns)
        if isinstance(ours, CameraFrame) and isinstance(theirs, CameraFrame):
            np.testing.assert_array_equal(ours.data, theirs.data)
    np.testing.assert_allclose(log.rig.lidars[log.topics[0]].vehicle_from_sensor.translation_m, [0.2, 0.0, 1.75])
    assert log.rig.cameras[log.topics[1]].model.matrix[1, 1] == 410


KINDS = {"i1": 1, "u1": 2, "i2": 3, "u2": 4, "i4": 5, "u4": 6, "f4": 7, "f8": 8}


def any_cloud(forms: dict[str, str], step: int, rows: int, pad: int, big: bool, n: int = 48) -> tuple[Any, np.ndarray]:
    """A cloud of fields in this order, at odd places, of these types; and its points."""
    order, at, offsets = ">" if big else "<", 0, []
    for form in forms.values():
        offsets.append(at + 1)
        at += 1 + np.dtype(form).itemsize
    layout = np.dtype({"names": list(forms), "formats": [order + f for f in forms.values()], "offsets": offsets,
                       "itemsize": step})  # fmt: skip
    rng = np.random.default_rng(3)
    table = np.zeros(n, layout)
    for name, form in forms.items():
        table[name] = rng.integers(1, 90, n) if form[0] in "iu" else rng.normal(5, 2, n)
        if name == "timestamp":
            table[name] = np.linspace(-0.1, 0, n)
    makes = Makes("ros2")
    field = makes.types["sensor_msgs/msg/PointField"]
    width = n // rows
    wide = np.zeros((rows, width * step + pad), np.uint8)
    wide[:, : width * step] = np.frombuffer(table.tobytes(), np.uint8).reshape(rows, -1)
    message = makes.types["sensor_msgs/msg/PointCloud2"](
        header=makes.header("lidar"), height=rows, width=width, is_bigendian=big, point_step=step,
        row_step=wide.shape[1], data=wide.ravel(), is_dense=False,
        fields=[field(name=name, offset=o, datatype=KINDS[form], count=1)
                for (name, form), o in zip(forms.items(), offsets, strict=True)],
    )  # fmt: skip
    return message, table


@pytest.mark.parametrize("big", [False, True])
@pytest.mark.parametrize(("rows", "pad"), [(1, 0), (4, 0), (4, 13), (1, 7)])
@pytest.mark.parametrize("forms", [
    {"x": "f4", "y": "f4", "z": "f4", "intensity": "f4"},
    {"ring": "u2", "z": "f8", "y": "f8", "x": "f8", "reflectivity": "u1"},
    {"intensity": "u1", "t": "u4", "x": "i2", "y": "i4", "z": "i1", "channel": "u1"},
    {"z": "f4", "timestamp": "f8", "x": "f4", "line": "u1", "y": "f4"},
])  # fmt: skip
def test_any_layout_of_a_cloud(forms: dict[str, str], rows: int, pad: int, big: bool) -> None:
    message, table = any_cloud(forms, 64, rows, pad, big)
    found = scan_of(message, "lidar/a", STAMP)
    np.testing.assert_allclose(found.xyz_m, np.stack([table[a] for a in "xyz"], axis=1), rtol=1e-6)
    ring = next((name for name in ("ring", "channel", "line") if name in forms), None)
    np.testing.assert_array_equal(found.ring, table[ring] if ring else 0)
    assert found.intensity.max() <= 1


@pytest.mark.parametrize(("name", "form", "value"), [
    ("t", "u4", lambda k: k * 1_000_000), ("time", "f4", lambda k: k * 1e-3), ("offset", "u4", lambda k: k * 1_000_000),
    ("time_offset", "f4", lambda k: k * 1e3), ("timestamp", "f8", lambda k: STAMP / 1e9 + k * 1e-3),
    ("timestamp", "f8", lambda k: float(STAMP + k * 1_000_000)), ("offset_time", "i4", lambda k: k * 1_000_000),
])  # fmt: skip
def test_times_of_points_in_any_usual_unit(name: str, form: str, value: Any) -> None:
    message, _ = any_cloud({"x": "f4", "y": "f4", "z": "f4", name: form}, 40, 1, 0, False)
    layout = np.dtype({"names": [name], "formats": ["<" + form], "offsets": [16], "itemsize": 40})
    data = message.data.copy()
    data.view(layout)[name] = [value(k) for k in range(48)]
    message.data = data
    found = scan_of(message, "lidar/a", STAMP)
    np.testing.assert_allclose(found.offset_ns, np.arange(48) * 1_000_000, atol=500)
    assert abs(found.header.capture_ns - STAMP) < 500


def test_points_that_are_no_returns_are_left_out_and_lies_refused() -> None:
    message, table = any_cloud({"x": "f4", "y": "f4", "z": "f4"}, 16, 4, 0, False)
    table["x"][3], table["z"][9] = np.nan, np.inf
    for axis in "xyz":
        table[axis][20] = 0
    message.data = np.frombuffer(table.tobytes(), np.uint8)
    assert len(scan_of(message, "lidar/a", STAMP).xyz_m) == 45
    for key, value in (("width", 4_000_000_000), ("point_step", 3), ("row_step", 10), ("height", 1 << 31)):
        message, _ = any_cloud({"x": "f4", "y": "f4", "z": "f4"}, 16, 4, 0, False)
        setattr(message, key, value)
        with pytest.raises(FormError, match="does not fit its bytes"):
            scan_of(message, "lidar/a", STAMP)
    empty, _ = any_cloud({"x": "f4", "y": "f4", "z": "f4"}, 16, 1, 0, False)
    empty.width, empty.data = 0, np.zeros(0, np.uint8)
    assert len(scan_of(empty, "lidar/a", STAMP).xyz_m) == 0


@pytest.mark.parametrize(("encoding", "channels"), [
    ("mono8", 1), ("8UC1", 1), ("16UC1", 1), ("mono16", 1), ("rgb8", 3), ("bgr8", 3), ("rgba8", 3), ("bgra8", 3),
    ("bayer_grbg8", 3), ("bayer_bggr8", 3), ("bayer_rggb16", 3), ("uyvy", 3), ("yuyv", 3), ("nv12", 3), ("rgb16", 3),
])  # fmt: skip
def test_every_encoding_has_its_form(encoding: str, channels: int) -> None:
    wide = {"rgba8": 4, "bgra8": 4, "rgb8": 3, "bgr8": 3, "16UC1": 2, "mono16": 2, "bayer_rggb16": 2, "uyvy": 2,
            "yuyv": 2, "rgb16": 6}.get(encoding, 1)  # fmt: skip
    lines = 36 if encoding == "nv12" else 24
    raw = np.full((lines, 32 * wide), 128, np.uint8)
    message = Makes("ros2").image(raw, encoding)
    message.height, message.width = 24, 32
    found = frame_of(message, "camera/a", STAMP)
    assert found.data.shape == (24, 32, channels)
    assert np.abs(found.data.astype(int) - 128).max() <= 3
    message.data = message.data[:-1]
    with pytest.raises(FormError, match="does not fit its bytes"):
        frame_of(message, "camera/a", STAMP)


def vlp16(first_us: int, azimuth: int) -> np.ndarray:
    """A packet of a VLP-16 whose every return lies at 10 m."""
    data = np.zeros(1206, np.uint8)
    for block in range(12):
        at = block * 100
        data[at : at + 2] = 0xFF, 0xEE
        data[at + 2 : at + 4] = np.asarray([(azimuth + 40 * block) % 36000], "<u2").view(np.uint8)
        for k in range(32):
            data[at + 4 + 3 * k : at + 6 + 3 * k] = np.asarray([5000], "<u2").view(np.uint8)
            data[at + 6 + 3 * k] = 100
    data[1200:1204] = np.asarray([first_us], "<u4").view(np.uint8)
    data[1204:] = 0x37, 0x22
    return data


@pytest.mark.parametrize("world", STORES)
def test_velodyne_packets_become_scans(world: str, tmp_path: Path) -> None:
    makes = Makes(world)
    packet, scan = (makes.types[k] for k in ("velodyne_msgs/msg/VelodynePacket", VELODYNE))
    time = makes.types["builtin_interfaces/msg/Time"]
    content: list[tuple[str, Any]] = []
    for turn in range(3):
        held = []
        for k in range(75):
            number = turn * 75 + k
            at = STAMP + number * 1_327_000
            stamp = time(sec=at // 10**9, nanosec=at % 10**9)
            held.append(packet(stamp=stamp, data=vlp16(1000 + number * 1327, number * 480 % 36000)))
        content.append(("/velodyne_packets", scan(header=makes.header("velodyne"), packets=held)))
    if world == "ros1":
        log = open_log(ros1_bag(tmp_path / "v.bag", content, 10**8))
    else:
        log = open_log(ros2_mcap(tmp_path / "v.mcap", content, 10**8))
    scans = [m for m in log.messages() if isinstance(m, LidarScan)]
    assert log.topics == ("lidar/velodyne_packets",)
    assert len(scans) >= 3
    assert sum(len(s.xyz_m) for s in scans) == 3 * 75 * 12 * 32
    np.testing.assert_allclose(np.linalg.norm(scans[1].xyz_m, axis=1), 10.0, atol=0.1)
    assert {int(s.ring.max()) for s in scans} == {15}
    assert abs(scans[1].duration_ns - 99_500_000) < 3_000_000
    hdl = vlp16(0, 0)
    hdl[-1] = 99
    held = [packet(stamp=stamp, data=hdl)]
    bad = [("/velodyne_packets", scan(header=makes.header("velodyne"), packets=held))]
    log = open_log(ros1_bag(tmp_path / "b.bag", bad) if world == "ros1" else ros2_mcap(tmp_path / "b.mcap", bad))
    assert not list(log.messages())
    assert "HDL-64E" in next(iter(log.refused))[1]


def test_an_ousters_packets_with_their_metadata(data_root: Path) -> None:
    log = open_log(data_root / "ouster" / "512x10_raw.bag")
    (scan,) = log.messages()
    assert isinstance(scan, LidarScan)
    assert len(scan.xyz_m) > 20_000
    assert int(scan.ring.max()) > 100
    assert 80_000_000 < scan.duration_ns < 110_000_000


@pytest.mark.parametrize("stamped", [True, False])
def test_sound_with_its_info(stamped: bool, tmp_path: Path) -> None:
    makes = Makes("ros2")
    data, wrapped, info = (makes.types[AUDIO + k] for k in ("AudioData", "AudioDataStamped", "AudioInfo"))
    pcm = np.arange(640, dtype="<i2")
    said = info(channels=2, sample_rate=16000, sample_format="S16LE", bitrate=0, coding_format="wave")
    held = data(data=pcm.view(np.uint8))
    message = wrapped(header=makes.header("mic"), audio=held) if stamped else held
    content = [("/audio/audio", message), ("/audio/audio_info", said), ("/audio/audio", message)]
    log = open_log(ros2_mcap(tmp_path / "a.mcap", content))
    chunk, other = log.messages()  # also the one before the info
    assert isinstance(chunk, AudioChunk)
    assert isinstance(other, AudioChunk)
    np.testing.assert_array_equal(chunk.pcm, pcm.reshape(-1, 2))
    assert chunk.rate_hz == 16000
    assert other.header.capture_ns == (STAMP if stamped else STAMP + 2 * 10**7 - 20_000_000)
    assert not log.refused
    with pytest.raises(FormError, match="sound coded as mp3"):
        sound_of(held.data, "audio/a", 0, 0, 16000, 2, "mp3")
    with pytest.raises(FormError, match="does not fit its samples"):
        sound_of(held.data[:3], "audio/a", 0, 0, 16000, 2, "S16LE")
    loud = sound_of(np.asarray([0.5, -2.0], "<f4").view(np.uint8), "audio/a", 0, 0, 16000, 1, "F32LE")
    assert loud.pcm.ravel().tolist() == [16384, -32767]


def test_a_moving_transform_is_ego_motion_where_there_is_no_odometry(tmp_path: Path) -> None:
    makes = Makes("ros2")
    moving = makes.frames()
    moving.transforms[0].header.frame_id, moving.transforms[0].child_frame_id = "odom", "base_link"
    log = open_log(ros2_mcap(tmp_path / "t.mcap", [("/tf", moving), ("/p", makes.cloud(points()))]))
    assert log.topics == ("lidar/p", "ego/tf")
    ego = next(m for m in log.messages() if isinstance(m, EgoMotion))
    assert ego.position_m == pytest.approx([0, 0, 1.5])


def test_sound_of_the_newer_audio_common(tmp_path: Path) -> None:
    """Its messages carry their own form; the definition comes from the file alone."""
    kind = f"{AUDIO}AudioStamped"
    text = "std_msgs/Header header\naudio_common_msgs/Audio audio"
    parts = {
        f"{AUDIO}Audio": "audio_common_msgs/Samples audio_data\naudio_common_msgs/Form info",
        f"{AUDIO}Samples": "float32[] float32_data\nint32[] int32_data\nint16[] int16_data\nint8[] int8_data\n"
        "uint8[] uint8_data",
        f"{AUDIO}Form": "int32 format\nint32 channels\nint32 rate\nint32 chunk",
    }
    store = get_typestore(Stores.ROS2_HUMBLE)
    for name, definition in (*parts.items(), (kind, text)):
        store.register(get_types_from_msg(definition, name))
    makes = Makes("ros2")
    kinds = store.types
    none = {f"{n}_data": np.zeros(0, n) for n in ("float32", "int32", "int8", "uint8")}
    held = kinds[f"{AUDIO}Samples"](**none, int16_data=np.arange(64, dtype=np.int16))
    form = kinds[f"{AUDIO}Form"](format=8, channels=2, rate=8000, chunk=32)
    message = kinds[kind](header=makes.header("mic"), audio=kinds[f"{AUDIO}Audio"](audio_data=held, info=form))
    with (tmp_path / "a.mcap").open("wb") as file:
        writer = McapFileWriter(file)
        writer.start(profile="ros2")
        schema = writer.register_schema(kind, "ros2msg", store.generate_msgdef(kind, ros_version=2)[0].encode())
        channel = writer.register_channel("/audio", "cdr", schema)
        writer.add_message(channel, STAMP, bytes(store.serialize_cdr(message, kind)), STAMP)
        writer.finish()
    (chunk,) = open_log(tmp_path / "a.mcap").messages()
    assert isinstance(chunk, AudioChunk)
    assert (chunk.rate_hz, chunk.header.capture_ns) == (8000, STAMP)
    np.testing.assert_array_equal(chunk.pcm, np.arange(64).reshape(-1, 2))


def test_a_claimed_length_of_gigabytes_in_a_bag_is_not_believed(tmp_path: Path) -> None:
    makes = Makes("ros1")
    path = ros1_bag(tmp_path / "whole.bag", [("/p", makes.cloud(points())) for _ in range(20)])
    data = bytearray(path.read_bytes())
    index = data.index(b"op=\x04")
    (tmp_path / "long.bag").write_bytes(bytes(data[: index - 8]) + b"\xff\xff\xff\xff" + bytes(100))
    log = open_log(tmp_path / "long.bag")
    assert len(list(log.messages())) == 20
    assert log.refused["log", "cut off"] == 1


def test_bags_that_were_cut_off_are_read_as_far_as_they_go(tmp_path: Path) -> None:
    makes = Makes("ros1")
    path = ros1_bag(tmp_path / "whole.bag", [("/p", makes.cloud(points())) for _ in range(20)])
    whole = [m.header for m in open_log(path).messages()]
    data = path.read_bytes()
    index = data.index(b"op=\x04")  # after the last chunk come the indexes
    (tmp_path / "cut.bag").write_bytes(data[: index + 200])
    log = open_log(tmp_path / "cut.bag")
    assert [m.header for m in log.messages()] == whole
    assert log.refused["log", "cut off"] == 1
    assert not getattr(log, "complete", True)


def test_ros_2_databases_without_their_metadata_or_with_torn_pages(tmp_path: Path) -> None:
    folder = write(tmp_path / "bag", "ros2")
    whole = [m.header for m in open_log(folder).messages()]
    (base,) = folder.glob("*.db3")
    (folder / "metadata.yaml").unlink()
    assert [m.header for m in open_log(folder).messages()] == whole
    assert [m.header for m in open_log(base).messages()] == whole
    base.write_bytes(base.read_bytes()[:5000])
    with pytest.raises(LogError, match="cannot be read as a ROS bag"):
        open_log(base)
    base.write_bytes(b"")
    with pytest.raises(LogError, match="cannot be read as a ROS bag"):
        open_log(base)
    with closing(sqlite3.connect(tmp_path / "other.db3")) as other:
        other.execute("CREATE TABLE a (b)")
    with pytest.raises(LogError, match="no such table"):
        open_log(tmp_path / "other.db3")


def test_unknown_types_and_damaged_messages_are_counted(tmp_path: Path) -> None:
    with (tmp_path / "x.mcap").open("wb") as file:
        writer = McapFileWriter(file)
        writer.start()
        schema = writer.register_schema("sensor_msgs/msg/Imu", "ros2msg", b"no definition {")
        good = writer.register_channel("/imu", "cdr", schema)
        writer.add_message(good, STAMP, b"\x00\x01\x00\x00short", STAMP)
        writer.finish()
    log = open_log(tmp_path / "x.mcap")
    assert not list(log.messages())
    assert log.refused == {("ego/imu", "damaged message"): 1}
    assert POINT.itemsize == 32
