"""MCAP logs of this project, of Foxglove's tools, of the writers of ROS; also one whose writer was cut off."""

from __future__ import annotations

import tomllib
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from fusion_pipeline.clock import LAST_NS, SECOND_NS
from fusion_pipeline.findings import Findings
from fusion_pipeline.logs.cloud_reading import Clouds
from fusion_pipeline.logs.foreign_rig import Heads
from fusion_pipeline.logs.labels import Labels
from fusion_pipeline.logs.mcap_decode import Decoder, Names, topics_apart
from fusion_pipeline.logs.mcap_messages import in_order
from fusion_pipeline.logs.mcap_parts import note_beside
from fusion_pipeline.logs.mcap_places import Channel, McapFile
from fusion_pipeline.logs.mcap_rig import look_into
from fusion_pipeline.logs.mcap_summary import summary
from fusion_pipeline.logs.mcap_unread import note_unread
from fusion_pipeline.logs.reader import FormError, LogError
from fusion_pipeline.messages import Message, Tracks
from fusion_pipeline.rig import Rig, RigError

RIG = "fusion.rig"  # name of the metadata record that holds the rig
TRUTH = "truth"  # topic of what a simulator knows
LEAD_NS = 5 * SECOND_NS  # video is decoded from so much earlier, so that it begins with a whole picture
KINDS_IN_ORDER = ("lidar", "camera", "audio", "ego")


class McapLog:
    """An MCAP file as a log. `complete`: it has its index; `results`: topics of detections, tracks and health in it,
    which `messages` gives where they are asked for by name.
    """

    topics: tuple[str, ...]
    results: tuple[str, ...]
    rig: Rig

    def __init__(self, path: Path, alone: bool = True) -> None:
        """Read the index, or, where a crash left none, walk over the whole file. Raises LogError.

        Unless it is `alone`, it is one of several files; give them to `settle` before anything is asked for.
        """
        self.path = path
        self.refused: Counter[tuple[str, str]] = Counter()
        self.findings = Findings()
        with McapFile(path) as file:
            self._packed = file.packed  # kept, so that a compressed file is decompressed once
            self.summary = summary(file)
        self.complete = self.summary.complete
        for reason, count in self.summary.lost.items():
            self.refused["log", reason] = count
        self.start_ns, self.end_ns = self.summary.start_ns, self.summary.end_ns
        self.missing: dict[str, int] = {}  # by topic, what sequence numbers say that `messages` did not meet
        if alone:
            settle([self], path)
            note_beside(path, self.findings)

    def take(self, names: Names, rig: Rig, hints: Mapping[str, str], clouds: Clouds) -> None:
        """What is decided for all files of a recording together."""
        self._names, self.rig, self._hints, self._clouds = names, rig, hints, clouds
        self.results = tuple(sorted(names.results.values()))
        self.topics = tuple(sorted(set(names.sensors.values()), key=_order))

    def messages(
        self, start_ns: int | None = None, end_ns: int | None = None, topics: Collection[str] | None = None
    ) -> Iterator[Message]:
        """Sensor messages in order of arrival; those that cannot be decoded are counted and passed over.

        A start is jumped to by the index of chunks. Only chunks with one of `topics` are read. Topics of `results` may
        be among them.
        """
        low, high = start_ns or 0, LAST_NS if end_ns is None else end_ns
        wanted = {key for key, name in self._names.sensors.items() if topics is None or name in topics}
        wanted |= {key for key, name in self._names.results.items() if topics is not None and name in topics}
        if not wanted:
            return
        video = {key for key in wanted if self.summary.channels[key].schema == "foxglove.CompressedVideo"}
        begin = max(0, low - LEAD_NS) if video and low else low
        decoder = Decoder(self.summary.channels, self._names, self._hints, self._clouds)
        lost: Counter[str] = Counter()
        self.missing = {}
        numbers: dict[int, list[int]] = {}  # least, greatest, how many sequence numbers of a channel
        with McapFile(self.path) as file:
            for stored in in_order(file, self.summary, wanted | self._names.helpers, begin, high, lost):
                seen = numbers.setdefault(stored.channel, [stored.sequence, stored.sequence, 0])
                seen[:] = min(seen[0], stored.sequence), max(seen[1], stored.sequence), seen[2] + 1
                if stored.log_ns < low and stored.channel not in video and stored.channel not in self._names.helpers:
                    continue
                try:
                    for message in decoder.decode(stored):
                        if stored.log_ns >= low:
                            yield message
                except FormError as error:
                    if stored.log_ns >= low:
                        self.refused[self._name(stored.channel), str(error)] += 1
                except LogError:
                    raise
                except Exception as error:
                    self.refused[self._name(stored.channel), decoder.reason(stored.channel, error)] += 1
            yield from decoder.finish()
        self._note_missing({key: seen for key, seen in numbers.items() if key in wanted})
        for reason, count in lost.items():
            self.refused["log", reason] += count
        for key, count in decoder.refused():
            self.refused[key] += count

    def _note_missing(self, numbers: Mapping[int, Sequence[int]]) -> None:
        """`numbers`: least and greatest sequence number of a channel, and how many. Where messages of several types lie
        on one topic, writers count through all of them or by channel: what both ways of counting miss is missing.
        """
        by_name: dict[str, list[Sequence[int]]] = {}
        for key, seen in numbers.items():
            by_name.setdefault(self._name(key), []).append(seen)
        for name, rows in by_name.items():
            apart = sum(most - least + 1 - count for least, most, count in rows)
            through = max(row[1] for row in rows) - min(row[0] for row in rows) + 1 - sum(row[2] for row in rows)
            if min(apart, through) > 0:
                self.missing[name] = min(apart, through)

    def labels(self) -> Iterator[Labels]:
        """What a simulator wrote as the truth."""
        for message in self.messages(topics=(TRUTH,)):
            if isinstance(message, Tracks):
                n = len(message.boxes)
                yield Labels(message.header, message.class_names, message.boxes, np.ones(n, np.float32),
                             np.full(n, -1, np.int64))  # fmt: skip

    def _name(self, channel: int) -> str:
        return self._names.sensors.get(channel) or self.summary.channels[channel].topic


def settle(logs: Sequence[McapLog], path: Path) -> None:
    """Decide for all files of the recording at `path`: names of topics, the rig, how clouds are read; and note what is
    not read. Findings are those of the first. Raises LogError where nothing is read.
    """
    # Channels are numbered anew in each file; numbers of several files are told apart by what they begin with.
    channels = {key + at * 65536: c for at, log in enumerate(logs) for key, c in log.summary.channels.items()}
    counts = {key + at * 65536: n for at, log in enumerate(logs) for key, n in log.summary.counts.items()}
    names = Names.of(channels, counts)
    if not names.sensors and not names.results:
        raise LogError(f"{path} holds no camera, LiDAR, audio or ego messages that this program can read"
                       f"{_held(channels)}")  # fmt: skip
    heads, findings, rig = Heads(), logs[0].findings, _embedded_rig(logs)
    clouds = Clouds(findings)
    if rig is None:
        for at, log in enumerate(logs):
            with McapFile(log.path) as file:
                look_into(file, log.summary, names.part(at).sensors, heads, clouds)
        for topic, why in heads.no_camera.items():
            findings.add("unread-topic", topic, why)
        names = names.without(heads.no_camera, channels)
        apart = topics_apart(channels)
        rig = heads.rig(path.stem, {apart[key]: name for key, name in names.sensors.items()}, findings)
    read = names.sensors.keys() | names.results.keys() | names.helpers
    note_unread(findings, [(c, counts.get(key, 0), key in read) for key, c in channels.items()], heads.no_camera)
    for at, log in enumerate(logs):
        log.take(names.part(at), rig, heads.texts, clouds)


def _embedded_rig(logs: Sequence[McapLog]) -> Rig | None:
    for log in logs:
        texts = [table["toml"] for name, table in log.summary.metadata if name == RIG and "toml" in table]
        if texts:
            try:
                return Rig.from_table(tomllib.loads(texts[-1]))
            except (RigError, tomllib.TOMLDecodeError) as error:
                raise LogError(f"{log.path}: the rig in it cannot be used: {error}; give one with --rig") from None
    return None


def _held(channels: Mapping[int, Channel]) -> str:
    held = sorted({channel.schema or channel.encoding for channel in channels.values()})
    return f"; it has {', '.join(held[:6])}" if held else ""


def _order(topic: str) -> tuple[int, str]:
    kind = topic.split("/", 1)[0]
    return (KINDS_IN_ORDER.index(kind) if kind in KINDS_IN_ORDER else len(KINDS_IN_ORDER)), topic
