"""The processes of a simulated vehicle's sensors."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeVar

from fusion_pipeline.node import Surroundings
from fusion_pipeline.sensors import simulated
from fusion_pipeline.sensors.driver import Driver
from fusion_pipeline.sensors.simulated import (
    SimulatedCameraConfig,
    SimulatedEgoConfig,
    SimulatedLidarConfig,
    SimulatedMicrophoneConfig,
)
from fusion_pipeline.sensors.simulated_config import SimulatedConfig
from nodes.driver import DriverSource

Config = TypeVar("Config", bound=SimulatedConfig)

__all__ = [
    "SimulatedCamera", "SimulatedCameraConfig", "SimulatedEgo", "SimulatedEgoConfig", "SimulatedLidar",
    "SimulatedLidarConfig", "SimulatedMicrophone", "SimulatedMicrophoneConfig",
]  # fmt: skip


class SimulatedSource(DriverSource[Config]):
    """A sensor of the simulated vehicle."""

    @classmethod
    def check(cls, config: Config, around: Surroundings) -> Iterator[str]:
        """The rig and its sensor, the scenario and the faults."""
        from fusion_pipeline.checks import nearest
        from fusion_pipeline.rig import Rig
        from fusion_pipeline.rig_checks import implausible
        from fusion_pipeline.world.faults import parse_faults
        from fusion_pipeline.world.scenarios import scenario

        rig = Rig.load(config.rig)
        yield from (f"rig file {config.rig}: {text}" for text in implausible(rig))
        if config.topic not in rig.topics and config.kind != "ego":
            yield f"rig file {config.rig}: {nearest('sensor', config.topic, rig.topics)}"
        try:
            scenario(config.scenario)
            parse_faults([f"{config.topic}.{text}" for text in config.fault.split()], [config.topic])
        except ValueError as error:
            yield str(error)


class SimulatedCamera(SimulatedSource[SimulatedCameraConfig]):
    """A camera of the simulated vehicle."""

    def driver(self) -> Driver:
        """Its driver."""
        return simulated.SimulatedCamera(self.config, self.report)


class SimulatedLidar(SimulatedSource[SimulatedLidarConfig]):
    """A LiDAR of the simulated vehicle."""

    def driver(self) -> Driver:
        """Its driver."""
        return simulated.SimulatedLidar(self.config, self.report)


class SimulatedMicrophone(SimulatedSource[SimulatedMicrophoneConfig]):
    """A microphone array of the simulated vehicle."""

    def driver(self) -> Driver:
        """Its driver."""
        return simulated.SimulatedMicrophone(self.config, self.report)


class SimulatedEgo(SimulatedSource[SimulatedEgoConfig]):
    """Odometry of the simulated vehicle."""

    def driver(self) -> Driver:
        """Its driver."""
        return simulated.SimulatedEgo(self.config, self.report)
