"""A camera in a drive: any lens, by day and night, in fog and rain, with exact depth and labels."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from fusion_pipeline.arrays import Bytes, Doubles, Floats, Ints
from fusion_pipeline.rig import CameraMount
from fusion_pipeline.world.drive import Drive
from fusion_pipeline.world.lens import Lens
from fusion_pipeline.world.materials import Material
from fusion_pipeline.world.shade import GROUND, SKY, shade
from fusion_pipeline.world.shadows import NO_SHADOWS, SunView
from fusion_pipeline.world.view import View
from fusion_pipeline.world.weather import CLEAR, Weather

__all__ = ["GROUND", "SKY", "CameraOptions", "Look", "SimulatedCamera"]

REACH_M = 130.0
CLEAR_HAZE_M, THICKEST = 170.0, 0.75  # on a clear day the far keeps a quarter of its colour
_AXES = np.asarray([[0.0, 0, 1], [1, 0, 0], [0, 1, 0]])  # optical x y z to forward, sideways, upright


@dataclass(frozen=True, slots=True)
class CameraOptions:
    """How a picture is taken; by default on a clear day, without shadows, at one instant."""

    noise: float = 1.5  # standard deviation of a dark pixel, of 255
    shot: float = 0.0  # variance that each unit of brightness adds
    exposure: float = 1.0  # gain
    blur_px: float = 0.0  # standard deviation of the lens's blur
    shadows: bool = False
    night: bool = False  # own headlights, no sun
    weather: Weather = CLEAR
    motion_s: float = 0.0  # exposure time; pictures of `steps` instants within it are averaged
    readout_s: float = 0.0  # from the first row's time to the last row's, in `steps` bands: a rolling shutter
    steps: int = 4
    jpeg: int = 0  # quality, 1 to 100, of the pictures that a simulation sends; 0: raw

    def __post_init__(self) -> None:
        if not 0 <= self.jpeg <= 100:
            raise ValueError(f"jpeg is {self.jpeg}; a quality is 1 to 100, and 0 stands for raw pictures")
        if min(self.noise, self.shot, self.blur_px, self.motion_s, self.readout_s) < 0 or self.steps < 1:
            raise ValueError("noise, shot, blur_px, motion_s and readout_s must not be negative, steps at least 1")

    def changed(self, texts: Iterable[str]) -> CameraOptions:
        """With what each "readout_s=0.03" says. Raises ValueError with what is known."""
        known = {"noise": float, "shot": float, "exposure": float, "blur_px": float, "motion_s": float,
                 "readout_s": float, "steps": int}  # fmt: skip
        changes: dict[str, float] = {}
        for text in texts:
            key, equals, value = text.partition("=")
            try:
                changes[key] = known[key](value) if equals else known[""](value)
            except (KeyError, ValueError):
                raise ValueError(
                    f"camera option {text!r} is not understood; write KEY=NUMBER with a key of {', '.join(known)}"
                ) from None
        return replace(self, **changes)  # type: ignore[arg-type]


@dataclass(frozen=True, slots=True, eq=False)
class Look:
    """One picture with its truth, all (height, width)."""

    pixels: Bytes  # (height, width, 3) B, G, R
    depth_m: Floats  # along the optical axis; 0 for the sky
    classes: Ints  # index into scene.CLASSES; -1 things without a box, GROUND, SKY
    instances: Ints  # row of drive.actors; -1 things without a box, GROUND, SKY


class SimulatedCamera:
    """Pictures of one camera."""

    def __init__(self, drive: Drive, mount: CameraMount, options: CameraOptions | None = None) -> None:
        self._lens = Lens(mount.model)
        self.view = View(drive, mount.vehicle_from_sensor, _AXES, self._lens.grid, REACH_M)
        self.options = options or CameraOptions()
        shiny = np.isin(self.view.materials, (Material.GLASS, Material.PAINT, Material.DARK_PAINT))
        self._shine = np.where(shiny, 0.35, 0.0).astype(np.float32)
        self._sun = SunView(drive) if self.options.shadows and not self.options.night else None
        labels = np.asarray([actor.label for actor in drive.actors] or [0], np.int64)
        self._class_of = np.where(self.view.actors >= 0, labels[np.maximum(self.view.actors, 0)], -1)

    def picture(self, seconds: float, seed: int = 0) -> Bytes:
        """(height, width, 3) B, G, R of the drive at `seconds`; `seed` decides the noise."""
        return self._developed(self._light(seconds), seed)

    def take(self, seconds: float, seed: int = 0) -> Look:
        """The picture with exact depth, classes and instances, which are those of `seconds` itself."""
        pixels = self.picture(seconds, seed)
        _, depth, numbers = self._exposed(seconds)
        depth, numbers = self._lens.nearest(depth), self._lens.nearest(numbers)
        triangle = np.maximum(numbers, 0)
        return Look(
            pixels, depth, np.where(numbers >= 0, self._class_of[triangle], numbers),
            np.where(numbers >= 0, self.view.actors[triangle], numbers),
        )  # fmt: skip

    def views(self, seconds: float) -> list[View]:
        """What the picture at `seconds`, the last, was drawn in; drawn anew where it was of several instants."""
        if self.options.motion_s > 0 or self.options.readout_s > 0:
            self.view.look(seconds)
        return [self.view]

    def depth_m(self) -> Floats:
        """(height, width) distance along the optical axis in the last picture; 0 where nothing but ground or sky is."""
        inverse = self.view.surfaces.inverse.T
        return self._lens.nearest(np.divide(1.0, inverse, out=np.zeros_like(inverse), where=inverse > 0))

    def _light(self, seconds: float) -> Floats:
        """(H, W, 3) of the lens's plane, 0 to 255, averaged over the exposure, row band by row band."""
        options = self.options
        offsets = (np.arange(options.steps) + 0.5) / options.steps - 0.5
        if options.readout_s > 0:
            bands = np.array_split(np.arange(len(self._lens.grid.slope)), options.steps)
            out = np.empty((len(self._lens.grid.slope), len(self._lens.grid.ratio), 3), np.float32)
            for offset, rows in zip(offsets, bands, strict=True):
                out[rows] = self._exposed(seconds + (offset + 0.5) * options.readout_s)[0][rows]
            return out
        if options.motion_s > 0:
            looks = [self._exposed(seconds + (offset + 0.5) * options.motion_s)[0] for offset in offsets]
            return np.asarray(np.mean(looks, axis=0), np.float32)
        return self._exposed(seconds)[0]

    def _exposed(self, seconds: float) -> tuple[Floats, Floats, NDArray[np.int32]]:
        """Light, depth and triangle of each ray of the lens's plane."""
        axes_from_world = self.view.look(seconds)
        sun = self._sun.look(seconds) if self._sun is not None else NO_SHADOWS
        grid, ground, options = self._lens.grid, self.view.drive.ground, self.options
        world_from_axes = axes_from_world.inverse()
        shape = len(grid.slope), len(grid.ratio)
        out, depth = np.empty((*shape, 3), np.float32), np.empty(shape, np.float32)
        numbers = np.empty(shape, np.int32)
        extinction = options.weather.extinction_per_m
        haze_m, thickest = (1 / extinction, 1.0) if extinction > 0 else (CLEAR_HAZE_M, THICKEST)
        shade(
            self.view.surfaces.inverse, self.view.surfaces.ids, grid.ratio, grid.slope,
            np.ascontiguousarray(world_from_axes.rotation), world_from_axes.translation_m,
            self.view.normals, self.view.colours, self._shine, ground.pixels, ground.low_m, ground.cell_m,
            self.view.drive.ring_m, haze_m, thickest, options.night, sun.inverse, sun.turn, sun.eye_m, sun.grid,
            self.view.drive.level, out, depth, numbers,
        )  # fmt: skip
        return out, depth, numbers

    def _developed(self, light: Floats, seed: int) -> Bytes:
        options = self.options
        out = self._lens.smooth(light)
        rng = np.random.default_rng(seed)
        if options.weather.rain_mm_h > 0:
            _streaks(out, options.weather.rain_mm_h, rng)
        if options.blur_px > 0:
            out = np.asarray(cv2.GaussianBlur(out, (0, 0), options.blur_px), np.float32)
        if options.exposure != 1.0:
            out = out * np.float32(options.exposure)
        grain = _GRAIN[rng.integers(0, 256, out.shape[:2], dtype=np.uint8)][..., None]
        if options.shot > 0:
            out = out + grain * np.sqrt(np.float32(options.noise**2) + np.float32(options.shot) * np.clip(out, 0, 255))
        else:
            out = out + grain * np.float32(options.noise)
        return np.clip(out, 0, 255, out=out).astype(np.uint8)


# A bell of 256 values, mean 0 and standard deviation 1: cheaper to look up than to draw anew for each pixel.
_GRAIN: Floats = np.asarray(np.random.default_rng(0).normal(0, 1, 256), np.float32)


def _streaks(out: Floats, rain_mm_h: float, rng: np.random.Generator) -> None:
    """Drops that fell through the exposure: faint, nearly upright lines, for eyes only."""
    height, width = out.shape[:2]
    starts: Doubles = rng.uniform((0, 0), (width, height), (round(30 * rain_mm_h**0.6), 2))
    veil = np.zeros((height, width), np.float32)
    for x, y in starts:
        length = float(rng.uniform(0.02, 0.07)) * height
        end = (round(float(x + 0.1 * length)), round(float(y + length)))
        cv2.line(veil, (round(float(x)), round(float(y))), end, float(rng.uniform(8, 30)), 1, cv2.LINE_AA)
    out += veil[..., None]
