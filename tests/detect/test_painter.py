"""Early fusion on the graph: the set before paints this one, and a manifest may ask for it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from calibration import rig
from fusion_pipeline.arrays import Floats
from fusion_pipeline.clock import MILLISECOND_NS
from fusion_pipeline.detect.inference import Inference
from fusion_pipeline.detect.painter import Painter, without_camera
from fusion_pipeline.encode.image import fit_of
from fusion_pipeline.encode.inputs import Picture, Scene
from fusion_pipeline.encode.lookup import PICTURE, UNSEEN
from fusion_pipeline.encode.paint import PAINT_CHANNELS, picture_rows
from fusion_pipeline.encode.points import BevRaster
from fusion_pipeline.geometry.pose import Pose
from fusion_pipeline.manifest import SHIPPED, Manifest, ManifestError
from fusion_pipeline.messages import EgoMotion, Header
from fusion_pipeline.rig import Rig

STEP_NS = 100 * MILLISECOND_NS
DEMO = Rig.load(rig("demo"))
SOURCE = next(iter(DEMO.cameras))


def ego(x_m: float) -> EgoMotion:
    zero = np.zeros(3)
    return EgoMotion(Header("ego", 0, 0), np.asarray([x_m, 0.0, 0.0]), np.asarray([0.0, 0, 0, 1]), zero, zero,
                     np.zeros((6, 6)), np.zeros((6, 6)))  # fmt: skip


def scene(at_ns: int, x_m: float, pictured: bool = True) -> Scene:
    rng = np.random.default_rng(1)
    road = np.column_stack([rng.uniform(0, 60, 9000), rng.uniform(-30, 30, 9000), rng.normal(0, 0.01, 9000)])
    wall = np.column_stack([rng.uniform(19.9, 20.1, 500) - x_m, rng.uniform(-1, 1, 500), rng.uniform(0.5, 1.3, 500)])
    points = np.concatenate([road, wall]).astype(np.float32)
    mount = DEMO.cameras[SOURCE]
    pixels = np.zeros((mount.model.height_px, mount.model.width_px, 3), np.uint8)
    pictures = (Picture(SOURCE, pixels, mount),) if pictured else ()
    return Scene(points, np.full(len(points), 0.5, np.float32), pictures, (), (), at_ns, (ego(x_m),))


def segments(things: bool = True) -> Floats:
    logits = np.zeros((1, 6, 24, 80), np.float32)
    logits[:, 0 if things else 5] = 9.0
    return logits


def painted(painter: Painter, now: Scene) -> Floats:
    raster = BevRaster()
    bev = raster(now.points_m, now.intensity)
    before = bev.copy()
    if not painter.paint(now, raster, bev):
        np.testing.assert_array_equal(bev, before)
    return np.asarray(bev[0, PAINT_CHANNELS])


def test_the_set_before_paints() -> None:
    painter = Painter(DEMO, 1)
    assert not painted(painter, scene(STEP_NS, 0.0)).any()  # nobody has seen anything yet
    painter.keep(scene(STEP_NS, 0.0), segments())
    paint = painted(painter, scene(2 * STEP_NS, 1.0))
    row, column = int(19.0 / 0.4), int(40.0 / 0.4)
    assert paint[:, row - 1 : row + 1, column - 2 : column + 2].max() > 0.99
    painter.keep(scene(2 * STEP_NS, 1.0), segments(things=False))
    assert painted(painter, scene(3 * STEP_NS, 2.0)).max() < 0.01


@pytest.mark.parametrize("later_ns", [0, -STEP_NS, 4 * STEP_NS])
def test_what_is_old_or_of_the_future_does_not_paint(later_ns: int) -> None:
    painter = Painter(DEMO, 1)
    painter.keep(scene(9 * STEP_NS, 0.0), segments())
    assert not painted(painter, scene(9 * STEP_NS + later_ns, 0.0)).any()


def test_a_camera_that_was_silent_does_not_paint() -> None:
    painter = Painter(DEMO, 1)
    painter.keep(scene(STEP_NS, 0.0, pictured=False), segments())
    assert not painted(painter, scene(2 * STEP_NS, 0.0)).any()
    painter.keep(scene(2 * STEP_NS, 0.0), segments())
    painter.clear()
    assert not painted(painter, scene(3 * STEP_NS, 0.0)).any()


def test_the_vehicles_own_motion_is_undone() -> None:
    """The cells of the picture that showed a wall paint the wall and nothing else after 5 m and 15 degrees."""
    mount = DEMO.cameras[SOURCE]
    fit = fit_of(mount.model.width_px, mount.model.height_px, PICTURE)
    rng = np.random.default_rng(2)
    wall = np.column_stack([rng.uniform(19.9, 20.1, 400), rng.uniform(3.5, 4.5, 400), rng.uniform(0.6, 1.2, 400)])
    shown = picture_rows(wall.astype(np.float32), mount.model, mount.vehicle_from_sensor.inverse().matrix, fit)
    logits = segments(things=False)
    for row in np.unique(shown[shown < UNSEEN]):
        logits[0, :, row // 80, row % 80] = [9, 0, 0, 0, 0, -9]
    painter, before = Painter(DEMO, 1), scene(STEP_NS, 0.0)
    painter.keep(before, logits)
    turned = Pose.from_euler(0.0, 0.0, np.deg2rad(15.0), np.asarray([5.0, 0.0, 0.0]))
    now = turned.inverse().apply(np.concatenate([before.points_m[:9000].astype(np.float64), wall]))
    there = replace(ego(5.0), orientation=turned.quaternion)
    later = replace(before, points_m=now.astype(np.float32), intensity=np.full(len(now), 0.5, np.float32),
                    instant_ns=2 * STEP_NS, egos=(there,))  # fmt: skip
    paint = painted(painter, later).max(axis=0) > 0.9
    middle = now[9000:].mean(axis=0)
    row, column = int(middle[0] / 0.4), int((middle[1] + 40) / 0.4)
    assert paint[row - 2 : row + 3, column - 2 : column + 3].any()
    cells = np.argwhere(paint) * 0.4 + [0.2, -39.8]
    then = turned.apply(np.column_stack([cells, np.full(len(cells), 0.9)])) - mount.vehicle_from_sensor.translation_m
    bearings = np.rad2deg(np.arctan2(then[:, 1], then[:, 0]))
    assert np.abs(bearings - np.rad2deg(np.arctan2(4.0, 20.0))).max() < 3  # the wall, and the road under and behind it


def test_who_does_not_know_how_far_it_has_come_does_not_paint() -> None:
    painter = Painter(DEMO, 1)
    painter.keep(scene(STEP_NS, 0.0), segments())
    assert not painted(painter, replace(scene(2 * STEP_NS, 3.0), egos=())).any()


def test_without_a_lidar_the_camera_is_not_hidden() -> None:
    assert without_camera({"present": np.asarray([[1, 1, 1, 1]], np.float32)})["present"].tolist() == [[1, 0, 1, 1]]
    assert without_camera({"present": np.asarray([[0, 1, 1, 0]], np.float32)})["present"].tolist() == [[0, 1, 1, 0]]


def variant(folder: Path, line: str) -> Path:
    """The shipped model with another line in its onnx stage."""
    text = (SHIPPED / "fusion_base.toml").read_text(encoding="utf-8")
    text = text.replace('op = "onnx"', f'op = "onnx"\n{line}').replace('path = "', f'path = "{SHIPPED}/')
    path = folder / "variant.toml"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize("line", ['fusion = "early"', "paint = true"])
def test_a_manifest_may_ask_for_paint(tmp_path: Path, line: str) -> None:
    inference = Inference.load(variant(tmp_path, line), DEMO)
    assert len(inference._memories) == 2  # earlier sweeps, and the picture
    inference.forget()


def test_late_fusion_is_not_painted(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match="late fusion keeps the senses apart"):
        Manifest.load(variant(tmp_path, 'fusion = "late"\npaint = true'))


def test_a_network_without_classes_of_pictures_cannot_paint(tmp_path: Path) -> None:
    text = (SHIPPED / "lidar_bev.toml").read_text(encoding="utf-8")
    text = text.replace('op = "onnx"', 'op = "onnx"\npaint = true').replace('path = "', f'path = "{SHIPPED}/')
    path = tmp_path / "lidar.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ManifestError, match=r"output 'cam_seg' \(cameras, 6, 24, 80\), not none"):
        Inference.load(path, DEMO)
