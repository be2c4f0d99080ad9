"""Settings of a RoboSense."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from fusion_pipeline.checks import OneOf, Range
from fusion_pipeline.sensors.lidar import LidarConfig
from fusion_pipeline.sensors.retry import SetupError
from fusion_pipeline.sensors.robosense_packets import MODELS, angles_in


@dataclass(frozen=True)
class RoboSenseConfig(LidarConfig):
    """A RoboSense and what kind it is."""

    model: Annotated[str, OneOf(*MODELS)] = "RS-Helios-5515"
    angles: Path | None = None  # its angle file, lines "elevation,azimuth"; default: what its DIFOP packets say
    difop_port: Annotated[int, Range(1, 65_535)] = 7788  # on which its DIFOP packets arrive
    min_range_m: Annotated[float, Range(0, 1000)] = 0.2
    max_range_m: Annotated[float, Range(0, 1000, above=True)] = 200.0

    def faults(self) -> Iterator[str]:
        """And ranges in the wrong order, and an angle file that is none."""
        yield from super().faults()
        if self.min_range_m >= self.max_range_m:
            yield f"min_range_m = {self.min_range_m:g} is not below max_range_m = {self.max_range_m:g}"
        if self.angles is not None and self.angles.is_file():
            try:
                angles_in(self.angles, self.model)
            except SetupError as error:
                yield f"angles: {error}"

    @property
    def files(self) -> tuple[Path, ...]:
        """Files that must exist."""
        return (*super().files, *((self.angles,) if self.angles else ()))


def unknown_angles(config: RoboSenseConfig) -> str:
    """What to do where neither a DIFOP packet nor a file says where the lasers look."""
    return (
        f"no DIFOP packet with angles from the {config.model}, by default to port 7788, and each {config.model} has "
        "angles of its own: let the packets to that port in, or set `angles` to its angle file"
    )
