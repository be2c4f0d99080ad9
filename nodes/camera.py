"""The process of a camera."""

from __future__ import annotations

from fusion_pipeline.sensors.camera import CameraConfig
from fusion_pipeline.sensors.driver import Driver
from nodes.driver import DriverSource


class Camera(DriverSource[CameraConfig]):
    """What a camera sends."""

    def driver(self) -> Driver:
        """Its driver."""
        from fusion_pipeline.sensors import camera

        return camera.Camera(self.config, self.report)
