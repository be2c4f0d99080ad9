"""What a log holds, told without reading it: from the index of an MCAP file, from the file names of others."""

from __future__ import annotations

import json
import sys
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import numpy as np

from fusion_pipeline.arrays import Array
from fusion_pipeline.clock import SECOND_NS
from fusion_pipeline.logs.files import FileLog
from fusion_pipeline.logs.mcap_messages import last_of
from fusion_pipeline.logs.mcap_places import DamagedError, McapFile
from fusion_pipeline.logs.mcap_summary import Summary, arrivals, summary
from fusion_pipeline.logs.reader import LogError, open_log
from fusion_pipeline.logs.rosbag import RosLog
from fusion_pipeline.logs.split_log import is_split

GAP = 2.5  # usual periods without a message are a gap
MOST_CHUNKS = 50_000  # of which the arrivals are looked at; a larger file is told without gaps
SHORT = 70  # characters of a fact


@dataclass(frozen=True, slots=True)
class Row:
    """One topic. Arrivals: those of its messages, as the log has them."""

    topic: str
    schema: str
    count: int  # -1: not known without reading
    rate_hz: float  # count over the log's length
    gaps: int = -1  # times without a message for more than 2.5 usual periods; -1: not known
    back: int = -1  # arrivals before the one before them: the recorder's clock jumped


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

    @property
    def seconds(self) -> float:
        """From the first message to the last."""
        return (self.end_ns - self.start_ns) / SECOND_NS


def card(path: Path) -> Card:
    """The card of any log. Raises LogError."""
    if path.suffix == ".mcap" and path.is_file():
        return _mcap(path)
    if is_split(path):
        return _together(path, [_mcap(file) for file in sorted(path.glob("*.mcap"))])
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
    rows = tuple(_row(topic, "", counts.get(topic, -1), seconds, times.get(topic)) for topic in log.topics)
    complete = bool(getattr(log, "complete", True))
    faults = tuple((f"{topic}: {reason}", count) for (topic, reason), count in sorted(log.refused.items()))
    return Card(path, size / 1e6, log.start_ns, log.end_ns, rows, (("rig", log.rig.name),), complete, faults)


def _row(topic: str, schema: str, count: int, seconds: float, times: Array | None) -> Row:
    rate = count / seconds if count > 0 else 0.0
    if times is None or len(times) < 2:
        return Row(topic, schema, count, rate, *((0, 0) if times is not None else (-1, -1)))
    steps = np.diff(times)
    periods = np.diff(np.sort(times))
    usual = float(np.median(periods))
    return Row(
        topic, schema, count, rate, int((periods > GAP * usual).sum()) if usual > 0 else 0, int((steps < 0).sum())
    )


def _mcap(path: Path) -> Card:
    with McapFile(path) as file:
        found = summary(file)
        seconds = max((found.end_ns - found.start_ns) / SECOND_NS, 1e-9)
        times = _arrivals(file, found)
        rows = []
        for key, channel in sorted(found.channels.items(), key=lambda item: item[1].topic):
            count = found.counts.get(key, 0)
            rows.append(_row(channel.topic, channel.schema or channel.encoding, count, seconds, times.get(key)))
        facts = [
            (name if len(table) == 1 else f"{name}.{key}", _short(value))
            for name, table in found.metadata for key, value in table.items()
        ]  # fmt: skip
        facts += _health(file, found)
        faults = tuple(sorted(found.lost.items()))
        return Card(
            path, file.size / 1e6, found.start_ns, found.end_ns, tuple(rows), tuple(facts), found.complete, faults
        )


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
            table = json.loads(bytes(last.data)) if last is not None else {}
            lost = sum(int(row["total"]) for name in ("dropped", "refused") for row in table.get(name, ()))
            detail = f", {table['detail']}" if table.get("detail") else ""
            said.append((channel.topic, _short(f"{table['state']}{detail}; dropped or refused {lost}")))
        except (ValueError, KeyError, TypeError):
            continue
    return said


def _together(path: Path, cards: list[Card]) -> Card:
    """Of the files of one recording."""
    start, end = min(c.start_ns for c in cards), max(c.end_ns for c in cards)
    seconds = max((end - start) / SECOND_NS, 1e-9)
    rows: dict[str, list[Row]] = {}
    for row in chain.from_iterable(c.rows for c in cards):
        rows.setdefault(row.topic, []).append(row)
    merged = [
        Row(topic, same[0].schema, count, count / seconds, _sum(r.gaps for r in same), _sum(r.back for r in same))
        for topic, same in sorted(rows.items()) for count in (sum(r.count for r in same),)
    ]  # fmt: skip
    faults: Counter[str] = Counter()
    for c in cards:
        faults.update({f"{c.path.name}: {reason}": count for reason, count in c.faults})
    return Card(path, sum(c.megabytes for c in cards), start, end, tuple(merged), cards[0].facts,
                all(c.complete for c in cards), tuple(faults.items()))  # fmt: skip


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
