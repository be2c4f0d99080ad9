"""Which ROS messages are read, under which of our topics, and what must be remembered from one to the next."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any

import numpy as np

from fusion_pipeline.arrays import Bytes
from fusion_pipeline.findings import Findings
from fusion_pipeline.logs.cloud_reading import Clouds
from fusion_pipeline.logs.frames import is_base, is_fixed, plain_frame
from fusion_pipeline.logs.reader import FormError
from fusion_pipeline.logs.ros_forms import (
    compressed_of,
    frame_of,
    imu_of,
    livox_of,
    odometry_of,
    scan_of,
    sound_of,
    stamp_ns,
    transform_of,
)  # fmt: skip
from fusion_pipeline.logs.ros_packets import PacketScans
from fusion_pipeline.messages import AudioChunk, CameraFrame, EgoMotion, LidarScan

Found = LidarScan | CameraFrame | EgoMotion | AudioChunk
Form = Callable[[Any, str, int], Found]
CLOUDS = ("sensor_msgs/msg/PointCloud2",)
LIVOX = tuple(f"livox_{name}/msg/CustomMsg" for name in ("ros_driver", "ros_driver2", "interfaces", "interfaces2"))
PLAIN: dict[str, tuple[str, Form]] = {
    **dict.fromkeys(LIVOX, ("lidar", livox_of)), "sensor_msgs/msg/Image": ("camera", frame_of),
    "sensor_msgs/msg/CompressedImage": ("camera", compressed_of), "nav_msgs/msg/Odometry": ("ego", odometry_of),
    "sensor_msgs/msg/Imu": ("ego", imu_of),
}  # fmt: skip
VELODYNE = "velodyne_msgs/msg/VelodyneScan"
OUSTER = ("ouster_ros/msg/PacketMsg", "ouster_sensor_msgs/msg/PacketMsg")
AUDIO = tuple(f"audio_common_msgs/msg/Audio{kind}" for kind in ("Data", "DataStamped", "Stamped"))
AUDIO_INFO = "audio_common_msgs/msg/AudioInfo"
TEXT, CAMERA_INFO = "std_msgs/msg/String", "sensor_msgs/msg/CameraInfo"
TF = "tf2_msgs/msg/TFMessage"
TFS = (TF, "tf/msg/tfMessage")  # the second of ROS 1 before 2014
KINDS: dict[str, str] = {
    **{name: kind for name, (kind, _) in PLAIN.items()}, **dict.fromkeys(CLOUDS, "lidar"), VELODYNE: "lidar",
    **dict.fromkeys(OUSTER, "lidar"), **dict.fromkeys(AUDIO, "audio"),
}  # fmt: skip
EGO_OF_TF = "ego/tf"
_SENSORS = ("LaserScan", "MultiEchoLaserScan", "PointCloud", "Range", "NavSatFix", "NavSatStatus", "MagneticField",
            "FluidPressure", "Temperature", "Illuminance", "RelativeHumidity", "TimeReference", "BatteryState",
            "JointState", "ChannelFloat32")  # fmt: skip
_SENSOR_PACKAGES = ("radar_msgs", "ars_", "ars40x_", "conti_radar", "delphi_", "esr_", "umrr_", "smartmicro_", "hesai",
                    "pandar_msgs", "rslidar_msg", "robosense", "livox_", "velodyne_msgs", "ouster_", "innovusion",
                    "seyond", "ublox_msgs", "novatel_", "septentrio_", "gps_msgs", "gps_common", "ixblue_", "sbg_",
                    "dvs_msgs", "event_camera_msgs", "prophesee_event_msgs", "theora_image_transport",
                    "ffmpeg_image_transport_msgs", "audio_common_msgs", "nebula_msgs", "luminar", "aeva_", "sick_scan",
                    "ibeo_", "cepton_", "marine_acoustic_msgs", "can_msgs")  # fmt: skip


def is_sensor_type(schema: str) -> bool:
    """Whether a message type that is not read is a sensor's: finding "unread-sensor", not "unread-topic"."""
    package, _, rest = schema.replace(".", "/").partition("/")
    name = rest.rpartition("/")[2]
    if package == "sensor_msgs":
        return name in _SENSORS or _long(schema) in KINDS
    if package == "foxglove":
        return name in ("LaserScan", "PointCloud", "RawImage", "CompressedImage", "CompressedVideo", "RawAudio",
                        "Grid", "VoxelGrid", "LocationFix", "LocationFixes")  # fmt: skip
    described = ("Info", "Status", "Metadata", "Diagnostic", "Config", "Param", "Response", "Request")
    return package.startswith(_SENSOR_PACKAGES) and not name.endswith(described)


def _long(schema: str) -> str:
    parts = schema.split("/")
    return f"{parts[0]}/msg/{parts[1]}" if len(parts) == 2 else schema


def name_of(kind: str, topic: str) -> str:
    """Our name of another system's topic: /velodyne/points becomes lidar/velodyne_points, lidar/top stays.

    Two topics may have one name; `unique_names` keeps those apart.
    """
    bare = topic.strip("/")
    if bare.startswith(f"{kind}/"):
        return bare
    return f"{kind}/{bare.replace('/', '_')}"


def unique_names(sensors: Collection[tuple[str, str]]) -> dict[tuple[str, str], str]:
    """Our names of topics, given as (kind, topic): no two alike, and of the same topics always the same.

    Where `name_of` gives two topics one name, their slashes become "__": /front/left_points and /front_left/points are
    lidar/front__left_points and lidar/front_left__points.
    """
    pairs = sorted(set(sensors), key=lambda pair: (pair[1].strip("/"), pair[1], pair[0]))
    plain: dict[str, list[tuple[str, str]]] = {}
    for pair in pairs:
        plain.setdefault(name_of(*pair), []).append(pair)
    names: dict[tuple[str, str], str] = {}
    taken: set[str] = set()
    for name, alike in plain.items():
        keep = next((p for p in alike if p[1] == name), next((p for p in alike if p[1].strip("/") == name), None))
        if len(alike) == 1 or keep is not None:
            names[keep or alike[0]] = name
            taken.add(name)
    for pair in pairs:
        if pair in names:
            continue
        name = full = f"{pair[0]}/{pair[1].strip('/').replace('/', '__')}"
        number = 2
        while name in taken:
            name, number = f"{full}_{number}", number + 1
        names[pair] = name
        taken.add(name)
    return names


def names_of(topics: Mapping[str, str]) -> dict[str, str]:
    """Our names of those topics of a bag, given with their types, that can be read. Ouster's IMU packets cannot."""
    kinds = {
        topic: KINDS[kind] for topic, kind in topics.items()
        if kind in KINDS and not (kind in OUSTER and "imu" in topic)
    }  # fmt: skip
    names = unique_names([(kind, topic) for topic, kind in kinds.items()])
    found = {topic: names[kind, topic] for topic, kind in kinds.items()}
    moving = [topic for topic, kind in topics.items() if kind in TFS and not topic.endswith("tf_static")]
    if moving and not any(kind == "nav_msgs/msg/Odometry" for kind in topics.values()):
        found[moving[0]] = EGO_OF_TF
    return found


class RosDecoder:
    """Messages of a bag, in order, as ours; sounds, packets and transforms need what came before."""

    def __init__(self, names: Mapping[str, str], hints: Mapping[str, str], clouds: Clouds | None = None) -> None:
        """`names` as of `names_of`; `hints` are texts beside the sensors, such as an Ouster's metadata, by topic.

        `clouds` know how point clouds are read; what is noticed goes to its findings.
        """
        self._names = names
        self._hints = dict(hints)
        self._clouds = clouds if clouds is not None else Clouds(Findings())
        self._sounds: dict[str, tuple[int, int, str]] = dict(self._clouds.sounds)  # by namespace
        self._packets: dict[str, PacketScans] = {}

    def decode(self, topic: str, kind: str, message: Any, time_ns: int) -> Iterator[Found]:
        """What a message of a bag's `topic` gives: one of ours, or the scans that its packets complete.

        Raises FormError, and other errors where bytes are wrong.
        """
        name = self._names.get(topic, "")
        if kind == AUDIO_INFO:
            self._sounds[space_of(topic)] = sound_form(message)
        elif kind == TEXT:
            self._hints[topic] = str(message.data)
        elif not name:
            return
        elif kind in CLOUDS:
            self._check_stamp(message, name)
            yield scan_of(message, name, time_ns, self._clouds)
        elif kind in PLAIN:
            self._check_stamp(message, name)
            yield PLAIN[kind][1](message, name, time_ns)
        elif kind in AUDIO:
            yield self._sound(message, kind, topic, name, time_ns)
        elif kind in TFS:
            for item in message.transforms:
                if is_fixed(plain_frame(str(item.header.frame_id))) and is_base(plain_frame(str(item.child_frame_id))):
                    self._check_stamp(item, name)
                    yield transform_of(item, name, time_ns)
        else:
            scans = self._packets.get(topic)
            if scans is None:
                scans = self._packets[topic] = PacketScans(name, kind == VELODYNE, _nearest(self._hints, topic))
            yield from scans.take(message, time_ns)

    def finish(self) -> Iterator[Found]:
        """The turns that the end of the bag cut short."""
        for scans in self._packets.values():
            yield from scans.finish()

    def counts(self) -> Iterator[tuple[tuple[str, str], int]]:
        """Packets that were refused, by topic and reason."""
        for topic, scans in self._packets.items():
            for reason, count in scans.counts.items():
                yield (self._names[topic], reason.removeprefix("refused: ")), count

    def _check_stamp(self, message: Any, name: str) -> None:
        if not message.header.stamp.sec and not message.header.stamp.nanosec:
            self._clouds.findings.add("unstamped", name, "stamps are 0; the time of arrival stands for them")

    def _sound(self, message: Any, kind: str, topic: str, name: str, time_ns: int) -> AudioChunk:
        capture = None
        if hasattr(message, "header"):
            self._check_stamp(message, name)
            capture = stamp_ns(message.header) or None
        if kind.endswith("AudioStamped") and hasattr(message.audio, "info"):  # as of audio_common 4 for ROS 2
            info, held = message.audio.info, message.audio.audio_data
            for field, form in (("int16_data", "S16LE"), ("float32_data", "F32LE"), ("int32_data", "S32LE"),
                                ("uint8_data", "U8"), ("int8_data", "S8")):  # fmt: skip
                samples = np.asarray(getattr(held, field))
                if len(samples):
                    return sound_of(samples.view(np.uint8), name, capture, time_ns, int(info.rate), int(info.channels),
                                    form)  # fmt: skip
            raise FormError("sound without samples")
        data: Bytes = np.asarray(message.audio.data if hasattr(message, "audio") else message.data, np.uint8)
        told = self._sounds.get(space_of(topic))
        if told is None:
            raise FormError("sound without an AudioInfo before it")
        return sound_of(data, name, capture, time_ns, told[0], told[1], told[2])


def space_of(topic: str) -> str:
    """The namespace that a topic lies in."""
    return topic.rpartition("/")[0]


def sound_form(info: Any) -> tuple[int, int, str]:
    """Rate in Hz, channels and sample format of an AudioInfo."""
    coding = str(info.coding_format).lower()
    form = str(info.sample_format).upper() if coding in ("wave", "wav", "raw", "pcm", "") else coding
    return int(info.sample_rate), int(info.channels), form


def _nearest(hints: Mapping[str, str], topic: str) -> str:
    """The text whose topic shares the longest beginning with `topic`; "" without any."""

    def shared(other: str) -> int:
        return next(
            (k for k, (a, b) in enumerate(zip(topic, other, strict=False)) if a != b), min(len(topic), len(other))
        )

    metadata = [key for key in hints if key.endswith("metadata")]
    return hints[max(metadata, key=shared)] if metadata else ""
