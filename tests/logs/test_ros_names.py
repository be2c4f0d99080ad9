"""Names from outside: one of ours for each topic, quoted wherever they go; which types are a sensor's."""

from __future__ import annotations

import tomllib
from pathlib import Path

import numpy as np
import pytest

from fusion_pipeline.geometry.camera import CameraModel
from fusion_pipeline.geometry.pose import Pose
from fusion_pipeline.logs.ros_topics import is_sensor_type, names_of, unique_names
from fusion_pipeline.rig import CameraMount, LidarMount, Rig, to_toml

CLOUD, IMAGE = "sensor_msgs/msg/PointCloud2", "sensor_msgs/msg/Image"


def test_names_are_one_to_one_and_do_not_depend_on_other_topics() -> None:
    topics = {"/front/left_points": CLOUD, "/front_left/points": CLOUD, "/velodyne/points": CLOUD, "/a/b/c": CLOUD,
              "/a_b/c": CLOUD, "/a/b_c": CLOUD, "/lidar/a_b_c": CLOUD, "/camera/color/image_raw": IMAGE,
              "/cam/image_raw": IMAGE, "/cam/image_raw/": IMAGE}  # fmt: skip
    names = names_of(topics)
    assert len(set(names.values())) == len(topics)
    assert names["/velodyne/points"] == "lidar/velodyne_points"
    assert names["/lidar/a_b_c"] == "lidar/a_b_c"
    assert names["/front/left_points"] == "lidar/front__left_points"
    assert names_of(dict(reversed(topics.items()))) == names
    assert (
        names_of({t: k for t, k in topics.items() if "front" in t})["/front/left_points"] == "lidar/front__left_points"
    )
    assert unique_names([("camera", "/x"), ("lidar", "/x")]) == {
        ("camera", "/x"): "camera/x",
        ("lidar", "/x"): "lidar/x",
    }


@pytest.mark.parametrize("name", ["front", "color/image_raw", "a.b", 'quo"ted', "back\\slash", "with space", "übér",
                                  "🚗", "tab\tnew\nline", "del\x7f", "hash#", "", "1", "[x]", "é.'\"/"])  # fmt: skip
def test_a_rig_of_any_names_comes_back(name: str) -> None:
    camera = CameraModel("pinhole", 32, 24, np.asarray([[30.0, 0, 16], [0, 30, 12], [0, 0, 1]]), np.zeros(0))
    rig = Rig(f"rig {name}", {f"lidar/{name}": LidarMount(Pose.identity())},
              {f"camera/{name}": CameraMount(Pose.identity(), camera)})  # fmt: skip
    text = to_toml(rig)
    again = Rig.from_table(tomllib.loads(text))
    assert (again.topics, again.name) == (rig.topics, rig.name)
    assert to_toml(again) == text


@pytest.mark.parametrize(("schema", "sensor"), [
    ("sensor_msgs/msg/LaserScan", True), ("sensor_msgs/LaserScan", True), ("sensor_msgs/msg/PointCloud", True),
    ("sensor_msgs/msg/NavSatFix", True), ("radar_msgs/msg/RadarScan", True), ("hesai_ros_driver/msg/UdpFrame", True),
    ("rslidar_msg/msg/RslidarPacket", True), ("foxglove.LaserScan", True), ("foxglove.LocationFix", True),
    ("sensor_msgs/msg/CameraInfo", False), ("tf2_msgs/msg/TFMessage", False), ("visualization_msgs/msg/Marker", False),
    ("std_msgs/msg/String", False), ("rosgraph_msgs/msg/Log", False), ("foxglove.SceneUpdate", False), ("", False),
    ("ouster_ros/msg/Metadata", False),
])  # fmt: skip
def test_which_unread_types_are_sensors(schema: str, sensor: bool) -> None:
    assert is_sensor_type(schema) == sensor


def test_topics_that_collide_stay_apart_in_bags_and_mcap(tmp_path: Path) -> None:
    pytest.importorskip("rosbags")
    from ros_samples import Ros

    from fusion_pipeline.logs.reader import open_log

    for world in ("ros1", "ros2"):
        ros = Ros(world)
        content = [(topic, ros.cloud({"intensity": np.full(n, 51, "u1")})) for topic, n in
                   (("/front/left_points", 30), ("/front_left/points", 40))]  # fmt: skip
        log = open_log(ros.write(tmp_path / "log", content))
        assert {m.header.source: len(m.xyz_m) for m in log.messages()} == {  # type: ignore[union-attr]
            "lidar/front__left_points": 30, "lidar/front_left__points": 40,
        }  # fmt: skip
