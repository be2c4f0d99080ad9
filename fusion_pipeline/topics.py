"""THE table of topics: what travels where, how often, how it is delivered, and whether a recorder keeps it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from fusion_pipeline.messages import (
    AudioChunk,
    CameraFrame,
    Detections,
    EgoMotion,
    Health,
    Lap,
    LidarScan,
    LogTime,
    Message,
    SensorSet,
    Tracks,
)  # fmt: skip


class Delivery(Enum):
    """What a slow reader sees."""

    LATEST = "latest"  # the newest wins; what was passed over is counted
    EVERY = "every"  # nothing is passed over; a bounded queue, then back-pressure, then a loud count


@dataclass(frozen=True, slots=True)
class Topic:
    """A family of topics: `kind`, or `kind/<name>` for each sensor or node of that kind."""

    kind: str
    message: type[Message]
    rate_hz: float
    delivery: Delivery
    recorded: bool
    max_bytes: int  # a larger message is refused


MIB = 1 << 20
TOPICS: tuple[Topic, ...] = (
    Topic("camera", CameraFrame, 20.0, Delivery.LATEST, True, 64 * MIB),
    Topic("lidar", LidarScan, 10.0, Delivery.LATEST, True, 64 * MIB),
    Topic("audio", AudioChunk, 50.0, Delivery.EVERY, True, 4 * MIB),
    Topic("ego", EgoMotion, 100.0, Delivery.EVERY, True, 64 * 1024),
    Topic("set", SensorSet, 10.0, Delivery.LATEST, False, 256 * MIB),
    Topic("detections", Detections, 10.0, Delivery.EVERY, True, 4 * MIB),
    Topic("tracks", Tracks, 10.0, Delivery.EVERY, True, 4 * MIB),
    Topic("health", Health, 2.0, Delivery.LATEST, True, MIB),
    Topic("logtime", LogTime, 100.0, Delivery.EVERY, False, 64 * 1024),
    Topic("lap", Lap, 0.1, Delivery.EVERY, False, 64 * 1024),
)
_BY_KIND = {topic.kind: topic for topic in TOPICS}


def topic_of(name: str) -> Topic:
    """The table's row for a topic name such as "camera/front". Raises KeyError naming the known kinds."""
    kind = name.split("/", 1)[0]
    try:
        return _BY_KIND[kind]
    except KeyError:
        raise KeyError(f"topic {name!r} is of no known kind; known: {', '.join(_BY_KIND)}") from None
