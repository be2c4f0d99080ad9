"""A hundred situations that people reported: each is read rightly or named, none ends silently wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("rosbags")

from page import ALL, page
from situation import Situation


@pytest.mark.parametrize("row", [pytest.param(row, id=row.what) for row in ALL])
def test_a_situation(row: Situation, tmp_path: Path) -> None:
    assert row.faults(tmp_path) == []


def test_the_page_is_that_of_the_table(repo_root: Path) -> None:
    assert (repo_root / "docs" / "situations.md").read_text() == page()


def test_there_are_a_hundred_of_them_and_no_two_are_one() -> None:
    assert len(ALL) >= 100
    assert len({row.what for row in ALL}) == len(ALL)
