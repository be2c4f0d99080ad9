"""What messages of a topic hold, beyond their stamps: points without a place, black pictures, silent sound, sizes.

A look at a message costs microseconds: some hundred points or pixels of it stand for the whole, and only where these
have nothing to show is all of it looked at.
"""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Iterator

import numpy as np

from fusion_pipeline.messages import AudioChunk, CameraFrame, EgoMotion, LidarScan, Message
from fusion_pipeline.messages.camera import COMPRESSED
from fusion_pipeline.rig import Rig

SAMPLE = 512  # points of a scan that are looked at
ROWS = 32  # and of a picture so many rows and columns
BLACK = 5  # of 255: pixels up to this are the noise of a covered lens
CROP = 0.02  # of a side: cut or padded, as rectified pictures and video are; not scaled
SHORT = 0.3  # of the usual number of points, or of the usual duration
CLIPPED = 0.01  # of all samples at full scale
FULL = (-32768, 32767)

Row = tuple[str, str, int]  # name of a kind in `findings.KINDS`, detail, how often


class ScanContent:
    """Of a LiDAR's topic."""

    def __init__(self) -> None:
        self._sizes, self._durations = array("q"), array("q")
        self._empty = 0
        self._brightest = 0.0

    def look(self, scan: Message) -> None:
        """Take a scan."""
        if not isinstance(scan, LidarScan):
            return
        n = len(scan.xyz_m)
        self._sizes.append(n)
        self._durations.append(scan.duration_ns)
        step = max(n // SAMPLE, 1)
        if not n or not (_placed(scan.xyz_m[::step]) or _placed(scan.xyz_m)):
            self._empty += 1
        elif not self._brightest > 0:
            some = scan.intensity[::step]
            self._brightest = max(self._brightest, float(np.nanmax(some if some.any() else scan.intensity)))

    def findings(self) -> Iterator[Row]:
        """What is wrong."""
        count = len(self._sizes)
        if self._empty:
            yield "empty-scan", f"{self._empty} of {count} scans have no point with a place", 1
        if count > self._empty and not self._brightest > 0:
            yield "no-intensity", f"intensity is 0 in {count} scans", 1
        inside = slice(1, -1)  # the first and the last turn are often cut
        sizes, durations = np.asarray(self._sizes)[inside], np.asarray(self._durations)[inside]
        if len(sizes) < 3:
            return
        usual, lasts = float(np.median(sizes)), float(np.median(durations))
        few = (sizes < SHORT * usual) | (durations < SHORT * lasts)
        if few.any():
            usually = f"the usual {usual:.0f} points or {lasts / 1e6:.0f} ms"
            yield "short-scan", f"{int(few.sum())} of {count} scans have less than {SHORT:.0%} of {usually}", 1


def _placed(xyz: np.ndarray[tuple[int, ...], np.dtype[np.float32]]) -> bool:
    return bool((np.isfinite(xyz).all(1) & xyz.any(1)).any())


class PictureContent:
    """Of a camera's topic."""

    def __init__(self) -> None:
        self._sizes: Counter[tuple[int, int]] = Counter()
        self._black = 0

    def look(self, frame: Message) -> None:
        """Take a picture; of a compressed one the size."""
        if not isinstance(frame, CameraFrame):
            return
        height, width = frame.height_px, frame.width_px
        self._sizes[width, height] += 1
        if frame.encoding in COMPRESSED:
            return
        some = frame.data[:: max(height // ROWS, 1), :: max(width // ROWS, 1)]
        if some.max() <= BLACK and frame.data.max() <= BLACK:
            self._black += 1

    def findings(self, lens: tuple[int, int] | None) -> Iterator[Row]:
        """What is wrong. `lens`: width and height that the intrinsics are for."""
        count = sum(self._sizes.values())
        if self._black:
            yield "black-picture", f"{self._black} of {count} pictures", 1
        if lens is None and len(self._sizes) > 1:
            sizes = ", ".join(f"{number} are {w} x {h}" for (w, h), number in self._sizes.most_common(4))
            yield "picture-sizes", f"of {count} pictures {sizes}", 1
        for (width, height), number in self._sizes.items():
            if lens is not None and (width, height) != lens:
                near = abs(width - lens[0]) <= CROP * lens[0] and abs(height - lens[1]) <= CROP * lens[1]
                sizes = f"{number} of {count} pictures are {width} x {height}, the lens is of {lens[0]} x {lens[1]}"
                yield "lens-crop" if near else "lens-size", sizes, 1


class SoundContent:
    """Of a microphone array's topic."""

    def __init__(self) -> None:
        self._samples = self._clipped = 0
        self._least: dict[int, np.ndarray[tuple[int, ...], np.dtype[np.int16]]] = {}  # by number of channels
        self._most: dict[int, np.ndarray[tuple[int, ...], np.dtype[np.int16]]] = {}

    def look(self, chunk: Message) -> None:
        """Take a chunk."""
        if not isinstance(chunk, AudioChunk):
            return
        pcm = chunk.pcm
        if not pcm.size:
            return
        channels = pcm.shape[1]
        least, most = pcm.min(0), pcm.max(0)
        self._samples += pcm.size
        if least.min() <= FULL[0] or most.max() >= FULL[1]:
            self._clipped += int(((pcm <= FULL[0]) | (pcm >= FULL[1])).sum())
        self._least[channels] = np.minimum(self._least.get(channels, least), least)
        self._most[channels] = np.maximum(self._most.get(channels, most), most)

    def findings(self, microphones: int) -> Iterator[Row]:
        """What is wrong. `microphones`: of the rig; 0 where it does not say."""
        if self._clipped > CLIPPED * self._samples:
            yield "clipped-sound", f"{self._clipped / self._samples:.0%} of the samples are at full scale", 1
        for channels, least in self._least.items():
            dead = [str(k + 1) for k in np.flatnonzero(least == self._most[channels]).tolist()]
            if dead:
                which = "all channels" if len(dead) == channels else f"channel {', '.join(dead)} of {channels}"
                yield "silent-sound", f"{which} without a sound", 1
            if microphones and channels != microphones:
                yield "microphone-count", f"{channels} channels, {microphones} microphones in the rig", 1


class EgoContent:
    """Of a topic of ego motion."""

    def __init__(self) -> None:
        self._count = self._wrong = 0

    def look(self, ego: Message) -> None:
        """Take a pose."""
        if not isinstance(ego, EgoMotion):
            return
        self._count += 1
        total = ego.position_m.sum() + ego.orientation.sum()
        self._wrong += not np.isfinite(total)

    def findings(self) -> Iterator[Row]:
        """What is wrong."""
        if self._wrong:
            yield "not-finite", f"{self._wrong} of {self._count} poses", 1


Content = ScanContent | PictureContent | SoundContent | EgoContent


def content_of(message: Message) -> Content | None:
    """What gathers the content of a message's topic; None for results and health."""
    if isinstance(message, LidarScan):
        return ScanContent()
    if isinstance(message, CameraFrame):
        return PictureContent()
    if isinstance(message, AudioChunk):
        return SoundContent()
    return EgoContent() if isinstance(message, EgoMotion) else None


def content_findings(topic: str, content: Content | None, rig: Rig) -> Iterator[Row]:
    """What is wrong with a topic's content, by itself and against the rig."""
    if isinstance(content, PictureContent):
        mount = rig.cameras.get(topic)
        yield from content.findings((mount.model.width_px, mount.model.height_px) if mount is not None else None)
    elif isinstance(content, SoundContent):
        array_of = rig.audios.get(topic)
        yield from content.findings(len(array_of.microphones_m) if array_of is not None else 0)
    elif content is not None:
        yield from content.findings()


def place_findings(topics: tuple[str, ...], rig: Rig) -> Iterator[tuple[str, str, str]]:
    """Sensors that the rig does not place, as (name, topic, detail).

    An error where results would be wrong: beside a LiDAR every camera needs a place and a lens, beside other sensors
    a LiDAR needs a place. A recording of cameras or microphones alone is only warned of.
    """
    lidars = [topic for topic in topics if topic.startswith("lidar/")]
    others = [topic for topic in topics if topic.startswith("camera/")]
    for topic in topics:
        kind = topic.split("/", 1)[0]
        if topic in rig.topics or kind not in ("lidar", "camera", "audio"):
            continue
        if kind == "camera" and lidars:
            yield "no-lens", topic, "the rig has neither a place nor intrinsics of this camera"
        elif kind == "lidar" and len(lidars) + len(others) > 1:
            yield "no-transform", topic, "the rig has no place of this LiDAR"
        else:
            yield "no-calibration", topic, f"the rig has no {'lens' if kind == 'camera' else 'place'} of it"
