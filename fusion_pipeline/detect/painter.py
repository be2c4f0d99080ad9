"""The picture before this one, painted onto the raster by where this scan's points were in it: early fusion, live.

The network's classes of a picture are an output of the run that reads the raster, so those of the set before are used:
no second run, and points are moved back by the vehicle's own motion to where they would have been then, if what they
are on stands still: a car that crosses at 15 m/s is painted where it was, 1.5 m beside.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from fusion_pipeline.arrays import Array, Floats
from fusion_pipeline.encode.image import fit_of
from fusion_pipeline.encode.inputs import PRESENT, Scene
from fusion_pipeline.encode.lookup import PICTURE, UNSEEN
from fusion_pipeline.encode.paint import PAINT_CHANNELS, paint, painted_by, picture_rows
from fusion_pipeline.encode.points import BevRaster
from fusion_pipeline.encode.sweeps import OLDEST_NS
from fusion_pipeline.geometry.pose import Pose
from fusion_pipeline.messages import EgoMotion
from fusion_pipeline.rig import Rig


@dataclass(frozen=True, slots=True, eq=False)
class _Kept:
    """Of the set before."""

    instant_ns: int
    egos: tuple[EgoMotion, ...]
    segments: Floats  # (cameras, 6, 24, 80) logits
    seen: tuple[bool, ...]  # which of the cameras had a picture


class Painter:
    """Remembers what the cameras saw last. A set that goes back in time, or comes too late, is not painted."""

    def __init__(self, rig: Rig, cameras: int) -> None:
        """Of the rig's first `cameras` cameras, in its order."""
        mounts = list(rig.cameras.items())[:cameras]
        self._mounts = [(mount, fit_of(mount.model.width_px, mount.model.height_px, PICTURE)) for _, mount in mounts]
        self._sources = [source for source, _ in mounts]
        self._kept: _Kept | None = None

    def clear(self) -> None:
        """Forget it."""
        self._kept = None

    def paint(self, scene: Scene, raster: BevRaster, lidar_bev: Array) -> bool:
        """Paint the raster that has just been made of the scene's points; whether there was anything to paint with."""
        kept = self._kept
        if kept is None or not len(scene.points_m) or not 0 < scene.instant_ns - kept.instant_ns <= OLDEST_NS:
            return False
        if bool(kept.egos) != bool(scene.egos):
            return False  # nobody knows how far the vehicle has come
        then = _moved(kept.egos, scene.egos)
        nothing = UNSEEN * len(kept.segments)
        rows = np.full(len(scene.points_m), nothing, np.int64)
        for k, (mount, fit) in reversed(list(enumerate(self._mounts))):
            if kept.seen[k]:
                way = (mount.vehicle_from_sensor.inverse() @ then).matrix
                own = picture_rows(scene.points_m, mount.model, way, fit)
                rows = np.where(own < UNSEEN, own + k * UNSEEN, rows)
        paint(lidar_bev, painted_by(raster, scene.points_m, rows, nothing), kept.segments)
        return True

    def keep(self, scene: Scene, segments: Floats) -> None:
        """Remember what this set's pictures show, for the next."""
        there = {picture.source for picture in scene.pictures}
        seen = tuple(source in there for source in self._sources)
        self._kept = _Kept(scene.instant_ns, scene.egos, segments.copy(), seen) if any(seen) else None


def washed(lidar_bev: Array) -> None:
    """Take the paint off again: other networks of the same manifest may read the raster as well."""
    lidar_bev[0, PAINT_CHANNELS] = 0


def without_camera(inputs: Mapping[str, Array]) -> dict[str, Array]:
    """The inputs as if there were no camera, where a LiDAR is there to be painted; else as they are."""
    present = np.array(inputs["present"], copy=True)
    if present[0, PRESENT.index("lidar")] > 0:
        present[0, PRESENT.index("camera")] = 0
    return {**inputs, "present": present}


def _moved(before: tuple[EgoMotion, ...], now: tuple[EgoMotion, ...]) -> Pose:
    """The pose of the vehicle now in the vehicle's frame before; a vehicle that never tells of its motion stands."""
    if not before or not now:
        return Pose.identity()
    old, new = (Pose.from_quaternion(ego[0].orientation, ego[0].position_m) for ego in (before, now))
    return old.inverse() @ new
