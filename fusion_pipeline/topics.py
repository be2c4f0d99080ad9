"""THE table of topics: what travels where, how often, how it is delivered, and whether a recorder keeps it."""

from __future__ import annotations

from collections.abc import Iterable
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


_OWN: dict[str, Topic] = {}


def add_topics(rows: Iterable[Topic]) -> None:
    """Let users' own kinds of topics travel in this process. Raises ValueError for a kind that is taken, and for what
    is no row.
    """
    for row in rows:
        if not isinstance(row, Topic):
            raise ValueError(f"{row!r} is no row of the table of topics; write Topic(kind, message, ...)")
        if row.kind in {topic.kind for topic in TOPICS}:
            raise ValueError(f"topics of the kind {row.kind!r} are this program's own; choose another kind")
        if not row.kind or "/" in row.kind or not row.kind.isprintable() or " " in row.kind:
            raise ValueError(f"{row.kind!r} is no kind of topics; write one word, such as 'radar'")
        if row.max_bytes < 1024 or not row.rate_hz > 0:
            raise ValueError(f"topics of the kind {row.kind!r} need a rate above 0 and at least 1024 bytes a message")
        _OWN[row.kind] = _BY_KIND[row.kind] = row


def own_topics() -> tuple[Topic, ...]:
    """The rows that users have added."""
    return tuple(_OWN.values())


def topic_of(name: str) -> Topic:
    """The table's row for a topic name such as "camera/front". Raises KeyError naming the known kinds."""
    kind = name.split("/", 1)[0]
    try:
        return _BY_KIND[kind]
    except KeyError:
        raise KeyError(
            f"topic {name!r} is of no known kind; known: {', '.join(_BY_KIND)}; a kind of your own needs a row in the "
            "node's `own_topics`"
        ) from None
