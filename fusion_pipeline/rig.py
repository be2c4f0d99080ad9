"""A rig: which sensors a vehicle has, where they sit, and their intrinsics; read from calibration/rigs/*.toml."""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import numpy as np

from fusion_pipeline.arrays import Doubles, require_shape
from fusion_pipeline.checks import nearest, shown
from fusion_pipeline.geometry.camera import CameraModel
from fusion_pipeline.geometry.pose import Pose
from fusion_pipeline.tomlfile import TomlError, read_toml

_COMMON = ("vehicle_from_sensor", "offset_ms")
_KEYS = {
    "lidar": (*_COMMON, "make"),
    "camera": (*_COMMON, "model", "width_px", "height_px", "matrix", "distortion"),
    "audio": (*_COMMON, "microphones_m"),
}
_ROTATIONS = ("quaternion_xyzw", "rotation", "roll_pitch_yaw_deg")
_LARGEST_PX = 65_500  # what a JPEG can have on a side
_LONGEST_OFFSET_MS = 3_600_000.0  # leap seconds and time zones are less


class RigError(ValueError):
    """A rig file that cannot be used; the message names the file, the sensor and the key."""


@dataclass(frozen=True, slots=True, eq=False)
class LidarMount:
    """Where a LiDAR sits."""

    vehicle_from_sensor: Pose
    offset_ns: int = 0  # added to its stamps to meet the reference clock
    make: str = ""  # "VLP-16": whose beams a simulation gives it; empty: what the simulation is told for all


@dataclass(frozen=True, slots=True, eq=False)
class CameraMount:
    """Where a camera sits (optical frame: x right, y down, z forward) and how it images."""

    vehicle_from_sensor: Pose
    model: CameraModel
    offset_ns: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class MicrophoneArray:
    """M microphones of one array; positions in the array's own frame."""

    vehicle_from_sensor: Pose
    microphones_m: Doubles  # (M, 3), in channel order
    offset_ns: int = 0

    def __post_init__(self) -> None:
        require_shape("microphones_m", self.microphones_m, None, 3)


@dataclass(frozen=True, slots=True, eq=False)
class Rig:
    """All sensors of a vehicle by topic name ("lidar/top", "camera/front", "audio/roof"); at least one."""

    name: str
    lidars: Mapping[str, LidarMount] = field(default_factory=dict)
    cameras: Mapping[str, CameraMount] = field(default_factory=dict)
    audios: Mapping[str, MicrophoneArray] = field(default_factory=dict)

    @property
    def topics(self) -> tuple[str, ...]:
        """Every sensor's topic, LiDARs first."""
        return (*self.lidars, *self.cameras, *self.audios)

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read a rig file. Raises RigError naming the file, the sensor and what is wrong with it."""
        try:
            return cls.from_table(read_toml(path))
        except FileNotFoundError:
            raise RigError(f"rig file {path} does not exist") from None
        except TomlError as error:
            raise RigError(f"rig file {path} cannot be read: {error}") from None
        except RigError as error:
            raise RigError(f"rig file {path}: {error}") from None

    @classmethod
    def from_table(cls, table: Mapping[str, Any]) -> Self:
        """Build from the parsed TOML of a rig file; every key, type and number is checked. Raises RigError.

        Whether the numbers can be those of a vehicle is another question: see `rig_checks.implausible`.
        """
        _known("key", table, ("name", *_KEYS))
        name = table.get("name", "unnamed")
        if not isinstance(name, str):
            raise RigError(f"name = {shown(name)}: write a text")
        builders = {"lidar": _lidar, "camera": _camera, "audio": _audio}
        mounts: dict[str, dict[str, Any]] = {family: {} for family in builders}
        for family, build in builders.items():
            sensors = table.get(family, {})
            if not isinstance(sensors, dict):
                raise RigError(f"{family} = {shown(sensors)}: write a table [{family}.NAME] for each sensor")
            for sensor, entry in sensors.items():
                try:
                    if not isinstance(entry, dict):
                        raise RigError(f"is {shown(entry)}; write a table [{family}.NAME], such as [{family}.front]")
                    _known("key", entry, _KEYS[family])
                    mounts[family][f"{family}/{sensor}"] = build(entry)
                except ValueError as error:
                    raise RigError(f"[{family}.{sensor}] {error}") from None
        if not any(mounts.values()):
            raise RigError("it names no sensor; add a [lidar.NAME], [camera.NAME] or [audio.NAME] table")
        return cls(name, mounts["lidar"], mounts["camera"], mounts["audio"])


def require_places(rig: Rig, topics: Collection[str]) -> None:
    """Raise RigError where results of `topics` would need a place that `rig` does not have: of a LiDAR, or of any
    sensor at all. A camera beside a LiDAR that is placed may lack its own; its pictures are not used.
    """
    fused = [topic for topic in topics if topic.startswith(("lidar/", "camera/"))]
    missing = [topic for topic in fused if topic not in rig.topics]
    if any(topic.startswith("lidar/") for topic in missing) or (missing and len(missing) == len(fused)):
        named = f"{' and '.join(missing[:3])} {'sits' if len(missing) == 1 else 'sit'}"
        raise RigError(f"nothing says where {named} on the vehicle; give a rig file with --rig")


def _known(what: str, table: Mapping[str, Any], known: Iterable[str]) -> None:
    names = tuple(known)
    for key in table:
        if key not in names:
            raise RigError(nearest(what, key, names))


def _needed(entry: Mapping[str, Any], key: str) -> Any:
    if key not in entry:
        raise RigError(f"lacks {key!r}")
    return entry[key]


def _number(key: str, value: Any) -> float:
    """A finite number. Raises RigError."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise RigError(f"{key} = {shown(value)}: write a number")
    if (isinstance(value, int) and abs(value) > 1 << 60) or not math.isfinite(value):
        raise RigError(f"{key} = {shown(value)}: write a finite number")
    return float(value)


def _numbers(key: str, value: Any, *shape: int | None) -> Doubles:
    """An array of finite numbers of `shape`, where None stands for any extent. Raises RigError."""
    extent, rest = shape[0], shape[1:]
    if not isinstance(value, list) or (extent is not None and len(value) != extent):
        wanted = " x ".join("n" if size is None else str(size) for size in shape)
        raise RigError(f"{key} = {shown(value)}: write a list of {wanted} numbers")
    if not rest:
        return np.asarray([_number(f"{key}[{i}]", item) for i, item in enumerate(value)], np.float64)
    rows = [_numbers(f"{key}[{i}]", item, *rest) for i, item in enumerate(value)]
    return np.asarray(rows, np.float64).reshape(len(rows), *(-1 if size is None else size for size in rest))


def _pixels(entry: Mapping[str, Any], key: str) -> int:
    value = _needed(entry, key)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 < value <= _LARGEST_PX:
        raise RigError(f"{key} = {shown(value)}: write a whole number of pixels, 1 to {_LARGEST_PX}")
    return value


def _text(entry: Mapping[str, Any], key: str, default: str) -> str:
    value = entry.get(key, default)
    if not isinstance(value, str):
        raise RigError(f"{key} = {shown(value)}: write a text")
    return value


def _pose(entry: Mapping[str, Any], optical: bool = False) -> Pose:
    """Where a sensor sits; `optical` ones must say how they are turned, since their axes are not the vehicle's."""
    pose = _needed(entry, "vehicle_from_sensor")
    if not isinstance(pose, dict):
        raise RigError(f"vehicle_from_sensor = {shown(pose)}: write {{ translation_m = [x, y, z], ... }}")
    try:
        _known("key", pose, ("translation_m", *_ROTATIONS))
        translation = _numbers("translation_m", _needed(pose, "translation_m"), 3)
        given = [key for key in _ROTATIONS if key in pose]
        if len(given) > 1:
            raise RigError(f"has {' and '.join(given)}; one says it all")
        if optical and not given:
            raise RigError(
                f"lacks a rotation ({', '.join(_ROTATIONS)}): a camera's axes are x right, y down, z ahead; one that "
                "looks ahead has rotation = [[0, 0, 1], [-1, 0, 0], [0, -1, 0]]"
            )
        if "quaternion_xyzw" in pose:
            quaternion = _numbers("quaternion_xyzw", pose["quaternion_xyzw"], 4)
            if abs(float(np.linalg.norm(quaternion)) - 1) > 0.01:
                raise RigError(f"quaternion_xyzw has the length {np.linalg.norm(quaternion):.3g}, not 1")
            return Pose.from_quaternion(quaternion, translation)
        if "rotation" in pose:
            return Pose(_numbers("rotation", pose["rotation"], 3, 3), translation)
        if "roll_pitch_yaw_deg" in pose:
            angles = np.deg2rad(_numbers("roll_pitch_yaw_deg", pose["roll_pitch_yaw_deg"], 3))
            return Pose.from_euler(float(angles[0]), float(angles[1]), float(angles[2]), translation)
        return Pose(np.eye(3), translation)
    except ValueError as error:
        raise RigError(f"vehicle_from_sensor: {error}") from None


def _offset_ns(entry: Mapping[str, Any]) -> int:
    offset = _number("offset_ms", entry.get("offset_ms", 0.0))
    if abs(offset) > _LONGEST_OFFSET_MS:
        raise RigError(f"offset_ms = {offset:g}: write milliseconds, at most an hour")
    return round(offset * 1e6)


def _lidar(entry: Mapping[str, Any]) -> LidarMount:
    return LidarMount(_pose(entry), _offset_ns(entry), _text(entry, "make", ""))


def _camera(entry: Mapping[str, Any]) -> CameraMount:
    width, height = _pixels(entry, "width_px"), _pixels(entry, "height_px")
    matrix = _numbers("matrix", _needed(entry, "matrix"), 3, 3)
    if not (matrix[0, 0] > 0 and matrix[1, 1] > 0) or matrix[2].tolist() != [0.0, 0.0, 1.0] or matrix[1, 0] != 0:
        raise RigError(
            f"matrix = {matrix.tolist()}: write [[fx, skew, cx], [0, fy, cy], [0, 0, 1]] in pixels, fx and fy above 0"
        )
    distortion = _numbers("distortion", entry.get("distortion", []), None)
    model = CameraModel(_text(entry, "model", "pinhole"), width, height, matrix, distortion)
    return CameraMount(_pose(entry, optical=True), model, _offset_ns(entry))


def _audio(entry: Mapping[str, Any]) -> MicrophoneArray:
    microphones = _numbers("microphones_m", _needed(entry, "microphones_m"), None, 3)
    if not len(microphones):
        raise RigError("microphones_m is empty; write [x, y, z] of each microphone, in the order of the channels")
    return MicrophoneArray(_pose(entry), microphones, _offset_ns(entry))


def _key(name: str) -> str:
    """A name as a key of TOML: bare where TOML allows that, else quoted."""
    if name and all(c.isascii() and (c.isalnum() or c in "-_") for c in name):
        return name
    return _quoted(name)


def _quoted(text: str) -> str:
    """A basic string of TOML. JSON quotes as TOML does but for DEL, and for characters beyond 16 bits if in ASCII."""
    whole = text.encode("utf-8", "replace").decode()
    return json.dumps(whole, ensure_ascii=False).replace("\x7f", "\\u007F")


def to_toml(rig: Rig) -> str:
    """The rig as the text of a rig file, exact to the last bit."""
    lines = [f"name = {_quoted(rig.name)}"]
    families: dict[str, Mapping[str, LidarMount | CameraMount | MicrophoneArray]]
    families = {"lidar": rig.lidars, "camera": rig.cameras, "audio": rig.audios}
    for mounts in families.values():
        for topic, mount in mounts.items():
            pose = mount.vehicle_from_sensor
            family, _, sensor = topic.partition("/")
            lines += ["", f"[{family}.{_key(sensor)}]", f"offset_ms = {mount.offset_ns / 1e6!r}"]
            if isinstance(mount, LidarMount) and mount.make:
                lines.append(f"make = {_quoted(mount.make)}")
            if isinstance(mount, CameraMount):
                model = mount.model
                lines += [f'model = "{model.model}"', f"width_px = {model.width_px}", f"height_px = {model.height_px}"]
                lines += [f"matrix = {model.matrix.tolist()}", f"distortion = {model.distortion.tolist()}"]
            if isinstance(mount, MicrophoneArray):
                lines.append(f"microphones_m = {mount.microphones_m.tolist()}")
            translation, rotation = pose.translation_m.tolist(), pose.rotation.tolist()
            lines.append(f"vehicle_from_sensor = {{ translation_m = {translation}, rotation = {rotation} }}")
    return "\n".join(lines) + "\n"
