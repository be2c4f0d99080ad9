"""What the channels of an MCAP file hold: Foxglove's messages, our own results as JSON, ROS messages."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from fusion_pipeline.logs.cloud_reading import Clouds
from fusion_pipeline.logs.damage import is_damage
from fusion_pipeline.logs.foxglove_form import BESIDE, Beside
from fusion_pipeline.logs.foxglove_read import ENCODINGS, KINDS, decoded
from fusion_pipeline.logs.json_form import found_from_json, health_from_json
from fusion_pipeline.logs.mcap_places import Channel, Stored
from fusion_pipeline.logs.reader import FormError
from fusion_pipeline.logs.ros_topics import AUDIO_INFO, EGO_OF_TF, TEXT, RosDecoder, names_of, unique_names
from fusion_pipeline.logs.ros_types import RosTypes, long_name
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
        apart = topics_apart(ros)
        ours = names_of({apart[key]: long_name(c.schema) for key, c in ros.items()})
        pairs = {key: (KINDS[c.schema], c.topic) for key, c in used.items()
                 if c.encoding in ENCODINGS and c.schema in KINDS}  # fmt: skip
        pairs |= {key: (ours[topic].partition("/")[0], channels[key].topic) for key, topic in apart.items()
                  if ours.get(topic, EGO_OF_TF) != EGO_OF_TF}  # fmt: skip
        names = unique_names(list(pairs.values()))
        sensors = {key: names[pair] for key, pair in pairs.items()}
        sensors |= {key: EGO_OF_TF for key, topic in apart.items() if ours.get(topic) == EGO_OF_TF}
        results = {key: c.topic for key, c in used.items() if c.encoding == "json" and c.schema in RESULTS}
        helpers = {key for key, c in used.items() if c.topic == BESIDE}
        helpers |= {key for key, c in ros.items() if long_name(c.schema) in (AUDIO_INFO, TEXT)}
        return cls(sensors, results, frozenset(helpers))

    def part(self, number: int) -> Names:
        """Those of the file `number` of several whose channels' numbers begin with that of their file."""

        def mine(table: Mapping[int, str]) -> dict[int, str]:
            return {key & 0xFFFF: name for key, name in table.items() if key >> 16 == number}

        return Names(mine(self.sensors), mine(self.results),
                     frozenset(key & 0xFFFF for key in self.helpers if key >> 16 == number))  # fmt: skip

    def without(self, topics: Collection[str], channels: Mapping[int, Channel]) -> Names:
        """The same but for the sensors of `topics`."""
        apart = topics_apart(channels)
        sensors = {key: name for key, name in self.sensors.items() if apart[key] not in topics}
        return Names(sensors, self.results, self.helpers)


def topics_apart(channels: Mapping[int, Channel]) -> dict[int, str]:
    """Topics by channel; where messages of several types lie on one topic, those of all but the first bear the type's
    name too, so that each is read by its own.
    """
    first: dict[str, str] = {}
    found = {}
    for key, channel in channels.items():
        same = first.setdefault(channel.topic, channel.schema) == channel.schema
        found[key] = channel.topic if same else f"{channel.topic} ({channel.schema.replace('/', '.')})"
    return found


class Decoder:
    """Stored messages, in order, as ours. What was read before is remembered where it is needed."""

    def __init__(self, channels: Mapping[int, Channel], names: Names, hints: Mapping[str, str],
                 clouds: Clouds | None = None) -> None:  # fmt: skip
        """`hints` are texts beside ROS sensors, by topic; `clouds` know how point clouds are read."""
        self._channels, self._names = channels, names
        self._notes: dict[tuple[str, int], Beside] = {}
        self._video = VideoDecoder()
        self._types: RosTypes | None = None
        self._topics = topics_apart({key: c for key, c in channels.items() if c.encoding in ROS})
        ours = {self._topics[key]: name for key, name in names.sensors.items() if key in self._topics}
        self._clouds = clouds
        self._ros = RosDecoder(ours, hints, clouds)

    def decode(self, stored: Stored) -> Iterator[Message]:
        """What a message gives: mostly one. Raises FormError, and other errors where bytes are wrong."""
        key = stored.channel
        channel = self._channels[key]
        if channel.topic == BESIDE:
            self._note(bytes(stored.data))
        elif key in self._names.results:
            try:
                yield _result(channel, bytes(stored.data), stored.log_ns)
            except (ValueError, KeyError, TypeError, IndexError):
                raise FormError("damaged message") from None
        elif channel.encoding in ENCODINGS:
            found = decoded(channel.schema, stored.data, channel.topic, self._notes, stored.log_ns, self._video,
                            self._clouds, self._names.sensors[key], channel.encoding)  # fmt: skip
            self._notes.pop((channel.topic, found.header.capture_ns), None)
            yield _named(found, self._names.sensors[key])
        elif channel.encoding in ROS:
            if self._types is None:
                self._types = RosTypes()
            message = self._types.read(channel, stored.data)
            yield from self._ros.decode(self._topics[key], long_name(channel.schema), message, stored.log_ns)

    def reason(self, key: int, error: Exception) -> str:
        """Why `decode` raised an error for a message of a channel, for a refusal count. Raises it again where it is a
        fault of this program.
        """
        channel = self._channels[key]
        if is_damage(error):
            return "damaged message"
        own = self._types is not None and channel.encoding in ROS and not self._types.is_usual(channel)
        if own and isinstance(error, AttributeError | TypeError | KeyError):
            return f"its definition has other fields than those of {channel.schema[:60]}"
        raise error

    def finish(self) -> Iterator[Message]:
        """What the end cuts short."""
        yield from self._ros.finish()

    def refused(self) -> Iterator[tuple[tuple[str, str], int]]:
        """Packets within messages that were refused."""
        return self._ros.counts()

    def _note(self, data: bytes) -> None:
        try:
            note = Beside.from_json(data)
        except (ValueError, KeyError, TypeError, OverflowError):
            return  # the message that it belongs to is read without it
        self._notes[note.topic, note.capture_ns] = note
        while len(self._notes) > MAX_WAITING:
            del self._notes[next(iter(self._notes))]


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
