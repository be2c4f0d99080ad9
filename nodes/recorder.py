"""The process that records what travels."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from fusion_pipeline.checks import OneOf, Range, nearest, output_fault
from fusion_pipeline.clock import seconds_to_ns
from fusion_pipeline.messages import (
    AudioChunk,
    CameraFrame,
    Detections,
    EgoMotion,
    Health,
    LidarScan,
    Message,
    Tracks,
)  # fmt: skip
from fusion_pipeline.node import NodeError, Stage, Surroundings

if TYPE_CHECKING:
    from fusion_pipeline.logs.record import Recording

LOOK_S = 0.5
REPLAY_PATIENCE_S = 60.0  # a replay waits for the disk
SAVE = "save"
Amount = Annotated[float, Range(0, 1e9)]
Compression = Annotated[str, OneOf("none", "lz4", "zstd", instead={"zst": "zstd", "no": "none"})]
MEANT = {"jpg": "jpeg", "avc": "h264", "h.264": "h264", "x264": "h264", "none": "raw"}
Images = Annotated[str, OneOf("raw", "jpeg", "png", "h264", instead=MEANT)]


@dataclass(frozen=True)
class RecorderConfig:
    """What to record, where, and how."""

    out: Path  # a .mcap file, replaced if it is there; further files are out-002.mcap, out-003.mcap
    rig: Path | None = None  # goes into the file, so that it can be replayed alone
    topics: tuple[str, ...] = ()  # topics, or kinds such as "lidar"; empty: all that the table marks as recorded
    split_mb: Amount = 0.0  # begin a new file at this size; 0: never
    split_s: Amount = 0.0  # begin a new file after this time; 0: never
    keep_s: Amount = 0.0  # keep only the last of this in memory, and write it when asked; 0: write everything
    keep_mb: Annotated[float, Range(0, 1e9, above=True)] = 1024.0  # at most so much of it
    after_s: Amount = 10.0  # what is written of the time after it was asked for
    save_on: str = ""  # ask for it at a box or sound of which this is true: "label = 'pedestrian' and range_m < 10"
    compression: Compression = "lz4"  # none, lz4 or zstd
    images: Images = "raw"  # pictures as they come, or raw ones as jpeg, png or h264
    buffer_mb: Annotated[float, Range(16, 1e6)] = 256.0  # memory for what waits for the disk


class Recorder(Stage[RecorderConfig]):
    """Everything in, MCAP files out. A full or slow disk is reported and its losses are counted; the graph goes on."""

    reads = (CameraFrame, LidarScan, AudioChunk, EgoMotion, Detections, Tracks, Health)
    commands = (SAVE,)
    stop_s = 12.0  # what waits for a slow disk is not thrown away
    reads_own = True
    every = True  # also of topics of which others want the newest alone

    @classmethod
    def files(cls, config: RecorderConfig) -> tuple[Any, ...]:
        """The rig."""
        return (config.rig,) if config.rig is not None else ()

    @classmethod
    def products(cls, config: RecorderConfig) -> tuple[Path, ...]:
        """The recording."""
        return (config.out,)

    @classmethod
    def check(cls, config: RecorderConfig, around: Surroundings) -> Iterator[str]:
        """The file, the rig, the topics, and the condition on which to save."""
        from fusion_pipeline.logs.rows import COLUMNS
        from fusion_pipeline.logs.where import parse_where

        if fault := output_fault(config.out, (".mcap",)):
            yield f"out: {fault}"
        if config.rig is not None:
            from fusion_pipeline.rig import Rig

            Rig.load(config.rig)
        known = {*around.written, *(topic.split("/", 1)[0] for topic in around.written), "health"}
        for topic in config.topics:
            if topic not in known and not topic.startswith("health/"):
                yield f"topics: {nearest('topic', topic, sorted(known))}"
        if config.save_on and not config.keep_s:
            yield "save_on needs keep_s: how many seconds before it are to be held in memory"
        if config.save_on:
            parse_where(config.save_on, COLUMNS)

    def open(self) -> None:
        """Create the file. Raises LogError where that is not possible, NodeError for settings that cannot be."""
        from fusion_pipeline.logs.provenance import Provenance
        from fusion_pipeline.logs.record import Recording, RecordingOptions, next_part
        from fusion_pipeline.logs.rows import COLUMNS
        from fusion_pipeline.logs.where import parse_where
        from fusion_pipeline.rig import Rig

        config = self.config
        for name in ("split_mb", "split_s", "keep_s", "after_s"):
            if getattr(config, name) < 0:
                raise NodeError(f"{name} is {getattr(config, name)}; write a number above 0, or 0 for none")
        if config.keep_mb <= 0 or config.buffer_mb < 16:
            raise NodeError("keep_mb must be above 0 and buffer_mb at least 16")
        if config.save_on and not config.keep_s:
            raise NodeError("save_on needs keep_s: how many seconds before the moment are to be kept")
        self._looked_s = 0.0
        self._condition = parse_where(config.save_on, COLUMNS) if config.save_on else None
        self._fired_ns = -1 << 62
        options = RecordingOptions(
            config.out,
            split_bytes=round(config.split_mb * 1e6),
            split_ns=seconds_to_ns(config.split_s),
            keep_ns=seconds_to_ns(config.keep_s),
            keep_bytes=round(config.keep_mb * 1e6),
            after_ns=seconds_to_ns(config.after_s),
            compression=config.compression,
            images=config.images,
            held_bytes=round(config.buffer_mb * 1e6),
            patience_s=REPLAY_PATIENCE_S if self.replay else 0.0,
        )
        rig = Rig.load(config.rig) if config.rig is not None else None
        provenance = Provenance.of_graph(rig, _configuration(config.out))
        self._recording: Recording = Recording(options, provenance, next_part(config.out) if self.starts else 1)

    def step(self, message: Message) -> Iterator[Message]:
        """Take one message."""
        if self._wanted(message.header.source):
            with self.timed("write"):
                self._recording.write(message)
            self.watch.take()
            self._look_for_a_reason(message)
        self._look()
        yield from ()

    def advance(self, now_ns: int) -> Iterator[Message]:
        """What is old enough is written, also where nothing comes any more."""
        self._recording.tick(now_ns)
        self._look()
        yield from ()

    def command(self, text: str) -> str:
        """ "save": write what is kept."""
        from fusion_pipeline.logs.reader import LogError

        if text.split()[:1] != [SAVE]:
            raise NodeError(f"a recorder knows {SAVE!r}, not {text[:40]!r}")
        try:
            return self._recording.save(text.partition(" ")[2] or "asked")
        except LogError as error:
            raise NodeError(str(error)) from None

    def close(self) -> None:
        """Write what waits and the index."""
        if hasattr(self, "_recording"):
            self._recording.close()
            self._look(at_once=True)

    def counts(self) -> dict[tuple[str, str], int]:
        """Totals of what was lost for want of room on the disk or in memory."""
        return self._recording.counts() if hasattr(self, "_recording") else {}

    def _wanted(self, topic: str) -> bool:
        from fusion_pipeline.topics import topic_of

        chosen = self.config.topics
        return topic_of(topic).recorded if not chosen else topic in chosen or topic.split("/", 1)[0] in chosen

    def _look_for_a_reason(self, message: Message) -> None:
        """Save where the condition is met; while what follows is being written, that goes on for longer."""
        if self._condition is None or not isinstance(message, (Detections, Tracks)):
            return
        from fusion_pipeline.logs.rows import object_rows

        if any(self._condition(row) for row in object_rows(message)):
            at = message.header.arrival_ns
            if at - self._fired_ns >= seconds_to_ns(min(1.0, self.config.after_s)):  # once a second is enough
                self._fired_ns = at
                self._recording.save(f"{self.config.save_on} at {message.header.capture_ns}")

    def _look(self, at_once: bool = False) -> None:
        now = time.monotonic()
        if at_once or now - self._looked_s >= LOOK_S:
            self._looked_s = now
            recording = self._recording
            if recording.problem:
                self.report("degraded", f"{recording.problem}; {sum(self.counts().values())} messages lost")
            elif recording.incident:
                self.report("degraded", f"{recording.incident}; {recording.describe()}")
            else:
                self.report("ready", recording.describe())


def _configuration(out: Path) -> str:
    """What the supervisor wrote beside the recording; empty where there is none."""
    try:
        return out.with_name(f"{out.name}.config.json").read_text(encoding="utf-8")
    except OSError:
        return ""
