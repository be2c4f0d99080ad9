"""The process that runs the network."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from fusion_pipeline.checks import NotEmpty, OneOf, Range
from fusion_pipeline.detect.contract import NOT_USED
from fusion_pipeline.manifest import PROVIDERS
from fusion_pipeline.messages import Lap, Message, SensorSet
from fusion_pipeline.node import Stage, Surroundings

MEANT = {
    "gpu": "cuda", "nvidia": "cuda", "cudaexecutionprovider": "cuda", "trt": "tensorrt", "rt": "tensorrt",
    "tensorrtexecutionprovider": "tensorrt", "cpuexecutionprovider": "cpu",
}  # fmt: skip
Provider = Annotated[str, OneOf(*PROVIDERS, instead=MEANT)]


@dataclass(frozen=True)
class DetectorConfig:
    """Which model, where the sensors sit, and on what it runs."""

    model: Path  # an ONNX file with its manifest beside it, or a manifest
    rig: Path
    min_score: Annotated[float, Range(0, 1)] | None = None  # None: the manifest's
    providers: Annotated[tuple[Provider, ...], NotEmpty()] = ("cpu",)  # cpu, cuda, tensorrt; none is taken silently
    threads: Annotated[int, Range(1, 1024)] = 1
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

    @classmethod
    def check(cls, config: DetectorConfig, around: Surroundings) -> Iterator[str]:
        """Model, rig, and whether they fit; with `around.thorough` the networks are opened on their providers."""
        from fusion_pipeline.detect.contract import model_faults
        from fusion_pipeline.manifest import Manifest
        from fusion_pipeline.rig import Rig
        from fusion_pipeline.rig_checks import implausible

        rig = Rig.load(config.rig)
        yield from (f"rig file {config.rig}: {text}" for text in implausible(rig))
        manifest = Manifest.beside(config.model)
        faults = list(model_faults(manifest, rig))
        yield from faults
        if around.thorough and not faults:
            from fusion_pipeline.detect.network import opened

            opened(manifest, config.providers, config.allow_fallback)

    @classmethod
    def notes(cls, config: DetectorConfig, around: Surroundings) -> Iterator[str]:
        """Sensors of the rig that the model leaves out."""
        from fusion_pipeline.detect.contract import unused_topics
        from fusion_pipeline.manifest import Manifest
        from fusion_pipeline.rig import Rig

        manifest = Manifest.beside(config.model)
        for topic in unused_topics(manifest, Rig.load(config.rig)):
            yield f"{topic} is {NOT_USED} ({manifest.name})"

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
            # A network without its sensor, or a sensor without use: nothing was wrong with any message.
            if not reason.startswith("skipped") and reason != NOT_USED:
                self._refused[source, reason] += 1
        yield detections

    def counts(self) -> dict[tuple[str, str], int]:
        """Totals of damaged or unusable messages, by (topic, reason)."""
        return dict(self._refused) if hasattr(self, "_refused") else {}
