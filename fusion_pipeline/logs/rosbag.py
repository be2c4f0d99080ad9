"""ROS 1 bags (.bag) and ROS 2 bags (a folder with metadata.yaml, or .db3) as logs, without ROS.

Topics are named after what they carry: /velodyne/points becomes lidar/velodyne_points, /cam/image_raw
camera/cam_image_raw. Where the bag has static transforms and CameraInfo, they become the rig, in the frame base_link.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from fusion_pipeline.clock import LAST_NS
from fusion_pipeline.findings import Findings
from fusion_pipeline.logs.cloud_reading import Clouds
from fusion_pipeline.logs.foreign_rig import Heads
from fusion_pipeline.logs.labels import Labels
from fusion_pipeline.logs.mcap_decode import RosTypes
from fusion_pipeline.logs.reader import FormError, LogError
from fusion_pipeline.logs.ros_rig import look_at
from fusion_pipeline.logs.ros_sources import ROS1_MAGIC, BagSource, LibraryBag, LooseBag, LooseDatabase
from fusion_pipeline.logs.ros_topics import AUDIO_INFO, TEXT, RosDecoder, names_of
from fusion_pipeline.messages import Message

KINDS_IN_ORDER = ("lidar", "camera", "audio", "ego")


def is_bag(path: Path) -> bool:
    """Whether a path looks like a bag."""
    if path.is_file():
        return path.suffix in (".bag", ".db3")
    return (path / "metadata.yaml").is_file() or any(path.glob("*.db3"))


class RosLog:
    """A bag as a log. `complete`: the file is whole."""

    def __init__(self, path: Path) -> None:
        """Open it and read frames and lenses. Raises LogError."""
        self.path = path
        self.refused: Counter[tuple[str, str]] = Counter()
        self.findings = Findings()
        self._source = _source(path)
        self.complete = not self._source.faults
        for fault in self._source.faults:
            self.refused["log", fault] = 1
        self._types = RosTypes()
        channels = self._source.channels
        self._names = names_of({topic: channel.schema for topic, channel in channels.items()})
        if not self._names:
            held = ", ".join(sorted({channel.schema for channel in channels.values()})) or "nothing"
            raise LogError(
                f"{path} holds no camera, LiDAR, audio or ego messages that this program can read, but {held}"
            )
        self.start_ns, self.end_ns = self._source.start_ns, self._source.end_ns
        self._hints: dict[str, str] = {}
        self._clouds, heads = Clouds(self.findings), Heads()
        kinds = {topic: channel.schema for topic, channel in channels.items()}
        look_at(kinds, self._names, self._looked_at, heads, self._clouds)
        self._hints |= heads.texts
        for topic, why in heads.no_camera.items():
            self.findings.add("unread-topic", topic, why)
            del self._names[topic]
        self.rig = heads.rig(path.stem, self._names, self.findings)
        self.topics = tuple(sorted(set(self._names.values()), key=_order))

    def counts(self) -> dict[str, int]:
        """Messages by topic, as the bag's index has them."""
        return {name: self._source.counts.get(topic, 0) for topic, name in self._names.items()}

    def labels(self) -> Iterator[Labels]:
        """A bag has none."""
        yield from ()

    def messages(
        self, start_ns: int | None = None, end_ns: int | None = None, topics: Collection[str] | None = None
    ) -> Iterator[Message]:
        """Sensor messages in the order in which they were recorded; what cannot be used is counted."""
        names = {topic: name for topic, name in self._names.items() if topics is None or name in topics}
        channels, decoder = self._source.channels, RosDecoder(names, self._hints, self._clouds)
        beside = {topic for topic, channel in channels.items() if channel.schema in (AUDIO_INFO, TEXT)}
        low, high = start_ns or 0, LAST_NS if end_ns is None else end_ns
        for topic in beside if low else ():
            for raw in self._first(topic):
                self._decoded(decoder, raw.topic, raw.data, raw.time_ns)
        try:
            for raw in self._source.messages({*names, *beside}, low, high) if names else ():
                yield from self._decoded(decoder, raw.topic, raw.data, raw.time_ns)
        except Exception:  # rosbags, sqlite, yaml and lz4 have errors of their own
            self.refused["log", "cut off"] = 1
        yield from decoder.finish()
        for key, count in decoder.counts():
            self.refused[key] += count

    def _decoded(self, decoder: RosDecoder, topic: str, data: bytes, time_ns: int) -> list[Message]:
        channel, name = self._source.channels[topic], self._names.get(topic, topic)
        try:
            return list(decoder.decode(topic, channel.schema, self._types.read(channel, data), time_ns))
        except FormError as error:
            self.refused[name, str(error)] += 1
        except Exception:  # bytes are wrong in as many ways as there are fields
            self.refused[name, "damaged message"] += 1
        return []

    def _first(self, topic: str, most: int = 1) -> Iterator[Any]:
        try:
            yield from islice(self._source.messages({topic}, 0, LAST_NS), most)
        except Exception:  # said by `messages`
            return

    def _looked_at(self, topic: str, most: int) -> Iterator[Any]:
        for raw in self._first(topic, most):
            try:
                yield self._types.read(self._source.channels[topic], raw.data)
            except Exception:  # a frame or lens that cannot be read is not known
                continue


def _source(path: Path) -> BagSource:
    try:
        import rosbags  # noqa: F401
    except ModuleNotFoundError:
        raise LogError(f"{path} is a ROS bag; pip install 'fusion-pipeline[logs]' reads it") from None
    if path.suffix == ".db3" or not (path.is_file() or (path / "metadata.yaml").is_file()):
        return LooseDatabase([path] if path.is_file() else sorted(path.glob("*.db3")), "")
    try:
        return LibraryBag(path)
    except Exception as error:  # its own errors, and those of sqlite, yaml and lz4
        said = (str(error).strip().splitlines() or [type(error).__name__])[0]
    if path.is_file():
        with path.open("rb") as file:
            if file.read(len(ROS1_MAGIC)) == ROS1_MAGIC:
                return LooseBag(path)
    elif bases := sorted(path.glob("*.db3")):
        return LooseDatabase(bases, said[:80])
    raise LogError(f"{path} cannot be read as a ROS bag: {said}")


def _order(name: str) -> tuple[int, str]:
    return KINDS_IN_ORDER.index(name.split("/")[0]), name
