"""Files that are compressed as a whole: every format, several frames, cut off, damaged, no room."""

from __future__ import annotations

import bz2
import gc
import gzip
import lzma
import shutil
from collections.abc import Callable
from pathlib import Path

import lz4.frame
import numpy as np
import pytest
import zstandard

from fusion_pipeline.logs.compressed_file import inner_name, is_compressed, uncompressed
from fusion_pipeline.logs.reader import LogError


def streamed(data: bytes) -> bytes:
    """Zstandard without the content's size in its head, as a stream writes it."""
    step = zstandard.ZstdCompressor().compressobj()
    return step.compress(data) + step.flush()


FORMS: dict[str, Callable[[bytes], bytes]] = {
    "zstd": zstandard.ZstdCompressor(write_checksum=True).compress, "zst": streamed, "gz": gzip.compress,
    "lz4": lambda data: lz4.frame.compress(data, content_checksum=True), "bz2": bz2.compress, "xz": lzma.compress,
}  # fmt: skip


@pytest.fixture
def data() -> bytes:
    return np.random.default_rng(0).bytes(50_000) + bytes(3_000_000)


@pytest.mark.parametrize("suffix", FORMS)
def test_content_of_every_format_comes_back_and_its_file_goes_away(tmp_path: Path, suffix: str, data: bytes) -> None:
    path = tmp_path / f"drive_0.mcap.{suffix}"
    path.write_bytes(FORMS[suffix](data) + FORMS[suffix](b"second frame") + bytes(20))
    assert is_compressed(path, ".mcap")
    assert not is_compressed(path, ".db3")
    found = uncompressed(path)
    assert (found.path.name, found.damage) == ("drive_0.mcap", "")
    assert found.path.read_bytes() == data + b"second frame"
    assert uncompressed(path) is found  # not decompressed twice
    place = found.path
    del found
    gc.collect()
    assert not place.parent.exists()


@pytest.mark.parametrize("suffix", FORMS)
def test_a_file_that_is_cut_off_gives_what_comes_before(tmp_path: Path, suffix: str, data: bytes) -> None:
    path = tmp_path / f"drive_0.mcap.{suffix}"
    path.write_bytes(FORMS[suffix](data)[:-4])
    found = uncompressed(path)
    assert found.damage == "cut off"
    assert data.startswith(found.path.read_bytes())


@pytest.mark.parametrize("suffix", FORMS)
def test_what_follows_a_frame_and_is_none_is_damage(tmp_path: Path, suffix: str, data: bytes) -> None:
    path = tmp_path / f"drive_0.mcap.{suffix}"
    path.write_bytes(FORMS[suffix](data) + b"this is no frame, and it is no padding either" * 3)
    found = uncompressed(path)
    assert found.damage == "damaged"
    assert found.path.read_bytes() == data


def test_the_first_bytes_say_the_format_and_not_the_name(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "a.mcap.gz"
    path.write_bytes(FORMS["zstd"](data))
    assert uncompressed(path).path.read_bytes() == data
    path.write_bytes(b"plain text")
    with pytest.raises(LogError, match="not compressed in a way that is known"):
        uncompressed(path)


def test_no_room_for_the_content_is_said_with_where_it_lacks(
    tmp_path: Path, data: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.mcap.zst"
    path.write_bytes(FORMS["zst"](data))
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=(1 << 28) + 1_000_000))
    with pytest.raises(LogError, match="set TMPDIR to a folder with more room"):
        uncompressed(path)


def test_names_without_a_compression_stay() -> None:
    assert inner_name(Path("x/a.mcap")) == "a.mcap"
    assert inner_name(Path("x/a.db3.zstd")) == "a.db3"
