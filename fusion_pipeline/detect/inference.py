"""A model and its manifest as one call: a sensor set in, detections out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path
from typing import Self

import cv2
import numpy as np

from fusion_pipeline.clock import now_ns
from fusion_pipeline.detect.center import CenterDecoder, attributed
from fusion_pipeline.detect.contract import NOT_USED, model_faults, resolved, unused_topics
from fusion_pipeline.detect.lift import Lifter
from fusion_pipeline.detect.network import Network, refuse_providers
from fusion_pipeline.detect.network_step import NetworkStep
from fusion_pipeline.detect.nms import suppressed_2d, suppressed_bev
from fusion_pipeline.detect.painter import Painter
from fusion_pipeline.detect.sound_decoder import SoundDecoder
from fusion_pipeline.detect.sounds import sounds_from_srp
from fusion_pipeline.detect.steps import empty, rastered, resized, stacked, steered
from fusion_pipeline.detect.work import Work
from fusion_pipeline.detect.yolo import YoloDecoder
from fusion_pipeline.encode.grid import BevGrid
from fusion_pipeline.encode.inputs import SceneReader
from fusion_pipeline.encode.lookup import MAP, rig_tables
from fusion_pipeline.encode.paint import PICTURED
from fusion_pipeline.encode.points import BevRaster
from fusion_pipeline.encode.sweeps import Sweeps
from fusion_pipeline.manifest import Manifest, ManifestError
from fusion_pipeline.messages import (
    AudioChunk,
    CameraFrame,
    Detections,
    EgoMotion,
    Header,
    Hop,
    LidarScan,
    SensorSet,
    SourceStamp,
)  # fmt: skip
from fusion_pipeline.operations import (
    BevRasterize,
    DecodeCenter,
    DecodeSounds,
    DecodeYolo,
    ImageResize,
    LiftToBoxes,
    Lookup,
    Nms2d,
    NmsBev,
    Operation,
    RunOnnx,
    Srp,
)  # fmt: skip
from fusion_pipeline.rig import Rig

Step = Callable[[Work], Work]


@dataclass(frozen=True, slots=True, eq=False)
class Phase:
    """Stages that are timed together as one hop."""

    hop: str
    steps: tuple[Step, ...]


class Inference:
    """Runs the stages of a manifest. One call at a time."""

    def __init__(
        self,
        manifest: Manifest,
        reader: SceneReader,
        phases: tuple[Phase, ...],
        networks: tuple[Network, ...],
        memories: Sequence[Sweeps | Painter] = (),
        unused: Sequence[str] = (),
    ):
        self.manifest, self.unused = manifest, frozenset(unused)
        self._reader, self._phases, self._networks, self._memories = reader, phases, networks, memories

    def forget(self) -> None:
        """Remember no earlier sweep and no picture: the next set is the first of another drive."""
        for memory in self._memories:
            memory.clear()

    @classmethod
    def load(
        cls,
        model: Path,
        rig: Rig,
        min_score: float | None = None,
        providers: Sequence[str] = ("cpu",),
        threads: int = 1,
        allow_fallback: bool = False,
    ) -> Self:
        """Load and warm up `model`, an ONNX file or its manifest; `min_score` None takes the manifest's.

        Sets this process's OpenCV to `threads` threads. Raises ManifestError, ModelError or ProviderError, also where
        model and rig do not fit together.
        """
        manifest = Manifest.beside(model)
        for fault in model_faults(manifest, rig):
            raise ManifestError(fault)
        manifest = resolved(manifest)
        refuse_providers(manifest, providers)
        cv2.setNumThreads(threads)
        networks = {
            key: Network(path, tuple(providers), threads, allow_fallback) for key, path in manifest.networks.items()
        }
        steps = _Steps(manifest, rig, networks, min_score)
        named = [(_PHASES.get(type(stage), "decode"), steps.of(stage)) for stage in manifest.stages]
        phases = tuple(
            Phase(f"detector/{name}", tuple(step for _, step in group))
            for name, group in groupby(named, key=lambda item: item[0])
        )
        kinds = {type(stage) for stage in manifest.stages}
        unused = unused_topics(manifest, rig)
        points, pictures = bool(kinds & {BevRasterize, LiftToBoxes}), ImageResize in kinds
        reader = SceneReader(rig, points, pictures, unused=unused)
        return cls(manifest, reader, phases, tuple(networks.values()), steps.memories, unused)

    def describe(self) -> str:
        """What the networks really run on, for health."""
        running = "; ".join(network.describe() for network in self._networks)
        return f"{running}; {NOT_USED}: {', '.join(sorted(self.unused))}" if self.unused else running

    def __call__(self, sensor_set: SensorSet) -> Detections:
        """The set's detections. What is absent or damaged is named in `missing`, and has no share in any box."""
        start = now_ns()
        work = Work.begin(self._reader(sensor_set))
        hops: list[Hop] = []
        for phase in self._phases:
            for step in phase.steps:
                work = step(work)
            end = now_ns()
            hops.append(Hop(phase.hop, start, end))
            start = end
        scene = work.scene
        boxes = attributed(work.boxes, scene.present[0])
        heard = work.sounds
        if heard is None:
            heard = tuple(event for response in scene.responses for event in sounds_from_srp(response))
        head = sensor_set.header
        if hops:
            hops[-1] = replace(hops[-1], end_ns=now_ns())
        absent = tuple(f"{item.source}: {item.reason}" for item in sensor_set.missing)
        header = Header("detections", head.capture_ns, head.arrival_ns, "vehicle", head.hops + tuple(hops))
        sources = _sources(sensor_set)
        left_out = tuple(f"{item.source}: {NOT_USED}" for item in sources if item.source in self.unused)
        sources = tuple(item for item in sources if item.source not in self.unused)
        notes = absent + scene.refused + work.skipped + left_out
        return Detections(header, self.manifest.classes, boxes, heard, sources, notes, sensor_set.egos)


_PHASES: dict[type[Operation], str] = {
    ImageResize: "encode", BevRasterize: "encode", Srp: "encode", Lookup: "encode", RunOnnx: "network",
}  # fmt: skip


class _Steps:
    """Turns a manifest's stages into callables."""

    def __init__(self, manifest: Manifest, rig: Rig, networks: dict[str, Network], min_score: float | None) -> None:
        self._manifest, self._rig, self._networks, self._min_score = manifest, rig, networks, min_score
        self.memories: list[Sweeps | Painter] = []
        self._rasters: dict[str, BevRaster] = {}  # by the tensor that each makes
        self._per_view: set[str] = set()
        self._known = {"present"}
        self._senses: dict[str, frozenset[str]] = {}  # which of PRESENT a tensor is made of
        self._size = (0, 0)

    def of(self, stage: Operation) -> Step:
        """The step that carries `stage` out. Raises ManifestError for an input that no earlier stage makes."""
        classes = self._manifest.classes
        if isinstance(stage, ImageResize):
            if stage.stack:
                self._make(stage.out, "camera")
                return lambda work: stacked(work, stage, self._rig)
            self._per_view.add(stage.out)
            self._size = (stage.width, stage.height)
            return lambda work: resized(work, stage)
        if isinstance(stage, BevRasterize):
            self._make(stage.out, "lidar")
            sweeps = Sweeps()
            self.memories.append(sweeps)
            raster = BevRaster(BevGrid(stage.x_m, stage.y_m), reuse=True)
            raster(np.zeros((1, 3), np.float32), np.zeros(1, np.float32))  # compiles now, not at the first scan
            self._rasters[stage.out] = raster
            return lambda work: rastered(work, stage, raster, sweeps)
        if isinstance(stage, Srp):
            self._make(stage.out, "audio")
            self._make(stage.level_out, "audio")
            return lambda work: work.with_tensors(steered(work, stage))
        if isinstance(stage, Lookup):
            tables = rig_tables(self._rig, BevGrid(stage.x_m, stage.y_m), stage.cameras)
            self._known.update(tables)
            return lambda work: work.with_tensors(tables)
        if isinstance(stage, DecodeSounds):
            hear = SoundDecoder(stage)
            return lambda work: replace(work, sounds=hear(work.tensors, bool(work.scene.responses)))
        if isinstance(stage, RunOnnx):
            return self._onnx(stage)
        if isinstance(stage, DecodeCenter):
            least = stage.min_score if self._min_score is None else self._min_score
            center = CenterDecoder(stage, classes, least)
            # Without the network's outputs, which a skipped run leaves out, there is nothing to decode.
            return lambda work: replace(work, boxes=center(work)) if "scores" in work.tensors else empty(work)
        if isinstance(stage, DecodeYolo):
            least = stage.min_score if self._min_score is None else self._min_score
            yolo = YoloDecoder(stage, classes, self._size, least)
            return lambda work: replace(work, views=tuple(replace(view, boxes=yolo(view)) for view in work.views))
        if isinstance(stage, Nms2d):
            return lambda work: replace(
                work, views=tuple(replace(view, boxes=suppressed_2d(view.boxes, stage)) for view in work.views)
            )
        if isinstance(stage, NmsBev):
            return lambda work: replace(work, boxes=suppressed_bev(work.boxes, stage))
        lifter = Lifter(stage, classes)
        return lambda work: replace(work, boxes=lifter(work))

    def _make(self, tensor: str, *senses: str) -> None:
        self._known.add(tensor)
        self._senses[tensor] = frozenset(senses)

    def _onnx(self, stage: RunOnnx) -> Step:
        network = self._networks[stage.file]
        sources = {spec.name: stage.inputs.get(spec.name, spec.name) for spec in network.inputs}
        for name, source in sources.items():
            if source not in self._known | self._per_view:
                made = ", ".join(sorted(self._known | self._per_view))
                raise ManifestError(
                    f"{self._manifest.path}: no stage makes {source!r} for input {name!r}; made: {made}"
                )
        outputs = {spec.name: stage.outputs.get(spec.name, spec.name) for spec in network.outputs}
        per_view = any(source in self._per_view for source in sources.values())
        senses = frozenset[str]().union(*(self._senses.get(source, frozenset()) for source in sources.values()))
        (self._per_view if per_view else self._known).update(outputs.values())
        if not per_view:
            self._senses.update(dict.fromkeys(outputs.values(), senses))
        painter, raster, bev = self._painter(stage, network, sources, per_view)
        return NetworkStep(stage, network, sources, outputs, senses, per_view, painter, raster, bev)

    def _painter(
        self, stage: RunOnnx, network: Network, sources: Mapping[str, str], per_view: bool
    ) -> tuple[Painter | None, BevRaster | None, str]:
        """Who paints the raster, the raster, and the network's name for it. Raises ManifestError where it cannot be."""
        if not (stage.paint or stage.fusion == "early"):
            return None, None, ""
        named = [name for name, source in sources.items() if source in self._rasters]
        shape = next((spec.shape for spec in network.outputs if spec.name == "cam_seg"), ())
        fits = len(shape) == 4 and shape[0] is not None and shape[1:] == (PICTURED, *MAP)
        if per_view or not named or not fits or "present" not in sources:
            raise ManifestError(
                f"{self._manifest.path}: to be painted a network needs the raster of a bev_raster stage, an input "
                f"'present' and an output 'cam_seg' (cameras, {PICTURED}, {MAP[0]}, {MAP[1]}), not {shape or 'none'}"
            )
        painter = Painter(self._rig, int(shape[0] or 1))
        self.memories.append(painter)
        return painter, self._rasters[sources[named[0]]], named[0]


def _sources(sensor_set: SensorSet) -> tuple[SourceStamp, ...]:
    at = sensor_set.header.capture_ns
    parts: tuple[LidarScan | CameraFrame | AudioChunk | EgoMotion, ...]
    parts = (*sensor_set.lidars, *sensor_set.cameras, *sensor_set.audios, *sensor_set.egos)
    heads = [part.header for part in parts]
    return tuple(SourceStamp(head.source, head.capture_ns, head.capture_ns - at) for head in heads)
