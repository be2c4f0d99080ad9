"""Sound files as 16-bit samples: any sample format by its scale, and the true length of files written to a pipe.

A WAV that was streamed has 0, 0xFFFFFFFF or a number near 2 GiB in the place of its size (ffmpeg, GStreamer, SoX,
arecord), a FLAC 0 for the number of its samples (RFC 9639, 8.2); what they hold is counted here. Float samples are
full scale at 1.0, as libsndfile, WAVE_FORMAT_IEEE_FLOAT and every audio editor have it.
"""

from __future__ import annotations

import io
import os
import struct
from pathlib import Path
from typing import Any, BinaryIO, Self

import numpy as np
from numpy.typing import NDArray

from fusion_pipeline.sensors.retry import SetupError

# Sample formats that libsndfile itself brings to 16 bits; every other one is read as float and scaled here, because it
# casts floats to integers without their scale, which is silence.
INTEGERS = ("PCM_S8", "PCM_U8", "PCM_16", "PCM_24", "PCM_32", "ULAW", "ALAW")
FULL_SCALE = 32768.0
UNKNOWN_LENGTH = 1 << 48  # samples; libsndfile gives 2^63 - 1 where a FLAC does not say
BLOCK = 1 << 10  # samples, so that little before the damage of a file is left out of its length
_W64_DATA = b"data\xf3\xac\xd3\x11\x8c\xd1\x00\xc0\x4f\x8e\xdb\x8a"
_TAGS = (b"TAG", b"ID3", b"APETAGEX")  # of music players, behind the end


class DamagedSoundError(ValueError):
    """Sound that breaks off in the middle."""


class SoundReader:
    """A sound file, read in blocks of int16 (n, channels).

    `frames` is how many samples it holds, `promised` how many its header promises (the same where it promises none).
    Where more are held than promised, all are read. `clipped` counts samples beyond full scale, `not_finite` those that
    are no number and were read as 0.
    """

    def __init__(self, path: Path) -> None:
        """Raises SetupError where it is no sound file that can be read, or one that holds no sample."""
        import soundfile

        class Sequential(soundfile.SoundFile):  # type: ignore[misc]
            """Its read() sets the place after each block anew, which a FLAC of unknown length refuses at its end."""

            def seekable(self) -> bool:
                return False

        self.path, self.clipped, self.not_finite = path, 0, 0
        self._library = soundfile
        self._type: Any = Sequential
        self._bytes: BinaryIO | None = None
        try:
            self._open(path)
        except (soundfile.LibsndfileError, OSError, struct.error) as error:
            self.close()
            raise SetupError(f"{path} is no sound file that can be read: {error} Convert it to WAV or FLAC.") from None
        self.rate_hz, self.channels = int(self._sound.samplerate), int(self._sound.channels)
        self._integer = self._sound.subtype in INTEGERS
        if self.frames < 1:
            self.close()
            raise SetupError(f"{path} holds no sound sample")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        for file in (getattr(self, "_sound", None), self._bytes):
            if file is not None:
                file.close()

    def seek(self, frame: int) -> None:
        """Go on from sample `frame` on. Raises DamagedSoundError where damage before it hides it."""
        try:
            self._sound.seek(min(frame, self.frames))
        except self._library.LibsndfileError as error:
            raise DamagedSoundError(str(error)) from None

    def read(self, frames: int) -> NDArray[np.int16]:
        """The next samples, fewer at the end, none behind it. Raises DamagedSoundError."""
        kind = "int16" if self._integer else "float64"
        try:
            found = self._sound.read(frames, dtype=kind, always_2d=True)
        except self._library.LibsndfileError as error:
            raise DamagedSoundError(str(error)) from None
        return np.asarray(found, np.int16) if self._integer else self._scaled(found)

    def _scaled(self, found: NDArray[np.float64]) -> NDArray[np.int16]:
        good = np.isfinite(found)
        if not good.all():
            self.not_finite += int(good.size - np.count_nonzero(good))
            found = np.where(good, found, 0.0)
        self.clipped += int(np.count_nonzero(np.abs(found) > 1.0))
        return np.clip(np.rint(found * FULL_SCALE), -FULL_SCALE, FULL_SCALE - 1).astype(np.int16)

    def _open(self, path: Path) -> None:
        with path.open("rb") as file:
            patch, promised = _wave(file)
            total_at = _flac_total(file)
        if patch:
            self._bytes = _Patched(path, patch)
        self._sound = self._type(self._bytes or str(path))
        self.frames = int(self._sound.frames)
        if total_at and (self.frames >= UNKNOWN_LENGTH or self._longer(path, total_at)):
            promised = self.frames if self.frames < UNKNOWN_LENGTH else None
            self._bytes = _Patched(path, _no_total(path, total_at))
            self._sound.close()
            self._sound = self._type(self._bytes)
            self.frames = self._counted()
        frame_bytes = promised if promised is None or total_at else self._frames_of(promised)
        self.promised = self.frames if frame_bytes is None else frame_bytes

    def _frames_of(self, size: int) -> int:
        """Of a size in bytes: the file's own ratio, which is even for samples that are not packed."""
        width = {"PCM_16": 2, "PCM_24": 3, "PCM_32": 4, "FLOAT": 4, "DOUBLE": 8}.get(self._sound.subtype, 1)
        packed = "ADPCM" in self._sound.subtype or self._sound.subtype == "GSM610"
        return self.frames if packed else size // (width * int(self._sound.channels))

    def _counted(self) -> int:
        """All samples, by reading them once; up to the damage if there is one, which `read` meets again."""
        count = 0
        try:
            while found := len(self._sound.read(BLOCK, dtype="int16", always_2d=True)):
                count += found
        except self._library.LibsndfileError:
            pass
        self._sound.close()
        if self._bytes is not None:
            self._bytes.seek(0)
        self._sound = self._type(self._bytes or str(self.path))
        return count

    def _longer(self, path: Path, total_at: int) -> bool:
        """Whether a FLAC holds samples behind the last that its header promises."""
        with _Patched(path, _no_total(path, total_at)) as file, self._type(file) as sound:
            try:
                sound.seek(self.frames)
                return len(sound.read(1, dtype="int16")) > 0
            except self._library.LibsndfileError:
                return False


class _Patched(io.FileIO):
    """A file whose header reads otherwise than it is written."""

    def __init__(self, path: Path, patch: dict[int, bytes]) -> None:
        super().__init__(path)
        self._patch = patch

    def readinto(self, buffer: Any) -> int:
        """As a file's, with the patch."""
        at = self.tell()
        size = super().readinto(buffer) or 0
        place = memoryview(buffer).cast("B")
        for begin, data in self._patch.items():
            for k, byte in enumerate(data, begin - at):
                if 0 <= k < size:
                    place[k] = byte
        return size


def _no_total(path: Path, at: int) -> dict[int, bytes]:
    with path.open("rb") as file:
        file.seek(at)
        return {at: bytes([file.read(1)[0] & 0xF0]) + bytes(4)}


def _flac_total(file: BinaryIO) -> int:
    """Where a FLAC's header has its 36-bit number of samples; 0 in any other file."""
    file.seek(0)
    head = file.read(8)
    return 8 + 13 if head[:4] == b"fLaC" and head[4] & 0x7F == 0 else 0


def _wave(file: BinaryIO) -> tuple[dict[int, bytes], int | None]:
    """What to change in a WAV's header so that libsndfile reads all of it, and the bytes of samples it promises.

    None where it promises none, as a streamed one, or is no WAV.
    """
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    head = file.read(12)
    if head[:4] == b"riff":
        return _wave64(file, size)
    if head[:4] not in (b"RIFF", b"RIFX", b"RF64") or head[8:12] != b"WAVE":
        return {}, None
    order, at, wide = (">" if head[:4] == b"RIFX" else "<"), 12, None
    while at + 8 <= size:
        file.seek(at)
        name, length = struct.unpack(order + "4sI", file.read(8))
        if name == b"ds64" and head[:4] == b"RF64":
            wide = struct.unpack("<Q", file.read(24)[8:16])[0]
        if name == b"data":
            to_end = {at + 4: b"\xff\xff\xff\xff"}
            if length == 0xFFFFFFFF and wide is not None:
                if 0 < wide < 1 << 62:
                    return {}, wide
                return {0: b"RIFF"}, None
            left = size - at - 8
            if _placeholder(length, left):
                return (to_end if length == 0 else {}), None
            longer = length < left and not _chunks(file, at + 8 + length + length % 2, size)
            return (to_end if longer else {}), length
        at += 8 + length + length % 2
    return {}, None


def _placeholder(length: int, left: int) -> bool:
    """Whether a size says nothing: 0 before samples, or what a writer to a pipe puts near 2 or 4 GiB."""
    return (length == 0 and left > 0) or (length > left and (length > 0xFFFFF000 or abs(length - 0x80000000) <= 0x1000))


def _chunks(file: BinaryIO, at: int, size: int) -> bool:
    """Whether nothing but chunks, or a music player's tags, lies between a WAV's samples and its end."""
    while at + 8 <= size:
        file.seek(at)
        name, length = struct.unpack("<4sI", file.read(8))
        if name.startswith(_TAGS) or name == bytes(4):
            return True
        if not all(0x20 <= byte < 0x7F for byte in name) or at + 8 + length > size:
            return False
        at += 8 + length + length % 2
    return True


def _wave64(file: BinaryIO, size: int) -> tuple[dict[int, bytes], int | None]:
    """The same of Sony's Wave64, whose chunks have 16 bytes of name and 8 of a size that counts these 24 too."""
    at = 40
    while at + 24 <= size:
        file.seek(at)
        name, length = struct.unpack("<16sQ", file.read(24))
        if name == _W64_DATA:
            if 24 < length < 1 << 62:
                return {}, length - 24
            return {at + 16: struct.pack("<Q", size - at)}, None
        if length < 24:
            break
        at += (length + 7) // 8 * 8
    return {}, None
