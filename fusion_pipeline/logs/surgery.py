"""Logs cut, thinned, merged and recovered: message by message, nothing decoded, nothing lost that was asked for."""

from __future__ import annotations

import contextlib
import heapq
import struct
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from fusion_pipeline.clock import SECOND_NS
from fusion_pipeline.logs.checksum import crc32
from fusion_pipeline.logs.foxglove_form import BESIDE
from fusion_pipeline.logs.raw import Raw, RawReader, RawSource, RawWriter
from fusion_pipeline.logs.reader import LogError, open_log
from fusion_pipeline.output_file import OutputFile, whole_file

if TYPE_CHECKING:
    from fusion_pipeline.logs.survey import Survey

Advance = Callable[[int], None]
DRAWN = "foxglove.SceneUpdate"  # boxes to look at; they are drawn anew from detections and tracks


def _quiet(steps: int) -> None:
    """Nobody looks."""


def raw_reader(path: Path) -> RawSource:
    """The stored messages of an MCAP file or a ROS bag. Raises LogError."""
    from fusion_pipeline.logs.rosbag import is_bag

    if is_bag(path):
        from fusion_pipeline.logs.bag_raw import BagReader

        return BagReader(path)
    return RawReader(path)


def _trust(written: Path) -> None:
    """Nothing is to be compared."""


def copied(
    reader: RawSource,
    out: Path,
    messages: Iterable[Raw],
    advance: Advance = _quiet,
    check: Callable[[Path], None] = _trust,
) -> int:
    """Write `messages` of a reader with what lies beside them; how many there were. Raises LogError.

    `check` looks at what was written before it becomes `out`, and raises LogError where it is not right.
    """
    _refuse_same(out, (reader.path,))
    with _written(out) as file:
        with RawWriter(file.path) as writer:
            file.holds = writer.holds
            for raw in messages:
                writer.write(raw)
                advance(1)
            writer.beside(reader)
        check(file.path)
    return writer.written


@contextlib.contextmanager
def _written(out: Path) -> Iterator[OutputFile]:
    """A file beside `out` that becomes it at the end of the block. Raises LogError where it cannot be written."""
    try:
        with whole_file(out) as file:
            yield file
    except OSError as error:
        raise LogError(f"cannot write {out}: {error.strerror}; choose another place or free some space") from None


def _refuse_same(out: Path, inputs: Sequence[Path]) -> None:
    if any(out.exists() and path.exists() and out.samefile(path) for path in inputs):
        raise LogError(f"{out} is {'the log itself' if len(inputs) == 1 else 'one of the logs'}; write to another file")


def recovered(path: Path, out: Path, advance: Advance = _quiet) -> tuple[int, Mapping[str, int]]:
    """Write what can be read of a damaged log: how many messages, and what was lost.

    What was written is read back and compared, message by message. Raises LogError where it is not the same, and
    where not one message can be read; nothing is written then.
    """
    reader = raw_reader(path)
    read, back = Content(), Content()

    def compare(written: Path) -> None:
        if not read.counts:
            lost = "; ".join(f"{reason}: {number}" for reason, number in reader.lost.items())
            raise LogError(f"{path} holds no message that can be read ({lost or 'nothing is damaged'}); "
                           "nothing was written")  # fmt: skip
        again = RawReader(written)
        for _ in back.watched(again):
            pass
        if again.lost or back != read:
            raise LogError(f"{out} does not hold what was read of {path}; is its disk sound? Write to another one")

    return copied(reader, out, read.watched(reader), advance, compare), reader.lost


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
    """The part from `start_s` to `end_s` after the first message; with `topics`, of these alone.

    Raises LogError, also where a topic is not in the log or the part holds no message.
    """
    if not start_s < end_s:
        raise LogError(f"--start {start_s} is not before --end {end_s}; give a part that is longer than nothing")
    reader = raw_reader(path)
    spans: dict[str, tuple[int, int]] = {}  # of each topic the first and the last time
    for raw in reader:
        early, late = spans.get(raw.topic, (raw.log_ns, raw.log_ns))
        spans[raw.topic] = min(early, raw.log_ns), max(late, raw.log_ns)
    if not spans:
        raise LogError(f"{path} holds no message")
    for topic in topics:
        if not any(_within(name, topic) for name in spans):
            raise LogError(f"{path} has no topic {topic!r}; it has {', '.join(sorted(spans))}")
    first, last = min(early for early, _ in spans.values()), max(late for _, late in spans.values())
    low, high = first + round(start_s * SECOND_NS), first + min(round(end_s * SECOND_NS), 1 << 62)
    if low > last:
        raise LogError(f"--start {start_s} is after the last message of {path}, at {(last - first) / SECOND_NS:.1f} s")
    kept = (raw for raw in reader if low <= raw.log_ns < high and _of(raw, topics))
    return copied(reader, out, kept, advance)


def _of(raw: Raw, topics: Sequence[str]) -> bool:
    return not topics or raw.topic == BESIDE or any(_within(raw.topic, topic) for topic in topics)


def _within(name: str, topic: str) -> bool:
    """Whether a topic is the one asked for, or lies below it."""
    return name == topic or name.startswith(f"{topic}/")


def thinned(path: Path, out: Path, every: Mapping[str, int], advance: Advance = _quiet) -> int:
    """Of the topics named keep the first of every so many messages; all of the others. Raises LogError."""
    reader = raw_reader(path)
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
    _refuse_same(out, paths)
    readers = [raw_reader(path) for path in paths]
    with _written(out) as file, RawWriter(file.path) as writer:
        file.holds = writer.holds
        # Within a log messages may be a little out of order; readers sort by time, so the file needs not be sorted.
        for raw in heapq.merge(*readers, key=lambda item: item.log_ns):
            writer.write(raw)
            advance(1)
        for reader in readers:
            writer.beside(reader)
    return writer.written


def converted(path: Path, out: Path, advance: Advance = _quiet) -> Survey:
    """Any log that can be read, as MCAP with its rig, opened and counted before it takes its name.

    What is in it, and what is wrong with it, comes back. Raises LogError.
    """
    from fusion_pipeline.logs.mcap_writer import McapWriter
    from fusion_pipeline.logs.survey import LogSurvey

    log = open_log(path)
    survey = LogSurvey(log)
    _refuse_same(out, (path,) if path.is_file() else ())
    counts: Counter[str] = Counter()
    with _written(out) as file:
        with McapWriter(file.path, log.rig, {"converted_from": path.name}) as writer:
            file.holds = writer.holds
            for message in log.messages(topics=(*log.topics, *getattr(log, "results", ()))):
                writer.write(message)
                survey.take(message)
                counts[message.header.source] += 1
                advance(1)
        file.holds = ""  # what does not stand the comparison is of no use
        if not counts:
            left = "; ".join(f"{topic}: {reason}, {count}" for (topic, reason), count in log.refused.items())
            raise LogError(f"{path} gave no message, so that nothing was written" + (f"; {left}" if left else ""))
        _refuse_difference(path, file.path, counts)
    return survey.survey()


def not_converted(path: Path, survey: Survey) -> Iterator[tuple[str, int]]:
    """Topics of a log that `converted` leaves out, beside those that have a finding: (topic, how many messages)."""
    from fusion_pipeline.logs.card import card

    named = {found.topic for found in survey.findings if found.name in ("unread-topic", "unread-sensor")}
    for row in card(path).rows:
        if row.unread and row.count > 0 and row.topic not in named and row.schema != DRAWN:
            yield row.topic, row.count


def _refuse_difference(path: Path, written: Path, counts: Mapping[str, int]) -> None:
    """Open what was made of `path`. Raises LogError where it does not hold every message that was written."""
    from fusion_pipeline.logs.card import card

    found: Counter[str] = Counter()
    try:
        again = open_log(written)
        topics = (*again.topics, *getattr(again, "results", ()))
        for row in card(written).rows:  # a topic of raw and compressed pictures has a row of each
            found[row.topic] += row.count
    except LogError as error:
        raise LogError(f"nothing was written of {path}: as MCAP it could not be read again ({error})") from None
    for topic, count in counts.items():
        if topic not in topics or count > found[topic]:
            raise LogError(
                f"nothing was written of {path}: of {count} messages of {topic} {found[topic]} could be read "
                "again; is the disk sound?"
            )
