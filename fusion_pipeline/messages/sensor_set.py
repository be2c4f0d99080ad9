"""Sensor sets: what every sensor saw at one instant."""

from __future__ import annotations

from dataclasses import dataclass

from fusion_pipeline.messages.audio import AudioChunk
from fusion_pipeline.messages.camera import CameraFrame
from fusion_pipeline.messages.ego import EgoMotion
from fusion_pipeline.messages.header import Header
from fusion_pipeline.messages.lidar import LidarScan


@dataclass(frozen=True, slots=True)
class Missing:
    """A stream that gave nothing to a set, and why: "silent", "outside window", "gap", "refused: captured after its
    arrival", or "late by 100 ms, arrival 220 ms after capture".
    """

    source: str
    reason: str


@dataclass(frozen=True, slots=True)
class SensorSet:
    """All that belongs to the instant `header.capture_ns`, at most one entry per stream.

    `egos` holds one interpolated pose or none; `missing` names every configured stream that is absent.
    """

    header: Header
    lidars: tuple[LidarScan, ...] = ()
    cameras: tuple[CameraFrame, ...] = ()
    audios: tuple[AudioChunk, ...] = ()
    egos: tuple[EgoMotion, ...] = ()
    missing: tuple[Missing, ...] = ()

    @property
    def present(self) -> tuple[str, ...]:
        """Names of the streams that are in the set, LiDAR first, then cameras, audio, ego."""
        parts: tuple[LidarScan | CameraFrame | AudioChunk | EgoMotion, ...]
        parts = (*self.lidars, *self.cameras, *self.audios, *self.egos)
        return tuple(part.header.source for part in parts)
