"""`--set detector.min_score=0.4`: values from the command line, checked against the types of a config dataclass."""

from __future__ import annotations

import dataclasses
import difflib
import types
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")


class OverrideError(ValueError):
    """An assignment that does not fit the graph; the message names the nearest that would."""


def parse(assignments: typing.Iterable[str]) -> dict[str, dict[str, str]]:
    """["detector.min_score=0.4"] to {"detector": {"min_score": "0.4"}}. Raises OverrideError."""
    table: dict[str, dict[str, str]] = {}
    for assignment in assignments:
        target, equals, value = assignment.partition("=")
        process, dot, key = target.strip().rpartition(".")
        if not equals or not dot or not process or not key:
            raise OverrideError(f"--set {assignment!r}: write PROCESS.KEY=VALUE, such as detector.min_score=0.4")
        table.setdefault(process, {})[key] = value.strip()
    return table


def apply(config: T, values: Mapping[str, str], where: str) -> T:
    """`config`, a dataclass, with `values` parsed and replaced. Raises OverrideError naming `where` and the key."""
    if not values:
        return config
    hints = typing.get_type_hints(type(config))
    known = [field.name for field in dataclasses.fields(config)]  # type: ignore[arg-type]
    parsed: dict[str, Any] = {}
    for key, text in values.items():
        if key not in known:
            raise OverrideError(f"--set {where}.{key}: {nearest('key', key, known)}")
        try:
            parsed[key] = convert(text, hints[key])
        except ValueError as error:
            raise OverrideError(f"--set {where}.{key}={text}: {error}") from None
    return dataclasses.replace(config, **parsed)  # type: ignore[type-var]


def convert(text: str, wanted: Any) -> Any:
    """`text` as the type `wanted`: bool, int, float, str, Path, an Optional of these, or a tuple of one of these
    separated by commas. Raises ValueError saying what was expected.
    """
    origin, arguments = typing.get_origin(wanted), typing.get_args(wanted)
    if origin in (typing.Union, types.UnionType):
        if type(None) in arguments and text.lower() in ("none", ""):
            return None
        last = ValueError(f"expected one of {arguments}")
        for option in (a for a in arguments if a is not type(None)):
            try:
                return convert(text, option)
            except ValueError as error:
                last = error
        raise last
    if origin is tuple:
        return tuple(convert(part.strip(), arguments[0]) for part in text.split(",") if part.strip())
    if wanted is bool:
        if text.lower() in ("true", "yes", "on", "1"):
            return True
        if text.lower() in ("false", "no", "off", "0"):
            return False
        raise ValueError("expected true or false")
    if wanted in (int, float):
        try:
            return wanted(text)
        except ValueError:
            raise ValueError(f"expected {'a whole number' if wanted is int else 'a number'}") from None
    if wanted in (str, Path):
        return wanted(text)
    raise ValueError(f"a value of type {wanted} cannot be set on the command line")


def nearest(kind: str, name: str, known: typing.Iterable[str]) -> str:
    """A sentence for an unknown name: what is nearest, and what is known."""
    known = sorted(known)
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    hint = f"; did you mean {close[0]!r}?" if close else ""
    return f"no {kind} {name!r}{hint} (known: {', '.join(known) or 'none'})"
