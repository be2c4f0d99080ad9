"""A crossing: an ambulance comes from a side street, heard long before it is seen round the corner building."""

from __future__ import annotations

import numpy as np

from fusion_pipeline.arrays import Doubles
from fusion_pipeline.world.drive import Drive
from fusion_pipeline.world.fleets import EUROPE, Fleet
from fusion_pipeline.world.motion import Track
from fusion_pipeline.world.scenarios.following import Driver, follow
from fusion_pipeline.world.scenarios.pavement import ASPHALT, SLABS, Pavement
from fusion_pipeline.world.scenarios.stage import LENGTH_M, Stage

SECONDS = 20.0
CROSS_M, LANE_M, WALK_M = 400.0, 3.4, 4.0  # where the streets meet, a lane's width, a pavement's
AMBULANCE_MPS, PASSES_S = 14.0, 9.0
CLEAR_S = 11.5  # the others go on then


def build(seed: int, audible: bool, fleet: Fleet = EUROPE) -> Drive:
    """The scene of `seed`; it decides on houses, cars, people."""
    stage = Stage(seed, SECONDS, audible, fleet)
    rng = stage.rng
    edge = LANE_M + WALK_M

    line = CROSS_M - LANE_M - 3.0

    def until_clear(t: float) -> float | None:
        return line if t < CLEAR_S else None

    ours = follow([Driver(line - 66.0, 4.4, 11.0), Driver(line - 86.0, 4.4, 11.0)], SECONDS, until_clear)
    ego = stage.along(ours[0], -LANE_M / 2)
    stage.sound("engine", stage.put("car", stage.along(ours[1], -LANE_M / 2)), 76.0, 0.5)
    theirs = follow([Driver(line - 60.0, 4.6, 10.0), Driver(line - 78.0, 4.6, 10.0)], SECONDS, until_clear)
    for places in theirs:
        stage.sound("engine", stage.put("car", stage.along(places, LANE_M / 2, backwards=True)), 76.0, 0.5)

    def straight_on(times: Doubles) -> Doubles:
        y = (times - PASSES_S) * AMBULANCE_MPS
        return np.stack([np.full_like(y, CROSS_M + LANE_M / 2), y, np.zeros_like(y)], axis=1)

    ambulance = stage.put("van", Track.from_function(straight_on, SECONDS, periodic=False), (0.95, 0.95, 0.55))
    stage.sound(str(rng.choice(["siren_hi_lo", "siren_wail"])), ambulance, 112.0)
    for side_x in (-1, 1):
        for side_y in (-1, 1):
            _block_of_houses(stage, side_x, side_y, edge)
    for number in range(14):  # each keeps to 13 m of pavement
        x, y = 306.0 + 13 * (number // 2), (1 if number % 2 else -1) * (LANE_M + float(rng.uniform(1.4, WALK_M - 0.6)))
        reach = float(rng.uniform(4, 5.5)) * float(rng.choice([-1, 1]))
        way = stage.walk([(x - reach, y), (x + reach, y)], float(rng.uniform(0.5, 1.3)))
        stage.sound("footsteps", stage.put("pedestrian", way), 45.0)
    for x in np.arange(300, CROSS_M - 20, 18.0):
        stage.tree(float(x), LANE_M + 0.7)
        stage.pole(float(x) + 9, -LANE_M - 0.5, 6.0)
    stage.pole(CROSS_M - LANE_M - 1.0, -LANE_M - 0.6, 3.2, plate=True)
    return stage.drive(ego, _pavement(edge))


def _block_of_houses(stage: Stage, side_x: int, side_y: int, edge: float) -> None:
    """One corner of the crossing: a corner house, then a row along each street."""
    rng = stage.rng
    deep = float(rng.uniform(9, 12))

    def span(along: float, long: float, side: int, middle: float) -> tuple[float, float]:
        a, b = middle + side * along, middle + side * (along + long)
        return min(a, b), max(a, b)

    along = edge
    while along < 100:
        long = float(rng.uniform(13, 24))
        stage.house(span(along, long, side_x, CROSS_M), span(edge, deep, side_y, 0.0), float(rng.uniform(7, 14)))
        along += long
    along = edge + deep
    while along < 72:
        long = min(float(rng.uniform(13, 24)), 76 - along)
        stage.house(span(edge, deep, side_x, CROSS_M), span(along, long, side_y, 0.0), float(rng.uniform(7, 14)))
        along += long


def _pavement(edge: float) -> Pavement:
    ground = Pavement(LENGTH_M)
    ground.area((0, LENGTH_M), (-edge, edge), SLABS)
    ground.area((CROSS_M - edge, CROSS_M + edge), (-80, 80), SLABS)
    ground.area((0, LENGTH_M), (-LANE_M, LANE_M), ASPHALT)
    ground.area((CROSS_M - LANE_M, CROSS_M + LANE_M), (-80, 80), ASPHALT)
    for x in ((0.0, CROSS_M - edge), (CROSS_M + edge, LENGTH_M)):
        ground.line(x, (0.0, 0.1), 4.0, 5.0)
    for y in ((-80.0, -edge), (edge, 80.0)):
        ground.line((CROSS_M, CROSS_M + 0.1), y, 4.0, 5.0)
    for x0 in (CROSS_M - LANE_M - 2.5, CROSS_M + LANE_M + 0.5):
        ground.zebra((x0, x0 + 2.0), (-LANE_M, LANE_M))
    return ground
