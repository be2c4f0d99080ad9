"""Logs cut, thinned, merged and recovered: message by message, nothing decoded, nothing lost that was asked for."""

from __future__ import annotations

import heapq
import struct
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from fusion_pipeline.clock import SECOND_NS
from fusion_pipeline.logs.checksum import crc32
from fusion_pipeline.logs.foxglove_form import BESIDE
from fusion_pipeline.logs.raw import Raw, RawReader, RawWriter
from fusion_pipeline.logs.reader import LogError, open_log

Advance = Callable[[int], None]


def _quiet(steps: int) -> None:
    """Nobody looks."""


def copied(reader: RawReader, out: Path, messages: Iterable[Raw], advance: Advance = _quiet) -> int:
    """Write `messages` of a reader with what lies beside them; how many there were. Raises LogError."""
    if out.exists() and out.samefile(reader.path):
        raise LogError(f"{out} is the log itself; write to another file")
    with RawWriter(out) as writer:
        for raw in messages:
            writer.write(raw)
            advance(1)
        writer.beside(reader)
    return writer.written


def recovered(path: Path, out: Path, advance: Advance = _quiet) -> tuple[int, Mapping[str, int]]:
    """Write what can be read of a damaged log: how many messages, and what was lost.

    What was written is read back and compared, message by message. Raises LogError where it is not the same.
    """
    reader = RawReader(path)
    read, back = Content(), Content()
    count = copied(reader, out, read.watched(reader), advance)
    again = RawReader(out)
    for _ in back.watched(again):
        pass
    if again.lost or back != read:
        raise LogError(f"{out} does not hold what was read of {path}; is its disk sound? Write to another one")
    return count, reader.lost


@dataclass
class Content:
    """What a log holds: messages by topic, and a checksum over all of each topic's in their order."""

    counts: Counter[str] = field(default_factory=Counter)
    checksums: dict[str, int] = field(default_factory=dict)

    def watched(self, messages: Iterable[Raw]) -> Iterator[Raw]:
        """The messages, taken note of as they pass."""
        for raw in messages:
            self.counts[raw.topic] += 1
            head = struct.pack("<QQI", raw.log_ns, raw.publish_ns, raw.sequence) + raw.schema.encode()
            self.checksums[raw.topic] = crc32(raw.data, crc32(head, self.checksums.get(raw.topic, 0)))
            yield raw


def cut(
    path: Path, out: Path, start_s: float, end_s: float, topics: Sequence[str] = (), advance: Advance = _quiet
) -> int:
    """The part from `start_s` to `end_s` after the first message; with `topics`, of these alone. Raises LogError."""
    if not start_s < end_s:
        raise LogError(f"--start {start_s} is not before --end {end_s}; give a part that is longer than nothing")
    reader = RawReader(path)
    first = min((raw.log_ns for raw in reader), default=None)
    if first is None:
        raise LogError(f"{path} holds no message")
    low, high = first + round(start_s * SECOND_NS), first + min(round(end_s * SECOND_NS), 1 << 62)
    kept = (raw for raw in reader if low <= raw.log_ns < high and _of(raw, topics))
    return copied(reader, out, kept, advance)


def _of(raw: Raw, topics: Sequence[str]) -> bool:
    return (
        not topics or raw.topic in topics or raw.topic == BESIDE or any(raw.topic.startswith(f"{t}/") for t in topics)
    )


def thinned(path: Path, out: Path, every: Mapping[str, int], advance: Advance = _quiet) -> int:
    """Of the topics named keep the first of every so many messages; all of the others. Raises LogError."""
    reader = RawReader(path)
    seen: Counter[str] = Counter()

    def kept() -> Iterator[Raw]:
        for raw in reader:
            number = seen[raw.topic]
            seen[raw.topic] += 1
            if number % every.get(raw.topic, 1) == 0:
                yield raw

    count = copied(reader, out, kept(), advance)
    unknown = [topic for topic in every if topic not in seen]
    if unknown:
        raise LogError(f"{path} has no topic {unknown[0]!r}; it has {', '.join(sorted(seen))}")
    return count


def merged(paths: Sequence[Path], out: Path, advance: Advance = _quiet) -> int:
    """Several logs as one, in order of arrival. Raises LogError where `out` is one of them."""
    readers = [RawReader(path) for path in paths]
    for reader in readers:
        if out.exists() and out.samefile(reader.path):
            raise LogError(f"{out} is one of the logs; write to another file")
    with RawWriter(out) as writer:
        # Within a log messages may be a little out of order; readers sort by time, so the file needs not be sorted.
        for raw in heapq.merge(*readers, key=lambda item: item.log_ns):
            writer.write(raw)
            advance(1)
        for reader in readers:
            writer.beside(reader)
    return writer.written


def converted(path: Path, out: Path, advance: Advance = _quiet) -> int:
    """Any log that can be read, as MCAP with its rig. Raises LogError."""
    from fusion_pipeline.logs.mcap_writer import McapWriter

    log = open_log(path)
    with McapWriter(out, log.rig, {"converted_from": path.name}) as writer:
        for message in log.messages():
            writer.write(message)
            advance(1)
    return writer.written
