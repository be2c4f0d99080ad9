"""A factory yard: a mobile robot among people, pallets and a fork-lift."""

from __future__ import annotations

import numpy as np

from fusion_pipeline.arrays import Doubles
from fusion_pipeline.world.drive import Drive
from fusion_pipeline.world.fleets import EUROPE, Fleet
from fusion_pipeline.world.materials import Material
from fusion_pipeline.world.meshes import Mesh, block, wheel
from fusion_pipeline.world.motion import Track
from fusion_pipeline.world.scenarios.following import Driver, follow
from fusion_pipeline.world.scenarios.pavement import WORN, YELLOW, Pavement
from fusion_pipeline.world.scenarios.stage import LENGTH_M, Stage

SECONDS = 30.0
YARD_X, YARD_Y = (380.0, 440.0), (-16.0, 16.0)
START_M = 388.0


def build(seed: int, audible: bool, fleet: Fleet = EUROPE) -> Drive:
    """The scene of `seed`."""
    stage = Stage(seed, SECONDS, audible, fleet)
    rng = stage.rng
    ego = stage.along(follow([Driver(START_M, 1.6, 1.2)], SECONDS)[0], 0.0)
    for wall_x, wall_y in (
        ((YARD_X[0] - 0.3, YARD_X[0]), YARD_Y), ((YARD_X[1], YARD_X[1] + 0.3), YARD_Y),
        ((YARD_X[0], YARD_X[1]), (YARD_Y[0] - 0.3, YARD_Y[0])), ((YARD_X[0], YARD_X[1]), (YARD_Y[1], YARD_Y[1] + 0.3)),
    ):  # fmt: skip
        stage.wall(wall_x, wall_y, 4.5)
    for row in (-11.5, 11.5):
        for x in np.arange(YARD_X[0] + 5, YARD_X[1] - 4, 3.2):
            if rng.random() < 0.75:
                high = int(rng.integers(1, 4))
                stage.scenery(
                    _pallets(high).placed((float(x), row + float(rng.normal(0, 0.15)), 0.0)), (0.55, 0.40, 0.22)
                )
    for number in range(9):
        x, y = YARD_X[0] + 7 + 5.5 * number, float(rng.choice([-1, 1])) * float(rng.uniform(2.6, 3.9))
        goal = (x + float(rng.uniform(-2.2, 2.2)), y + float(rng.uniform(-0.4, 0.4)))
        person = stage.put(
            "pedestrian", stage.walk([(x, y), goal], float(rng.uniform(0.6, 1.3)), float(rng.uniform(0, 8)))
        )
        stage.sound("footsteps" if number % 2 else "babble", person, 58.0 if number % 2 == 0 else 48.0)

    def round_trip(times: Doubles) -> Doubles:
        angle = 2 * np.pi * times / SECONDS
        x = (YARD_X[0] + YARD_X[1]) / 2 + 20 * np.sin(angle)
        return np.stack([x, 7.6 + 2.2 * np.cos(angle), np.zeros_like(x)], axis=1)

    lift = Track.from_function(round_trip, SECONDS)
    truck = stage.thing("fork-lift", "other", (3.4, 1.2, 2.2), lift, _fork_lift(), (0.92, 0.70, 0.10))
    stage.sound("beeper", truck, 88.0)
    return stage.drive(ego, _pavement())


def _pallets(high: int) -> Mesh:
    return Mesh.join([block((1.2, 0.8, 0.9), (0, 0, 1.0 * k), Material.PAINT) for k in range(high)])


def _fork_lift() -> Mesh:
    """Body, roof on posts, mast, forks, four wheels."""
    posts = [block((0.08, 0.08, 1.1), (x, y, 1.0), Material.METAL) for x in (-0.9, 0.4) for y in (-0.5, 0.5)]
    forks = [block((1.1, 0.12, 0.06), (1.15, y, 0.15), Material.METAL) for y in (-0.3, 0.3)]
    wheels = [wheel(0.3, 0.2).placed((x, y, 0.3)) for x in (-1.0, 0.4) for y in (-0.5, 0.5)]
    body = block((2.0, 1.1, 0.8), (-0.6, 0, 0.25), Material.PAINT)
    roof = block((1.5, 1.1, 0.08), (-0.25, 0, 2.1), Material.METAL)
    mast = block((0.15, 0.9, 2.1), (0.55, 0, 0.1), Material.METAL)
    return Mesh.join([body, roof, mast, *posts, *forks, *wheels])


def _pavement() -> Pavement:
    ground = Pavement(LENGTH_M)
    ground.area((YARD_X[0] - 1, YARD_X[1] + 1), (YARD_Y[0] - 1, YARD_Y[1] + 1), WORN)
    for y in (-1.8, 1.8):
        ground.line(YARD_X, (y, y + 0.1), colour=YELLOW)
    return ground
