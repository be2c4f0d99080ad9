"""Logs looked into, cut, thinned, merged, recovered; damage is named, counted and never fatal."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from calibration import rig
from fusion_pipeline.cli.dispatch import run
from fusion_pipeline.geometry.camera import CameraModel
from fusion_pipeline.logs.mcap_writer import McapWriter
from fusion_pipeline.logs.raw import RawReader
from fusion_pipeline.logs.reader import LogError, open_log
from fusion_pipeline.logs.surgery import cut, merged, recovered, thinned
from fusion_pipeline.logs.survey import surveyed
from fusion_pipeline.messages import CameraFrame, Header, LidarScan
from fusion_pipeline.rig import Rig

MS = 1_000_000
START = 1_700_000_000_000_000_000
DEMO = Rig.load(rig("demo"))
SMALL = CameraModel("pinhole", 6, 4, np.asarray([[3.0, 0, 3], [0, 3, 2], [0, 0, 1]]), np.zeros(0))
RIG = replace(DEMO, cameras={"camera/front": replace(DEMO.cameras["camera/front"], model=SMALL)})


def scan(number: int, at_ms: float, size: int = 2000) -> LidarScan:
    """A scan of random points, captured 20 ms before it came."""
    rng = np.random.default_rng(number)
    at = START + round(at_ms * MS)
    xyz = rng.normal(size=(size, 3)).astype(np.float32)
    light = rng.random(size).astype(np.float32)
    header = Header("lidar/top", at - 20 * MS, at)
    return LidarScan(header, 0, xyz, light, np.zeros(size, np.uint16), np.zeros(size, np.int32))


def frame(number: int, at_ms: float) -> CameraFrame:
    """A small picture."""
    at = START + round(at_ms * MS)
    return CameraFrame(Header("camera/front", at - 5 * MS, at), "bgr8", 4, 6, np.full((4, 6, 3), 50 + number, np.uint8))


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six seconds of scans and pictures, several chunks long."""
    path = tmp_path_factory.mktemp("log") / "log.mcap"
    with McapWriter(path, RIG) as writer:
        for number in range(60):
            writer.write(scan(number, 100 * number, 12_000))
            writer.write(frame(number, 100 * number + 30))
    return path


def content(path: Path) -> Counter[tuple[str, int, bytes]]:
    """Every stored message."""
    return Counter((raw.topic, raw.log_ns, raw.data) for raw in RawReader(path))


def test_a_card_is_read_from_the_index_and_from_a_cut_off_file(
    log: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["log", "info", str(log), "--json"]) == 0
    table = json.loads(capsys.readouterr().out)
    counts = {row["topic"]: row["count"] for row in table["rows"]}
    assert (counts["lidar/top"], counts["camera/front"]) == (60, 60)
    assert table["seconds"] == pytest.approx(5.93)
    assert table["complete"]
    broken = tmp_path / "broken.mcap"
    broken.write_bytes(log.read_bytes()[: log.stat().st_size // 2])
    assert run(["log", "info", str(broken)]) == 3
    assert "fusion log recover" in capsys.readouterr().out


def test_cutting_and_merging_lose_nothing(log: Path, tmp_path: Path) -> None:
    one, two, whole = tmp_path / "one.mcap", tmp_path / "two.mcap", tmp_path / "whole.mcap"
    first, second = cut(log, one, 0.0, 2.5), cut(log, two, 2.5, 99.0)
    assert min(first, second) > 40
    assert merged([one, two], whole) == first + second
    assert content(whole) == content(log)
    assert [m.header.capture_ns for m in open_log(whole).messages()] == [
        m.header.capture_ns for m in open_log(log).messages()
    ]
    assert open_log(whole).rig.topics == RIG.topics
    only = tmp_path / "only.mcap"
    cut(log, only, 0.0, 99.0, ["camera/front"])
    assert open_log(only).topics == ("camera/front",)


def test_thinning_keeps_every_nth_of_what_is_named(log: Path, tmp_path: Path) -> None:
    thinned(log, tmp_path / "t.mcap", {"camera/front": 3})
    kept = Counter(m.header.source for m in open_log(tmp_path / "t.mcap").messages())
    assert kept == {"lidar/top": 60, "camera/front": 20}
    with pytest.raises(LogError, match="has no topic 'camera/rear'; it has camera/front"):
        thinned(log, tmp_path / "u.mcap", {"camera/rear": 3})


@pytest.mark.parametrize("share", [0.5, 0.9, 0.999])
def test_what_a_cut_off_file_holds_is_recovered(log: Path, tmp_path: Path, share: float) -> None:
    broken, whole = tmp_path / "broken.mcap", tmp_path / "whole.mcap"
    broken.write_bytes(log.read_bytes()[: int(share * log.stat().st_size)])
    count, lost = recovered(broken, whole)
    assert lost
    assert sum(content(whole).values()) == count
    assert not content(whole) - content(log)
    assert surveyed(whole).sound
    assert not surveyed(broken).sound


def test_a_file_cut_off_before_its_first_message_is_no_recovery(log: Path, tmp_path: Path) -> None:
    broken, whole = tmp_path / "broken.mcap", tmp_path / "whole.mcap"
    broken.write_bytes(log.read_bytes()[: int(0.1 * log.stat().st_size)])
    with pytest.raises(LogError, match="no message that can be read"):
        recovered(broken, whole)
    assert not whole.exists()


def test_flipped_bits_cost_a_chunk_at_most_and_nothing_false_is_read(log: Path, tmp_path: Path) -> None:
    data, rng = log.read_bytes(), np.random.default_rng(3)
    original, broken, whole = content(log), tmp_path / "broken.mcap", tmp_path / "whole.mcap"
    for _ in range(40):
        damaged = bytearray(data)
        damaged[int(rng.integers(8, len(data)))] ^= 1 << int(rng.integers(8))
        broken.write_bytes(damaged)
        count, _ = recovered(broken, whole)
        found = content(whole)
        assert sum(found.values()) == count
        false = found - original
        assert sum(false.values()) <= 1  # what lies outside chunks has no checksum
        list(open_log(whole).messages()) if count > 10 else None


@pytest.mark.parametrize("text", [b"", b"hello", b"\x89MCAP0\r\n", b"\x89MCAP0\r\n\x01" + b"\xff" * 16])
def test_files_that_are_none_are_said_in_a_line(
    text: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "x.mcap"
    path.write_bytes(text)
    assert run(["log", "check", str(path)]) == 2
    assert "x.mcap" in capsys.readouterr().err
    code = run(["log", "recover", str(path), str(tmp_path / "y.mcap")])
    said = capsys.readouterr()
    assert (code, "lost: " in said.out) in ((2, False), (0, True))


def test_gaps_jumps_and_latency_are_found_and_drawn(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "bad.mcap"
    times = [100 * k for k in range(10)] + [1500 + 100 * k for k in range(10)]
    with McapWriter(path, RIG) as writer:
        for number, at in enumerate(times):
            writer.write(scan(number, at))
        back = scan(99, 2600)
        header = Header("lidar/top", START + 100 * MS, back.header.arrival_ns)
        writer.write(LidarScan(header, 0, back.xyz_m, back.intensity, back.ring, back.offset_ns))
    (topic,) = surveyed(path).topics
    assert topic.rate_hz == pytest.approx(10.0)
    assert topic.gaps == ((START + 880 * MS, START + 1480 * MS),)
    assert topic.backwards == 1
    assert topic.latency_ms == (pytest.approx(20.0), pytest.approx(2500.0))
    assert run(["log", "check", str(path)]) == 3
    assert "1 gaps, 1 captures back in time" in capsys.readouterr().out
    assert run(["log", "plot", str(path), str(tmp_path / "bad.png")]) == 3
    assert (tmp_path / "bad.png").stat().st_size > 5000


def test_a_log_is_not_written_over_itself(log: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy.mcap"
    copy.write_bytes(log.read_bytes())
    with pytest.raises(LogError, match="is the log itself"):
        cut(copy, copy, 0.0, 1.0)
    with pytest.raises(LogError, match="is one of the logs"):
        merged([copy, log], copy)
    assert content(copy) == content(log)
