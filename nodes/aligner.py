"""The process that turns sensor messages into sensor sets."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from fusion_pipeline.checks import Range, nearest
from fusion_pipeline.clock import SECOND_NS, now_ns
from fusion_pipeline.messages import AudioChunk, CameraFrame, EgoMotion, Lap, LidarScan, LogTime, Message
from fusion_pipeline.node import NodeError, Stage, Surroundings

if TYPE_CHECKING:
    from fusion_pipeline import align
    from fusion_pipeline.rig import Rig

Milliseconds = Annotated[float, Range(0, 60_000)]
SENSORS = ("lidar", "camera", "audio")  # kinds of topics that a rig describes

LOOK_S = 1.0  # how often the clocks of the streams are looked at
# Arrivals are stamped by the host of the driver. Live, those of another host's clock are recognised by these.
ARRIVAL_AHEAD_NS, ARRIVAL_BEHIND_NS = SECOND_NS, 5 * SECOND_NS


@dataclass(frozen=True)
class AlignerConfig:
    """Which streams make a set, and how long it waits for them."""

    rig: Path  # its sensors, and their clock offsets
    topics: tuple[str, ...] = ()  # the streams to expect; empty: every sensor of the rig
    reference: str = ""  # whose messages make the sets; empty: the first LiDAR, else camera, else microphone array
    deadline_ms: Milliseconds = 60.0  # after the reference arrived, a set goes out with what is there
    camera_window_ms: Milliseconds = 60.0  # a frame farther from the instant is not of it
    audio_window_s: Annotated[float, Range(0, 60, above=True)] = 0.5
    ego_window_ms: Milliseconds = 100.0
    tick_ms: Annotated[float, Range(1, 60_000)] = 100.0  # period of sets while the reference is silent, or is sound


class Aligner(Stage[AlignerConfig]):
    """Camera frames, scans, sound and poses in; sets by capture time out."""

    reads = (CameraFrame, LidarScan, AudioChunk, EgoMotion, LogTime)

    @classmethod
    def topics_written(cls, config: AlignerConfig) -> tuple[str, ...]:
        """One topic of sets."""
        return ("set",)

    @classmethod
    def files(cls, config: AlignerConfig) -> tuple[Any, ...]:
        """The rig."""
        return (config.rig,)

    @classmethod
    def check(cls, config: AlignerConfig, around: Surroundings) -> Iterator[str]:
        """The rig; and that rig, streams and what the graph publishes are of one vehicle."""
        from fusion_pipeline.rig import Rig
        from fusion_pipeline.rig_checks import implausible

        rig = Rig.load(config.rig)
        reference_of(config, rig.topics)
        if not around.replay:
            yield from (f"rig file {config.rig}: {text}" for text in implausible(rig))
        yield from _other_vehicle(config, rig, around)

    def open(self) -> None:
        """Build the aligner for the rig's sensors."""
        from fusion_pipeline import align
        from fusion_pipeline.rig import Rig

        self._aligner = align.Aligner(pure_config(self.config, Rig.load(self.config.rig)))
        self._before: Counter[tuple[str, str]] = Counter()  # of the laps that are over
        self._looked_s = 0.0

    def begin(self, lap: Lap) -> None:
        """Without any message."""
        self._before += self._aligner.counts
        self._aligner = type(self._aligner)(self._aligner.config)

    def step(self, message: Message) -> Iterator[Message]:
        """The sets that a message completes."""
        assert isinstance(message, (CameraFrame, LidarScan, AudioChunk, EgoMotion))
        arrival = message.header.arrival_ns
        if not self.replay and not -ARRIVAL_BEHIND_NS <= arrival - now_ns() <= ARRIVAL_AHEAD_NS:
            side = "after" if arrival > now_ns() else "long before"
            self._aligner.refuse(message, f"arrived {side} this host's time")
        else:
            yield from self._aligner.step(message)
        self._look()

    def advance(self, now_ns: int) -> Iterator[Message]:
        """The sets whose deadline has passed."""
        yield from self._aligner.advance(now_ns)
        self._look()

    def finish(self) -> Iterator[Message]:
        """What was still waiting when the inputs ended."""
        yield from self._aligner.flush()

    def counts(self) -> dict[tuple[str, str], int]:
        """Totals of what did not become part of a set."""
        ledger = dict(self._before + self._aligner.counts) if hasattr(self, "_before") else {}
        return {key: total for key, total in ledger.items() if key[1] != "used" and total}

    def _look(self) -> None:
        """Report streams whose clocks are wrong."""
        now = time.monotonic()
        if now - self._looked_s < LOOK_S:
            return
        self._looked_s = now
        troubles = self._aligner.clocks.troubles()
        if troubles:
            self.report("degraded", "; ".join(f"{topic}: {text}" for topic, text in troubles.items()))
        elif self.state == "degraded":
            self.report("ready")


def reference_of(config: AlignerConfig, rig_topics: tuple[str, ...]) -> str:
    """The stream whose messages make the sets. Raises NodeError where there is none."""
    from fusion_pipeline import align

    topics = config.topics or rig_topics
    if config.reference and config.reference not in topics:
        raise NodeError(f"reference: {nearest('stream', config.reference, topics)}; write one of the aligner's streams")
    placed_first = sorted(topics, key=lambda topic: topic not in rig_topics)
    found = config.reference or align.default_reference(placed_first)
    if not found:
        raise NodeError(
            f"none of the streams {', '.join(topics)} can make sets; add a LiDAR, a camera or a microphone array to "
            f"`topics`, or name one as the reference: --set aligner.reference={topics[0] if topics else 'TOPIC'}"
        )
    return found


def _other_vehicle(config: AlignerConfig, rig: Rig, around: Surroundings) -> Iterator[str]:
    """Streams that nobody publishes, sensors that the rig has not, and drivers that differ from it."""
    streams = config.topics or rig.topics
    for topic in streams:
        if topic not in around.written:
            advice = nearest("topic", topic, around.written)
            add = "" if config.topics else "; or name the streams that there are in the aligner's `topics`"
            yield f"no process of the graph writes {topic!r}, for which every set would wait: {advice}{add}"
    if around.replay:
        if not any(topic in rig.topics for topic in streams) and any(t.split("/")[0] in SENSORS for t in streams):
            yield (
                f"rig file {config.rig} has {', '.join(rig.topics)}, the log {', '.join(streams)}: it is another "
                "vehicle's; give the rig of this log, or rename with --remap"
            )
        return
    for topic in config.topics or around.written:
        if topic in around.written and topic.split("/")[0] in SENSORS and topic not in rig.topics:
            yield (
                f"{topic!r} is not in the rig {config.rig} ({', '.join(rig.topics)}); add it there, or leave it out of "
                "the aligner's `topics`"
            )
    for other in around.configs:
        topic = getattr(other, "topic", "")
        if topic in rig.audios and isinstance(channels := getattr(other, "channels", 0), int):
            microphones = len(rig.audios[topic].microphones_m)
            if channels not in (0, microphones):
                yield f"{topic} has {channels} channels, but {microphones} microphones in the rig {config.rig}"
        if topic in rig.cameras:
            lens = rig.cameras[topic].model
            asked = getattr(other, "width_px", 0), getattr(other, "height_px", 0)
            if all(asked) and asked != (lens.width_px, lens.height_px):
                yield (
                    f"{topic} is asked for {asked[0]} x {asked[1]} px, but its lens in the rig {config.rig} is given "
                    f"for {lens.width_px} x {lens.height_px} px"
                )


def pure_config(config: AlignerConfig, rig: Any) -> align.AlignerConfig:
    """The aligner's own configuration for a rig. Raises NodeError where the reference is unknown."""
    from fusion_pipeline import align

    topics = config.topics or rig.topics
    reference = reference_of(config, rig.topics)
    windows = {"camera": config.camera_window_ms, "ego": config.ego_window_ms}
    offsets = {topic: mount.offset_ns / 1e6 for topic, mount in {**rig.lidars, **rig.cameras, **rig.audios}.items()}
    return align.AlignerConfig(
        reference=reference,
        streams=tuple(
            align.Stream(topic, windows.get(topic.split("/")[0], 50.0), offsets.get(topic, 0.0))
            for topic in topics
            if topic != reference
        ),
        deadline_ms=config.deadline_ms,
        reference_offset_ms=offsets.get(reference, 0.0),
        audio_window_s=config.audio_window_s,
        tick_ms=config.tick_ms,
    )
