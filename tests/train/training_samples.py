"""Scans to train on, rendered once."""

from __future__ import annotations

from functools import lru_cache

from fusion_pipeline.train.cache import RING_SEEDS, Sample, render

STREET, RIDE = 11, RING_SEEDS + 50  # one of each kind


@lru_cache(maxsize=4)
def sample(seed: int) -> Sample:
    """`render`, remembered."""
    return render(seed)
