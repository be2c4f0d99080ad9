"""What the stages of a model hand on to one another."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from fusion_pipeline.arrays import Array, Doubles, Floats, Ints, require_shape
from fusion_pipeline.encode.image import Fit
from fusion_pipeline.encode.inputs import Picture, Scene
from fusion_pipeline.messages import Boxes, SoundEvent

HeightOfGround = Callable[[Floats], Floats]  # (N, 2) x, y in the vehicle frame to (N,) z of the ground there


def flat_ground(xy_m: Floats) -> Floats:
    """The ground where nothing is known of it: the vehicle frame's own plane."""
    return np.zeros(len(xy_m), np.float32)


@dataclass(frozen=True, slots=True, eq=False)
class Boxes2d:
    """N boxes in one picture."""

    corners_px: Doubles  # (N, 4) x1, y1, x2, y2 in the picture's pixels
    scores: Floats  # (N,)
    labels: Ints  # (N,) index into the manifest's classes

    def __post_init__(self) -> None:
        require_shape("corners_px", self.corners_px, len(self.scores), 4)
        require_shape("labels", self.labels, len(self.scores))

    @classmethod
    def empty(cls) -> Boxes2d:
        """No box at all."""
        return cls(np.zeros((0, 4)), np.zeros(0, np.float32), np.zeros(0, np.int64))

    def take(self, rows: Ints) -> Boxes2d:
        """The boxes with these row numbers, in that order."""
        return Boxes2d(self.corners_px[rows], self.scores[rows], self.labels[rows])


@dataclass(frozen=True, slots=True, eq=False)
class View:
    """One camera's way through a 2-D network."""

    picture: Picture
    tensors: Mapping[str, Array] = field(default_factory=dict)
    fit: Fit = field(default_factory=lambda: Fit(1.0, 1.0, 0.0, 0.0))
    boxes: Boxes2d = field(default_factory=Boxes2d.empty)


@dataclass(frozen=True, slots=True, eq=False)
class Work:
    """A scene on its way to boxes; every stage returns a new one."""

    scene: Scene
    tensors: Mapping[str, Array]
    views: tuple[View, ...]
    boxes: Boxes = field(default_factory=Boxes.empty)
    ground: HeightOfGround = flat_ground
    sounds: tuple[SoundEvent, ...] | None = None  # None: no stage has looked for them
    skipped: tuple[str, ...] = ()  # networks that did not run, all of whose sensors are absent: "network: skipped, ..."

    @classmethod
    def begin(cls, scene: Scene) -> Work:
        """Nothing done yet but `present`."""
        return cls(scene, {"present": scene.present}, tuple(View(picture) for picture in scene.pictures))

    def with_tensors(self, tensors: Mapping[str, Array]) -> Work:
        """The same with `tensors` added."""
        return replace(self, tensors={**self.tensors, **tensors})
