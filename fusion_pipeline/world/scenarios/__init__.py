"""The scenarios that can be simulated, by name."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from dataclasses import dataclass

from fusion_pipeline.world.drive import Drive
from fusion_pipeline.world.ring_street import PERIOD_S, ring_street


@dataclass(frozen=True, slots=True)
class Scenario:
    """A family of drives."""

    summary: str
    build: Callable[[int, bool], Drive]  # seed, audible
    seconds: float  # after which it begins anew


SCENARIOS: dict[str, Scenario] = {
    "city_street": Scenario("a ring street with houses, traffic, people and an ambulance", ring_street, PERIOD_S),
}


def scenario(name: str) -> Scenario:
    """The scenario called `name`. Raises ValueError naming the nearest and all."""
    if name in SCENARIOS:
        return SCENARIOS[name]
    near = difflib.get_close_matches(name, SCENARIOS, n=1, cutoff=0.4)
    hint = f"did you mean {near[0]}? " if near else ""
    raise ValueError(f"no scenario is called {name!r}; {hint}known: {', '.join(SCENARIOS)}")
