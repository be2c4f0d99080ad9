"""The simulated world. `run` is the short way in; `simulation.Simulation` has every option."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fusion_pipeline.rig import Rig
    from fusion_pipeline.world.faults import Fault
    from fusion_pipeline.world.simulation import Frame


def run(
    scenario: str, rig: Rig, seconds: float = 10.0, seed: int = 0, faults: Mapping[str, Fault] | None = None,
    lidar: str = "HDL-64E",
) -> Iterator[Frame]:  # fmt: skip
    """Messages and truths of `seconds` of a scenario, in order of arrival; the same arguments give the same bytes.

    `lidar` has the beams of LiDARs whose mount names no make. Raises ValueError for unknown names, which lists the
    known, and for scenes that cannot be.
    """
    from fusion_pipeline.world import scenarios
    from fusion_pipeline.world.beams import beam_table
    from fusion_pipeline.world.simulation import Simulation

    drive = scenarios.scenario(scenario).build(seed, bool(rig.audios))
    return Simulation(drive, rig, seed, faults, beams=beam_table(lidar)).run(seconds)
