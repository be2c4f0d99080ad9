"""Containers: parts, journals, metadata, compression, indexes."""

from __future__ import annotations

import bz2
import gzip
import lzma
import shutil
import sqlite3
from pathlib import Path
from typing import Any

import lz4.frame
import numpy as np
import zstandard
from mcap.writer import CompressionType, Writer
from recordings import PERIOD, ROS, bag, drive, lidar, mcap, ordered, turns
from ros_samples import Ros
from situation import Outcome, Situation, evaluated, verb
from test_bag_containers import db3, metadata
from test_rosbag import STAMP

BESIDE = "part of the recording lies beside the file"
DAMAGE = "what a library does not know is told as damage of the user's file"
SPLIT = "one container can be split, its sister not"
PRESSED = "container and compression not independent"
OPTIONAL = "an optional part taken for a duty"
LIMIT = "a limit against attacks that valid data meets"
UNREAD = "what is not understood vanishes"
TWENTY = {"lidar/points": 20}
ONE = Ros("ros1")


def rows(first: int, last: int) -> list[Any]:
    return [(k, "/points", m) for k, (_, _, m) in enumerate(lidar(last, late_ns=0))][first:]


def _journal(folder: Path, mode: str) -> Path:
    """A database whose last fifteen messages are still in its journal: as a killed recorder leaves it."""
    alive = folder / "alive"
    alive.mkdir()
    db3(alive / "x_0.db3", rows(0, 5))
    base = sqlite3.connect(alive / "x_0.db3")
    base.execute(f"PRAGMA journal_mode={mode}")
    base.execute("PRAGMA wal_autocheckpoint=0")
    for k, _, message in rows(5, 20):
        data = bytes(ROS.store.serialize_cdr(message, message.__msgtype__))
        base.execute("INSERT INTO messages VALUES (NULL, 1, ?, ?)", (STAMP + k * PERIOD, data))
    base.commit()
    for name in alive.iterdir():
        shutil.copy(name, folder / name.name)
    base.close()
    return folder / "x_0.db3"


def _parts(folder: Path, form: str, gone: int = -1, stated: bool = True) -> Path:
    """Three parts of seven, seven and six scans."""
    place = folder / "drive"
    place.mkdir()
    names = []
    for part, (first, last) in enumerate(((0, 7), (7, 14), (14, 20))):
        name = f"drive_{part}.{form}"
        if form == "db3":
            db3(place / name, rows(first, last))
        elif form == "mcap":
            mcap(place / name, lidar(last)[first:])
        else:
            bag(place / name, lidar(last, ros=ONE)[first:])
        names.append(name)
    if stated and form == "db3":
        metadata(place, names, 20)
    if gone >= 0:
        (place / names[gone]).unlink()
    return place


def _pressed(folder: Path, form: str, how: str) -> Path:
    source = folder / f"x.{form}"
    if form == "db3":
        db3(source, rows(0, 20))
    elif form == "bag":
        bag(source, lidar(ros=ONE))
    else:
        mcap(source, lidar())
    pack = {"zst": zstandard.compress, "zstd": zstandard.compress, "gz": gzip.compress, "bz2": bz2.compress,
            "xz": lzma.compress, "lz4": lz4.frame.compress}[how]  # fmt: skip
    target = folder / f"x.{form}.{how}"
    target.write_bytes(pack(source.read_bytes()))
    source.unlink()
    return target


def bare(folder: Path, finish: bool = True, **options: Any) -> Path:
    """An MCAP of 20 scans whose writer leaves out what the format lets it leave out."""
    path = folder / "x.mcap"
    with path.open("wb") as file:
        writer = Writer(file, **options)
        writer.start("ros2")
        kind = "sensor_msgs/msg/PointCloud2"
        text = ROS.store.generate_msgdef(kind, ros_version=2)[0].encode()
        channel = writer.register_channel("/points", "cdr", writer.register_schema(kind, "ros2msg", text))
        for at, _, message in lidar():
            writer.add_message(channel, at, bytes(ROS.store.serialize_cdr(message, kind)), at)
        if finish:
            writer.finish()
    return path


def _cut(path: Path, share: float) -> Path:
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
    return path


def _flipped(path: Path) -> Path:
    data = bytearray(path.read_bytes())
    data[len(data) // 3] ^= 0xFF
    path.write_bytes(data)
    return path


def _black(folder: Path) -> Path:
    pictures = turns(lambda k, t: _dark(t), topic="/cam/image_raw")
    about = turns(lambda k, t: ROS.info("cam", t, size=(1280, 960), k=(900, 0, 640, 0, 900, 480, 0, 0, 1)),
                  topic="/cam/camera_info")  # fmt: skip
    return mcap(folder / "x.mcap", ordered([*about, *pictures]))


def _dark(stamp: int) -> Any:
    made = ROS.image("cam", stamp, size=(1280, 960))
    made.data[:] = 0
    return made


def _version(folder: Path, version: int) -> Path:
    place = folder / "drive"
    place.mkdir()
    db3(place / "a_0.db3", rows(0, 20))
    metadata(place, ["a_0.db3"], 20, version=version)
    return place


def _messages_packed(folder: Path) -> Path:
    place = folder / "drive"
    place.mkdir()
    db3(place / "a_0.db3", rows(0, 20), squeezed=True)
    metadata(place, ["a_0.db3"], 20, mode="MESSAGE")
    return place


def _unknown_topics(folder: Path) -> Path:
    kind = ROS.types["sensor_msgs/msg/NavSatFix"]
    status, more = ROS.types["sensor_msgs/msg/NavSatStatus"], {"position_covariance_type": 0}

    def fix(k: int, t: int) -> Any:
        return kind(header=ROS.header("gps", t), status=status(status=0, service=1), latitude=48.0, longitude=11.0,
                    altitude=500.0, position_covariance=np.zeros(9), **more)  # fmt: skip

    return mcap(folder / "x.mcap", drive(*turns(fix, topic="/gps/fix")))


def _only(folder: Path) -> Path:
    text = ROS.types["std_msgs/msg/String"]
    return mcap(folder / "x.mcap", turns(lambda k, t: text(data="hello"), topic="/chatter"))


def _two_recordings(folder: Path) -> Path:
    place = folder / "drives"
    place.mkdir()
    mcap(place / "monday.mcap", lidar())
    mcap(place / "friday.mcap", [(at + 86_400 * 10**9, topic, m) for at, topic, m in lidar()])
    return place


def _recovered(folder: Path) -> Outcome:
    done = verb("log", "recover", _cut(bare(folder, False, chunk_size=1000), 0.8), folder / "whole.mcap")
    return evaluated(folder / "whole.mcap") if done.code in (0, 3) else done


SITUATIONS = [
    Situation("a .db3 with its -wal, as a killed recorder leaves it", "rosbag2#521", BESIDE, "all messages",
              counts=TWENTY, make=lambda f: _journal(f, "WAL")),
    Situation("parts of a .db3, the second is missing", "rosbag2#1159", BESIDE, "an error", code=3,
              has=("missing-part",), make=lambda f: _parts(f, "db3", 1)),
    *(Situation(f"a folder of three .{form}" + ("" if stated else " without metadata.yaml"), "kiss-icp#314", SPLIT,
                "one log", counts=TWENTY, make=lambda f, form=form, stated=stated: _parts(f, form, stated=stated))
      for form, stated in (("db3", True), ("db3", False), ("mcap", False), ("bag", False))),
    Situation("two recordings of different days in one folder", "own", SPLIT, "named, not mixed unsaid",
              code=3, make=_two_recordings),
    *(Situation(f"a .{form}.{how}", "own", PRESSED, "all messages", counts=TWENTY,
                make=lambda f, form=form, how=how: _pressed(f, form, how))
      for form, how in (("db3", "zstd"), ("bag", "gz"), ("mcap", "lz4"), ("mcap", "xz"), ("bag", "bz2"))),
    Situation("messages compressed one by one in a .db3", "rosbag2#2445", PRESSED, "all messages", counts=TWENTY,
              make=_messages_packed),
    *(Situation(f"metadata.yaml of version {version}", "rosbag2#1520", DAMAGE, "whole", counts=TWENTY,
                make=lambda f, version=version: _version(f, version)) for version in (4, 9, 12)),
    *(Situation(f"MCAP {what}", "rerun#10915", OPTIONAL, "all messages", counts=TWENTY, lacks=("truncated", "refused"),
                make=lambda f, options=options: bare(f, **options))
      for what, options in (
          ("without chunks", {"use_chunking": False}), ("without statistics", {"use_statistics": False}),
          ("without repeated channels and schemas", {"repeat_channels": False, "repeat_schemas": False}),
          ("without summary offsets", {"use_summary_offsets": False}),
          ("compressed by LZ4", {"compression": CompressionType.LZ4}),
          ("without checksums", {"enable_crcs": False}))),
    Situation("an MCAP without its end", "mcap#697", OPTIONAL, "an error; what is there is read", code=3,
              has=("truncated",), make=lambda f: _cut(bare(f, chunk_size=1000), 0.6)),
    Situation("an MCAP without its end, recovered", "mcap#697", OPTIONAL, "whole", make=_recovered,
              right=lambda o: 10 <= len(o.scans) < 20),
    Situation("one wrong byte in an MCAP's chunk", "own", "a value from outside used before it is checked",
              "an error, the rest is read", code=3, make=lambda f: _flipped(bare(f, chunk_size=1000)),
              right=lambda o: 15 <= len(o.scans) < 20),
    Situation("an MCAP of black pictures of 1.2 MB", "own", LIMIT, "read", make=_black,
              counts={"camera/cam_image_raw": 20}, has=("black-picture",)),
    Situation("a receiver's fixes beside the sensors", "own", UNREAD, "named as not read",
              make=_unknown_topics, right=lambda o: any("gps/fix" in f.topic + f.detail for f in o.findings)),
    Situation("a bag of texts alone", "own", UNREAD, "an error", code=2, make=_only),
    Situation("a .bag under the name .mcap", "own", "two rules for one question", "refused or read by its content",
              make=lambda f: shutil.copy(bag(f / "x.bag", lidar(ros=ONE)), f / "y.mcap"), code=2),
]  # fmt: skip
