"""The processes of a simulated vehicle's sensors."""

from __future__ import annotations

from fusion_pipeline.sensors import simulated
from fusion_pipeline.sensors.driver import Driver
from fusion_pipeline.sensors.simulated import (
    SimulatedCameraConfig,
    SimulatedEgoConfig,
    SimulatedLidarConfig,
    SimulatedMicrophoneConfig,
)
from nodes.driver import DriverSource

__all__ = [
    "SimulatedCamera", "SimulatedCameraConfig", "SimulatedEgo", "SimulatedEgoConfig", "SimulatedLidar",
    "SimulatedLidarConfig", "SimulatedMicrophone", "SimulatedMicrophoneConfig",
]  # fmt: skip


class SimulatedCamera(DriverSource[SimulatedCameraConfig]):
    """A camera of the simulated vehicle."""

    def driver(self) -> Driver:
        """Its driver."""
        return simulated.SimulatedCamera(self.config, self.report)


class SimulatedLidar(DriverSource[SimulatedLidarConfig]):
    """A LiDAR of the simulated vehicle."""

    def driver(self) -> Driver:
        """Its driver."""
        return simulated.SimulatedLidar(self.config, self.report)


class SimulatedMicrophone(DriverSource[SimulatedMicrophoneConfig]):
    """A microphone array of the simulated vehicle."""

    def driver(self) -> Driver:
        """Its driver."""
        return simulated.SimulatedMicrophone(self.config, self.report)


class SimulatedEgo(DriverSource[SimulatedEgoConfig]):
    """Odometry of the simulated vehicle."""

    def driver(self) -> Driver:
        """Its driver."""
        return simulated.SimulatedEgo(self.config, self.report)
