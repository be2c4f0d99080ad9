"""A rig: which sensors a vehicle has, where they sit, and their intrinsics; read from calibration/rigs/*.toml."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import numpy as np

from fusion_pipeline.arrays import Doubles, require_shape
from fusion_pipeline.geometry.camera import CameraModel
from fusion_pipeline.geometry.pose import Pose


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
            table = tomllib.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise RigError(f"rig file {path} does not exist") from None
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
            raise RigError(f"rig file {path} cannot be read: {error}") from None
        try:
            return cls.from_table(table)
        except RigError as error:
            raise RigError(f"rig file {path}: {error}") from None

    @classmethod
    def from_table(cls, table: Mapping[str, Any]) -> Self:
        """Build from the parsed TOML of a rig file. Raises RigError."""
        families = {"lidar": _lidar, "camera": _camera, "audio": _audio}
        unknown = set(table) - {"name", *families}
        if unknown:
            raise RigError(f"unknown key {sorted(unknown)[0]!r}; known: name, {', '.join(families)}")
        mounts: dict[str, dict[str, Any]] = {family: {} for family in families}
        for family, build in families.items():
            for sensor, entry in table.get(family, {}).items():
                try:
                    mounts[family][f"{family}/{sensor}"] = build(entry)
                except KeyError as error:
                    raise RigError(f"[{family}.{sensor}] lacks {error.args[0]!r}") from None
                except (TypeError, ValueError) as error:
                    raise RigError(f"[{family}.{sensor}]: {error}") from None
        if not any(mounts.values()):
            raise RigError("it names no sensor; add a [lidar.NAME], [camera.NAME] or [audio.NAME] table")
        return cls(str(table.get("name", "unnamed")), mounts["lidar"], mounts["camera"], mounts["audio"])


def require_places(rig: Rig, topics: Collection[str]) -> None:
    """Raise RigError where results of `topics` would need a place that `rig` does not have: of a LiDAR, or of any
    sensor at all. A camera beside a LiDAR that is placed may lack its own; its pictures are not used.
    """
    fused = [topic for topic in topics if topic.startswith(("lidar/", "camera/"))]
    missing = [topic for topic in fused if topic not in rig.topics]
    if any(topic.startswith("lidar/") for topic in missing) or (missing and len(missing) == len(fused)):
        named = f"{' and '.join(missing[:3])} {'sits' if len(missing) == 1 else 'sit'}"
        raise RigError(f"nothing says where {named} on the vehicle; give a rig file with --rig")


def _pose(entry: Mapping[str, Any]) -> Pose:
    pose = entry["vehicle_from_sensor"]
    translation = np.asarray(pose["translation_m"], np.float64)
    if "quaternion_xyzw" in pose:
        return Pose.from_quaternion(np.asarray(pose["quaternion_xyzw"], np.float64), translation)
    if "rotation" in pose:
        return Pose(np.asarray(pose["rotation"], np.float64), translation)
    roll, pitch, yaw = np.deg2rad(pose.get("roll_pitch_yaw_deg", [0.0, 0.0, 0.0]))
    return Pose.from_euler(roll, pitch, yaw, translation)


def _offset_ns(entry: Mapping[str, Any]) -> int:
    return round(float(entry.get("offset_ms", 0.0)) * 1e6)


def _lidar(entry: Mapping[str, Any]) -> LidarMount:
    return LidarMount(_pose(entry), _offset_ns(entry), str(entry.get("make", "")))


def _camera(entry: Mapping[str, Any]) -> CameraMount:
    model = CameraModel(
        str(entry.get("model", "pinhole")),
        int(entry["width_px"]),
        int(entry["height_px"]),
        np.asarray(entry["matrix"], np.float64),
        np.asarray(entry.get("distortion", []), np.float64),
    )
    return CameraMount(_pose(entry), model, _offset_ns(entry))


def _audio(entry: Mapping[str, Any]) -> MicrophoneArray:
    return MicrophoneArray(_pose(entry), np.asarray(entry["microphones_m"], np.float64), _offset_ns(entry))


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
