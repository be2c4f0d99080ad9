"""What the channels of an MCAP file hold: Foxglove's messages, our own results as JSON, ROS messages."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from fusion_pipeline.logs.cloud_reading import Clouds
from fusion_pipeline.logs.foxglove_form import BESIDE, Beside
from fusion_pipeline.logs.foxglove_read import KINDS, decoded
from fusion_pipeline.logs.json_form import found_from_json, health_from_json
from fusion_pipeline.logs.mcap_places import Channel, Stored
from fusion_pipeline.logs.reader import FormError, LogError
from fusion_pipeline.logs.ros_topics import AUDIO_INFO, EGO_OF_TF, TEXT, RosDecoder, names_of, unique_names
from fusion_pipeline.logs.video_decoder import VideoDecoder
from fusion_pipeline.messages import Detections, Message, Tracks

RESULTS = ("fusion.detections", "fusion.tracks", "fusion.health")
MAX_WAITING = 1024  # notes beside messages that never came
ROS = ("cdr", "ros1")  # encodings of messages


@dataclass(frozen=True, slots=True)
class Names:
    """Channels that can be read, with our names of their topics."""

    sensors: Mapping[int, str]
    results: Mapping[int, str]  # detections, tracks and health that were recorded
    helpers: frozenset[int]  # what is needed to read the others

    @classmethod
    def of(cls, channels: Mapping[int, Channel], counts: Mapping[int, int]) -> Names:
        """Of a file's channels, those with messages; where it does not count them, all."""
        used = {key: c for key, c in channels.items() if counts.get(key) or not counts}
        ros = {key: c for key, c in used.items() if c.encoding in ROS}
        ours = names_of({c.topic: _long(c.schema) for c in ros.values()})
        pairs = {key: (KINDS[c.schema], c.topic) for key, c in used.items()
                 if c.encoding == "protobuf" and c.schema in KINDS}  # fmt: skip
        pairs |= {key: (ours[c.topic].partition("/")[0], c.topic) for key, c in ros.items()
                  if ours.get(c.topic, EGO_OF_TF) != EGO_OF_TF}  # fmt: skip
        names = unique_names(list(pairs.values()))
        sensors = {key: names[pair] for key, pair in pairs.items()}
        sensors |= {key: EGO_OF_TF for key, c in ros.items() if ours.get(c.topic) == EGO_OF_TF}
        results = {key: c.topic for key, c in used.items() if c.encoding == "json" and c.schema in RESULTS}
        helpers = {key for key, c in used.items() if c.topic == BESIDE}
        helpers |= {key for key, c in ros.items() if _long(c.schema) in (AUDIO_INFO, TEXT)}
        return cls(sensors, results, frozenset(helpers))

    def without(self, topics: Collection[str], channels: Mapping[int, Channel]) -> Names:
        """The same but for the sensors of `topics`."""
        sensors = {key: name for key, name in self.sensors.items() if channels[key].topic not in topics}
        return Names(sensors, self.results, self.helpers)


class Decoder:
    """Stored messages, in order, as ours. What was read before is remembered where it is needed."""

    def __init__(self, channels: Mapping[int, Channel], names: Names, hints: Mapping[str, str],
                 clouds: Clouds | None = None) -> None:  # fmt: skip
        """`hints` are texts beside ROS sensors, by topic; `clouds` know how point clouds are read."""
        self._channels, self._names = channels, names
        self._notes: dict[tuple[str, int], Beside] = {}
        self._video = VideoDecoder()
        self._types: RosTypes | None = None
        ours = {channels[key].topic: name for key, name in names.sensors.items() if channels[key].encoding in ROS}
        self._clouds = clouds
        self._ros = RosDecoder(ours, hints, clouds)

    def decode(self, stored: Stored) -> Iterator[Message]:
        """What a message gives: mostly one. Raises FormError, and other errors where bytes are wrong."""
        key = stored.channel
        channel = self._channels[key]
        if channel.topic == BESIDE:
            self._note(bytes(stored.data))
        elif key in self._names.results:
            yield _result(channel, bytes(stored.data), stored.log_ns)
        elif channel.encoding == "protobuf":
            found = decoded(channel.schema, stored.data, channel.topic, self._notes, stored.log_ns, self._video,
                            self._clouds, self._names.sensors[key])  # fmt: skip
            self._notes.pop((channel.topic, found.header.capture_ns), None)
            yield _named(found, self._names.sensors[key])
        elif channel.encoding in ROS:
            if self._types is None:
                self._types = RosTypes()
            message = self._types.read(channel, stored.data)
            yield from self._ros.decode(channel.topic, _long(channel.schema), message, stored.log_ns)

    def finish(self) -> Iterator[Message]:
        """What the end cuts short."""
        yield from self._ros.finish()

    def refused(self) -> Iterator[tuple[tuple[str, str], int]]:
        """Packets within messages that were refused."""
        return self._ros.counts()

    def _note(self, data: bytes) -> None:
        try:
            note = Beside.from_json(data)
        except (ValueError, KeyError, TypeError):
            return  # the message that it belongs to is read without it
        self._notes[note.topic, note.capture_ns] = note
        while len(self._notes) > MAX_WAITING:
            del self._notes[next(iter(self._notes))]


class RosTypes:
    """ROS messages by the definitions that a file brings with it; by ROS 2 Humble's and Noetic's where it has none."""

    def __init__(self) -> None:
        """Raises LogError where the library is missing."""
        try:
            from rosbags.typesys import Stores, get_typestore
        except ModuleNotFoundError:
            raise LogError("the log holds ROS messages; pip install 'fusion-pipeline[logs]' reads them") from None
        self._usual = {"cdr": get_typestore(Stores.ROS2_HUMBLE), "ros1": get_typestore(Stores.ROS1_NOETIC)}
        self._known: dict[tuple[str, str, bytes], Any] = {}

    def read(self, channel: Channel, data: memoryview | bytes) -> Any:
        """A message as an object with the fields of its definition. Raises FormError, and others for wrong bytes."""
        kind = _long(channel.schema)
        key = channel.encoding, kind, channel.schema_text
        store = self._known.get(key)
        if store is None:
            store = self._known[key] = self._learn(channel, kind)
        return (store.deserialize_cdr if channel.encoding == "cdr" else store.deserialize_ros1)(bytes(data), kind)

    @staticmethod
    def long(schema: str) -> str:
        """sensor_msgs/Image as sensor_msgs/msg/Image."""
        return _long(schema)

    def is_usual(self, channel: Channel) -> bool:
        """Whether a channel's messages have the fields that ROS itself gives their type."""
        kind, version = _long(channel.schema), 2 if channel.encoding == "cdr" else 1
        usual = self._usual[channel.encoding]
        own = self._known.get((channel.encoding, kind, channel.schema_text), usual)
        if own is usual or kind not in usual.types:
            return own is usual
        one, other = (store.generate_msgdef(kind, ros_version=version)[0] for store in (own, usual))
        return bool(one == other)

    def _learn(self, channel: Channel, kind: str) -> Any:
        from rosbags.typesys import Stores, get_types_from_idl, get_types_from_msg, get_typestore

        text = channel.schema_text.decode(errors="replace")
        idl = channel.schema_encoding.endswith("idl")
        try:
            if not text.strip():
                raise FormError("no definition")
            made = get_types_from_idl(text) if idl else get_types_from_msg(text, kind)
            own = get_typestore(Stores.EMPTY)
            own.register(made)
            own.get_msgdef(kind)  # says now whether a type that it is made of is missing
            return own
        except Exception:  # a definition is wrong in as many ways as there are rules
            usual = self._usual[channel.encoding]
            if kind not in usual.types:
                raise FormError(f"messages of the unknown type {channel.schema[:60]}") from None
            return usual


def _long(schema: str) -> str:
    """sensor_msgs/Image as sensor_msgs/msg/Image."""
    parts = schema.split("/")
    return f"{parts[0]}/msg/{parts[1]}" if len(parts) == 2 else schema


def _result(channel: Channel, data: bytes, log_ns: int) -> Message:
    if channel.schema == "fusion.health":
        return health_from_json(data, channel.topic, log_ns)
    kind = Detections if channel.schema == "fusion.detections" else Tracks
    return found_from_json(data, kind, channel.topic, log_ns)


def _named(message: Any, name: str) -> Message:
    if message.header.source == name:
        return message  # type: ignore[no-any-return]
    from dataclasses import replace

    return replace(message, header=replace(message.header, source=name))  # type: ignore[no-any-return]
