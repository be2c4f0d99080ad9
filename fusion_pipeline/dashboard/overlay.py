"""A camera's pictures with the boxes of tracks, detections or labels drawn in: frames to look at, and films."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import cv2
import numpy as np

from fusion_pipeline.arrays import Bytes
from fusion_pipeline.clock import SECOND_NS
from fusion_pipeline.dashboard.canvas import FAINT, Canvas, Rect
from fusion_pipeline.dashboard.panels import draw_camera
from fusion_pipeline.logs.film import H264Film, can_encode
from fusion_pipeline.messages import CameraFrame, Detections, Tracks
from fusion_pipeline.rig import CameraMount

Found = Tracks | Detections
NEAR_NS = 75_000_000  # a set further from a picture than this has nothing to do with it
LEAST_PX = 900  # width
BAR_PX = 22  # below the picture: when it was taken


class BoxesByTime:
    """Sets of boxes, to be found by the picture that they saw, or by time."""

    def __init__(self, sets: Iterable[Found]) -> None:
        self._sets = sorted(sets, key=lambda found: found.header.capture_ns)
        self._stamps = [found.header.capture_ns for found in self._sets]
        self._seen = {(s.source, s.capture_ns): found for found in self._sets for s in found.sources}

    def __len__(self) -> int:
        return len(self._sets)

    def of(self, frame: CameraFrame) -> Found | None:
        """The set that the picture is a part of, or the nearest within 75 ms; None where there is none."""
        stamp = frame.header.capture_ns
        if (found := self._seen.get((frame.header.source, stamp))) is not None:
            return found
        place = bisect_left(self._stamps, stamp)
        near = self._sets[max(0, place - 1) : place + 1]
        best = min(near, key=lambda found: abs(found.header.capture_ns - stamp), default=None)
        return best if best is not None and abs(best.header.capture_ns - stamp) <= NEAR_NS else None


def overlay(picture: Bytes, found: Found | None, camera: CameraMount | None, caption: str = "") -> Bytes:
    """BGR: the picture (H, W, 3) with boxes, and below it the caption. No boxes without a camera.

    Small pictures are shown twice or more as large, so that labels can be read.
    """
    more = -(-LEAST_PX // picture.shape[1])
    height, width = picture.shape[0] * more, picture.shape[1] * more
    page = Canvas(width, height + BAR_PX)
    view = page.clip(Rect(0, 0, width, height))
    if found is not None and camera is not None:
        draw_camera(view, picture, found, camera, None)
    else:
        view.paste(picture, Rect(0, 0, width, height))
    page.text(8, height + BAR_PX - 7, caption, FAINT, 11)
    return page.image()


def drawn(
    frames: Iterable[CameraFrame], decode: Callable[[CameraFrame], CameraFrame | None], boxes: BoxesByTime,
    cameras: dict[str, CameraMount], start_ns: int,
) -> Iterator[tuple[CameraFrame, Bytes]]:  # fmt: skip
    """Each frame with its picture drawn; those that cannot be decoded are passed over."""
    for frame in frames:
        raw = decode(frame)
        if raw is None:
            continue
        picture = bgr(raw)
        found = boxes.of(frame)
        number = f", {len(found.boxes)} boxes" if found is not None else ", no boxes" if len(boxes) else ""
        seconds = (frame.header.capture_ns - start_ns) / SECOND_NS
        caption = f"{frame.header.source}   {seconds:.3f} s{number}   {frame.header.capture_ns}"
        yield frame, overlay(picture, found, cameras.get(frame.header.source), caption)


def bgr(frame: CameraFrame) -> Bytes:
    """(H, W, 3) BGR of a raw frame."""
    if frame.encoding == "mono8":
        return np.repeat(frame.data, 3, axis=2)
    return np.ascontiguousarray(frame.data[:, :, ::-1]) if frame.encoding == "rgb8" else frame.data


class Film:
    """An .mp4 file that grows by pictures of one size. Use it in a `with` block.

    In H.264 where PyAV is there, `plays_anywhere`; else in MPEG-4 Part 2, which no browser shows.
    """

    def __init__(self, path: Path, rate_hz: float) -> None:
        self.path, self.count = path, 0
        self.plays_anywhere = can_encode()
        self._rate, self._writer, self._size = rate_hz, None, (0, 0)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._writer is not None:
            self._writer.release()

    _writer: Any

    def write(self, picture: Bytes) -> None:
        """Append a picture (H, W, 3) BGR; one of another size is stretched to the first's. Raises OSError."""
        if self._writer is None:
            height, width = picture.shape[:2]
            self._size = (width - width % 2, height - height % 2)
            self._writer = self._opened()
        if picture.shape[1::-1] != self._size:
            stretched = abs(picture.shape[1] - self._size[0]) > 1 or abs(picture.shape[0] - self._size[1]) > 1
            width, height = self._size
            picture = np.asarray(cv2.resize(picture, self._size) if stretched else picture[:height, :width], np.uint8)
        self._writer.write(picture)
        self.count += 1

    def _opened(self) -> Any:
        if self.plays_anywhere:
            return H264Film(self.path, self._rate, self._size)
        writer = cv2.VideoWriter(str(self.path), cv2.VideoWriter.fourcc(*"mp4v"), self._rate, self._size)
        if not writer.isOpened():
            raise OSError(f"cannot write {self.path}")
        return writer

    def is_whole(self) -> bool:
        """After the block: whether the file can be opened and its last picture read. OpenCV does not report a disk
        that took no more.
        """
        film = cv2.VideoCapture(str(self.path))
        try:
            count = round(film.get(cv2.CAP_PROP_FRAME_COUNT)) if film.isOpened() else 0
            film.set(cv2.CAP_PROP_POS_FRAMES, count - 1)
            return count == self.count and film.read()[0]
        finally:
            film.release()
