"""Dataclasses from TOML tables, every key, type and number checked."""

from __future__ import annotations

import dataclasses
import math
import types
import typing
from collections.abc import Mapping
from typing import Any, TypeVar

from fusion_pipeline.checks import faults_of, nearest, shown


class TableError(ValueError):
    """A table that cannot be used; the message names the key and what to write instead."""


T = TypeVar("T")


def build(kind: type[T], table: Mapping[str, Any]) -> T:
    """A dataclass from a TOML table, every key and type checked. Raises TableError naming the key."""
    hints = typing.get_type_hints(kind)
    fields = {item.name: item for item in dataclasses.fields(kind)}  # type: ignore[arg-type]
    for key in table:
        if key not in fields:
            raise TableError(nearest("key", key, fields))
    for name, item in fields.items():
        required = item.default is dataclasses.MISSING and item.default_factory is dataclasses.MISSING
        if required and name not in table:
            raise TableError(f"lacks {name!r}")
    made = kind(**{key: _convert(key, value, hints[key]) for key, value in table.items()})
    for fault in faults_of(made):
        raise TableError(fault)
    return made


def _convert(key: str, value: Any, wanted: Any) -> Any:
    origin, arguments = typing.get_origin(wanted), typing.get_args(wanted)
    if wanted is float and isinstance(value, int) and not isinstance(value, bool) and abs(value) < 1 << 60:
        return float(value)
    if wanted is float and isinstance(value, float) and not math.isfinite(value):
        raise TableError(f"{key} = {value!r} should be a finite number")
    if wanted in (int, float, str, bool) and type(value) is wanted:
        return value
    if origin is tuple and isinstance(value, list):
        return tuple(_convert(f"{key}[{i}]", item, arguments[0]) for i, item in enumerate(value))
    if origin is not None and issubclass(origin, Mapping) and isinstance(value, dict):
        return {name: _convert(f"{key}.{name}", item, arguments[1]) for name, item in value.items()}
    if dataclasses.is_dataclass(wanted) and isinstance(value, dict):
        try:
            return build(typing.cast(Any, wanted), value)
        except TableError as error:
            raise TableError(f"{key}: {error}") from None
    raise TableError(f"{key} = {shown(value)} should be {_described(wanted)}")


def _described(wanted: Any) -> str:
    origin, arguments = typing.get_origin(wanted), typing.get_args(wanted)
    if origin is tuple:
        return f"a list of {_described(arguments[0])}"
    if origin is not None and not isinstance(origin, types.UnionType):
        return f"a table of {_described(arguments[1])}"
    return {int: "a whole number", float: "a number", str: "a text", bool: "true or false"}.get(wanted, "a table")
