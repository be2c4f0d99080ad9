"""Messages as frames and back: topic, msgpack header, then one frame for each array that is not in shared memory.

The header is [version, type, [writer, sequence, publish_ns], arrays, body, pool]. `arrays` describes each array as
[dtype, shape], or [dtype, shape, slot, generation, start] where it lies in the writer's pool; `pool` is [pid, fd,
token] or nil. Everything from outside is refused with a typed error when it is not exactly what the table of topics
promises.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import Any, cast

import msgpack
import numpy as np

from fusion_pipeline.arrays import Bytes
from fusion_pipeline.messages import Message
from fusion_pipeline.topics import Topic, topic_of
from fusion_pipeline.transport.bus import Envelope, Received
from fusion_pipeline.transport.leases import Leases, Reused, Unreachable
from fusion_pipeline.transport.schema import Bad, build, pack
from fusion_pipeline.transport.shared_memory import DATA, TOKEN_BYTES, Place, PoolAddress

VERSION = 3
MAX_ARRAYS = 1024
MAX_DIMENSIONS = 8
UNREACHABLE = "shared memory unreachable"
SHARED = "shm:"  # before the topic of frames that may point into shared memory
Buffer = bytes | memoryview
_STAMP: list[type] = [str, int, int]
_POOL: list[type] = [int, int, bytes]
_DTYPES = {
    np.dtype(code).str: np.dtype(code) for code in ("u1", "i1", "<u2", "<i2", "<u4", "<i4", "<u8", "<i8", "<f4", "<f8")
}


class Refused(ValueError):
    """Input that is not a message; `reason` is short and stable, fit as a counter's key."""

    def __init__(self, topic: str, reason: str) -> None:
        super().__init__(f"{topic}: {reason}")
        self.topic, self.reason = topic, reason


class Lost(Exception):
    """A good message whose arrays are gone; `reason` is fit as a counter's key."""

    def __init__(self, topic: str, reason: str, envelope: Envelope) -> None:
        super().__init__(f"{topic}: {reason}")
        self.topic, self.reason, self.envelope = topic, reason, envelope


@dataclass(frozen=True, slots=True)
class Packed:
    """A message taken apart: what stays the same however its arrays travel."""

    topic: str
    name: str
    arrays: list[Any]
    body: Any

    def frames(
        self, envelope: Envelope, pool: PoolAddress | None = None, places: Sequence[Place | None] | None = None
    ) -> list[Buffer]:
        """Frames to send. With `pool` alone, an offer to readers who can open it; with `places`, frames for those who
        have, where arrays with a place are left out. Raises Refused where there are more bytes than the topic allows.
        """
        described: list[list[Any]] = [[array.dtype.str, array.shape] for array in self.arrays]
        inline = self.arrays
        if places is not None:
            for entry, place in zip(described, places, strict=True):
                entry.extend(place or ())
            inline = [array for array, place in zip(self.arrays, places, strict=True) if place is None]
        stamp = (envelope.writer, envelope.sequence, envelope.publish_ns)
        header = msgpack.packb((VERSION, self.name, stamp, described, self.body, pool))
        if len(header) + sum(array.nbytes for array in self.arrays) > topic_of(self.topic).max_bytes:
            raise Refused(self.topic, "oversized")
        first = self.topic if places is None else SHARED + self.topic
        return [
            first.encode(),
            header,
            *(memoryview(array).cast("B") if array.size else b"" for array in inline),
        ]


def take_apart(topic: str, message: Message | None) -> Packed:
    """The message (None: the end of the topic), ready to become frames. Raises Refused where its type is wrong."""
    if message is None:
        return Packed(topic, "End", [], [])
    if type(message) is not topic_of(topic).message:
        raise Refused(topic, "wrong type")
    arrays: list[Any] = []
    return Packed(topic, type(message).__name__, arrays, pack(message, arrays))


def encode(topic: str, message: Message | None, envelope: Envelope) -> list[Buffer]:
    """The frames of `message`, all arrays inside. Raises Refused where the topic's table row does not allow it."""
    return take_apart(topic, message).frames(envelope)


def decode(frames: Sequence[Buffer]) -> Received:
    """The message in `frames`; its arrays are read-only views of them. Raises Refused."""
    return read(frames, None)[0]


def read(frames: Sequence[Buffer], leases: Leases | None) -> tuple[Received, PoolAddress | None]:
    """The message in `frames`, and the pool that its writer has. Arrays in that pool are leased.

    Raises Refused; Lost where the frames are in order but an array of theirs cannot be had.
    """
    topic = "?"
    try:
        if len(frames) < 2:
            raise Bad("truncated")
        if len(frames[0]) > 256:
            raise Bad("garbage")
        topic = bytes(frames[0]).decode().removeprefix(SHARED)
        row = topic_of(topic)
        if sum(len(frame) for frame in frames) > row.max_bytes + 256:
            raise Bad("oversized")
        return _read(topic, row, frames, leases)
    except Bad as bad:
        raise Refused(topic, str(bad)) from None
    except KeyError:
        raise Refused("?", "unknown topic") from None
    except UnicodeDecodeError:
        raise Refused("?", "garbage") from None


def _read(
    topic: str, row: Topic, frames: Sequence[Buffer], leases: Leases | None
) -> tuple[Received, PoolAddress | None]:
    name, envelope, described, body, pool = _header(frames[1])
    if name == "End":
        return Received(topic, None, envelope), pool
    if name != row.message.__name__:
        raise Bad("wrong type")
    inline = iter(frames[2:])
    slots: dict[tuple[int, int], Bytes] = {}
    arrays, total = [], 0
    for entry in described:
        dtype, shape, size = _description(entry)
        total += size
        if total > row.max_bytes:
            raise Bad("oversized")
        if len(entry) == 2:
            arrays.append(np.ndarray(shape, dtype, _frame(inline, size)))
        elif pool is None or leases is None or entry[4] % dtype.itemsize:
            raise Bad("bad descriptor")
        else:
            try:
                slot, start = _leased(leases, pool, Place(*entry[2:]), size, slots)
            except Reused:
                raise Lost(topic, "slot reused", envelope) from None
            except Unreachable:
                raise Lost(topic, UNREACHABLE, envelope) from None
            except OSError:
                raise Lost(topic, "too many open files", envelope) from None
            arrays.append(np.ndarray(shape, dtype, slot, start))
    if next(inline, None) is not None:
        raise Bad("truncated")
    rest = iter(arrays)
    with np.errstate(all="ignore"):  # absurd numbers fail the message's own checks
        message = build(row.message, body, rest)
    if next(rest, None) is not None or message.header.source != topic:
        raise Bad("invalid value")
    return Received(topic, cast(Message, message), envelope), pool


def _header(frame: Buffer) -> tuple[str, Envelope, list[Any], Any, PoolAddress | None]:
    try:
        head = msgpack.unpackb(frame, strict_map_key=True)
    except (msgpack.StackError, RecursionError):
        raise Bad("too deep") from None
    except Exception:
        # msgpack raises a dozen types on bad bytes, and each of them means the same.
        raise Bad("garbage") from None
    if type(head) is not list or not head or type(head[0]) is not int:
        raise Bad("garbage")
    if head[0] != VERSION:
        raise Bad("wrong version")
    if len(head) != 6 or type(head[1]) is not str or type(head[3]) is not list or len(head[3]) > MAX_ARRAYS:
        raise Bad("garbage")
    _, name, stamp, described, body, pool = head
    if not _are(stamp, _STAMP) or min(stamp[1], stamp[2]) < 0 or len(stamp[0]) > 64:
        raise Bad("garbage")
    if pool is not None and not (_are(pool, _POOL) and min(pool[0], pool[1]) >= 0 and len(pool[2]) == TOKEN_BYTES):
        raise Bad("bad descriptor")
    return name, Envelope(*stamp), described, body, None if pool is None else PoolAddress(*pool)


def _are(values: Any, types: list[type]) -> bool:
    return type(values) is list and [type(value) for value in values] == types


def _description(entry: Any) -> tuple[np.dtype[Any], list[int], int]:
    if type(entry) is not list or len(entry) not in (2, 5) or type(entry[1]) is not list:
        raise Bad("garbage")
    code, shape = entry[:2]
    if type(code) is not str or code not in _DTYPES:
        raise Bad("wrong dtype")
    if len(shape) > MAX_DIMENSIONS or any(type(extent) is not int or not 0 <= extent < 2**40 for extent in shape):
        raise Bad("bad shape")
    if any(type(number) is not int or not 0 <= number < 2**63 for number in entry[2:]):
        raise Bad("bad descriptor")
    return _DTYPES[code], shape, prod(shape) * _DTYPES[code].itemsize


def _frame(inline: Any, size: int) -> memoryview:
    frame = next(inline, None)
    if frame is None or size > len(frame):
        raise Bad("truncated")
    if size < len(frame):
        raise Bad("bad shape")
    return memoryview(frame).toreadonly()


def _leased(
    leases: Leases, pool: PoolAddress, place: Place, size: int, slots: dict[tuple[int, int], Bytes]
) -> tuple[Bytes, int]:
    """The slot, leased once for each message, and where in it the array begins."""
    key = place.slot, place.generation
    if key not in slots:
        try:
            slots[key] = leases.lease(pool, *key)
        except ValueError:
            raise Bad("bad descriptor") from None
    start = place.start - place.slot
    if start < DATA or start + size > len(slots[key]):
        raise Bad("bad descriptor")
    return slots[key], start
