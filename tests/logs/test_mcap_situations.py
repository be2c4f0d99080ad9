"""MCAP files as other people's recorders write them: compressed in three ways, split, in JSON, with topics unread."""

from __future__ import annotations

import base64
import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zstandard
from foxglove_schemas_protobuf.PointCloud_pb2 import PointCloud
from mcap.writer import CompressionType, Writer
from rosbags.typesys import Stores, get_typestore

from fusion_pipeline.logs.card import card
from fusion_pipeline.logs.foxglove_read import parsed
from fusion_pipeline.logs.mcap_places import McapFile
from fusion_pipeline.logs.mcap_reader import McapLog
from fusion_pipeline.logs.raw import RawReader
from fusion_pipeline.logs.reader import FormError, LogError, open_log
from fusion_pipeline.logs.surgery import recovered
from fusion_pipeline.messages import CameraFrame, LidarScan

START = 1_700_000_000_000_000_000
STEP = 100_000_000
STORE = get_typestore(Stores.ROS2_HUMBLE)
IMAGE, COMPRESSED, CLOUD = (f"sensor_msgs/msg/{name}" for name in ("Image", "CompressedImage", "PointCloud2"))
TF = "tf2_msgs/msg/TFMessage"


class Recorder:
    """Writes ROS 2 messages as `ros2 bag record` does."""

    def __init__(self, path: Path, compression: CompressionType = CompressionType.ZSTD, packed: bool = False) -> None:
        self.file = path.open("wb")
        self.writer = Writer(self.file, compression=compression)
        self.writer.start("ros2")
        self.packed = packed
        self.channels: dict[tuple[str, str], int] = {}

    def channel(self, topic: str, kind: str, text: str = "", encoding: str = "cdr", form: str = "ros2msg") -> int:
        key = topic, kind
        if key not in self.channels:
            schema = self.writer.register_schema(kind, form, text.encode())
            self.channels[key] = self.writer.register_channel(topic, encoding, schema)
        return self.channels[key]

    def write(self, topic: str, kind: str, message: Any, at: int) -> None:
        text, _ = STORE.generate_msgdef(kind, ros_version=2)
        data = bytes(STORE.serialize_cdr(message, kind))
        if self.packed:
            data = zstandard.ZstdCompressor().compress(data)
        self.raw(self.channel(topic, kind, text), data, at)

    def raw(self, channel: int, data: bytes, at: int) -> None:
        self.writer.add_message(channel, at, data, at)

    def close(self) -> None:
        self.writer.finish()
        self.file.close()


def made(kind: str, **values: Any) -> Any:
    return STORE.types[kind](**values)


def header(at: int, frame: str) -> Any:
    stamp = made("builtin_interfaces/msg/Time", sec=at // 10**9, nanosec=at % 10**9)
    return made("std_msgs/msg/Header", stamp=stamp, frame_id=frame)


def cloud(at: int, frame: str = "lidar") -> Any:
    points = np.random.default_rng(at // 1000 % 2**31).normal(0, 9, (50, 3)).astype(np.float32)
    fields = [
        made("sensor_msgs/msg/PointField", name=n, offset=4 * k, datatype=7, count=1) for k, n in enumerate("xyz")
    ]
    return made(CLOUD, header=header(at, frame), height=1, width=50, fields=fields, is_bigendian=False, point_step=12,
                row_step=600, data=points.view(np.uint8).reshape(-1), is_dense=True)  # fmt: skip


def picture(at: int, size: int = 16) -> Any:
    return made(IMAGE, header=header(at, "cam"), height=size, width=size, encoding="bgr8", is_bigendian=0,
                step=3 * size, data=np.zeros(3 * size * size, np.uint8))  # fmt: skip


def jpeg(at: int) -> Any:
    import cv2

    data = cv2.imencode(".jpg", np.zeros((16, 16, 3), np.uint8))[1].reshape(-1)
    return made(COMPRESSED, header=header(at, "cam"), format="jpeg", data=data)


def transforms(at: int, *children: str) -> Any:
    items = []
    for child in children:
        zero = made("geometry_msgs/msg/Vector3", x=1.0, y=0.0, z=1.5)
        turn = made("geometry_msgs/msg/Quaternion", x=0.0, y=0.0, z=0.0, w=1.0)
        pose = made("geometry_msgs/msg/Transform", translation=zero, rotation=turn)
        items.append(made("geometry_msgs/msg/TransformStamped", header=header(at, "base_link"), child_frame_id=child,
                          transform=pose))  # fmt: skip
    return made(TF, transforms=items)


def drive(path: Path, first: int = 0, count: int = 5, **options: Any) -> Path:
    recorder = Recorder(path, **options)
    for k in range(first, first + count):
        recorder.write("/points", CLOUD, cloud(START + k * STEP), START + k * STEP)
    recorder.close()
    return path


def metadata(folder: Path, names: list[str], mode: str = "", count: int = 5) -> None:
    listed = "".join(f"\n    - {name}" for name in names)
    (folder / "metadata.yaml").write_text(
        f"rosbag2_bagfile_information:\n  version: 9\n  storage_identifier: mcap\n  compression_format: zstd\n"
        f"  compression_mode: {mode or repr('')}\n  message_count: {count}\n  relative_file_paths:{listed}\n"
    )


def sources(path: Path) -> Counter[str]:
    log = open_log(path)
    found = Counter(message.header.source for message in log.messages())
    assert not log.refused
    return found


def found(path: Path) -> dict[str, set[str]]:
    names: dict[str, set[str]] = {}
    for item in open_log(path).findings:
        names.setdefault(item.name, set()).add(item.topic)
    return names


def test_black_pictures_in_a_zstd_chunk_are_no_attack(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path / "black.mcap")
    for k in range(4):
        recorder.write("/cam/image_raw", IMAGE, picture(START + k * STEP, 700), START + k * STEP)
    recorder.close()
    assert (tmp_path / "black.mcap").stat().st_size < 10_000
    assert sources(tmp_path / "black.mcap") == {"camera/cam_image_raw": 4}
    assert recovered(tmp_path / "black.mcap", tmp_path / "out.mcap") == (4, {})


@pytest.mark.parametrize("suffix", ["zstd", "zst"])
def test_a_file_compressed_as_a_whole_is_read_alone_and_in_its_folder(tmp_path: Path, suffix: str) -> None:
    plain = drive(tmp_path / "bag_0.mcap")
    packed = tmp_path / f"bag_0.mcap.{suffix}"
    packed.write_bytes(zstandard.ZstdCompressor().compress(plain.read_bytes()))
    plain.unlink()
    metadata(tmp_path, [packed.name], "FILE")
    assert sources(packed) == sources(tmp_path) == {"lidar/points": 5}
    assert [row.count for row in card(packed).rows] == [5]
    assert len(list(RawReader(packed))) == 5


def test_a_compressed_file_that_is_cut_off_gives_what_comes_before_and_is_said(tmp_path: Path) -> None:
    plain = drive(tmp_path / "bag_0.mcap", count=3000, compression=CompressionType.NONE)
    packed = tmp_path / "cut.mcap.zstd"
    data = zstandard.ZstdCompressor().compress(plain.read_bytes())
    packed.write_bytes(data[: len(data) * 2 // 3])
    log = open_log(packed)
    assert log.refused["log", "cut off"] == 1
    assert 0 < len(list(log.messages())) < 3000
    packed.write_bytes(data[:50])
    with pytest.raises(LogError, match="is cut off as a compressed file"):
        open_log(packed)


@pytest.mark.parametrize("mode", ["MESSAGE", "message", None])
def test_messages_compressed_one_by_one_are_read_with_and_without_their_metadata(
    tmp_path: Path, mode: str | None
) -> None:
    path = drive(tmp_path / "bag_0.mcap", packed=True)
    if mode:
        metadata(tmp_path, [path.name], mode)
    assert sources(path) == sources(tmp_path) == {"lidar/points": 5}


def test_each_channel_of_one_topic_is_read_by_its_own_type(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path / "mixed.mcap")
    for k in range(12):
        at = START + k * STEP
        kind, message = ((IMAGE, picture(at)), (COMPRESSED, jpeg(at)), (CLOUD, cloud(at)))[k % 3]
        recorder.write("/front", kind, message, at)
    recorder.close()
    log = open_log(tmp_path / "mixed.mcap")
    kinds = Counter((message.header.source, type(message)) for message in log.messages())
    assert kinds == {("camera/front", CameraFrame): 8, ("lidar/front", LidarScan): 4}
    assert not log.refused


def test_a_split_recording_is_one_log_whose_rig_lies_in_its_first_part(tmp_path: Path) -> None:
    first = Recorder(tmp_path / "bag_0.mcap")
    first.write("/tf_static", TF, transforms(START, "lidar"), START)
    for k in range(3):
        first.write("/points", CLOUD, cloud(START + k * STEP), START + k * STEP)
    first.close()
    later = Recorder(tmp_path / "bag_1.mcap")
    later.channel("/tf_static", TF)  # as rosbag2 writes it into every part
    for k in range(3, 6):
        later.write("/points", CLOUD, cloud(START + k * STEP), START + k * STEP)
        later.write("/pose", "geometry_msgs/msg/Pose2D", made("geometry_msgs/msg/Pose2D", x=0.0, y=0.0, theta=0.0),
                    START + k * STEP)  # fmt: skip
    later.close()
    drive(tmp_path / "converted.mcap")
    metadata(tmp_path, ["bag_0.mcap", "bag_1.mcap", "bag_2.mcap"])
    assert sources(tmp_path) == {"lidar/points": 6}
    log = open_log(tmp_path)
    assert "lidar/points" in log.rig.lidars
    assert found(tmp_path) == {"missing-part": {""}, "other-files": {""}, "unread-topic": {"/pose"}}
    assert "other-parts" in found(tmp_path / "bag_1.mcap")


def test_what_is_not_read_is_named_and_counted(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path / "log.mcap")
    recorder.channel("/nobody", IMAGE)
    flat = recorder.channel("/lidar_fb", "foxglove.PointCloud", encoding="flatbuffer", form="flatbuffer")
    bare = recorder.writer.register_channel("/notes", "text", 0)
    scan = recorder.channel("/scan", "sensor_msgs/msg/LaserScan")
    for k in range(3):
        at = START + k * STEP
        recorder.write("/points", CLOUD, cloud(at), at)
        for channel in (flat, bare, scan):
            recorder.raw(channel, b"\0\1\0\0xxxx", at)
    recorder.close()
    assert sources(tmp_path / "log.mcap") == {"lidar/points": 3}
    names = found(tmp_path / "log.mcap")
    assert names["empty-topic"] == {"/nobody"}
    assert names["unread-sensor"] == {"/lidar_fb", "/scan"}
    assert names["unread-topic"] == {"/notes"}
    details = {item.topic: item.detail for item in open_log(tmp_path / "log.mcap").findings}
    assert details["/lidar_fb"] == "foxglove.PointCloud (flatbuffer), 3 messages"


def time(at: int) -> dict[str, int]:
    return {"sec": at // 10**9, "nsec": at % 10**9}


def json_log(path: Path, messages: list[tuple[str, str, dict[str, Any]]]) -> Path:
    recorder = Recorder(path)
    for k, (topic, kind, table) in enumerate(messages):
        channel = recorder.channel(topic, f"foxglove.{kind}", "{}", "json", "jsonschema")
        recorder.raw(channel, json.dumps(table).encode(), START + k)
    recorder.close()
    return path


def test_foxgloves_messages_in_json_are_read_as_those_in_protobuf(tmp_path: Path) -> None:
    points = np.arange(30, dtype=np.float32).reshape(10, 3) + 1
    fields = [{"name": name, "offset": 4 * k, "type": 7} for k, name in enumerate("xyz")]
    pixels = base64.b64encode(bytes(range(48))).decode()
    pose = {"position": {"x": 0, "y": 0, "z": 0}, "orientation": {"x": 0, "y": 0, "z": 0, "w": 1}}
    path = json_log(tmp_path / "json.mcap", [
        ("/tf", "FrameTransforms", {"transforms": [
            {"timestamp": time(START), "parent_frame_id": "base_link", "child_frame_id": child,
             "translation": {"x": 1, "y": 2, "z": 3}, "rotation": {"x": 0, "y": 0, "z": 0, "w": 1}}
            for child in ("lidar", "cam")]}),
        ("/cam/calibration", "CameraCalibration", {
            "timestamp": time(START), "frame_id": "cam", "width": 4, "height": 4, "distortion_model": "plumb_bob",
            "D": [0, 0, 0, 0, 0], "K": [4, 0, 2, 0, 4, 2, 0, 0, 1], "R": [1, 0, 0, 0, 1, 0, 0, 0, 1],
            "P": [4, 0, 2, 0, 0, 4, 2, 0, 0, 0, 1, 0]}),
        ("/points", "PointCloud", {"timestamp": time(START), "frame_id": "lidar", "pose": pose, "point_stride": 12,
                                   "fields": fields, "data": base64.b64encode(points.tobytes()).decode()}),
        ("/cam/image", "RawImage", {"timestamp": time(START), "frame_id": "cam", "width": 4, "height": 4,
                                    "encoding": "rgb8", "step": 12, "data": pixels}),
        ("/fix", "LocationFix", {"timestamp": time(START), "latitude": 48.0, "longitude": 11.0}),
    ])  # fmt: skip
    log = open_log(path)
    scan, frame = log.messages()
    assert isinstance(scan, LidarScan)
    assert isinstance(frame, CameraFrame)
    np.testing.assert_array_equal(scan.xyz_m, points)
    assert frame.data.tobytes() == bytes(range(48))
    assert (scan.header.capture_ns, frame.header.capture_ns) == (START, START)
    assert not log.refused
    assert set(log.rig.topics) == {"lidar/points", "camera/cam_image"}
    assert found(path)["unread-sensor"] == {"/fix"}


def test_json_of_another_form_is_refused_and_counted(tmp_path: Path) -> None:
    good = {"timestamp": time(START), "frame_id": "cam", "width": 1, "height": 1, "encoding": "rgb8", "step": 3}
    wrong: list[dict[str, Any]] = [
        {**good, "data": "no base64 ?"}, {**good, "width": "wide"}, {**good, "timestamp": 7}, {**good, "width": -1},
        {**good, "data": 10**9}, {**good, "timestamp": {"sec": "x"}},
    ]  # fmt: skip
    path = json_log(tmp_path / "wrong.mcap", [("/cam", "RawImage", table) for table in wrong])
    log = open_log(path)
    assert list(log.messages()) == []
    assert sum(log.refused.values()) == len(wrong)


def test_an_illegal_field_is_refused_at_once_and_fields_are_bounded() -> None:
    kind = "foxglove.PointCloud"
    with pytest.raises(FormError, match="damaged message"):
        parsed(kind, memoryview(bytes(100_000)))
    with pytest.raises(FormError, match="more than"):
        parsed(kind, memoryview(b"\xf8\x07\x01" * 100_000))
    found_, data = parsed(kind, memoryview(PointCloud(point_stride=4, data=b"abc").SerializeToString()))
    assert (found_.point_stride, bytes(data)) == (4, b"abc")


def test_a_definition_without_measure_is_refused_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recorder = Recorder(tmp_path / "log.mcap")
    huge = recorder.channel("/huge", CLOUD, "uint32 a\n" * 60_000)
    for k in range(3):
        recorder.raw(huge, b"\0\1\0\0" + bytes(40), START + k)
        recorder.write("/points", CLOUD, cloud(START + k), START + k)
    recorder.close()
    log = open_log(tmp_path / "log.mcap")
    assert len(list(log.messages(topics=("lidar/points",)))) == 3
    list(log.messages())
    assert log.refused["lidar/huge", "definition of 60000 lines"] == 3


def test_a_file_of_many_channels_is_gone_through_a_few_times_on_opening(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorder = Recorder(tmp_path / "many.mcap")
    for k in range(300):
        recorder.write(f"/points{k}", CLOUD, cloud(START + k), START + k)
    recorder.close()
    unpacked: list[int] = []
    kept = McapFile.unpacked
    monkeypatch.setattr(McapFile, "unpacked", lambda self, place: (unpacked.append(1), kept(self, place))[1])
    log = McapLog(tmp_path / "many.mcap")
    assert len(log.topics) == 300
    assert len(unpacked) <= 4


def test_an_error_of_this_program_is_not_told_as_damage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = drive(tmp_path / "log.mcap")
    log = open_log(path)

    def broken(*_: object) -> None:
        raise TypeError("a fault of ours")

    monkeypatch.setattr("fusion_pipeline.logs.ros_topics.scan_of", broken)
    with pytest.raises(TypeError, match="a fault of ours"):
        list(log.messages())


def test_recover_says_when_there_is_nothing_to_recover(tmp_path: Path) -> None:
    path = drive(tmp_path / "log.mcap")
    path.write_bytes(path.read_bytes()[:30])
    with pytest.raises(LogError, match="no message that can be read"):
        recovered(path, tmp_path / "out.mcap")
    assert not (tmp_path / "out.mcap").exists()
