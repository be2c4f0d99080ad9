"""Pictures: compressed or raw frames to pixels, and pixels to what a network takes."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from fusion_pipeline.arrays import Array, Bytes, Doubles
from fusion_pipeline.messages import CameraFrame
from fusion_pipeline.operations import ImageResize
from fusion_pipeline.picture_file import PictureError, head_of, pixels

_INTERPOLATION_SHRINK, _INTERPOLATION_GROW = cv2.INTER_AREA, cv2.INTER_LINEAR


class ImageError(ValueError):
    """A camera frame whose pixels cannot be had; the message is short enough for a refusal count."""


@dataclass(frozen=True, slots=True)
class Fit:
    """How a picture was laid into a network's input: `network = picture * scale + offset`, edges to edges."""

    scale_x: float
    scale_y: float
    offset_x: float
    offset_y: float

    def to_picture(self, boxes: Doubles) -> Doubles:
        """(N, 4) x1 y1 x2 y2 in the network's pixels, in the picture's."""
        offset = np.array([self.offset_x, self.offset_y] * 2)
        scale = np.array([self.scale_x, self.scale_y] * 2)
        return np.asarray((boxes - offset) / scale, np.float64)


def decode(frame: CameraFrame) -> Bytes:
    """The frame's pixels (height, width, 3) in the order B, G, R; a view where the frame holds them so already.

    Raises ImageError for bytes that are no picture, or one of another size than the frame says. The size is read from
    the file's head first, so that a few bytes cannot ask for gigabytes.
    """
    if frame.encoding == "bgr8":
        return frame.data
    if frame.encoding == "rgb8":
        return np.asarray(cv2.cvtColor(frame.data, cv2.COLOR_RGB2BGR), np.uint8)
    if frame.encoding == "mono8":
        return np.asarray(cv2.cvtColor(frame.data, cv2.COLOR_GRAY2BGR), np.uint8)
    try:
        head = head_of(frame.data)
        if (head.width_px, head.height_px) != (frame.width_px, frame.height_px):
            size = f"{head.width_px} x {head.height_px}"
            raise ImageError(f"picture is {size}, not {frame.width_px} x {frame.height_px}")
        return pixels(frame.data)
    except PictureError as error:
        raise ImageError(str(error)) from None


def fit_of(width: int, height: int, options: ImageResize) -> Fit:
    """How a picture of `width` x `height` is laid into the network's input."""
    if options.fit == "stretch":
        return Fit(options.width / width, options.height / height, 0.0, 0.0)
    scale = min(options.width / width, options.height / height)
    # Whole pixels, as in the exporters' own letterboxes.
    inner_x, inner_y = round(width * scale), round(height * scale)
    left, top = 0, 0
    if options.fit == "letterbox":
        left, top = round((options.width - inner_x) / 2 - 0.1), round((options.height - inner_y) / 2 - 0.1)
    return Fit(inner_x / width, inner_y / height, float(left), float(top))


def prepare(picture: Bytes, options: ImageResize) -> tuple[Array, Fit]:
    """(height, width, 3) BGR pixels to (3, options.height, options.width) f32: `(pixel * scale - mean) / std`.

    With `options.dtype` in that dtype, and with the layout "nhwc" as (options.height, options.width, 3).
    """
    height, width = picture.shape[:2]
    fit = fit_of(width, height, options)
    inner = (round(width * fit.scale_x), round(height * fit.scale_y))
    shrinks = inner[0] <= width and inner[1] <= height
    resized = cv2.resize(picture, inner, interpolation=_INTERPOLATION_SHRINK if shrinks else _INTERPOLATION_GROW)
    left, top = int(fit.offset_x), int(fit.offset_y)
    if inner != (options.width, options.height):
        right, bottom = options.width - inner[0] - left, options.height - inner[1] - top
        grey = (options.pad,) * 3
        resized = cv2.copyMakeBorder(resized, top, bottom, left, right, cv2.BORDER_CONSTANT, value=grey)
    tensor: Array = np.empty((3, options.height, options.width), np.uint8 if options.dtype == "uint8" else np.float32)
    channels = (2, 1, 0) if options.order == "rgb" else (0, 1, 2)
    for row, channel in enumerate(channels):
        if tensor.dtype == np.uint8:
            tensor[row] = resized[:, :, channel]
            continue
        gain = options.scale / options.std[row]
        np.multiply(resized[:, :, channel], np.float32(gain), out=tensor[row], dtype=np.float32)
        if options.mean[row]:
            tensor[row] -= np.float32(options.mean[row] / options.std[row])
    if options.layout == "nhwc":
        tensor = np.ascontiguousarray(tensor.transpose(1, 2, 0))
    return tensor.astype(options.dtype or np.float32, copy=False), fit
