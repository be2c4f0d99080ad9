"""Two logs compared: topics, counts, stamps, and by field the first message of each topic that differs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields, is_dataclass
from hashlib import blake2b
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from fusion_pipeline.clock import SECOND_NS
from fusion_pipeline.logs.reader import Log, open_log
from fusion_pipeline.messages import Message

IGNORED = ("hops",)  # how long stages took is never the same
MOST_FIELDS = 8


@dataclass(frozen=True, slots=True)
class TopicDifference:
    """One topic of two logs. Messages are compared in their order."""

    topic: str
    counts: tuple[int, int]
    only: tuple[int, int]  # capture times that one log alone has
    differing: int  # of the messages that both have
    first: int  # number of the first that differs, from 0; -1: none
    fields: tuple[str, ...]  # of that message, what differs and by how much

    @property
    def same(self) -> bool:
        """Whether nothing differs."""
        return self.counts[0] == self.counts[1] and not self.differing


@dataclass(frozen=True, slots=True)
class LogDifference:
    """Two logs."""

    topics: tuple[TopicDifference, ...]
    rigs_same: bool

    @property
    def same(self) -> bool:
        """Whether every message of both is the same, and the rig."""
        return self.rigs_same and all(topic.same for topic in self.topics)

    def lines(self) -> Iterator[str]:
        """What differs, for people."""
        for topic in self.topics:
            if topic.same:
                yield f"{topic.topic}: {topic.counts[0]} messages, the same"
                continue
            text = f"{topic.topic}: {topic.counts[0]} and {topic.counts[1]} messages"
            if any(topic.only):
                text += f", {topic.only[0]} stamps only in the first, {topic.only[1]} only in the second"
            if topic.differing:
                text += f", {topic.differing} differ, the first is number {topic.first}"
            yield text
            yield from (f"    {field}" for field in topic.fields)
        if not self.rigs_same:
            yield "the rigs differ"


def compared(a: Path, b: Path, advance: Callable[[int], None] = lambda n: None) -> LogDifference:
    """Read both logs once, and again for the messages that differ. Raises LogError."""
    from fusion_pipeline.rig import to_toml

    logs = open_log(a), open_log(b)
    seen = [_digests(log, advance) for log in logs]
    found = []
    for topic in sorted({*seen[0], *seen[1]}):
        one, two = (side.get(topic, ([], [])) for side in seen)
        different = [k for k, (x, y) in enumerate(zip(one[1], two[1], strict=False)) if x != y]
        stamps = set(one[0]), set(two[0])
        first = different[0] if different else -1
        what = _fields_of(logs, topic, first) if different else ()
        only = len(stamps[0] - stamps[1]), len(stamps[1] - stamps[0])
        found.append(TopicDifference(topic, (len(one[0]), len(two[0])), only, len(different), first, what))
    return LogDifference(tuple(found), to_toml(logs[0].rig) == to_toml(logs[1].rig))


def _all(log: Log) -> tuple[str, ...]:
    return (*log.topics, *getattr(log, "results", ()))


def _digests(log: Log, advance: Callable[[int], None]) -> dict[str, tuple[list[int], list[bytes]]]:
    found: dict[str, tuple[list[int], list[bytes]]] = {}
    for message in log.messages(topics=_all(log)):
        stamps, digests = found.setdefault(message.header.source, ([], []))
        stamps.append(message.header.capture_ns)
        digest = blake2b(digest_size=16)
        _feed(message, digest.update)
        digests.append(digest.digest())
        advance(1)
    return found


def _feed(value: Any, update: Callable[[Any], None]) -> None:
    if is_dataclass(value):
        for field in fields(value):
            if field.name not in IGNORED:
                _feed(getattr(value, field.name), update)
    elif isinstance(value, np.ndarray):
        update(f"{value.dtype}{value.shape}".encode())
        update(np.ascontiguousarray(value).reshape(-1).view(np.uint8))
    elif isinstance(value, tuple):
        update(str(len(value)).encode())
        for item in value:
            _feed(item, update)
    else:
        update(f"{value!r};".encode())


def _fields_of(logs: tuple[Log, Log], topic: str, number: int) -> tuple[str, ...]:
    pair: list[Message] = []
    for log in logs:
        pair += islice(log.messages(topics=(topic,)), number, number + 1)
    if len(pair) < 2:
        return ()
    return tuple(islice(differing_fields(pair[0], pair[1]), MOST_FIELDS))


def differing_fields(a: Any, b: Any, name: str = "") -> Iterator[str]:
    """What differs between two values of one kind, field by field, in words."""
    if type(a) is not type(b):
        yield f"{name or 'message'}: {type(a).__name__} and {type(b).__name__}"
    elif is_dataclass(a):
        for field in fields(a):
            if field.name not in IGNORED:
                inner = f"{name}.{field.name}" if name else field.name
                yield from differing_fields(getattr(a, field.name), getattr(b, field.name), inner)
    elif isinstance(a, np.ndarray):
        yield from _array(a, b, name)
    elif isinstance(a, tuple):
        if len(a) != len(b):
            yield f"{name}: {len(a)} and {len(b)} entries"
        for k, (x, y) in enumerate(zip(a, b, strict=False)):
            yield from differing_fields(x, y, f"{name}[{k}]")
    elif a != b:
        if name.endswith("_ns") and isinstance(a, int):
            yield f"{name}: {a} and {b}, {(b - a) / SECOND_NS:+.6f} s"
        else:
            yield f"{name}: {a!r} and {b!r}"


def _array(a: Any, b: Any, name: str) -> Iterator[str]:
    if a.shape != b.shape or a.dtype != b.dtype:
        yield f"{name}: {a.dtype} {a.shape} and {b.dtype} {b.shape}"
        return
    numbers = a.dtype.kind in "fiu"
    unequal = ~((a == b) | ((a != a) & (b != b))) if numbers else a != b
    if unequal.any():
        far = np.abs(a[unequal].astype(np.float64) - b[unequal].astype(np.float64)) if numbers else np.zeros(1)
        yield f"{name}: {int(unequal.sum())} of {a.size} values differ, by at most {float(np.nanmax(far)):.6g}"
