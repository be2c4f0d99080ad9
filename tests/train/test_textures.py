"""Pictures with textures that no renderer has: other colours, the same shapes, and nothing painted over things."""

from __future__ import annotations

import numpy as np
import pytest

from fusion_pipeline.encode.lookup import HEIGHT_PX, MAP, WIDTH_PX
from fusion_pipeline.train.textures import textured

GREY = np.full((HEIGHT_PX, WIDTH_PX, 3), 90, np.uint8)
NO_THINGS = np.zeros(MAP, bool)


def test_like_colours_get_like_textures_and_the_edge_between_two_stays() -> None:
    picture = GREY.copy()
    picture[:, : WIDTH_PX // 2] = (200, 40, 40)
    edges = []
    for seed in range(40):
        out = textured(picture, ~NO_THINGS, np.random.default_rng(seed)).astype(float)
        assert out.shape == picture.shape
        middle = WIDTH_PX // 2
        edges.append(np.abs(out[:, middle] - out[:, middle - 1]).mean() / (np.abs(np.diff(out, axis=1)).mean() + 1e-6))
    assert np.median(edges) > 3


def test_clutter_stands_behind_things_never_on_them() -> None:
    things = NO_THINGS.copy()
    things[8:16, 30:50] = True
    cells = np.kron(things, np.ones((8, 8))) > 0
    on_things, beside = [], []
    for seed in range(40):
        with_it = textured(GREY, things, np.random.default_rng(seed)).astype(float)
        without = textured(GREY, ~NO_THINGS, np.random.default_rng(seed)).astype(float)
        spread = (np.abs(one[part] - one[part].mean()).mean() for one in (with_it, without) for part in (cells, ~cells))
        thing, rest, plain_thing, plain_rest = spread
        on_things.append(thing - plain_thing)
        beside.append(rest - plain_rest)
    assert np.mean(beside) > np.mean(np.abs(on_things)) + 3


def test_a_seed_gives_one_picture_and_every_seed_another() -> None:
    first, again, other = (textured(GREY, NO_THINGS, np.random.default_rng(seed)) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


@pytest.mark.parametrize("level", [0, 255])
def test_pictures_that_are_black_or_white_stay_pictures(level: int) -> None:
    for seed in range(10):
        out = textured(np.full_like(GREY, level), NO_THINGS, np.random.default_rng(seed))
        assert out.dtype == np.uint8
