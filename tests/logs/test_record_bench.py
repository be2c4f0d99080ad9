"""The recorder's benchmark measures what it says; only what does not depend on the machine's speed is asserted."""

from __future__ import annotations

from pathlib import Path

from fusion_pipeline.bench.record import writing_figures
from fusion_pipeline.bench.record_live import killed_figures, live_figures


def test_every_writer_writes_and_is_compared(tmp_path: Path) -> None:
    figures = list(writing_figures(tmp_path, messages=4, rounds=1))
    assert len(figures) == 2
    assert all(figure.value > 0 and figure.baseline is not None and figure.baseline > 0 for figure in figures)
    assert {figure.baseline_name for figure in figures} == {
        "foxglove-sdk's bare writer", "the pure-Python mcap writer",
    }  # fmt: skip
    assert not list(tmp_path.iterdir())


def test_nothing_is_lost_of_live_topics(tmp_path: Path) -> None:
    lost, memory = live_figures(tmp_path, megabytes=10.0, seconds=1.5)
    assert lost.value == 0
    assert lost.met
    assert "MB resident" in memory.note or "resident at most" in memory.note


def test_what_a_killed_recorder_left_is_recovered(tmp_path: Path) -> None:
    _, readable = killed_figures(tmp_path, kills=1)
    assert readable.value == 0
    assert "0 missing in between" in readable.note
