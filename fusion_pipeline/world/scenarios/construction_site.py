"""Roadworks: barriers narrow the street to one lane, workers and a digger beside it."""

from __future__ import annotations

import numpy as np

from fusion_pipeline.world.drive import Drive
from fusion_pipeline.world.fleets import EUROPE, Fleet
from fusion_pipeline.world.materials import Material
from fusion_pipeline.world.meshes import Mesh, block, cylinder
from fusion_pipeline.world.scenarios.following import Driver, follow
from fusion_pipeline.world.scenarios.pavement import ASPHALT, EARTH, SLABS, YELLOW, Pavement
from fusion_pipeline.world.scenarios.stage import LENGTH_M, Stage

SECONDS = 20.0
LANE_M, WALK_M = 3.5, 3.5
WORK_M = (395.0, 450.0)  # the left lane is dug up
START_M = 340.0
SAFETY = (0.95, 0.45, 0.05)  # what workers wear


def build(seed: int, audible: bool, fleet: Fleet = EUROPE) -> Drive:
    """The scene of `seed`."""
    stage = Stage(seed, SECONDS, audible, fleet)
    rng = stage.rng
    places = follow([Driver(START_M + 24, 4.6, 6.2), Driver(START_M, 4.4, 6.0)], SECONDS)
    ego = stage.along(places[1], -LANE_M / 2)
    stage.sound("engine", stage.put("car", stage.along(places[0], -LANE_M / 2)), 76.0, 0.5)
    for x in np.arange(WORK_M[0], WORK_M[1], 2.1):
        stage.scenery(block((2.0, 0.35, 0.9), (float(x), 0.35, 0), Material.PLATE))
    for number, x in enumerate(np.arange(WORK_M[0] - 16, WORK_M[0], 2.5)):
        cone = Mesh.join(
            [cylinder(0.18, 0.03, 0.7, Material.PAINT), block((0.4, 0.4, 0.04), (0, 0, 0), Material.RUBBER)]
        )
        stage.scenery(cone.placed((float(x), LANE_M - 0.55 * number, 0.0)), SAFETY)
    digger = stage.still(WORK_M[0] + 22, LANE_M / 2 + 0.9, 25.0)
    body = stage.thing("digger", "truck", (6.6, 2.3, 3.0), digger, _digger(), (0.92, 0.68, 0.08))
    stage.sound("engine", body, 96.0)
    stage.put("truck", stage.still(WORK_M[1] - 4, LANE_M / 2 + 0.7, 180.0), (0.85, 0.55, 0.1))
    for number in range(6):
        x = WORK_M[0] + 4 + 7.5 * number
        y = LANE_M + 2.1 + float(rng.uniform(0.0, 0.8))
        goal = (x + float(rng.uniform(-3, 3)), y)
        stage.put(
            "pedestrian", stage.walk([(x, y), goal], float(rng.uniform(0.4, 1.1)), float(rng.uniform(0, 5))), SAFETY
        )
    for x, y in ((WORK_M[0] + 8, LANE_M + WALK_M + 2.5), (WORK_M[0] + 20, LANE_M + WALK_M + 2.5)):
        stage.scenery(block((6.0, 2.4, 2.6), (x, y, 0), Material.PAINT), (0.15, 0.35, 0.55))
    for number in range(5):
        x, y = 352.0 + 20 * number, -LANE_M - float(rng.uniform(0.9, WALK_M - 0.6))
        stage.put("pedestrian", stage.walk([(x, y), (x - float(rng.uniform(6, 14)), y)], float(rng.uniform(0.7, 1.2))))
    for side in (-1, 1):
        along = 300.0
        while along < 520:
            long = float(rng.uniform(12, 24))
            near = LANE_M + WALK_M + (1.0 if side < 0 else 6.0)
            low, high = sorted((side * near, side * (near + 10)))
            stage.house((along, along + long), (low, high), float(rng.uniform(6, 13)))
            along += long + float(rng.choice([0.0, 5.0]))
    stage.pole(WORK_M[0] - 30, -LANE_M - 0.5, 2.8, plate=True)
    return stage.drive(ego, _pavement())


def _digger() -> Mesh:
    """Tracks, cabin, boom and bucket, 6.6 m long with the arm out."""
    tracks = [block((3.6, 0.5, 0.8), (-1.3, side * 0.85, 0), Material.RUBBER) for side in (-1, 1)]
    house = block((2.6, 2.1, 1.2), (-1.7, 0, 0.9), Material.PAINT)
    cabin = block((1.3, 1.0, 1.6), (-0.9, 0.5, 1.4), Material.GLASS)
    boom = [
        block((1.5, 0.35, 0.4), (0.2 + 1.0 * k, -0.2, 1.6 + h), Material.PAINT) for k, h in enumerate((0.4, 0.9, 0.6))
    ]
    bucket = block((0.9, 1.0, 0.9), (2.85, -0.2, 0.1), Material.METAL)
    return Mesh.join([*tracks, house, cabin, *boom, block((0.3, 0.3, 1.4), (2.8, -0.2, 0.8), Material.PAINT), bucket])


def _pavement() -> Pavement:
    ground = Pavement(LENGTH_M)
    edge = LANE_M + WALK_M
    ground.area((0, LENGTH_M), (-edge, edge), SLABS)
    ground.area((0, LENGTH_M), (-LANE_M, LANE_M), ASPHALT)
    ground.area(WORK_M, (0.5, LANE_M + 2.6), EARTH)
    ground.line((0, WORK_M[0] - 20), (0.0, 0.1), 4.0, 5.0)
    ground.line((WORK_M[0] - 20, WORK_M[1]), (-0.15, 0.0), colour=YELLOW)
    return ground
