"""Sensors of a simulated vehicle: drivers like any other, of a world that depends on a seed and the clock alone.

Each of them may run in a process of its own: all see the same street at the same time without a word between them.
"""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Generic, TypeVar

import numpy as np

from fusion_pipeline.clock import MILLISECOND_NS, SECOND_NS, now_ns
from fusion_pipeline.messages import AudioChunk, CameraFrame, EgoMotion, Header, LidarScan, Message
from fusion_pipeline.sensors.beat import on_beat
from fusion_pipeline.sensors.retry import Report, SetupError

if TYPE_CHECKING:
    from fusion_pipeline.world.drive import Drive

TURN_NS = 100 * MILLISECOND_NS
CHUNK_S = 0.02
MISSED = "lost: this machine was too slow to simulate it"


@dataclass(frozen=True)
class SimulatedConfig:
    """Which street, and which sensor of the rig."""

    rig: Path
    seed: int = 7  # the same seed is the same scene for all sensors
    scenario: str = "city_street"  # `fusion sim --list` names them
    name: str = ""
    rate_hz: float = 10.0

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
    delay_ms: float = 20.0  # from exposure until the picture is in hand
    jpeg_quality: int = 0  # 1 to 100; 0 sends raw pixels

    kind: ClassVar[str] = "camera"


@dataclass(frozen=True)
class SimulatedLidarConfig(SimulatedConfig):
    """A LiDAR of the rig that turns ten times a second, with the beams of an HDL-64E."""

    name: str = "top"

    kind: ClassVar[str] = "lidar"


@dataclass(frozen=True)
class SimulatedMicrophoneConfig(SimulatedConfig):
    """A microphone array of the rig."""

    name: str = "roof"
    rate_hz: float = 16_000.0  # of samples
    delay_ms: float = 5.0  # from the end of a chunk until it is in hand

    kind: ClassVar[str] = "audio"


@dataclass(frozen=True)
class SimulatedEgoConfig(SimulatedConfig):
    """Odometry."""

    name: str = "odometry"
    rate_hz: float = 50.0

    kind: ClassVar[str] = "ego"


Config = TypeVar("Config", bound=SimulatedConfig)
Made = TypeVar("Made", bound=Message)


class SimulatedSensor(ABC, Generic[Config, Made]):
    """What they have in common: a street, a beat, and stamps on the sensor's own clock."""

    audible: ClassVar[bool] = False

    def __init__(self, config: Config, report: Report) -> None:
        self.config = config
        self.counts: Counter[str] = Counter()
        self._report = report
        self._ready = False

    def prepare(self) -> None:
        """Build the street and simulate once, so that the first message is on time. Raises SetupError."""
        from fusion_pipeline.rig import Rig
        from fusion_pipeline.world.scenarios import scenario

        if not 0 < self.config.rate_hz < SECOND_NS:
            raise SetupError(f"rate_hz of {self.config.topic} is {self.config.rate_hz:g}; write how many a second")
        try:
            self.drive: Drive = scenario(self.config.scenario).build(self.config.seed, self.audible)
        except ValueError as error:
            raise SetupError(str(error)) from error
        self.rig = Rig.load(self.config.rig)
        try:
            self.mount()
        except KeyError:
            there = ", ".join(topic for topic in self.rig.topics if topic.startswith(self.config.kind))
            raise SetupError(
                f"the rig {self.config.rig} has no {self.config.topic}; it has {there or 'none of its kind'}"
            ) from None
        except ValueError as error:
            raise SetupError(f"{self.config.topic} of the rig {self.config.rig}: {error}") from error
        self.made(0)
        self._ready = True

    def messages(self, stop: threading.Event) -> Iterator[Made]:
        """One message a beat until `stop` is set; what this machine is too slow for is counted."""
        if not self._ready:
            self.prepare()
        beat_hz, delay_ns = self.beat()

        def missed(count: int) -> None:
            self.counts[MISSED] += count

        yield from on_beat(self.made, beat_hz, delay_ns, stop, missed)

    @abstractmethod
    def mount(self) -> None:
        """Set up the sensor of the rig. KeyError where the rig has none, ValueError where it cannot be simulated."""

    @abstractmethod
    def beat(self) -> tuple[float, int]:
        """Messages per second, and by how many nanoseconds each comes after its instant."""

    @abstractmethod
    def made(self, instant_ns: int) -> Made:
        """The message of an instant; the same instant gives the same content, whenever it is asked for."""

    def header(self, capture_ns: int, offset_ns: int = 0, delay_ns: int = 0) -> Header:
        """Stamped by a sensor whose clock is `offset_ns` behind; `arrival_ns` is when its delay is over, or now."""
        arrival_ns = max(now_ns(), capture_ns + delay_ns)
        return Header(self.config.topic, max(0, capture_ns - offset_ns), arrival_ns, frame=self.config.topic)


class SimulatedCamera(SimulatedSensor[SimulatedCameraConfig, CameraFrame]):
    """Pictures; an instant is an exposure."""

    def mount(self) -> None:
        """Set up the view."""
        from fusion_pipeline.world.camera import SimulatedCamera as Camera

        if not 0 <= self.config.jpeg_quality <= 100:
            raise ValueError(f"jpeg_quality is {self.config.jpeg_quality}; write 1 to 100, or 0 for raw pixels")
        self._mount = self.rig.cameras[self.config.topic]
        self._camera = Camera(self.drive, self._mount)

    def beat(self) -> tuple[float, int]:
        """Of exposures."""
        return self.config.rate_hz, round(self.config.delay_ms * MILLISECOND_NS)

    def made(self, instant_ns: int) -> CameraFrame:
        """The picture exposed at `instant_ns`."""
        pixels = self._camera.picture(self.drive.seconds(instant_ns), instant_ns % self.drive.period_ns)
        height, width = pixels.shape[:2]
        encoding, data = "bgr8", pixels
        if self.config.jpeg_quality:
            import cv2

            encoding = "jpeg"
            data = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, self.config.jpeg_quality])[1].ravel()
        header = self.header(instant_ns, self._mount.offset_ns, self.beat()[1])
        return CameraFrame(header, encoding, height, width, data)


class SimulatedLidar(SimulatedSensor[SimulatedLidarConfig, LidarScan]):
    """Scans; an instant is the middle of a turn, and a scan is in hand at the end of its turn."""

    def mount(self) -> None:
        """Set up the view."""
        from fusion_pipeline.world.sweep import SimulatedSweep

        self._mount = self.rig.lidars[self.config.topic]
        self._sweep = SimulatedSweep(self.drive, self._mount)

    def beat(self) -> tuple[float, int]:
        """Of turns."""
        return self.config.rate_hz, TURN_NS // 2

    def made(self, instant_ns: int) -> LidarScan:
        """The scan whose middle is at `instant_ns`."""
        sweep = self._sweep.sweep(self.drive.seconds(instant_ns), instant_ns % self.drive.period_ns)
        return LidarScan(
            self.header(max(0, instant_ns - TURN_NS // 2), self._mount.offset_ns, TURN_NS),
            TURN_NS,
            sweep.xyz_m,
            sweep.intensity,
            sweep.ring.astype(np.uint16),
            (sweep.turn * TURN_NS).astype(np.int32),
        )


class SimulatedMicrophone(SimulatedSensor[SimulatedMicrophoneConfig, AudioChunk]):
    """Sound in chunks of 20 ms; an instant is a chunk's first sample."""

    audible = True

    def mount(self) -> None:
        """Set up the array."""
        from fusion_pipeline.world.sound import SoundField

        self._mount, drive = self.rig.audios[self.config.topic], self.drive
        self._rate_hz = round(self.config.rate_hz)
        self._count = round(self._rate_hz * CHUNK_S)
        if self._count < 1 or self._rate_hz * CHUNK_S != self._count:
            raise ValueError(f"rate_hz is {self.config.rate_hz:g}; write a whole number of samples per 20 ms, as 16000")
        microphones = self._mount.vehicle_from_sensor.apply(self._mount.microphones_m)
        self._field = SoundField(drive.sounds, drive.solids, microphones, drive.ego, drive.ring_m, self._rate_hz)

    def beat(self) -> tuple[float, int]:
        """Of chunks."""
        return 1 / CHUNK_S, round(CHUNK_S * SECOND_NS) + round(self.config.delay_ms * MILLISECOND_NS)

    def made(self, instant_ns: int) -> AudioChunk:
        """The chunk that begins at `instant_ns`."""
        first = instant_ns % self.drive.period_ns * self._rate_hz // SECOND_NS
        pcm = self._field.pcm(first, self._count)
        return AudioChunk(self.header(instant_ns, self._mount.offset_ns, self.beat()[1]), self._rate_hz, pcm)


class SimulatedEgo(SimulatedSensor[SimulatedEgoConfig, EgoMotion]):
    """Odometry, exact; it begins where the street does."""

    def mount(self) -> None:
        """Remember when it began; no mount: odometry speaks of the vehicle itself."""
        self._since_ns = now_ns()

    def beat(self) -> tuple[float, int]:
        """Of poses."""
        return self.config.rate_hz, 0

    def made(self, instant_ns: int) -> EgoMotion:
        """The pose at `instant_ns`."""
        from fusion_pipeline.world.truth import ego_motion

        return ego_motion(self.drive, instant_ns, self.config.topic, self._since_ns)
