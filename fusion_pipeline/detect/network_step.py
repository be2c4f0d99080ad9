"""One run of a network as a stage: its inputs out of the work in hand, its outputs back into it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

import numpy as np

from fusion_pipeline.arrays import Array
from fusion_pipeline.detect.late import fused_late, senses_apart
from fusion_pipeline.detect.network import Network
from fusion_pipeline.detect.painter import Painter, washed, without_camera
from fusion_pipeline.detect.work import Work
from fusion_pipeline.encode.inputs import PRESENT
from fusion_pipeline.encode.points import BevRaster
from fusion_pipeline.operations import RunOnnx


@dataclass(frozen=True, slots=True, eq=False)
class NetworkStep:
    """Call it with the work; it returns the work with the network's outputs among the tensors."""

    stage: RunOnnx
    network: Network
    sources: Mapping[str, str]  # the network's input -> the pipeline's tensor
    outputs: Mapping[str, str]  # the network's output -> the pipeline's tensor
    senses: frozenset[str]  # which of PRESENT its inputs are made of
    per_view: bool  # once for each picture
    painter: Painter | None = None
    raster: BevRaster | None = None
    bev: str = ""  # the network's name of the painted raster

    def __call__(self, work: Work) -> Work:
        """Run once, or once for each view. Outputs with a NaN are named among what was skipped."""
        if self.per_view:
            return self._views(work)
        columns = [PRESENT.index(sense) for sense in PRESENT if sense in self.senses]
        if columns and not work.scene.present[0, columns].any():
            names = " or ".join(PRESENT[column] for column in columns)
            return replace(work, skipped=(*work.skipped, f"{self.stage.file}: skipped, nothing from {names}"))
        inputs = self._fitted(work.tensors)
        painter, raster = self.painter, self.raster
        there = painter is not None and raster is not None and painter.paint(work.scene, raster, inputs[self.bev])
        if self.stage.fusion == "early" and there:  # without paint the camera says what it can in another way
            inputs = without_camera(inputs)
        if self.stage.fusion == "late":
            alone = [self.network(part) for part in senses_apart(inputs)]
            found = fused_late(*alone) if len(alone) == 2 else alone[0]
        else:
            found = self.network(inputs)
        if painter is not None:
            washed(inputs[self.bev])
            painter.keep(work.scene, found["cam_seg"])
        work = replace(work, skipped=work.skipped + self._not_finite(found.items()))
        return work.with_tensors({self.outputs[name]: array for name, array in found.items()})

    def _views(self, work: Work) -> Work:
        views = []
        everything: list[tuple[str, Array]] = []
        for view in work.views:
            found = self.network(self._fitted({**work.tensors, **view.tensors}))
            everything += found.items()
            tensors = {**view.tensors, **{self.outputs[name]: array for name, array in found.items()}}
            views.append(replace(view, tensors=tensors))
        return replace(work, views=tuple(views), skipped=work.skipped + self._not_finite(everything))

    def _fitted(self, tensors: Mapping[str, Array]) -> dict[str, Array]:
        """The network's inputs; floats in the width that it declares."""
        inputs = {name: tensors[source] for name, source in self.sources.items()}
        for spec in self.network.inputs:
            array = inputs[spec.name]
            if array.dtype != spec.dtype and array.dtype.kind == "f" and np.dtype(spec.dtype).kind == "f":
                inputs[spec.name] = array.astype(spec.dtype)
        return inputs

    def _not_finite(self, found: Iterable[tuple[str, Array]]) -> tuple[str, ...]:
        broken = {name for name, array in found if array.dtype.kind == "f" and np.isnan(array).any()}
        return tuple(f"{self.stage.file}: output {name!r} holds NaN" for name in sorted(broken))
