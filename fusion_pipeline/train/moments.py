"""Simulated moments that no training has seen, rendered once into a folder and kept there."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from fusion_pipeline.train import around as all_round
from fusion_pipeline.train.rides import Ride, fill, load

HELD_SEED, HELD = 2_900_000, 240
Progress = Callable[[int], None]


def held_out(
    folder: Path, count: int = HELD, advance: Progress = lambda n: None, around: bool = False
) -> list[Ride]:  # fmt: skip
    """The held-out rides; see `kept`."""
    return list(kept(folder, HELD_SEED, count, advance, around))


def kept(folder: Path, first: int, count: int, advance: Progress, around: bool) -> Iterator[Ride]:
    """So many rides from the seed `first` on, rendered where they are not in the folder yet.

    Those with cameras all `around` have a folder of their own in it, and of four streets one each lies ahead, left,
    behind and right.
    """
    folder = folder / "around" if around else folder
    for seed in range(first, first + count):
        fill(folder, seed, 1, 1, around=around)
        ride = load(folder / f"{seed:07d}.npz")
        yield all_round.turned(ride, seed % 4) if around else ride
        advance(1)
