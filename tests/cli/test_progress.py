"""The progress bar stays away from short work."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from fusion_pipeline.cli import progress as module
from fusion_pipeline.cli.progress import progress, tracked


def _console(terminal: bool) -> tuple[Console, io.StringIO]:
    text = io.StringIO()
    return Console(file=text, force_terminal=terminal, width=100), text


@pytest.mark.parametrize("terminal", [True, False])
def test_short_work_shows_nothing(terminal: bool) -> None:
    console, text = _console(terminal)
    with progress("frames", 10, console) as advance:
        for _ in range(10):
            advance()
    assert text.getvalue() == ""


def test_long_work_shows_a_bar_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PATIENCE_S", 0.0)
    console, text = _console(True)
    with progress("frames", 10, console) as advance:
        advance(4, note="frame 4")
    assert "frames" in text.getvalue()
    assert "4/10" in text.getvalue()


def test_long_work_shows_plain_lines_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PATIENCE_S", 0.0)
    monkeypatch.setattr(module, "PLAIN_PERIOD_S", 0.0)
    console, text = _console(False)
    with progress("frames", 10, console) as advance:
        advance(4, note="frame 4")
    assert text.getvalue() == "frames: 4 of 10 frame 4\n"


def test_tracked_yields_the_items() -> None:
    assert list(tracked([1, 2, 3], "items")) == [1, 2, 3]
