"""A sensor set in the forms that networks take in: points in the vehicle frame, pixels, sound by direction.

Only what is wanted is made, and what cannot be made of a message is refused by name, never raised.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import numba as nb
import numpy as np

from fusion_pipeline.arrays import Bytes, Floats
from fusion_pipeline.encode.audio import AudioError, Response, SteeredResponse
from fusion_pipeline.encode.image import ImageError, decode
from fusion_pipeline.geometry.pose import Pose
from fusion_pipeline.messages import EgoMotion, LidarScan, SensorSet
from fusion_pipeline.rig import CameraMount, Rig

PRESENT = ("lidar", "camera", "audio", "sweeps")  # columns of the network's input `present`


@dataclass(frozen=True, slots=True, eq=False)
class Picture:
    """One camera's pixels and where the camera sits."""

    source: str
    pixels: Bytes  # (height, width, 3) B, G, R
    mount: CameraMount


@dataclass(frozen=True, slots=True, eq=False)
class Scene:
    """A sensor set, ready to be encoded."""

    points_m: Floats  # (N, 3) of all LiDARs, in the vehicle frame; only finite ones
    intensity: Floats  # (N,)
    pictures: tuple[Picture, ...]  # in the rig's order
    responses: tuple[Response, ...]  # one per microphone array
    refused: tuple[str, ...]  # "camera/front: damaged jpeg picture"
    instant_ns: int = 0
    egos: tuple[EgoMotion, ...] = ()  # the vehicle's pose then, or none

    @property
    def present(self) -> Floats:
        """(1, 4) 1 for each of PRESENT that has something to say, else 0."""
        there = (len(self.points_m) > 0, bool(self.pictures), bool(self.responses), False)
        return np.asarray([there], np.float32)


class SceneReader:
    """Makes scenes of sensor sets."""

    def __init__(
        self, rig: Rig, points: bool = True, pictures: bool = True, sound: bool = True, unused: Collection[str] = ()
    ) -> None:
        """`points`, `pictures` and `sound` say what is wanted; the rest stays empty, and so do the topics `unused`."""
        self._rig, self._unused = rig, frozenset(unused)
        self._points, self._pictures, self._sound = points, pictures, sound
        self._steered: dict[tuple[str, int], SteeredResponse] = {}

    def __call__(self, sensor_set: SensorSet) -> Scene:
        """The scene of a set. Messages that do not fit the rig, or are damaged, are named in `refused`."""
        refused: list[str] = []
        points, intensity = self._joined(sensor_set, refused) if self._points else _NO_POINTS
        pictures = self._decoded(sensor_set, refused) if self._pictures else ()
        responses = self._heard(sensor_set, refused) if self._sound else ()
        at = sensor_set.header.capture_ns
        return Scene(points, intensity, pictures, responses, tuple(refused), at, sensor_set.egos)

    def _joined(self, sensor_set: SensorSet, refused: list[str]) -> tuple[Floats, Floats]:
        clouds, intensities = [], []
        for scan in sensor_set.lidars:
            mount = self._rig.lidars.get(scan.header.source)
            if mount is None:
                refused.append(f"{scan.header.source}: not in the rig")
                continue
            moved, intensity, count = _in_vehicle(scan, mount.vehicle_from_sensor)
            if count < len(moved):
                finite = np.isfinite(moved).all(axis=1) & np.isfinite(intensity)
                moved, intensity = moved[finite], intensity[finite]
            clouds.append(moved)
            intensities.append(intensity)
        if not clouds:
            return _NO_POINTS
        if len(clouds) == 1:
            return clouds[0], intensities[0]
        return np.concatenate(clouds), np.concatenate(intensities)

    def _decoded(self, sensor_set: SensorSet, refused: list[str]) -> tuple[Picture, ...]:
        pictures = {}
        for frame in sensor_set.cameras:
            source = frame.header.source
            if source in self._unused:
                continue
            mount = self._rig.cameras.get(source)
            if mount is None:
                refused.append(f"{source}: not in the rig")
                continue
            try:
                pixels = decode(frame)
            except ImageError as error:
                refused.append(f"{source}: {error}")
                continue
            pictures[source] = Picture(source, pixels, mount)
        return tuple(pictures[source] for source in self._rig.cameras if source in pictures)

    def _heard(self, sensor_set: SensorSet, refused: list[str]) -> tuple[Response, ...]:
        responses = []
        for chunk in sensor_set.audios:
            source = chunk.header.source
            if source in self._unused:
                continue
            array = self._rig.audios.get(source)
            if array is None:
                refused.append(f"{source}: not in the rig")
                continue
            try:
                key = (source, chunk.rate_hz)
                if key not in self._steered:
                    # A sender that changes its rate at every chunk must not fill the memory.
                    self._steered = {k: v for k, v in self._steered.items() if k[0] != source}
                    self._steered[key] = SteeredResponse(array, chunk.rate_hz)
                responses.append(self._steered[key](chunk))
            except AudioError as error:
                refused.append(f"{source}: {error}")
        return tuple(responses)


def _in_vehicle(scan: LidarScan, vehicle_from_sensor: Pose) -> tuple[Floats, Floats, int]:
    """The scan's points in the vehicle frame, its intensity, and how many points are finite."""
    out = np.empty((len(scan.xyz_m), 3), np.float32)
    rotation = vehicle_from_sensor.rotation.astype(np.float32)
    translation = vehicle_from_sensor.translation_m.astype(np.float32)
    return out, scan.intensity, _move(scan.xyz_m, scan.intensity, rotation, translation, out)


@nb.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _move(points: Floats, intensity: Floats, rotation: Floats, translation: Floats, out: Floats) -> int:
    finite = 0
    for i in range(len(points)):
        x, y, z = points[i, 0], points[i, 1], points[i, 2]
        for k in range(3):
            out[i, k] = rotation[k, 0] * x + rotation[k, 1] * y + rotation[k, 2] * z + translation[k]
        if np.isfinite(x + y + z + intensity[i]):
            finite += 1
    return finite


_NO_POINTS = (np.zeros((0, 3), np.float32), np.zeros(0, np.float32))
