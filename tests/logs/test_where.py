"""Conditions mean what they say, and what they do not say is told where it stands."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fusion_pipeline.logs.where import WhereError, parse_where

ROW = {"label": "pedestrian", "range_m": 8.5, "score": np.float32(0.5), "id": 7, "seen": True, "gap": math.nan}


@pytest.mark.parametrize(
    ("text", "holds"),
    [
        ("label = 'pedestrian' and range_m < 10", True),
        ('label == "car" OR range_m<=8.5', True),
        ("label != 'pedestrian'", False),
        ("not label = 'car' and not (range_m > 100 or range_m < -1e3)", True),
        ("label in ('car', 'pedestrian')", True),
        ("label not in ('car', 'pedestrian')", False),
        ("id in (1, 7) and id > 6.5", True),
        ("id <> 7", False),
        ("score >= 0.5", True),
        ("10 > range_m", True),
        ("seen", True),
        ("seen = false", False),
        ("range_m < id", False),
        ("label < 3", False),  # a text has no order with a number
        ("gap > 0 or gap <= 0 or gap != 1", False),  # not a number
        ("missing = 1 or missing != 1 or missing in (1)", False),
        ("not missing = 1", True),
        ("range_m < 10 or label = 'car' and id = 0", True),  # and binds closer
        ("(range_m < 10 or label = 'car') and id = 0", False),
        (r"label = 'it\'s'", False),
    ],
)
def test_a_condition_means_what_it_says(text: str, holds: bool) -> None:
    assert parse_where(text)(ROW) is holds


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "a column, a number or a string in quotes is expected after '', but it ends"),
        ("label =", "is expected after 'label =', but it ends"),
        ("label = 'car", "a string without its closing quote after 'label ='"),
        ("(range_m < 3", r"'\)' is expected"),
        ("range_m < 3 label", "'and', 'or' or its end is expected after 'range_m < 3', but there is 'label'"),
        ("label ~ 'c'", "cannot be understood after 'label'"),
        ("label in 'car'", r"'\(' is expected"),
        ("label not 'car'", "'in' is expected"),
        ("rangem < 3", r"no column is called 'rangem'; did you mean 'range_m'\? \(known: label, range_m"),
        ("(" * 5000 + "id", "nested more than 100 deep"),
        ("id = 1 and " * 5000, "characters"),
        ("12abc = 3", "cannot be understood"),
    ],
)
def test_what_cannot_be_understood_is_told_with_its_place(text: str, told: str) -> None:
    with pytest.raises(WhereError, match=told):
        parse_where(text, tuple(ROW))


@given(st.text("()'\"<>=!., abnotridTRUE0123\\_\n", max_size=40))
def test_any_text_is_a_condition_or_an_error(text: str) -> None:
    try:
        condition = parse_where(text)
    except WhereError:
        return
    assert condition(ROW) in (True, False)
