"""Definitions of ROS messages: those that a file brings with it, ROS's own, and drivers' that many bags lack."""

from __future__ import annotations

import re
from typing import Any

from fusion_pipeline.logs.mcap_places import ZSTD_MAGIC, Channel, inflate_zstd
from fusion_pipeline.logs.reader import FormError, LogError

# Databases before ROS 2 Iron have no definitions. These are public, and the same in all releases of their drivers:
# github.com/ros-drivers/velodyne, ouster-lidar/ouster-ros, Livox-SDK/livox_ros_driver2, ros-drivers/audio_common
_HEADER = "std_msgs/Header header\n"
_LIVOX = ("livox_ros_driver2", "livox_interfaces", "livox_interfaces2", "livox_ros_driver")
DRIVERS: dict[str, str] = {
    "velodyne_msgs/msg/VelodynePacket": "builtin_interfaces/Time stamp\nuint8[1206] data\n",
    "velodyne_msgs/msg/VelodyneScan": f"{_HEADER}VelodynePacket[] packets\n",
    "ouster_ros/msg/PacketMsg": "uint8[] buf\n",
    "ouster_sensor_msgs/msg/PacketMsg": "uint8[] buf\n",
    "audio_common_msgs/msg/AudioData": "uint8[] data\n",
    "audio_common_msgs/msg/AudioDataStamped": f"{_HEADER}AudioData audio\n",
    "audio_common_msgs/msg/AudioInfo":
        "uint8 channels\nuint32 sample_rate\nstring sample_format\nuint32 bitrate\nstring coding_format\n",
    **dict.fromkeys((f"{package}/msg/CustomPoint" for package in _LIVOX),
                    "uint32 offset_time\nfloat32 x\nfloat32 y\nfloat32 z\nuint8 reflectivity\nuint8 tag\n"
                    "uint8 line\n"),
    **dict.fromkeys((f"{package}/msg/CustomMsg" for package in _LIVOX),
                    f"{_HEADER}uint64 timebase\nuint32 point_num\nuint8 lidar_id\nuint8[3] rsvd\n"
                    "CustomPoint[] points\n"),
}  # fmt: skip
# Definitions with all that they are made of have 300 lines at most; rosbags takes some ms for each line.
LARGEST_DEFINITION, MOST_LINES, MOST_LEARNED = 1 << 18, 4000, 4000  # bytes, lines, lines without comments of a file


def long_name(schema: str) -> str:
    """sensor_msgs/Image as sensor_msgs/msg/Image."""
    parts = schema.split("/")
    return f"{parts[0]}/msg/{parts[1]}" if len(parts) == 2 else schema


class RosTypes:
    """ROS messages by the definitions that a file brings with it; by ROS 2 Humble's and Noetic's where it has none."""

    def __init__(self) -> None:
        """Raises LogError where the library is missing."""
        try:
            from rosbags.typesys import Stores, get_typestore
        except ModuleNotFoundError:
            raise LogError("the log holds ROS messages; pip install 'fusion-pipeline[logs]' reads them") from None
        self._usual = {"cdr": get_typestore(Stores.ROS2_HUMBLE), "ros1": get_typestore(Stores.ROS1_NOETIC)}
        self._known: dict[tuple[str, str, bytes], Any] = {}  # typestores, or why there is none
        self._learned = 0  # lines of definitions

    def read(self, channel: Channel, data: memoryview | bytes) -> Any:
        """A message as an object with the fields of its definition. Raises FormError, and others for wrong bytes."""
        kind = long_name(channel.schema)
        store = self._known.get((channel.encoding, kind, channel.schema_text))
        if store is None:
            store = self._store(channel, kind)
        if isinstance(store, FormError):
            raise FormError(*store.args)
        raw = bytes(data)
        if channel.encoding != "cdr":
            return store.deserialize_ros1(raw, kind)
        # No CDR message begins so: its recorder compressed each message (rosbag2's compression_mode MESSAGE).
        return store.deserialize_cdr(inflate_zstd(raw) if raw[:4] == ZSTD_MAGIC else raw, kind)

    @staticmethod
    def long(schema: str) -> str:
        """sensor_msgs/Image as sensor_msgs/msg/Image."""
        return long_name(schema)

    def lacking(self, channel: Channel) -> str:
        """Why messages of a channel cannot be read as those of their type: no definition, or a field that it lacks.

        "" where they can be, as far as the type is one of ROS's own or in DRIVERS.
        """
        kind = long_name(channel.schema)
        own = self._store(channel, kind)
        if isinstance(own, FormError):
            return str(own)
        usual = self._usual[channel.encoding]
        if own is usual or not self._has(channel.encoding, kind):
            return ""
        mine, theirs = (_fields(store, kind, channel.encoding) for store in (own, usual))
        for name, fields in theirs.items():
            for field in sorted(fields - mine.get(name, set())):
                return f"its definition lacks {field!r} of {name}"
        return ""

    def is_usual(self, channel: Channel) -> bool:
        """Whether a channel's messages have every field that their type has elsewhere."""
        return self._has(channel.encoding, long_name(channel.schema)) and not self.lacking(channel)

    def text(self, channel: Channel) -> tuple[str, bytes]:
        """Form and text of a channel's definition: its own, or that by which it is read; empty for unknown types."""
        kind = long_name(channel.schema)
        if channel.schema_text.strip() or not self._has(channel.encoding, kind):
            return channel.schema_encoding, channel.schema_text
        version, form = (2, "ros2msg") if channel.encoding == "cdr" else (1, "ros1msg")
        return form, self._usual[channel.encoding].generate_msgdef(kind, ros_version=version)[0].encode()

    def _has(self, encoding: str, kind: str) -> bool:
        """Whether a type is known without a file's definition; those of drivers are added when they are asked for."""
        usual = self._usual[encoding]
        if kind in usual.types:
            return True
        if encoding != "cdr" or kind not in DRIVERS:
            return False
        from rosbags.typesys import get_types_from_msg

        package = kind.partition("/")[0]
        made: dict[str, Any] = {}
        for name, text in DRIVERS.items():
            if name.startswith(f"{package}/"):
                made.update(get_types_from_msg(text, name))
        usual.register(made)
        return True

    def _store(self, channel: Channel, kind: str) -> Any:
        key = channel.encoding, kind, channel.schema_text
        if key not in self._known:
            self._known[key] = self._learn(channel, kind)
        return self._known[key]

    def _learn(self, channel: Channel, kind: str) -> Any:
        """What reads messages of a channel's type: a typestore, or the reason why there is none."""
        from rosbags.typesys import Stores, get_types_from_idl, get_types_from_msg, get_typestore

        idl = channel.schema_encoding.endswith("idl")
        lines = channel.schema_text.count(b";" if idl else b"\n")
        if len(channel.schema_text) > LARGEST_DEFINITION or lines > MOST_LINES:
            return FormError(f"definition of {lines} lines")
        text = channel.schema_text.decode(errors="replace")
        fields = sum(bool(line.partition("#")[0].strip()) for line in text.splitlines())
        self._learned += fields
        if not fields:
            return self._elsewhere(channel, kind)
        if self._learned > MOST_LEARNED:
            return FormError(f"definitions of more than {MOST_LEARNED} lines together")
        own = get_typestore(Stores.EMPTY)
        try:
            own.register(get_types_from_idl(text) if idl else get_types_from_msg(text, kind))
            own.get_msgdef(kind)  # says now whether a type that it is made of is missing
        except Exception:  # rosbags refuses a definition by as many errors as there are rules
            return self._elsewhere(channel, kind)
        return own

    def _elsewhere(self, channel: Channel, kind: str) -> Any:
        """The store that knows a type without the file's definition."""
        if self._has(channel.encoding, kind):
            return self._usual[channel.encoding]
        return FormError(f"messages of the unknown type {channel.schema[:60]}")


def _fields(store: Any, kind: str, encoding: str) -> dict[str, set[str]]:
    """Fields of a type and of those that it is made of, by type: "float32 x". Bytes are bytes by any name."""
    text = store.generate_msgdef(kind, ros_version=2 if encoding == "cdr" else 1)[0]
    name, found = kind, dict[str, set[str]]()
    for line in text.splitlines():
        if line.startswith("MSG: "):
            name = long_name(line[5:].strip())
        words = line.split("#")[0].split()
        if len(words) == 2 and "=" not in line and line[:4] != "MSG:":
            form = re.sub(r"^(byte|char|octet)\b", "uint8", re.sub(r"<=\d+", "", words[0]))
            found.setdefault(name, set()).add(f"{form} {words[1]}")
    return found
