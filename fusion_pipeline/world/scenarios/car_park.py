"""A car park: rows of cars, people with trolleys, one car that reverses out, beeping."""

from __future__ import annotations

import numpy as np

from fusion_pipeline.arrays import Doubles
from fusion_pipeline.world.drive import Drive
from fusion_pipeline.world.fleets import EUROPE, Fleet
from fusion_pipeline.world.materials import Material
from fusion_pipeline.world.meshes import Mesh, block, wheel
from fusion_pipeline.world.motion import STEP_S, Track
from fusion_pipeline.world.scenarios.following import Driver, follow
from fusion_pipeline.world.scenarios.pavement import WORN, Pavement
from fusion_pipeline.world.scenarios.stage import LENGTH_M, Stage

SECONDS = 24.0
AISLE_M, BAY_M, WIDTH_M = 3.2, 5.2, 2.6  # half an aisle, a bay's depth and width
START_M, END_M = 350.0, 430.0
ROWS = (-1, 1)
REVERSES_AT_M, REVERSES_S = 388.0, 5.0


def build(seed: int, audible: bool, fleet: Fleet = EUROPE) -> Drive:
    """The scene of `seed`."""
    stage = Stage(seed, SECONDS, audible, fleet)
    rng = stage.rng
    stop = REVERSES_AT_M - 6.0
    places = follow([Driver(START_M, 4.4, 3.0)], SECONDS, lambda t: stop)
    ego = stage.along(places[0], 0.0)
    bays = np.arange(START_M - 20, END_M + 30, WIDTH_M)
    leaving = int(np.argmin(np.abs(bays - REVERSES_AT_M)))
    for side in ROWS:
        for number, x in enumerate(bays):
            middle = side * (AISLE_M + BAY_M / 2)
            if side < 0 and number == leaving:
                car = stage.put("car", _reversing(float(x), middle))
                stage.sound("beeper", car, 92.0)
            elif rng.random() < 0.78 and not (side < 0 and abs(number - leaving) == 0):
                nose = 90.0 if (rng.random() < 0.7) == (side > 0) else -90.0
                stage.put("van" if rng.random() < 0.1 else "car", stage.still(float(x), middle, nose))
    for number in range(6):
        x = float(START_M + 14 + 12 * number)
        if abs(x - REVERSES_AT_M) < 8:
            continue
        y = float(rng.choice(ROWS)) * (AISLE_M - 1.2)
        goal = x + float(rng.uniform(2, 4)) * float(rng.choice([-1, 1]))
        speed = float(rng.uniform(0.7, 1.3))
        person = stage.put("pedestrian", stage.walk([(x, y), (goal, y)], speed))
        stage.sound("footsteps", person, 45.0)
        ahead = 0.95 * np.sign(goal - x)
        cart = stage.walk([(x + ahead, y), (goal + ahead, y)], speed)
        stage.thing("trolley", "other", (0.9, 0.55, 1.0), cart, _trolley(), (0.6, 0.6, 0.62))
    stage.house((START_M - 30, END_M + 40), (AISLE_M + 2 * BAY_M + 8, AISLE_M + 2 * BAY_M + 30), 7.0)
    for x in np.arange(START_M - 10, END_M + 30, 15.0):
        stage.pole(float(x), -AISLE_M - BAY_M - 1.0, 7.0)
        stage.tree(float(x) + 7, -AISLE_M - BAY_M - 2.5)
    return stage.drive(ego, _pavement(bays))


def _reversing(x: float, y: float) -> Track:
    """Out of the bay backwards, straight into the aisle's near half, then standing."""

    def place(times: Doubles) -> Doubles:
        share = np.clip((times - REVERSES_S) / 6.0, 0, 1)
        moved = 3.6 * share * share * (3 - 2 * share)
        return np.stack([np.full_like(times, x), y + moved, np.zeros_like(times)], axis=1)

    count = round(SECONDS / STEP_S)
    path = place(np.arange(count, dtype=np.float64) * STEP_S)
    return Track(path, np.full(count, -np.pi / 2), np.zeros(3))


def _trolley() -> Mesh:
    basket = block((0.8, 0.5, 0.45), (0.0, 0.0, 0.5), Material.METAL)
    wheels = [wheel(0.08, 0.04).placed((x, y, 0.08)) for x in (-0.35, 0.35) for y in (-0.2, 0.2)]
    return Mesh.join([basket, block((0.05, 0.5, 0.3), (-0.42, 0, 0.7), Material.METAL), *wheels])


def _pavement(bays: Doubles) -> Pavement:
    ground = Pavement(LENGTH_M)
    outer = AISLE_M + BAY_M
    ground.area((START_M - 40, END_M + 60), (-outer - 0.3, outer + 8), WORN)
    for x in bays - WIDTH_M / 2:
        for low, high in ((-outer, -AISLE_M), (AISLE_M, outer)):
            ground.line((float(x), float(x) + 0.1), (low, high))
    return ground
