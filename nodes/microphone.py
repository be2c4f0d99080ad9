"""The process of a microphone array."""

from __future__ import annotations

from fusion_pipeline.sensors.driver import Driver
from fusion_pipeline.sensors.microphone import MicrophoneConfig
from nodes.driver import DriverSource


class Microphone(DriverSource[MicrophoneConfig]):
    """What a microphone array sends."""

    def driver(self) -> Driver:
        """Its driver."""
        if self.config.is_file:
            from fusion_pipeline.sensors.sound_file import SoundFile

            return SoundFile(self.config, self.report)
        from fusion_pipeline.sensors import microphone

        return microphone.Microphone(self.config, self.report)
