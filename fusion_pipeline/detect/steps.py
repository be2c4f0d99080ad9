"""What single stages of a manifest do with the work in hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from fusion_pipeline.arrays import Array
from fusion_pipeline.detect.network import ModelError
from fusion_pipeline.detect.work import Work
from fusion_pipeline.encode.audio import AZIMUTHS, BANDS, QUIET_DB, STEPS
from fusion_pipeline.encode.image import prepare
from fusion_pipeline.encode.inputs import PRESENT
from fusion_pipeline.encode.points import BevRaster
from fusion_pipeline.encode.sweeps import Sweeps
from fusion_pipeline.messages import Boxes
from fusion_pipeline.operations import BevRasterize, ImageResize, Srp
from fusion_pipeline.rig import Rig


def empty(work: Work) -> Work:
    """The work without a box. Raises ModelError where no skipped network explains why `scores` is absent."""
    if not work.skipped:
        raise ModelError(f"decode_center wants a tensor 'scores'; made: {', '.join(sorted(work.tensors))}")
    return replace(work, boxes=Boxes.empty())


def resized(work: Work, stage: ImageResize) -> Work:
    """Each view with its picture as a tensor."""
    views = []
    for view in work.views:
        tensor, fit = prepare(view.picture.pixels, stage)
        views.append(replace(view, tensors={**view.tensors, stage.out: tensor[None]}, fit=fit))
    return replace(work, views=tuple(views))


def stacked(work: Work, stage: ImageResize, rig: Rig) -> Work:
    """One tensor of all pictures in the rig's order; zeros for a camera that is silent."""
    order = list(rig.cameras)[: stage.cameras or None]
    picture = (stage.height, stage.width, 3) if stage.layout == "nhwc" else (3, stage.height, stage.width)
    rows = np.zeros((stage.cameras or max(1, len(order)), *picture), stage.dtype or np.float32)
    for view in work.views:
        if view.picture.source not in order:
            continue
        rows[order.index(view.picture.source)] = prepare(view.picture.pixels, stage)[0]
    return work.with_tensors({stage.out: rows})


def rastered(work: Work, stage: BevRasterize, raster: BevRaster, sweeps: Sweeps) -> Work:
    """The raster, and the ground under it."""
    scene = work.scene
    if not stage.sweeps:
        tensors = {stage.out: raster(scene.points_m, scene.intensity)}
    else:
        before = sweeps(scene.instant_ns, scene.points_m, scene.egos)[: stage.sweeps]
        present = work.tensors["present"].copy()
        present[0, PRESENT.index("sweeps")] = bool(before) and bool(present[0, 0])
        tensors = {stage.out: raster(scene.points_m, scene.intensity, before), "present": present}
    return replace(work.with_tensors(tensors), ground=raster.ground_at)


def steered(work: Work, stage: Srp) -> dict[str, Array]:
    """Response and level of the first array; silence without one."""
    responses = work.scene.responses
    if not responses:
        silence = np.full((1, BANDS, STEPS), QUIET_DB, np.float32)
        return {stage.out: np.zeros((1, BANDS, STEPS, AZIMUTHS), np.float32), stage.level_out: silence}
    return {stage.out: responses[0].srp, stage.level_out: responses[0].level_db[None]}
