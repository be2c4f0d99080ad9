"""Pictures: compressed or raw frames to pixels, and pixels to what a network takes."""

from __future__ import annotations

import struct
from dataclasses import dataclass

import cv2
import numpy as np

from fusion_pipeline.arrays import Bytes, Doubles, Floats
from fusion_pipeline.messages import CameraFrame
from fusion_pipeline.operations import ImageResize

_PNG = b"\x89PNG\r\n\x1a\n"
_JPEG_SIZES = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}  # the start-of-frame markers
_END = {"jpeg": b"\xff\xd9", "png": b"IEND"}
_TAIL = 4096  # some cameras pad after the end
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
    size = size_of(frame.data)
    if size is None:
        raise ImageError(f"not a {frame.encoding} picture")
    if _END[frame.encoding] not in frame.data[-_TAIL:].tobytes():
        raise ImageError(f"truncated {frame.encoding} picture")  # OpenCV would fill the rest with grey
    if size != (frame.width_px, frame.height_px):
        raise ImageError(f"picture is {size[0]} x {size[1]}, not {frame.width_px} x {frame.height_px}")
    try:
        picture = cv2.imdecode(frame.data, cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
    except cv2.error:
        picture = None
    if picture is None or picture.shape[:2] != (frame.height_px, frame.width_px):
        raise ImageError(f"damaged {frame.encoding} picture")
    return np.asarray(picture, np.uint8)


def size_of(data: Bytes) -> tuple[int, int] | None:
    """(width, height) that the head of a JPEG or PNG file states; None where it is neither."""
    head = data[: 1 << 20].tobytes()
    if head.startswith(_PNG) and len(head) >= 24:
        return struct.unpack(">II", head[16:24])
    if not head.startswith(b"\xff\xd8"):
        return None
    at = 2
    while at + 9 <= len(head) and head[at] == 0xFF:
        marker, length = head[at + 1], int.from_bytes(head[at + 2 : at + 4], "big")
        if marker in _JPEG_SIZES:
            height, width = struct.unpack(">HH", head[at + 5 : at + 9])
            return width, height
        at += 1 if marker == 0xFF else 2 + length
    return None


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


def prepare(picture: Bytes, options: ImageResize) -> tuple[Floats, Fit]:
    """(height, width, 3) BGR pixels to (3, options.height, options.width) f32: `(pixel * scale - mean) / std`."""
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
    tensor = np.empty((3, options.height, options.width), np.float32)
    channels = (2, 1, 0) if options.order == "rgb" else (0, 1, 2)
    for row, channel in enumerate(channels):
        gain = options.scale / options.std[row]
        np.multiply(resized[:, :, channel], np.float32(gain), out=tensor[row], dtype=np.float32)
        if options.mean[row]:
            tensor[row] -= np.float32(options.mean[row] / options.std[row])
    return tensor, fit
