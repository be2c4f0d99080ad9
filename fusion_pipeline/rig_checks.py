"""Whether a rig's numbers can be those of a vehicle: units, axes and lenses that are well-formed but mean nonsense."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from fusion_pipeline.rig import CameraMount, LidarMount, MicrophoneArray, Rig, RigError

FARTHEST_M = 50.0  # from the vehicle's origin; a road train has 25 m
WIDEST_ARRAY_M = 20.0
UPWARD = 0.95  # cosine: an optical axis within 18 degrees of straight up is one whose rotation was left out
FOCAL = (0.1, 100.0)  # focal length over the picture's larger side: wider than any fisheye, longer than any telephoto


def implausible(rig: Rig) -> Iterator[str]:
    """Sentences on what no vehicle has, each beginning with the sensor's topic."""
    mounts: Mapping[str, LidarMount | CameraMount | MicrophoneArray]
    mounts = {**rig.lidars, **rig.cameras, **rig.audios}
    for topic, mount in mounts.items():
        place = mount.vehicle_from_sensor.translation_m
        far = float(np.abs(place).max())
        if not far <= FARTHEST_M:
            hint = "; are these millimetres?" if far >= 100 else ""
            yield f"{topic} sits at {place.tolist()} m, {far:g} m from the vehicle's origin{hint}"
    for topic, camera in rig.cameras.items():
        yield from (f"{topic} {text}" for text in _of_camera(camera))
    for topic, array in rig.audios.items():
        yield from (f"{topic} {text}" for text in _of_array(array))


def rig_faults(path: Path) -> Iterator[str]:
    """What is wrong with the rig file `path`: that it cannot be read, or what is implausible in it."""
    try:
        rig = Rig.load(path)
    except RigError as error:
        yield str(error)
        return
    for text in implausible(rig):
        yield f"rig file {path}: {text}"


def _of_camera(camera: CameraMount) -> Iterator[str]:
    model = camera.model
    axis = camera.vehicle_from_sensor.rotation[:, 2]
    if axis[2] > UPWARD:
        yield (
            "looks straight up: its rotation is not that of optical axes (x right, y down, z ahead); one that looks "
            "ahead has rotation = [[0, 0, 1], [-1, 0, 0], [0, -1, 0]]"
        )
    larger = max(model.width_px, model.height_px)
    for name, focal in (("fx", model.matrix[0, 0]), ("fy", model.matrix[1, 1])):
        if not FOCAL[0] * larger <= focal <= FOCAL[1] * larger:
            yield f"has {name} = {focal:g} px for a picture {model.width_px} x {model.height_px} px; is it in pixels?"
            break
    for name, middle, size in (("cx", model.matrix[0, 2], model.width_px), ("cy", model.matrix[1, 2], model.height_px)):
        if not -0.5 * size <= middle <= 1.5 * size:
            yield f"has {name} = {middle:g} px, far outside a picture {model.width_px} x {model.height_px} px"
            break
    if not np.isfinite(model.distortion).all() or (np.abs(model.distortion) > 1e4).any():
        yield f"has the distortion {model.distortion.tolist()}, which no lens has"


def _of_array(array: MicrophoneArray) -> Iterator[str]:
    places = array.microphones_m
    apart = np.linalg.norm(places[:, None] - places[None], axis=2)
    if apart.max() > WIDEST_ARRAY_M:
        yield f"is {apart.max():g} m wide; are these millimetres?"
    first, second = np.nonzero((apart < 1e-4) & ~np.eye(len(places), dtype=bool))
    if len(first):
        yield f"has microphones {first[0] + 1} and {second[0] + 1} at the same place"
