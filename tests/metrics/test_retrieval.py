"""Recall and rank-1 accuracy on cases that can be counted by hand."""

from __future__ import annotations

import numpy as np
import pytest

from fusion_pipeline.metrics.retrieval import chance, ranks, recall, same_again


def test_ranks_and_recall() -> None:
    likeness = np.asarray([[0.9, 0.1, 0.5], [0.2, 0.3, 0.4], [0.5, 0.5, 0.5]])
    own = np.eye(3, dtype=bool)
    assert ranks(likeness, own).tolist() == [0, 1, 2]  # ties count against
    assert recall(ranks(likeness, own), (1, 2, 3)).tolist() == pytest.approx([1 / 3, 2 / 3, 1.0])
    right = np.asarray([[0, 1, 1], [0, 0, 0], [1, 0, 0]], bool)
    assert ranks(likeness, right).tolist() == [1, 3, 2]


def test_chance_is_what_a_lottery_gives() -> None:
    right = np.zeros((1, 10), bool)
    right[0, :3] = True
    rng = np.random.default_rng(0)
    drawn = np.asarray([right[0][rng.permutation(10)[:2]].any() for _ in range(20_000)])
    assert chance(right, (2,))[0] == pytest.approx(drawn.mean(), abs=0.015)
    assert chance(np.eye(10, dtype=bool), (1, 5, 10)).tolist() == pytest.approx([0.1, 0.5, 1.0])


def test_things_are_compared_with_their_like_alone() -> None:
    first = np.asarray([[1.0, 0], [0, 1], [1, 0], [0.6, 0.8]])
    kinds, moments = np.asarray([0, 0, 1, 0]), np.asarray([0, 0, 0, 1])
    assert same_again(first @ first.T, kinds, moments) == (1.0, 0.5, 2)  # two have a rival
    swapped = first[[1, 0, 2, 3]]
    assert same_again(first @ swapped.T, kinds, moments) == (0.0, 0.5, 2)
    assert same_again(first @ first.T, kinds, moments * 0)[2] == 3
    assert same_again(first[:1] @ first[:1].T, kinds[:1], moments[:1])[2] == 0
