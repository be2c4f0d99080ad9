"""What a log says of itself and of its messages: schemas, exact JSON, compressed pictures, where it comes from."""

from __future__ import annotations

import hashlib
import json
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
from mcap.reader import make_reader

from calibration import rig
from fusion_pipeline.logs.entries import entries
from fusion_pipeline.logs.json_form import found_from_json, found_to_json, health_from_json, health_to_json
from fusion_pipeline.logs.mcap_out import McapOut
from fusion_pipeline.logs.mcap_writer import McapWriter
from fusion_pipeline.logs.picture_codec import KEY_EVERY
from fusion_pipeline.logs.provenance import Provenance
from fusion_pipeline.messages import (
    AudioChunk,
    Boxes,
    CameraFrame,
    Count,
    Detections,
    EgoMotion,
    Header,
    Health,
    Hop,
    LidarScan,
    SoundEvent,
    SourceStamp,
    StageTiming,
    Tracks,
)  # fmt: skip
from fusion_pipeline.rig import Rig, to_toml

START = 1_700_000_000_123_456_789
RNG = np.random.default_rng(3)


def numbers(*shape: int) -> Any:
    """float32 with every bit in use."""
    return RNG.normal(0, 30, shape).astype(np.float32)


def ego() -> EgoMotion:
    """A pose with an accelerometer that is silent."""
    header = Header("ego/odometry", START - 5, START - 3, hops=(Hop("ego/read", 1, 2),))
    turn = RNG.normal(size=4)
    return EgoMotion(header, RNG.normal(size=3), turn / np.linalg.norm(turn), RNG.normal(size=3), RNG.normal(size=3),
                     RNG.normal(size=(6, 6)), np.full((6, 6), np.inf))  # fmt: skip


def found(kind: Any, n: int, topic: str) -> Any:
    """A set with everything in it."""
    scores = numbers(n)
    if n:
        scores[0] = np.nan
    labels, ids = RNG.integers(0, 4, n), RNG.integers(-1, 99, n)
    boxes = Boxes(numbers(n, 3), numbers(n, 3), numbers(n), numbers(n, 2), scores, labels, numbers(n, 8),
                  numbers(n, 3), ids)  # fmt: skip
    return kind(
        Header(topic, START, START + 7, "vehicle", (Hop("detector/network", START, START + 1),)), ("car", "person"),
        boxes, (SoundEvent("siren", 0.1 + 0.2, -1.5),), (SourceStamp("lidar/top", START - 50, -50),),
        ("camera/front: silent",), (ego(),),
    )  # fmt: skip


def health() -> Health:
    """A node's state."""
    return Health(Header("health/detector", START, START), "detector", 7, "degraded", "slow",
                  (StageTiming("detector/network", 3, 1.25, 2.5, 3.0),), (Count("set", "received", 4),), (),
                  (Count("set", "overwritten", 1),), (Count("set", "refused: garbage", 2),))  # fmt: skip


def same(a: Any, b: Any) -> bool:
    """Bit by bit."""
    if isinstance(a, np.ndarray):
        return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()
    if hasattr(a, "__dataclass_fields__"):
        return all(same(getattr(a, f.name), getattr(b, f.name)) for f in fields(a))
    if isinstance(a, tuple):
        return len(a) == len(b) and all(same(x, y) for x, y in zip(a, b, strict=True))
    return bool(a == b)


@pytest.mark.parametrize("n", [0, 1, 30])
@pytest.mark.parametrize(("kind", "topic"), [(Detections, "detections"), (Tracks, "tracks")])
def test_sets_come_back_from_json_bit_by_bit(kind: Any, topic: str, n: int) -> None:
    one = found(kind, n, topic)
    text = found_to_json(one)
    assert "NaN" not in text
    assert same(found_from_json(text.encode(), kind, topic, START + 7), one)


def test_health_comes_back_from_json() -> None:
    assert health_from_json(health_to_json(health()).encode(), "health/detector", START) == health()


def test_every_json_message_is_as_its_schema_says(tmp_path: Path) -> None:
    scan = LidarScan(Header("lidar/top", START, START), 5, numbers(9, 3), numbers(9), np.zeros(9, np.uint16),
                     np.zeros(9, np.int32))  # fmt: skip
    with McapWriter(tmp_path / "log.mcap") as writer:
        for message in (found(Detections, 3, "detections"), found(Tracks, 2, "tracks"), health(), scan, ego()):
            writer.write(message)
        writer.note("truth/details", {"a": 1}, START)
    seen = set()
    with (tmp_path / "log.mcap").open("rb") as file:
        for schema, channel, record in make_reader(file, validate_crcs=True).iter_messages():
            assert schema is not None
            if channel.message_encoding == "json":
                assert schema.encoding == "jsonschema"
                described = json.loads(schema.data)
                jsonschema.Draft202012Validator.check_schema(described)
                jsonschema.validate(json.loads(record.data), described)
                seen.add(schema.name)
                if schema.name == "fusion.tracks":
                    with pytest.raises(jsonschema.ValidationError):
                        jsonschema.validate({"stamp_ns": "x"}, described)
            else:
                assert schema.encoding == "protobuf"
    assert seen == {"fusion.detections", "fusion.tracks", "fusion.health", "fusion.beside", "fusion.truth"}


def test_the_payload_behind_the_other_fields_is_the_same_message_to_protobuf() -> None:
    from foxglove_schemas_protobuf.CompressedImage_pb2 import CompressedImage
    from foxglove_schemas_protobuf.PointCloud_pb2 import PointCloud
    from foxglove_schemas_protobuf.RawAudio_pb2 import RawAudio

    xyz, light = numbers(7, 3), numbers(7)
    scan = LidarScan(Header("lidar/top", START, START), 5, xyz[:, ::1], light, np.arange(7, dtype=np.uint16),
                     np.arange(7, dtype=np.int32))  # fmt: skip
    picture = CameraFrame(Header("camera/a", START, START), "png", 4, 5, np.arange(200, dtype=np.uint8))
    sound = AudioChunk(Header("audio/a", START, START), 8000, np.arange(12, dtype=np.int16).reshape(6, 2)[::-1])
    made = []
    for message in (scan, picture, sound):
        *_, entry = entries(message)
        place = np.zeros(entry.size, np.uint8)
        entry.put(place)
        made.append(place.tobytes())
    cloud = PointCloud.FromString(made[0])
    assert (cloud.timestamp.seconds * 10**9 + cloud.timestamp.nanos, cloud.frame_id) == (START, "lidar/top")
    rows = np.frombuffer(cloud.data, np.dtype("<f4, <f4, <f4, <f4, <u2, <i4"))
    assert np.stack([rows["f0"], rows["f1"], rows["f2"]], 1).tobytes() == xyz.tobytes()
    assert rows["f3"].tobytes() == light.tobytes()
    assert rows["f4"].tolist() == rows["f5"].tolist() == list(range(7))
    image = CompressedImage.FromString(made[1])
    assert (image.data, image.format) == (picture.data.tobytes(), "png")
    audio = RawAudio.FromString(made[2])
    assert (audio.data, audio.number_of_channels) == (sound.pcm.tobytes(), 2)


def frame(k: int, height: int = 121, width: int = 161, encoding: str = "rgb8") -> CameraFrame:
    """A bright square that moves over a slope."""
    at = START + k * 50_000_000
    picture = np.zeros((height, width, 3), np.uint8)
    picture[:, :, 0] = np.linspace(0, 200, width)
    picture[30:60, 10 + 4 * k : 40 + 4 * k, 1] = 250
    data = picture if encoding != "mono8" else picture[:, :, :1].copy()
    return CameraFrame(Header("camera/front", at, at + 9), encoding, height, width, data)


@pytest.mark.parametrize("encoding", ["rgb8", "bgr8", "mono8"])
@pytest.mark.parametrize("form", ["jpeg", "png"])
def test_raw_pictures_may_be_made_smaller(tmp_path: Path, form: str, encoding: str) -> None:
    import cv2

    with McapWriter(tmp_path / "log.mcap", images=form) as writer:
        writer.write(frame(0, encoding=encoding))
    from fusion_pipeline.logs.reader import open_log

    (back,) = open_log(tmp_path / "log.mcap").messages()
    assert isinstance(back, CameraFrame)
    assert (back.encoding, back.height_px, back.width_px) == (form, 121, 161)
    picture = cv2.imdecode(back.data, cv2.IMREAD_UNCHANGED).reshape(121, 161, -1)
    true = frame(0, encoding=encoding).data
    true = true[:, :, ::-1] if encoding == "rgb8" else true
    error = np.abs(picture.astype(int) - true.astype(int)).mean()
    assert error == 0 if form == "png" else error < 4


def test_video_has_a_packet_for_each_picture_and_begins_anew_in_time(tmp_path: Path) -> None:
    av = pytest.importorskip("av")
    from foxglove_schemas_protobuf.CompressedVideo_pb2 import CompressedVideo

    count = 2 * KEY_EVERY + 3
    with McapWriter(tmp_path / "log.mcap", images="h264") as writer:
        for k in range(count):
            writer.write(frame(k))
    packets = []
    with (tmp_path / "log.mcap").open("rb") as file:
        for schema, _, record in make_reader(file).iter_messages(topics=["camera/front"]):
            assert schema is not None
            assert schema.name == "foxglove.CompressedVideo"
            packets.append(CompressedVideo.FromString(record.data))
    assert len(packets) == count
    assert {packet.format for packet in packets} == {"h264"}
    keys = [k for k, packet in enumerate(packets) if b"\0\0\1\x67" in packet.data]  # a sequence parameter set
    assert keys == [0, KEY_EVERY, 2 * KEY_EVERY]
    for start in (0, KEY_EVERY):
        codec = av.CodecContext.create("h264", "r")
        for k in range(start, start + 5):
            (picture,) = codec.decode(av.Packet(packets[k].data))
            shown = picture.to_ndarray(format="rgb24")[:121, :161]
            assert np.abs(shown.astype(int) - frame(k).data.astype(int)).mean() < 8


def test_a_file_says_where_it_comes_from(tmp_path: Path) -> None:
    model = tmp_path / "mine.onnx"
    model.write_bytes(b"network")
    model.with_suffix(".toml").write_text('name = "mine"\n')
    configuration = json.dumps({"processes": [
        {"name": "detector", "config": {"model": str(model), "threads": 2}},
        {"name": "tracker", "config": {"model": "nowhere.onnx"}}, {"name": "camera", "config": {}},
    ]})  # fmt: skip
    demo = Rig.load(rig("demo"))
    file = McapOut(tmp_path / "log.mcap")
    Provenance.of_graph(demo, configuration, {"drive": "7"}).write_to(file)
    file.close()
    with (tmp_path / "log.mcap").open("rb") as opened:
        reader = make_reader(opened, validate_crcs=True)
        metadata = {record.name: record.metadata for record in reader.iter_metadata()}
        attachments = {record.name: record.data for record in reader.iter_attachments()}
    assert metadata["fusion.rig"] == {"toml": to_toml(demo)}
    assert metadata["fusion.facts"] == {"drive": "7"}
    assert metadata["fusion.model"]["sha256"] == hashlib.sha256(b"network").hexdigest()
    assert {"fusion-pipeline", "foxglove-sdk", "numpy"} <= set(metadata["fusion.versions"])
    assert attachments == {
        "rig.toml": to_toml(demo).encode(), "configuration.json": configuration.encode(),
        "detector.model.toml": b'name = "mine"\n',
    }  # fmt: skip
    assert not list(Provenance.of_graph(None, "{broken").models)


def test_the_index_is_as_the_format_says(tmp_path: Path) -> None:
    with McapWriter(tmp_path / "log.mcap") as writer:
        for k in range(30):
            at = START + k * 200_000_000
            header = Header("audio/a", at, at)
            writer.write(AudioChunk(header, 8000, np.zeros((50, 1), np.int16)))
            writer.write(replace(frame(0), header=Header("camera/front", at, at)))
    with (tmp_path / "log.mcap").open("rb") as file:
        reader = make_reader(file, validate_crcs=True)
        summary = reader.get_summary()
        assert summary is not None
        assert summary.statistics is not None
        assert summary.statistics.message_count == 120  # each with what lies beside it
        assert summary.statistics.chunk_count == len(summary.chunk_indexes) >= 6
        assert summary.statistics.message_start_time == START
        assert all(chunk.message_end_time - chunk.message_start_time < 10**9 for chunk in summary.chunk_indexes)
        for chunk in summary.chunk_indexes:
            for place in chunk.message_index_offsets.values():
                file.seek(place)
                assert file.read(1) == b"\x07"
        later = START + 3_000_000_000
        times = [record.log_time for _, _, record in reader.iter_messages(topics=["audio/a"], start_time=later)]
    assert times == [START + k * 200_000_000 for k in range(15, 30)]
