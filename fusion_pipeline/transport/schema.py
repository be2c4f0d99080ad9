"""Messages as plain values and back, as their type hints say: dataclasses become lists, arrays are put aside."""

from __future__ import annotations

import sys
import types
from collections.abc import Callable, Iterator, Sequence
from dataclasses import fields, is_dataclass
from functools import cache
from operator import attrgetter
from typing import Any, Union, get_args, get_origin, get_type_hints

import numpy as np

from fusion_pipeline.arrays import is_array
from fusion_pipeline.messages import Header

Packer = Callable[[Any, list[Any]], Any]
Reader = Callable[[Any, Iterator[Any]], Any]
_PLAIN = (str, int, float, bool)


class Bad(Exception):
    """A value from outside that is not what the type hints promise; its text is the short reason."""


def pack(message: Any, arrays: list[Any]) -> Any:
    """`message` as lists of plain values; its arrays are appended to `arrays`, C-contiguous and little-endian."""
    kind: Any = type(message)
    return _packer(kind)(message, arrays)


def build(kind: Any, value: Any, arrays: Iterator[Any]) -> Any:
    """The message of type `kind` that `pack` made `value` of. Raises Bad."""
    return _reader(kind)(value, arrays)


def check_message(kind: Any) -> None:
    """Raise TypeError unless messages of type `kind` can travel: a dataclass whose first field is `header: Header`, of
    plain values, arrays, tuples of one type and dataclasses of these.
    """
    if not isinstance(kind, type) or not is_dataclass(kind):
        raise TypeError(f"{kind!r} cannot travel as a message; write a frozen dataclass")
    try:
        hints = get_type_hints(kind)
    except NameError as error:
        raise TypeError(
            f"{kind.__qualname__}: {error}; a message's types must be imported where it is defined"
        ) from None
    if hints.get("header") is not Header:
        raise TypeError(f"{kind.__qualname__} cannot travel as a message; its first field must be `header: Header`")
    for field in fields(kind):
        try:
            _reader(hints[field.name])
        except TypeError as error:
            raise TypeError(f"{kind.__qualname__}.{field.name}: {error}") from None


@cache
def _packer(hint: Any) -> Packer:
    """What turns a field of type `hint` into a plain value, made once per type."""
    if is_dataclass(hint):
        hints = get_type_hints(hint)
        parts = [(attrgetter(field.name), _packer(hints[field.name])) for field in fields(hint)]
        return lambda value, arrays: [pack_part(get(value), arrays) for get, pack_part in parts]
    origin, inner = get_origin(hint), get_args(hint)
    if is_array(hint):
        return _put_aside
    if origin is tuple and len(inner) == 2 and inner[1] is Ellipsis:
        each = _packer(inner[0])
        return lambda value, arrays: [each(item, arrays) for item in value]
    if origin in (Union, types.UnionType) or hint not in _PLAIN:
        raise TypeError(f"{hint} cannot travel in a message")
    # A numpy number is no subclass of int, and msgpack does not know it.
    return lambda value, arrays: value.item() if isinstance(value, np.generic) else value


def _put_aside(value: Any, arrays: list[Any]) -> None:
    big_endian = value.dtype.byteorder == ">" or (value.dtype.byteorder == "=" and sys.byteorder == "big")
    if big_endian or not value.flags.c_contiguous:
        value = np.ascontiguousarray(value, value.dtype.newbyteorder("<")).reshape(value.shape)
    arrays.append(value)


@cache
def _reader(hint: Any) -> Reader:
    """What turns the plain value of a field of type `hint` into that field, made once per type."""
    if is_dataclass(hint):
        hints = get_type_hints(hint)
        readers = [_reader(hints[field.name]) for field in fields(hint)]
        return lambda value, arrays: _object(hint, readers, value, arrays)
    origin, inner = get_origin(hint), get_args(hint)
    if is_array(hint):
        return _take
    if origin is tuple and len(inner) == 2 and inner[1] is Ellipsis:
        each = _reader(inner[0])
        return lambda value, arrays: tuple([each(item, arrays) for item in _list(value)])
    if origin in (Union, types.UnionType) or hint not in _PLAIN:
        raise TypeError(f"{hint} cannot travel in a message")
    if hint is float:
        return lambda value, arrays: float(_exact(value, (float, int)))
    return lambda value, arrays: _exact(value, (hint,))


def _take(value: Any, arrays: Iterator[Any]) -> Any:
    array = next(arrays, None)
    if value is not None or array is None:
        raise Bad("truncated")
    return array


def _list(value: Any) -> list[Any]:
    if type(value) is not list:
        raise Bad("invalid value")
    return value


def _exact(value: Any, allowed: tuple[type, ...]) -> Any:
    if type(value) not in allowed:
        raise Bad("invalid value")
    return value


def _object(kind: Any, readers: Sequence[Reader], value: Any, arrays: Iterator[Any]) -> Any:
    if len(_list(value)) != len(readers):
        raise Bad("invalid value")
    parts = [read(part, arrays) for read, part in zip(readers, value, strict=True)]
    try:
        return kind(*parts)
    except (ValueError, TypeError, IndexError, OverflowError) as error:
        text = str(error)
        raise Bad("wrong dtype" if "dtype" in text else "bad shape" if "shape" in text else "invalid value") from None
