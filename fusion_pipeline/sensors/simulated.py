"""Sensors of a simulated vehicle: drivers like any other, of a world that depends on a seed and the clock alone.

Each of them may run in a process of its own: all see the same street at the same time without a word between them.
"""

from __future__ import annotations

import threading
import zlib
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar, Generic, TypeVar

import numpy as np

from fusion_pipeline.clock import MILLISECOND_NS, SECOND_NS, now_ns
from fusion_pipeline.messages import AudioChunk, CameraFrame, EgoMotion, Header, LidarScan, Message
from fusion_pipeline.sensors.beat import on_beat
from fusion_pipeline.sensors.retry import Report, SetupError
from fusion_pipeline.sensors.simulated_config import (
    SimulatedCameraConfig,
    SimulatedConfig,
    SimulatedEgoConfig,
    SimulatedLidarConfig,
    SimulatedMicrophoneConfig,
)

if TYPE_CHECKING:
    from fusion_pipeline.world.drive import Drive
    from fusion_pipeline.world.faults import Fault

TURN_NS = 100 * MILLISECOND_NS
CHUNK_S = 0.02
MISSED = "lost: this machine was too slow to simulate it"
DROPPED = "dropped by the simulated fault"

__all__ = [
    "DROPPED", "MISSED", "SimulatedCamera", "SimulatedCameraConfig", "SimulatedEgo", "SimulatedEgoConfig",
    "SimulatedLidar", "SimulatedLidarConfig", "SimulatedMicrophone", "SimulatedMicrophoneConfig", "SimulatedSensor",
]  # fmt: skip


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
        self._since_ns = -1  # when the sensor's clock began to drift

    def prepare(self) -> None:
        """Build the street and simulate once, so that the first message is on time. Raises SetupError."""
        from fusion_pipeline.rig import Rig
        from fusion_pipeline.world.checks import check_sensors
        from fusion_pipeline.world.faults import PERFECT, parse_faults, true_rig
        from fusion_pipeline.world.scenarios import scenario
        from fusion_pipeline.world.weather import Weather

        topic = self.config.topic
        if not 0 < self.config.rate_hz < SECOND_NS:
            raise SetupError(f"rate_hz of {self.config.topic} is {self.config.rate_hz:g}; write how many a second")
        try:
            self.drive: Drive = scenario(self.config.scenario).build(self.config.seed, self.audible)
        except ValueError as error:
            raise SetupError(str(error)) from error
        believed = Rig.load(self.config.rig)
        try:
            self.weather = Weather(self.config.visibility_m, self.config.rain_mm_h)
            faults = parse_faults([f"{topic}.{text}" for text in self.config.fault.split()], [topic])
            self.fault: Fault = faults.get(topic, PERFECT)
            self.rig = true_rig(believed, faults)
            if topic in believed.topics:
                check_sensors(self.drive, believed)
            self.mount()
        except KeyError:
            there = ", ".join(known for known in believed.topics if known.startswith(self.config.kind))
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

        late_ns = round(self.fault.delay_ms * MILLISECOND_NS)
        for message in on_beat(self._wrong, beat_hz, delay_ns + late_ns, stop, missed):
            if message is None:
                self.counts[DROPPED] += 1
            else:
                yield message

    def _wrong(self, instant_ns: int) -> Made | None:
        """The message as its fault has it; None: dropped."""
        if self._since_ns < 0:
            self._since_ns = instant_ns
        rng = np.random.default_rng([zlib.crc32(self.config.topic.encode()), instant_ns])
        dropped = rng.random() < self.fault.drop
        message = self.made(instant_ns)
        true_ns = message.header.capture_ns
        stamp_ns = self.fault.stamp_ns(true_ns, self._since_ns, rng)
        arrival_ns = self.fault.arrival_ns(message.header.arrival_ns, rng)
        if dropped:
            return None
        if stamp_ns == true_ns and arrival_ns == message.header.arrival_ns:
            return message
        return replace(message, header=replace(message.header, capture_ns=stamp_ns, arrival_ns=arrival_ns))

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
        from fusion_pipeline.world.camera import CameraOptions
        from fusion_pipeline.world.camera import SimulatedCamera as Camera

        if not 0 <= self.config.jpeg_quality <= 100:
            raise ValueError(f"jpeg_quality is {self.config.jpeg_quality}; write 1 to 100, or 0 for raw pixels")
        self._mount = self.rig.cameras[self.config.topic]
        options = CameraOptions(shadows=self.config.shadows, night=self.config.night, weather=self.weather)
        self._camera = Camera(self.drive, self._mount, options)

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
        from fusion_pipeline.world.beams import beam_table
        from fusion_pipeline.world.sweep import SimulatedSweep

        config = self.config
        self._mount = self.rig.lidars[config.topic]
        if not 1 <= config.field_deg <= 180:
            raise ValueError(f"field_deg is {config.field_deg:g}; write 1 to 180, degrees to both sides of ahead")
        beams = beam_table(self._mount.make) if self._mount.make else None
        self._sweep = SimulatedSweep(
            self.drive, self._mount, beams, float(np.deg2rad(config.field_deg)), config.rolling, weather=self.weather,
            returns=config.returns,
        )  # fmt: skip

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
        from fusion_pipeline.world.sound import Hearing, SoundField

        self._mount, drive = self.rig.audios[self.config.topic], self.drive
        self._rate_hz = round(self.config.rate_hz)
        self._count = round(self._rate_hz * CHUNK_S)
        if self._count < 1 or self._rate_hz * CHUNK_S != self._count:
            raise ValueError(f"rate_hz is {self.config.rate_hz:g}; write a whole number of samples per 20 ms, as 16000")
        microphones = self._mount.vehicle_from_sensor.apply(self._mount.microphones_m)
        hearing = Hearing(dead=(self.fault.dead,) if self.fault.dead >= 0 else ())
        self._field = SoundField(
            drive.sounds, drive.solids, microphones, drive.ego, drive.ring_m, self._rate_hz, hearing
        )

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
        self._began_ns = now_ns()

    def beat(self) -> tuple[float, int]:
        """Of poses."""
        return self.config.rate_hz, 0

    def made(self, instant_ns: int) -> EgoMotion:
        """The pose at `instant_ns`."""
        from fusion_pipeline.world.truth import ego_motion

        return ego_motion(self.drive, instant_ns, self.config.topic, self._began_ns)
