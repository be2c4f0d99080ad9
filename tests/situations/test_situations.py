"""A hundred situations that people reported: each is read rightly or named, none ends silently wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("rosbags")

from page import ALL
from situation import Situation


@pytest.mark.parametrize("row", [pytest.param(row, id=row.what) for row in ALL])
def test_a_situation(row: Situation, tmp_path: Path) -> None:
    assert row.faults(tmp_path) == []
