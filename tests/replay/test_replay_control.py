"""A replay as people control it: from the keyboard of a terminal, and from another process."""

from __future__ import annotations

import contextlib
import os
import pty
import re
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from replay_samples import SCANS, write_log

from fusion_pipeline.cli.keys import words_of

FUSION = [sys.executable, "-m", "fusion_pipeline.cli"]
WAIT_S = 60.0


@pytest.fixture
def place(tmp_path: Path) -> Iterator[dict[str, str]]:
    """An environment in which no other graph of this user is seen; its path is short, as sockets want it."""
    folder = tempfile.mkdtemp(prefix="fp")
    yield {**os.environ, "TMPDIR": folder, "XDG_STATE_HOME": str(tmp_path / "state"), "TERM": "xterm", "COLUMNS": "160"}
    shutil.rmtree(folder)


def until(reached: Callable[[], bool], said: Callable[[], object] = lambda: "") -> None:
    end = time.monotonic() + WAIT_S
    while not reached():
        assert time.monotonic() < end, said()
        time.sleep(0.02)


def test_another_process_pauses_steps_seeks_and_resumes(place: dict[str, str], tmp_path: Path) -> None:
    log, out = write_log(tmp_path / "small.mcap"), tmp_path / "sets.jsonl"

    def player(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([*FUSION, "player", *words], env=place, capture_output=True, text=True, timeout=WAIT_S)

    def written() -> int:
        growing = out.with_name("sets.partial.jsonl")  # its name until it is whole
        found = out if out.exists() else growing
        return len(found.read_text().splitlines()) if found.exists() else 0

    assert "no graph runs" in player("pause").stderr
    command = [*FUSION, "replay", str(log), "--paused", "--rate", "1", "--to", "sets", "--out", str(out), "--quiet"]
    with subprocess.Popen(command, env=place) as running:
        try:
            until(lambda: player("step", "3").returncode == 0)
            until(lambda: written() == 3)
            assert player("seek", "2").stdout.strip() == "paused at 2.00 of 3.04 s, rate 1 x"
            refused = player("seek", "99")
            assert refused.returncode == 2
            assert refused.stderr == "fusion: seek 99: the log ends at 3.04 s\n"
            player("step")
            until(lambda: written() == 4)  # those before 2 s were played unseen
            player("rate", "max")
            player("resume")
            assert running.wait(WAIT_S) == 0
        finally:
            running.kill()
    assert written() == 3 + SCANS - 20


def test_the_keyboard_of_a_terminal(place: dict[str, str], tmp_path: Path) -> None:
    log = write_log(tmp_path / "small.mcap")
    ours, theirs = pty.openpty()
    command = [*FUSION, "replay", str(log), "--paused", "--rate", "1", "--to", "sets"]
    # In a session of its own, whose terminal is the pseudo terminal, as in a window.
    script = "import os, sys; os.close(os.open(os.ttyname(0), os.O_RDWR)); os.execv(sys.argv[1], sys.argv[1:])"
    running = subprocess.Popen(
        [sys.executable, "-c", script, *command], env=place, stdin=theirs, stdout=theirs, stderr=theirs,
        start_new_session=True,
    )  # fmt: skip
    os.close(theirs)
    shown = ""

    def look() -> str:
        nonlocal shown
        while select.select([ours], [], [], 0)[0]:
            with contextlib.suppress(OSError):  # EIO: it has ended
                data = os.read(ours, 65536)
                shown += re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", data.decode(errors="replace"))
                continue
            break
        return shown

    try:
        until(lambda: "space pauses" in look(), lambda: shown[-2000:])
        until(lambda: "paused at 0.00" in look(), lambda: shown[-2000:])
        os.write(ours, b"\x1b[A")
        until(lambda: "rate 2 x" in look(), lambda: shown[-2000:])
        os.write(ours, b"\x1b[C")
        until(lambda: "the log ends at 3.04 s" in look(), lambda: shown[-2000:])  # 5 s are more than it has
        os.write(ours, b".")
        until(lambda: "paused at 0.1" in look(), lambda: shown[-2000:])
        os.write(ours, b" ")
        until(lambda: "playing at" in look() or running.poll() is not None, lambda: shown[-2000:])
        os.write(ours, b" ")
        os.write(ours, b"\x03")
        until(lambda: running.poll() is not None or not look(), lambda: shown[-2000:])
        assert running.wait(WAIT_S) == 130
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(running.pid, signal.SIGKILL)
        running.wait()
        os.close(ours)


def test_keys_and_what_they_mean() -> None:
    assert words_of(b" .\x1b[Cx\x1b[D\x1b[Z\x1b") == ["toggle", "step", "seek +5", "seek -5"]
