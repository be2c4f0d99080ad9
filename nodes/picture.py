"""The process that draws what the pipeline saw and found, now and then, into a file."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np

from fusion_pipeline.checks import Range, nearest, output_fault
from fusion_pipeline.messages import Message, SensorSet, Tracks
from fusion_pipeline.node import NodeError, Stage, Surroundings
from fusion_pipeline.output_file import write_whole

SUFFIXES = (".png", ".jpg", ".jpeg")
REMEMBERED = 4  # sets that wait for their tracks


@dataclass(frozen=True)
class PictureConfig:
    """Where to draw, and how often."""

    out: Path  # a .png or .jpg file, replaced at each drawing
    rig: Path
    every_s: Annotated[float, Range(0, 86_400)] = 1.0
    camera: str = ""  # topic of the camera to show; empty: the rig's first
    all_frames: bool = False  # draw every set into OUT_000123.png, for a film


class Picture(Stage[PictureConfig]):
    """Sets and their tracks in, a picture out: the camera with boxes beside the view from above."""

    reads = (SensorSet, Tracks)

    @classmethod
    def files(cls, config: PictureConfig) -> tuple[Any, ...]:
        """The rig."""
        return (config.rig,)

    @classmethod
    def outputs(cls, config: PictureConfig) -> tuple[Path, ...]:
        """The picture."""
        return (config.out,)

    @classmethod
    def check(cls, config: PictureConfig, around: Surroundings) -> Iterator[str]:
        """The rig's camera, and the file to draw into."""
        from fusion_pipeline.rig import Rig

        rig = Rig.load(config.rig)
        if config.camera and config.camera not in rig.cameras:
            yield f"camera: {nearest('camera', config.camera, rig.cameras)}"
        elif not rig.cameras:
            yield f"the rig {config.rig} has no camera to show"
        if fault := output_fault(config.out, SUFFIXES):
            yield f"out: {fault}"

    def open(self) -> None:
        """Read the rig. Raises NodeError for a suffix that is no picture's."""
        from fusion_pipeline.encode.inputs import SceneReader
        from fusion_pipeline.rig import Rig

        if self.config.out.suffix.lower() not in SUFFIXES:
            raise NodeError(f"cannot draw into {self.config.out}; name a .png or .jpg file")
        rig = Rig.load(self.config.rig)
        camera = self.config.camera or next(iter(rig.cameras), "")
        if camera not in rig.cameras:
            raise NodeError(
                f"the rig {self.config.rig} has no camera {camera!r}; it has {', '.join(rig.cameras) or 'none'}"
            )
        self._mount, self._camera = rig.cameras[camera], camera
        self._reader = SceneReader(rig, sound=False)
        self._sets: deque[SensorSet] = deque(maxlen=REMEMBERED)
        self._next_s = 0.0  # the first at once, so that a short run has one too
        self._drawn = self._lost = 0

    def step(self, message: Message) -> Iterator[Message]:
        """Remember a set; draw when its tracks come and it is time to."""
        if isinstance(message, SensorSet):
            if self._due(ahead_s=0.5):  # a set that is held keeps its slots from being used again
                self._sets.append(message)
        elif isinstance(message, Tracks) and self._due():
            matching = [kept for kept in self._sets if kept.header.capture_ns == message.header.capture_ns]
            if matching:
                self._draw(matching[0], message)
        yield from ()

    def counts(self) -> dict[tuple[str, str], int]:
        """Totals of pictures that could not be written."""
        return {("tracks", "picture not written"): self._lost} if getattr(self, "_lost", 0) else {}

    def _due(self, ahead_s: float = 0.0) -> bool:
        return self.config.all_frames or time.monotonic() + ahead_s >= self._next_s

    def _draw(self, sensor_set: SensorSet, tracks: Tracks) -> None:
        import cv2

        from fusion_pipeline.dashboard.picture import draw

        scene = self._reader(sensor_set)
        size = (self._mount.model.height_px, self._mount.model.width_px, 3)
        pixels = next((p.pixels for p in scene.pictures if p.source == self._camera), np.zeros(size, np.uint8))
        image = draw(pixels, scene.points_m, tracks, self._mount)
        out = self.config.out
        if self.config.all_frames:
            out = out.with_stem(f"{out.stem}_{self._drawn:06d}")
        try:
            write_whole(out, cv2.imencode(out.suffix, image)[1].tobytes())  # whoever looks never sees half a picture
        except OSError as error:
            self._lost += 1
            self.report("degraded", f"cannot write {out}: {error.strerror}")
        else:
            self._drawn += 1
            self.report("ready", f"{self._drawn} drawn, the last into {out}")
        self._next_s = time.monotonic() + self.config.every_s
        self._sets.clear()
