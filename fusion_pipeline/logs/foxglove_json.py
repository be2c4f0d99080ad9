"""Foxglove's messages as JSON, which its schemas describe beside protobuf: read into the same objects.

In JSON a time is {"sec", "nsec"}, bytes are base64, an enumeration is its number
(https://github.com/foxglove/foxglove-sdk, schemas/jsonschema). Field names are those of protobuf.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from typing import Any

from fusion_pipeline.jsontext import parse_json
from fusion_pipeline.logs.reader import FormError

MOST_DEPTH = 8  # of messages in messages; Foxglove's have 3
_TIMES = ("google.protobuf.Timestamp", "google.protobuf.Duration")


def split_json(kind: Any, body: memoryview | bytes) -> tuple[Any, bytes]:
    """A message of the protobuf class `kind` without its field `data`, and that field's bytes. Raises FormError."""
    try:
        table = parse_json(bytes(body))
    except ValueError:
        raise FormError("damaged message") from None
    if not isinstance(table, dict):
        raise FormError("damaged message")
    data = b""
    if "data" in kind.DESCRIPTOR.fields_by_name:
        data = _bytes(table.pop("data", ""))
    return filled(kind(), table), data


def filled(message: Any, table: Mapping[str, Any], depth: int = 0) -> Any:
    """`message` with the fields of a JSON object; names that it does not have are passed over. Raises FormError."""
    if depth > MOST_DEPTH:
        raise FormError("damaged message")
    fields = message.DESCRIPTOR.fields_by_name
    for name, value in table.items():
        field = fields.get(name)
        if field is None or value is None:
            continue
        try:
            if _is_repeated(field):
                _extend(getattr(message, name), field, value, depth)
            elif field.message_type is not None:
                _fill(getattr(message, name), value, depth)
            else:
                setattr(message, name, _scalar(field, value))
        except (TypeError, ValueError, KeyError, OverflowError):  # of protobuf: a value of another type
            raise FormError(f"{name[:30]} of another type than the schema says") from None
    return message


def _is_repeated(field: Any) -> bool:
    try:
        return bool(field.is_repeated)
    except AttributeError:  # protobuf before 6.31
        return bool(field.label == field.LABEL_REPEATED)


def _extend(items: Any, field: Any, values: Any, depth: int) -> None:
    if not isinstance(values, list):
        raise TypeError
    if field.message_type is None:
        items.extend(_scalar(field, value) for value in values)
    else:
        for value in values:
            _fill(items.add(), value, depth)


def _fill(message: Any, value: Any, depth: int) -> None:
    if not isinstance(value, dict):
        raise TypeError
    if message.DESCRIPTOR.full_name in _TIMES:
        message.seconds, message.nanos = int(value.get("sec") or 0), int(value.get("nsec") or 0)
        message.SetInParent()
    else:
        message.SetInParent()
        filled(message, value, depth + 1)


def _scalar(field: Any, value: Any) -> Any:
    if field.type == field.TYPE_BYTES:
        return _bytes(value)
    if field.enum_type is not None and isinstance(value, str):
        return field.enum_type.values_by_name[value].number
    if field.cpp_type in (field.CPPTYPE_DOUBLE, field.CPPTYPE_FLOAT):
        return float("nan") if value is None else float(value)
    return value


def _bytes(value: Any) -> bytes:
    try:
        return base64.b64decode(value, validate=True) if isinstance(value, str) else bytes(list(value))
    except (binascii.Error, ValueError, TypeError):
        raise FormError("data that are not base64") from None
