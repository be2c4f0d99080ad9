"""ROS 1 bags (.bag) and ROS 2 bags (a folder with metadata.yaml, or .db3) as logs, without ROS.

Topics are named after what they carry: /velodyne/points becomes lidar/velodyne_points, /cam/image_raw
camera/cam_image_raw. Where the bag has static transforms and CameraInfo, they become the rig, in the frame base_link.
"""

from __future__ import annotations

import importlib.util
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

from fusion_pipeline.clock import LAST_NS
from fusion_pipeline.findings import Findings
from fusion_pipeline.logs.bag_source import is_bag, source_of
from fusion_pipeline.logs.cloud_reading import Clouds
from fusion_pipeline.logs.damage import is_damage
from fusion_pipeline.logs.foreign_rig import Heads
from fusion_pipeline.logs.labels import Labels
from fusion_pipeline.logs.mcap_places import Channel
from fusion_pipeline.logs.mcap_unread import note_unread
from fusion_pipeline.logs.reader import FormError, LogError
from fusion_pipeline.logs.ros_rig import look_at
from fusion_pipeline.logs.ros_sources import BagSource, Lost
from fusion_pipeline.logs.ros_topics import (
    AUDIO_INFO,
    CAMERA_INFO,
    EGO_OF_TF,
    KINDS,
    TEXT,
    TFS,
    RosDecoder,
    is_sensor_type,
    names_of,
)
from fusion_pipeline.logs.ros_types import RosTypes
from fusion_pipeline.messages import Message

__all__ = ["RosLog", "is_bag"]

ROS = ("cdr", "ros1")  # encodings of messages
READ = frozenset((CAMERA_INFO, *TFS, AUDIO_INFO, TEXT, *KINDS))
KINDS_IN_ORDER = ("lidar", "camera", "audio", "ego")


class RosLog:
    """A bag as a log. `complete`: the file is whole."""

    def __init__(self, path: Path) -> None:
        """Open it and read frames and lenses. Raises LogError."""
        if importlib.util.find_spec("rosbags") is None:
            raise LogError(f"{path} is a ROS bag; pip install 'fusion-pipeline[logs]' reads it")
        self.path = path
        self.refused: Counter[tuple[str, str]] = Counter()
        self.findings = Findings()
        self._source: BagSource = source_of(path)
        self.findings.update(self._source.findings)
        self.complete = not self._source.faults
        for fault in self._source.faults:
            self.refused["log", fault] = 1
            self.findings.add("truncated", "", fault)
        self._types = RosTypes()
        self._lacking = self._unfit()
        self._types_of, places = _layers(self._source, self._lacking)
        self._layers = _named(self._types_of)
        ours = {key: self._layers[place].get(self._source.channels[key].topic, "") for key, place in places.items()}
        self._names = {key: name for key, name in ours.items() if name}
        self._note_unread()
        if not self._names:
            held = ", ".join(sorted({channel.schema for channel in self._source.channels.values()})) or "nothing"
            raise LogError(
                f"{path} holds no camera, LiDAR, audio or ego messages that this program can read, but {held}"
            )
        self.start_ns, self.end_ns = self._source.start_ns, self._source.end_ns
        self._hints: dict[str, str] = {}
        self._clouds, heads = Clouds(self.findings), Heads()
        for types, names in zip(self._types_of, self._layers, strict=True):
            look_at(types, names, partial(self._looked_at, types), heads, self._clouds)
        self._hints |= heads.texts
        for topic, why in heads.no_camera.items():
            self.findings.add("unread-topic", topic, why)
            for names in self._layers:
                names.pop(topic, None)
        channels = self._source.channels
        self._names = {key: name for key, name in self._names.items() if channels[key].topic not in heads.no_camera}
        by_topic = {topic: name for names in reversed(self._layers) for topic, name in names.items()}
        self.rig = heads.rig(path.stem, by_topic, self.findings)
        self.topics = tuple(sorted(set(self._names.values()), key=_order))

    def counts(self) -> dict[str, int]:
        """Messages by topic, as the bag's index has them."""
        found: Counter[str] = Counter()
        for key, name in self._names.items():
            found[name] += self._source.counts.get(key, 0)
        return dict(found)

    def labels(self) -> Iterator[Labels]:
        """A bag has none."""
        yield from ()

    def messages(
        self, start_ns: int | None = None, end_ns: int | None = None, topics: Collection[str] | None = None
    ) -> Iterator[Message]:
        """Sensor messages in the order in which they were recorded; what cannot be used is counted."""
        names = {key: name for key, name in self._names.items() if topics is None or name in topics}
        if not names:
            return
        channels = self._source.channels
        decoders = [
            RosDecoder({t: n for t, n in layer.items() if topics is None or n in topics}, self._hints, self._clouds)
            for layer in self._layers
        ]
        chosen = {key: decoders[self._layer(channels[key], names[key])] for key in names}
        beside = {key for key, channel in channels.items() if channel.schema in (AUDIO_INFO, TEXT)}
        low, high = start_ns or 0, LAST_NS if end_ns is None else end_ns
        for key in beside if low else ():
            for raw in self._first(key):
                self._aside(decoders, key, raw.data)
        for key, time_ns, data in self._source.messages({*names, *beside}, low, high, self.refused):
            if key in beside:
                self._aside(decoders, key, data)
            else:
                yield from self._decoded(chosen[key], key, data, time_ns)
        for decoder in decoders:
            yield from decoder.finish()
            for reason, count in decoder.counts():
                self.refused[reason] += count

    def _aside(self, decoders: list[RosDecoder], key: int, data: bytes) -> None:
        """What is needed to read others is for every decoder."""
        for decoder in decoders:
            list(self._decoded(decoder, key, data, 0))

    def _decoded(self, decoder: RosDecoder, key: int, data: bytes, time_ns: int) -> list[Message]:
        channel = self._source.channels[key]
        name = self._names.get(key, channel.topic)
        try:
            return list(decoder.decode(channel.topic, channel.schema, self._types.read(channel, data), time_ns))
        except FormError as error:
            self.refused[name, str(error)] += 1
        except Exception as error:
            if is_damage(error):
                self.refused[name, "damaged message"] += 1
            elif not isinstance(error, AttributeError | TypeError | KeyError) or self._types.is_usual(channel):
                raise  # no field is missing: a fault of this program
            else:
                self.refused[name, f"its definition has other fields than those of {channel.schema[:60]}"] += 1
        return []

    def _layer(self, channel: Channel, name: str) -> int:
        return next(k for k, layer in enumerate(self._layers) if layer.get(channel.topic) == name)

    def _first(self, key: int, most: int = 1) -> Iterator[Any]:
        if self._source.counts.get(key):
            yield from islice(self._source.messages({key}, 0, LAST_NS, Lost()), most)  # `messages` counts what is lost

    def _looked_at(self, types: Mapping[str, str], topic: str, most: int) -> Iterator[Any]:
        """The first messages of a topic, of the type that `types` give it."""
        for key, channel in self._source.channels.items():
            if channel.topic == topic and channel.schema == types[topic]:
                for raw in self._first(key, most):
                    try:
                        yield self._types.read(channel, raw.data)
                    except Exception as error:
                        if isinstance(error, LogError) or not is_damage(error):  # what cannot be read is not known
                            raise

    def _unfit(self) -> dict[int, str]:
        """Connections that cannot be read as their type says, and why."""
        found = {}
        for key, channel in self._source.channels.items():
            if channel.schema not in READ or not self._source.counts.get(key):
                continue
            known = channel.encoding in ROS
            if why := self._types.lacking(channel) if known else f"serialised as {channel.encoding[:20]!r}":
                found[key] = why
        return found

    def _note_unread(self) -> None:
        """Name the topics that are not read, and those without a message."""
        channels, counts = self._source.channels, self._source.counts
        for key, why in self._lacking.items():
            channel = channels[key]
            name = "unread-sensor" if is_sensor_type(channel.schema) else "unread-topic"
            self.findings.add(name, channel.topic, f"{channel.schema[:80]}, {counts[key]} messages; {why}")
        read = [(channel, counts.get(key, 0), key in self._names) for key, channel in channels.items()]
        note_unread(self.findings, read, {channels[key].topic for key in self._lacking})


def _layers(source: BagSource, without: Collection[int]) -> tuple[list[dict[str, str]], dict[int, int]]:
    """Types by topic, in a layer for each type that a topic has; and the layer of each connection with messages."""
    layers: list[dict[str, str]] = []
    places: dict[int, int] = {}
    for key, channel in source.channels.items():
        if source.counts.get(key) and channel.encoding in ROS and key not in without:
            kind = channel.schema
            place = next((k for k, types in enumerate(layers) if types.get(channel.topic, kind) == kind), len(layers))
            if place == len(layers):
                layers.append({})
            layers[place][channel.topic] = kind
            places[key] = place
    return layers, places


def _named(layers: list[dict[str, str]]) -> list[dict[str, str]]:
    """Our names of the sensors of each layer; a transform is taken for ego motion in the first alone."""
    named = [names_of(types) for types in layers]
    return named[:1] + [{topic: n for topic, n in other.items() if n != EGO_OF_TF} for other in named[1:]]


def _order(name: str) -> tuple[int, str]:
    return KINDS_IN_ORDER.index(name.split("/")[0]), name
