"""Logs of the Argoverse 2 sensor data set, from its Feather files, through pyarrow.

Wilson et al., "Argoverse 2: Next Generation Datasets for Self-Driving Perception and Forecasting", NeurIPS 2021;
https://argoverse.github.io/user-guide/datasets/sensor.html. The vehicle frame is the data set's, which lies in the rear
axle, lowered to the ground. Sweeps are in that frame already, without the vehicle's motion during the turn.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from fusion_pipeline.arrays import Array
from fusion_pipeline.clock import LAST_NS, SECOND_NS
from fusion_pipeline.geometry.camera import CameraModel
from fusion_pipeline.geometry.pose import Pose
from fusion_pipeline.logs.files import FileLog, Item
from fusion_pipeline.logs.kitti_files import read_picture
from fusion_pipeline.logs.labels import Labels, labelled
from fusion_pipeline.logs.points import bright
from fusion_pipeline.logs.pose_track import PoseTrack
from fusion_pipeline.logs.reader import FormError, LogError
from fusion_pipeline.messages import Header, LidarScan
from fusion_pipeline.rig import CameraMount, LidarMount, Rig

LIDAR, EGO = "lidar/top", "ego/pose"
AXLE_M = 0.33  # height of the rear axle: a wheel's radius
TURN_NS = 100_000_000  # the LiDARs turn at 10 Hz
VEHICLE_FROM_EGO = Pose(np.eye(3), np.asarray([0.0, 0.0, AXLE_M]))


def is_argoverse2(path: Path) -> bool:
    """Whether a path is a log of the sensor data set."""
    return (path / "calibration").is_dir() and (path / "sensors").is_dir()


class Argoverse2(FileLog):
    """One log, such as `val/02678d04-cc9f-3148-9f95-1ba66347dff9`."""

    def __init__(self, path: Path) -> None:
        """Read calibration and poses, list the files. Raises LogError."""
        cameras = _cameras(path / "calibration")
        items = []
        for file in sorted((path / "sensors" / "lidar").glob("*.feather")):
            stamp = _stamp(file)
            items.append(Item(stamp + TURN_NS, LIDAR, partial(_scan, file, stamp)))
        for topic in cameras:
            for file in sorted((path / "sensors" / "cameras" / topic.removeprefix("camera/")).glob("*.jpg")):
                stamp = _stamp(file)
                items.append(Item(stamp, topic, partial(read_picture, file, topic, stamp, stamp)))
        self._sweeps = [item.arrival_ns - TURN_NS for item in items if item.topic == LIDAR]
        poses = read_table(path / "city_SE3_egovehicle.feather", "timestamp_ns", *_POSE)
        times = [_time(stamp, path / "city_SE3_egovehicle.feather") for stamp in poses["timestamp_ns"]]
        if any(later <= earlier for earlier, later in itertools.pairwise(times)):
            raise LogError(f"{path / 'city_SE3_egovehicle.feather'} is not in order of time; download it again")

        def pose(number: int) -> Pose:
            return _pose(poses, number) @ VEHICLE_FROM_EGO.inverse()

        self.city_from_vehicle = PoseTrack(EGO, "city", times, pose)
        items += [Item(stamp, EGO, partial(self.city_from_vehicle.motion, k)) for k, stamp in enumerate(times)]
        rig = Rig(f"argoverse2_{path.name}", {LIDAR: LidarMount(VEHICLE_FROM_EGO)}, cameras)
        super().__init__(path, rig, items, self._labelled)

    def _labelled(self) -> Iterator[Labels]:
        file = self.path / "annotations.feather"
        if not file.is_file():  # the test split has none
            return
        names = ("track_uuid", "category", "length_m", "width_m", "height_m", "num_interior_pts")
        found = read_table(file, "timestamp_ns", *names, *_POSE)
        sizes = np.column_stack([found[name] for name in ("length_m", "width_m", "height_m", "num_interior_pts")])
        if not ((sizes >= 0) & (sizes < LARGEST)).all():
            raise LogError(f"{file} has a box of no size; download it again")
        stamps = [_time(stamp, file) for stamp in found["timestamp_ns"]]
        uuids = {uuid: number for number, uuid in enumerate(dict.fromkeys(found["track_uuid"]))}
        classes = tuple(sorted({str(name) for name in found["category"]}))
        by_stamp: dict[int, list[int]] = {int(stamp): [] for stamp in self._sweeps}
        for number, stamp in enumerate(stamps):
            by_stamp.setdefault(stamp, []).append(number)
        for stamp, mine in sorted(by_stamp.items()):
            boxes = []
            for number in mine:
                pose = VEHICLE_FROM_EGO @ _pose(found, number)
                size = [float(found[name][number]) for name in ("length_m", "width_m", "height_m")]
                yaw = float(np.arctan2(pose.rotation[1, 0], pose.rotation[0, 0]))
                boxes.append([*pose.translation_m.tolist(), *size, yaw])
            yield labelled(
                stamp, boxes, [str(found["category"][k]) for k in mine], classes,
                [uuids[found["track_uuid"][k]] for k in mine], points=[int(found["num_interior_pts"][k]) for k in mine],
            )  # fmt: skip


LARGEST = 1e8  # of any number in these tables but times
TEXTS = ("sensor_name", "track_uuid", "category")
_POSE = ("qw", "qx", "qy", "qz", "tx_m", "ty_m", "tz_m")


def read_table(path: Path, *columns: str) -> dict[str, Array]:
    """Columns of a Feather file as (N,) arrays. Raises LogError."""
    try:
        from pyarrow import feather
    except ModuleNotFoundError:
        raise LogError(f"{path} is a Feather file; pip install 'fusion-pipeline[logs]' reads it") from None
    try:
        table = feather.read_table(path)
        found = {name: np.asarray(table[name].to_numpy()) for name in columns}
        for name, values in found.items():
            if name in TEXTS and not all(isinstance(value, str) for value in values):
                raise LogError(f"{path}: the column {name} holds no names; download it again")
            if name not in TEXTS and values.dtype.kind not in "iuf":
                raise LogError(f"{path}: the column {name} holds no numbers; download it again")
        return found
    except LogError:
        raise
    except KeyError as error:
        raise LogError(f"{path} lacks the column {error.args[0]}") from None
    except Exception as error:  # Arrow's own errors, and those of the operating system
        said = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise LogError(f"{path} cannot be read: {said}; is the download complete?") from None


def _cameras(folder: Path) -> dict[str, CameraMount]:
    lenses = read_table(folder / "intrinsics.feather", "sensor_name", "fx_px", "fy_px", "cx_px", "cy_px", "height_px",
                        "width_px")  # fmt: skip
    mounts = read_table(folder / "egovehicle_SE3_sensor.feather", "sensor_name", *_POSE)
    places = {str(name): _pose(mounts, k) for k, name in enumerate(mounts["sensor_name"])}
    found = {}
    for k, name in enumerate(lenses["sensor_name"]):
        if str(name) not in places:
            raise LogError(f"{folder / 'egovehicle_SE3_sensor.feather'} lacks {name}; download it again")
        fx, fy, cx, cy, width, height = values = [
            float(lenses[key][k]) for key in ("fx_px", "fy_px", "cx_px", "cy_px", "width_px", "height_px")
        ]
        if not (np.abs(values) < LARGEST).all() or min(fx, fy, width, height) <= 0:
            raise LogError(f"{folder / 'intrinsics.feather'} has no intrinsics of {name}; download it again")
        # Pictures are published undistorted: the data set's own projection leaves k1 to k3 out.
        matrix = np.asarray([[fx, 0, cx], [0, fy, cy], [0, 0, 1]], np.float64)
        model = CameraModel("pinhole", int(width), int(height), matrix, np.zeros(0))
        found[f"camera/{name}"] = CameraMount(VEHICLE_FROM_EGO @ places[str(name)], model)
    return found


def _pose(table: dict[str, Any], row: int) -> Pose:
    w, x, y, z, *place = (float(table[name][row]) for name in _POSE)
    try:
        if not (np.abs([w, x, y, z, *place]) < LARGEST).all():
            raise ValueError("it is not finite")
        return Pose.from_quaternion(np.asarray([x, y, z, w]), np.asarray(place))
    except ValueError as error:
        raise LogError(f"row {row + 1} of a table of Argoverse 2 has no pose: {error}; download it again") from None


def _stamp(file: Path) -> int:
    if not file.stem.isdecimal() or int(file.stem) > LAST_NS:
        raise LogError(f"{file} is not named after its time in nanoseconds")
    return int(file.stem)


def _time(value: Any, file: Path) -> int:
    if not 0 <= value <= LAST_NS:  # NaN too
        raise LogError(f"{file}: timestamp_ns = {value} is no time; download it again")
    return int(value)


def _scan(path: Path, stamp_ns: int) -> LidarScan:
    try:
        table = read_table(path, "x", "y", "z", "intensity", "laser_number", "offset_ns")
    except LogError as error:
        if not path.exists():
            raise FileNotFoundError(path) from None
        raise FormError("no sweep") from error
    with np.errstate(over="ignore", invalid="ignore"):  # what is too large is infinite, and left out below
        xyz = np.stack([table[axis].astype(np.float32) for axis in "xyz"], axis=1)
    good = np.isfinite(xyz).all(axis=1)
    if not good.all():
        xyz, table = xyz[good], {name: values[good] for name, values in table.items()}
    limits = {"offset_ns": SECOND_NS, "laser_number": 0xFFFF, "intensity": 0xFFFF}
    for name, most in limits.items():
        if not ((table[name] >= (-most if name == "offset_ns" else 0)) & (table[name] <= most)).all():
            raise FormError(f"sweep whose {name} cannot be")
    offsets = table["offset_ns"].astype(np.int64)
    first = int(offsets.min()) if len(offsets) else 0
    last = int(offsets.max()) - first if len(offsets) else 0
    return LidarScan(
        Header(LIDAR, stamp_ns + first, stamp_ns + TURN_NS, LIDAR), last, xyz, bright(table["intensity"], 255.0),
        table["laser_number"].astype(np.uint16), (offsets - first).astype(np.int32),
    )  # fmt: skip
