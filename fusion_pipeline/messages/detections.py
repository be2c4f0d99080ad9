"""Boxes and sounds that were found in a sensor set, before and after tracking."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fusion_pipeline.arrays import Floats, Ints, require_dtype, require_shape
from fusion_pipeline.messages.ego import EgoMotion
from fusion_pipeline.messages.header import Header

STD_COLUMNS = ("x", "y", "z", "length", "width", "height", "yaw", "speed")
MODALITIES = ("lidar", "camera", "audio")


@dataclass(frozen=True, slots=True)
class SourceStamp:
    """When a part of a set was captured, and how far that lies from the set's instant."""

    source: str
    capture_ns: int
    offset_ns: int


@dataclass(frozen=True, slots=True)
class SoundEvent:
    """A sound heard from a direction in the vehicle frame: 0 ahead, positive to the left."""

    label: str
    score: float
    azimuth_rad: float


@dataclass(frozen=True, slots=True)
class Boxes:
    """N boxes in the vehicle frame (x forward, y left, z up); row i is box i."""

    centers_m: Floats  # (N, 3) middle of the box
    sizes_m: Floats  # (N, 3) length, width, height
    yaws_rad: Floats  # (N,) turn about z, zero along x
    velocities_mps: Floats  # (N, 2) x, y over ground; of tracks without the vehicle's motion, relative to the vehicle
    scores: Floats  # (N,) 0 to 1
    labels: Ints  # (N,) index into `class_names`
    std: Floats  # (N, 8) standard deviations in the order of STD_COLUMNS; 0 where the model gives none
    attribution: Floats  # (N, 3) share of LiDAR, camera, audio; rows sum to 1
    track_ids: Ints  # (N,) -1 before tracking

    def __post_init__(self) -> None:
        n = len(self.scores)
        for name, width in (("centers_m", 3), ("sizes_m", 3), ("velocities_mps", 2), ("std", 8), ("attribution", 3)):
            require_shape(name, getattr(self, name), n, width)
            require_dtype(name, getattr(self, name), np.float32)
        for name in ("yaws_rad", "scores"):
            require_shape(name, getattr(self, name), n)
            require_dtype(name, getattr(self, name), np.float32)
        for name in ("labels", "track_ids"):
            require_shape(name, getattr(self, name), n)
            require_dtype(name, getattr(self, name), np.int64)

    def __len__(self) -> int:
        return len(self.scores)

    @classmethod
    def empty(cls) -> Boxes:
        """No box at all."""
        f, i = np.float32, np.int64
        return cls(
            centers_m=np.zeros((0, 3), f), sizes_m=np.zeros((0, 3), f), yaws_rad=np.zeros(0, f),
            velocities_mps=np.zeros((0, 2), f), scores=np.zeros(0, f), labels=np.zeros(0, i),
            std=np.zeros((0, 8), f), attribution=np.zeros((0, 3), f), track_ids=np.zeros(0, i),
        )  # fmt: skip

    def take(self, rows: Ints) -> Boxes:
        """The boxes with these row numbers, in that order."""
        return Boxes(*(getattr(self, name)[rows] for name in self.__slots__))


@dataclass(frozen=True, slots=True)
class Detections:
    """What a network found in one sensor set; `header.capture_ns` is the set's instant."""

    header: Header
    class_names: tuple[str, ...]
    boxes: Boxes
    sounds: tuple[SoundEvent, ...] = ()
    sources: tuple[SourceStamp, ...] = ()  # what was in the set
    missing: tuple[str, ...] = ()  # "camera/front: silent"
    egos: tuple[EgoMotion, ...] = ()  # the vehicle at that instant, or none: with it boxes have a place on earth


@dataclass(frozen=True, slots=True)
class Tracks:
    """Detections with identities: the confirmed tracks, predicted or updated to `header.capture_ns`.

    A box whose `coasting_s` is above 0 is predicted: it keeps its last score, and its deviation in x and y grows.
    """

    header: Header
    class_names: tuple[str, ...]
    boxes: Boxes
    sounds: tuple[SoundEvent, ...] = ()
    sources: tuple[SourceStamp, ...] = ()
    missing: tuple[str, ...] = ()
    egos: tuple[EgoMotion, ...] = ()
    coasting_s: tuple[float, ...] = ()  # of each box, how long it has not been seen (0: in this set); empty: not known

    def __post_init__(self) -> None:
        if len(self.coasting_s) not in (0, len(self.boxes)):
            raise ValueError(f"tracks.coasting_s has {len(self.coasting_s)} entries for {len(self.boxes)} boxes")
