"""Pictures as other systems store them, as ours: raw encodings to colours, sizes of compressed files."""

from __future__ import annotations

import numpy as np

from fusion_pipeline.arrays import Bytes
from fusion_pipeline.logs.reader import FormError
from fusion_pipeline.messages import CameraFrame, Header
from fusion_pipeline.picture_file import MOST_PIXELS, PictureError, head_of, is_whole

PLAIN = {"rgb8": 3, "bgr8": 3, "8UC3": 3, "mono8": 1, "8UC1": 1, "rgba8": 4, "bgra8": 4, "8UC4": 4}
GREY_16 = ("mono16", "16UC1")
BAYER = {"rggb": "BG", "bggr": "RG", "gbrg": "GR", "grbg": "GB"}  # OpenCV names them by the second row's second pixel
YUV = {"yuv422": "UYVY", "uyvy": "UYVY", "yuv422_yuy2": "YUY2", "yuyv": "YUY2", "yuy2": "YUY2"}
PLANES = {"nv12": "NV12", "nv21": "NV21"}
DEPTHS = ("16UC1", "32FC1", "16SC1", "64FC1")  # one number of no colour per pixel


def raw_frame(
    header: Header, encoding: str, height: int, width: int, step: int, data: Bytes, big_endian: bool
) -> CameraFrame:
    """A raw picture (n,) whose rows are `step` bytes apart, as bgr8, rgb8 or mono8. Raises FormError."""
    if not 0 < height * width <= MOST_PIXELS:
        raise FormError("picture of no size")
    lines = height * 3 // 2 if encoding in PLANES else height
    if step <= 0 or lines * step > len(data):
        raise FormError(f"{encoding} picture whose size does not fit its bytes")
    try:
        picture, name = _pixels(data[: lines * step].reshape(lines, step), encoding, height, width, big_endian)
    except FormError:
        raise
    except Exception:  # OpenCV refuses by errors of its own
        raise FormError(f"{encoding} picture whose size does not fit its bytes") from None
    return CameraFrame(header, name, height, width, np.ascontiguousarray(picture))


def _pixels(rows: Bytes, encoding: str, height: int, width: int, big: bool) -> tuple[Bytes, str]:
    if encoding in PLAIN:
        channels = PLAIN[encoding]
        picture = rows[:, : width * channels].reshape(height, width, channels)
        if channels == 4:
            return picture[:, :, :3], "rgb8" if encoding == "rgba8" else "bgr8"
        return picture, "mono8" if channels == 1 else "bgr8" if encoding == "8UC3" else encoding
    if encoding in GREY_16:
        return _upper(rows[:, : 2 * width], big)[:, :, None], "mono8"
    if encoding in ("rgb16", "bgr16"):
        return _upper(rows[:, : 6 * width], big).reshape(height, width, 3), f"{encoding[:3]}8"
    import cv2

    kind, _, pattern = encoding.partition("_")
    if kind == "bayer" and pattern[:4] in BAYER and pattern[4:] in ("8", "16"):
        mosaic = rows[:, :width] if pattern[4:] == "8" else _upper(rows[:, : 2 * width], big)
        code = getattr(cv2, f"COLOR_Bayer{BAYER[pattern[:4]]}2BGR")
        return np.asarray(cv2.cvtColor(np.ascontiguousarray(mosaic), code), np.uint8), "bgr8"
    if encoding in YUV:
        pairs = np.ascontiguousarray(rows[:, : 2 * width]).reshape(height, width, 2)
        return np.asarray(cv2.cvtColor(pairs, getattr(cv2, f"COLOR_YUV2BGR_{YUV[encoding]}")), np.uint8), "bgr8"
    if encoding in PLANES:
        planes = np.ascontiguousarray(rows[:, :width])
        return np.asarray(cv2.cvtColor(planes, getattr(cv2, f"COLOR_YUV2BGR_{PLANES[encoding]}")), np.uint8), "bgr8"
    raise FormError(f"pictures in {encoding[:30]}")


def _upper(rows: Bytes, big: bool) -> Bytes:
    """The upper eight bits of 16."""
    return np.asarray(np.ascontiguousarray(rows).view(">u2" if big else "<u2") >> 8, np.uint8)


def depth_of(topic: str, encoding: str) -> str:
    """Why pictures of `topic` are distances and none of a camera; "" where they are a camera's.

    `encoding` is that of a raw picture, or the `format` of a compressed one, such as "16UC1; compressedDepth png".
    """
    if "compresseddepth" in encoding.lower() or topic.endswith("/compressedDepth"):
        return "compressed depth"
    if encoding.partition(";")[0].strip() in DEPTHS:
        return f"depth in {encoding.partition(';')[0].strip()}"
    parts = topic.strip("/").split("/")
    if any(part == "depth" or part.startswith(("aligned_depth", "depth_registered")) for part in parts):
        grey = encoding.startswith("mono16") or not encoding
        return "depth by its topic's name" if grey else ""
    return ""


def compressed_frame(header: Header, data: Bytes) -> CameraFrame:
    """A JPEG or PNG file's bytes (n,) as they are, its size read from its head. Raises FormError."""
    encoding, height, width = picture_size(data)
    if not is_whole(data):
        raise FormError(f"truncated {encoding} picture")
    return CameraFrame(header, encoding, height, width, data)


def picture_size(data: Bytes) -> tuple[str, int, int]:
    """ "jpeg" or "png", height and width of a picture's file (n,). Raises FormError for anything else."""
    try:
        return head_of(data)
    except PictureError as error:
        raise FormError(str(error), damaged=error.damaged) from None
