"""Pictures to tensors and back, and files that are damaged."""

from __future__ import annotations

import contextlib

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fusion_pipeline.encode.image import ImageError, decode, fit_of, prepare
from fusion_pipeline.messages import CameraFrame, Header
from fusion_pipeline.operations import FITS, ImageResize
from fusion_pipeline.picture_file import head_of

HEADER = Header("camera/front", 0, 0)


def picture(width: int = 64, height: int = 48) -> np.ndarray:
    y, x = np.mgrid[:height, :width]
    return np.stack([x * 3, y * 4, (x + y)], axis=2).astype(np.uint8)


def packed(suffix: str, width: int = 64, height: int = 48) -> CameraFrame:
    data = cv2.imencode(suffix, picture(width, height))[1]
    return CameraFrame(HEADER, {".png": "png", ".jpg": "jpeg"}[suffix], height, width, data)


def test_raw_and_packed_pictures_are_the_same_pixels() -> None:
    bgr = picture()
    rgb = CameraFrame(HEADER, "rgb8", 48, 64, np.ascontiguousarray(bgr[:, :, ::-1]))
    assert np.array_equal(decode(CameraFrame(HEADER, "bgr8", 48, 64, bgr)), bgr)
    assert np.array_equal(decode(rgb), bgr)
    assert np.array_equal(decode(packed(".png")), bgr)
    assert np.abs(decode(packed(".jpg")).astype(int) - bgr).mean() < 4
    grey = CameraFrame(HEADER, "mono8", 48, 64, bgr[:, :, :1].copy())
    assert np.array_equal(decode(grey), np.repeat(bgr[:, :, :1], 3, axis=2))


@pytest.mark.parametrize("suffix", [".png", ".jpg"])
def test_a_damaged_file_is_refused_by_name(suffix: str) -> None:
    whole = packed(suffix)
    assert head_of(whole.data) == (whole.encoding, 48, 64)
    cut = CameraFrame(HEADER, whole.encoding, 48, 64, whole.data[: len(whole.data) // 2])
    with pytest.raises(ImageError, match="truncated"):
        decode(cut)
    with pytest.raises(ImageError, match="neither"):
        decode(CameraFrame(HEADER, whole.encoding, 48, 64, np.zeros(100, np.uint8)))
    with pytest.raises(ImageError, match="64 x 48, not 10 x 10"):
        decode(CameraFrame(HEADER, whole.encoding, 10, 10, whole.data))


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=200), st.integers(0, 60), st.sampled_from([".png", ".jpg"]))
def test_no_bytes_do_worse_than_a_refusal(noise: bytes, at: int, suffix: str) -> None:
    data = packed(suffix).data.copy()
    piece = np.frombuffer(noise, np.uint8)[: len(data) - at]
    data[at : at + len(piece)] = piece
    frame = CameraFrame(HEADER, {".png": "png", ".jpg": "jpeg"}[suffix], 48, 64, data)
    with contextlib.suppress(ImageError):
        assert decode(frame).shape == (48, 64, 3)


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(FITS), st.integers(20, 400), st.integers(20, 400))
def test_boxes_come_back_from_the_network_to_their_place(fit: str, width: int, height: int) -> None:
    laid = fit_of(width, height, ImageResize(96, 64, fit=fit))
    box = np.array([[2.0, 3.0, width - 4.0, height - 5.0]])
    scale, offset = [laid.scale_x, laid.scale_y] * 2, [laid.offset_x, laid.offset_y] * 2
    inside = box * scale + offset
    assert inside.min() >= 0
    assert (inside <= [96, 64, 96, 64]).all()
    assert np.allclose(laid.to_picture(inside), box)


def test_a_square_is_where_the_fit_says_it_is() -> None:
    pixels = np.zeros((100, 200, 3), np.uint8)
    pixels[40:60, 100:140] = 255
    for fit in FITS:
        tensor, laid = prepare(pixels, ImageResize(100, 100, fit=fit, pad=0))
        rows, columns = np.nonzero(tensor[0] > 0.5)
        found = np.array([[columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]], np.float64)
        assert np.abs(laid.to_picture(found) - [[100, 40, 140, 60]]).max() <= 2


def test_borders_are_grey_and_channels_are_normalised_in_the_wanted_order() -> None:
    pixels = np.full((50, 100, 3), (10, 20, 30), np.uint8)
    options = ImageResize(100, 100, fit="letterbox", order="rgb", scale=1.0, mean=(1, 2, 3), std=(2, 4, 5), pad=114)
    tensor, _ = prepare(pixels, options)
    assert np.allclose(tensor[:, 50, 50], [(30 - 1) / 2, (20 - 2) / 4, (10 - 3) / 5])
    assert np.allclose(tensor[:, 0, 0], [(114 - 1) / 2, (114 - 2) / 4, (114 - 3) / 5])
    assert tensor.dtype == np.float32
    corner, _ = prepare(pixels, ImageResize(100, 100, fit="letterbox_top_left", scale=1.0))
    assert corner[:, 0, 0].tolist() == [10, 20, 30]
    assert corner[:, 99, 0].tolist() == [114] * 3
