"""The tracker's settings, apart from its libraries, so that launch files stay light."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated

from fusion_pipeline.checks import Range

Share = Annotated[float, Range(0, 1)]
Positive = Annotated[float, Range(0, 1e6, above=True)]
NotNegative = Annotated[float, Range(0, 1e6)]


@dataclass(frozen=True)
class TrackerConfig:
    """When boxes are the same object, and how long an unseen object lives."""

    high_score: Share = 0.4  # only such boxes begin tracks
    low_score: Share = 0.15
    min_hits: Annotated[int, Range(1, 1000)] = 2
    max_age_s: Positive = 0.8  # an object unseen for longer is forgotten
    published_age_s: NotNegative = 0.8  # one unseen for longer is remembered, but not published; 0: only what was seen
    gate_m: Positive = 4.0  # of classes that are not in `gates_m`
    gates_m: tuple[tuple[str, float], ...] = (("pedestrian", 1.5), ("two-wheeler", 2.5))
    gate_sigma: Positive = 4.0  # a farther box, measured by the spread of both, is another object
    alike: tuple[tuple[str, ...], ...] = (("car", "truck"), ("pedestrian", "two-wheeler"))  # one object may be either
    acceleration_std: Positive = 4.0
    position_std_m: Positive = 0.3  # the least that is believed of a detection
    speed_std_mps: Positive = 15.0  # of an object seen once
    smoothing: Share = 0.3  # weight of a new height, size, yaw and class
    turning: Share = 0.1  # weight of one box's word on which end of a track is its front
    max_tracks: Annotated[int, Range(1, 100_000)] = 500

    def faults(self) -> Iterator[str]:
        """Scores in the wrong order, and gates that let nothing through."""
        if self.low_score > self.high_score:
            yield f"low_score = {self.low_score} lies above high_score = {self.high_score}"
        for label, gate_m in self.gates_m:
            if not gate_m > 0:
                yield f"gates_m: {label} = {gate_m}: write a number above 0"
