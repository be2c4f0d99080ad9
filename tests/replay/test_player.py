"""The player: parts, laps, seeks, steps, pauses, names; and that what follows it cannot tell."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from replay_samples import PERIOD_NS, SCANS, START_NS, write_log

from fusion_pipeline.graph import LAUNCH_FILES, load_graph
from fusion_pipeline.inline import run_inline
from fusion_pipeline.logs.reader import open_log
from fusion_pipeline.messages import CameraFrame, Lap, LidarScan, LogTime, Message
from fusion_pipeline.node import NodeError
from fusion_pipeline.rig import to_toml
from nodes.deck import Deck
from nodes.player import Player, PlayerConfig

FIRST_NS = START_NS + 2_000_000  # arrival of the first message: a pose
WAIT_S = 20.0


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_log(tmp_path_factory.mktemp("logs") / "small.mcap")


class Playing:
    """A player in a thread, as its process runs it."""

    def __init__(self, config: PlayerConfig) -> None:
        self.player = Player(config, "player")
        self.player.open()
        self.came: list[Message] = []
        self.stop = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        for message in self.player.messages(self.stop):
            self.came.append(message)

    def until(self, reached: Callable[[], bool]) -> None:
        end = time.monotonic() + WAIT_S
        while not reached():
            assert time.monotonic() < end, self.player.command("status")
            time.sleep(0.005)

    def of(self, kind: type[Any]) -> list[Any]:
        return [message for message in self.came if isinstance(message, kind)]

    def ended(self) -> None:
        self._thread.join(WAIT_S)
        assert not self._thread.is_alive()

    def close(self) -> None:
        self.stop.set()
        self.ended()


@pytest.fixture
def play() -> Iterator[Callable[[PlayerConfig], Playing]]:
    made: list[Playing] = []

    def start(config: PlayerConfig) -> Playing:
        made.append(Playing(config))
        return made[-1]

    yield start
    for one in made:
        one.close()


def test_steps_let_one_set_after_another_through(log: Path, play: Callable[[PlayerConfig], Playing]) -> None:
    playing = play(PlayerConfig(log, rate=1.0, paused=True))
    playing.player.command("step 3")
    playing.until(lambda: not playing.player._deck.stepping)
    scans, last = playing.of(LidarScan), playing.of(LogTime)[-1]
    assert len(scans) == 3
    assert last.header.arrival_ns == scans[-1].header.arrival_ns + 60_000_000  # its set's deadline has passed
    assert "paused" in playing.player.command("status")
    playing.player.command("step")
    playing.until(lambda: not playing.player._deck.stepping)
    assert len(playing.of(LidarScan)) == 4
    playing.player.command("rate max")
    playing.player.command("resume")
    playing.ended()
    assert len(playing.of(LidarScan)) == SCANS


def test_a_seek_begins_a_lap_that_warms_up_before_it(log: Path, play: Callable[[PlayerConfig], Playing]) -> None:
    playing = play(PlayerConfig(log, rate=1.0, warm_up_s=0.5, paused=True))
    playing.until(lambda: bool(playing.of(Lap)))
    playing.player.command("seek 2")
    playing.until(lambda: len(playing.of(Lap)) == 2)
    playing.player.command("seek -0.5")
    playing.until(lambda: len(playing.of(Lap)) == 3)
    playing.player.command("rate max")
    playing.player.command("resume")
    playing.ended()
    first, second, third = playing.of(Lap)
    assert (first.number, first.from_ns) == (0, 0)
    assert (second.number, second.from_ns) == (1, FIRST_NS + 2_000_000_000)
    assert (third.number, third.from_ns) == (2, FIRST_NS + 1_500_000_000)
    after = playing.came[playing.came.index(third) + 1 :]
    assert after[0].header.arrival_ns == pytest.approx(FIRST_NS + 1_000_000_000, abs=20_000_000)
    assert after[-1].header.arrival_ns == START_NS + 3_003_000_000


def test_a_pause_holds_everything(log: Path, play: Callable[[PlayerConfig], Playing]) -> None:
    playing = play(PlayerConfig(log, rate=10.0))
    playing.until(lambda: len(playing.of(LidarScan)) >= 3)
    playing.player.command("pause")
    here = playing.player.command("status")
    time.sleep(0.5)  # 5 s of log, were it not paused
    assert playing.player.command("status") == here
    seen = len(playing.came)
    playing.player.command("resume")
    playing.ended()
    assert len(playing.came) > seen


def test_topics_and_names(log: Path, play: Callable[[PlayerConfig], Playing]) -> None:
    config = PlayerConfig(log, rate=0, topics=("camera/left",), remap=("camera/left=camera/front",))
    assert Player.topics_written(config) == ("camera/front", "logtime", "lap")
    playing = play(config)
    playing.ended()
    frames = playing.of(CameraFrame)
    assert len(frames) == 2 * SCANS
    assert {frame.header.source for frame in frames} == {"camera/front"}
    assert len(playing.came) == len(frames) + len(playing.of(LogTime)) + 1


def test_played_live_what_comes_after_a_pause_happens_now(log: Path, play: Callable[[PlayerConfig], Playing]) -> None:
    playing = play(PlayerConfig(log, live=True, loops=0))
    playing.until(lambda: len(playing.of(LidarScan)) >= 2)
    playing.player.command("pause")
    time.sleep(0.7)
    seen = len(playing.came)
    playing.player.command("resume")
    playing.until(lambda: len(playing.came) > seen + 20)
    stored = [message.header.arrival_ns for message in open_log(log).messages()]
    shifts = [one.header.arrival_ns - was for one, was in zip(playing.came, stored, strict=False)]
    assert len(set(shifts[:seen])) == 1
    assert shifts[seen + 5] - shifts[0] >= 600_000_000
    assert not playing.of(Lap)
    assert not playing.of(LogTime)
    with pytest.raises(NodeError, match="stands in for sensors"):
        playing.player.command("rate 2")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"rate": -1}, "write a number above 0"),
        ({"topics": ("lidar/none",)}, "no topic 'lidar/none'"),
        ({"remap": ("camera/x=camera/y",)}, "no topic 'camera/x'"),
        ({"remap": ("camera/left",)}, "write OLD=NEW"),
        ({"remap": ("camera/left=lidar/top",)}, "a camera cannot be played as a lidar"),
        ({"remap": ("camera/left=camera/a", "camera/left=camera/b")}, "renamed twice"),
        ({"start_s": 99.0}, "the log is 3.04 s long"),
        ({"start_s": 2.0, "end_s": 1.0}, "lies before the start"),
    ],
)
def test_settings_that_cannot_be_are_refused(log: Path, change: dict[str, Any], said: str) -> None:
    with pytest.raises(NodeError, match=said):
        Player(replace(PlayerConfig(log), **change), "player").open()


@pytest.mark.parametrize(
    ("text", "said"),
    [("jump", "no command"), ("seek", "write a number"), ("seek 1e400", "write a number"), ("seek 11", "ends at 10.00"),
     ("step 0", "how many sets"), ("step 1.5", "how many sets"), ("rate 0", "write 0.1 to 1000"), ("", "no command")],
)  # fmt: skip
def test_words_that_are_no_command(text: str, said: str) -> None:
    with pytest.raises(NodeError, match=said):
        Deck(10.0, 1.0).command(text)


def test_words_change_what_the_deck_says() -> None:
    deck = Deck(10.0, 1.0)
    assert deck.command("rate faster") == "playing at 0.00 of 10.00 s, rate 2 x"
    assert deck.command("rate slower") == "playing at 0.00 of 10.00 s, rate 1 x"
    assert deck.command("rate max") == "playing at 0.00 of 10.00 s, rate max"
    assert deck.command("toggle") == "paused at 0.00 of 10.00 s, rate max"
    assert deck.command("seek +4") == "paused at 4.00 of 10.00 s, rate max"
    assert deck.command("seek -99") == "paused at 0.00 of 10.00 s, rate max"
    assert not deck.may_play(1.0, threading.Event())  # a seek is asked for
    assert deck.take_seek() == 0.0
    assert deck.take_seek() is None


def lines(
    log: Path, out: Path, begin: str = "detections", end: str = "tracks", **settings: Any
) -> list[dict[str, Any]]:
    """What a graph without network writes."""
    opened = open_log(log)
    rig = out.with_suffix(".toml")
    rig.write_text(to_toml(opened.rig))
    topics = ("detections",) if begin == "detections" else opened.topics
    graph = load_graph(LAUNCH_FILES / "replay.py", log=log, rig=rig, topics=topics, out=out, begin=begin, end=end,
                       play=PlayerConfig(log, **settings))  # fmt: skip
    run_inline(graph)
    rows = [json.loads(text) for text in out.read_text().splitlines()]
    return [{key: value for key, value in row.items() if key != "hops"} for row in rows]


@pytest.mark.parametrize(("begin", "end"), [("detections", "tracks"), ("sensors", "sets")])
def test_a_part_is_that_part_of_the_whole_and_laps_are_alike(log: Path, tmp_path: Path, begin: str, end: str) -> None:
    whole = lines(log, tmp_path / "whole", begin, end)
    assert len(whole) == SCANS
    assert lines(log, tmp_path / "laps", begin, end, loops=3) == whole * 3
    part = lines(log, tmp_path / "part", begin, end, start_s=1.2, end_s=2.0, warm_up_s=float("inf"))
    low, high = FIRST_NS + 1_200_000_000, FIRST_NS + 2_000_000_000
    assert part == [row for row in whole if low <= row["stamp_ns"] < high]
    assert 7 <= len(part) <= 8
    cold = lines(log, tmp_path / "cold", begin, end, start_s=1.2, warm_up_s=0.5)
    assert [row["stamp_ns"] for row in cold] == [row["stamp_ns"] for row in whole if row["stamp_ns"] >= low]


def test_recorded_detections_are_tracked_anew(log: Path, tmp_path: Path) -> None:
    rows = lines(log, tmp_path / "tracks")
    assert [row["stamp_ns"] for row in rows] == [START_NS + k * PERIOD_NS + PERIOD_NS // 2 for k in range(SCANS)]
    steady = [{item["track_id"] for item in row["objects"]} for row in rows[5:]]
    assert set.intersection(*steady) >= {0, 1}
