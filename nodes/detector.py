"""The process that runs the network."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fusion_pipeline.messages import Lap, Message, SensorSet
from fusion_pipeline.node import Stage


@dataclass(frozen=True)
class DetectorConfig:
    """Which model, where the sensors sit, and on what it runs."""

    model: Path  # an ONNX file with its manifest beside it, or a manifest
    rig: Path
    min_score: float | None = None  # None: the manifest's
    providers: tuple[str, ...] = ("cpu",)  # cpu, cuda, tensorrt; what cannot be had is an error
    threads: int = 1
    allow_fallback: bool = False  # run on the CPU where a provider cannot be had, and say so in the health


class Detector(Stage[DetectorConfig]):
    """Sensor sets in, boxes and sounds out."""

    reads = (SensorSet,)

    @classmethod
    def topics_written(cls, config: DetectorConfig) -> tuple[str, ...]:
        """One topic of detections."""
        return ("detections",)

    @classmethod
    def files(cls, config: DetectorConfig) -> tuple[Any, ...]:
        """Model and rig."""
        return (config.model, config.rig)

    def open(self) -> None:
        """Load the model and run it once, so that the first set meets warm code."""
        from fusion_pipeline.detect.inference import Inference
        from fusion_pipeline.rig import Rig

        config = self.config
        self._refused: Counter[tuple[str, str]] = Counter()
        self._inference = Inference.load(
            config.model,
            Rig.load(config.rig),
            config.min_score,
            config.providers,
            config.threads,
            config.allow_fallback,
        )
        self.report("ready", self._inference.describe())

    def begin(self, lap: Lap) -> None:
        """Forget the sweeps before."""
        self._inference.forget()

    def step(self, message: Message) -> Iterator[Message]:
        """The detections of a set."""
        assert isinstance(message, SensorSet)
        detections = self._inference(message)
        for text in detections.missing[len(message.missing) :]:  # what the set had, but could not be used
            source, _, reason = text.partition(": ")
            if not reason.startswith("skipped"):  # a network without its sensor: nothing was wrong with any message
                self._refused[source, reason] += 1
        yield detections

    def counts(self) -> dict[tuple[str, str], int]:
        """Totals of damaged or unusable messages, by (topic, reason)."""
        return dict(self._refused) if hasattr(self, "_refused") else {}
