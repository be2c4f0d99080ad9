"""A film in H.264, which browsers and every player show, through PyAV."""

from __future__ import annotations

import importlib.util
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from fusion_pipeline.arrays import Bytes


def can_encode() -> bool:
    """Whether PyAV is installed and has an encoder for H.264."""
    if importlib.util.find_spec("av") is None:
        return False
    import av

    try:
        av.CodecContext.create("libx264", "w")
    except Exception:  # one that was built without it
        return False
    return True


class H264Film:
    """An MP4 file of pictures of one size, both sides even. Raises OSError where it cannot be written."""

    def __init__(self, path: Path, rate_hz: float, size: tuple[int, int]) -> None:
        """`size`: width and height in pixels."""
        import av

        self._container: Any = av.open(str(path), "w", format="mp4", options={"movflags": "+faststart"})
        self._stream: Any = self._container.add_stream("libx264", rate=Fraction(rate_hz).limit_denominator(1001))
        self._stream.width, self._stream.height = size
        self._stream.pix_fmt = "yuv420p"  # what browsers decode
        self._stream.options = {"preset": "veryfast", "crf": "20"}

    def write(self, picture: Bytes) -> None:
        """Append (H, W, 3) BGR."""
        import av

        made = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="bgr24")
        for packet in self._stream.encode(made):
            self._container.mux(packet)

    def release(self) -> None:
        """Write what is held back, and close the file."""
        try:
            for packet in self._stream.encode():
                self._container.mux(packet)
        finally:
            self._container.close()
