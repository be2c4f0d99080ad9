"""2-D boxes and points to boxes: objects whose place, heading and size are known."""

from __future__ import annotations

import numpy as np
import pytest
from detect_samples import CLASSES, camera_mount

from fusion_pipeline.arrays import Array
from fusion_pipeline.detect.lift import Lifter
from fusion_pipeline.detect.work import Boxes2d, View, Work
from fusion_pipeline.encode.inputs import Picture, Scene
from fusion_pipeline.messages import Boxes
from fusion_pipeline.operations import LiftToBoxes

SIZES = {
    "car": (3.9, 1.6, 1.56), "truck": (8.0, 2.5, 3.0), "pedestrian": (0.7, 0.6, 1.75),
    "two-wheeler": (1.8, 0.6, 1.7), "other": (1.2, 0.5, 1.0),
}  # fmt: skip
MOUNT = camera_mount()
PICTURE = Picture("camera/front", np.zeros((192, 640, 3), np.uint8), MOUNT)


def visible_sides(x: float, y: float, yaw: float, size: tuple[float, float, float], n: int = 600) -> Array:
    """Points on the vertical sides of a box that face the origin."""
    random = np.random.default_rng(0)
    length, width, height = size
    axes = np.array([[np.cos(yaw), np.sin(yaw)], [-np.sin(yaw), np.cos(yaw)]])
    points = []
    for axis, (half, other) in enumerate(((length / 2, width / 2), (width / 2, length / 2))):
        side = -np.sign(axes[axis] @ [x, y]) * half  # the one towards the sensor
        along = random.uniform(-other, other, n)
        local = np.stack([np.full(n, side), along] if axis == 0 else [along, np.full(n, side)], axis=1)
        points.append(np.column_stack([local @ axes + [x, y], random.uniform(0.1, height, n)]))
    return np.concatenate(points)


def road() -> Array:
    random = np.random.default_rng(1)
    return np.column_stack([random.uniform(3, 60, 8000), random.uniform(-20, 20, 8000), random.normal(0, 0.02, 8000)])


def around(points: Array) -> Array:
    """(1, 4) the 2-D box around the points."""
    pixels, _ = MOUNT.model.project(MOUNT.vehicle_from_sensor.inverse().apply(points))
    return np.concatenate([pixels.min(axis=0), pixels.max(axis=0)])[None]


def lifted(corners: Array, label: str, *clouds: Array) -> Boxes:
    points = np.concatenate(clouds).astype(np.float32) if clouds else np.zeros((0, 3), np.float32)
    scene = Scene(points, np.zeros(len(points), np.float32), (PICTURE,), (), ())
    found = Boxes2d(corners, np.full(len(corners), 0.8, np.float32), np.full(len(corners), CLASSES.index(label)))
    return Lifter(LiftToBoxes(SIZES), CLASSES)(Work(scene, {}, (View(PICTURE, boxes=found),)))


@pytest.mark.parametrize(("x", "y", "yaw"), [(15, 2, 0.0), (15, -3, 0.5), (25, 4, 1.4), (20, 0.5, -0.7)])
def test_a_car_is_placed_where_it_stands(x: float, y: float, yaw: float) -> None:
    car = visible_sides(x, y, yaw, SIZES["car"])
    boxes = lifted(around(car), "car", car, road())
    assert len(boxes) == 1
    assert np.hypot(*(boxes.centers_m[0, :2] - [x, y])) < 0.8
    assert abs(boxes.centers_m[0, 2] - 0.78) < 0.2
    assert abs(np.sin(boxes.yaws_rad[0] - yaw)) < 0.2  # which end is the front it cannot tell
    assert boxes.attribution[0].tolist() == [0.5, 0.5, 0]
    assert (boxes.std[0] > 0).all()


def test_a_wall_behind_a_pedestrian_does_not_move_them() -> None:
    person = visible_sides(12, 1, 0.0, SIZES["pedestrian"], 300)
    random = np.random.default_rng(2)
    wall = np.column_stack([np.full(3000, 18.0), random.uniform(-6, 6, 3000), random.uniform(0, 4, 3000)])
    boxes = lifted(around(person), "pedestrian", person, wall, road())
    assert np.hypot(*(boxes.centers_m[0, :2] - [12, 1])) < 0.5


def test_without_points_there_is_no_distance_and_no_box() -> None:
    car = visible_sides(15, 2, 0.0, SIZES["car"])
    assert len(lifted(around(car), "car")) == 0
    assert len(lifted(around(car), "car", car[:4])) == 0
    assert len(lifted(np.zeros((0, 4)), "car", car)) == 0


def test_what_lies_behind_the_camera_is_not_in_its_picture() -> None:
    car = visible_sides(15, 2, 0.0, SIZES["car"])
    assert len(lifted(around(car), "car", car * [-1, -1, 1])) == 0
