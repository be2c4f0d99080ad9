"""A drive as its sensors report it, message by message, with the truth beside: the library behind `fusion sim`."""

from __future__ import annotations

import heapq
import zlib
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Executor, Future, ThreadPoolExecutor, wait
from contextlib import ExitStack
from dataclasses import dataclass, field, replace

import cv2
import numpy as np

from fusion_pipeline.arrays import Ints
from fusion_pipeline.clock import MILLISECOND_NS, SECOND_NS
from fusion_pipeline.messages import AudioChunk, CameraFrame, EgoMotion, Header, LidarScan, Tracks
from fusion_pipeline.rig import Rig
from fusion_pipeline.world.beams import BeamTable, beam_table
from fusion_pipeline.world.camera import CameraOptions, SimulatedCamera
from fusion_pipeline.world.checks import check_sensors
from fusion_pipeline.world.drive import Drive
from fusion_pipeline.world.ego_sensors import HZ, ODOMETRY, PERFECT_EGO, EgoErrors, EgoSensors
from fusion_pipeline.world.faults import PERFECT, Fault, true_rig
from fusion_pipeline.world.occlusion import CAMERA_STRIDES, LIDAR_STRIDES, Onlooker, Sight
from fusion_pipeline.world.sound import Hearing, SoundField
from fusion_pipeline.world.sweep import SimulatedSweep
from fusion_pipeline.world.truth import Delivery, Truth, ego_motion, truth_at

START_NS = 1_767_225_600 * SECOND_NS  # 1 January 2026: a log does not depend on the day on which it is made
TURN_NS = 100 * MILLISECOND_NS
CHUNK_NS = 20 * MILLISECOND_NS
PICTURE_NS = 20 * MILLISECOND_NS  # from exposure until a picture is in hand
AUDIO_HZ = 16_000
EGO = ODOMETRY
AHEAD_NS = SECOND_NS  # messages are planned this far ahead, so that late ones find their place

Sensed = CameraFrame | LidarScan | AudioChunk | EgoMotion


@dataclass(frozen=True, slots=True)
class Frame:
    """What arrived, or, where a LiDAR's turn has its middle, what is true then."""

    message: Sensed | None = None
    truth: Truth | None = None
    tracks: Tracks | None = None  # the truth's boxes as tracks on the topic "truth"


@dataclass(frozen=True, slots=True)
class _Stream:
    period_ns: int
    ready_ns: int  # after the instant, before the fault's own delay
    make: Callable[[int, Header], Sensed]
    first_ns: int = 0  # of what was captured, relative to the instant


@dataclass(order=True, slots=True)
class _Planned:
    arrival_ns: int
    topic: str
    instant_ns: int
    making: Future[Sensed] = field(compare=False)


class Simulation:
    """One drive with one rig. `rig` is what the log says; faults move the sensors away from it.

    LiDARs turn all round, rolling, `hz` times a second, cameras expose in the middle of a turn, and a truth is told of
    the same instant.
    """

    def __init__(
        self, drive: Drive, rig: Rig, seed: int = 0, faults: Mapping[str, Fault] | None = None, hz: float = 10.0,
        beams: BeamTable | None = None, options: CameraOptions | None = None,
        ego_errors: EgoErrors = PERFECT_EGO, ego_topics: tuple[str, ...] = (ODOMETRY,), returns: int = 1,
    ) -> None:  # fmt: skip
        """`beams` are those of LiDARs whose mount names no make. Raises SceneError for a sensor inside a building."""
        check_sensors(drive, rig)
        self.drive, self.rig, self._returns = drive, rig, returns
        self.faults = dict(faults or {})
        self._beams, self._options = beams, options or CameraOptions()
        self._ego_errors, self._ego_topics = ego_errors, ego_topics
        self._seed, self._period_ns = seed, round(SECOND_NS / hz)
        self._seen: dict[tuple[str, int], Ints] = {}  # of a topic and an instant: points or pixels by actor
        self._sights: dict[tuple[str, int], Sight] = {}
        self._deliveries: dict[int, list[Delivery]] = {}  # by the turn in which they were captured
        self._streams = self._set_up(true_rig(rig, self.faults))

    @property
    def topics(self) -> tuple[str, ...]:
        """The sensors' topics."""
        return tuple(self._streams)

    def run(self, seconds: float, start_ns: int = START_NS) -> Iterator[Frame]:
        """Messages in order of arrival, and truths, of `seconds` of the drive. Each sensor has a thread of its own."""
        with ExitStack() as stack:
            self._egos = EgoSensors(self.drive, self._ego_errors, self._seed, start_ns, seconds)
            workers = {topic: stack.enter_context(ThreadPoolExecutor(1, topic)) for topic in self._streams}
            yield from self._run(seconds, start_ns, workers)

    def _run(self, seconds: float, start_ns: int, workers: Mapping[str, Executor]) -> Iterator[Frame]:
        planned: list[_Planned] = []
        eyes: dict[int, list[Future[Sensed]]] = {}  # of an instant: what must have been made before its truth is told
        pending = dict.fromkeys(self._streams, 0)
        end_ns, truth_ns, horizon_ns = start_ns + round(seconds * SECOND_NS), start_ns, start_ns
        while planned or horizon_ns < end_ns:
            if horizon_ns < end_ns and (not planned or planned[0].arrival_ns > horizon_ns - AHEAD_NS):
                horizon_ns += AHEAD_NS
                for topic, worker in workers.items():
                    number, until_ns = pending[topic], min(horizon_ns, end_ns)
                    pending[topic] = self._plan(planned, eyes, topic, worker, number, start_ns, until_ns)
                continue
            item = heapq.heappop(planned)
            while truth_ns + TURN_NS <= item.arrival_ns and truth_ns < end_ns:
                yield self._truth(truth_ns, start_ns, eyes.pop(truth_ns, []))
                truth_ns += self._period_ns
            yield Frame(item.making.result())
        while truth_ns < end_ns:
            yield self._truth(truth_ns, start_ns, eyes.pop(truth_ns, []))
            truth_ns += self._period_ns

    def _plan(
        self, planned: list[_Planned], eyes: dict[int, list[Future[Sensed]]], topic: str, worker: Executor, number: int,
        start_ns: int, until_ns: int,
    ) -> int:  # fmt: skip
        """Begin to make the messages whose instants lie before `until_ns`; the number of the first that does not."""
        stream, fault = self._streams[topic], self.faults.get(topic, PERFECT)
        while (instant_ns := start_ns + number * stream.period_ns) < until_ns:
            rng = np.random.default_rng([self._seed, zlib.crc32(topic.encode()), number])
            number += 1
            dropped = rng.random() < fault.drop
            stamp_ns = fault.stamp_ns(instant_ns + stream.first_ns, start_ns, rng)
            arrival_ns = fault.arrival_ns(instant_ns + stream.ready_ns, rng)
            if topic in self.faults:
                turn_ns = instant_ns - (instant_ns - start_ns) % self._period_ns
                told = Delivery(topic, instant_ns + stream.first_ns, stamp_ns, -1 if dropped else arrival_ns)
                self._deliveries.setdefault(turn_ns, []).append(told)
            if not dropped:
                header = Header(topic, stamp_ns, arrival_ns, frame=topic)
                making = worker.submit(stream.make, instant_ns, header)
                heapq.heappush(planned, _Planned(arrival_ns, topic, instant_ns, making))
                if stream.period_ns == self._period_ns:
                    eyes.setdefault(instant_ns, []).append(making)
        return number

    def _truth(self, instant_ns: int, start_ns: int, eyes: list[Future[Sensed]]) -> Frame:
        wait(eyes)
        made = [topic for topic in self._streams if (topic, instant_ns) in self._seen]
        seen = {topic: self._seen.pop((topic, instant_ns)) for topic in made}
        sights = {topic: self._sights.pop((topic, instant_ns)) for topic in made}
        clocks = {
            topic: fault.offset_ms + (instant_ns - start_ns) * fault.drift_ppm * 1e-6 / MILLISECOND_NS
            for topic, fault in self.faults.items()
        }
        truth = replace(
            truth_at(self.drive, instant_ns, seen, clocks, self.faults, self._arrays_m), sights=sights,
            deliveries=tuple(self._deliveries.pop(instant_ns, ())), ego_errors=self._ego_errors,
        )  # fmt: skip
        ego = ego_motion(self.drive, instant_ns, "truth", start_ns)
        tracks = Tracks(Header("truth", instant_ns, instant_ns), truth.class_names, truth.boxes, egos=(ego,))
        return Frame(truth=truth, tracks=tracks)

    def _set_up(self, rig: Rig) -> dict[str, _Stream]:
        streams: dict[str, _Stream] = {}
        self._arrays_m = {
            topic: array.vehicle_from_sensor.apply(array.microphones_m).mean(axis=0)
            for topic, array in rig.audios.items()
        }
        for topic, lidar in rig.lidars.items():
            beams = beam_table(lidar.make) if lidar.make else self._beams
            sweep = SimulatedSweep(
                self.drive, lidar, beams, np.pi, rolling=True, weather=self._options.weather, returns=self._returns
            )
            streams[topic] = _Stream(self._period_ns, TURN_NS // 2, self._scan(topic, sweep), -(TURN_NS // 2))
        for topic, camera in rig.cameras.items():
            look = SimulatedCamera(self.drive, camera, self._options)
            streams[topic] = _Stream(self._period_ns, PICTURE_NS, self._picture(topic, look))
        for topic, array in rig.audios.items():
            microphones = array.vehicle_from_sensor.apply(array.microphones_m)
            dead = self.faults.get(topic, PERFECT).dead
            hearing = Hearing(dead=(dead,) if dead >= 0 else ())
            drive = self.drive
            sound = SoundField(drive.sounds, drive.solids, microphones, drive.ego, drive.ring_m, AUDIO_HZ, hearing)
            streams[topic] = _Stream(CHUNK_NS, CHUNK_NS, self._chunk(sound))
        for topic in self._ego_topics:
            streams[topic] = _Stream(round(SECOND_NS / HZ[topic]), 0, self._ego(topic))
        return streams

    def _noise(self, topic: str, instant_ns: int) -> int:
        """A seed of its own for each sensor, simulation and instant."""
        salt = zlib.crc32(f"{topic} {self._seed}".encode()) << 20
        return salt + instant_ns % self.drive.period_ns

    def _scan(self, topic: str, sweeper: SimulatedSweep) -> Callable[[int, Header], Sensed]:
        onlooker = Onlooker(self.drive, LIDAR_STRIDES)

        def make(instant_ns: int, header: Header) -> LidarScan:
            seconds = self.drive.seconds(instant_ns)
            sweep = sweeper.sweep(seconds, self._noise(topic, instant_ns))
            self._sights[topic, instant_ns] = onlooker.look(sweeper.views)
            self._count(topic, instant_ns, sweep.actors)
            turn_ns = (sweep.turn * TURN_NS).astype(np.int32)
            return LidarScan(header, TURN_NS, sweep.xyz_m, sweep.intensity, sweep.ring.astype(np.uint16), turn_ns)

        return make

    def _picture(self, topic: str, camera: SimulatedCamera) -> Callable[[int, Header], Sensed]:
        onlooker = Onlooker(self.drive, CAMERA_STRIDES)

        def make(instant_ns: int, header: Header) -> CameraFrame:
            seconds = self.drive.seconds(instant_ns)
            pixels = camera.picture(seconds, self._noise(topic, instant_ns))
            self._sights[topic, instant_ns] = onlooker.look(camera.views(seconds))
            surfaces = camera.view.surfaces
            self._count(topic, instant_ns, camera.view.actors[surfaces.ids[surfaces.inverse > 0]])
            height, width = pixels.shape[:2]
            if self._options.jpeg:
                _, coded = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, self._options.jpeg])
                return CameraFrame(header, "jpeg", height, width, np.asarray(coded, np.uint8).ravel())
            return CameraFrame(header, "bgr8", height, width, pixels)

        return make

    def _chunk(self, sound: SoundField) -> Callable[[int, Header], Sensed]:
        count = CHUNK_NS * AUDIO_HZ // SECOND_NS

        def make(instant_ns: int, header: Header) -> AudioChunk:
            first = instant_ns % self.drive.period_ns * AUDIO_HZ // SECOND_NS
            return AudioChunk(header, AUDIO_HZ, sound.pcm(first, count))

        return make

    def _ego(self, topic: str) -> Callable[[int, Header], Sensed]:
        def make(instant_ns: int, header: Header) -> EgoMotion:
            return self._egos.message(topic, instant_ns, replace(header, frame="odometry"))

        return make

    def _count(self, topic: str, instant_ns: int, actors: Ints) -> None:
        hits = np.bincount(actors[actors >= 0], minlength=len(self.drive.actors))
        self._seen[topic, instant_ns] = hits.astype(np.int64)
