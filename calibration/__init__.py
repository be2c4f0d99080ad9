"""Calibrations of vehicles, and where they are."""

from __future__ import annotations

from pathlib import Path

RIGS = Path(__file__).resolve().parent / "rigs"


def rig(name: str) -> Path:
    """The rig file called `name`, such as "demo". Raises FileNotFoundError naming those there are."""
    path = RIGS / f"{name}.toml"
    if not path.is_file():
        known = ", ".join(sorted(file.stem for file in RIGS.glob("*.toml")))
        raise FileNotFoundError(f"no rig is called {name!r}; known: {known}")
    return path
