"""Ten ways in which sensors go wrong, each at three severities, after MultiCorrupt (Beemelmanns et al., 2024).

The kinds are theirs, the strengths ours: theirs are stated for nuScenes' six cameras and 32 beams. What is done to a
finished moment is done to a `Sight`, which rendered and recorded moments both have. Fog and lateness of rendered
moments are rendered anew; of recorded ones fog is laid over what there is, and late is an earlier picture, which the
recording must have. All of it depends on the seed alone.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import cv2
import numpy as np

from fusion_pipeline.arrays import Array, Bytes, Doubles, Floats, Ints
from fusion_pipeline.encode.lookup import WIDTH_PX
from fusion_pipeline.geometry.pose import Pose
from fusion_pipeline.train.rides import Ride, render
from fusion_pipeline.world.beams import hdl64
from fusion_pipeline.world.shots import CLOSEST_M, REFLECTANCE_AT_RANGE
from fusion_pipeline.world.weather import NEAR_ECHO_M, Weather

SEVERITIES = (0, 1, 2)
LATE_S = (0.1, 0.2, 0.4)
VISIBILITY_M = (120.0, 60.0, 30.0)
EYE_M = 1.75  # height of a rendered moment's LiDAR, about
FAINTEST = 0.005  # what a sensor that counts reflectance in hundredths may have seen where it says 0
AIR = (230.0, 222.0, 214.0)  # B, G, R of thick fog by day, as the simulator's; its hue is that of any light
CELL_PX = 4  # of the grid in which points are looked up from pixels
UNSEEN = 0.03  # of the picture's width without points, and what is there is held for e times as far away


@dataclass(frozen=True, slots=True, eq=False)
class Sight:
    """What LiDAR and camera say of one moment, in a frame whose z axis goes up through the LiDAR."""

    xyz_m: Floats  # (N, 3)
    intensity: Floats  # (N,)
    beam: Ints  # (N,) of 64, 0 at the top
    eye_m: float  # the LiDAR's height in the frame
    picture: Bytes  # (H, W, 3) B, G, R; of no size where there is none
    matrix: Doubles  # (3, 3) of the camera
    camera: Doubles  # (4, 4) the frame from the camera's


Change = Callable[[Sight, int, int], Sight]  # the moment, its seed, the severity
Corruption = Callable[[Ride, int, int], Ride]


def _rng(seed: int, severity: int) -> np.random.Generator:
    return np.random.default_rng([seed, severity, 11])


def _thinned(sight: Sight, keep: Array) -> Sight:
    return replace(sight, xyz_m=sight.xyz_m[keep], intensity=sight.intensity[keep], beam=sight.beam[keep])


def fewer_beams(sight: Sight, seed: int, severity: int) -> Sight:
    """Every 2nd, 4th or 8th beam of 64."""
    return _thinned(sight, sight.beam % (2, 4, 8)[severity] == 0)


def fewer_points(sight: Sight, seed: int, severity: int) -> Sight:
    """50, 75 or 90 % of the points are lost."""
    return _thinned(sight, _rng(seed, severity).random(len(sight.xyz_m)) > (0.5, 0.75, 0.9)[severity])


def motion(sight: Sight, seed: int, severity: int) -> Sight:
    """The sweep was corrected with a wrong motion, and points jitter: 5, 10, 20 cm; the picture is smeared."""
    rng, sigma = _rng(seed, severity), (0.05, 0.1, 0.2)[severity]
    azimuth = np.arctan2(sight.xyz_m[:, 1], sight.xyz_m[:, 0])
    drift = (azimuth / np.pi * 4 * sigma)[:, None] * np.asarray([1.0, 0.0, 0.0])
    moved = (sight.xyz_m + drift + rng.normal(0, sigma / 2, sight.xyz_m.shape)).astype(np.float32)
    length = round((5, 9, 15)[severity] * _fineness(sight)) | 1
    kernel = np.full((1, length), 1 / length, np.float32)
    return replace(_repictured(sight, lambda picture: cv2.filter2D(picture, -1, kernel)), xyz_m=moved)


def displaced(sight: Sight, seed: int, severity: int) -> Sight:
    """The camera's calibration is 1, 2 or 4 degrees and 10, 20 or 40 cm off."""
    rng = _rng(seed, severity)
    most = np.deg2rad((1.0, 2.0, 4.0)[severity])
    roll, pitch, yaw = (most * rng.choice([-1, 1], 3) * [0.3, 0.5, 1.0]).tolist()
    shift = (0.1, 0.2, 0.4)[severity] * rng.choice([-1, 1], 3) * [0.5, 1.0, 0.3]
    wrong = Pose.from_euler(roll, pitch, yaw, shift) @ Pose(sight.camera[:3, :3], sight.camera[:3, 3])
    return replace(sight, camera=wrong.matrix)


def fogged(sight: Sight, seed: int, severity: int) -> Sight:
    """Visibility 120, 60 or 30 m laid over a clear moment, by the laws that the simulator follows.

    An echo that is too weak after its way there and back is lost, or is one of droplets near by. A pixel fades to grey
    by Koschmieder's law, as far away as the LiDAR's point next to it in the picture, and farther far from any, as the
    sky is; the fog is as bright as the brightest twentieth of the picture.
    """
    rng, extinction = _rng(seed, severity), Weather(VISIBILITY_M[severity]).extinction_per_m
    eye = np.asarray([0, 0, sight.eye_m], np.float32)
    distance = np.linalg.norm(sight.xyz_m - eye, axis=1)
    fade = np.exp(-2 * extinction * distance)
    lost = np.maximum(sight.intensity, FAINTEST) * fade * hdl64().range_m ** 2 < REFLECTANCE_AT_RANGE * distance**2
    echo = lost & (rng.random(len(lost)) < 1 - np.exp(-extinction * NEAR_ECHO_M))
    near = np.minimum(CLOSEST_M + rng.exponential(NEAR_ECHO_M / 3, len(lost)), distance) / np.maximum(distance, 0.1)
    xyz = np.where(echo[:, None], eye + (sight.xyz_m - eye) * near[:, None], sight.xyz_m).astype(np.float32)
    light = np.where(echo, 0.02, sight.intensity * fade).astype(np.float32)
    away = _distances(sight)

    def veiled(picture: Floats) -> Array:
        clear = np.exp(-extinction * away)[..., None]
        air = np.asarray(AIR) / np.mean(AIR) * np.percentile(picture.mean(axis=2), 95)
        return picture * clear + air * (1 - clear)

    return _thinned(replace(_repictured(sight, veiled), xyz_m=xyz, intensity=light), ~lost | echo)


def snow(sight: Sight, seed: int, severity: int) -> Sight:
    """Flakes: echoes near by instead of those far off, and white blots in the picture."""
    rng, share = _rng(seed, severity), (0.05, 0.12, 0.25)[severity]
    hit = rng.random(len(sight.xyz_m)) < share
    distance = np.linalg.norm(sight.xyz_m - [0, 0, sight.eye_m], axis=1)
    nearer = np.minimum(rng.exponential(4.0, len(distance)) + 1.0, distance) / np.maximum(distance, 0.1)
    eye = np.asarray([0, 0, sight.eye_m], np.float32)
    moved = np.where(hit[:, None], eye + (sight.xyz_m - eye) * nearer[:, None], sight.xyz_m).astype(np.float32)
    bright = np.where(hit, rng.uniform(0, 0.3, len(hit)), sight.intensity).astype(np.float32)

    def flakes(picture: Floats) -> Array:
        out, fineness = picture.copy(), _fineness(sight)
        for _ in range((150, 400, 900)[severity]):
            middle = int(rng.integers(0, out.shape[1])), int(rng.integers(0, out.shape[0]))
            cv2.circle(out, middle, round(int(rng.choice([1, 1, 1, 2, 3])) * fineness), (235, 235, 235), -1)
        return out

    return replace(_repictured(sight, flakes), xyz_m=moved, intensity=bright)


def dark(sight: Sight, seed: int, severity: int) -> Sight:
    """The picture has 30, 15 or 6 % of its light, and the noise that goes with it."""
    rng, gain = _rng(seed, severity), (0.3, 0.15, 0.06)[severity]
    return _repictured(sight, lambda p: p * gain + rng.normal(0, 5, p.shape))


def bright(sight: Sight, seed: int, severity: int) -> Sight:
    """The picture is overexposed by 1.6, 2.4 or 4."""
    return _repictured(sight, lambda p: p * (1.6, 2.4, 4.0)[severity])


def no_camera(sight: Sight, seed: int, severity: int) -> Sight:
    """A third, two thirds or all of the picture is black, and nobody says so."""

    def masked(picture: Floats) -> Array:
        out = picture.copy()
        out[:, : round((213, 427, 640)[severity] * _fineness(sight))] = 0
        return out

    return _repictured(sight, masked)


def late(ride: Ride, seed: int, severity: int) -> Ride:
    """The picture is 0.1, 0.2 or 0.4 s old."""
    return render(seed, late_s=LATE_S[severity])


def fog(ride: Ride, seed: int, severity: int) -> Ride:
    """Visibility 120, 60 or 30 m, for LiDAR and camera."""
    return render(seed, weather=Weather(visibility_m=VISIBILITY_M[severity]))


def of_ride(change: Change) -> Corruption:
    """The same done to a rendered moment, whose beams are told by elevation."""

    def done(ride: Ride, seed: int, severity: int) -> Ride:
        elevation = np.rad2deg(np.arctan2(ride.xyz_m[:, 2] - EYE_M, np.hypot(ride.xyz_m[:, 0], ride.xyz_m[:, 1])))
        beam = np.floor(np.where(elevation > -8.6, (2.3 - elevation) * 3, 32 + (-8.6 - elevation) * 2)).astype(np.int64)
        sight = Sight(ride.xyz_m, ride.intensity, beam, EYE_M, ride.picture(), ride.matrix, ride.camera)
        out = change(sight, seed, severity)
        jpeg = ride.jpeg
        if out.picture is not sight.picture:
            jpeg = np.asarray(cv2.imencode(".jpg", out.picture, [cv2.IMWRITE_JPEG_QUALITY, 90])[1]).ravel()
        return replace(ride, xyz_m=out.xyz_m, intensity=out.intensity, camera=out.camera, jpeg=jpeg)

    return done


LATE = "picture late"
# Of recorded moments; LATE is done by whoever has the earlier pictures.
CHANGES: dict[str, Change] = {
    "fewer beams": fewer_beams, "fewer points": fewer_points, "motion": motion, "camera displaced": displaced,
    "fog": fogged, "snow": snow, "dark": dark, "bright": bright, "camera masked": no_camera,
}  # fmt: skip
# Of rendered ones.
CORRUPTIONS: dict[str, Corruption] = {
    "fewer beams": of_ride(fewer_beams), "fewer points": of_ride(fewer_points), "motion": of_ride(motion),
    "camera displaced": of_ride(displaced), LATE: late, "fog": fog, "snow": of_ride(snow), "dark": of_ride(dark),
    "bright": of_ride(bright), "camera masked": of_ride(no_camera),
}  # fmt: skip


def _fineness(sight: Sight) -> float:
    """Pixels of the picture for each of a rendered moment's, whose width sizes are stated for."""
    return sight.picture.shape[1] / WIDTH_PX


def _repictured(sight: Sight, change: Callable[[Floats], Array]) -> Sight:
    if not sight.picture.size:
        return sight
    changed = change(sight.picture.astype(np.float32))
    return replace(sight, picture=np.clip(changed, 0, 255).astype(np.uint8))


def _distances(sight: Sight) -> Floats:
    """(H, W) metres from the camera to the point next to each pixel, more far from any; 1e9 without points."""
    height, width = sight.picture.shape[:2]
    pose = Pose(sight.camera[:3, :3], sight.camera[:3, 3]).inverse()
    local = pose.apply(sight.xyz_m.astype(np.float64))
    local = local[local[:, 2] > 0.5]
    column, row = ((local @ sight.matrix.T)[:, :2] / local[:, 2:] / CELL_PX).T
    grid = np.full((-(-height // CELL_PX), -(-width // CELL_PX)), np.inf)
    inside = (column >= 0) & (column < grid.shape[1]) & (row >= 0) & (row < grid.shape[0])
    cells = row[inside].astype(np.int64), column[inside].astype(np.int64)
    np.minimum.at(grid, cells, np.linalg.norm(local[inside], axis=1))  # the nearer hides what is behind
    known = np.isfinite(grid)
    if not known.any():
        return np.full((height, width), 1e9, np.float32)
    gap, labels = cv2.distanceTransformWithLabels((~known).astype(np.uint8), cv2.DIST_L2, 5,
                                                  labelType=cv2.DIST_LABEL_PIXEL)  # fmt: skip
    table = np.zeros(int(labels.max()) + 1, np.float32)
    table[labels[known]] = grid[known]
    near = cv2.erode(table[labels], np.ones((3, 3), np.uint8))  # what is seen through windows is behind them
    near *= np.exp(gap * np.float32(CELL_PX / (UNSEEN * width)))
    return np.asarray(cv2.resize(near, (width, height), interpolation=cv2.INTER_LINEAR), np.float32)
