"""Which cached rides are learnt from: those with what is rare come more often.

A ride's chance grows with the repeat factor of the rarest class that its picture shows, max(1, wanted share / share);
after Gupta et al., "LVIS", 2019, who take the root of it. Of the streets' rides a third shows a truck.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from fusion_pipeline.arrays import Array, Doubles
from fusion_pipeline.train.lessons import MIN_PIXELS

CLASSES = 4  # car, truck, pedestrian, two-wheeler; the rest is many things
WANTED = 0.8  # share of rides with a class from which on it is not rare
LEAST_SHARE = 0.05  # a class that is rarer comes no more often than one of this share


def repeat_factors(shows: Array) -> Doubles:
    """(N,) how often each of N rides is to come, at least 1, from (N, CLASSES) whether it shows a class."""
    share = np.maximum(shows.mean(axis=0), LEAST_SHARE)
    return np.where(shows, np.maximum(WANTED / share, 1.0), 1.0).max(axis=1, initial=1.0)


class Rides:
    """The rides of a folder; those that appear meanwhile are taken up at the next draw."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._shows: dict[Path, Array] = {}

    def drawn(self, rng: np.random.Generator, count: int) -> list[Path]:
        """`count` of them, some of them twice. Raises FileNotFoundError where there is none."""
        there = sorted(self._folder.glob("???????.npz"))
        if not there:
            raise FileNotFoundError(
                f"{self._folder} holds no rides; fill it with "
                f"python -m fusion_pipeline.train.rides {self._folder} 2000000 1000 1"
            )
        for path in there:
            if path not in self._shows:
                self._shows[path] = _shown(path)
        factors = repeat_factors(np.array([self._shows[path] for path in there]))
        return [there[k] for k in rng.choice(len(there), count, p=factors / factors.sum())]


def _shown(path: Path) -> Array:
    with np.load(path) as ride:
        large = ride["labels"][ride["pixels"] >= MIN_PIXELS]
    return np.isin(np.arange(CLASSES), large)
