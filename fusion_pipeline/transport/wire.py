"""Messages as frames and back: topic, msgpack header, then one frame for each array.

Everything from outside is refused with a typed error when it is not exactly what the table of topics promises.
"""

from __future__ import annotations

import types
from collections.abc import Callable, Sequence
from dataclasses import fields, is_dataclass
from functools import cache
from math import prod
from typing import Any, Union, cast, get_args, get_origin, get_type_hints

import msgpack
import numpy as np

from fusion_pipeline.messages import Message
from fusion_pipeline.topics import topic_of
from fusion_pipeline.transport.bus import Envelope, Received

VERSION = 1
MAX_ARRAYS = 1024
MAX_DIMENSIONS = 8
Buffer = bytes | memoryview
_DTYPES = {
    np.dtype(code).str: np.dtype(code) for code in ("u1", "i1", "<u2", "<i2", "<u4", "<i4", "<u8", "<i8", "<f4", "<f8")
}


class Refused(ValueError):
    """Input that is not a message; `reason` is short and stable, fit as a counter's key."""

    def __init__(self, topic: str, reason: str) -> None:
        super().__init__(f"{topic}: {reason}")
        self.topic, self.reason = topic, reason


class _Bad(Exception):
    """A reason, before the topic is known."""


def encode(topic: str, message: Message | None, envelope: Envelope) -> list[bytes | memoryview]:
    """The frames of `message`. Raises Refused where the topic's table row does not allow it."""
    row, arrays = topic_of(topic), list[Any]()
    name, body = ("End", []) if message is None else (type(message).__name__, _pack(message, arrays))
    if name not in ("End", row.message.__name__):
        raise Refused(topic, "wrong type")
    described = [[array.dtype.str, list(array.shape)] for array in arrays]
    stamp = [envelope.writer, envelope.sequence, envelope.publish_ns]
    header = msgpack.packb([VERSION, name, stamp, described, body])
    if len(header) + sum(array.nbytes for array in arrays) > row.max_bytes:
        raise Refused(topic, "oversized")
    buffers = [memoryview(array.reshape(-1)).cast("B") if array.size else b"" for array in arrays]
    return [topic.encode(), header, *buffers]


def decode(frames: Sequence[Buffer]) -> Received:
    """The message in `frames`; its arrays are read-only views of them. Raises Refused."""
    topic = "?"
    try:
        if len(frames) < 2:
            raise _Bad("truncated")
        if len(frames[0]) > 256:
            raise _Bad("garbage")
        topic = bytes(frames[0]).decode()
        row = topic_of(topic)
        if sum(len(frame) for frame in frames) > row.max_bytes + 256:
            raise _Bad("oversized")
        return _decode(topic, row.message, frames)
    except _Bad as bad:
        raise Refused(topic, str(bad)) from None
    except KeyError:
        raise Refused("?", "unknown topic") from None
    except UnicodeDecodeError:
        raise Refused("?", "garbage") from None


def _decode(topic: str, expected: type[Message], frames: Sequence[Buffer]) -> Received:
    try:
        head = msgpack.unpackb(frames[1], strict_map_key=True)
    except msgpack.StackError:
        raise _Bad("too deep") from None
    except RecursionError:
        raise _Bad("too deep") from None
    except Exception:
        # msgpack raises a dozen types on bad bytes, and each of them means the same.
        raise _Bad("garbage") from None
    if type(head) is not list or not head or type(head[0]) is not int:
        raise _Bad("garbage")
    if head[0] != VERSION:
        raise _Bad("wrong version")
    if len(head) != 5 or type(head[2]) is not list or len(head[2]) != 3 or type(head[3]) is not list:
        raise _Bad("garbage")
    if [type(part) for part in head[2]] != [str, int, int] or min(head[2][1:]) < 0:
        raise _Bad("garbage")
    envelope = Envelope(*head[2])
    if head[1] == "End":
        return Received(topic, None, envelope)
    if head[1] != expected.__name__:
        raise _Bad("wrong type")
    if len(head[3]) > MAX_ARRAYS or len(head[3]) != len(frames) - 2:
        raise _Bad("truncated")
    arrays = [_array(described, frame) for described, frame in zip(head[3], frames[2:], strict=True)]
    rest = iter(arrays)
    message = _reader(cast(Any, expected))(head[4], rest)
    if next(rest, None) is not None or message.header.source != topic:
        raise _Bad("invalid value")
    return Received(topic, cast(Message, message), envelope)


def _array(described: Any, frame: Buffer) -> Any:
    if type(described) is not list or len(described) != 2 or type(described[1]) is not list:
        raise _Bad("garbage")
    code, shape = described
    if type(code) is not str or code not in _DTYPES:
        raise _Bad("wrong dtype")
    if len(shape) > MAX_DIMENSIONS or any(type(extent) is not int or not 0 <= extent < 2**40 for extent in shape):
        raise _Bad("bad shape")
    size = prod(shape) * _DTYPES[code].itemsize
    if size != len(frame):
        raise _Bad("truncated" if size > len(frame) else "bad shape")
    view = np.frombuffer(frame, _DTYPES[code]).reshape(shape)
    view.flags.writeable = False
    return view


def _pack(value: Any, arrays: list[Any]) -> Any:
    if is_dataclass(value):
        return [_pack(getattr(value, field.name), arrays) for field in fields(value)]
    if isinstance(value, np.ndarray):
        arrays.append(np.ascontiguousarray(value, value.dtype.newbyteorder("<")).reshape(value.shape))
        return None
    if isinstance(value, tuple):
        return [_pack(item, arrays) for item in value]
    return value.item() if isinstance(value, np.generic) else value


@cache
def _reader(hint: Any) -> Callable[[Any, Any], Any]:
    """What turns the plain value of a field of type `hint` into that field, made once per type."""
    if is_dataclass(hint):
        hints = get_type_hints(hint)
        readers = [_reader(hints[field.name]) for field in fields(hint)]
        return lambda value, arrays: _object(hint, readers, value, arrays)
    origin, inner = get_origin(hint), get_args(hint)
    if origin is np.ndarray:
        return _take
    if origin is tuple and len(inner) == 2 and inner[1] is Ellipsis:
        return lambda value, arrays: tuple(_reader(inner[0])(item, arrays) for item in _list(value))
    if origin in (Union, types.UnionType) or hint not in (str, int, float, bool):
        raise TypeError(f"{hint} cannot travel in a message")
    allowed = (float, int) if hint is float else (hint,)
    return lambda value, arrays: hint(_exact(value, allowed))


def _take(value: Any, arrays: Any) -> Any:
    array = next(arrays, None)
    if value is not None or array is None:
        raise _Bad("truncated")
    return array


def _list(value: Any) -> list[Any]:
    if type(value) is not list:
        raise _Bad("invalid value")
    return value


def _exact(value: Any, allowed: tuple[type, ...]) -> Any:
    if type(value) not in allowed:
        raise _Bad("invalid value")
    return value


def _object(kind: Any, readers: Sequence[Callable[[Any, Any], Any]], value: Any, arrays: Any) -> Any:
    if len(_list(value)) != len(readers):
        raise _Bad("invalid value")
    parts = [read(part, arrays) for read, part in zip(readers, value, strict=True)]
    try:
        return kind(*parts)
    except (ValueError, TypeError, IndexError, OverflowError) as error:
        text = str(error)
        raise _Bad("wrong dtype" if "dtype" in text else "bad shape" if "shape" in text else "invalid value") from None
