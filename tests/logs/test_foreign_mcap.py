"""MCAP files of others, with Foxglove's schemas in their own ways; without chunks, without an index, damaged."""

from __future__ import annotations

import struct
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from foxglove_schemas_protobuf.CameraCalibration_pb2 import CameraCalibration
from foxglove_schemas_protobuf.CompressedImage_pb2 import CompressedImage
from foxglove_schemas_protobuf.FrameTransform_pb2 import FrameTransform
from foxglove_schemas_protobuf.PointCloud_pb2 import PointCloud
from foxglove_schemas_protobuf.RawAudio_pb2 import RawAudio
from foxglove_schemas_protobuf.RawImage_pb2 import RawImage
from mcap.writer import CompressionType, Writer
from mcap_protobuf.schema import build_file_descriptor_set

from fusion_pipeline.logs.mcap_places import McapFile, unpack
from fusion_pipeline.logs.reader import LogError, open_log
from fusion_pipeline.messages import AudioChunk, CameraFrame, LidarScan

START = 1_700_000_000_000_000_000
POINT = np.dtype({"names": ["x", "y", "z", "reflectivity", "time"], "formats": ["<f8", "<f8", "<f8", "<u2", "<f4"],
                  "offsets": [0, 8, 16, 26, 28], "itemsize": 40})  # fmt: skip


def write(
    path: Path, messages: Iterable[tuple[str, Any, int]], compression: CompressionType = CompressionType.LZ4,
    chunked: bool = True,
) -> Path:  # fmt: skip
    """Protobuf messages (topic, message, ns after the start) through the mcap library."""
    with path.open("wb") as file:
        writer = Writer(file, compression=compression, use_chunking=chunked, chunk_size=20_000)
        writer.start()
        channels: dict[str, int] = {}
        for number, (topic, message, at) in enumerate(messages):
            if topic not in channels:
                form = build_file_descriptor_set(type(message)).SerializeToString()
                schema = writer.register_schema(type(message).DESCRIPTOR.full_name, "protobuf", form)
                channels[topic] = writer.register_channel(topic, "protobuf", schema)
            writer.add_message(channels[topic], START + at, message.SerializeToString(), START + at, number)
        writer.finish()
    return path


def stamped(message: Any, at: int) -> Any:
    message.timestamp.FromNanoseconds(START + at)
    return message


def points(n: int = 50) -> np.ndarray:
    rng = np.random.default_rng(0)
    table = np.zeros(n, POINT)
    for axis in "xyz":
        table[axis] = rng.normal(0, 10, n)
    table["reflectivity"], table["time"] = rng.integers(0, 60_000, n), np.arange(n) * 1e-3
    table["x"][7] = np.nan
    return table


def cloud(at: int) -> PointCloud:
    message = stamped(PointCloud(frame_id="velodyne", point_stride=POINT.itemsize, data=points().tobytes()), at)
    for name, kind in zip(POINT.names or (), (8, 8, 8, 3, 7), strict=True):
        message.fields.add(name=name, offset=POINT.fields[name][1], type=kind)  # type: ignore[index]
    message.pose.position.z = 0.5
    message.pose.orientation.w = 1.0
    return message


def picture(at: int) -> RawImage:
    flat = np.full((12, 16 + 4, 1), 90, np.uint8)
    return stamped(
        RawImage(frame_id="cam", width=16, height=12, encoding="bayer_rggb8", step=20, data=flat.tobytes()), at
    )


def everything() -> list[tuple[str, Any, int]]:
    found: list[tuple[str, Any, int]] = []
    turn = FrameTransform(parent_frame_id="base_link", child_frame_id="velodyne")
    turn.translation.z, turn.rotation.w = 1.8, 1.0
    camera = FrameTransform(parent_frame_id="base_link", child_frame_id="cam")
    camera.translation.x, camera.rotation.w = 1.5, 1.0
    lens = CameraCalibration(frame_id="cam", width=16, height=12, distortion_model="plumb_bob",
                             D=[0.1, 0, 0, 0, 0], K=[20, 0, 8, 0, 20, 6, 0, 0, 1])  # fmt: skip
    found += [("/tf", stamped(turn, 0), 0), ("/tf", stamped(camera, 0), 1), ("/cam/calibration", stamped(lens, 0), 2)]
    jpeg = cv2.imencode(".jpg", np.full((12, 16, 3), 60, np.uint8))[1].tobytes()
    for k in range(5):
        at = k * 100_000_000 + 10
        found += [
            ("/velodyne/points", cloud(at), at), ("/cam/image", picture(at), at + 1),
            ("/cam/jpeg", stamped(CompressedImage(frame_id="cam", format="jpeg", data=jpeg), at), at + 2),
            ("/mic", stamped(RawAudio(format="pcm-s16", sample_rate=8000, number_of_channels=2,
                                      data=np.arange(320, dtype="<i2").tobytes()), at), at + 3),
        ]  # fmt: skip
    return found


@pytest.mark.parametrize("compression", list(CompressionType))
@pytest.mark.parametrize("chunked", [True, False])
def test_foxgloves_messages_of_others_are_read(tmp_path: Path, compression: CompressionType, chunked: bool) -> None:
    log = open_log(write(tmp_path / "f.mcap", everything(), compression, chunked))
    assert log.topics == ("lidar/velodyne_points", "camera/cam_image", "camera/cam_jpeg", "audio/mic")
    messages = list(log.messages())
    assert len(messages) == 20
    scan = messages[0]
    assert isinstance(scan, LidarScan)
    true = points()[np.arange(50) != 7]
    np.testing.assert_allclose(
        scan.xyz_m, np.stack([true[a] for a in "xyz"], axis=1) + np.asarray([0, 0, 0.5]), rtol=1e-6
    )
    np.testing.assert_allclose(scan.offset_ns, true["time"] * 1e9, atol=100)
    np.testing.assert_allclose(scan.intensity, true["reflectivity"] / 65535, rtol=1e-5)
    assert (scan.header.capture_ns, scan.header.arrival_ns) == (START + 10, START + 10)
    raw, jpeg, sound = messages[1:4]
    assert isinstance(raw, CameraFrame)
    assert isinstance(jpeg, CameraFrame)
    assert isinstance(sound, AudioChunk)
    assert (raw.encoding, raw.data.shape) == ("bgr8", (12, 16, 3))
    assert (jpeg.encoding, jpeg.height_px, jpeg.width_px) == ("jpeg", 12, 16)
    np.testing.assert_array_equal(sound.pcm, np.arange(320).reshape(-1, 2))
    np.testing.assert_allclose(log.rig.lidars[log.topics[0]].vehicle_from_sensor.translation_m, [0, 0, 1.8])
    mount = log.rig.cameras["camera/cam_image"]
    assert (mount.model.matrix[0, 0], mount.vehicle_from_sensor.translation_m[0]) == (20, 1.5)
    assert not log.refused


@pytest.mark.parametrize("chunked", [True, False])
def test_parts_and_topics_are_what_a_whole_reading_has(tmp_path: Path, chunked: bool) -> None:
    log = open_log(write(tmp_path / "f.mcap", everything(), chunked=chunked))
    whole = [m.header for m in log.messages()]
    for low, high in ((START, START + 250_000_000), (START + 100_000_011, START + 400_000_012), (0, START)):
        assert [m.header for m in log.messages(low, high)] == [h for h in whole if low <= h.arrival_ns < high]
    some = ("audio/mic", "lidar/velodyne_points")
    assert [m.header for m in log.messages(topics=some)] == [h for h in whole if h.source in some]


def test_only_chunks_that_are_needed_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "f.mcap", [("/velodyne/points", cloud(k), k * 10**8) for k in range(200)])
    log = open_log(path)
    read: list[int] = []
    once = McapFile.unpacked
    monkeypatch.setattr(McapFile, "unpacked", lambda self, place: read.append(place.offset) or once(self, place))
    middle = next(log.messages(start_ns=START + 100 * 10**8))
    assert middle.header.arrival_ns == START + 100 * 10**8
    assert len(read) == 1


def test_messages_out_of_order_come_in_the_order_of_their_times(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    times = [k * 1000 for k in range(300)]
    mixed = sorted(times, key=lambda t: t + rng.integers(0, 40_000))  # chunks overlap
    log = open_log(write(tmp_path / "f.mcap", [("/mic", everything()[6][1], t) for t in mixed]))
    assert [m.header.arrival_ns - START for m in log.messages()] == times


def test_stamps_that_repeat_or_go_back_lose_nothing_and_are_told(tmp_path: Path) -> None:
    from fusion_pipeline.logs.survey import surveyed

    times = [0, 100, 200, 200, 150, 300]  # captures; they arrive one after the other
    form = {"format": "pcm-s16", "sample_rate": 8000, "number_of_channels": 1, "data": bytes(80)}
    sound = [(stamped(RawAudio(**form), at), k) for k, at in enumerate(times)]
    path = write(tmp_path / "f.mcap", [("/mic", message, k * 1000) for message, k in sound])
    assert [m.header.capture_ns - START for m in open_log(path).messages()] == times
    (topic,) = surveyed(path).topics
    assert (topic.backwards, topic.repeated) == (1, 1)
    assert not surveyed(path).sound


def claims(path: Path) -> bytearray:
    return bytearray(write(path, [("/velodyne/points", cloud(k), k) for k in range(40)]).read_bytes())


def test_claimed_lengths_of_gigabytes_are_not_believed(tmp_path: Path) -> None:
    data = claims(tmp_path / "f.mcap")
    at, chunks = 8, 0
    while at < len(data) and chunks < 3:  # the third chunk claims 4 GB
        chunks += data[at] == 6
        if chunks < 3:
            at += 9 + struct.unpack_from("<Q", data, at + 1)[0]
    struct.pack_into("<Q", data, at + 1, 4 << 30)
    (tmp_path / "long.mcap").write_bytes(data[:-200])
    log = open_log(tmp_path / "long.mcap")
    found = list(log.messages())
    assert 0 < len(found) < 40
    assert log.refused["log", "cut off"] == 1
    assert not getattr(log, "complete", True)
    body = struct.pack("<QQQII", 0, 1, 4 << 30, 0, 3) + b"lz4" + struct.pack("<Q", 4) + b"abcd"
    with pytest.raises(ValueError, match="damaged chunk"):
        unpack(memoryview(body))


@pytest.mark.parametrize(("data", "said"), [
    (b"", "is empty"), (b"\x00" * 500, "does not begin as an MCAP file"), (b"\x89MCAP0\r\n", "holds no camera"),
    (b"\x89MCAP0\r\n\x01\x04\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00", "holds no camera"),
])  # fmt: skip
def test_what_is_no_log_is_said(tmp_path: Path, data: bytes, said: str) -> None:
    (tmp_path / "x.mcap").write_bytes(data)
    with pytest.raises(LogError, match=said):
        open_log(tmp_path / "x.mcap")


def test_unknown_schemas_are_named(tmp_path: Path) -> None:
    from foxglove_schemas_protobuf.LocationFix_pb2 import LocationFix

    with pytest.raises(LogError, match=r"holds no camera.*it has foxglove\.LocationFix"):
        open_log(write(tmp_path / "f.mcap", [("/gps", LocationFix(latitude=1.0), 0)]))


def test_messages_that_lie_are_counted_and_passed_over(tmp_path: Path) -> None:
    short = cloud(0)
    short.fields[0].offset = 39  # eight bytes from there do not fit
    blind = cloud(1)
    del blind.fields[2]
    small = picture(2)
    small.height = 400
    strange = picture(3)
    strange.encoding = "32FC1"
    torn = CompressedImage(format="jpeg", data=b"\xff\xd8\xff\xe0nothing")
    coded = RawAudio(format="opus", sample_rate=1, number_of_channels=1, data=b"x")
    bad = [("/p", short, 0), ("/p", blind, 1), ("/i", small, 2), ("/i", strange, 3), ("/j", stamped(torn, 4), 4),
           ("/a", stamped(coded, 5), 5), ("/p", cloud(6), 6)]  # fmt: skip
    log = open_log(write(tmp_path / "f.mcap", bad))
    assert len(list(log.messages())) == 1
    assert log.refused == {
        ("lidar/p", "cloud whose layout does not fit its bytes"): 1, ("lidar/p", "cloud without z"): 1,
        ("camera/i", "bayer_rggb8 picture whose size does not fit its bytes"): 1, ("camera/i", "pictures in 32FC1"): 1,
        ("camera/j", "damaged jpeg picture"): 1, ("audio/a", "sound coded as opus"): 1,
    }  # fmt: skip


@pytest.mark.parametrize("chunked", [True, False])
def test_no_mutation_escapes_or_reads_something_false(tmp_path: Path, chunked: bool) -> None:
    data = write(tmp_path / "f.mcap", everything(), chunked=chunked).read_bytes()
    true = {(m.header.source, m.header.arrival_ns) for m in open_log(tmp_path / "f.mcap").messages()}
    rng = np.random.default_rng(2)
    false = 0
    for number in range(150):
        damaged = bytearray(data)
        if number % 3 == 0:
            damaged = damaged[: int(rng.integers(8, len(data)))]
        elif number % 3 == 1:
            damaged[int(rng.integers(8, len(data)))] ^= 1 << int(rng.integers(8))
        else:
            at = int(rng.integers(8, len(data) - 8))
            damaged[at : at + 8] = rng.integers(0, 256, 8, np.uint8).tobytes()
        (tmp_path / "bad.mcap").write_bytes(damaged)
        try:
            found = list(open_log(tmp_path / "bad.mcap").messages())
        except LogError:
            continue
        false += len({(m.header.source, m.header.arrival_ns) for m in found} - true)
    assert false == 0 or not chunked  # without chunks there are no checksums
