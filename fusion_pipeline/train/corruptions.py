"""Ten ways in which sensors go wrong, each at three severities, after MultiCorrupt (Beemelmanns et al., 2024).

The kinds are theirs, the strengths ours: theirs are stated for nuScenes' six cameras and 32 beams. Fog and lateness are
rendered anew, the rest is done to the finished moment. All of it depends on the seed alone.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import cv2
import numpy as np

from fusion_pipeline.arrays import Array, Floats
from fusion_pipeline.geometry.pose import Pose
from fusion_pipeline.train.rides import Ride, render
from fusion_pipeline.world.weather import Weather

SEVERITIES = (0, 1, 2)
Corruption = Callable[[Ride, int, int], Ride]  # the moment, its seed, the severity


def _rng(seed: int, severity: int) -> np.random.Generator:
    return np.random.default_rng([seed, severity, 11])


def _thinned(ride: Ride, keep: Array) -> Ride:
    return replace(ride, xyz_m=ride.xyz_m[keep], intensity=ride.intensity[keep])


def fewer_beams(ride: Ride, seed: int, severity: int) -> Ride:
    """Every 2nd, 4th or 8th beam of 64, told by elevation."""
    elevation = np.rad2deg(np.arctan2(ride.xyz_m[:, 2] - 1.75, np.hypot(ride.xyz_m[:, 0], ride.xyz_m[:, 1])))
    beam = np.floor(np.where(elevation > -8.6, (2.3 - elevation) * 3, 32 + (-8.6 - elevation) * 2)).astype(np.int64)
    return _thinned(ride, beam % (2, 4, 8)[severity] == 0)


def fewer_points(ride: Ride, seed: int, severity: int) -> Ride:
    """50, 75 or 90 % of the points are lost."""
    return _thinned(ride, _rng(seed, severity).random(len(ride.xyz_m)) > (0.5, 0.75, 0.9)[severity])


def motion(ride: Ride, seed: int, severity: int) -> Ride:
    """The sweep was corrected with a wrong motion, and points jitter: 5, 10, 20 cm; the picture is smeared."""
    rng, sigma = _rng(seed, severity), (0.05, 0.1, 0.2)[severity]
    azimuth = np.arctan2(ride.xyz_m[:, 1], ride.xyz_m[:, 0])
    drift = (azimuth / np.pi * 4 * sigma)[:, None] * np.asarray([1.0, 0.0, 0.0])
    moved = (ride.xyz_m + drift + rng.normal(0, sigma / 2, ride.xyz_m.shape)).astype(np.float32)
    length = (5, 9, 15)[severity]
    kernel = np.full((1, length), 1 / length, np.float32)
    return replace(ride, xyz_m=moved, jpeg=_repictured(ride, lambda picture: cv2.filter2D(picture, -1, kernel)))


def displaced(ride: Ride, seed: int, severity: int) -> Ride:
    """The camera's calibration is 1, 2 or 4 degrees and 10, 20 or 40 cm off."""
    rng = _rng(seed, severity)
    most = np.deg2rad((1.0, 2.0, 4.0)[severity])
    roll, pitch, yaw = (most * rng.choice([-1, 1], 3) * [0.3, 0.5, 1.0]).tolist()
    shift = (0.1, 0.2, 0.4)[severity] * rng.choice([-1, 1], 3) * [0.5, 1.0, 0.3]
    wrong = Pose.from_euler(roll, pitch, yaw, shift) @ Pose(ride.camera[:3, :3], ride.camera[:3, 3])
    return replace(ride, camera=wrong.matrix)


def late(ride: Ride, seed: int, severity: int) -> Ride:
    """The picture is 0.1, 0.2 or 0.4 s old."""
    return render(seed, late_s=(0.1, 0.2, 0.4)[severity])


def fog(ride: Ride, seed: int, severity: int) -> Ride:
    """Visibility 120, 60 or 30 m, for LiDAR and camera."""
    return render(seed, weather=Weather(visibility_m=(120.0, 60.0, 30.0)[severity]))


def snow(ride: Ride, seed: int, severity: int) -> Ride:
    """Flakes: echoes near by instead of those far off, and white blots in the picture."""
    rng, share = _rng(seed, severity), (0.05, 0.12, 0.25)[severity]
    hit = rng.random(len(ride.xyz_m)) < share
    distance = np.linalg.norm(ride.xyz_m - [0, 0, 1.75], axis=1)
    nearer = np.minimum(rng.exponential(4.0, len(distance)) + 1.0, distance) / np.maximum(distance, 0.1)
    eye = np.asarray([0, 0, 1.75], np.float32)
    moved = np.where(hit[:, None], eye + (ride.xyz_m - eye) * nearer[:, None], ride.xyz_m).astype(np.float32)
    bright = np.where(hit, rng.uniform(0, 0.3, len(hit)), ride.intensity).astype(np.float32)

    def flakes(picture: Array) -> Array:
        out = picture.copy()
        for _ in range((150, 400, 900)[severity]):
            middle = int(rng.integers(0, out.shape[1])), int(rng.integers(0, out.shape[0]))
            cv2.circle(out, middle, int(rng.choice([1, 1, 1, 2, 3])), (235, 235, 235), -1)
        return out

    return replace(ride, xyz_m=moved, intensity=bright, jpeg=_repictured(ride, flakes))


def dark(ride: Ride, seed: int, severity: int) -> Ride:
    """The picture has 30, 15 or 6 % of its light, and the noise that goes with it."""
    rng, gain = _rng(seed, severity), (0.3, 0.15, 0.06)[severity]
    return replace(ride, jpeg=_repictured(ride, lambda p: p * gain + rng.normal(0, 5, p.shape)))


def bright(ride: Ride, seed: int, severity: int) -> Ride:
    """The picture is overexposed by 1.6, 2.4 or 4."""
    return replace(ride, jpeg=_repictured(ride, lambda p: p * (1.6, 2.4, 4.0)[severity]))


def no_camera(ride: Ride, seed: int, severity: int) -> Ride:
    """A third, two thirds or all of the picture is black, and nobody says so."""

    def masked(picture: Array) -> Array:
        out = picture.copy()
        out[:, : (213, 427, 640)[severity]] = 0
        return out

    return replace(ride, jpeg=_repictured(ride, masked))


CORRUPTIONS: dict[str, Corruption] = {
    "fewer beams": fewer_beams, "fewer points": fewer_points, "motion": motion, "camera displaced": displaced,
    "picture late": late, "fog": fog, "snow": snow, "dark": dark, "bright": bright, "camera masked": no_camera,
}  # fmt: skip


def _repictured(ride: Ride, change: Callable[[Floats], Array]) -> Array:
    picture = ride.picture().astype(np.float32)
    changed = np.clip(change(picture), 0, 255).astype(np.uint8)
    return np.asarray(cv2.imencode(".jpg", changed, [cv2.IMWRITE_JPEG_QUALITY, 90])[1]).ravel()
