"""Where a replay begins anew, whatever order the inputs of several writers come in; words for a running process."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fusion_pipeline.control import ControlError, ControlServer, ask
from fusion_pipeline.laps import LapGate
from fusion_pipeline.messages import Header, Lap, LogTime
from fusion_pipeline.transport.bus import Envelope, Received

LAP_OF = {"a": "lap/1", "b": "lap/2"}
LAPS, EACH = 3, 4


def _stream(topic: str) -> list[Received]:
    """What one writer sends: laps, messages that know theirs, and the end."""
    sent = []
    for number in range(LAPS):
        sent.append(Received(LAP_OF[topic], Lap(Header(LAP_OF[topic], 1, 1), number, 0, 1), Envelope("w", 0, 0)))
        sent += [Received(topic, LogTime(Header(topic, number, k)), Envelope("w", 0, 0)) for k in range(EACH)]
    return [*sent, Received(topic, None, Envelope("w", 0, 0))]


@given(st.lists(st.booleans(), min_size=2 * len(_stream("a")), max_size=2 * len(_stream("a"))))
def test_every_message_meets_its_own_lap(choices: list[bool]) -> None:
    waiting = {"a": _stream("a"), "b": _stream("b")}
    gate, came = LapGate(LAP_OF), list[Received]()
    for first in choices:
        topic = "a" if (first and waiting["a"]) or not waiting["b"] else "b"
        came += gate.take(waiting[topic].pop(0))
    lap, of_lap = -1, dict.fromkeys("ab", 0)
    for one in came:
        if isinstance(one.message, Lap):
            assert one.message.number == lap + 1
            assert lap < 0 or of_lap == {"a": EACH, "b": EACH}
            lap, of_lap = lap + 1, dict.fromkeys("ab", 0)
        elif one.message is not None:
            assert one.message.header.capture_ns == lap
            assert one.message.header.arrival_ns == of_lap[one.topic]  # in order
            of_lap[one.topic] += 1
    assert lap == LAPS - 1
    assert sum(one.message is None for one in came) == 2


def test_a_process_answers_words(tmp_path: Path) -> None:
    def answer(text: str) -> str:
        if text == "bad":
            raise ValueError("no such word")
        return text.upper()

    path = str(tmp_path / "c")
    ControlServer(path, answer).start()
    assert ask(path, "pause") == "PAUSE"
    with pytest.raises(ControlError, match="no such word"):
        ask(path, "bad")
    with socket.socket(socket.AF_UNIX) as rude:  # garbage, a length of 4 GB, or nothing, and gone
        rude.connect(path)
        rude.send(b"\xff\xff\xff\xff\x01")
    with socket.socket(socket.AF_UNIX) as silent:
        silent.connect(path)
    assert ask(path, "still there") == "STILL THERE"
    with pytest.raises(ControlError, match="does not listen"):
        ask(str(tmp_path / "nobody"), "pause")
