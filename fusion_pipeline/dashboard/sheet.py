"""One sheet on a simulated scene: camera and view from above with the true boxes, and what the microphones heard."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np

from fusion_pipeline.arrays import Array, Bytes, Floats
from fusion_pipeline.clock import SECOND_NS
from fusion_pipeline.dashboard.picture import draw
from fusion_pipeline.messages import AudioChunk, CameraFrame, LidarScan, Message, SoundEvent, Tracks
from fusion_pipeline.output_file import write_whole
from fusion_pipeline.rig import Rig

LISTENED_S, HEIGHT_PX, LOUD_DB, MOST_SOUNDS = 2.0, 190, 55.0, 4
WINDOW, HOP, RANGE_DB = 512, 128, 60.0
INK, PAPER = (205, 200, 190), (32, 24, 22)


class HeardSound(Protocol):
    """What the truth says of a source."""

    @property
    def name(self) -> str:
        """Of the sound."""

    @property
    def azimuth_rad(self) -> float:
        """0 ahead, positive to the left."""

    @property
    def level_db(self) -> float:
        """At the vehicle."""


class SceneSheet:
    """Feed it a simulation's frames; it keeps what was there `at_s` after the first."""

    def __init__(self, rig: Rig, at_s: float) -> None:
        self._rig, self._at_ns = rig, round(at_s * SECOND_NS)
        self._start_ns = -1
        self._camera: CameraFrame | None = None
        self._scan: LidarScan | None = None
        self._tracks: Tracks | None = None
        self._sounds: tuple[HeardSound, ...] = ()
        self._heard: list[AudioChunk] = []

    def feed(self, message: Message | None, tracks: Tracks | None, sounds: Iterable[HeardSound]) -> None:
        """Take a message or a truth, in order of arrival."""
        if message is not None:
            if self._start_ns < 0:
                self._start_ns = message.header.capture_ns
            past = message.header.capture_ns - self._start_ns - self._at_ns
            if (
                isinstance(message, CameraFrame)
                and past <= 0
                and message.header.source == next(iter(self._rig.cameras))
            ):
                self._camera = message
            elif isinstance(message, LidarScan) and past <= 0:
                self._scan = message
            elif isinstance(message, AudioChunk) and abs(past) <= LISTENED_S / 2 * SECOND_NS:
                self._heard.append(message)
        elif tracks is not None and tracks.header.capture_ns - self._start_ns <= self._at_ns:
            self._tracks, self._sounds = tracks, tuple(sounds)

    def write(self, path: Path) -> None:
        """Draw into a .png or .jpg. Raises ValueError where there was no camera or no truth yet."""
        if self._camera is None or self._tracks is None:
            raise ValueError("nothing to draw: the rig has no camera, or the simulation was too short")
        if path.suffix.lower() not in (".png", ".jpg", ".jpeg"):
            raise ValueError(f"cannot draw into {path}; name a .png or .jpg file")
        mount = self._rig.cameras[self._camera.header.source]
        points = np.zeros((0, 3), np.float32)
        if self._scan is not None:
            lidar = self._rig.lidars[self._scan.header.source]
            points = lidar.vehicle_from_sensor.apply(self._scan.xyz_m).astype(np.float32)
        loud = sorted((s for s in self._sounds if s.level_db >= LOUD_DB), key=lambda s: -s.level_db)[:MOST_SOUNDS]
        events = tuple(SoundEvent(s.name, min(1.0, s.level_db / 110), s.azimuth_rad) for s in loud)
        image = draw(self._camera.data, points, replace(self._tracks, sounds=events), mount)
        if self._heard:
            image = np.concatenate([image, _spectrogram(self._heard, loud, image.shape[1])])
        write_whole(path, cv2.imencode(path.suffix.lower(), image)[1].tobytes())


def _spectrogram(heard: list[AudioChunk], loud: list[HeardSound], width: int) -> Bytes:
    """(HEIGHT_PX, width, 3) of the first microphone, 0 to 4 kHz, with the loudest sources' names and azimuths."""
    rate_hz = heard[0].rate_hz
    samples = np.concatenate([chunk.pcm[:, 0] for chunk in heard]).astype(np.float32) / 32768
    frames = np.lib.stride_tricks.sliding_window_view(samples, WINDOW)[::HOP] * np.hanning(WINDOW).astype(np.float32)
    power: Floats = np.asarray(20 * np.log10(np.abs(np.fft.rfft(frames, axis=1)) + 1e-7), np.float32)
    power = power[:, : WINDOW * 4000 // rate_hz].T[::-1]
    shown = np.clip((power - power.max()) / RANGE_DB + 1, 0, 1)
    sheet: Array = np.full((HEIGHT_PX, width, 3), PAPER, np.uint8)
    colours = cv2.applyColorMap((255 * shown).astype(np.uint8), cv2.COLORMAP_MAGMA)
    sheet[24:, 60 : width - 10] = cv2.resize(colours, (width - 70, HEIGHT_PX - 24), interpolation=cv2.INTER_LINEAR)
    said = ", ".join(f"{s.name} {math.degrees(s.azimuth_rad):+.0f} deg {s.level_db:.0f} dB" for s in loud) or "quiet"
    span = len(samples) / rate_hz
    for text, at in ((f"microphone 1, {span:.1f} s: {said}", (60, 17)), ("4 kHz", (8, 36)), ("0", (40, HEIGHT_PX - 4))):
        cv2.putText(sheet, text, at, cv2.FONT_HERSHEY_SIMPLEX, 0.42, INK, 1, cv2.LINE_AA)
    return np.asarray(sheet, np.uint8)
