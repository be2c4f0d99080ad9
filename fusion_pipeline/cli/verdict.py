"""What is wrong, on the screen and as an exit code: the same words and the same rule for every verb."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Annotated, Any

import typer

from fusion_pipeline.cli.errors import UserError
from fusion_pipeline.findings import KINDS, Finding

UNSOUND = 3  # exit code where an error is found that is not allowed
Allow = Annotated[
    list[str] | None,
    typer.Option("--allow", help="Let this finding pass, such as gap; may be repeated.", show_default=False),
]
LENSES = ("no-lens", "unknown-lens", "lens-size")
CALIBRATION = (*LENSES, "no-transform", "moving-mount", "no-calibration")  # what a rig file mends
STYLES = {"error": "red", "warning": "yellow", "note": "dim"}


def allowed_names(allow: Sequence[str] | None) -> frozenset[str]:
    """The names of --allow. Raises UserError for one that no finding has."""
    from fusion_pipeline.overrides import nearest

    for name in allow or ():
        if name not in KINDS:
            raise UserError(f"--allow {name}: {nearest('finding', name, KINDS)}")
    return frozenset(allow or ())


def wrong(found: Iterable[Finding], allowed: Collection[str]) -> bool:
    """Whether an error is among them that is not allowed."""
    return any(item.severity == "error" and item.name not in allowed for item in found)


def verdict(found: Iterable[Finding], allowed: Collection[str] = ()) -> str:
    """All of it in a line."""
    found = list(found)
    errors = sum(item.severity == "error" and item.name not in allowed for item in found)
    passed = sum(item.severity == "error" and item.name in allowed for item in found)
    warnings = sum(item.severity == "warning" for item in found)
    parts = [_number(errors, "error"), _number(warnings, "warning"), f"{passed} allowed" if passed else ""]
    counted = ", ".join(part for part in parts if part)
    if errors:
        return f"something is wrong: {counted}"
    return f"nothing is wrong, but read the above: {counted}" if counted else "nothing is wrong"


def print_findings(found: Iterable[Finding], allowed: Collection[str] = (), err: bool = False) -> None:
    """One line each, errors first."""
    from rich.console import Console
    from rich.text import Text

    console = Console(highlight=False, stderr=err)
    for item in found:
        let = item.severity == "error" and item.name in allowed
        text = f"allowed: {item.text()}" if let else item.text()
        console.print(Text(text, "dim" if let else STYLES[item.severity]), soft_wrap=True)


def as_table(found: Iterable[Finding], allowed: Collection[str] = ()) -> list[dict[str, Any]]:
    """For JSON."""
    return [
        {"name": item.name, "severity": item.severity, "topic": item.topic, "detail": item.detail,
         "count": item.count, "remedy": item.remedy, "allowed": item.name in allowed}
        for item in found
    ]  # fmt: skip


def end_by(found: Iterable[Finding], allowed: Collection[str] = ()) -> None:
    """End the command with exit code 3 where an error is among them that is not allowed."""
    if wrong(found, allowed):
        raise typer.Exit(UNSOUND)


def rate_text(rate_hz: float, mean_hz: float) -> str:
    """A rate, with the mean beside it where messages are missing: "10.0 Hz (8.0 on average)"."""
    far = mean_hz > 0 and abs(rate_hz - mean_hz) > 0.05 * max(rate_hz, mean_hz)
    return f"{rate_hz:.1f} Hz ({mean_hz:.1f} on average)" if far else f"{rate_hz:.1f} Hz"


def _number(count: int, what: str) -> str:
    return f"{count} {what}{'s' if count > 1 else ''}" if count else ""
