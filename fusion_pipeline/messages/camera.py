"""Camera frames, raw or compressed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fusion_pipeline.arrays import Bytes, require_dtype, require_shape
from fusion_pipeline.messages.header import Header

CHANNELS = {"rgb8": 3, "bgr8": 3, "mono8": 1}
COMPRESSED = ("jpeg", "png")


@dataclass(frozen=True, slots=True)
class CameraFrame:
    """One picture. `capture_ns` is the start of exposure of its first row."""

    header: Header
    encoding: str  # rgb8, bgr8, mono8, jpeg or png
    height_px: int
    width_px: int
    data: Bytes  # raw: (height, width, channels); compressed: (n,) the file's bytes

    def __post_init__(self) -> None:
        require_dtype("camera.data", self.data, np.uint8)
        if self.height_px <= 0 or self.width_px <= 0:
            raise ValueError(f"camera frame is {self.width_px} x {self.height_px} px; both must be positive")
        if self.encoding in CHANNELS:
            require_shape("camera.data", self.data, self.height_px, self.width_px, CHANNELS[self.encoding])
        elif self.encoding in COMPRESSED:
            require_shape("camera.data", self.data, None)
        else:
            known = ", ".join((*CHANNELS, *COMPRESSED))
            raise ValueError(f"camera encoding {self.encoding!r} is unknown; known: {known}")
