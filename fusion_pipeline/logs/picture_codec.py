"""Pictures made smaller before they are recorded: JPEG, PNG, or video in H.264 through PyAV."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from typing import Any

import numpy as np

from fusion_pipeline.logs.reader import LogError
from fusion_pipeline.messages import CameraFrame
from fusion_pipeline.messages.camera import COMPRESSED
from fusion_pipeline.picture_file import PictureError, pixels

FORMS = ("raw", "jpeg", "png", "h264")
KEY_EVERY = 10  # pictures; what is cut in between can be decoded from the next one on
_QUALITY = {"jpeg": 90, "png": 1}


def smaller(frame: CameraFrame, form: str) -> CameraFrame:
    """A raw picture as "jpeg" or "png"; a compressed one, or with "raw" any, as it is."""
    if form not in ("jpeg", "png") or frame.encoding in COMPRESSED:
        return frame
    import cv2

    picture = np.ascontiguousarray(frame.data[:, :, ::-1]) if frame.encoding == "rgb8" else frame.data
    flag = cv2.IMWRITE_JPEG_QUALITY if form == "jpeg" else cv2.IMWRITE_PNG_COMPRESSION
    done, data = cv2.imencode(f".{form}", picture, [flag, _QUALITY[form]])
    return replace(frame, encoding=form, data=data.reshape(-1)) if done else frame


def check_form(form: str) -> None:
    """Raises LogError where pictures cannot be recorded in this form."""
    if form not in FORMS:
        raise LogError(f"--images {form} is unknown; known: {', '.join(FORMS)}")
    if form == "h264":
        _av()


class VideoEncoder:
    """One camera's stream of H.264.

    Each picture gives one packet in Annex B form, without pictures that refer to later ones; every KEY_EVERY-th stands
    for itself and brings the stream's parameters. Sides are padded to even numbers by their last row or column: who
    decodes it (`av.CodecContext.create("h264", "r")`, `decode(av.Packet(data))`) cuts the picture to the height and
    width that lie beside it, and begins with a picture that stands for itself.
    """

    def __init__(self, height_px: int, width_px: int) -> None:
        """Raises LogError where the library or its encoder is missing."""
        av = _av()
        self.height_px, self.width_px = height_px, width_px
        try:
            self._codec: Any = av.CodecContext.create("libx264", "w")
        except Exception as error:
            raise LogError(f"--images h264: this PyAV has no encoder for it ({error}); choose jpeg") from None
        self._codec.width, self._codec.height = width_px + width_px % 2, height_px + height_px % 2
        self._codec.pix_fmt = "yuv420p"
        self._codec.time_base = Fraction(1, 1000)
        self._codec.gop_size = KEY_EVERY
        self._codec.max_b_frames = 0
        self._codec.thread_count = 1
        self._codec.options = {
            "preset": "ultrafast", "tune": "zerolatency", "crf": "20", "x264-params": "repeat-headers=1:annexb=1",
        }  # fmt: skip
        self._number = 0

    def encode(self, frame: CameraFrame) -> bytes:
        """The packet of a raw picture of the stream's size."""
        av = _av()
        picture = frame.data
        odd = [(0, picture.shape[0] % 2), (0, picture.shape[1] % 2)]
        padded = np.pad(picture, [*odd, (0, 0)], mode="edge") if any(more for _, more in odd) else picture
        if frame.encoding == "mono8":
            made = av.VideoFrame.from_ndarray(np.ascontiguousarray(padded[:, :, 0]), format="gray")
        else:
            kind = "rgb24" if frame.encoding == "rgb8" else "bgr24"
            made = av.VideoFrame.from_ndarray(np.ascontiguousarray(padded), format=kind)
        made.pts = self._number
        self._number += 1
        return b"".join(bytes(packet) for packet in self._codec.encode(made))


def raw_picture(frame: CameraFrame) -> CameraFrame | None:
    """A compressed picture as bgr8, a raw one as it is; None where it cannot be decoded."""
    if frame.encoding not in COMPRESSED:
        return frame
    try:
        picture = pixels(frame.data)
    except PictureError:
        return None
    return replace(
        frame,
        encoding="bgr8",
        height_px=picture.shape[0],
        width_px=picture.shape[1],
        data=picture,
    )


def _av() -> Any:
    try:
        import av
    except ImportError:
        raise LogError("--images h264 needs PyAV; pip install 'fusion-pipeline[logs]', or choose jpeg") from None
    return av
