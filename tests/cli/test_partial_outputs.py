"""A full disk, a folder without permission, Ctrl-C: the exit code says so, and no final name stands for half a file."""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

from fusion_pipeline.cli.dispatch import run
from fusion_pipeline.geometry.camera import CameraModel
from fusion_pipeline.geometry.pose import Pose
from fusion_pipeline.logs.mcap_writer import McapWriter
from fusion_pipeline.logs.reader import open_log
from fusion_pipeline.logs.surgery import converted
from fusion_pipeline.messages import CameraFrame, EgoMotion, Header, LidarScan
from fusion_pipeline.messages.ego import unmeasured
from fusion_pipeline.output_file import PARTIAL, LineFile, mark_partial, partial_files, whole_file, write_whole
from fusion_pipeline.rig import CameraMount, LidarMount, Rig

START_NS, PERIOD_NS = 1_700_000_000_000_000_000, 100_000_000
LIMIT_S = 120.0
EARLIER = b"what an earlier run has written"


def write_log(path: Path, sets: int = 40) -> Path:
    """Scans and pictures of noise, 10 Hz, so that compression cannot make them small: 0.2 MB each."""
    rng = np.random.default_rng(1)
    matrix = np.asarray([[300.0, 0, 160], [0, 300, 120], [0, 0, 1]])
    mount = CameraMount(Pose.identity(), CameraModel("pinhole", 320, 240, matrix, np.zeros(0)))
    rig = Rig("noise", {"lidar/top": LidarMount(Pose.identity())}, {"camera/front": mount})
    with McapWriter(path, rig) as writer:
        for k in range(sets):
            at = START_NS + k * PERIOD_NS
            xyz = rng.normal(0, 10, (9000, 3)).astype(np.float32)
            writer.write(LidarScan(Header("lidar/top", at, at + PERIOD_NS), PERIOD_NS, xyz, np.zeros(9000, np.float32),
                                   np.zeros(9000, np.uint16), np.zeros(9000, np.int32)))  # fmt: skip
            pixels = rng.integers(0, 255, (240, 320, 3), np.uint8)
            writer.write(CameraFrame(Header("camera/front", at, at + PERIOD_NS), "rgb8", 240, 320, pixels))
    return path


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_log(tmp_path_factory.mktemp("log") / "noise.mcap")


def fusion(arguments: Sequence[str | Path], before: Callable[[], None]) -> subprocess.Popen[str]:
    """The command in a process and a group of its own, as from a terminal."""

    def begin() -> None:
        signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell without job control ignores it
        before()

    command = [sys.executable, "-m", "fusion_pipeline.cli", *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, preexec_fn=begin,
                            start_new_session=True)  # fmt: skip


def full_disk() -> None:
    """No file may grow beyond 2 MB: writing fails with EFBIG, as it fails with ENOSPC on a full disk."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (2_000_000, 2_000_000))


def no_traceback(said: str) -> None:
    assert "Traceback" not in said, said
    assert "a bug of" not in said, said


@pytest.mark.parametrize(
    ("line", "out"),
    [
        ("log convert LOG OUT", "o.mcap"), ("log cut LOG OUT", "o.mcap"), ("log recover LOG OUT", "o.mcap"),
        ("log merge LOG -o OUT", "o.mcap"), ("log video LOG OUT --boxes none", "o.mp4"),
        ("sim city_street --seconds 2 --rig demo -o OUT", "o.mcap"),
    ],
)  # fmt: skip
def test_a_full_disk_leaves_what_was_there_and_names_what_is_whole(
    line: str, out: str, log: Path, tmp_path: Path
) -> None:
    place = tmp_path / out
    place.write_bytes(EARLIER)
    words = [str(place) if word == "OUT" else str(log) if word == "LOG" else word for word in line.split()]
    process = fusion(words, full_disk)
    said, _ = process.communicate(timeout=LIMIT_S)
    assert process.returncode == 2, said
    no_traceback(said)
    assert place.read_bytes() == EARLIER
    for partial in partial_files(place):
        assert str(partial) in said
        if out == "o.mcap":
            assert list(open_log(partial).messages())
    assert {path for path in tmp_path.iterdir() if path != place} == set(partial_files(place))


@pytest.mark.parametrize("line", ["log convert LOG OUT/o.mcap", "log plot LOG OUT/o.png", "log video LOG OUT/o.mp4",
                                  "log images LOG OUT/new", "log export LOG OUT/o.parquet --as messages"])  # fmt: skip
def test_a_place_that_is_a_file_or_has_a_file_above_it_is_one_line(
    line: str, log: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    blocked = tmp_path / "file"
    blocked.write_bytes(EARLIER)
    assert run([word.replace("OUT", str(blocked)).replace("LOG", str(log)) for word in line.split()]) == 2
    said = capsys.readouterr().err
    no_traceback(said)
    assert str(blocked) in said
    assert blocked.read_bytes() == EARLIER


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_a_conversion_and_keeps_what_is_whole(number: signal.Signals, tmp_path: Path) -> None:
    log = write_log(tmp_path / "long.mcap", 400)
    out = tmp_path / "o.mcap"
    out.write_bytes(EARLIER)
    process = fusion(["log", "convert", log, out], lambda: None)
    until = time.monotonic() + LIMIT_S
    partial = out.with_name("o.partial.mcap")
    while time.monotonic() < until and not (partial.exists() and partial.stat().st_size > 4_000_000):
        time.sleep(0.01)
    os.kill(process.pid, number)
    said, _ = process.communicate(timeout=LIMIT_S)
    assert process.returncode == 128 + number, said
    no_traceback(said)
    assert str(partial) in said
    assert out.read_bytes() == EARLIER
    kept = open_log(partial)
    assert getattr(kept, "complete", False)
    assert 0 < len(list(kept.messages())) < 800
    assert not kept.refused


def test_a_signal_in_the_first_moment_says_one_line(log: Path, tmp_path: Path) -> None:
    for wait_s in (0.3, 0.8):
        process = fusion(["log", "convert", log, tmp_path / "o.mcap"], lambda: None)
        time.sleep(wait_s)
        if process.poll() is None:
            os.kill(process.pid, signal.SIGTERM)
        said, _ = process.communicate(timeout=LIMIT_S)
        no_traceback(said)


def test_a_conversion_is_opened_before_it_is_done(tmp_path: Path) -> None:
    source = tmp_path / "ego.mcap"
    with McapWriter(source, Rig("none")) as writer:
        for k in range(5):
            at, zeros = START_NS + k * PERIOD_NS, np.zeros(3)
            writer.write(EgoMotion(Header("ego/odometry", at, at), zeros, np.asarray([0.0, 0, 0, 1]), zeros, zeros,
                                   np.zeros((6, 6)), np.zeros((6, 6)), unmeasured()))  # fmt: skip
    converted(source, tmp_path / "out.mcap")
    assert open_log(tmp_path / "out.mcap").topics == ("ego/odometry",)
    assert len(list(open_log(tmp_path / "out.mcap").messages())) == 5


def test_a_block_that_raises_keeps_what_it_says_is_of_use(tmp_path: Path) -> None:
    PARTIAL.clear()
    out = tmp_path / "a.txt"
    write_whole(out, "before")
    for holds in ("", "2 lines", "3 lines"):
        with contextlib.suppress(ZeroDivisionError), whole_file(out) as file:
            file.path.write_text("part")
            file.holds = holds
            raise ZeroDivisionError
    assert out.read_text() == "before"
    assert [path.name for path in partial_files(out)] == ["a.partial.txt", "a.partial-2.txt"], "none replaces another"
    assert [holds for _, holds in PARTIAL] == ["2 lines", "3 lines"]
    assert mark_partial(out, "all").name == "a.partial-3.txt"
    assert not out.exists()
    PARTIAL.clear()


def test_a_link_is_written_through_and_a_device_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    link = tmp_path / "latest.txt"
    link.symlink_to(tmp_path / "disk" / "real.txt")
    write_whole(link, "new")
    assert link.is_symlink()
    assert (tmp_path / "disk" / "real.txt").read_text() == "new"
    write_whole(Path(os.devnull), "gone")
    assert Path(os.devnull).is_char_device()


def test_lines_are_whole_or_not_there(tmp_path: Path) -> None:
    path = tmp_path / "lines.txt"
    path.write_bytes(b"one\ntwo\nthr")
    lines = LineFile(path, goes_on=True)
    lines.write("four\n")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20, before[1]))
    try:
        with pytest.raises(OSError, match="File too large"):
            lines.write("x" * 50 + "\n")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    lines.write("five\n")
    lines.close()
    assert path.read_text() == "one\ntwo\nfour\nfive\n"
