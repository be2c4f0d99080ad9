"""MCAP logs of this project, of Foxglove's tools, of the writers of ROS; also one whose writer was cut off."""

from __future__ import annotations

import tomllib
from collections import Counter
from collections.abc import Collection, Iterator
from pathlib import Path

import numpy as np

from fusion_pipeline.clock import LAST_NS, SECOND_NS
from fusion_pipeline.findings import Findings
from fusion_pipeline.logs.cloud_reading import Clouds
from fusion_pipeline.logs.damage import is_damage, lacking_field
from fusion_pipeline.logs.labels import Labels
from fusion_pipeline.logs.mcap_decode import ROS, Decoder, Names, RosTypes, topics_apart
from fusion_pipeline.logs.mcap_messages import in_order
from fusion_pipeline.logs.mcap_places import McapFile
from fusion_pipeline.logs.mcap_rig import look_into
from fusion_pipeline.logs.mcap_summary import Summary, summary
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

    def __init__(self, path: Path) -> None:
        """Read the index, or, where a crash left none, walk over the whole file. Raises LogError."""
        self.path = path
        self.refused: Counter[tuple[str, str]] = Counter()
        self.findings = Findings()
        self._clouds = Clouds(self.findings)
        with McapFile(path) as file:
            self._packed = file.packed  # kept, so that a compressed file is decompressed once
            self.summary = summary(file)
            self.complete = self.summary.complete
            self._names = Names.of(self.summary.channels, self.summary.counts)
            for reason, count in self.summary.lost.items():
                self.refused["log", reason] = count
            if not self._names.sensors and not self._names.results:
                raise LogError(f"{path} holds no camera, LiDAR, audio or ego messages that this program can read"
                               f"{_held(self.summary)}")  # fmt: skip
            self.results = tuple(sorted(self._names.results.values()))
            self.start_ns, self.end_ns = self.summary.start_ns, self.summary.end_ns
            self._hints: dict[str, str] = {}
            self.missing: dict[str, int] = {}  # by topic, what sequence numbers say that `messages` did not meet
            self.rig = self._rig(file)
            self.topics = tuple(sorted(set(self._names.sensors.values()), key=_order))

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
                except AttributeError as error:
                    if not (field := lacking_field(error)):
                        raise
                    self.refused[self._name(stored.channel), f"message without {field}"] += 1
                except Exception as error:
                    if isinstance(error, LogError) or not is_damage(error):
                        raise
                    self.refused[self._name(stored.channel), "damaged message"] += 1
            yield from decoder.finish()
        self.missing = {
            self._name(key): gap for key, (least, most, count) in numbers.items()
            if key in wanted and (gap := most - least + 1 - count) > 0
        }  # fmt: skip
        for reason, count in lost.items():
            self.refused["log", reason] += count
        for key, count in decoder.refused():
            self.refused[key] += count

    def labels(self) -> Iterator[Labels]:
        """What a simulator wrote as the truth."""
        for message in self.messages(topics=(TRUTH,)):
            if isinstance(message, Tracks):
                n = len(message.boxes)
                yield Labels(message.header, message.class_names, message.boxes, np.ones(n, np.float32),
                             np.full(n, -1, np.int64))  # fmt: skip

    def _name(self, channel: int) -> str:
        return self._names.sensors.get(channel) or self.summary.channels[channel].topic

    def _rig(self, file: McapFile) -> Rig:
        texts = [table["toml"] for name, table in self.summary.metadata if name == RIG and "toml" in table]
        if texts:
            try:
                return Rig.from_table(tomllib.loads(texts[-1]))
            except (RigError, tomllib.TOMLDecodeError) as error:
                raise LogError(f"{self.path}: the rig in it cannot be used: {error}; give one with --rig") from None
        return self._foreign_rig(file)

    def _foreign_rig(self, file: McapFile) -> Rig:
        """Of frames and lenses in the log's first messages of such topics."""
        channels = self.summary.channels
        types = RosTypes() if any(channel.encoding in ROS for channel in channels.values()) else None
        heads = look_into(file, self.summary, self._names.sensors, types, self._clouds)
        self._hints |= heads.texts
        for topic, why in heads.no_camera.items():
            self.findings.add("unread-topic", topic, why)
        self._names = self._names.without(heads.no_camera, channels)
        apart = topics_apart(channels)
        names = {apart[key]: name for key, name in self._names.sensors.items()}
        return heads.rig(self.path.stem, names, self.findings)


def _held(found: Summary) -> str:
    held = sorted({channel.schema or channel.encoding for channel in found.channels.values()})
    return f"; it has {', '.join(held[:6])}" if held else ""


def _order(topic: str) -> tuple[int, str]:
    kind = topic.split("/", 1)[0]
    return (KINDS_IN_ORDER.index(kind) if kind in KINDS_IN_ORDER else len(KINDS_IN_ORDER)), topic
