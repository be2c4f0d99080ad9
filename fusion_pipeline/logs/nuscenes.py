"""Scenes of nuScenes as logs, from its tables as they are published, without its development kit.

Caesar et al., "nuScenes: A multimodal dataset for autonomous driving", CVPR 2020; https://www.nuscenes.org/nuscenes. A
scene is named by its place below the tables, such as `nuscenes/v1.0-mini/scene-0061`, although there is no such folder.
The vehicle frame is the data set's own: x forward, on the ground under the rear axle.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np

from fusion_pipeline.geometry.camera import CameraModel
from fusion_pipeline.geometry.pose import Pose
from fusion_pipeline.logs.files import FileLog, Item
from fusion_pipeline.logs.kitti_files import read_picture
from fusion_pipeline.logs.labels import Labels, labelled
from fusion_pipeline.logs.nuscenes_rows import Row, rows
from fusion_pipeline.logs.pose_track import PoseTrack
from fusion_pipeline.logs.reader import FormError, LogError
from fusion_pipeline.messages import Header, LidarScan
from fusion_pipeline.rig import CameraMount, LidarMount, Rig

EGO, REFERENCE = "ego/pose", "LIDAR_TOP"
TURN_NS = 50_000_000  # the LiDAR turns at 20 Hz, and its stamp is the end of a turn
VISIBLE = {"1": 0.2, "2": 0.5, "3": 0.7, "4": 0.9}  # middles of the ranges 0 to 40, 40 to 60, 60 to 80, 80 to 100 %


def is_nuscenes(path: Path) -> bool:
    """Whether a path is a scene, a folder of tables, or the folder that holds these."""
    return any((place / "sample_data.json").is_file() for place in (path, path.parent)) or _versions(path) != []


def _versions(path: Path) -> list[Path]:
    return sorted(table.parent for table in path.glob("v1.0-*/sample_data.json")) if path.is_dir() else []


class NuScenes(FileLog):
    """One scene. `samples` gives the key frames' tokens by their stamps, `global_from_vehicle` poses by time."""

    def __init__(self, path: Path) -> None:
        """Read the tables' rows of the scene. Raises LogError; where a folder has several it names some."""
        tables, name = _tables_and_scene(path)
        self._tables, root = tables, tables.parent
        scene = next(rows(tables / "scene.json", lambda row: row["name"] == name), None)
        if scene is None:
            raise LogError(f"{tables / 'scene.json'} has no scene {name!r}; check its name")
        self.samples = {
            _ns(row): str(row["token"])
            for row in rows(tables / "sample.json", lambda row: row["scene_token"] == scene["token"])
        }
        wanted = set(self.samples.values())
        data = list(rows(tables / "sample_data.json", lambda row: row["sample_token"] in wanted))
        sensors = {row["token"]: row for row in rows(tables / "sensor.json")}
        places = {row["calibrated_sensor_token"] for row in data}
        mounts = {row["token"]: row for row in rows(tables / "calibrated_sensor.json", lambda r: r["token"] in places)}
        items, lidars, cameras, ego = [], {}, {}, {}
        for row in data:
            mount = _known(mounts, row["calibrated_sensor_token"], tables / "calibrated_sensor.json")
            sensor = _known(sensors, mount["sensor_token"], tables / "sensor.json")
            channel, stamp, file = str(sensor["channel"]), _ns(row), root / row["filename"]
            if sensor["modality"] == "lidar":
                topic = f"lidar/{channel.removeprefix('LIDAR_').lower()}"
                lidars[topic] = LidarMount(pose_of(mount))
                items.append(Item(stamp, topic, partial(_scan, file, topic, stamp)))
            elif sensor["modality"] == "camera":
                topic = f"camera/{channel.removeprefix('CAM_').lower()}"
                cameras[topic] = CameraMount(pose_of(mount), _lens(row, mount, tables))
                items.append(Item(stamp, topic, partial(read_picture, file, topic, stamp, stamp)))
            if channel == REFERENCE:
                ego[stamp] = str(row["ego_pose_token"])
        tokens = set(ego.values())
        poses = {row["token"]: row for row in rows(tables / "ego_pose.json", lambda row: row["token"] in tokens)}
        times = sorted(stamp for stamp, token in ego.items() if token in poses)
        self.global_from_vehicle = PoseTrack(EGO, "map", times, cache(lambda k: pose_of(poses[ego[times[k]]])))
        items += [Item(t, EGO, partial(self.global_from_vehicle.motion, k)) for k, t in enumerate(times)]
        super().__init__(path, Rig(f"nuscenes_{name}", lidars, cameras), items, self._labelled)

    def _labelled(self) -> Iterator[Labels]:
        """Of the key frames; a velocity comes from the same object in the key frames beside."""
        stamps = {token: stamp for stamp, token in self.samples.items()}
        tables = self._tables
        if not self.global_from_vehicle.times_ns:
            raise LogError(f"{tables / 'ego_pose.json'} has no pose of the labels' vehicle; is the download complete?")
        found = list(rows(tables / "sample_annotation.json", lambda row: row["sample_token"] in stamps))
        instances = {row["token"]: row["category_token"] for row in rows(tables / "instance.json")}
        categories = {row["token"]: str(row["name"]) for row in rows(tables / "category.json")}
        names = tuple(sorted(categories.values()))
        tracks = {token: number for number, token in enumerate(dict.fromkeys(row["instance_token"] for row in found))}
        by_token = {row["token"]: row for row in found}
        by_sample: dict[str, list[Row]] = {}
        for row in found:
            by_sample.setdefault(row["sample_token"], []).append(row)
        for stamp, sample in sorted(self.samples.items()):
            there = self.global_from_vehicle.at(stamp).inverse()
            mine = by_sample.get(sample, [])
            boxes, speeds = [], []
            for row in mine:
                if row["instance_token"] not in instances or instances[row["instance_token"]] not in categories:
                    raise LogError(
                        f"{tables / 'instance.json'} lacks what sample_annotation.json names; download both again"
                    )
                pose = there @ pose_of(row)
                width, length, height = row["size"]
                yaw = float(np.arctan2(pose.rotation[1, 0], pose.rotation[0, 0]))
                boxes.append([*pose.translation_m.tolist(), length, width, height, yaw])
                speeds.append((there.rotation @ _speed(row, by_token, stamps))[:2])
            yield labelled(
                stamp, boxes, [categories[instances[row["instance_token"]]] for row in mine], names,
                [tracks[row["instance_token"]] for row in mine], np.asarray(speeds).reshape(-1, 2),
                [VISIBLE.get(str(row["visibility_token"]), 1.0) for row in mine],
                [int(row["num_lidar_pts"]) for row in mine],
            )  # fmt: skip


def _tables_and_scene(path: Path) -> tuple[Path, str]:
    if (path.parent / "sample_data.json").is_file():
        return path.parent, path.name
    tables = path
    if not (path / "sample_data.json").is_file():
        versions = _versions(path)
        if len(versions) > 1:
            raise LogError(f"{path} holds {', '.join(v.name for v in versions)}; open a scene of one of them")
        tables = versions[0]
    names = [str(row["name"]) for row in rows(tables / "scene.json")]
    if len(names) != 1:
        some = f"; open one, such as {tables / names[0]}" if names else ""
        raise LogError(f"{tables} holds {len(names)} scenes{some}")
    return tables, names[0]


def pose_of(row: Row) -> Pose:
    """Of a row with a translation and a rotation w, x, y, z. Raises LogError."""
    try:
        w, x, y, z = row["rotation"]
        return Pose.from_quaternion(np.asarray([x, y, z, w], np.float64), np.asarray(row["translation"], np.float64))
    except (KeyError, ValueError, TypeError) as error:
        raise LogError(f"a row of nuScenes has no pose: {error}") from None


def _lens(row: Row, mount: Row, tables: Path) -> CameraModel:
    matrix = np.asarray(mount["camera_intrinsic"], np.float64)
    try:
        return CameraModel("pinhole", row["width"], row["height"], matrix, np.zeros(0))
    except ValueError as error:
        raise LogError(f"{tables / 'calibrated_sensor.json'}, {mount['token']}: {error}") from None


def _known(table: dict[str, Row], token: str, path: Path) -> Row:
    if token not in table:
        raise LogError(f"calibration {token} is not in {path}; is the download complete?")
    return table[token]


def _ns(row: Row) -> int:
    return int(row["timestamp"]) * 1000


def _scan(path: Path, topic: str, stamp_ns: int) -> LidarScan:
    """float32 x y z intensity ring, in the frame of the LiDAR. Raises FormError where the size does not fit."""
    data = np.fromfile(path, np.uint8)
    if data.size == 0 or data.size % 20:
        raise FormError("a scan's size is a multiple of 20 bytes" if data.size else "empty scan")
    table = data.view(np.float32).reshape(-1, 5)
    if not np.isfinite(table).all():
        table = table[np.isfinite(table).all(axis=1)]
    n = len(table)
    return LidarScan(
        Header(topic, stamp_ns - TURN_NS, stamp_ns, topic), TURN_NS, np.ascontiguousarray(table[:, :3]),
        np.clip(table[:, 3] / np.float32(255), 0, 1), np.clip(table[:, 4], 0, 65535).astype(np.uint16),
        np.zeros(n, np.int32),
    )  # fmt: skip


def _speed(row: Row, by_token: dict[str, Row], stamps: dict[str, int]) -> np.ndarray[Any, np.dtype[np.float64]]:
    """(3,) of an annotation in the global frame, 0 for one that is alone."""
    before, after = by_token.get(row["prev"], row), by_token.get(row["next"], row)
    seconds = (stamps.get(after["sample_token"], 0) - stamps.get(before["sample_token"], 0)) / 1e9
    moved = np.asarray(after["translation"], np.float64) - np.asarray(before["translation"], np.float64)
    return moved / seconds if seconds > 0 else np.zeros(3)
