"""What a log holds, told without reading it: from the index of an MCAP file, from the file names of others."""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path

import numpy as np

from fusion_pipeline.arrays import Array
from fusion_pipeline.clock import SECOND_NS
from fusion_pipeline.findings import Finding, Findings
from fusion_pipeline.jsontext import parse_json
from fusion_pipeline.logs.files import FileLog
from fusion_pipeline.logs.mcap_decode import Names
from fusion_pipeline.logs.mcap_messages import last_of
from fusion_pipeline.logs.mcap_places import DamagedError, McapFile, is_mcap
from fusion_pipeline.logs.mcap_summary import Summary, arrivals, summary
from fusion_pipeline.logs.mcap_unread import helps
from fusion_pipeline.logs.reader import Log, LogError, open_log
from fusion_pipeline.logs.rosbag import RosLog
from fusion_pipeline.logs.split_log import is_split, mcap_files
from fusion_pipeline.logs.survey import log_findings
from fusion_pipeline.stream_findings import MOST_HZ, edge_findings, stream_findings
from fusion_pipeline.stream_statistics import StreamSummary, summarise_arrivals

MOST_CHUNKS = 50_000  # of which the arrivals are looked at; a larger file is told without gaps
SHORT = 70  # characters of a fact


@dataclass(frozen=True, slots=True)
class Row:
    """One topic. Arrivals: those of its messages, as the log has them."""

    topic: str
    schema: str
    count: int  # -1: not known without reading
    rate_hz: float  # as of `stream_statistics.rate_hz` over arrivals; where these are not known the mean
    gaps: int = -1  # times without a message for several usual periods; -1: not known
    back: int = -1  # arrivals before the one before them: the recorder's clock jumped
    mean_rate_hz: float = 0.0  # messages over the time from the first to the last
    read_as: str = ""  # our name of the topic; "" where it holds no messages of ours
    unread: bool = False  # nothing is taken from it, not even a place or a lens


@dataclass(frozen=True, slots=True)
class Card:
    """A log at a glance."""

    path: Path
    megabytes: float
    start_ns: int
    end_ns: int
    rows: tuple[Row, ...]
    facts: tuple[tuple[str, str], ...]  # metadata and what nodes last said of themselves, one line each
    complete: bool  # it is whole; without an index it was cut off, and is told from its messages
    faults: tuple[tuple[str, int], ...] = ()  # what is wrong with the file, and how often
    findings: tuple[Finding, ...] = ()  # what is known to be wrong from the index alone, errors first

    @property
    def seconds(self) -> float:
        """From the first message to the last."""
        return (self.end_ns - self.start_ns) / SECOND_NS


def card(path: Path) -> Card:
    """The card of any log. Raises LogError."""
    if is_mcap(path):
        return _with_findings(_mcap(path))
    if is_split(path):
        return _with_findings(_together(path, [_mcap(file) for file in mcap_files(path)]))
    log = open_log(path)
    size = path.stat().st_size if path.is_file() else sum(f.stat().st_size for f in path.rglob("*") if f.is_file())
    times: dict[str, Array] = {}
    counts: Counter[str] = Counter()
    if isinstance(log, FileLog):
        times = log.arrivals()
        counts.update({topic: len(found) for topic, found in times.items()})
    elif isinstance(log, RosLog):
        counts.update(log.counts())
    seconds = max((log.end_ns - log.start_ns) / SECOND_NS, 1e-9)
    looks = [_row(topic, "", topic, counts.get(topic, -1), seconds, times.get(topic)) for topic in log.topics]
    complete = bool(getattr(log, "complete", True))
    faults = tuple((f"{topic}: {reason}", count) for (topic, reason), count in sorted(log.refused.items()))
    found = Card(path, size / 1e6, log.start_ns, log.end_ns, tuple(row for row, _ in looks),
                 (("rig", log.rig.name),), complete, faults)  # fmt: skip
    return _with_findings((found, {row.read_as: stream for row, stream in looks}), log)


def _with_findings(looked: tuple[Card, Mapping[str, StreamSummary]], log: Log | None = None) -> Card:
    """A card with what its log's reader notes on opening, and what the arrivals of its sensors show."""
    found, streams = looked
    notes = Findings()
    try:
        notes = log_findings(log if log is not None else open_log(found.path))
    except LogError as error:  # nothing in it is read; the card shows what it is
        notes.add("nothing-to-read", "", str(error).removeprefix(f"{found.path} "))
        for reason, count in found.faults:
            notes.add("refused", "log", reason, count)
        if not found.complete:
            notes.add("truncated", "", "not all is readable")
    known = notes.known()
    for name, topic, detail in arrival_findings(streams):
        if (name, topic) not in known:
            notes.add(name, topic, detail)
    return replace(found, findings=tuple(notes))


def arrival_findings(streams: Mapping[str, StreamSummary]) -> Iterator[tuple[str, str, str]]:
    """What the arrivals of sensors show, as (name, topic, detail): silence and rates, but nothing of stamps."""
    sensors = {topic: stream for topic, stream in streams.items() if topic.split("/", 1)[0] in MOST_HZ and stream.count}
    start = min((stream.first_ns for stream in sensors.values()), default=0)
    end = max((stream.last_ns for stream in sensors.values()), default=0)
    for topic, stream in sorted(sensors.items()):
        for name, detail, _ in stream_findings(topic.split("/", 1)[0], stream):
            if name in ("gap", "dropped", "irregular-rate", "implausible-rate"):
                yield name, topic, detail
        for name, detail, _ in edge_findings(stream, start, end):
            yield name, topic, detail


def _row(
    topic: str, schema: str, read_as: str, count: int, seconds: float, times: Array | None
) -> tuple[Row, StreamSummary]:
    """`times`: arrivals as written; where these are not known, of a topic without messages or with one, none."""
    if times is None or len(times) < 2:
        mean = (count - 1) / seconds if count > 1 else 0.0
        only = StreamSummary(len(times), int(times[0]), int(times[0])) if times is not None and len(times) else None
        known = (0, 0) if times is not None else (-1, -1)
        return Row(topic, schema, count, mean, *known, mean, read_as), only or StreamSummary()
    stream = summarise_arrivals(times)
    back = int((np.diff(times) < 0).sum())
    return Row(topic, schema, count, stream.rate_hz, stream.gap_count, back, stream.mean_rate_hz, read_as), stream


def _mcap(path: Path) -> tuple[Card, dict[str, StreamSummary]]:
    with McapFile(path) as file:
        found = summary(file)
        seconds = max((found.end_ns - found.start_ns) / SECOND_NS, 1e-9)
        times = _arrivals(file, found)
        names = Names.of(found.channels, found.counts)
        rows, streams = [], {}
        for key, channel in sorted(found.channels.items(), key=lambda item: item[1].topic):
            count = found.counts.get(key, 0)
            read_as = names.sensors.get(key) or names.results.get(key, "")
            row, stream = _row(
                channel.topic, channel.schema or channel.encoding, read_as, count, seconds, times.get(key)
            )
            rows.append(replace(row, unread=not read_as and key not in names.helpers and not helps(channel)))
            if read_as:
                streams[read_as] = stream
        facts = [
            (name if len(table) == 1 else f"{name}.{key}", _short(value))
            for name, table in found.metadata for key, value in table.items()
        ]  # fmt: skip
        facts += _health(file, found)
        faults = tuple(sorted(found.lost.items()))
        return Card(
            path, file.size / 1e6, found.start_ns, found.end_ns, tuple(rows), tuple(facts), found.complete, faults
        ), streams


def _arrivals(file: McapFile, found: Summary) -> dict[int, Array]:
    """Of each channel in the order written, by the indexes beside the chunks; {} where these are not there."""
    if not found.complete or len(found.places) > MOST_CHUNKS:
        return {}
    parts: dict[int, list[Array]] = {}
    for place in sorted(found.places, key=lambda item: item.offset):
        try:
            for key, times in arrivals(file, place).items():
                parts.setdefault(key, []).append(times)
        except DamagedError:
            continue
    joined = {key: np.concatenate(times) for key, times in parts.items()}
    return {key: times for key, times in joined.items() if len(times) == found.counts.get(key)}


def _health(file: McapFile, found: Summary) -> list[tuple[str, str]]:
    """What each node last said of itself."""
    said = []
    for key, channel in found.channels.items():
        if not channel.topic.startswith("health/") or channel.encoding != "json" or not found.counts.get(key):
            continue
        last = last_of(file, found, key)
        try:
            table = parse_json(bytes(last.data)) if last is not None else {}
            lost = sum(int(row["total"]) for name in ("dropped", "refused") for row in table.get(name, ()))
            detail = f", {table['detail']}" if table.get("detail") else ""
            said.append((channel.topic, _short(f"{table['state']}{detail}; dropped or refused {lost}")))
        except (ValueError, KeyError, TypeError, AttributeError, OverflowError):
            continue
    return said


def _together(path: Path, parts: list[tuple[Card, dict[str, StreamSummary]]]) -> tuple[Card, dict[str, StreamSummary]]:
    """Of the files of one recording. A topic's stream is that of the whole time, with the gaps of the parts."""
    cards = [c for c, _ in parts]
    start, end = min(c.start_ns for c in cards), max(c.end_ns for c in cards)
    seconds = max((end - start) / SECOND_NS, 1e-9)
    rows: dict[str, list[Row]] = {}
    for row in chain.from_iterable(c.rows for c in cards):
        rows.setdefault(row.topic, []).append(row)
    merged = [
        Row(topic, same[0].schema, count, _typical(same), _sum(r.gaps for r in same), _sum(r.back for r in same),
            max(count - 1, 0) / seconds, next((r.read_as for r in same if r.read_as), ""), all(r.unread for r in same))
        for topic, same in sorted(rows.items()) for count in (sum(r.count for r in same),)
    ]  # fmt: skip
    faults: Counter[str] = Counter()
    for c in cards:
        faults.update({f"{c.path.name}: {reason}": count for reason, count in c.faults})
    streams: dict[str, StreamSummary] = {}
    for _, part in sorted(parts, key=lambda item: item[0].start_ns):
        for name, stream in part.items():
            streams[name] = streams[name].then(stream) if name in streams else stream
    whole = Card(path, sum(c.megabytes for c in cards), start, end, tuple(merged), cards[0].facts,
                 all(c.complete for c in cards), tuple(faults.items()))  # fmt: skip
    return whole, streams


def _typical(rows: Iterable[Row]) -> float:
    """The rate of the part with the most messages."""
    return max(rows, key=lambda row: row.count).rate_hz


def _sum(values: Iterable[int]) -> int:
    known = [value for value in values if value >= 0]
    return sum(known) if known else -1


def _short(text: str) -> str:
    line = text.strip().splitlines()[0] if text.strip() else ""
    return line if len(line) <= SHORT and "\n" not in text.strip() else f"{line[:60]} ... ({len(text)} characters)"


@dataclass(frozen=True, slots=True)
class Look:
    """What it takes to look into a log. For the memory, call `look` in a process of its own."""

    info_ms: float  # the card
    seek_ms: float  # opening it and reading the first message from its middle on
    peak_mib: float  # of this process, since it began


def look(path: Path) -> Look:
    """Time the card, and a jump to the middle. Raises LogError."""
    began = time.perf_counter()
    card(path)
    told = time.perf_counter()
    log = open_log(path)
    first = next(log.messages(start_ns=(log.start_ns + log.end_ns) // 2), None)
    if first is None:
        raise LogError(f"{path} has no message after its middle")
    return Look((told - began) * 1e3, (time.perf_counter() - told) * 1e3, _peak_mib())


def _peak_mib() -> float:
    try:
        import resource
    except ImportError:  # Windows
        return float("nan")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1 << 20 if sys.platform == "darwin" else 1 << 10)
