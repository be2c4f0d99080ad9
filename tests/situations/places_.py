"""Transforms, and names from outside."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from recordings import MS, PERIOD, ROS, START, camera, lidar, mcap, ordered, places, turns
from situation import Outcome, Situation, verb

DEFAULT = "missing knowledge replaced by a default"
NAMES = "a name map that is not one to one"
QUOTED = "a name from outside goes unquoted into a structured text"
MOUNT, LENS = ("base_link", "lidar", (0.0, 0.0, 1.8)), ("base_link", "cam", (1.0, 0.0, 1.4))


def both(folder: Path, *rows: Any, lidar_frame: str = "lidar", camera_frame: str = "cam") -> Path:
    """A LiDAR and a camera with these transforms."""
    return mcap(folder / "x.mcap", ordered([*rows, *lidar(frame=lidar_frame), *camera(frame=camera_frame)]))


def at(x: float, y: float, z: float) -> Any:
    """Whether the LiDAR is there."""

    def right(found: Outcome) -> bool:
        assert found.rig is not None
        (mount,) = found.rig.lidars.values()
        return bool(np.allclose(mount.vehicle_from_sensor.translation_m, (x, y, z), atol=1e-6))

    return right


def _moving(folder: Path) -> Path:
    rows = [
        row
        for k in range(20)
        for row in places(("base_link", "lidar", (0.0, 0.0, 1.0 + 0.05 * k)), topic="/tf", at=START + k * PERIOD)
    ]
    return both(folder, *places(LENS), *rows)


def _driving(folder: Path) -> Path:
    rows = [row for k in range(20) for row in places(
        ("map", "odom", (0.1 * k, 0, 0)), ("odom", "base_link", (float(k), 0, 0)), topic="/tf",
        at=START + k * PERIOD)]  # fmt: skip
    return both(folder, *places(MOUNT, LENS), *rows)


def named(folder: Path, *topics: str) -> Path:
    """LiDARs of these topics, each at its place, and what replays and converts."""
    frames = [f"f{k}" for k in range(len(topics))]
    joints = [("base_link", frame, (float(k), 0.0, 1.0)) for k, frame in enumerate(frames)]
    rows = [row for k, topic in enumerate(topics) for row in lidar(topic=topic, frame=frames[k])]
    return mcap(folder / "x.mcap", ordered([*places(*joints), *rows]))


def apart(count: int) -> Any:
    """As many topics of LiDARs, each at a place of its own."""

    def right(found: Outcome) -> bool:
        assert found.rig is not None
        places_ = {float(m.vehicle_from_sensor.translation_m[0]) for m in found.rig.lidars.values()}
        return len(places_) == count == len(found.messages)

    return right


def round_trip(folder: Path, path: Path) -> Outcome:
    """Converted, and the result checked."""
    from situation import evaluated

    before = evaluated(path)
    done = verb("log", "convert", path, folder / "out.mcap")
    after = evaluated(folder / "out.mcap")
    same = {t: len(m) for t, m in before.messages.items()} == {t: len(m) for t, m in after.messages.items()}
    if done.code or not same or set(before.rig.topics) != set(after.rig.topics):  # type: ignore[union-attr]
        return Outcome(1, f"{done.said} {before.messages.keys()} {after.messages.keys()}")
    return after


def _rotated(folder: Path, turn: tuple[float, float, float, float]) -> Path:
    rows = [*places(MOUNT, turn=turn), *places(LENS)]
    return both(folder, *rows)


def _info_of_another(folder: Path) -> Path:
    """Two cameras; only one has a CameraInfo, in its own namespace."""
    left = camera(topic="/left/image_raw", frame="left")
    right = [row for row in camera(topic="/right/image_raw", frame="right") if not row[1].endswith("camera_info")]
    joints = ("base_link", "lidar", (0, 0, 1.8)), ("base_link", "left", (1, 0, 1)), ("base_link", "right", (1, 1, 1))
    return mcap(folder / "x.mcap", ordered([*places(*joints), *lidar(), *left, *right]))


def _late_static(folder: Path) -> Path:
    return both(folder, *places(MOUNT, LENS, at=START + 1500 * MS))


def _pictures_late(folder: Path) -> Path:
    rows = turns(lambda k, t: ROS.image("cam", t), topic="/cam/image_raw")
    about = [(START + 1800 * MS, "/cam/camera_info", ROS.info("cam", START + 1800 * MS))]
    return mcap(folder / "x.mcap", ordered([*places(), *lidar(), *rows, *about]))


SITUATIONS = [
    Situation("no transforms at all", "ros_comm#706", DEFAULT, "an error", code=3, has=("no-transform",),
              make=lambda f: both(f)),
    Situation("a transform of the camera only", "own", DEFAULT, "an error", code=3, has=("no-transform",),
              make=lambda f: both(f, *places(LENS))),
    Situation("static transforms that come late", "own", DEFAULT, "found", make=_late_static,
              right=at(0, 0, 1.8)),
    Situation("a CameraInfo that comes once, at the end", "own", DEFAULT, "found", make=_pictures_late),
    Situation("frames with a prefix of the robot", "own", DEFAULT, "found", right=at(0, 0, 1.8),
              make=lambda f: both(f, *places(*((f"robot_1/{a}", f"robot_1/{b}", c) for a, b, c in (MOUNT, LENS))),
                                  lidar_frame="robot_1/lidar", camera_frame="robot_1/cam")),
    Situation("frames with a leading slash in one place", "own", DEFAULT, "found", right=at(0, 0, 1.8),
              make=lambda f: both(f, *places(MOUNT, LENS), lidar_frame="/lidar")),
    Situation("two trees that nothing joins", "librealsense#5432", DEFAULT, "an error", code=3,
              has=("no-transform",), make=lambda f: both(f, *places(MOUNT, ("mast", "cam", (0, 0, 1))))),
    Situation("transforms in a circle", "own", DEFAULT, "an end, and places as far as they are clear",
              make=lambda f: both(f, *places(MOUNT, LENS, ("lidar", "base_link", (0, 0, -1.8)))), right=at(0, 0, 1.8)),
    Situation("two parents of one frame that contradict", "own", DEFAULT, "an error", code=3,
              make=lambda f: both(f, *places(MOUNT, LENS, ("cam", "lidar", (5, 5, 5))))),
    Situation("a rotation that is no unit quaternion", "own", "what is not finite is believed", "an error", code=3,
              has=("no-transform",), make=lambda f: _rotated(f, (0, 0, 0, 0))),
    Situation("a rotation of twice the length", "own", "what is not finite is believed", "an error", code=3,
              has=("no-transform",), make=lambda f: _rotated(f, (0, 0, 0, 2.0))),
    Situation("a translation that is not finite", "own", "what is not finite is believed", "an error", code=3,
              has=("no-transform",), make=lambda f: both(f, *places(("base_link", "lidar", (np.nan, 0, 0)), LENS))),
    Situation("a LiDAR on a lift", "own", DEFAULT, "an error", code=3, has=("moving-mount",), make=_moving),
    Situation("map, odom and base_link that move", "own", DEFAULT, "no mount moves", make=_driving,
              lacks=("moving-mount",), right=at(0, 0, 1.8)),
    Situation("mounts that are sent again and again on /tf", "robot_state_publisher#47", DEFAULT, "found",
              right=at(0, 0, 1.8), make=lambda f: both(f, *(row for k in range(20) for row in places(
                  MOUNT, LENS, topic="/tf", at=START + k * PERIOD)))),
    Situation("two cameras, one CameraInfo", "own", DEFAULT, "the other has no lens: an error", code=3,
              has=("no-lens",), make=_info_of_another),
    Situation("/front/left_points and /front_left/points", "rqt_graph#11", NAMES, "two", right=apart(2),
              make=lambda f: named(f, "/front/left_points", "/front_left/points")),
    Situation("topics that differ by case alone", "rqt_graph#11", NAMES, "two", right=apart(2),
              make=lambda f: named(f, "/Front/points", "/front/points")),
    Situation("topics that differ by a doubled underscore", "rqt_graph#11", NAMES, "two", right=apart(3),
              make=lambda f: named(f, "/a/b/points", "/a_b/points", "/a__b/points")),
    Situation("a topic with dots and spaces", "realsense-ros#2913", QUOTED, "converted and checked", right=apart(1),
              make=lambda f: round_trip(f, named(f, "/velo.top 2/points"))),
    Situation("a topic in Chinese and one with an umlaut", "realsense-ros#2913", QUOTED, "converted and checked",
              right=apart(2), make=lambda f: round_trip(f, named(f, "/前/points", "/rück/points"))),
    Situation("a topic with quotes and a bracket", "realsense-ros#2913", QUOTED, "converted and checked",
              right=apart(1), make=lambda f: round_trip(f, named(f, '/a"]\n[b/points'))),
    Situation("the default names of a RealSense, converted", "realsense-ros#2913", QUOTED, "converted and checked",
              make=lambda f: round_trip(f, mcap(f / "x.mcap", ordered([
                  *places(), *lidar(), *camera(topic="/camera/color/image_raw")])))),
]  # fmt: skip
