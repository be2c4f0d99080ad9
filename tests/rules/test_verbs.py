"""Every verb of the command leads somewhere and explains itself."""

from __future__ import annotations

import pytest

from fusion_pipeline.cli.dispatch import run
from fusion_pipeline.cli.verbs import VERBS


@pytest.mark.parametrize("name", VERBS)
def test_help_has_an_example(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run([name, "--help"]) == 0
    shown = capsys.readouterr().out
    assert "Examples:" in shown
    assert f"fusion {name}" in shown


def test_the_readme_names_every_verb_that_it_shows(repo_root: object) -> None:
    from pathlib import Path

    assert isinstance(repo_root, Path)
    text = (repo_root / "README.md").read_text(encoding="utf-8")
    shown = {line.split()[1] for line in text.splitlines() if line.startswith("    fusion ")}
    assert shown
    assert shown <= set(VERBS)
