"""The layouts of 2-D networks, each written by hand as its exporter would write a known box."""

from __future__ import annotations

import numpy as np
import pytest
from detect_samples import camera_mount

from fusion_pipeline.arrays import Array
from fusion_pipeline.detect.network import ModelError
from fusion_pipeline.detect.work import Boxes2d, View
from fusion_pipeline.detect.yolo import YoloDecoder
from fusion_pipeline.encode.image import Fit
from fusion_pipeline.encode.inputs import Picture
from fusion_pipeline.operations import DecodeYolo, OperationError

SIZE = (64, 32)
BOX = (20.0, 8.0, 36.0, 20.0)  # in the network's pixels: centre (28, 14), 16 by 12
NAMES = ("person", "chair", "car")
MAP = {"car": ("car",), "pedestrian": ("person",)}


def decoded(layout: str, tensor: Array, fit: Fit | None = None, **more: object) -> Boxes2d:
    options = DecodeYolo(layout, NAMES, MAP, **more)  # type: ignore[arg-type]
    picture = Picture("camera/front", np.zeros((32, 64, 3), np.uint8), camera_mount())
    view = View(picture, {"output0": np.asarray(tensor, np.float32)}, fit or Fit(1.0, 1.0, 0.0, 0.0))
    return YoloDecoder(options, ("car", "pedestrian"), SIZE, 0.3)(view)


def v8() -> Array:
    tensor = np.zeros((1, 7, 3))
    tensor[0, :, 0] = [28, 14, 16, 12, 0.1, 0.2, 0.8]
    tensor[0, :, 1] = [28, 14, 16, 12, 0.1, 0.9, 0.2]  # a chair: mapped to nothing
    tensor[0, :, 2] = [28, 14, 16, 12, 0.1, 0.1, 0.2]  # too weak
    return tensor


def end2end() -> Array:
    return np.array([[[*BOX, 0.8, 2], [*BOX, 0.9, 1], [*BOX, 0.1, 2], [np.nan, 0, 1, 1, 0.9, 2]]])


def yolox() -> Array:
    cells = [(8, 4, 8), (16, 2, 4), (32, 1, 2)]
    tensor = np.zeros((1, sum(r * c for _, r, c in cells), 8))
    row = 1 * 8 + 3  # the cell of stride 8 at column 3, row 1
    tensor[0, row] = [28 / 8 - 3, 14 / 8 - 1, np.log(16 / 8), np.log(12 / 8), 0.9, 0, 0, 0.8 / 0.9]
    return tensor


def fastestdet() -> Array:
    tensor = np.zeros((1, 8, 2, 4))  # cells of 16 pixels
    logit = [np.log(p / (1 - p)) for p in (16 / 64, 12 / 32)]
    tensor[0, :, 0, 1] = [0.8, np.arctanh(28 / 16 - 1), np.arctanh(14 / 16), *logit, 0.1, 0.2, 0.8]
    return tensor


LAYOUTS = {"v8": v8, "end2end": end2end, "yolox": yolox, "fastestdet": fastestdet}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_known_box_is_found(layout: str) -> None:
    boxes = decoded(layout, LAYOUTS[layout]())
    assert boxes.labels.tolist() == [0]
    assert boxes.scores.tolist() == pytest.approx([0.8], abs=1e-5)
    assert np.allclose(boxes.corners_px, [BOX], atol=1e-3)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_boxes_are_in_the_pixels_of_the_picture(layout: str) -> None:
    boxes = decoded(layout, LAYOUTS[layout](), Fit(0.5, 0.25, 4.0, 2.0))
    assert np.allclose(boxes.corners_px, [[32, 24, 64, 72]], atol=1e-2)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_tensor_of_another_shape_is_named(layout: str) -> None:
    with pytest.raises(ModelError, match=f"layout '{layout}' wants an output of"):
        decoded(layout, np.zeros((1, 3, 5)))


def test_a_class_that_the_network_does_not_have_is_answered_with_the_nearest() -> None:
    with pytest.raises(OperationError, match="did you mean 'person'"):
        DecodeYolo("v8", NAMES, {"pedestrian": ("persn",)})
