"""Fields, layouts and intensity of point clouds, and sensors mixed in one topic."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from recordings import POINTS, ROS, bag, drive, lidar, mcap, ordered, places, turns
from ros_samples import Ros
from situation import Outcome, Situation

SCALE = "a scale guessed anew from each message"
FIELDS = "fields nobody needs make the whole unreadable"
UNREAD = "what is not understood vanishes"
KEY = "a key that is not unique"
RAMP = np.linspace(0.02, 0.98, POINTS)


def bright(folder: Path, name: str, kind: str, full: float, change: Any = lambda k, light: light, **more: Any) -> Path:
    """Clouds whose light is RAMP of `full`, changed by `change(number, light)`."""

    def cloud(k: int, t: int) -> Any:
        return ROS.cloud({name: np.asarray(change(k, RAMP * full)).astype(kind), **more}, t)

    return mcap(folder / "x.mcap", turns(cloud))


def is_ramp(found: Outcome) -> bool:
    """Whether all scans have RAMP for their intensity."""
    return all(np.allclose(scan.intensity, RAMP, atol=0.006) for scan in found.scans)


def spot(k: int, light: Any) -> Any:
    """A reflector in the fourth scan and the last point."""
    return np.where((np.arange(POINTS) == POINTS - 1) & (k == 3), light * 8, light)


def but_spot(found: Outcome) -> bool:
    """RAMP, whatever the last point is."""
    return all(np.allclose(scan.intensity[:-1], RAMP[:-1], atol=0.006) for scan in found.scans)


def _two_frames(folder: Path) -> Path:
    front, rear = lidar(20, frame="lidar"), lidar(20, frame="lidar_rear", late_ns=21_000_000)
    joints = ("base_link", "lidar", (2.0, 0.0, 1.0)), ("base_link", "lidar_rear", (-2.0, 0.0, 1.0))
    return mcap(folder / "x.mcap", ordered([*places(*joints), *front, *rear]))


def _two_types(folder: Path, world: str) -> Path:
    ros = Ros(world)

    def image(k: int, t: int) -> Any:
        return ros.image("cam", t)

    rows = ordered([*lidar(20, "/front", ros), *turns(image, 20, topic="/front")])
    return (
        (bag if world == "ros1" else mcap)(folder / "x.bag", rows) if world == "ros1" else mcap(folder / "x.mcap", rows)
    )


def _change_of_layout(folder: Path) -> Path:
    def cloud(k: int, t: int) -> Any:
        light = (RAMP * 255).astype("u1") if k < 10 else (RAMP * 255).astype("f4")
        return ROS.cloud({"intensity": light}, t)

    return mcap(folder / "x.mcap", turns(cloud))


def _livox(folder: Path, world: str) -> Path:
    ros = Ros(world)
    kind = ros.types["livox_ros_driver2/msg/CustomPoint"]

    def message(k: int, t: int) -> Any:
        points = [kind(offset_time=500_000 * n, x=float(5 + n), y=0.0, z=0.0, reflectivity=n, tag=0x10, line=n % 4)
                  for n in range(150)]  # fmt: skip
        return ros.types["livox_ros_driver2/msg/CustomMsg"](
            header=ros.header("lidar", t), timebase=t, point_num=len(points), lidar_id=0,
            rsvd=np.zeros(3, np.uint8), points=points)  # fmt: skip

    rows = turns(message, 12, topic="/livox/lidar")
    return bag(folder / "x.bag", rows) if world == "ros1" else mcap(folder / "x.mcap", rows)


def _scan2d(folder: Path) -> Path:
    kind = ROS.types["sensor_msgs/msg/LaserScan"]

    def message(k: int, t: int) -> Any:
        return kind(header=ROS.header("laser", t), angle_min=0.0, angle_max=1.0, angle_increment=0.1,
                    time_increment=0.0, scan_time=0.1, range_min=0.1, range_max=30.0,
                    ranges=np.ones(11, np.float32), intensities=np.zeros(0, np.float32))  # fmt: skip

    return mcap(folder / "x.mcap", ordered([*drive(), *turns(message, 20, topic="/scan")]))


def _cloud(folder: Path, change: Any, count: int = 20) -> Path:
    def cloud(k: int, t: int) -> Any:
        made = ROS.cloud({"intensity": (RAMP * 255).astype("u1")}, t)
        change(k, made)
        return made

    return mcap(folder / "x.mcap", turns(cloud, count))


def _renamed(names: dict[str, str]) -> Any:
    def change(k: int, cloud: Any) -> None:
        for field in cloud.fields:
            field.name = names.get(field.name, field.name)

    return change


def _emptied(k: int, cloud: Any) -> None:
    if k % 2:
        cloud.data = np.zeros(0, np.uint8)
        cloud.width = cloud.row_step = 0


def _lies(k: int, cloud: Any) -> None:
    if k == 5:
        cloud.width *= 2


def _zero_points(k: int, cloud: Any) -> None:
    table = cloud.data.reshape(POINTS, cloud.point_step).copy()
    table[::2, :12] = 0
    cloud.data = table.reshape(-1)


READ = {"lacks": ("intensity-scale", "refused", "no-intensity"), "right": is_ramp}
SITUATIONS = [
    Situation("intensity of 8 bits", "rslidar_sdk#50", SCALE, "read", **READ,
              make=lambda f: bright(f, "intensity", "u1", 255)),
    Situation("float intensity from 0 to 255", "livox_ros_driver#86", SCALE, "read", **READ,
              make=lambda f: bright(f, "intensity", "f4", 255)),
    Situation("float intensity from 0 to 1, as KITTI's", "rangenet_lib#24", SCALE, "read", **READ,
              make=lambda f: bright(f, "intensity", "f4", 1)),
    Situation("float from 0 to 1 with a reflector at 8", "ouster-ros#408", SCALE, "one scale, named",
              make=lambda f: bright(f, "intensity", "f4", 1, spot), right=but_spot),
    Situation("float from 0 to 255 with a reflector above", "ouster-ros#408", SCALE, "one scale for all scans",
              make=lambda f: bright(f, "intensity", "f4", 255, spot), right=but_spot),
    Situation("16 bits, full range", "SeeingThroughFog#79", SCALE, "read", **READ,
              make=lambda f: bright(f, "intensity", "u2", 65535)),
    Situation("16 bits that hold 8", "ouster-ros#408", SCALE, "read", **READ,
              make=lambda f: bright(f, "intensity", "u2", 255)),
    Situation("photon counts to 3,300 in floats", "SFA3D#64", SCALE, "one scale, named as a guess",
              has=("intensity-scale",), make=lambda f: bright(f, "intensity", "f4", 3300),
              right=lambda o: len({float(np.median(s.intensity)) for s in o.scans}) == 1),
    Situation("reflectivity of 16 bits beside photon counts", "ouster-ros#408", SCALE, "reflectivity is taken", **READ,
              make=lambda f: bright(f, "reflectivity", "u2", 255, intensity=(RAMP * 2000).astype("f4"))),
    Situation("negative intensity among others", "nuscenes-devkit#515", SCALE, "counts as 0",
              make=lambda f: bright(f, "intensity", "f4", 255, lambda k, light: np.where(light < 20, -94.988, light)),
              right=lambda o: all(s.intensity.min() >= 0 and np.allclose(s.intensity[50:], RAMP[50:], atol=0.006)
                                  for s in o.scans)),
    Situation("dark first scans, then floats to 255", "ouster-ros#408", SCALE, "named where later scans contradict",
              has=("intensity-scale",),
              make=lambda f: bright(f, "intensity", "f4", 255, lambda k, light: light if k > 5 else light / 400)),
    Situation("signal in decibels below zero", "own", SCALE, "named as without intensity", has=("no-intensity",),
              make=lambda f: bright(f, "intensity", "f4", -90)),
    Situation("no field of intensity", "own", SCALE, "named", has=("no-intensity",),
              make=lambda f: _cloud(f, _renamed({"intensity": "spare"}))),
    Situation("intensity that is written Intensity", "own", FIELDS, "read", **READ,
              make=lambda f: _cloud(f, _renamed({"intensity": "Intensity"}))),
    Situation("coordinates that are written X, Y, Z", "own", FIELDS, "read", **READ,
              make=lambda f: _cloud(f, _renamed({"x": "X", "y": "Y", "z": "Z"}))),
    Situation("a field with an empty name", "pyntcloud#347", FIELDS, "passed over",
              make=lambda f: _cloud(f, _renamed({"intensity": ""})), has=("no-intensity",),
              counts={"lidar/points": 20}),
    Situation("coordinates in polar form only", "own", UNREAD, "an error", code=3, has=("refused",),
              make=lambda f: _cloud(f, _renamed({"x": "range", "y": "azimuth", "z": "elevation"}))),
    Situation("every second cloud is empty", "own", "success that made nothing", "an error", code=3,
              has=("empty-scan",), make=lambda f: _cloud(f, _emptied)),
    Situation("a cloud that is shorter than it says", "own", "a value from outside used before it is checked",
              "left out and counted", code=3, has=("refused",), counts={"lidar/points": 19},
              make=lambda f: _cloud(f, _lies)),
    Situation("points at zero for beams without an echo", "own", "missing knowledge replaced by a default",
              "left out", make=lambda f: _cloud(f, _zero_points),
              right=lambda o: all(len(s.xyz_m) == POINTS // 2 for s in o.scans)),
    Situation("the layout changes in the middle of a recording", "own", SCALE, "each by its own layout",
              **READ, make=_change_of_layout),
    Situation("two LiDARs of two frames in one topic", "own", KEY, "an error", code=3,
              has=("mixed-frames",), make=_two_frames),
    Situation("clouds and pictures in one topic, .bag", "marv-robotics#21", KEY, "each by its own type",
              make=lambda f: _two_types(f, "ros1"), code=3, right=lambda o: (len(o.scans), len(o.frames)) == (20, 20)),
    Situation("clouds and pictures in one topic, MCAP", "marv-robotics#21", KEY, "each by its own type",
              make=lambda f: _two_types(f, "ros2"), code=3, right=lambda o: (len(o.scans), len(o.frames)) == (20, 20)),
    Situation("Livox CustomMsg in a .bag", "livox_ros_driver#104", UNREAD, "read", make=lambda f: _livox(f, "ros1"),
              right=lambda o: len(o.scans) == 12 and abs(o.scans[0].duration_ns - 74_500_000) < 1000),
    Situation("Livox CustomMsg in MCAP", "livox_ros_driver#104", UNREAD, "read", make=lambda f: _livox(f, "ros2"),
              right=lambda o: len(o.scans) == 12 and abs(o.scans[0].duration_ns - 74_500_000) < 1000),
    Situation("a 2D scanner's LaserScan beside the others", "own", UNREAD, "named",
              has=("unread-sensor",), make=_scan2d, counts={"lidar/points": 20, "camera/cam_image_raw": 20}),
]  # fmt: skip
