"""A short version of the soak: every fault once, all back, and the sums add up."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from fusion_pipeline import child as children
from fusion_pipeline.bench.soak import soak_figures


@pytest.fixture(autouse=True)
def _own_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with tempfile.TemporaryDirectory(dir="/tmp", prefix="ft") as folder:  # short: a socket's path may have 107 bytes
        monkeypatch.setattr(tempfile, "tempdir", folder)
        monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
        yield


def test_every_fault_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(children, "SILENT_S", 2.5)
    figures = list(soak_figures(rounds=10))
    assert [figure for figure in figures if figure.met is False] == []
    assert any(figure.what.startswith("reader: published") for figure in figures)
