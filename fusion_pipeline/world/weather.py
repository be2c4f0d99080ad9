"""Fog and rain as a laser beam meets them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

NEAR_ECHO_M = 10.0  # droplets give echoes this near, on average a third of it away


@dataclass(frozen=True, slots=True)
class Weather:
    """Clear by default.

    Fog: extinction by Koschmieder's law from the visibility (contrast threshold 5 %, as meteorologists define it).
    Rain: extinction 0.01 R^0.6 per metre and range noise 0.02 z (1 - exp(-R))^2 for R mm/h (Goodin et al., "Predicting
    the influence of rain on LIDAR in ADAS", Electronics 2019).
    """

    visibility_m: float = float("inf")
    rain_mm_h: float = 0.0

    def __post_init__(self) -> None:
        if self.visibility_m <= 0 or self.rain_mm_h < 0:
            raise ValueError("visibility_m must be above 0 and rain_mm_h not negative")

    @property
    def extinction_per_m(self) -> float:
        """How much of a beam is lost on each metre of one way."""
        return float(3.0 / self.visibility_m + 0.01 * self.rain_mm_h**0.6)

    @property
    def noise_share(self) -> float:
        """Standard deviation of a range that rain adds, as a share of the range."""
        return float(0.02 * (1 - np.exp(-self.rain_mm_h)) ** 2)


CLEAR = Weather()
