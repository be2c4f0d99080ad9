"""Bags as recorders leave them: split, unclosed, compressed, damaged, of other versions; with one right word each."""

from __future__ import annotations

import bz2
import gzip
import lzma
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("rosbags")

import zstandard
from rosbags.rosbag1 import Writer as Writer1
from rosbags.typesys import Stores, get_types_from_msg, get_typestore
from test_rosbag import STAMP, STORES, TRANSFORMS, Makes, points

from fusion_pipeline.logs.reader import LogError, open_log
from fusion_pipeline.logs.rosbag import RosLog
from fusion_pipeline.logs.surgery import recovered
from fusion_pipeline.messages import LidarScan

CLOUD, IMAGE, PICTURE = "sensor_msgs/msg/PointCloud2", "sensor_msgs/msg/Image", "sensor_msgs/msg/CompressedImage"
STEP_NS = 10**8


def log_of(path: Path) -> RosLog:
    log = open_log(path)
    assert isinstance(log, RosLog)
    return log


def read(path: Path) -> tuple[RosLog, list[int]]:
    """A bag, and when its messages arrived in tenths of a second."""
    log = log_of(path)
    return log, [(m.header.arrival_ns - STAMP) // STEP_NS for m in log.messages()]


def named(log: RosLog) -> dict[str, int]:
    """Findings by name, without those of places and contents."""
    found: dict[str, int] = {}
    for item in log.findings:
        if item.name in ("no-calibration", "intensity-scale", "no-transform", "no-lens"):
            continue
        found[item.name] = found.get(item.name, 0) + 1
    return found


def clouds(numbers: range) -> list[tuple[int, str, Any]]:
    return [(k, "/points", Makes("ros2").cloud(points())) for k in numbers]


def db3(path: Path, content: list[tuple[int, str, Any]], squeezed: bool = False, sql: str = "") -> Path:
    """A database as rosbag2 of ROS 2 Jazzy writes it, with its definitions."""
    store = STORES["ros2"]
    with closing(sqlite3.connect(path)) as base:
        base.executescript(
            "CREATE TABLE schema(schema_version INTEGER PRIMARY KEY, ros_distro TEXT NOT NULL);"
            "INSERT INTO schema VALUES (4, 'jazzy');"
            "CREATE TABLE topics(id INTEGER PRIMARY KEY, name TEXT NOT NULL, type TEXT NOT NULL,"
            " serialization_format TEXT NOT NULL, offered_qos_profiles TEXT NOT NULL, type_description_hash TEXT);"
            "CREATE TABLE message_definitions(id INTEGER PRIMARY KEY, topic_type TEXT NOT NULL, encoding TEXT NOT NULL,"
            " encoded_message_definition TEXT NOT NULL, type_description_hash TEXT NOT NULL);"
            "CREATE TABLE messages(id INTEGER PRIMARY KEY, topic_id INTEGER NOT NULL, timestamp INTEGER NOT NULL,"
            " data BLOB NOT NULL);"
            "CREATE INDEX timestamp_idx ON messages (timestamp ASC);"
        )
        numbers: dict[str, int] = {}
        for at, topic, message in content:
            kind = message.__msgtype__
            if topic not in numbers:
                numbers[topic] = len(numbers) + 1
                base.execute("INSERT INTO topics VALUES (?, ?, ?, 'cdr', '', '')", (numbers[topic], topic, kind))
                text = store.generate_msgdef(kind, ros_version=2)[0]
                base.execute("INSERT INTO message_definitions VALUES (NULL, ?, 'ros2msg', ?, '')", (kind, text))
            data = bytes(store.serialize_cdr(message, kind))
            data = zstandard.compress(data) if squeezed else data
            row = numbers[topic], STAMP + at * STEP_NS, data
            base.execute("INSERT INTO messages VALUES (NULL, ?, ?, ?)", row)
        base.executescript(sql)
        base.commit()
    return path


def metadata(folder: Path, files: list[str], count: int, mode: str = "", version: int = 9) -> None:
    """metadata.yaml, in the layout of the newest versions."""
    blank = "''"
    form = "zstd" if mode else blank
    listed = "".join(f"    - {name}\n" for name in files)
    (folder / "metadata.yaml").write_text(
        f"rosbag2_bagfile_information:\n  version: {version}\n  storage_identifier: sqlite3\n"
        "  duration:\n    nanoseconds: 1\n  starting_time:\n    nanoseconds_since_epoch: 1\n"
        f"  message_count: {count}\n  topics_with_message_count:\n    - topic_metadata:\n        name: /points\n"
        f"        type: {CLOUD}\n        serialization_format: cdr\n        offered_qos_profiles: []\n"
        f"      message_count: {count}\n  compression_format: {form}\n"
        f"  compression_mode: {mode or blank}\n  relative_file_paths:\n{listed}  files: []\n  custom_data: {{}}\n"
        "  ros_distro: jazzy\n"
    )


def bag(path: Path, numbers: range, compression: str = "") -> Path:
    """A ROS 1 bag."""
    store, makes = STORES["ros1"], Makes("ros1")
    writer = Writer1(path)
    if compression:
        writer.set_compression(getattr(Writer1.CompressionFormat, compression))
    with writer:
        connection = writer.add_connection("/points", CLOUD, typestore=store)
        for k in numbers:
            data = store.serialize_ros1(makes.cloud(points()), CLOUD)
            writer.write(connection, STAMP + k * STEP_NS, data)
    return path


@pytest.mark.parametrize("version", [*range(1, 10), 27])
def test_every_version_of_the_metadata_is_whole(version: int, tmp_path: Path) -> None:
    db3(tmp_path / "a_0.db3", clouds(range(5)))
    metadata(tmp_path, ["a_0.db3"], 5, version=version)
    log, times = read(tmp_path)
    assert times == [*range(5)]
    assert log.complete
    assert not log.refused
    assert not named(log)
    assert log.counts() == {"lidar/points": 5}


@pytest.mark.parametrize("name", ["a b_0.db3", "a?b#c%20_0.db3", "ü&=;_0.db3"])
def test_names_are_quoted(name: str, tmp_path: Path) -> None:
    folder = tmp_path / "q?x#y%41"
    folder.mkdir()
    db3(folder / name, clouds(range(3)))
    assert read(folder)[1] == read(folder / name)[1] == [0, 1, 2]


@pytest.mark.parametrize("journal", ["wal", "delete"])
def test_what_lies_in_a_journal_is_part_of_the_recording(journal: str, tmp_path: Path) -> None:
    """As a killed recorder leaves it: a write-ahead log is brought in, a half-written change taken back."""
    work, left = tmp_path / "work", tmp_path / "left"
    work.mkdir()
    left.mkdir()
    path = db3(work / "a_0.db3", clouds(range(20)))
    with closing(sqlite3.connect(path, isolation_level=None)) as base:
        base.execute(f"PRAGMA journal_mode={journal}")
        base.execute("PRAGMA cache_size=1")
        base.execute("BEGIN")
        row = "INSERT INTO messages SELECT NULL, topic_id, timestamp + ?, data FROM messages WHERE id <= 20"
        base.execute(row, (20 * STEP_NS,))
        if journal == "wal":
            base.execute("COMMIT")
        for file in work.iterdir():
            if not file.name.endswith("-shm"):
                shutil.copy(file, left / file.name)
        if journal != "wal":
            base.execute("ROLLBACK")
    before = {file.name: file.read_bytes() for file in left.iterdir()}
    assert len(before) == 2
    left.chmod(0o500)
    try:
        log, times = read(left)
    finally:
        left.chmod(0o700)
    assert times == [*range(40 if journal == "wal" else 20)]
    assert named(log) == {"not-closed": 1}
    assert {file.name: file.read_bytes() for file in left.iterdir()} == before


@pytest.mark.parametrize("mode", ["file", "message"])
@pytest.mark.parametrize("said", [True, False])
def test_compressed_databases(mode: str, said: bool, tmp_path: Path) -> None:
    name = "a_0.db3"
    path = db3(tmp_path / name, clouds(range(5)), squeezed=mode == "message")
    if mode == "file":
        name = "a_0.db3.zstd"
        (tmp_path / name).write_bytes(zstandard.compress(path.read_bytes()))
        path.unlink()
    if said:
        metadata(tmp_path, [name], 5, mode.upper())
    for place in (tmp_path, tmp_path / name):
        log, times = read(place)
        assert times == [*range(5)]
        assert not log.refused
        assert log.complete


def test_a_compressed_file_that_is_not_whole_is_said(tmp_path: Path) -> None:
    path = db3(tmp_path / "a.db3", clouds(range(200)))
    packed = zstandard.compress(path.read_bytes() + np.random.default_rng(1).bytes(300_000))
    (tmp_path / "b.db3.zstd").write_bytes(packed[: len(packed) - 200_000])
    log, times = read(tmp_path / "b.db3.zstd")
    assert times
    assert not log.complete
    assert "truncated" in named(log)
    (tmp_path / "c.db3.zstd").write_bytes(b"no zstd")
    with pytest.raises(LogError, match=r"c\.db3\.zstd is named as a compressed file"):
        open_log(tmp_path / "c.db3.zstd")


@pytest.mark.parametrize("ending", ["bag.gz", "bag.zst", "db3.xz", "db3.bz2"])
def test_any_compression_goes_with_any_container(ending: str, tmp_path: Path) -> None:
    inner, _, form = ending.partition(".")
    path = bag(tmp_path / "a.bag", range(4)) if inner == "bag" else db3(tmp_path / "a.db3", clouds(range(4)))
    pack = {"gz": gzip.compress, "zst": zstandard.compress, "xz": lzma.compress, "bz2": bz2.compress}[form]
    (tmp_path / f"a.{ending}").write_bytes(pack(path.read_bytes()))
    path.unlink()
    assert read(tmp_path / f"a.{ending}")[1] == read(tmp_path)[1] == [*range(4)]


@pytest.mark.parametrize("world", ["ros1", "ros2", "ros2 with metadata"])
def test_parts_are_one_log_and_a_missing_one_is_named(world: str, tmp_path: Path) -> None:
    names = [f"drive_{k}" + (".bag" if world == "ros1" else ".db3") for k in range(3)]
    for k, name in enumerate(names):
        numbers = range(4 * k, 4 * k + 4)
        _ = bag(tmp_path / name, numbers) if world == "ros1" else db3(tmp_path / name, clouds(numbers))
    if world.endswith("metadata"):
        metadata(tmp_path, names, 12)
    log, times = read(tmp_path)
    assert times == [*range(12)]
    assert log.counts() == {"lidar/points": 12}
    assert not named(log)
    assert named(read(tmp_path / names[1])[0]) == {"other-parts": 1}
    (tmp_path / names[1]).unlink()
    log, times = read(tmp_path)
    assert times == [0, 1, 2, 3, 8, 9, 10, 11]
    assert "missing-part" in named(log)
    (tmp_path / names[0]).unlink()
    assert not {"missing-part", "later-part"}.isdisjoint(named(read(tmp_path)[0]))


@pytest.mark.parametrize("world", ["ros1", "ros2"])
def test_transforms_of_the_first_part_hold_for_all(world: str, tmp_path: Path) -> None:
    makes = Makes(world)
    if world == "ros1":
        store = STORES["ros1"]
        with Writer1(tmp_path / "a_0.bag") as writer:
            still = writer.add_connection("/tf_static", TRANSFORMS, typestore=store, latching=1)
            lidar = writer.add_connection("/velodyne/points", CLOUD, typestore=store)
            writer.write(still, STAMP, store.serialize_ros1(makes.frames(), TRANSFORMS))
            writer.write(lidar, STAMP, store.serialize_ros1(makes.cloud(points()), CLOUD))
        with Writer1(tmp_path / "a_1.bag") as writer:
            lidar = writer.add_connection("/velodyne/points", CLOUD, typestore=store)
            writer.write(lidar, STAMP + STEP_NS, store.serialize_ros1(makes.cloud(points()), CLOUD))
    else:
        db3(tmp_path / "a_0.db3", [(0, "/tf_static", makes.frames()), (0, "/velodyne/points", makes.cloud(points()))])
        db3(tmp_path / "a_1.db3", [(1, "/velodyne/points", makes.cloud(points()))])
    log, times = read(tmp_path)
    assert times == [0, 1]
    assert [*log.rig.lidars] == ["lidar/velodyne_points"]
    np.testing.assert_allclose(
        log.rig.lidars["lidar/velodyne_points"].vehicle_from_sensor.translation_m, (0.2, 0, 1.75)
    )
    ending = "bag" if world == "ros1" else "db3"
    assert not log_of(tmp_path / f"a_1.{ending}").rig.lidars


def test_bags_that_are_no_parts_of_one_are_refused(tmp_path: Path) -> None:
    for folder, names in (("a", ("x.bag", "y.bag")), ("b", ("x_0.bag", "y_0.bag")), ("c", ("run_1.bag", "run_2.bag"))):
        (tmp_path / folder).mkdir()
        for name in names:
            bag(tmp_path / folder / name, range(5))
        with pytest.raises(LogError, match="not the parts of one recording"):
            open_log(tmp_path / folder)
    (tmp_path / "d").mkdir()
    bag(tmp_path / "d" / "day_1.bag", range(5))
    bag(tmp_path / "d" / "day_2.bag", range(36_000, 36_005))
    with pytest.raises(LogError, match="not the parts of one recording"):
        open_log(tmp_path / "d")


@pytest.mark.parametrize("compression", ["", "BZ2", "LZ4"])
def test_a_bag_that_is_not_closed(compression: str, tmp_path: Path) -> None:
    whole = bag(tmp_path / "whole.bag", range(10), compression).read_bytes()
    assert read(tmp_path / "whole.bag")[1] == [*range(10)]
    place = whole.index(b"index_pos=") + 10
    unclosed = whole[:place] + bytes(8) + whole[place + 8 :]
    (tmp_path / "drive.bag.active").write_bytes(unclosed)
    log, times = read(tmp_path / "drive.bag.active")
    assert times == [*range(10)]
    assert log.complete
    assert named(log) == {"not-closed": 1}


def test_one_topic_of_two_types(tmp_path: Path) -> None:
    """Each connection is read by its own type."""
    store, makes = STORES["ros1"], Makes("ros1")
    picture = np.zeros((24, 32, 3), np.uint8)
    import cv2

    packed = store.types[PICTURE](header=makes.header("c"), format="png", data=cv2.imencode(".png", picture)[1].ravel())
    with Writer1(tmp_path / "two.bag") as writer:
        plain = writer.add_connection("/camera", IMAGE, typestore=store)
        other = writer.add_connection("/camera", PICTURE, typestore=store)
        for k in range(10):
            message, connection = (makes.image(picture, "rgb8"), plain) if k % 2 else (packed, other)
            data = store.serialize_ros1(message, message.__msgtype__)
            writer.write(connection, STAMP + k * STEP_NS, data)
    log, times = read(tmp_path / "two.bag")
    assert times == [*range(10)]
    assert log.topics == ("camera/camera",)
    assert not log.refused


def test_versions_and_encryption_are_named(tmp_path: Path) -> None:
    (tmp_path / "old.bag").write_bytes(b"#ROSRECORD V1.2\n" + bytes(100))
    with pytest.raises(LogError, match=r"of version 1\.2, which is not read"):
        open_log(tmp_path / "old.bag")
    whole = bag(tmp_path / "whole.bag", range(3)).read_bytes()
    head = int.from_bytes(whole[13:17], "little")
    field = b"encryptor=rosbag/AesCbcEncryptor"
    more = len(field).to_bytes(4, "little") + field
    secret = whole[:13] + (head + len(more)).to_bytes(4, "little") + whole[17 : 17 + head] + more + whole[17 + head :]
    (tmp_path / "secret.bag").write_bytes(secret)
    with pytest.raises(LogError, match="is encrypted"):
        open_log(tmp_path / "secret.bag")


def test_topics_that_are_not_read_are_named(tmp_path: Path) -> None:
    more = (
        "INSERT INTO topics VALUES (7, '/radar', 'radar_msgs/msg/RadarScan', 'cdr', '', '');"
        "INSERT INTO topics VALUES (8, '/state', 'my_msgs/msg/State', 'cdr', '', '');"
        "INSERT INTO topics VALUES (9, '/rear', 'sensor_msgs/msg/PointCloud2', 'cdr', '', '');"
        f"INSERT INTO messages VALUES (NULL, 7, {STAMP}, x'00010000');"
        f"INSERT INTO messages VALUES (NULL, 8, {STAMP}, x'00010000');"
    )
    log, times = read(db3(tmp_path / "a.db3", clouds(range(3)), sql=more))
    assert times == [0, 1, 2]
    assert not log.refused
    found = {(item.name, item.topic): item.detail for item in log.findings if item.name in named(log)}
    assert found == {
        ("unread-sensor", "/radar"): "radar_msgs/msg/RadarScan (cdr), 1 messages",
        ("unread-topic", "/state"): "my_msgs/msg/State (cdr), 1 messages",
        ("empty-topic", "/rear"): f"{CLOUD} (cdr)",
    }


@pytest.mark.parametrize("table", ["messages", "topics"])
def test_views_are_not_read(table: str, tmp_path: Path) -> None:
    view = (
        f"ALTER TABLE {table} RENAME TO other; CREATE VIEW {table} AS WITH RECURSIVE n(k) AS"
        " (SELECT 1 UNION ALL SELECT k + 1 FROM n) SELECT other.* FROM other, n;"
    )
    path = db3(tmp_path / "a.db3", clouds(range(2)), sql=view)
    with pytest.raises(LogError, match=f"no such table: {table}"):
        open_log(path)


def test_values_of_another_type_are_counted(tmp_path: Path) -> None:
    wrong = (
        f"INSERT INTO messages VALUES (NULL, 1, {STAMP}, 'text');"
        f"INSERT INTO messages VALUES (NULL, 1, {STAMP}, 12);"
        "INSERT INTO messages VALUES (NULL, 1, 'noon', x'00');"
        "INSERT INTO messages VALUES (NULL, 1, -5, x'00');"
        "INSERT INTO topics VALUES ('seven', x'ff', 'c', 'cdr', '', '');"
    ).replace("('seven'", "(7")
    log, times = read(db3(tmp_path / "a.db3", clouds(range(3)), sql=wrong))
    assert times == [0, 1, 2]
    assert log.refused == {("/points", "message that is no bytes"): 2, ("/points", "message without a time"): 2}
    assert named(log) == {"unread-topic": 1}


def test_a_database_that_was_cut_off_is_read_as_far_as_it_goes(tmp_path: Path) -> None:
    path = db3(tmp_path / "a.db3", clouds(range(100)))
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    log, times = read(path)
    assert not log.complete
    assert log.refused["log", "cut off"]
    assert 30 < len(times) < 70
    assert times == [*range(len(times))]


def test_a_damaged_page_costs_what_is_in_it(tmp_path: Path) -> None:
    path = db3(tmp_path / "a.db3", clouds(range(200)))
    data = bytearray(path.read_bytes())
    at = data.index(b"velodyne", len(data) // 2) // 4096 * 4096
    data[at : at + 4096] = bytes(4096)
    path.write_bytes(data)
    log, times = read(path)
    assert 150 < len(times) < 200
    assert len({*times}) == len(times)
    assert any("damaged" in reason or "malformed" in reason for _, reason in log.refused)


@pytest.mark.parametrize("kind", ["wal", "bag", "several"])
def test_the_given_cases(kind: str, data_root: Path) -> None:
    cases = data_root.parent / "cases" / "logs"
    if not cases.is_dir():
        pytest.skip(f"no cases at {cases}")
    name, count = {"wal": ("k13_db3_wal", 60), "bag": ("k14_jazzy_db3", 20), "several": ("k10_split_bags", 12)}[kind]
    log, times = read(cases / name)
    assert len(times) == count
    assert log.complete
    assert not log.refused


@pytest.mark.parametrize("container", ["bag", "db3", "parts"])
def test_recover_makes_mcap_of_bags(container: str, tmp_path: Path) -> None:
    """Every stored message as it is, with its definition, and what was lost."""
    source = tmp_path / "source"
    source.mkdir()
    if container == "bag":
        bag(source / "a.bag", range(6))
    elif container == "db3":
        db3(source / "a.db3", clouds(range(6)))
    else:
        for k in (0, 2):
            bag(source / f"a_{k}.bag", range(3 * k, 3 * k + 3))
    count, lost = recovered(source, tmp_path / "whole.mcap")
    assert count == 6
    assert [*lost] == (["missing-part, number 1 of a"] if container == "parts" else [])
    ours, theirs = open_log(tmp_path / "whole.mcap"), log_of(source)
    for one, other in zip(ours.messages(), theirs.messages(), strict=True):
        assert isinstance(one, LidarScan)
        assert isinstance(other, LidarScan)
        assert one.header == other.header
        np.testing.assert_array_equal(one.xyz_m, other.xyz_m)


def test_an_error_of_this_program_is_not_damage_of_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = db3(tmp_path / "a.db3", clouds(range(3)))

    def wrong(*_: object) -> None:
        raise AttributeError("no such attribute")

    monkeypatch.setattr("fusion_pipeline.logs.rosbag.RosDecoder.decode", wrong)
    with pytest.raises(AttributeError):
        list(log_of(path).messages())


def test_a_definition_with_other_fields_is_said(tmp_path: Path) -> None:
    other = "UPDATE message_definitions SET encoded_message_definition = 'std_msgs/Header header\nuint8[] data'"
    header = STORES["ros2"].generate_msgdef("std_msgs/msg/Header", ros_version=2)[0]
    other = other.replace("data'", f"data\n{'=' * 80}\nMSG: std_msgs/Header\n{header}'")
    image = [(5, "/camera", Makes("ros2").image(np.zeros((24, 32, 3), np.uint8), "rgb8"))]
    other += f" WHERE topic_type = '{CLOUD}';"
    log, times = read(db3(tmp_path / "a.db3", clouds(range(3)) + image, sql=other))
    assert times == [5]
    (said,) = (item.detail for item in log.findings if item.name == "unread-sensor")
    assert said.startswith(f"{CLOUD}, 3 messages; its definition lacks")


def test_types_of_drivers_are_known_without_definitions(tmp_path: Path) -> None:
    """As in databases before ROS 2 Iron; a type that nobody knows is named, not damaged."""
    from fusion_pipeline.logs.ros_types import DRIVERS

    types = get_typestore(Stores.ROS2_HUMBLE)
    types.register({k: v for name in ("CustomPoint", "CustomMsg") for k, v in get_types_from_msg(
        DRIVERS[f"livox_ros_driver2/msg/{name}"], f"livox_ros_driver2/msg/{name}").items()})  # fmt: skip
    point, message = (types.types[f"livox_ros_driver2/msg/{name}"] for name in ("CustomPoint", "CustomMsg"))
    made = [point(offset_time=1000 * k, x=1.0 * k, y=2.0, z=0.5, reflectivity=9, tag=0, line=0) for k in range(1, 21)]
    scan = message(header=Makes("ros2").header("livox"), timebase=STAMP, point_num=20, lidar_id=1,
                   rsvd=np.zeros(3, np.uint8), points=made)  # fmt: skip
    data = bytes(types.serialize_cdr(scan, "livox_ros_driver2/msg/CustomMsg"))
    path = db3(tmp_path / "a.db3", [])
    with closing(sqlite3.connect(path)) as base:
        base.execute("INSERT INTO topics VALUES (1, '/livox/lidar', 'livox_ros_driver2/msg/CustomMsg', 'cdr', '', '')")
        base.execute("INSERT INTO topics VALUES (2, '/sound', 'audio_common_msgs/msg/AudioStamped', 'cdr', '', '')")
        base.execute("INSERT INTO messages VALUES (NULL, 1, ?, ?)", (STAMP, data))
        base.execute("INSERT INTO messages VALUES (NULL, 2, ?, ?)", (STAMP, data))
        base.execute("DROP TABLE message_definitions")
        base.commit()
    log = log_of(path)
    (read_back,) = log.messages()
    assert isinstance(read_back, LidarScan)
    assert len(read_back.xyz_m) == 20
    assert not log.refused
    found = {item.topic: item.detail for item in log.findings if item.name == "unread-sensor"}
    kind = "audio_common_msgs/msg/AudioStamped"
    assert found == {"/sound": f"{kind}, 1 messages; messages of the unknown type {kind}"}
