"""The process of a LiDAR."""

from __future__ import annotations

from fusion_pipeline.sensors.driver import Driver
from fusion_pipeline.sensors.hesai import Hesai, HesaiConfig
from fusion_pipeline.sensors.ouster import Ouster, OusterConfig
from fusion_pipeline.sensors.robosense import RoboSense, RoboSenseConfig
from fusion_pipeline.sensors.velodyne import Velodyne, VelodyneConfig
from nodes.driver import DriverSource


class Lidar(DriverSource[VelodyneConfig | OusterConfig | HesaiConfig | RoboSenseConfig]):
    """What a LiDAR sends; its config says of whose make it is."""

    def driver(self) -> Driver:
        """The driver of its make."""
        if isinstance(self.config, OusterConfig):
            return Ouster(self.config, self.report)
        if isinstance(self.config, HesaiConfig):
            return Hesai(self.config, self.report)
        if isinstance(self.config, RoboSenseConfig):
            return RoboSense(self.config, self.report)
        return Velodyne(self.config, self.report)
