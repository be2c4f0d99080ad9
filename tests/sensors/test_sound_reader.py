"""Sound files of every sample format, whole, streamed, cut off and longer than their headers say."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
import soundfile

from fusion_pipeline.sensors.retry import SetupError
from fusion_pipeline.sensors.sound_reader import DamagedSoundError, SoundReader

TONE = np.sin(np.arange(16000)[:, None] * np.asarray([0.05, 0.08])) * 0.5  # 1 s of two channels


def everything(path: Path) -> tuple[np.ndarray, SoundReader]:
    with SoundReader(path) as reader:
        parts = []
        while len(block := reader.read(320)):
            parts.append(block)
        return np.concatenate(parts), reader


@pytest.mark.parametrize(("container", "sample", "loss"), [
    ("WAV", "PCM_U8", 256), ("WAV", "PCM_16", 1), ("WAV", "PCM_24", 1), ("WAV", "PCM_32", 1), ("WAV", "FLOAT", 1),
    ("WAV", "DOUBLE", 1), ("WAV", "ULAW", 600), ("WAV", "ALAW", 600), ("WAVEX", "PCM_16", 1), ("WAVEX", "FLOAT", 1),
    ("RF64", "PCM_16", 1), ("RF64", "FLOAT", 1), ("W64", "PCM_24", 1), ("W64", "DOUBLE", 1), ("FLAC", "PCM_16", 1),
    ("FLAC", "PCM_24", 1), ("OGG", "VORBIS", 3000), ("AIFF", "FLOAT", 1), ("CAF", "FLOAT", 1), ("CAF", "ALAC_16", 1),
])  # fmt: skip
def test_every_sample_format_is_as_loud_as_it_was_written(
    tmp_path: Path, container: str, sample: str, loss: int
) -> None:
    path = tmp_path / f"a.{container.lower()}"
    soundfile.write(path, TONE, 16000, format=container, subtype=sample)
    pcm, reader = everything(path)
    assert (reader.rate_hz, reader.channels, reader.frames, reader.promised) == (16000, 2, 16000, 16000)
    assert np.abs(pcm - TONE * 32768).max() <= loss
    assert reader.clipped == 0


def test_beyond_full_scale_is_clipped_and_counted_and_no_number_is_silence(tmp_path: Path) -> None:
    samples = np.zeros((100, 1))
    samples[3:7, 0] = [1.0, -1.0, 1.5, -2.0]
    samples[10:12, 0] = [np.nan, np.inf]
    soundfile.write(tmp_path / "a.wav", samples, 16000, subtype="FLOAT")
    pcm, reader = everything(tmp_path / "a.wav")
    assert pcm[3:7, 0].tolist() == [32767, -32768, 32767, -32768]
    assert pcm[10:12, 0].tolist() == [0, 0]
    assert (reader.clipped, reader.not_finite) == (2, 2)


def wave(path: Path, riff: int, data: int, behind: bytes = b"") -> None:
    """The tone as a WAV with these sizes in its header."""
    soundfile.write(path, TONE, 16000, subtype="PCM_16")
    written = bytearray(path.read_bytes())
    struct.pack_into("<I", written, 4, riff)
    struct.pack_into("<I", written, written.index(b"data") + 4, data)
    path.write_bytes(bytes(written) + behind)


@pytest.mark.parametrize(("riff", "data"), [
    (0, 0), (36, 0), (0xFFFFFFFF, 0xFFFFFFFF), (0x7FFFF024, 0x7FFFF000), (0x80000024, 0x80000000),
    (0, 0xFFFFFFFF),
])  # fmt: skip
def test_a_wave_written_to_a_pipe_is_whole(tmp_path: Path, riff: int, data: int) -> None:
    wave(tmp_path / "a.wav", riff, data)
    pcm, reader = everything(tmp_path / "a.wav")
    assert len(pcm) == reader.frames == reader.promised == 16000


def test_what_a_header_promises_is_compared_with_what_is_there(tmp_path: Path) -> None:
    wave(tmp_path / "short.wav", 128036, 128000)
    pcm, reader = everything(tmp_path / "short.wav")
    assert (len(pcm), reader.frames, reader.promised) == (16000, 16000, 32000)
    wave(tmp_path / "long.wav", 32036, 32000)
    pcm, reader = everything(tmp_path / "long.wav")
    assert (len(pcm), reader.frames, reader.promised) == (16000, 16000, 8000)
    wave(tmp_path / "chunk.wav", 64048, 64000, b"LIST\x04\0\0\0abcd")
    pcm, reader = everything(tmp_path / "chunk.wav")
    assert (len(pcm), reader.frames, reader.promised) == (16000, 16000, 16000)


@pytest.mark.parametrize("size", [0, 24, (1 << 64) - 1])
def test_streamed_wave64_and_rf64(tmp_path: Path, size: int) -> None:
    soundfile.write(tmp_path / "a.w64", TONE, 16000, format="W64", subtype="PCM_16")
    written = bytearray((tmp_path / "a.w64").read_bytes())
    struct.pack_into("<Q", written, written.index(b"data\xf3") + 16, size)
    (tmp_path / "a.w64").write_bytes(written)
    assert len(everything(tmp_path / "a.w64")[0]) == 16000
    soundfile.write(tmp_path / "a.wav", TONE, 16000, format="RF64", subtype="PCM_16")
    written = bytearray((tmp_path / "a.wav").read_bytes())
    struct.pack_into("<Q", written, written.index(b"ds64") + 16, 0 if size == 24 else size)
    (tmp_path / "a.wav").write_bytes(written)
    assert len(everything(tmp_path / "a.wav")[0]) == 16000


def flac(path: Path, total: int, keep: int | None = None) -> None:
    """The tone as a FLAC whose header says `total` samples."""
    soundfile.write(path, TONE, 16000, format="FLAC", subtype="PCM_16")
    written = bytearray(path.read_bytes())
    said = int.from_bytes(written[21:26], "big") >> 36 << 36 | total
    written[21:26] = said.to_bytes(5, "big")
    path.write_bytes(written[:keep])


@pytest.mark.parametrize(("total", "promised"), [(0, 16000), (16000, 16000), (8000, 8000)])
def test_a_flac_is_read_to_its_end_whatever_its_header_says(tmp_path: Path, total: int, promised: int) -> None:
    flac(tmp_path / "a.flac", total)
    pcm, reader = everything(tmp_path / "a.flac")
    assert (len(pcm), reader.frames, reader.promised) == (16000, 16000, promised)
    assert np.abs(pcm - TONE * 32768).max() <= 1
    with SoundReader(tmp_path / "a.flac") as reader:
        reader.seek(15000)
        np.testing.assert_array_equal(reader.read(2000), pcm[15000:])


@pytest.mark.parametrize("total", [0, 16000])
def test_a_flac_that_breaks_off_is_damaged(tmp_path: Path, total: int) -> None:
    flac(tmp_path / "a.flac", total, keep=-3000)
    with pytest.raises(DamagedSoundError):
        everything(tmp_path / "a.flac")


def test_what_is_no_sound_is_refused(tmp_path: Path) -> None:
    for name, data in (("a.wav", b"RIFF\0\0\0\0WAVE"), ("b.wav", b"no sound"), ("c.flac", b"fLaC\0\0\0\x22")):
        (tmp_path / name).write_bytes(data)
        with pytest.raises(SetupError, match=name):
            SoundReader(tmp_path / name)
    soundfile.write(tmp_path / "d.wav", np.zeros((0, 1)), 16000)
    with pytest.raises(SetupError, match="no sound sample"):
        SoundReader(tmp_path / "d.wav")
