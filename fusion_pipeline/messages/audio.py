"""Audio chunks of a microphone array."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fusion_pipeline.arrays import require_dtype, require_shape
from fusion_pipeline.clock import SECOND_NS
from fusion_pipeline.messages.header import Header


@dataclass(frozen=True, slots=True)
class AudioChunk:
    """S consecutive samples of C channels, 16-bit PCM. `capture_ns` is the instant of the first sample."""

    header: Header
    rate_hz: int
    pcm: NDArray[np.int16]  # (S, C) interleaved

    def __post_init__(self) -> None:
        require_shape("audio.pcm", self.pcm, None, None)
        require_dtype("audio.pcm", self.pcm, np.int16)
        if self.rate_hz <= 0:
            raise ValueError(f"audio.rate_hz is {self.rate_hz}; it must be positive")
        if self.pcm.shape[1] == 0:
            raise ValueError("audio.pcm has no channel")

    @property
    def end_ns(self) -> int:
        """Vehicle time just after the last sample."""
        return self.header.capture_ns + len(self.pcm) * SECOND_NS // self.rate_hz
