"""Rigs of logs of other systems: lenses by name, the part of the sensor that is read out, frames by structure."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("rosbags")

from ros_samples import SECOND, START, Ros

from fusion_pipeline.logs.reader import open_log
from fusion_pipeline.rig import Rig, RigError, require_places

PLACED = (("base_link", "cam", (1.0, 0.0, 1.0)), ("base_link", "lidar", (0.0, 0.0, 2.0)))
K = (300.0, 0, 160, 0, 310, 120, 0, 0, 1)


def opened(tmp_path: Path, content: list[tuple[str, Any]], world: str = "ros2") -> tuple[Rig, dict[str, str]]:
    """The rig and the findings (name: detail of the last) of a log of these messages."""
    log = open_log(Ros(world).write(tmp_path / "log", content))
    return log.rig, {finding.name: f"{finding.topic}: {finding.detail}" for finding in log.findings}


def with_lidar(content: list[tuple[str, Any]], world: str = "ros2") -> list[tuple[str, Any]]:
    cloud = Ros(world).cloud({"intensity": np.ones(40, "u1")})
    return [("/tf_static", Ros(world).transforms(*PLACED)), ("/points", cloud), *content]


@pytest.mark.parametrize("world", ["ros1", "ros2"])
@pytest.mark.parametrize(("model", "bent", "expected"), [
    ("plumb_bob", [0.1, 0.2, 0.01, 0.02, 0.3], "pinhole"), ("plumb_bob", [0.1, 0.2, 0.01, 0.02], "pinhole"),
    ("rational_polynomial", [0.1] * 8, "pinhole"), ("rational_polynomial", [0.1] * 12, "pinhole"),
    ("Rational Polynomial", [0.1] * 14, "pinhole"), ("radtan", [0.1] * 4, "pinhole"), ("", [], "pinhole"),
    ("", [0.0] * 5, "pinhole"), ("none", [0.0] * 3, "pinhole"), ("plumb_bob", [0.1, 0.2, 0, 0, 0, 0], "pinhole"),
    ("equidistant", [0.1] * 4, "fisheye"), ("fisheye", [0.1] * 4, "fisheye"), ("kannala_brandt", [0.1] * 4, "fisheye"),
    ("kannala_brandt4", [0.1] * 4, "fisheye"),
])  # fmt: skip
def test_lenses_that_are_known(world: str, model: str, bent: list[float], expected: str, tmp_path: Path) -> None:
    ros = Ros(world)
    rig, found = opened(tmp_path, with_lidar([
        ("/cam/image_raw", ros.image()), ("/cam/camera_info", ros.info(model=model, bent=bent)),
    ], world), world)  # fmt: skip
    lens = rig.cameras["camera/cam_image_raw"].model
    assert lens.model == expected
    kept = np.asarray(bent)
    np.testing.assert_array_equal(lens.distortion, kept[: len(lens.distortion)])
    assert not kept[len(lens.distortion) :].any()
    assert not found


@pytest.mark.parametrize(("model", "bent"), [
    ("double_sphere", [-0.2, 0.6]), ("eucm", [0.6, 1.1]), ("mei", [0.1, 0.01, 0, 0, 1.2]), ("omnidir", [0.1] * 5),
    ("cata", [0.1] * 5), ("fov", [0.9]), ("atan", [0.9]), ("thin_prism_fisheye", [0.1] * 8), ("", [0.1, 0, 0, 0, 0]),
    ("fisheye62", [0.1] * 8), ("plumb_bob", [0.1, 0.2]), ("equidistant", [0.1] * 6), ("division", [0.1]),
    ("inverse_brown_conrady", [0.1] * 5),
])  # fmt: skip
def test_lenses_that_are_not_known_are_no_pinholes(model: str, bent: list[float], tmp_path: Path) -> None:
    rig, found = opened(tmp_path, with_lidar([
        ("/cam/image_raw", Ros().image()), ("/cam/camera_info", Ros().info(model=model, bent=bent)),
    ]))  # fmt: skip
    assert not rig.cameras
    assert set(found) == {"unknown-lens"}
    assert not model or model in found["unknown-lens"]


@pytest.mark.parametrize("k", [(0.0,) * 9, (-300.0, 0, 160, 0, 300, 120, 0, 0, 1),
                               (np.nan, 0, 160, 0, 300, 120, 0, 0, 1),
                               (300.0, 0, np.inf, 0, 300, 120, 0, 0, 1)])  # fmt: skip
def test_intrinsics_that_are_none(k: tuple[float, ...], tmp_path: Path) -> None:
    rig, found = opened(tmp_path, with_lidar([
        ("/cam/image_raw", Ros().image()), ("/cam/camera_info", Ros().info(k=k)),
    ]))  # fmt: skip
    assert not rig.cameras
    assert set(found) == {"no-lens"}


def test_binning_and_region_change_the_matrix(tmp_path: Path) -> None:
    full = {"size": (320, 240), "k": K}
    for info, picture, middle, focal in (
        (Ros().info(**full, binning=2), (160, 120), (79.75, 59.75), 150.0),
        (Ros().info(**full, roi=(40, 20, 200, 100)), (200, 100), (120.0, 100.0), 300.0),
        (Ros().info(**full, roi=(40, 20, 200, 100), binning=2), (100, 50), (59.75, 49.75), 150.0),
        (Ros().info(**full, binning=2), (320, 240), (160.0, 120.0), 300.0),
    ):
        rig, found = opened(tmp_path, with_lidar([
            ("/cam/image_raw", Ros().image(size=picture)), ("/cam/camera_info", info),
        ]))  # fmt: skip
        lens = rig.cameras["camera/cam_image_raw"].model
        assert (lens.width_px, lens.height_px) == picture
        np.testing.assert_allclose((lens.matrix[0, 2], lens.matrix[1, 2], lens.matrix[0, 0]), (*middle, focal))
        assert not found


def test_pictures_of_another_size_than_the_lens_are_named(tmp_path: Path) -> None:
    for picture, used in (((320, 180), False), ((160, 120), True)):
        rig, found = opened(tmp_path, with_lidar([
            ("/cam/image_raw", Ros().image(size=picture)), ("/cam/camera_info", Ros().info(size=(320, 240), k=K)),
        ]))  # fmt: skip
        assert set(found) == {"lens-size"}
        assert bool(rig.cameras) == used


def test_a_rectified_topic_has_p_and_r(tmp_path: Path) -> None:
    turn = np.asarray([[0.0, -1, 0], [1, 0, 0], [0, 0, 1]])  # rectified from camera
    info = Ros().info(bent=[0.1] * 5, r=turn.ravel(), p=(25.0, 0, 15, 0, 0, 26, 11, 0, 0, 0, 1, 0))
    pictures = [(f"/cam/{name}", Ros().image()) for name in ("image_raw", "image_rect_color")]
    rig, found = opened(tmp_path, with_lidar([*pictures, ("/cam/camera_info", info)]))
    assert not found
    raw, flat = rig.cameras["camera/cam_image_raw"], rig.cameras["camera/cam_image_rect_color"]
    assert (raw.model.matrix[0, 0], len(raw.model.distortion)) == (30.0, 5)
    assert (flat.model.matrix[0, 0], flat.model.matrix[1, 2], len(flat.model.distortion)) == (25.0, 11.0, 0)
    np.testing.assert_allclose(flat.vehicle_from_sensor.rotation, raw.vehicle_from_sensor.rotation @ turn.T)
    rig, found = opened(tmp_path, with_lidar([("/cam/image_rect", Ros().image()), ("/cam/camera_info", Ros().info())]))
    assert set(found) == {"no-lens"}


def test_a_stereo_pair_in_one_frame_is_a_baseline_apart(tmp_path: Path) -> None:
    left = Ros().info(p=(20.0, 0, 15, 0, 0, 20, 11, 0, 0, 0, 1, 0))
    right = Ros().info(p=(20.0, 0, 15, -10.0, 0, 20, 11, 0, 0, 0, 1, 0))
    content = [(f"/{side}/{name}", message) for side, info in (("left", left), ("right", right))
               for name, message in (("image_rect", Ros().image()), ("camera_info", info))]  # fmt: skip
    rig, found = opened(tmp_path, with_lidar(content))
    assert not found
    apart = (rig.cameras["camera/right_image_rect"].vehicle_from_sensor.translation_m
             - rig.cameras["camera/left_image_rect"].vehicle_from_sensor.translation_m)  # fmt: skip
    np.testing.assert_allclose(apart, [0.5, 0, 0])


def test_several_infos_in_one_namespace_by_frame_and_by_name(tmp_path: Path) -> None:
    joints = [("base_link", name, (float(k), 0.0, 0.0)) for k, name in enumerate(("front", "rear", "lidar"))]
    front, rear = (
        Ros().info("front", k=(10.0, 0, 16, 0, 10, 12, 0, 0, 1)),
        Ros().info("rear", k=(20.0, 0, 16, 0, 20, 12, 0, 0, 1)),
    )
    cloud = ("/points", Ros().cloud({"intensity": np.ones(40, "u1")}))
    content = [("/tf_static", Ros().transforms(*joints)), cloud, ("/cams/front_info", front), ("/cams/rear_info", rear),
               ("/cams/front/compressed_not", Ros().image("front")), ("/cams/rear", Ros().image("rear"))]  # fmt: skip
    rig, found = opened(tmp_path, content)
    assert not found
    assert {name: mount.model.matrix[0, 0] for name, mount in rig.cameras.items()} == {
        "camera/cams_front_compressed_not": 10.0, "camera/cams_rear": 20.0,
    }  # fmt: skip
    for message in (front, rear):
        message.header.frame_id = ""
    content = [("/tf_static", Ros().transforms(*joints)), cloud, ("/cams/front_info", front), ("/cams/rear_info", rear),
               ("/cams/front", Ros().image("front")), ("/cams/rear", Ros().image("rear"))]  # fmt: skip
    rig, found = opened(tmp_path, content)
    assert {name: mount.model.matrix[0, 0] for name, mount in rig.cameras.items()} == {
        "camera/cams_front": 10.0, "camera/cams_rear": 20.0,
    }  # fmt: skip
    content = [("/tf_static", Ros().transforms(*joints)), cloud, ("/cams/camera_info", Ros().info("front")),
               ("/cams/front", Ros().image("front")), ("/cams/rear", Ros().image("rear"))]  # fmt: skip
    rig, found = opened(tmp_path, content)
    assert list(rig.cameras) == ["camera/cams_front"]  # not the front's for the rear
    assert found["no-lens"].startswith("camera/cams_rear: ")


@pytest.mark.parametrize(("topic", "encoding", "byte"), [
    ("/camera/depth/image_rect_raw", "16UC1", 2), ("/d/image", "32FC1", 4), ("/depth/image", "mono16", 2),
    ("/camera/aligned_depth_to_color/image_raw", "16UC1", 2),
])  # fmt: skip
def test_depth_pictures_are_no_cameras(topic: str, encoding: str, byte: int, tmp_path: Path) -> None:
    log = open_log(Ros().write(tmp_path / "log", with_lidar([(topic, Ros().image(encoding=encoding, byte=byte))])))
    assert log.topics == ("lidar/points",)
    assert [(f.name, f.topic) for f in log.findings] == [("unread-topic", topic)]
    assert [m.header.source for m in log.messages()] == ["lidar/points"]


def two_sensors(joints: list[Any], topic: str = "/tf_static", lidar: str = "lidar") -> list[tuple[str, Any]]:
    return [("/points", Ros().cloud({"intensity": np.ones(40, "u1")}, frame=lidar)),
            ("/cam/image_raw", Ros().image()), ("/cam/camera_info", Ros().info()),
            *([(topic, Ros().transforms(*joints))] if joints else [])]  # fmt: skip


@pytest.mark.parametrize("base", ["base_link", "/base_link", "base_footprint", "robot1/base_link", "vehicle"])
@pytest.mark.parametrize("topic", ["/tf_static", "/tf", "/robot1/tf_static"])
def test_the_base_bears_any_of_its_names(base: str, topic: str, tmp_path: Path) -> None:
    rig, found = opened(tmp_path, two_sensors([(base, "roof", (0.0, 0.0, 1.0)), ("roof", "/lidar", (0.0, 0.5, 1.0)),
                                               ("roof", "cam", (1.0, 0.0, 0.0))], topic))  # fmt: skip
    assert not found
    np.testing.assert_allclose(rig.lidars["lidar/points"].vehicle_from_sensor.translation_m, [0, 0.5, 2])
    np.testing.assert_allclose(rig.cameras["camera/cam_image_raw"].vehicle_from_sensor.translation_m, [1, 0, 1])


def test_a_tree_without_a_base_has_its_root_for_one_and_says_so(tmp_path: Path) -> None:
    joints = [("platform", "lidar", (0.0, 0.0, 2.0)), ("platform", "cam", (1.0, 0.0, 1.0))]
    rig, found = opened(tmp_path, two_sensors(joints))
    assert set(found) == {"assumed-base"}
    assert rig.lidars["lidar/points"].vehicle_from_sensor.translation_m.tolist() == [0, 0, 2]


@pytest.mark.parametrize(("joints", "lidar", "missing", "name"), [
    ([], "lidar", {"lidar/points", "camera/cam_image_raw"}, "no-transform"),
    ([PLACED[0]], "lidar", {"lidar/points"}, "no-transform"),
    ([PLACED[0], ("rack", "lidar", (0.0, 0.0, 1.0))], "lidar", {"lidar/points"}, "no-transform"),
    (list(PLACED), "", {"lidar/points"}, "no-transform"),
    ([*PLACED, ("mast", "lidar", (0.0, 0.0, 0.0)), ("base_link", "mast", (0.0, 0.0, 5.0))], "lidar", {"lidar/points"},
     "no-transform"),
    ([PLACED[0], ("base_link", "lidar", (np.nan, 0.0, 1.0))], "lidar", {"lidar/points"}, "no-transform"),
])  # fmt: skip
@pytest.mark.parametrize("world", ["ros1", "ros2"])
def test_a_sensor_without_a_place_is_not_in_the_rig(
    joints: list[Any], lidar: str, missing: set[str], name: str, world: str, tmp_path: Path
) -> None:
    ros = Ros(world)
    content = [("/points", ros.cloud({"intensity": np.ones(40, "u1")}, frame=lidar)), ("/cam/image_raw", ros.image()),
               ("/cam/camera_info", ros.info())]  # fmt: skip
    content += [("/tf_static", ros.transforms(*joints))] if joints else []
    rig, found = opened(tmp_path, content, world)
    assert {"lidar/points", "camera/cam_image_raw"} - set(rig.topics) == missing
    assert set(found) == {name}
    with pytest.raises(RigError, match="--rig"):
        require_places(rig, ("lidar/points", "camera/cam_image_raw"))


def test_a_rotation_of_zeros_is_no_transform(tmp_path: Path) -> None:
    content = two_sensors([PLACED[0]])
    content.append(("/tf_static", Ros().transforms(PLACED[1], turn=(0.0, 0.0, 0.0, 0.0))))
    rig, found = opened(tmp_path, content)
    assert not rig.lidars
    assert "base_link -> lidar" in found["no-transform"]


def test_a_mount_that_moves_is_named(tmp_path: Path) -> None:
    content = two_sensors([PLACED[1], ("head", "cam", (0.0, 0.0, 0.1))])
    for k in range(4):
        turn = (0.0, 0.0, float(np.sin(0.1 * k)), float(np.cos(0.1 * k)))
        content.append(("/tf", Ros().transforms(("base_link", "head", (0.0, 0.0, 1.0)), turn=turn)))
    rig, found = opened(tmp_path, content)
    assert set(rig.topics) == {"lidar/points"}
    assert set(found) == {"moving-mount"}
    assert "base_link -> head" in found["moving-mount"]


def test_the_vehicles_own_motion_moves_no_mount(tmp_path: Path) -> None:
    content = two_sensors([])
    for k in range(4):
        content.append(("/tf", Ros().transforms(("odom", "base_link", (float(k), 0.0, 0.0)), *PLACED)))
    rig, found = opened(tmp_path, content)
    assert set(rig.topics) == {"lidar/points", "camera/cam_image_raw"}
    assert not found


def test_one_sensor_alone_is_warned_of(tmp_path: Path) -> None:
    log = open_log(Ros().write(tmp_path / "log", [("/points", Ros().cloud({"intensity": np.ones(40, "u1")}))]))
    assert [finding.name for finding in log.findings] == ["no-calibration"]
    assert not log.findings.wrong()


@pytest.mark.parametrize(("change", "reason"), [
    ({"position": (np.nan, 0.0, 0.0)}, "numbers that are not finite"),
    ({"turn": (0.0, 0.0, 0.0, 0.0)}, "orientation that is no rotation"),
    ({"turn": (np.inf, 0.0, 0.0, 0.0)}, "orientation that is no rotation"),
])  # fmt: skip
def test_odometry_that_is_not_finite_is_refused(change: dict[str, Any], reason: str, tmp_path: Path) -> None:
    content = with_lidar([("/odom", Ros().odometry()), ("/odom", Ros().odometry(**change)),
                          ("/odom", Ros().odometry(variance=np.nan))])  # fmt: skip
    log = open_log(Ros().write(tmp_path / "log", content))
    egos = [m for m in log.messages() if m.header.source == "ego/odom"]
    assert len(egos) == 2
    assert np.isfinite(egos[1].pose_covariance).all()  # type: ignore[union-attr]
    assert log.refused == {("ego/odom", reason): 1}


def test_a_foxglove_calibration_follows_the_same_rules(tmp_path: Path) -> None:
    foxglove = pytest.importorskip("foxglove")
    from foxglove.messages import CameraCalibration, CompressedImage, FrameTransform, Quaternion, Timestamp, Vector3

    def stamp(k: int) -> Any:
        return Timestamp(sec=START // SECOND, nsec=k)

    for model, bent, name in (("plumb_bob", [0.1, 0, 0, 0, 0], ""), ("double_sphere", [-0.2, 0.6], "unknown-lens"),
                              ("kannala_brandt", [0.1] * 4, ""), ("fisheye62", [0.1] * 8, "unknown-lens")):  # fmt: skip
        path = tmp_path / f"{model}.mcap"
        import cv2

        data = cv2.imencode(".jpg", np.full((24, 32, 3), 90, np.uint8))[1].tobytes()
        with foxglove.open_mcap(path):
            foxglove.log("/tf", FrameTransform(timestamp=stamp(0), parent_frame_id="base_link", child_frame_id="cam",
                                               translation=Vector3(z=1.0), rotation=Quaternion(w=1.0)))  # fmt: skip
            foxglove.log("/cam/calibration", CameraCalibration(
                timestamp=stamp(0), frame_id="cam", width=32, height=24, distortion_model=model, D=bent,
                K=[30.0, 0, 16, 0, 30, 12, 0, 0, 1], R=[], P=[]))  # fmt: skip
            foxglove.log("/cam/image", CompressedImage(timestamp=stamp(0), frame_id="cam", format="jpeg", data=data))
        log = open_log(path)
        assert [finding.name for finding in log.findings] == [name] * bool(name)
        assert bool(log.rig.cameras) == (not name)


def test_a_log_of_sensors_without_places_is_converted_to_one_that_opens(tmp_path: Path) -> None:
    from fusion_pipeline.logs.surgery import converted

    log = Ros().write(tmp_path / "log", two_sensors([]))
    converted(log, tmp_path / "out.mcap")
    made = open_log(tmp_path / "out.mcap")
    assert not made.rig.topics
    assert {f.name for f in made.findings} >= {"no-transform"}
    assert len(list(made.messages())) == 2


def test_transforms_in_one_part_of_a_split_recording_are_of_all(tmp_path: Path) -> None:
    folder = tmp_path / "split"
    folder.mkdir()
    content = two_sensors([])
    Ros().write(folder / "a_0", [*content, ("/tf_static", Ros().transforms(*PLACED))])
    Ros().write(folder / "a_1", content)
    log = open_log(folder)
    assert set(log.rig.topics) == {"lidar/points", "camera/cam_image_raw"}
    assert not list(log.findings)
