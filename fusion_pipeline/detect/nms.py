"""Of boxes that overlap the best stays."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from fusion_pipeline.arrays import Array, Doubles, Ints
from fusion_pipeline.detect.work import Boxes2d
from fusion_pipeline.geometry.boxes import nms_bev, nms_sight
from fusion_pipeline.messages import Boxes
from fusion_pipeline.operations import Nms2d, NmsBev

MOST = 300  # 2-D candidates that are looked at, best first


def suppressed_2d(boxes: Boxes2d, options: Nms2d) -> Boxes2d:
    """The boxes that overlap no better one by more than `options.iou`, best first."""
    order = np.argsort(-boxes.scores, kind="stable")[:MOST]
    kept: list[int] = []
    for row in order:
        others = [k for k in kept if options.across_classes or boxes.labels[k] == boxes.labels[row]]
        if not others or _iou_2d(boxes.corners_px[row], boxes.corners_px[others]).max() <= options.iou:
            kept.append(int(row))
    return boxes.take(np.asarray(kept, np.int64))


def suppressed_bev(boxes: Boxes, options: NmsBev) -> Boxes:
    """What `kept_bev` keeps of them."""
    rows = np.concatenate([boxes.centers_m, boxes.sizes_m, boxes.yaws_rad[:, None]], axis=1)
    return boxes.take(kept_bev(rows, boxes.std[:, :2], boxes.scores, boxes.labels, options))


def kept_bev(rows: Array, std_m: Array, scores: Array, labels: Array, options: NmsBev) -> Ints:
    """Of boxes (N, 7) those whose outlines from above overlap no better one's by more than `options.iou`, best first.

    With `options.sigmas`, of those of a class that lie in one line of sight and may be one thing the best stays.
    `std_m` (N, 2) are standard deviations of x and y.
    """
    kept: Ints = np.arange(len(rows))
    groups = [kept] if options.across_classes else _of_classes(labels, kept)
    kept = _joined(group[nms_bev(rows[group], scores[group], options.iou)] for group in groups)
    if options.sigmas > 0:
        kept = _joined(
            group[nms_sight(rows[group], std_m[group], scores[group], options.sigmas)]
            for group in _of_classes(labels, kept)
        )
    return kept[np.argsort(-scores[kept], kind="stable")][: options.top]


def _joined(groups: Iterable[Ints]) -> Ints:
    return np.concatenate([np.zeros(0, np.int64), *groups])


def _of_classes(labels: Array, rows: Ints) -> list[Ints]:
    return [rows[labels[rows] == label] for label in np.unique(labels[rows])]


def _iou_2d(box: Doubles, others: Doubles) -> Doubles:
    low, high = np.maximum(box[:2], others[:, :2]), np.minimum(box[2:], others[:, 2:])
    both = np.prod(np.clip(high - low, 0, None), axis=1)
    area, areas = np.prod(box[2:] - box[:2]), np.prod(others[:, 2:] - others[:, :2], axis=1)
    return np.asarray(both / np.maximum(area + areas - both, 1e-9), np.float64)
