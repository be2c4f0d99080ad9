"""What makes a sensor set, and how long to wait for it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

REFERENCE_KINDS = ("lidar", "camera", "audio")  # the first that there is makes the sets


def default_reference(topics: Iterable[str]) -> str:
    """The stream whose messages make the sets where none is named: the first LiDAR, else the first camera, else the
    first microphone array; "" where there is none of these.
    """
    topics = tuple(topics)
    ranked = (topic for kind in REFERENCE_KINDS for topic in topics if topic.split("/", 1)[0] == kind)
    return next(ranked, "")


@dataclass(frozen=True, slots=True)
class Stream:
    """One input; its kind (camera, audio, ego, a second lidar) decides how it is matched."""

    topic: str
    window_ms: float = 50.0  # how far a frame, or the ego samples on either side, may lie from the set's instant
    offset_ms: float = 0.0  # added to the stamps


@dataclass(frozen=True)
class AlignerConfig:
    """What makes a set, and how long to wait for it."""

    reference: str = "lidar/top"
    streams: tuple[Stream, ...] = ()
    deadline_ms: float = 60.0  # after the reference's arrival
    reference_offset_ms: float = 0.0
    audio_window_s: float = 0.544  # what 16 steps of the steered response span
    audio_tolerance_ms: float = 2.0  # chunks whose stamps differ less than this from the sample count are joined
    tick_ms: float = 100.0  # period of sets while the reference is silent
    implausible_s: float = 5.0  # a message captured longer than this before its arrival is refused
    ahead_ms: float = 150.0  # so is one that tells of an instant later than this after its arrival
    longest_s: float = 2.0  # and one that lasts longer
    jump_s: float = 1.0  # an arrival this far back on its own stream means that the clock jumped or the log looped
    max_messages: int = 512  # kept per stream
