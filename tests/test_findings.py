"""Findings: the page of their names, the verdict, and what is allowed to pass."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from fusion_pipeline.cli.errors import UserError
from fusion_pipeline.cli.verdict import allowed_names, as_table, verdict, wrong
from fusion_pipeline.findings import KINDS, SEVERITIES, Finding, Findings, table


def test_the_page_has_every_name_with_its_severity_meaning_and_remedy(repo_root: Path) -> None:
    page = (repo_root / "docs" / "findings.md").read_text(encoding="utf-8")
    rows = [row for row in page.splitlines() if row.startswith("| `")]
    assert "\n".join(rows) == table(), "put what `fusion_pipeline.findings.table()` gives into docs/findings.md"
    for where in ("README.md", "docs/logs.md"):
        assert "findings.md" in (repo_root / where).read_text(encoding="utf-8")


def test_names_are_of_one_form() -> None:
    for name, kind in KINDS.items():
        assert re.fullmatch(r"[a-z]+(-[a-z]+)*", name)
        assert kind.severity in SEVERITIES
        assert kind.meaning.endswith(".")
        assert kind.remedy


def test_only_errors_that_are_not_allowed_make_it_wrong() -> None:
    found = Findings()
    found.add("clipped-sound", "audio/roof", "3 % of the samples are at full scale")
    assert not wrong(found, ())
    assert verdict(found) == "nothing is wrong, but read the above: 1 warning"
    found.add("gap", "lidar/top", "3.0 s")
    found.add("gap", "lidar/top", "3.0 s")
    assert [item.name for item in found] == ["gap", "clipped-sound"]
    assert found.wrong()
    assert wrong(found, ())
    assert not wrong(found, ("gap",))
    assert verdict(found) == "something is wrong: 1 error, 1 warning"
    assert verdict(found, ("gap",)) == "nothing is wrong, but read the above: 1 warning, 1 allowed"
    assert [row["allowed"] for row in as_table(found, ("gap",))] == [True, False]
    assert Finding("gap", "lidar/top", "3.0 s.", 2).text().startswith("error [gap] lidar/top: 3.0 s, 2 times. ")
    with pytest.raises(KeyError):
        found.add("no such name", "", "")


def test_an_unknown_name_is_refused_with_the_nearest() -> None:
    assert allowed_names(["gap", "no-lens"]) == {"gap", "no-lens"}
    with pytest.raises(UserError, match=r"--allow gaps: no finding 'gaps'; did you mean 'gap'\?"):
        allowed_names(["gaps"])
