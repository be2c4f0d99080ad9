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
from fusion_pipeline.encode.inputs import Picture, Scene
from fusion_pipeline.encode.paint import PAINTED
from fusion_pipeline.encode.points import BevRaster
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
    return np.asarray(bev[0, PAINTED])


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
    """A cell of the picture that showed a wall paints the wall, however far the vehicle has turned since."""
    mount = DEMO.cameras[SOURCE]
    painter = Painter(DEMO, 1)
    painter.keep(scene(STEP_NS, 0.0), segments())
    now = scene(2 * STEP_NS, 0.0)
    turned = replace(now.egos[0], orientation=np.asarray([0.0, 0.0, np.sin(0.75), np.cos(0.75)]))  # by 86 degrees
    paint = painted(painter, replace(now, egos=(turned,)))
    assert mount.vehicle_from_sensor.translation_m[0] < 10
    row, column = int(20.0 / 0.4), int(40.0 / 0.4)
    assert not paint[:, row - 1 : row + 1, column - 2 : column + 2].any()  # that was out of the picture then


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
    path = variant(tmp_path, "paint = true")
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace('op = "bev_raster"', 'op = "bev_raster"\nout = "elsewhere"'), encoding="utf-8")
    with pytest.raises(ManifestError, match="elsewhere"):
        Inference.load(path, DEMO)
