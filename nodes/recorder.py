"""The process that records what travels."""

from __future__ import annotations

import shutil
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

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
from fusion_pipeline.node import Stage

RESERVE_BYTES = 64 << 20  # left free on the disk: enough to close the file and for the machine to go on
LOOK_S = 0.5


@dataclass(frozen=True)
class RecorderConfig:
    """What to record, and where."""

    out: Path  # a .mcap file, replaced if it is there; after a restart out-2.mcap, out-3.mcap
    rig: Path | None = None  # goes into the file, so that it can be replayed alone
    topics: tuple[str, ...] = ()  # topics, or kinds such as "lidar"; empty: all that the table marks as recorded


class Recorder(Stage[RecorderConfig]):
    """Everything in, an MCAP file out. A full disk is reported and its losses are counted; the graph goes on."""

    reads = (CameraFrame, LidarScan, AudioChunk, EgoMotion, Detections, Tracks, Health)

    @classmethod
    def files(cls, config: RecorderConfig) -> tuple[Any, ...]:
        """The rig."""
        return (config.rig,) if config.rig is not None else ()

    @classmethod
    def products(cls, config: RecorderConfig) -> tuple[Path, ...]:
        """The recording."""
        return (config.out,)

    def open(self) -> None:
        """Create the file. Raises LogError where that is not possible."""
        from fusion_pipeline.logs.mcap_writer import McapWriter
        from fusion_pipeline.rig import Rig

        self._lost: Counter[tuple[str, str]] = Counter()
        self._looked_s = 0.0
        self._room = True
        rig = Rig.load(self.config.rig) if self.config.rig is not None else None
        # What a killed recorder has written is kept: its successor begins another file.
        self._out = (
            self.config.out.with_stem(f"{self.config.out.stem}-{self.starts + 1}") if self.starts else self.config.out
        )
        self._writer = McapWriter(self._out, rig)

    def step(self, message: Message) -> Iterator[Message]:
        """Write one message."""
        topic = message.header.source
        if self._wanted(topic):
            if not self._has_room():
                self._lost[topic, "disk full"] += 1
            else:
                with self.timed("write"):
                    self._writer.write(message)
                self.watch.take()
        yield from ()

    def close(self) -> None:
        """Write the index."""
        if hasattr(self, "_writer"):
            self._writer.close()

    def counts(self) -> dict[tuple[str, str], int]:
        """Totals of what there was no room for."""
        return dict(self._lost) if hasattr(self, "_lost") else {}

    def _wanted(self, topic: str) -> bool:
        from fusion_pipeline.topics import topic_of

        chosen = self.config.topics
        return topic_of(topic).recorded if not chosen else topic in chosen or topic.split("/", 1)[0] in chosen

    def _has_room(self) -> bool:
        now = time.monotonic()
        if now - self._looked_s >= LOOK_S:
            self._looked_s = now
            free = shutil.disk_usage(self._out.parent).free
            self._room = free > RESERVE_BYTES
            megabytes = self._out.stat().st_size / 1e6
            if self._room:
                self.report("ready", f"{self._writer.written} messages, {megabytes:.0f} MB in {self._out}")
            else:
                self.report("degraded", f"{free / 1e6:.0f} MB left on the disk of {self._out}; free some space")
        return self._room
