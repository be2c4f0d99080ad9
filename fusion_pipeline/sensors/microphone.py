"""Microphone arrays through PortAudio."""

from __future__ import annotations

import queue
import threading
from collections import Counter
from collections.abc import Generator, Iterator
from contextlib import AbstractContextManager, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray

from fusion_pipeline.checks import Range, SensorName
from fusion_pipeline.clock import MILLISECOND_NS, SECOND_NS, now_ns, seconds_to_ns
from fusion_pipeline.messages import AudioChunk, Header
from fusion_pipeline.sensors.device_clock import DeviceClock
from fusion_pipeline.sensors.forms import Delay, Silence, microphone_fault
from fusion_pipeline.sensors.retry import POLL_S, DriverError, Patience, Report, SetupError, keep_reading

SOUND_FILES = (".wav", ".flac", ".ogg", ".mp3", ".aiff", ".aif", ".w64", ".caf")
DRIFT_PPM = 500.0  # more than any sound card is off; stamps follow the card no faster
JUMP_NS = 50 * MILLISECOND_NS
WAITING = 64  # chunks


@dataclass(frozen=True)
class MicrophoneConfig:
    """A sound card's input, or a sound file in its place."""

    device: str = ""  # part of a PortAudio name such as "hw:1", a number, or a sound file; empty: the default input
    name: Annotated[str, SensorName()] = "roof"
    channels: Annotated[int, Range(0, 1024)] = 4  # 0: as a file has
    rate_hz: Annotated[int, Range(0, 768_000)] = 16_000  # 0: as a file has; files are not resampled
    chunk_ms: Annotated[float, Range(0, 1000, above=True)] = 20.0
    delay_ms: Delay = 0.0  # from a sample's arrival at the capsule until its stamp, as calibrated
    loop: bool = False  # start a file again at its end
    real_time: bool = True  # play a file at its pace
    silence_s: Silence = 2.0  # no chunk for so long is reported, and the device opened anew

    def faults(self) -> Iterator[str]:
        """What is wrong with its device, and what only a file can leave open."""
        if text := microphone_fault(self.device):
            yield f"device: {text}"
        for key, value in (("channels", self.channels), ("rate_hz", self.rate_hz)):
            if not value and not self.is_file:
                yield f"{key} = 0: a sound card needs a number above 0"

    @property
    def topic(self) -> str:
        """The topic of the chunks."""
        return f"audio/{self.name}"

    @property
    def is_file(self) -> bool:
        """Whether the device is a sound file."""
        return Path(self.device).suffix.lower() in SOUND_FILES

    @property
    def files(self) -> tuple[Path, ...]:
        """Files that must exist; a device may come later."""
        return (Path(self.device),) if self.is_file else ()

    def chunk(self, pcm: NDArray[np.int16], rate_hz: int, first_ns: int, arrival_ns: int) -> AudioChunk:
        """A chunk whose first sample was stamped `first_ns`."""
        capture_ns = first_ns - round(self.delay_ms * MILLISECOND_NS)
        header = Header(self.topic, capture_ns, max(arrival_ns, capture_ns), frame=self.topic)
        return AudioChunk(header, rate_hz, np.ascontiguousarray(pcm))


@dataclass(frozen=True, slots=True)
class _Heard:
    first: int  # number of its first sample
    first_ns: int  # when that was converted, by PortAudio
    arrival_ns: int
    pcm: NDArray[np.int16]
    broken: bool  # samples are missing before it


class Microphone:
    """Chunks in order.

    `capture_ns`: PortAudio says when the first sample of a buffer was converted, with some jitter. Samples come evenly,
    so their count is the card's clock, which is tied to the vehicle's and followed slowly.
    """

    def __init__(self, config: MicrophoneConfig, report: Report) -> None:
        self.config = config
        self.counts: Counter[str] = Counter()
        self._report = report

    def prepare(self) -> None:
        """Load PortAudio. Raises SetupError."""
        _sounddevice()
        if self.config.channels < 1 or self.config.rate_hz < 1 or self.config.chunk_ms <= 0:
            raise SetupError(f"{self.config.topic}: a sound card needs channels, rate_hz and chunk_ms above 0")

    def messages(self, stop: threading.Event) -> Iterator[AudioChunk]:
        """Chunks until `stop` is set."""

        def connect() -> AbstractContextManager[Iterator[AudioChunk | None]]:
            return closing(self._listen(stop))

        what = f"microphone {self.config.device or '(default)'}"
        yield from keep_reading(what, connect, stop, self._report, Patience(self.config.silence_s))

    def _listen(self, stop: threading.Event) -> Generator[AudioChunk | None, None, None]:
        sounddevice, config = _sounddevice(), self.config
        come: queue.Queue[_Heard] = queue.Queue(WAITING)
        seen = 0

        def take(pcm: NDArray[np.int16], frames: int, stamps: Any, status: Any) -> None:
            nonlocal seen
            arrival_ns = now_ns()
            age_s = stamps.currentTime - stamps.inputBufferAdcTime
            span_s = frames / config.rate_hz
            first_ns = arrival_ns - seconds_to_ns(age_s if span_s / 2 <= age_s < 1 else span_s)
            heard = _Heard(seen, first_ns, arrival_ns, pcm.copy(), bool(status.input_overflow))
            seen += frames
            try:
                come.put_nowait(heard)
            except queue.Full:
                self.counts["lost: this machine was too slow to take it"] += 1

        block = round(config.rate_hz * config.chunk_ms / 1000)
        device = int(config.device) if config.device.isdigit() else config.device or None
        clock = DeviceClock(DRIFT_PPM, DRIFT_PPM, JUMP_NS)
        try:
            with sounddevice.InputStream(
                samplerate=config.rate_hz, blocksize=block, device=device, channels=config.channels, dtype="int16",
                callback=take,
            ) as stream:  # fmt: skip
                while not stop.is_set():
                    try:
                        yield self._stamped(come.get(timeout=POLL_S), clock)
                    except queue.Empty:
                        if not stream.active:
                            raise DriverError(f"microphone {config.device or '(default)'} has stopped") from None
                        yield None
        except (sounddevice.PortAudioError, ValueError) as error:  # ValueError: no device of that name, for now
            raise DriverError(f"{str(error).splitlines()[0]}; `python -m sounddevice` lists the devices") from error

    def _stamped(self, heard: _Heard, clock: DeviceClock) -> AudioChunk:
        if heard.broken:
            self.counts["lost: overflow in the sound card"] += 1
            clock.forget()
        device_ns = heard.first * SECOND_NS // self.config.rate_hz
        clock.observe(device_ns, heard.first_ns)
        return self.config.chunk(heard.pcm, self.config.rate_hz, clock.vehicle_ns(device_ns), heard.arrival_ns)


def _sounddevice() -> Any:
    try:
        import sounddevice
    except ImportError as error:
        raise SetupError("a microphone needs sounddevice; pip install 'fusion-pipeline[live]'") from error
    except OSError as error:
        raise SetupError(f"{error}; on Debian or Ubuntu run: sudo apt install libportaudio2") from error
    return sounddevice
