"""Captions say what is true, of every moment of which it is true, and no more words than the network takes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from fusion_pipeline.encode.text import LENGTH, words_of
from fusion_pipeline.train.captions import FACTS, INDEX, caption, facts_of, holding, vocabulary
from fusion_pipeline.train.rides import Ride
from fusion_pipeline.world.sources import LABELS

ROWS = (  # x y z l w h yaw vx vy, label
    ((20.0, 0.5, 0.8, 4, 1.7, 1.5, 0, -9.0, 0.0), 0),  # an oncoming car
    ((8.0, 5.0, 0.9, 0.8, 0.6, 1.7, 1.5, 0.0, 0.0), 2),  # a person who stands on the left
    ((45.0, -30.0, 0.9, 0.8, 0.6, 1.7, 1.5, 0.0, 1.5), 2),  # one far to the right, going across
    ((30.0, 0.0, 1.5, 9, 2.5, 3.1, 0, 0.0, 0.0), 1),  # a lorry that nobody sees
)


def ride(**changed: object) -> Ride:
    """A moment made by hand."""
    empty, zero = np.zeros((0, 3), np.float32), np.zeros((4, 4))
    base = Ride(
        empty, np.zeros(0, np.float32), (empty, empty), np.asarray([row for row, _ in ROWS], np.float32),
        np.asarray([label for _, label in ROWS]), np.asarray([50, 20, 9, 0]), np.asarray([900, 300, 0, 0]),
        np.zeros(0, np.uint8), np.zeros((24, 80), np.int64), np.eye(3), zero, np.zeros((16, 16, 72), np.float32),
        np.zeros((16, 16), np.float32), np.zeros(3), np.asarray([[0, np.deg2rad(140), 75.0], [1, 0.0, 40.0]]), True,
        np.asarray([0.0, 20.0, 1.0, 5.6]),
    )  # fmt: skip
    return replace(base, **changed)  # type: ignore[arg-type]


def true_of(moment: Ride) -> set[tuple[str, ...]]:
    return {fact.key for fact, holds in zip(FACTS, facts_of(moment), strict=True) if holds}


def test_facts_of_a_moment_made_by_hand() -> None:
    facts = true_of(ride())
    assert {("count", "car", "1"), ("count", "truck", "0"), ("count", "pedestrian", "2"), ("oncoming", "car"),
            ("at", "car", "ahead", ""), ("metres", "car", "ahead", "20"), ("at", "pedestrian", "left", "near"),
            ("at", "pedestrian", "right", "far"), ("standing", "pedestrian"), ("crossing", "pedestrian"), ("rain",),
            ("heavy rain",), ("night",), ("own", "20"), ("heard", "siren"), ("heard", "siren", "3"),
            ("hidden",)} <= facts  # fmt: skip
    assert (
        not {("fog",), ("clear",), ("day",), ("quiet",), ("heard", "horn"), ("at", "car", "left", ""), ("empty",)}
        & facts
    )
    said = " ".join(FACTS[INDEX["heard", "siren", "3"]].phrases)
    assert "from the left behind" in said


def test_nothing_is_said_of_an_empty_quiet_street() -> None:
    facts = true_of(ride(points=np.zeros(4, int), pixels=np.zeros(4, int), sounds=np.zeros((0, 3)), siren_hidden=False,
                         conditions=np.asarray([80.0, 0, 0, 0])))  # fmt: skip
    assert {("empty",), ("quiet",), ("fog",), ("day",), ("own", "0")} <= facts
    assert not {key for key in facts if key[0] in ("at", "metres", "heard", "moving", "rain")}


@pytest.mark.parametrize("seed", range(30))
def test_captions_tell_what_holds_and_fit(seed: int) -> None:
    truth = facts_of(ride())
    text, told = caption(truth, np.random.default_rng(seed), 8)
    assert truth[told].all()
    assert 1 <= len(told) <= 8
    assert 1 <= len(words_of(text)) <= LENGTH
    assert not vocabulary().read(text).read_as  # every word is known
    assert caption(truth, np.random.default_rng(seed), 8)[0] == text


def test_a_caption_holds_of_all_moments_of_which_its_facts_hold() -> None:
    truth = np.stack([facts_of(ride()), facts_of(ride(conditions=np.asarray([0.0, 0, 1, 0])))])
    told = np.zeros((2, len(FACTS)), bool)
    told[0, [INDEX["night",], INDEX["rain",]]] = True
    told[1, INDEX["night",]] = True
    assert holding(told, truth).tolist() == [[True, False], [True, True]]


def test_every_sound_and_class_can_be_told() -> None:
    assert {key[1] for key in INDEX if key[0] == "heard"} == set(LABELS)
    assert len(vocabulary().words) < 1000
    assert all(len(words_of(phrase)) <= 10 for fact in FACTS for phrase in fact.phrases)
