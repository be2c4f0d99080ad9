"""The outputs of a centre-head network as boxes in the vehicle frame."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from fusion_pipeline.arrays import Floats
from fusion_pipeline.detect.network import ModelError
from fusion_pipeline.detect.work import Work
from fusion_pipeline.messages import Boxes
from fusion_pipeline.operations import DecodeCenter

COLUMNS = ("x", "y", "z", "l", "w", "h", "sin", "cos", "vx", "vy")


class CenterDecoder:
    """Tensors `scores`, `labels`, `boxes`, and where given `iou`, `std`, `attr`, to boxes."""

    def __init__(self, options: DecodeCenter, classes: tuple[str, ...], min_score: float) -> None:
        self._options, self._classes, self._min_score = options, len(classes), min_score

    def __call__(self, work: Work) -> Boxes:
        """Boxes at or above the least score, best first. Rows with a NaN, a size of 0 or an unknown label are dropped.

        Raises ModelError for tensors of the wrong shape.
        """
        tensors = work.tensors
        scores = np.asarray(tensors["scores"], np.float32).reshape(-1)
        n = len(scores)
        labels = np.asarray(tensors["labels"], np.int64).reshape(-1)
        rows = np.asarray(tensors["boxes"], np.float32).reshape(-1, np.shape(tensors["boxes"])[-1])
        if len(labels) != n or rows.shape != (n, len(COLUMNS)):
            raise ModelError(
                f"decode_center wants labels ({n},) and boxes ({n}, {len(COLUMNS)}: {' '.join(COLUMNS)}), "
                f"the network gives {labels.shape} and {rows.shape}"
            )
        if "iou" in tensors:
            weight = self._options.iou_weight
            iou = np.clip(np.asarray(tensors["iou"], np.float32).reshape(-1), 0, 1)
            scores = np.power(np.clip(scores, 0, 1), 1 - weight) * np.power(iou, weight)
        std = np.asarray(tensors["std"], np.float32).reshape(n, 8) if "std" in tensors else np.zeros((n, 8), np.float32)
        shares = np.tile(np.asarray(self._options.attribution, np.float32), (n, 1))
        if "attr" in tensors:
            shares = np.asarray(tensors["attr"], np.float32).reshape(n, 3)
        with np.errstate(invalid="ignore"):
            good = (
                (scores >= self._min_score) & np.isfinite(rows).all(axis=1) & (rows[:, 3:6] > 0).all(axis=1)
                & (labels >= 0) & (labels < self._classes)
            )  # fmt: skip
        keep = np.flatnonzero(good)
        keep = keep[np.argsort(-scores[keep], kind="stable")]
        rows = rows[keep]
        centers = rows[:, :3].copy()
        if self._options.z == "local_ground":
            centers[:, 2] += work.ground(centers[:, :2])
        return Boxes(
            centers_m=centers,
            sizes_m=rows[:, 3:6].copy(),
            yaws_rad=np.arctan2(rows[:, 6], rows[:, 7]).astype(np.float32),
            velocities_mps=rows[:, 8:10].copy(),
            scores=np.clip(scores[keep], 0, 1).astype(np.float32),
            labels=labels[keep],
            std=std[keep],
            attribution=shares[keep],
            track_ids=np.full(len(keep), -1, np.int64),
        )


def attributed(boxes: Boxes, present: Floats) -> Boxes:
    """The boxes with shares that sum to 1 and are exactly 0 for absent sensors.

    `present` holds at least three 0 or 1: lidar, camera, audio. A box all of whose evidence is absent is dropped.
    """
    shares = np.clip(np.nan_to_num(boxes.attribution), 0, None) * (np.asarray(present[:3]) > 0)
    total = shares.sum(axis=1)
    keep = np.flatnonzero(total > 1e-6)
    fair = (shares[keep] / total[keep, None]).astype(np.float32)
    return replace(boxes.take(keep), attribution=fair)
