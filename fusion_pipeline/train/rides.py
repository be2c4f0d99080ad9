"""Simulated moments with all three senses, on disk: what the fusion network learns from.

python -m fusion_pipeline.train.rides FOLDER FIRST COUNT STRIDE

Each is the middle of a random street with a rig of its own: camera and microphones somewhere on the vehicle, one of
many lenses and arrays, by day or night, in fog or rain now and then. For the all-round network three more cameras look
left, behind and right, and the LiDAR all round.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from fusion_pipeline.arrays import Array, Bytes, Doubles, Floats, Ints
from fusion_pipeline.encode.audio import SteeredResponse
from fusion_pipeline.encode.grid import ALL_ROUND, FRONT, BevGrid
from fusion_pipeline.encode.lookup import MAP
from fusion_pipeline.geometry.pose import Pose
from fusion_pipeline.messages import AudioChunk, Header
from fusion_pipeline.rig import LidarMount, MicrophoneArray
from fusion_pipeline.train.rigs import (
    drawn_array,
    drawn_beams,
    drawn_camera,
    drawn_hearing,
    drawn_options,
    drawn_weather,
    side_cameras,
)  # fmt: skip
from fusion_pipeline.world.camera import CameraOptions, Look, SimulatedCamera
from fusion_pipeline.world.drive import Drive
from fusion_pipeline.world.motion import nearest_image
from fusion_pipeline.world.scenarios import random_street
from fusion_pipeline.world.sound import SoundField
from fusion_pipeline.world.sources import LABELS
from fusion_pipeline.world.sweep import FIELD_RAD, SimulatedSweep
from fusion_pipeline.world.truth import boxes_at, in_sight
from fusion_pipeline.world.weather import Weather

_STEP_M = 0.005  # resolution of the stored points
RATE_HZ, WINDOW = 16_000, 8704  # 0.544 s
AUDIBLE_DB, FAINT_DB = 60.0, 48.0  # SPL at the array: taught from here, and neither way down to there
BODY_M = (0.3, 2.3)  # heights of what earlier sweeps are kept of


@dataclass(frozen=True, slots=True, eq=False)
class Picture:
    """What a further camera sees."""

    jpeg: Bytes  # (n,) the picture, WIDTH_PX x HEIGHT_PX
    matrix: Doubles  # (3, 3)
    camera: Doubles  # (4, 4) vehicle_from_camera

    def picture(self) -> Bytes:
        """(192, 640, 3) B, G, R."""
        return _decoded(self.jpeg)


@dataclass(frozen=True, slots=True, eq=False)
class Ride:
    """One moment, in the vehicle frame."""

    xyz_m: Floats  # (N, 3)
    intensity: Floats  # (N,)
    before_m: tuple[Floats, Floats]  # (K, 3) points of bodies 0.1 s and 0.2 s ago, moved with the vehicle
    boxes: Floats  # (M, 9) x y z l w h yaw vx vy
    labels: Ints  # (M,)
    points: Ints  # (M,) scan points on each
    pixels: Ints  # (M,) of the picture; where there are others, of the one that shows most of it
    jpeg: Bytes  # (n,) the picture, WIDTH_PX x HEIGHT_PX
    classes: Ints  # (24, 80) most common class in each cell of the picture; 5: none of them
    matrix: Doubles  # (3, 3) of the camera
    camera: Doubles  # (4, 4) vehicle_from_camera
    srp: Floats  # (16, 16, 72)
    level: Floats  # (16, 16) dB of full scale
    array_m: Doubles  # (3,) its middle
    sounds: Doubles  # (S, 3) class, azimuth in the vehicle frame, level dB SPL at the array
    siren_hidden: bool  # a siren is audible, and no siren in sight
    conditions: Doubles  # (4,) visibility m (0: clear), rain mm/h, 1 at night, own speed m/s
    others: tuple[Picture, ...] = ()  # of a rig that looks to all sides; the ride is whole then, not the part ahead

    def picture(self) -> Bytes:
        """(192, 640, 3) B, G, R."""
        return _decoded(self.jpeg)

    @property
    def grid(self) -> BevGrid:
        """The ground that networks look at in such a ride."""
        return ALL_ROUND if self.others else FRONT


def _decoded(jpeg: Bytes) -> Bytes:
    return np.asarray(cv2.imdecode(jpeg, cv2.IMREAD_COLOR), np.uint8)


def render(seed: int, late_s: float = 0.0, weather: Weather | None = None, around: bool = False) -> Ride:
    """The moment of `seed`; the picture may be `late_s` old, the weather another than the seed's. `around`, more
    of the same street is seen.
    """
    rng = np.random.default_rng([seed, 99])
    drive = random_street.build(seed, True)
    middle = random_street.MIDDLE_S
    drawn = drawn_weather(rng)
    weather = weather or drawn
    height = float(rng.uniform(1.6, 1.9))
    lean = rng.normal(0, 0.006, 2)
    mount = LidarMount(Pose.from_euler(float(lean[0]), float(lean[1]), 0.0, np.asarray([0.0, 0.0, height])))
    field = np.pi if around else FIELD_RAD
    sweeper = SimulatedSweep(drive, mount, drawn_beams(rng), weather=weather, field_rad=field)
    scans = [sweeper.sweep(middle - 0.1 * k, 3 * seed + k) for k in range(3)]
    here = drive.ego.at(middle).world_from_body.inverse()
    clouds = [
        here.apply(drive.ego.at(middle - 0.1 * k).world_from_body.apply(mount.vehicle_from_sensor.apply(scan.xyz_m)))
        for k, scan in enumerate(scans)
    ]
    count = len(drive.actors)
    points = np.bincount(scans[0].actors[scans[0].actors >= 0], minlength=count)
    camera = drawn_camera(rng)
    options = drawn_options(rng, weather)
    look = SimulatedCamera(drive, camera, options).take(middle - late_s, seed)
    pixels = _pixels(look, count)
    mounts = side_cameras() if around else ()
    beside = [(mount, SimulatedCamera(drive, mount, options).take(middle - late_s, seed)) for mount in mounts]
    pixels = np.max([pixels, *(_pixels(seen, count) for _, seen in beside)], axis=0)
    truth = boxes_at(drive, middle)
    table = [truth.centers_m, truth.sizes_m, truth.yaws_rad[:, None], truth.velocities_mps]
    array = drawn_array(rng)
    srp, level = heard_at(drive, array, middle, rng)
    sounds, hidden = sounds_at(drive, array, middle)
    return Ride(
        clouds[0].astype(np.float32), scans[0].intensity,
        (_bodies(clouds[1], around), _bodies(clouds[2], around)),
        np.concatenate(table, axis=1).astype(np.float32), truth.labels, points[truth.track_ids].astype(np.int64),
        pixels[truth.track_ids].astype(np.int64), _jpeg(look.pixels, rng), _coarse(look.classes),
        camera.model.matrix, camera.vehicle_from_sensor.matrix, srp, level, array.vehicle_from_sensor.translation_m,
        sounds, hidden, _conditions(drive, options),
        tuple(Picture(_jpeg(seen.pixels, rng), mount.model.matrix, mount.vehicle_from_sensor.matrix)
              for mount, seen in beside),
    )  # fmt: skip


def _pixels(look: Look, count: int) -> Ints:
    return np.bincount(look.instances[look.instances >= 0], minlength=count)


def _conditions(drive: Drive, options: CameraOptions) -> Doubles:
    weather, ego = options.weather, drive.ego.at(random_street.MIDDLE_S)
    clear = np.isinf(weather.visibility_m)
    speed = np.hypot(*ego.velocity_mps[:2])
    return np.asarray([0.0 if clear else weather.visibility_m, weather.rain_mm_h, options.night, speed], np.float64)


def heard_at(drive: Drive, array: MicrophoneArray, seconds: float, rng: np.random.Generator) -> tuple[Floats, Floats]:
    """Steered response (16, 16, 72) and level (16, 16) of the half second before; wind, gains and faults by chance."""
    microphones = array.vehicle_from_sensor.apply(array.microphones_m)
    hearing = drawn_hearing(len(microphones), rng)
    field = SoundField(drive.sounds, drive.solids, microphones, drive.ego, drive.ring_m, RATE_HZ, hearing,
                       int(rng.integers(4)))  # fmt: skip
    pcm = field.pcm(round(seconds * RATE_HZ) - WINDOW, WINDOW)
    response = SteeredResponse(array, RATE_HZ)(AudioChunk(Header("audio", 0, 0), RATE_HZ, pcm))
    return response.srp[0], response.level_db


def sounds_at(drive: Drive, array: MicrophoneArray, seconds: float) -> tuple[Doubles, bool]:
    """(S, 3) class, azimuth, level of every sound, and whether a siren is audible and none in sight."""
    ego = drive.ego.at(seconds)
    ear = ego.world_from_body.apply(array.vehicle_from_sensor.translation_m[None])[0]
    rows, seen, heard = [], False, False
    for source in drive.sounds:
        label = LABELS.index(source.waveform.label)
        place = source.track.at(seconds).position_m
        offset = place - ear
        offset[0] = nearest_image(float(offset[0]), drive.ring_m)
        loud = source.loudness()
        at = int(seconds / drive.period_s * len(loud)) % len(loud)
        loudness = 20 * np.log10(max(float(loud[at]), 1e-9) / 20e-6)
        level = loudness - 20 * np.log10(max(float(np.linalg.norm(offset)), 1.0))
        open_way = in_sight(drive, ear, place)
        level -= 0.0 if open_way else 12.0
        azimuth = float(np.arctan2(offset[1], offset[0]) - ego.yaw_rad)
        rows.append((label, float(np.angle(np.exp(1j * azimuth))), level))
        if label == 0 and level > AUDIBLE_DB:
            heard, seen = True, seen or open_way
    return np.asarray(rows, np.float64).reshape(-1, 3), heard and not seen


def _bodies(xyz: Doubles, around: bool) -> Floats:
    """One point for each 0.2 m cell that holds something between BODY_M above the vehicle's ground."""
    high = xyz[(xyz[:, 2] > BODY_M[0] - 0.6) & (xyz[:, 2] < BODY_M[1] + 0.6) & (xyz[:, 0] < 73)
               & (xyz[:, 0] > (-73 if around else -1))]  # fmt: skip
    _, first = np.unique(np.round(high / [0.2, 0.2, 0.4]).astype(np.int32), axis=0, return_index=True)
    return high[first].astype(np.float32)


def _jpeg(pixels: Bytes, rng: np.random.Generator) -> Bytes:
    return np.asarray(cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(70, 95))])[1]).ravel()


def _coarse(classes: Ints) -> Ints:
    """(24, 80): a class wins a cell of 8 x 8 pixels where it has a quarter of it."""
    blocks = classes.reshape(MAP[0], 8, MAP[1], 8).transpose(0, 2, 1, 3).reshape(*MAP, 64)
    votes = np.stack([(blocks == k).sum(axis=2) for k in range(5)], axis=2)
    return np.where(votes.max(axis=2) >= 16, votes.argmax(axis=2), 5)


def save(ride: Ride, path: Path) -> None:
    """Write a ride; readers never see half a file."""

    def near(xyz: Floats) -> Array:
        behind, aside = (-75, 75) if ride.others else (-2, 45)
        return (xyz[:, 0] < 75) & (np.abs(xyz[:, 1]) < aside) & (xyz[:, 0] > behind)

    keep = near(ride.xyz_m)
    half = path.with_suffix(".part.npz")
    np.savez(
        half, xyz=np.round(ride.xyz_m[keep] / _STEP_M).astype(np.int16),
        intensity=np.round(ride.intensity[keep] * 255).astype(np.uint8),
        before1=np.round(ride.before_m[0][near(ride.before_m[0])] / _STEP_M).astype(np.int16),
        before2=np.round(ride.before_m[1][near(ride.before_m[1])] / _STEP_M).astype(np.int16),
        boxes=ride.boxes, labels=ride.labels.astype(np.int8), points=ride.points.astype(np.int32),
        pixels=ride.pixels.astype(np.int32), jpeg=ride.jpeg, classes=ride.classes.astype(np.uint8),
        matrix=ride.matrix, camera=ride.camera, srp=np.round(ride.srp * 127).astype(np.int8),
        level=np.round(ride.level).astype(np.int8), array=ride.array_m, sounds=ride.sounds,
        hidden=np.asarray(ride.siren_hidden), conditions=ride.conditions,
        **{f"{field}_{k}": getattr(look, field) for k, look in enumerate(ride.others) for field in Picture.__slots__},
    )  # fmt: skip
    half.rename(path)


def load(path: Path) -> Ride:
    """Read a ride back."""
    with np.load(path) as f:

        def metres(name: str) -> Floats:
            return f[name].astype(np.float32) * np.float32(_STEP_M)

        return Ride(
            metres("xyz"), f["intensity"].astype(np.float32) / np.float32(255), (metres("before1"), metres("before2")),
            f["boxes"], f["labels"].astype(np.int64), f["points"].astype(np.int64), f["pixels"].astype(np.int64),
            f["jpeg"], f["classes"].astype(np.int64), f["matrix"], f["camera"], f["srp"].astype(np.float32) / 127,
            f["level"].astype(np.float32), f["array"], f["sounds"], bool(f["hidden"]),
            f["conditions"],
            tuple(Picture(*(f[f"{field}_{k}"] for field in Picture.__slots__)) for k in range(3) if f"jpeg_{k}" in f),
        )  # fmt: skip


def fill(folder: Path, first: int, count: int, stride: int, *, around: bool = False) -> None:
    """Render seeds first, first + stride, ... into `folder`; those there already are left alone."""
    folder.mkdir(parents=True, exist_ok=True)
    for seed in range(first, first + count * stride, stride):
        path = folder / f"{seed:07d}.npz"
        if not path.exists():
            save(render(seed, around=around), path)


if __name__ == "__main__":
    fill(Path(sys.argv[1]), *(int(a) for a in sys.argv[2:5]))
