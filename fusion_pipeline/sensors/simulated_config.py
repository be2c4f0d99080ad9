"""What can be set of the sensors of a simulated vehicle."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar

from fusion_pipeline.checks import Range

Rate = Annotated[float, Range(0, 1000, above=True)]
Delay = Annotated[float, Range(0, 60_000)]


@dataclass(frozen=True)
class SimulatedConfig:
    """Which street, and which sensor of the rig."""

    rig: Path
    seed: int = 7  # the same seed is the same scene for all sensors
    scenario: str = "city_street"  # `fusion sim --list` names them
    name: str = ""
    rate_hz: Rate = 10.0
    fault: str = ""  # "offset_ms=20 drop=0.1": what is wrong with it, with the keys of `fusion sim --fault`
    visibility_m: Annotated[float, Range(0, above=True, infinite=True)] = float("inf")  # in fog
    rain_mm_h: Annotated[float, Range(0, 1000)] = 0.0

    kind: ClassVar[str] = ""

    @property
    def topic(self) -> str:
        """The topic of the messages."""
        return f"{self.kind}/{self.name}"

    @property
    def files(self) -> tuple[Path, ...]:
        """Files that must exist."""
        return (self.rig,)


@dataclass(frozen=True)
class SimulatedCameraConfig(SimulatedConfig):
    """A pinhole camera of the rig."""

    name: str = "front"
    delay_ms: Delay = 20.0  # from exposure until the picture is in hand
    jpeg_quality: Annotated[int, Range(0, 100)] = 0  # 1 to 100; 0 sends raw pixels
    night: bool = False
    shadows: bool = False

    kind: ClassVar[str] = "camera"


@dataclass(frozen=True)
class SimulatedLidarConfig(SimulatedConfig):
    """A LiDAR of the rig that turns ten times a second, of the make that the rig says, or an HDL-64E."""

    name: str = "top"
    field_deg: Annotated[float, Range(0, 180, above=True)] = 75.0  # to both sides of ahead; 180: all round
    rolling: bool = False  # the vehicle and all things move within a turn, as they do; otherwise as if corrected
    returns: Annotated[int, Range(1, 2)] = 1

    kind: ClassVar[str] = "lidar"


@dataclass(frozen=True)
class SimulatedMicrophoneConfig(SimulatedConfig):
    """A microphone array of the rig."""

    name: str = "roof"
    rate_hz: Annotated[float, Range(2000, 192_000)] = 16_000.0  # of samples
    delay_ms: Delay = 5.0  # from the end of a chunk until it is in hand

    kind: ClassVar[str] = "audio"


@dataclass(frozen=True)
class SimulatedEgoConfig(SimulatedConfig):
    """Odometry."""

    name: str = "odometry"
    rate_hz: Rate = 50.0

    kind: ClassVar[str] = "ego"
