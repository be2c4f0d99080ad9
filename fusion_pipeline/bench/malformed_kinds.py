"""THE table of inputs that are made malformed: how a sound one is made, and how it is read."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from fusion_pipeline.bench import malformed_datasets as data
from fusion_pipeline.bench import malformed_ros as ros
from fusion_pipeline.bench import malformed_samples as sound
from fusion_pipeline.bench import wire
from fusion_pipeline.bench.malformed_change import SEPARATOR
from fusion_pipeline.manifest import SHIPPED

if TYPE_CHECKING:
    from fusion_pipeline.graph import Graph

TOO_MANY = 10_000  # messages of a log of a few dozen: it does not end by itself


@dataclass(frozen=True)
class Kind:
    """One kind of input. `prepare` writes a sound one into a folder and names what is opened."""

    name: str
    prepare: Callable[[Path], Path]
    read: Callable[[Path], None]
    share: float = 1.0  # of the inputs, beside the other kinds'
    command: tuple[str, ...] = ()  # of `fusion`, which reads the path that is put behind it
    fixed: tuple[str, ...] = ()  # suffixes of files that are left as they are


def read_log(path: Path) -> None:
    """Everything that `fusion log info` and `fusion log check` look at, and the labels."""
    from fusion_pipeline.logs.card import card
    from fusion_pipeline.logs.reader import open_log
    from fusion_pipeline.logs.survey import surveyed

    count = 0

    def advance(more: int) -> None:
        nonlocal count
        count += more
        if count > TOO_MANY:
            raise RuntimeError("the log does not end")

    surveyed(path, advance)
    card(path)
    log = open_log(path)
    for _ in log.labels():
        advance(1)


def read_rig(path: Path) -> None:
    """A rig file, whether it is plausible, and written again."""
    from fusion_pipeline.rig import Rig, to_toml
    from fusion_pipeline.rig_checks import implausible

    rig = Rig.load(path)
    list(implausible(rig))
    to_toml(rig)


def read_manifest(path: Path) -> None:
    """A model's manifest."""
    from fusion_pipeline.manifest import Manifest

    Manifest.load(path)


def read_results(path: Path) -> None:
    """Lines of results."""
    from fusion_pipeline.logs.result_lines import read_lines

    list(read_lines(path))


def read_picture(path: Path) -> None:
    """A picture's pixels."""
    from fusion_pipeline.picture_file import pixels

    pixels(np.fromfile(path, np.uint8))


def read_capture(path: Path) -> None:
    """The datagrams of a capture."""
    from fusion_pipeline.sensors.pcap import datagrams

    for count, _ in enumerate(datagrams(path)):
        if count > TOO_MANY:
            raise RuntimeError("the capture does not end")


def read_set(path: Path) -> None:
    """A value for `--set`, from a file that holds it, put into the demo's graph and checked."""
    _graph().with_overrides(path.read_text(encoding="utf-8").split(SEPARATOR)).check()


def read_onnx_file(path: Path) -> None:
    """What a model file says of itself."""
    from fusion_pipeline.onnxfile import read_onnx

    read_onnx(path)


def read_frames(path: Path) -> None:
    """Messages on the wire; the file holds the seed of what is done to them."""
    outcomes = wire.fuzz(1, int.from_bytes(path.read_bytes()[:8], "little"))
    if outcomes["escaped"]:
        raise RuntimeError("an exception of another kind than Refused or Lost")


@lru_cache(maxsize=1)
def _graph() -> Graph:
    from fusion_pipeline.graph import LAUNCH_FILES, load_graph

    return load_graph(LAUNCH_FILES / "demo.py")


def _rig(folder: Path) -> Path:
    return sound.written(folder / "rig.toml", sound.RIG)


def _model(folder: Path) -> Path:
    for suffix in (".onnx", ".toml"):
        shutil.copyfile(SHIPPED / f"fusion_nano{suffix}", folder / f"fusion_nano{suffix}")
    return folder / "fusion_nano.toml"


def _network(folder: Path) -> Path:
    shutil.copyfile(SHIPPED / "fusion_nano.onnx", folder / "fusion_nano.onnx")
    return folder / "fusion_nano.onnx"


def _assignments(folder: Path) -> Path:
    processes = ((p.label, p.config) for p in _graph().processes)
    lines = [
        f"{label}.{key}={getattr(config, key)}" for label, config in processes for key in config.__dataclass_fields__
    ]
    return sound.written(folder / "values.set", "\n".join(lines))


def _results(folder: Path) -> Path:
    from fusion_pipeline import results
    from fusion_pipeline.messages import Tracks

    line = results.line(next(m for m in wire.samples() if isinstance(m, Tracks)))
    assert json.loads(line)
    return sound.written(folder / "sets.jsonl", "\n".join([line.strip()] * 3) + "\n")


def _jpeg(folder: Path) -> Path:
    return sound.picture(folder / "a.jpg", 64, 48)


def _png(folder: Path) -> Path:
    return sound.picture(folder / "a.png", 64, 48)


def _capture(folder: Path) -> Path:
    return sound.capture(folder / "a.pcap", ((sound.START + k, bytes(100)) for k in range(10)), 2368)


def _frames(folder: Path) -> Path:
    return sound.written(folder / "frames.seed", bytes(8))


_CHECK = ("log", "check")
KINDS: tuple[Kind, ...] = (
    Kind("rig", _rig, read_rig, 2),
    Kind("manifest of a model", _model, read_manifest, 1.5, fixed=(".onnx",)),
    Kind("model file", _network, read_onnx_file, 0.5),
    Kind("values of --set", _assignments, read_set, 1.5),
    Kind("lines of results", _results, read_results, 1.5),
    Kind("JPEG", _jpeg, read_picture),
    Kind("PNG", _png, read_picture),
    Kind("pcap", _capture, read_capture, 1.5),
    Kind("messages on the wire", _frames, read_frames, 2),
    Kind("MCAP, protobuf", sound.own_mcap, read_log, 1.5, _CHECK),
    Kind("MCAP, JSON", ros.json_mcap, read_log, 1.5, _CHECK),
    Kind("MCAP of ROS 2", ros.ros2_mcap, read_log, 0.2, _CHECK),
    Kind("MCAP of ROS 1", ros.ros1_mcap, read_log, 0.2, _CHECK),
    Kind("bag of ROS 1", ros.ros1_bag, read_log, 0.2, _CHECK),
    Kind("bag of ROS 2", sound.ros_database, read_log, 0.2, _CHECK),
    Kind("KITTI raw", data.kitti_raw, read_log, 1.5, _CHECK),
    Kind("KITTI object", data.kitti_object, read_log, 1, _CHECK),
    Kind("KITTI tracking", data.kitti_tracking, read_log, 1, _CHECK),
    Kind("KITTI odometry", data.kitti_odometry, read_log, 1, _CHECK),
    Kind("nuScenes", data.nuscenes, read_log, 1.5, _CHECK),
    Kind("Argoverse 2", data.argoverse2, read_log, 1, _CHECK),
    Kind("manifest with sound", sound.sounds, read_log, 1.5, _CHECK),
    Kind("manifest with pictures", sound.pictures, read_log, 1.5, _CHECK),
    Kind("manifest with VLP-16 packets", sound.velodyne, read_log, 1, _CHECK),
    Kind("manifest with Ouster packets", sound.ouster, read_log, 0.5, _CHECK),
    Kind("manifest with Hesai packets", sound.hesai, read_log, 1, _CHECK),
)
