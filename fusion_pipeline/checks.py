"""What the fields of a configuration may be, and the check of a whole configuration before anything starts.

A config dataclass states its rules in its annotations:

    threads: Annotated[int, Range(1, 1024)] = 1
    compression: Annotated[str, OneOf("none", "lz4", "zstd")] = "lz4"

`faults_of` compares every value with its type and its rules. What no single field can show, such as one limit below
another, a config says in a method `faults` that yields sentences.
"""

from __future__ import annotations

import dataclasses
import difflib
import math
import os
import re
import types
import typing
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol

_SHOWN = 12  # known names in a message
_NAME = re.compile(r"[^\s\x00-\x1f/]{1,64}")


class Rule(Protocol):
    """One condition on a value that has the right type already."""

    def fault(self, value: Any) -> str:
        """What to write instead; "" where the value is right."""


@dataclasses.dataclass(frozen=True, slots=True)
class Range:
    """A number from `low` to `high`, both included unless `above`: then `low` itself is too small."""

    low: float = -math.inf
    high: float = math.inf
    above: bool = False
    infinite: bool = False  # whether infinity is a value that means something

    def fault(self, value: Any) -> str:
        """See Rule."""
        enough = value > self.low if self.above else value >= self.low
        if enough and value <= self.high:
            return ""
        low = f"above {self.low:g}" if self.above else f"{self.low:g} or more"
        if self.high == math.inf:
            return f"write a number {low}"
        return (
            f"write a number {low} and at most {self.high:g}"
            if self.above
            else (f"write a number from {self.low:g} to {self.high:g}")
        )


class OneOf:
    """One of some names; `instead` has what people write in place of them."""

    def __init__(self, *names: str, instead: Mapping[str, str] | None = None) -> None:
        self._names, self._instead = names, dict(instead or {})

    def fault(self, value: Any) -> str:
        """See Rule."""
        if value in self._names:
            return ""
        if value.lower() in self._instead:
            return f"did you mean {self._instead[value.lower()]!r}?"
        return nearest("value", value, self._names)


class NotEmpty:
    """At least one item or character."""

    def fault(self, value: Any) -> str:
        """See Rule."""
        return "" if len(value) else "write at least one"


class SensorName:
    """The part of a topic behind its kind, such as "front": no blanks and no slash."""

    def fault(self, value: Any) -> str:
        """See Rule."""
        return "" if _NAME.fullmatch(value) else 'write a name without blanks and slashes, such as "front"'


def faults_of(config: Any) -> Iterator[str]:
    """Sentences on every value of the dataclass `config` that is not of its type or against its rules.

    NaN is refused everywhere, infinity where no rule allows it. Annotations that cannot be resolved, and types that
    are none of the plain ones, are not checked.
    """
    if not dataclasses.is_dataclass(config) or isinstance(config, type):
        return
    try:
        hints = typing.get_type_hints(type(config), include_extras=True)
    except (NameError, TypeError):  # a name that only type checkers import
        hints = {}
    wrong = [
        fault
        for item in dataclasses.fields(config)
        if item.name in hints
        for fault in _faults(item.name, getattr(config, item.name), hints[item.name])
    ]
    yield from wrong
    own = getattr(config, "faults", None)
    if not wrong and callable(own):
        yield from own()


def _faults(name: str, value: Any, wanted: Any, infinite: bool = False) -> list[str]:
    origin, arguments = typing.get_origin(wanted), typing.get_args(wanted)
    if origin is typing.Annotated:
        rules = wanted.__metadata__
        allowed = any(getattr(rule, "infinite", False) for rule in rules)
        wrong = _faults(name, value, arguments[0], allowed)
        texts = [] if wrong else [rule.fault(value) for rule in rules if hasattr(rule, "fault")]
        return wrong or [f"{name} = {shown(value)}: {text}" for text in texts if text]
    if origin in (typing.Union, types.UnionType):
        options = [option for option in arguments if option is not type(None)]
        if value is None and len(options) < len(arguments):
            return []
        wrong = []
        for option in options:
            found = _faults(name, value, option, infinite)
            if not found:
                return []
            wrong = wrong or found
        return wrong
    if origin is tuple:
        return _of_items(name, value, arguments)
    if origin is typing.Literal:
        return [] if value in arguments else [f"{name} = {shown(value)}: write one of {', '.join(map(str, arguments))}"]
    text = _of_type(value, wanted, infinite)
    return [f"{name} = {shown(value)}: {text}"] if text else []


def _of_items(name: str, value: Any, arguments: tuple[Any, ...]) -> list[str]:
    if not isinstance(value, (tuple, list)):
        return [f"{name} = {shown(value)}: write a tuple, such as ({shown(value)},)"]
    if len(arguments) == 2 and arguments[1] is Ellipsis:
        each = [arguments[0]] * len(value)
    elif len(arguments) == len(value):
        each = list(arguments)
    else:
        return [f"{name} = {shown(value)}: write {len(arguments)} values"]
    return [fault for item, hint in zip(value, each, strict=True) for fault in _faults(name, item, hint)]


def _of_type(value: Any, wanted: Any, infinite: bool) -> str:
    """What to write instead of a value that is not of the plain type `wanted`; "" for one that is, or other types."""
    if wanted in (int, float):
        if isinstance(value, bool) or not hasattr(value, "__float__") or isinstance(value, (str, bytes)):
            return "write a number"
        if wanted is int and int(value) != value if _finite(value) else wanted is int:
            return "write a whole number"
        if value != value:
            return "write a number; this is none (NaN)"
        return "" if infinite or _finite(value) else "write a finite number"
    names = {str: "a text", bool: "True or False", Path: "a pathlib.Path, such as Path('file')"}
    if wanted in names and not isinstance(value, wanted):
        return f"write {names[wanted]}"
    if wanted in (str, Path) and "\0" in str(value):
        return "it has a character with the code 0"
    return ""


def _finite(value: Any) -> bool:
    try:
        return math.isfinite(value)
    except OverflowError:  # a whole number that no float can hold
        return False


def shown(value: Any) -> str:
    """`value` as it would be written, cut off where it is long."""
    text = str(value) if isinstance(value, Path) else repr(value)
    return text if len(text) <= 80 else text[:77] + "..."


def nearest(what: str, name: str, known: Iterable[str]) -> str:
    """ "key 'scal' is unknown; did you mean 'scale'?" or, where nothing is near, the known names."""
    names = list(known)
    close = difflib.get_close_matches(name[:200], names, 1, 0.5)
    advice = f"did you mean {close[0]!r}?" if close else f"known: {', '.join(names[:_SHOWN]) or 'none'}"
    return f"{what} {name[:200]!r} is unknown; {advice}"


def output_fault(path: Path, suffixes: tuple[str, ...] = ()) -> str:
    """Why nothing can be written to the file `path`; "" where it can. Nothing is made or changed."""
    if suffixes and path.suffix.lower() not in suffixes:
        return f"{path} should end in {' or '.join(suffixes)}"
    if path.is_dir():
        return f"{path} is a folder; name a file"
    folder = path.absolute().parent
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    if not folder.is_dir():
        return f"{path}: {folder} is no folder"
    if not os.access(folder, os.W_OK | os.X_OK):
        return f"{path}: this user may not write into {folder}"
    return ""
