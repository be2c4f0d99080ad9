"""What is in a log, and what is wrong with it: rates, gaps, clocks that jump, latencies, sizes, contents."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from fusion_pipeline.arrays import Array
from fusion_pipeline.clock import MILLISECOND_NS, SECOND_NS
from fusion_pipeline.findings import Finding, Findings
from fusion_pipeline.logs.cloud_reading import frames_detail
from fusion_pipeline.logs.content import Content, content_findings, content_of, place_findings
from fusion_pipeline.logs.reader import Log, open_log
from fusion_pipeline.messages import AudioChunk, CameraFrame, LidarScan, Message
from fusion_pipeline.stream_findings import edge_findings, stream_findings
from fusion_pipeline.stream_statistics import StreamSummary, summarise_stream

PARTS = 160  # of a log's length, each with the greatest latency in it
CUT_OFF = "cut off"  # a reason of readers, said once
SENSORS = ("lidar", "camera", "audio", "ego")
PLACED = ("lidar", "camera", "audio")  # have one place on the vehicle


@dataclass(frozen=True, slots=True)
class Topic:
    """One topic of a log. Times are arrivals unless they say otherwise."""

    name: str
    kind: str
    count: int
    rate_hz: float  # as of `stream_statistics.rate_hz`
    first_ns: int
    last_ns: int
    gaps: tuple[tuple[int, int], ...]  # from, to
    backwards: int  # captures before the one before
    repeated: int  # captures equal to the one before
    latency_ms: tuple[float, float]  # arrival - capture: median, greatest
    megabytes: float  # of arrays, as messages
    missing: int = 0  # messages that the sequence numbers of the log say were lost
    latest: tuple[tuple[int, float], ...] = ()  # arrival, greatest latency in ms, in so many parts of the log
    mean_rate_hz: float = 0.0  # messages over the time from the first to the last
    absent: int = 0  # single messages that its period promises, outside of gaps
    unstamped: int = 0
    least_latency_ms: float = 0.0


@dataclass(frozen=True, slots=True)
class Survey:
    """A whole log."""

    path: Path
    seconds: float
    topics: tuple[Topic, ...]
    refused: tuple[tuple[str, str, int], ...]  # topic, reason, how many
    complete: bool  # its writer ended it
    findings: tuple[Finding, ...] = ()  # errors first

    @property
    def sound(self) -> bool:
        """Whether no error is among the findings."""
        return not self.wrong()

    def wrong(self, allowed: Collection[str] = ()) -> bool:
        """Whether an error is among the findings whose name is not allowed."""
        return any(item.severity == "error" and item.name not in allowed for item in self.findings)


@dataclass(slots=True)
class _Seen:
    kind: str
    content: Content | None
    arrivals: array[int] = field(default_factory=lambda: array("q"))
    captures: array[int] = field(default_factory=lambda: array("q"))
    size: int = 0
    frame: str = ""
    others: Counter[str] = field(default_factory=Counter)  # frames that later messages name


class LogSurvey:
    """Takes every message of a log as it is read, and evaluates the whole at the end."""

    def __init__(self, log: Log) -> None:
        self._log = log
        self._seen: dict[str, _Seen] = {}

    def take(self, message: Message) -> None:
        """Take a message; of a compressed picture its size alone is looked at, of a decoded one the pixels too."""
        entry = self._seen.get(message.header.source)
        if entry is None:
            entry = self._seen[message.header.source] = _Seen(type(message).__name__, content_of(message))
            entry.frame = message.header.frame
        entry.arrivals.append(message.header.arrival_ns)
        entry.captures.append(message.header.capture_ns)
        if message.header.frame != entry.frame:
            entry.others[message.header.frame] += 1
        entry.size += _size(message)
        if entry.content is not None:
            entry.content.look(message)

    def survey(self) -> Survey:
        """Of all that was taken."""
        log, seen = self._log, self._seen
        missing = getattr(log, "missing", {})
        streams = {name: summarise_stream(_stamps(one.captures), _stamps(one.arrivals)) for name, one in seen.items()}
        topics = tuple(_topic(name, entry, streams[name], missing.get(name, 0)) for name, entry in sorted(seen.items()))
        refused = tuple((topic, reason, count) for (topic, reason), count in sorted(log.refused.items()))
        seconds = (log.end_ns - log.start_ns) / SECOND_NS
        complete = bool(getattr(log, "complete", True))
        found = evaluate_log(log, streams, {name: entry.content for name, entry in seen.items()}, missing)
        for name, entry in seen.items():
            if entry.others and name.split("/", 1)[0] in PLACED and ("mixed-frames", name) not in found.known():
                found.add("mixed-frames", name, frames_detail([entry.frame, *entry.others]))
        return Survey(log.path, seconds, topics, refused, complete, tuple(found))


def surveyed(path: Path, advance: Callable[[int], None] = lambda n: None) -> Survey:
    """Read and decode every message of a log, pictures too. Raises LogError where there is nothing to read."""
    from fusion_pipeline.logs.picture_codec import raw_picture

    log = open_log(path)
    survey = LogSurvey(log)
    for message in _messages(log, advance):
        decoded: Message | None = raw_picture(message) if isinstance(message, CameraFrame) else message
        if decoded is None:
            log.refused[message.header.source, "picture that cannot be decoded"] += 1
        else:
            survey.take(decoded)
    return survey.survey()


def evaluate_log(
    log: Log, streams: dict[str, StreamSummary], contents: dict[str, Content | None], missing: dict[str, int]
) -> Findings:
    """The one verdict on a log: what its reader noted, what was refused, and what its streams and contents show.

    A name that the reader has already given to a topic is not given to it again.
    """
    found = log_findings(log)
    known = found.known()

    def add(name: str, topic: str, detail: str, count: int = 1) -> None:
        if (name, topic) not in known:
            found.add(name, topic, detail, count)

    for topic, count in missing.items():
        add("lost", topic, f"{count} messages are missing by their sequence numbers")
    sensors = {name: stream for name, stream in streams.items() if name.split("/", 1)[0] in SENSORS and stream.count}
    start = min((stream.first_ns for stream in sensors.values()), default=0)
    end = max((stream.last_ns for stream in sensors.values()), default=0)
    for topic, stream in sorted(sensors.items()):
        for name, detail, count in stream_findings(topic.split("/", 1)[0], stream):
            add(name, topic, detail, count)
        for name, detail, count in edge_findings(stream, start, end):
            add(name, topic, detail, count)
        for name, detail, count in content_findings(topic, contents.get(topic), log.rig):
            add(name, topic, detail, count)
    for topic in log.topics:
        if topic not in streams and not any(key[0] == topic for key in log.refused):
            add("empty-topic", topic, "no message")
    return found


def log_findings(log: Log) -> Findings:
    """What is known before a log is read through: its reader's findings, refusals, sensors without a place."""
    found = Findings()
    found.update(log.findings)
    complete = bool(getattr(log, "complete", True))
    for (topic, reason), count in sorted(log.refused.items()):
        if complete or reason != CUT_OFF:
            lost = reason.removeprefix("lost: ")  # by the numbers or the times that packets bear
            found.add("refused" if lost == reason else "lost", topic, lost, count)
    known = found.known()
    if not complete and ("truncated", "") not in known:
        found.add("truncated", "", CUT_OFF if any(key[1] == CUT_OFF for key in log.refused) else "not all is readable")
    named = ("no-lens", "unknown-lens", "lens-size", "no-transform", "moving-mount", "no-calibration")
    placed = {topic for name, topic in known if name in named}
    for name, topic, detail in place_findings(log.topics, log.rig):
        if topic not in placed:
            found.add(name, topic, detail)
    return found


def _messages(log: Log, advance: Callable[[int], None]) -> Iterator[Message]:
    for message in log.messages(topics=(*log.topics, *getattr(log, "results", ()))):
        yield message
        advance(1)


def _stamps(values: array[int]) -> Array:
    return np.frombuffer(values, np.int64) if values else np.zeros(0, np.int64)


def _size(message: Message) -> int:
    if isinstance(message, LidarScan):
        return message.xyz_m.nbytes + message.intensity.nbytes + message.ring.nbytes + message.offset_ns.nbytes
    if isinstance(message, CameraFrame):
        return message.data.nbytes
    return message.pcm.nbytes if isinstance(message, AudioChunk) else 0


def _topic(name: str, seen: _Seen, stream: StreamSummary, missing: int) -> Topic:
    arrivals, captures = _stamps(seen.arrivals), _stamps(seen.captures)
    median, most, least = stream.latency_ms
    return Topic(
        name, seen.kind, stream.count, stream.rate_hz, int(arrivals[0]), int(arrivals.max()), stream.gaps,
        stream.backward, stream.repeated, (median, most), seen.size / 1e6, missing,
        _latest(arrivals, (arrivals - captures) / MILLISECOND_NS), stream.mean_rate_hz, stream.absent,
        stream.unstamped, least,
    )  # fmt: skip


def _latest(arrivals: Array, latency_ms: Array) -> tuple[tuple[int, float], ...]:
    """The greatest latency of each part of the time, at the part's middle; parts without a message are left out."""
    first, last = int(arrivals.min()), int(arrivals.max())
    width = max((last - first + 1) / PARTS, 1.0)
    parts = ((arrivals - first) / width).astype(np.int64)
    most = np.full(PARTS + 1, -np.inf)
    np.maximum.at(most, parts, latency_ms)
    return tuple((first + round((k + 0.5) * width), float(most[k])) for k in np.flatnonzero(np.isfinite(most)).tolist())
