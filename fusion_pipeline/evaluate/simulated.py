"""A model judged on simulated moments that no training has seen."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from fusion_pipeline.arrays import Bytes
from fusion_pipeline.evaluate.outcome import Outcome, outcome
from fusion_pipeline.evaluate.pictures import Failure
from fusion_pipeline.metrics.charts import Chart
from fusion_pipeline.train import figures
from fusion_pipeline.train.failures import worst
from fusion_pipeline.train.judge import Found
from fusion_pipeline.train.rides import Ride

Advance = Callable[[int], None]


@dataclass(frozen=True, slots=True)
class Extent:
    """How much is looked at."""

    moments: int = 240
    drives: int = 4  # to track and to listen to
    robust: int = 0  # moments that go through every corruption

    @property
    def steps(self) -> int:
        """How often `evaluated` advances, about."""
        return figures.count_of(self.moments, self.drives, min(self.robust, self.moments))


@dataclass(frozen=True, slots=True, eq=False)
class Seen:
    """The moments, and what was found with all senses."""

    rides: Sequence[Ride]
    found: Sequence[Found]

    def worst(self, count: int) -> Iterator[tuple[str, Bytes]]:
        """Names and pictures of the moments with the most missed and false, the worst first."""
        for item in worst(self.rides, self.found, count):
            name = f"moment_{item.number}"
            yield name, Failure(name, item.missed, item.false, item.ride.picture(), item.ride.xyz_m, item.found,
                                item.camera, item.truth, item.missed_boxes).image()  # fmt: skip


def evaluated(
    model: Path, cache: Path, rig: Path, extent: Extent, advance: Advance = lambda n: None
) -> tuple[Outcome, Seen]:
    """All figures, and what was found; moments are kept in `cache`, drives use the rig."""
    charts: list[Chart] = []
    seen: list[Seen] = []
    robust = min(extent.robust, extent.moments)
    rows = figures.figures(model, cache, extent.moments, rig, extent.drives, robust, advance,
                           looked=lambda rides, found: seen.append(Seen(rides, found)),
                           charted=charts.append)  # fmt: skip
    about = f"{extent.moments} held-out moments, {extent.drives} drives, {robust} moments under each corruption"
    if seen[0].rides[0].others:
        about = f"{extent.moments} held-out moments of a rig with cameras to four sides"
    return outcome(model, "simulated", about, {"simulated": rows}, charts), seen[0]
