"""Cameras through OpenCV: V4L2 devices, network streams, video files, folders of pictures."""

from __future__ import annotations

import contextlib
import queue
import threading
import time
from collections import Counter
from collections.abc import Generator, Iterator
from contextlib import AbstractContextManager, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np

from fusion_pipeline.arrays import Bytes
from fusion_pipeline.checks import Range, SensorName
from fusion_pipeline.clock import MILLISECOND_NS, SECOND_NS, now_ns
from fusion_pipeline.messages import CameraFrame, Header
from fusion_pipeline.picture_file import PictureError, head_of, pixels
from fusion_pipeline.sensors.forms import Delay, Silence, camera_fault
from fusion_pipeline.sensors.retry import POLL_S, DriverError, Patience, Report, SetupError, keep_reading
from fusion_pipeline.sensors.timeline import Timeline

ENCODED = (".jpg", ".jpeg", ".png")
PICTURES = (*ENCODED, ".bmp", ".tif", ".tiff", ".webp", ".ppm", ".pgm")
FOLDER_HZ = 10.0
Rate = Annotated[float, Range(0, 10_000)]
OPEN_MS, READ_MS = 4000, 3000  # a network stream that gives nothing for so long has failed
WAITING = 2  # pictures between the reading thread and the node; older ones are passed over


@dataclass(frozen=True)
class CameraConfig:
    """A camera, or what stands in for one."""

    source: str = "/dev/video0"  # a device, "rtsp://...", a video file, or a folder of pictures
    name: Annotated[str, SensorName()] = "front"
    width_px: Annotated[int, Range(0, 65_500)] = 0  # asked of a device; 0: its own
    height_px: Annotated[int, Range(0, 65_500)] = 0
    rate_hz: Rate = 0.0  # asked of a device, and the pace of files; 0: their own, 10 for a folder
    delay_ms: Delay = 0.0  # from the exposure's start until the driver has the picture, as calibrated
    loop: bool = False  # start files again at their end
    real_time: bool = True  # play files at their pace
    silence_s: Silence = 2.0  # no picture for so long is reported, and the device opened anew

    def faults(self) -> Iterator[str]:
        """What is wrong with the form of its source."""
        if text := camera_fault(self.source):
            yield f"source: {text}"
        if bool(self.width_px) != bool(self.height_px):
            yield f"width_px = {self.width_px} and height_px = {self.height_px}: write both, or 0 for the device's own"

    @property
    def topic(self) -> str:
        """The topic of the pictures."""
        return f"camera/{self.name}"

    @property
    def live(self) -> bool:
        """Whether the source is a device or a stream."""
        return self.source.isdigit() or self.source.startswith("/dev/") or "://" in self.source

    @property
    def files(self) -> tuple[Path, ...]:
        """Files that must exist; a device may come later."""
        return () if self.live else (Path(self.source),)


@dataclass(frozen=True, slots=True)
class _Grabbed:
    capture_ns: int
    pixels: Bytes


class Camera:
    """Pictures in the order of capture.

    `capture_ns`: a V4L2 device stamps its pictures itself; of other live sources it is the moment when the picture was
    in hand. `delay_ms` is taken off either. Files are spread evenly from now on.
    """

    def __init__(self, config: CameraConfig, report: Report) -> None:
        self.config = config
        self.counts: Counter[str] = Counter()
        self._report = report

    def prepare(self) -> None:
        """Load OpenCV. Raises SetupError for settings that cannot be."""
        import cv2

        cv2.setNumThreads(1)
        if self.config.rate_hz < 0 or self.config.delay_ms < 0:
            raise SetupError(f"{self.config.topic}: rate_hz and delay_ms must not be negative")
        if Path(self.config.source).is_dir() and not self._pictures():
            raise SetupError(f"{self.config.source} holds no picture; known: {', '.join(PICTURES)}")

    def messages(self, stop: threading.Event) -> Iterator[CameraFrame]:
        """Pictures until `stop` is set or the files end."""

        def connect() -> AbstractContextManager[Iterator[CameraFrame | None]]:
            if self.config.live:
                return closing(self._live(stop))
            return closing(self._folder(stop) if Path(self.config.source).is_dir() else self._video(stop))

        patience = Patience(self.config.silence_s if self.config.live else float("inf"))
        yield from keep_reading(f"camera {self.config.source}", connect, stop, self._report, patience)

    def _live(self, stop: threading.Event) -> Generator[CameraFrame | None, None, None]:
        """What a thread reads: a device whose cable was pulled may hold that thread for ever, but not this one."""
        come: queue.Queue[_Grabbed | DriverError] = queue.Queue(WAITING)
        left = threading.Event()
        threading.Thread(target=self._grab, args=(come, left), name="camera", daemon=True).start()
        try:
            while not stop.is_set():
                try:
                    item = come.get(timeout=POLL_S)
                except queue.Empty:
                    yield None
                    continue
                if isinstance(item, DriverError):
                    raise item
                yield self._frame(item.pixels, item.capture_ns, now_ns())
        finally:
            left.set()

    def _grab(self, come: queue.Queue[_Grabbed | DriverError], left: threading.Event) -> None:
        import cv2

        capture = None
        try:
            capture = self._opened()
            stamped = capture.getBackendName() == "V4L2"
            while not left.is_set():
                good, pixels = capture.read()
                arrival_ns = now_ns()
                if not good:
                    raise DriverError(f"camera {self.config.source} gives no more pictures")
                age_ns = _age_ns(capture.get(cv2.CAP_PROP_POS_MSEC)) if stamped else 0
                self._put(come, _Grabbed(arrival_ns - age_ns - self._delay_ns(), np.asarray(pixels, np.uint8)))
        except DriverError as error:
            self._put(come, error)
        except cv2.error as error:
            self._put(come, DriverError(f"camera {self.config.source}: {str(error).strip().splitlines()[0]}"))
        finally:
            if capture is not None:
                capture.release()

    def _opened(self) -> Any:
        import cv2

        source, config = self.config.source, self.config
        if "://" in source:
            limits = [cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, OPEN_MS, cv2.CAP_PROP_READ_TIMEOUT_MSEC, READ_MS]
            capture = cv2.VideoCapture(source, cv2.CAP_FFMPEG, limits)
        else:
            capture = cv2.VideoCapture(int(source) if source.isdigit() else source, cv2.CAP_V4L2)
        if not capture.isOpened():
            capture.release()
            raise DriverError(f"cannot open camera {source}; is it plugged in, and may this user read it?")
        wanted = (
            (cv2.CAP_PROP_FRAME_WIDTH, config.width_px), (cv2.CAP_PROP_FRAME_HEIGHT, config.height_px),
            (cv2.CAP_PROP_FPS, config.rate_hz), (cv2.CAP_PROP_BUFFERSIZE, 1),
        )  # fmt: skip
        for key, value in wanted:
            if value:
                capture.set(key, value)
        return capture

    def _put(self, come: queue.Queue[_Grabbed | DriverError], item: _Grabbed | DriverError) -> None:
        while True:
            try:
                return come.put_nowait(item)
            except queue.Full:
                with contextlib.suppress(queue.Empty):
                    come.get_nowait()
                    self.counts["lost: this machine was too slow to take it"] += 1

    def _video(self, stop: threading.Event) -> Generator[CameraFrame | None, None, None]:
        import cv2

        timeline, shown = None, 0
        while not stop.is_set():
            capture = cv2.VideoCapture(self.config.source, cv2.CAP_FFMPEG)
            capture.set(cv2.CAP_PROP_ORIENTATION_AUTO, 0)  # stored pixels, as of pictures
            try:
                rate_hz = self.config.rate_hz or capture.get(cv2.CAP_PROP_FPS) or FOLDER_HZ
                timeline = timeline or Timeline(self.config.real_time)
                before = shown
                while not stop.is_set():
                    good, pixels = capture.read()
                    if not good:
                        break
                    capture_ns = timeline.stamp_ns(shown / rate_hz)
                    yield from timeline.wait(capture_ns + self._delay_ns(), stop)
                    yield self._frame(np.asarray(pixels, np.uint8), capture_ns, capture_ns + self._delay_ns())
                    shown += 1
            finally:
                capture.release()
            if shown == before:
                raise SetupError(f"{self.config.source} is no video that OpenCV can read")
            if not self.config.loop:
                return

    def _folder(self, stop: threading.Event) -> Generator[CameraFrame | None, None, None]:
        timeline, number = Timeline(self.config.real_time), 0
        while not stop.is_set():
            readable = 0
            for path in self._pictures():
                capture_ns = timeline.stamp_ns(number / (self.config.rate_hz or FOLDER_HZ))
                number += 1
                yield from timeline.wait(capture_ns + self._delay_ns(), stop)
                if stop.is_set():
                    return
                if (frame := self._read(path, capture_ns)) is not None:
                    readable += 1
                    yield frame
            if not readable:
                raise SetupError(f"no picture in {self.config.source} can be read")
            if not self.config.loop:
                return

    def _pictures(self) -> list[Path]:
        return sorted(path for path in Path(self.config.source).iterdir() if path.suffix.lower() in PICTURES)

    def _read(self, path: Path, capture_ns: int) -> CameraFrame | None:
        """The picture of a file, compressed as it is where messages may be."""
        import cv2

        arrival_ns = capture_ns + self._delay_ns()
        try:
            data = np.fromfile(path, np.uint8)
        except OSError:
            self.counts["refused: picture that cannot be read"] += 1
            return None
        if path.suffix.lower() in ENCODED:  # by its name; what it is its first bytes say
            try:
                head = head_of(data)
                pixels(data)
            except PictureError as error:
                self.counts[f"refused: {error}"] += 1
                return None
            return CameraFrame(self._header(capture_ns, arrival_ns), *head, data)
        picture = cv2.imdecode(data, cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION) if len(data) else None
        if picture is None:
            self.counts["refused: damaged picture"] += 1
            return None
        return self._frame(np.asarray(picture, np.uint8), capture_ns, arrival_ns)

    def _frame(self, pixels: Bytes, capture_ns: int, arrival_ns: int) -> CameraFrame:
        if pixels.ndim == 2:
            pixels = pixels[:, :, None]
        height, width, channels = pixels.shape
        return CameraFrame(
            self._header(capture_ns, arrival_ns), "mono8" if channels == 1 else "bgr8", height, width, pixels
        )

    def _header(self, capture_ns: int, arrival_ns: int) -> Header:
        return Header(self.config.topic, capture_ns, max(capture_ns, arrival_ns), frame=self.config.topic)

    def _delay_ns(self) -> int:
        return round(self.config.delay_ms * MILLISECOND_NS)


def _age_ns(position_ms: float) -> int:
    """How long ago V4L2 filled a buffer that it stamped `position_ms` on the monotonic clock; 0 if it did not."""
    age_ns = time.monotonic_ns() - round(position_ms * MILLISECOND_NS)
    return age_ns if 0 <= age_ns < SECOND_NS else 0
