"""`fusion` finds verbs, helps, and turns errors into one line."""

from __future__ import annotations

import subprocess
import sys
from types import ModuleType
from typing import Annotated

import pytest
import typer

from fusion_pipeline.cli import UserError, verbs
from fusion_pipeline.cli.dispatch import run
from fusion_pipeline.cli.verbs import VERBS, Verb
from fusion_pipeline.rig import RigError

MOST_MODULES = 400  # so that help comes at once on a slow machine too


def play(
    log: str,
    rate: Annotated[float, typer.Option(help="Times real time.")] = 1.0,
    fail: Annotated[str, typer.Option(help="How to end.")] = "",
) -> int:
    """Play a log.

    The same graph runs as on the vehicle [really].
    """
    errors: dict[str, Exception] = {
        "user": UserError("log.mcap has no LiDAR; record one"),
        "rig": RigError("rig.toml: [lidar.top] lacks 'vehicle_from_sensor'"),
        "bug": ValueError("array shapes differ"),
        "key": KeyError("x"),
        "library": ModuleNotFoundError("No module named 'torch'", name="torch"),
        "file": FileNotFoundError(2, "No such file or directory", "/nowhere/log"),
        "exit": typer.Exit(3),
        "interrupt": typer.Abort(),
    }
    if fail:
        raise errors[fail]
    typer.echo(f"{log} at {rate}")
    return 0


topics = typer.Typer(add_completion=False, rich_markup_mode="rich")


@topics.command()
def hz(topic: str) -> None:
    """How often."""
    typer.echo(f"hz {topic}")


@topics.command(name="list")
def list_() -> None:
    """Which."""
    typer.echo("all")


@pytest.fixture(autouse=True)
def two_verbs(monkeypatch: pytest.MonkeyPatch) -> None:
    module = ModuleType("verbs_of_this_test")
    module.play, module.topics = play, topics  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setitem(verbs.VERBS, "play", Verb(f"{module.__name__}:play", "Play it.", ("fusion play log.mcap",)))
    monkeypatch.setitem(verbs.VERBS, "look", Verb(f"{module.__name__}:topics", "Look.", ("fusion look hz lidar/top",)))


def test_a_verb_gets_its_arguments(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["play", "a.mcap", "--rate", "2"]) == 0
    assert capsys.readouterr().out == "a.mcap at 2.0\n"


def test_a_verb_may_have_verbs_of_its_own(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["look", "hz", "lidar/top"]) == 0
    assert run(["look", "list"]) == 0
    assert capsys.readouterr().out == "hz lidar/top\nall\n"
    assert run(["look", "--help"]) == 0
    assert "fusion look hz lidar/top" in capsys.readouterr().out


@pytest.mark.parametrize("arguments", [["play", "--help"], ["help", "play"]])
def test_help_shows_summary_body_options_and_example(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(arguments) == 0
    shown = capsys.readouterr().out
    for part in ("Play it.", "on the vehicle [really]", "--rate", "Times real time.", "fusion play log.mcap"):
        assert part in shown, part
    assert "Play a log" not in shown  # the table's summary stands for the docstring's first line


def test_overview_lists_every_verb(capsys: pytest.CaptureFixture[str]) -> None:
    assert run([]) == run(["--help"]) == 0
    shown = capsys.readouterr().out
    assert all(name in shown for name in VERBS)


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["plya"], "fusion: unknown verb 'plya'; did you mean `fusion play`?"),
        (["xyzzy"], "fusion: unknown verb 'xyzzy'; `fusion --help` lists them"),
        (["--hlep"], "fusion: unknown option '--hlep'; `fusion --help` lists them"),
        (["play", "a", "--fail", "user"], "fusion: log.mcap has no LiDAR; record one"),
        (["play", "a", "--fail", "rig"], "fusion: rig.toml: [lidar.top] lacks 'vehicle_from_sensor'"),
        (["play", "a", "--fail", "file"], "fusion: /nowhere/log: no such file or directory; check the path"),
        (["play", "a", "--fail", "library"],
         "fusion: the library 'torch' is not installed; pip install 'fusion-pipeline[train]'"),
    ],
)  # fmt: skip
def test_what_users_can_mend_is_one_line(arguments: list[str], line: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(arguments) == 2
    assert capsys.readouterr().err == line + "\n"


@pytest.mark.parametrize("arguments", [["play"], ["play", "a", "--rat", "2"], ["play", "a", "--rate", "fast"]])
def test_a_command_line_that_does_not_parse_points_to_the_help(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(arguments) == 2
    shown = capsys.readouterr().err
    assert shown.count("\n") == 1
    assert shown.endswith("; see `fusion play --help`\n")


@pytest.mark.parametrize("fail", ["bug", "key"])
def test_a_bug_shows_its_traceback(
    fail: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    # This file stands for one of the program's own; an error in a user's file is not called a bug of the program.
    monkeypatch.setattr("fusion_pipeline.launchfile._is_users", lambda file: False)
    assert run(["play", "a", "--fail", fail]) == 1
    shown = capsys.readouterr().err
    assert "Traceback" in shown
    assert "please report" in shown


def test_debug_shows_the_traceback_of_any_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["play", "a", "--fail", "user", "--debug"]) == 2
    assert "Traceback" in capsys.readouterr().err


def test_exit_codes_pass_through() -> None:
    assert run(["play", "a", "--fail", "exit"]) == 3
    assert run(["play", "a", "--fail", "interrupt"]) == 130


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--version"]) == 0
    assert capsys.readouterr().out.startswith("fusion 0.")


def test_help_loads_next_to_nothing() -> None:
    said = "print(len(sys.modules), *sys.modules)"
    script = f"import sys; from fusion_pipeline.cli import main\ntry: main(['--help'])\nfinally: {said}"
    done = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    count, *names = done.stdout.splitlines()[-1].split()
    assert int(count) < MOST_MODULES
    assert not {"numpy", "cv2", "zmq", "onnxruntime", "scipy", "numba"} & set(names)


def test_a_reader_that_goes_away_is_no_error() -> None:
    script = "from fusion_pipeline.cli import main; main(['--help'])"
    done = subprocess.run(
        ["sh", "-c", f'"{sys.executable}" -c "{script}" | true'], capture_output=True, text=True, check=True
    )
    assert done.stderr == ""
