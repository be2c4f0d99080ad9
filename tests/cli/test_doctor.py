"""fusion doctor finds what is wrong, says what to do, and never stumbles itself."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from fusion_pipeline import doctor
from fusion_pipeline.cli.dispatch import run
from fusion_pipeline.doctor import Check, checks


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """One library, no network: the rest takes seconds."""
    monkeypatch.setattr(doctor, "REQUIRED", {"msgpack": ("msgpack", "", "")})
    monkeypatch.setattr(doctor, "OPTIONAL", {})
    monkeypatch.setattr(doctor, "_network", lambda provider: Check(f"network on {provider}", "ok", "runs"))


def test_this_machine_is_fit(quick: None, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["doctor", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert {row["state"] for row in rows} <= {"ok", "warning"}
    assert {"Python", "library msgpack", "run folder", "clock", "cores", "disk"} <= {row["name"] for row in rows}
    assert all(row["advice"] for row in rows if row["state"] == "warning")


def test_the_shipped_network_runs() -> None:
    check = doctor._network("cpu")
    assert check.state == "ok"
    assert "CPUExecutionProvider" in check.found


@pytest.mark.parametrize(
    ("module", "purpose", "state"), [("no_such_library", "", "failed"), ("no_such_library", "nothing", "ok")]
)
def test_a_missing_library(module: str, purpose: str, state: str) -> None:
    check = doctor._library(module, module, "", purpose)
    assert check.state == state
    assert "No module" in check.found or "only for nothing" in check.found


def test_a_library_that_breaks_at_import(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "broken_lib.py").write_text("raise OSError('libusb-1.0.so.0: cannot open shared object file')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    check = doctor._library("broken_lib", "numpy", doctor.APT_OPEN3D, "scans")
    assert check.state == "warning"
    assert "libusb-1.0.so.0" in check.found
    assert check.advice.startswith("sudo apt install libusb-1.0-0")
    (tmp_path / "dying_lib.py").write_text("import os; os.abort()")
    assert doctor._library("dying_lib", "numpy", "", "").state == "failed"


def test_what_failed_decides_how_it_ends(quick: None, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    monkeypatch.setattr(doctor, "_python", lambda: Check("Python", "failed", "2.7", "take Python 3.11"))
    assert run(["doctor"]) == 2
    shown = capsys.readouterr().out
    assert "failed" in shown
    assert "take Python" in shown


def test_every_check_that_is_not_well_has_advice(quick: None) -> None:
    assert all(check.advice for check in checks() if check.state != "ok")
