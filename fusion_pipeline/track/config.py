"""The tracker's settings, apart from its libraries, so that launch files stay light."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class TrackerConfig:
    """When boxes are the same object, and how long an unseen object lives."""

    high_score: float = 0.4  # only such boxes begin tracks
    low_score: float = 0.15
    min_hits: int = 2
    max_age_s: float = 0.8  # an object unseen for longer is forgotten
    published_age_s: float = 0.8  # one unseen for longer is remembered, but not published; 0: only what was seen
    gate_m: float = 4.0  # of classes that are not in `gates_m`
    gates_m: tuple[tuple[str, float], ...] = (("pedestrian", 1.5), ("two-wheeler", 2.5))
    gate_sigma: float = 4.0  # a farther box, measured by the spread of both, is another object
    alike: tuple[tuple[str, ...], ...] = (("car", "truck"), ("pedestrian", "two-wheeler"))  # one object may be either
    acceleration_std: float = 4.0
    position_std_m: float = 0.3  # the least that is believed of a detection
    speed_std_mps: float = 15.0  # of an object seen once
    smoothing: float = 0.3  # weight of a new height, size, yaw and class
    turning: float = 0.1  # weight of one box's word on which end of a track is its front
    max_tracks: int = 500
