"""The scenarios that can be simulated, by name."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from dataclasses import dataclass

from fusion_pipeline.world.drive import Drive
from fusion_pipeline.world.ring_street import PERIOD_S, ring_street
from fusion_pipeline.world.scenarios import car_park, construction_site, crossing, highway, random_street, robot_yard


@dataclass(frozen=True, slots=True)
class Scenario:
    """A family of drives."""

    summary: str
    build: Callable[..., Drive]  # seed, audible, and optionally whose vehicles (a Fleet)
    seconds: float  # after which it begins anew


SCENARIOS: dict[str, Scenario] = {
    "city_street": Scenario("a ring street with houses, traffic, people and an ambulance", ring_street, PERIOD_S),
    "crossing_occluded_siren": Scenario(
        "an ambulance from a side street, heard before it is seen; we brake", crossing.build, crossing.SECONDS
    ),
    "highway": Scenario("three lanes each way, lorries with trailers", highway.build, highway.SECONDS),
    "car_park": Scenario("parked cars, people with trolleys, a car that reverses", car_park.build, car_park.SECONDS),
    "construction_site": Scenario(
        "a lane dug up: barriers, cones, workers, a digger", construction_site.build, construction_site.SECONDS
    ),
    "random_street": Scenario(
        "two seconds of any street, sloping and crowned; networks are trained on it",
        random_street.build,
        random_street.SECONDS,
    ),
    "robot_yard": Scenario(
        "a mobile robot among people, pallets and a fork-lift", robot_yard.build, robot_yard.SECONDS
    ),
}


def scenario(name: str) -> Scenario:
    """The scenario called `name`. Raises ValueError naming the nearest and all."""
    if name in SCENARIOS:
        return SCENARIOS[name]
    near = difflib.get_close_matches(name, SCENARIOS, n=1, cutoff=0.4)
    hint = f"did you mean {near[0]}? " if near else ""
    raise ValueError(f"no scenario is called {name!r}; {hint}known: {', '.join(SCENARIOS)}")
