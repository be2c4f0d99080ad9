"""A network's sound events by azimuth as sounds in the vehicle frame."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from fusion_pipeline.arrays import Array
from fusion_pipeline.detect.network import ModelError
from fusion_pipeline.encode.audio import AZIMUTHS
from fusion_pipeline.messages import SoundEvent
from fusion_pipeline.operations import DecodeSounds

APART = 5  # bins between two sounds of one kind: 25 degrees
_SPREAD = 2  # bins to both sides that refine a peak


class SoundDecoder:
    """Peaks of the tensor `options.tensor`, (classes, 72) logits."""

    def __init__(self, options: DecodeSounds) -> None:
        self._options = options

    def __call__(self, tensors: Mapping[str, Array], heard: bool) -> tuple[SoundEvent, ...]:
        """The sounds, the surest first; none where no array was heard. Raises ModelError for a wrong shape."""
        options = self._options
        if not heard or options.tensor not in tensors:
            return ()
        logits = np.asarray(tensors[options.tensor], np.float64)
        if logits.shape != (len(options.names), AZIMUTHS):
            raise ModelError(
                f"decode_sounds wants {options.tensor!r} ({len(options.names)}, {AZIMUTHS}), got {logits.shape}"
            )
        chance = 1 / (1 + np.exp(-np.clip(logits, -30, 30)))
        found = []
        for name, row in zip(options.names, chance, strict=True):
            left, least = row.copy(), options.min_scores.get(name, options.min_score)
            while left.max() >= least:
                peak = int(left.argmax())
                found.append(SoundEvent(name, float(row[peak]), _refined(row, peak)))
                left[(peak + np.arange(-APART, APART + 1)) % AZIMUTHS] = 0
        return tuple(sorted(found, key=lambda sound: -sound.score))


def _refined(row: Array, peak: int) -> float:
    """The middle of the hill about a peak, -pi to pi."""
    steps = np.arange(-_SPREAD, _SPREAD + 1)
    weight = row[(peak + steps) % AZIMUTHS]
    bins = peak + float((weight * steps).sum() / weight.sum())
    return float(np.angle(np.exp(2j * np.pi * bins / AZIMUTHS)))
