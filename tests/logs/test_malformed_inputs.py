"""Malformed inputs of every kind are read or refused: a short, deterministic part of `fusion bench malformed`."""

from __future__ import annotations

import os
import random
from pathlib import Path

import numpy as np
import pytest

from fusion_pipeline.bench.malformed import answer_of, inputs, outcomes_of
from fusion_pipeline.bench.malformed_change import protobuf
from fusion_pipeline.bench.malformed_kinds import KINDS, Kind
from fusion_pipeline.jsontext import parse_json
from fusion_pipeline.logs.foxglove_form import Beside
from fusion_pipeline.logs.reader import LogError, open_log
from fusion_pipeline.logs.result_lines import read_lines
from fusion_pipeline.messages import AudioChunk

ANSWERS = {"read", "refused", "skipped"}
LIBRARIES = {"Argoverse 2": "pyarrow", "VLP-16": "velodyne_decoder", "Ouster": "ouster.sdk", "ROS": "rosbags",
             "sound": "soundfile"}  # fmt: skip


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_every_input_is_read_or_refused(kind: Kind) -> None:
    for part, library in LIBRARIES.items():
        if part in kind.name:
            pytest.importorskip(library)
    count = 2 if kind.share < 0.5 else 12
    with inputs(kind, 0) as (target, make):
        answers = {number: answer_of(kind, target) for number in range(count) if make(number) is None}  # type: ignore[func-returns-value]
    assert {number: answer for number, answer in answers.items() if answer not in ANSWERS} == {}


@pytest.mark.parametrize("kind", [kind for kind in KINDS if "--set" not in kind.name], ids=lambda kind: kind.name)
def test_a_sound_input_is_read(kind: Kind, tmp_path: Path) -> None:
    for part, library in LIBRARIES.items():
        if part in kind.name:
            pytest.importorskip(library)
    assert answer_of(kind, kind.prepare(tmp_path)) == "read"


def test_an_input_is_the_same_for_the_same_seed() -> None:
    kind = next(kind for kind in KINDS if kind.name == "rig")

    def content(seed: int, number: int) -> bytes:
        with inputs(kind, seed) as (target, make):
            make(number - 1)
            make(number)
            return target.read_bytes()

    assert content(3, 7) == content(3, 7)
    assert content(3, 7) != content(4, 7)


def _text(folder: Path) -> Path:
    path = folder / "a.txt"
    path.write_text("1 2 3\n")
    return path


def _read(path: Path) -> None:
    """Wrong in all ways, one after another."""
    path.with_name("count").open("a").write("x")
    number = path.with_name("count").stat().st_size - 2  # the first is the sound one
    if number == 0:
        raise KeyError("nobody foresaw this")
    if number == 1:
        os._exit(9)
    if number == 2:
        raise LogError("a line")
    if number == 3:
        np.ones(60_000_000, np.uint8).sum()


def test_what_goes_wrong_is_counted_and_the_rest_is_tried() -> None:
    kind = Kind("sample", _text, _read)
    (outcome,) = outcomes_of(4, 0, (kind,))
    assert outcome.inputs == 4
    assert outcome.tracebacks >= 2
    assert "KeyError" in outcome.wrong[0]
    assert "the process ended with 9" in outcome.wrong[1]


def _large(path: Path) -> None:
    if path.read_bytes() != b"1 2 3\n":
        np.ones(60_000_000, np.uint8).sum()


def test_memory_and_time_of_each_input_are_seen() -> None:
    (outcome,) = outcomes_of(4, 0, (Kind("sample", _text, _large),))
    assert outcome.growth_mib > 50
    assert (outcome.read, outcome.tracebacks) == (4, 0)


def test_fields_of_protobuf_are_changed_one_at_a_time() -> None:
    whole = b"\x08\x96\x01\x12\x03abc\x1d\x00\x00\x80\x3f"
    made = {protobuf(whole, random.Random(k)) for k in range(50)}
    assert len(made) > 20
    assert any(one.startswith(b"\x08\x96\x01\x12\x03abc") for one in made if one != whole)


def test_deep_json_is_a_value_error(tmp_path: Path) -> None:
    deep = "[" * 100_000 + "]" * 100_000
    with pytest.raises(ValueError, match="nested too deeply"):
        parse_json(deep)
    path = tmp_path / "a.jsonl"
    path.write_text(deep + "\n")
    with pytest.raises(LogError, match="line 1: no line of results: its values are nested too deeply"):
        list(read_lines(path))


@pytest.mark.parametrize("text", [
    b'{"topic": [], "capture_ns": 1, "frame": "a", "hops": []}',
    b'{"topic": "a", "capture_ns": "1", "frame": "a", "hops": []}',
    b'{"topic": "a", "capture_ns": 1, "frame": "a", "hops": [["x", Infinity, 1]]}',
])  # fmt: skip
def test_a_note_beside_a_message_checks_its_values(text: bytes) -> None:
    with pytest.raises((TypeError, OverflowError)):
        Beside.from_json(text)


def test_stamps_behind_the_end_of_clocks_are_refused(tmp_path: Path) -> None:
    import cv2

    for k in range(2):
        cv2.imwrite(str(tmp_path / f"{k}.png"), np.zeros((4, 4), np.uint8))
    (tmp_path / "a.toml").write_text('[camera.front]\npictures = "*.png"\nstart_ns = 1\nrate_hz = 1e-12\n')
    with pytest.raises(LogError, match=r"\[camera.front\]: its last stamp is later than any clock's"):
        open_log(tmp_path / "a.toml")


@pytest.mark.parametrize("word", ["inf", "1e400", "nan"])
def test_labels_of_kitti_that_are_no_numbers_are_counted(tmp_path: Path, word: str) -> None:
    from fusion_pipeline.bench.malformed_datasets import LABEL, kitti_object, kitti_tracking

    root = kitti_object(tmp_path / "a")
    (root / "label_2" / "000000.txt").write_text(LABEL.replace("Car 0 0", f"Car 0 {word}"))
    objects = open_log(root)
    assert len(list(objects.labels())) == 1  # of the two frames
    assert objects.refused["labels", "file damaged"] == 1
    sequence = kitti_tracking(tmp_path / "b")
    (sequence.parent / "label_02" / "0000.txt").write_text(f"0 {'9' * 30} {LABEL}")
    log = open_log(sequence)
    list(log.labels())
    assert log.refused["labels", "damaged line"] == 1


def test_sound_is_read_up_to_its_damage(tmp_path: Path) -> None:
    soundfile = pytest.importorskip("soundfile")
    rng = np.random.default_rng(0)
    soundfile.write(tmp_path / "a.flac", rng.integers(-9000, 9000, (40_000, 1)).astype(np.int16), 8000)
    whole = (tmp_path / "a.flac").read_bytes()
    (tmp_path / "a.flac").write_bytes(whole[:60_000] + bytes(500) + whole[60_500:])
    (tmp_path / "a.toml").write_text('[audio.roof]\nsound = "a.flac"\nstart_ns = 1000000000\n')
    log = open_log(tmp_path / "a.toml")
    for start in (None, 2_000_000_000, 3_500_000_000):
        for message in log.messages(start):
            assert isinstance(message, AudioChunk)
    assert sum(len(m.pcm) for m in open_log(tmp_path / "a.toml").messages() if isinstance(m, AudioChunk)) > 4000
