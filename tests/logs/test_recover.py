"""Recovering: what is damaged costs itself and no more, no length is believed, what was written is proved."""

from __future__ import annotations

import resource
import struct
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from fusion_pipeline.cli.dispatch import run
from fusion_pipeline.logs import surgery
from fusion_pipeline.logs.mcap_writer import McapWriter
from fusion_pipeline.logs.raw import Raw, RawReader, RawWriter
from fusion_pipeline.logs.reader import LogError
from fusion_pipeline.logs.surgery import recovered
from fusion_pipeline.messages import AudioChunk, CameraFrame, Header

START = 1_700_000_000_000_000_000
CHUNK_HEAD = struct.Struct("<BQQQQII")


@pytest.fixture(scope="module", params=["none", "lz4", "zstd"])
def log(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight seconds of noise and sound in chunks of at most a second."""
    path = tmp_path_factory.mktemp("recover") / "log.mcap"
    with McapWriter(path, facts={"what": "noise"}, compression=request.param) as writer:
        for k in range(80):
            at = START + k * 100_000_000
            picture = np.random.default_rng(k).integers(0, 255, (20, 30, 3)).astype(np.uint8)
            writer.write(CameraFrame(Header("camera/front", at, at), "rgb8", 20, 30, picture))
            writer.write(AudioChunk(Header("audio/roof", at, at), 8000, np.full((800, 1), k, np.int16)))
    return path


def content(path: Path) -> Counter[tuple[str, int, bytes]]:
    """Every stored message."""
    return Counter((raw.topic, raw.log_ns, raw.data) for raw in RawReader(path))


def chunks(data: bytes) -> list[int]:
    """Where the chunks begin."""
    found, at = [], 8
    while data[at] != 0x0F:
        if data[at] == 6:
            found.append(at)
        at += 9 + int.from_bytes(data[at + 1 : at + 9], "little")
    return found


def damaged(log: Path, tmp_path: Path, at: int, new: bytes) -> Path:
    """The log with other bytes at a place."""
    data = bytearray(log.read_bytes())
    data[at : at + len(new)] = new
    (tmp_path / "broken.mcap").write_bytes(data)
    return tmp_path / "broken.mcap"


@pytest.mark.parametrize("new", [
    (1 << 32).to_bytes(8, "little"), (0).to_bytes(8, "little"), (1).to_bytes(8, "little"), b"\xff" * 8,
    (70_000).to_bytes(8, "little"),
])  # fmt: skip
def test_a_length_that_lies_costs_its_chunk_alone(log: Path, tmp_path: Path, new: bytes) -> None:
    data = log.read_bytes()
    places = chunks(data)
    assert len(places) == 8
    broken = damaged(log, tmp_path, places[3] + 1, new)
    count, lost = recovered(broken, tmp_path / "whole.mcap")
    assert lost == {"bytes between records, damaged": places[4] - places[3]}
    assert count == 7 * 40  # each second: ten pictures, ten sounds, and what lies beside each
    assert not content(tmp_path / "whole.mcap") - content(log)


@pytest.mark.parametrize("place", ["inner length", "uncompressed size", "message"])
def test_claims_within_a_chunk_cost_it_alone(log: Path, tmp_path: Path, place: str) -> None:
    data = log.read_bytes()
    start = chunks(data)[2]
    named = CHUNK_HEAD.unpack_from(data, start)[-1]
    at = {"inner length": start + CHUNK_HEAD.size + named, "uncompressed size": start + 25,
          "message": start + CHUNK_HEAD.size + named + 200}[place]  # fmt: skip
    broken = damaged(log, tmp_path, at, (1 << 40).to_bytes(8, "little"))
    count, lost = recovered(broken, tmp_path / "whole.mcap")
    assert count == 7 * 40
    assert sum(lost.values()) >= 1


@pytest.fixture
def little_memory() -> Iterator[None]:
    """Whoever believes a claim of gigabytes fails."""
    before = resource.getrlimit(resource.RLIMIT_AS)
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + (700 << 20), before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_AS, before)


@pytest.mark.parametrize("seed", range(6))
def test_damage_of_any_kind_is_an_error_with_a_name_or_less_to_read(
    log: Path, tmp_path: Path, seed: int, little_memory: None
) -> None:
    data, rng, true = log.read_bytes(), np.random.default_rng(seed), content(log)
    path, whole = tmp_path / "broken.mcap", tmp_path / "whole.mcap"
    claims = [1 << 32, (1 << 32) - 1, 1 << 63, (1 << 64) - 1, 0, 1]
    for number in range(12):
        broken = bytearray(data)
        at = int(rng.integers(8, len(data) - 8))
        if number % 4 == 0:
            del broken[at:]
        elif number % 4 == 1:
            broken[at] ^= 1 << int(rng.integers(8))
        elif number % 4 == 2:
            broken[at : at + 8] = claims[int(rng.integers(len(claims)))].to_bytes(8, "little")
        else:
            del broken[at : at + int(rng.integers(1, 3000))]
        path.write_bytes(broken)
        try:
            count, lost = recovered(path, whole)
        except LogError:
            assert not content(path)  # nothing is there that could be read
            continue
        found = content(whole)
        assert sum(found.values()) == count
        assert sum((found - true).values()) == 0
        if count < sum(true.values()):
            assert lost


def test_what_does_not_come_back_as_it_was_read_is_told(
    log: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Careless(RawWriter):
        """A writer that loses a message."""

        def write(self, raw: Raw) -> None:
            if raw.sequence != 7:
                super().write(raw)

    monkeypatch.setattr(surgery, "RawWriter", Careless)
    with pytest.raises(LogError, match="does not hold what was read"):
        recovered(log, tmp_path / "whole.mcap")


def test_what_lies_beside_messages_comes_along(log: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["log", "recover", str(log), str(tmp_path / "whole.mcap")]) == 0
    said = capsys.readouterr().out
    assert "lost: nothing" in said
    assert "read back and compared" in said
    readers = [RawReader(path) for path in (log, tmp_path / "whole.mcap")]
    raws = [list(reader) for reader in readers]
    assert raws[0] == raws[1]
    assert readers[0].metadata == readers[1].metadata
    assert readers[0].attachments == readers[1].attachments


def test_a_damaged_attachment_is_left_out(tmp_path: Path) -> None:
    from fusion_pipeline.logs.mcap_out import McapOut

    file = McapOut(tmp_path / "log.mcap")
    file.add_attachment("note.txt", "text/plain", b"something to know", START)
    file.close()
    data = (tmp_path / "log.mcap").read_bytes()
    reader = RawReader(tmp_path / "log.mcap")
    assert list(reader) == []
    assert [(item.name, item.data) for item in reader.attachments] == [("note.txt", b"something to know")]
    (tmp_path / "log.mcap").write_bytes(data.replace(b"something", b"sometimes", 1))
    assert list(reader) == []
    assert reader.attachments == []
    assert reader.lost == {"records, damaged attachment": 1}


@pytest.mark.parametrize("data", [b"", b"PK\x03\x04" * 50, b"\x89MCAP1\r\n" + b"\0" * 99])
def test_what_is_no_mcap_file_is_told(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "x.mcap").write_bytes(data)
    with pytest.raises(LogError, match=r"is empty|does not begin as an MCAP file"):
        recovered(tmp_path / "x.mcap", tmp_path / "whole.mcap")
