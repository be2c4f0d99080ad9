"""A motorway: three lanes each way, lorries with trailers, cars that follow and none that stops."""

from __future__ import annotations

import numpy as np

from fusion_pipeline.world.drive import Drive
from fusion_pipeline.world.fleets import EUROPE, Fleet
from fusion_pipeline.world.materials import Material
from fusion_pipeline.world.meshes import Mesh, block
from fusion_pipeline.world.scenarios.following import Driver, follow
from fusion_pipeline.world.scenarios.pavement import ASPHALT, WORN, Pavement
from fusion_pipeline.world.scenarios.stage import LENGTH_M, Stage

SECONDS = 20.0
LANE_M, MEDIAN_M = 3.75, 2.0
SPEEDS = (32.0, 28.0, 23.0)  # m/s, from the median outwards
EGO_LANE, EGO_START_M = 1, 60.0
_SLOW, _SHARES = ("trailer", "bus", "articulated bus", "truck", "car"), (0.4, 0.05, 0.05, 0.2, 0.3)  # of the outer lane


def build(seed: int, audible: bool, fleet: Fleet = EUROPE) -> Drive:
    """The scene of `seed`."""
    stage = Stage(seed, SECONDS, audible, fleet)
    ego = None
    for backwards in (False, True):
        for lane, speed in enumerate(SPEEDS):
            y = (MEDIAN_M + LANE_M * (lane + 0.5)) * (1 if backwards else -1)
            with_ego = not backwards and lane == EGO_LANE
            kinds, drivers, mine = _lane(stage, lane, speed, with_ego)
            places = follow(drivers, SECONDS)
            for number, kind in enumerate(kinds):
                if with_ego and number == mine:
                    ego = stage.along(places[number], y)
                    continue
                track = stage.along(places[number], y, backwards)
                actor = stage.put(kind, track)
                stage.sound("tyres", actor, 84.0 if kind in _SLOW[:3] else 80.0, 1.75)
    assert ego is not None
    _furniture(stage)
    return stage.drive(ego, _pavement())


def _lane(stage: Stage, lane: int, speed: float, with_ego: bool) -> tuple[list[str], list[Driver], int]:
    """Kinds and drivers of one lane, the first at the front, and which of them is the vehicle itself."""
    rng, kinds = stage.rng, list[str]()
    drivers: list[Driver] = []
    mine, x = -1, 330.0 + float(rng.uniform(-15, 15))
    while x > -60:
        kind = str(rng.choice(_SLOW, p=_SHARES)) if lane == 2 else "car"
        if lane == 1 and rng.random() < 0.15:
            kind = "van"
        length = 5.0 if kind == "car" else stage.fleet.usual(kind)[1][0]
        if with_ego and mine < 0 and x < EGO_START_M + 30:
            kind, length, mine = "car", 5.0, len(kinds)
            x = EGO_START_M
        kinds.append(kind)
        drivers.append(Driver(x, length, speed * float(rng.uniform(0.94, 1.06))))
        x -= length + float(rng.uniform(28, 60))
    return kinds, drivers, mine


def _furniture(stage: Stage) -> None:
    outer = MEDIAN_M + 3 * LANE_M + 2.5
    for y in (-outer - 0.5, -0.4, 0.4, outer + 0.5):
        rail = [block((4.0, 0.06, 0.3), (x, y, 0.45), Material.METAL) for x in np.arange(2, LENGTH_M, 4.0)]
        posts = [block((0.12, 0.08, 0.7), (x, y, 0.0), Material.METAL) for x in np.arange(0, LENGTH_M, 4.0)]
        stage.scenery(Mesh.join([*rail, *posts]))
    for x in (180.0, 430.0, 680.0):
        posts = [block((0.35, 0.35, 6.2), (x, y, 0.0), Material.METAL) for y in (-outer - 1.5, outer + 1.5)]
        beam = block((0.4, 2 * outer + 3, 0.5), (x, 0, 6.2), Material.METAL)
        plates = [block((0.1, 4.5, 2.2), (x - 0.3, y, 5.6), Material.PLATE) for y in (-9.0, -4.0, 6.0)]
        stage.scenery(Mesh.join([*posts, beam, *plates]))
    for side in (-1, 1):
        for x in np.arange(5, LENGTH_M, 13.0):
            stage.tree(float(x + stage.rng.uniform(-3, 3)), side * (outer + float(stage.rng.uniform(8, 22))))
    stage.wall((250, 420), (-outer - 4.2, -outer - 4.0), 3.5)


def _pavement() -> Pavement:
    ground = Pavement(LENGTH_M)
    outer = MEDIAN_M + 3 * LANE_M + 2.5
    for side in (-1, 1):
        y = sorted((side * (MEDIAN_M - 0.8), side * outer))
        ground.area((0, LENGTH_M), (y[0], y[1]), WORN)
        for lane in range(3):
            low, high = sorted((side * (MEDIAN_M + lane * LANE_M), side * (MEDIAN_M + (lane + 1) * LANE_M)))
            ground.area((0, LENGTH_M), (low, high), ASPHALT)
            if lane:
                edge = side * (MEDIAN_M + lane * LANE_M)
                ground.line((0, LENGTH_M), (edge, edge + 0.1), 6.0, 12.0)
        for edge in (side * MEDIAN_M, side * (MEDIAN_M + 3 * LANE_M)):
            ground.line((0, LENGTH_M), (edge, edge + 0.1))
    return ground
