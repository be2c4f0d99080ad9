"""Which stamps are believed. What is refused here can neither be part of a set nor tell how far time has come."""

from __future__ import annotations

from fusion_pipeline.align.buffer import Sensed
from fusion_pipeline.align.config import AlignerConfig
from fusion_pipeline.clock import LAST_NS, MILLISECOND_NS, seconds_to_ns
from fusion_pipeline.messages import AudioChunk, LidarScan

NO_CLOCK = "refused: a stamp that no clock has"
TOO_LONG = "refused: lasts too long"
AHEAD = "refused: captured after its arrival"
BEHIND = "refused: captured long before its arrival"
REPEATED = "refused: repeated stamp"
STRANGER = "refused: not a stream of these sets"


class Plausible:
    """The bounds of a configuration, for every message of every stream."""

    def __init__(self, config: AlignerConfig) -> None:
        self._ahead = round(config.ahead_ms * MILLISECOND_NS)
        self._behind = seconds_to_ns(config.implausible_s)
        self._longest = seconds_to_ns(config.longest_s)

    def refuses(self, message: Sensed, stamp: int) -> str:
        """Why a message is refused, or "". `stamp` is its instant on the reference clock: of a scan, its middle."""
        header = message.header
        if header.capture_ns >= LAST_NS or header.arrival_ns >= LAST_NS:
            return NO_CLOCK
        if isinstance(message, LidarScan):
            duration = message.duration_ns
        else:
            duration = message.end_ns - header.capture_ns if isinstance(message, AudioChunk) else 0
        if duration > self._longest:
            return TOO_LONG
        if stamp > header.arrival_ns + self._ahead:
            return AHEAD
        if stamp < header.arrival_ns - self._behind:
            return BEHIND
        return ""
