"""Rigs and conditions by chance, for moments to learn from: weather, beams, lenses, arrays, faults."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from fusion_pipeline.encode.lookup import HEIGHT_PX, WIDTH_PX
from fusion_pipeline.geometry.camera import CameraModel
from fusion_pipeline.geometry.pose import Pose
from fusion_pipeline.rig import CameraMount, MicrophoneArray
from fusion_pipeline.world.beams import BeamTable, beam_table, hdl64, uneven
from fusion_pipeline.world.camera import CameraOptions
from fusion_pipeline.world.sound import Hearing
from fusion_pipeline.world.weather import Weather

AXES = Pose(np.asarray([[0.0, 0, 1], [-1, 0, 0], [0, -1, 0]]), np.zeros(3))  # of a camera that looks ahead


def drawn_weather(rng: np.random.Generator) -> Weather:
    """Mostly clear."""
    lot = rng.random()
    if lot < 0.05:
        return Weather(visibility_m=float(rng.uniform(60, 300)))
    if lot < 0.1:
        return Weather(rain_mm_h=float(rng.uniform(2, 30)))
    return Weather()


def drawn_beams(rng: np.random.Generator) -> BeamTable:
    """Mostly an HDL-64E whose lasers are unevenly bright, tilted a little; now and then another make."""
    if rng.random() < 0.12:
        return beam_table(str(rng.choice(["OS1-64", "OS1-128", "Pandar40", "HDL-32E"])))
    tilt = float(np.deg2rad(rng.uniform(-0.3, 0.7)))
    table = hdl64()
    return replace(table, elevations_rad=tuple(e + tilt for e in table.elevations_rad),
                   brightness=uneven(64, int(rng.integers(1 << 30))) if rng.random() < 0.8 else (),
                   fade=float(rng.uniform(0, 0.2)))  # fmt: skip


def drawn_camera(rng: np.random.Generator) -> CameraMount:
    """One that looks ahead, through one of many lenses."""
    focal = float(rng.uniform(330, 460))
    matrix = np.asarray([[focal, 0, rng.uniform(300, 340)], [0, focal, rng.uniform(70, 112)], [0, 0, 1]])
    model = CameraModel("pinhole", WIDTH_PX, HEIGHT_PX, matrix, np.zeros(0))
    place = np.asarray([rng.uniform(-0.1, 0.5), rng.uniform(-0.15, 0.15), rng.uniform(1.4, 1.8)])
    turn = Pose.from_euler(float(rng.normal(0, 0.008)), float(rng.normal(0, 0.015)), float(rng.normal(0, 0.015)), place)
    return CameraMount(turn @ AXES, model)


def side_cameras() -> tuple[CameraMount, ...]:
    """Cameras that look left, behind and right, a quarter of the circle each."""
    model = CameraModel("pinhole", WIDTH_PX, HEIGHT_PX, np.asarray([[320.0, 0, 320], [0, 320.0, 92], [0, 0, 1]]),
                        np.zeros(0))  # fmt: skip
    places = ((np.pi / 2, 0.0, 0.6), (np.pi, -0.5, 0.0), (-np.pi / 2, 0.0, -0.6))
    return tuple(CameraMount(Pose.from_euler(0.0, 0.0, yaw, np.asarray([x, y, 1.6])) @ AXES, model)
                 for yaw, x, y in places)  # fmt: skip


def drawn_options(rng: np.random.Generator, weather: Weather) -> CameraOptions:
    """Light, noise and sharpness of a picture."""
    night = bool(rng.random() < 0.1)
    return CameraOptions(
        noise=float(rng.uniform(0.5, 4)), exposure=float(np.exp(rng.normal(0, 0.25))), shadows=bool(rng.random() < 0.7),
        blur_px=float(rng.uniform(0.2, 0.9)) if rng.random() < 0.6 else 0.0, night=night, weather=weather,
    )  # fmt: skip


def drawn_array(rng: np.random.Generator) -> MicrophoneArray:
    """An array of four to six microphones somewhere on the roof."""
    count, radius = int(rng.integers(4, 7)), float(rng.uniform(0.08, 0.18))
    angle = np.arange(count) * 2 * np.pi / count + rng.uniform(0, 2 * np.pi)
    ring = np.stack([radius * np.cos(angle), radius * np.sin(angle), 0 * angle], axis=1)
    ring += rng.normal(0, 0.003, ring.shape)
    if rng.random() < 0.4:
        ring = np.asarray([[0.1, 0.1, 0], [0.1, -0.1, 0], [-0.1, -0.1, 0], [-0.1, 0.1, 0]])
    place = np.asarray([rng.uniform(-0.5, 0.3), 0.0, rng.uniform(1.6, 1.9)])
    return MicrophoneArray(Pose(np.eye(3), place), ring)


def drawn_hearing(microphones: int, rng: np.random.Generator) -> Hearing:
    """Gains, wind and now and then a dead one of so many microphones."""
    dead = (int(rng.integers(microphones)),) if rng.random() < 0.05 else ()
    gains = tuple(rng.normal(0, 1.0, microphones).tolist())
    return Hearing(dead=dead, gains_db=gains, wind_pa_at_10_mps=float(0.03 * np.exp(rng.normal(0, 0.5))))
