"""Of boxes that overlap the best stays."""

from __future__ import annotations

import numpy as np

from fusion_pipeline.arrays import Doubles, Ints
from fusion_pipeline.detect.work import Boxes2d
from fusion_pipeline.geometry.boxes import nms_bev
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
    """The boxes whose outlines from above overlap no better one's by more than `options.iou`, best first."""
    if len(boxes) == 0:
        return boxes
    rows = np.concatenate([boxes.centers_m, boxes.sizes_m, boxes.yaws_rad[:, None]], axis=1)
    groups: list[Ints] = [np.arange(len(boxes))]
    if not options.across_classes:
        groups = [np.flatnonzero(boxes.labels == label) for label in np.unique(boxes.labels)]
    kept = np.concatenate([group[nms_bev(rows[group], boxes.scores[group], options.iou)] for group in groups])
    best = kept[np.argsort(-boxes.scores[kept], kind="stable")]
    return boxes.take(best[: options.top])


def _iou_2d(box: Doubles, others: Doubles) -> Doubles:
    low, high = np.maximum(box[:2], others[:, :2]), np.minimum(box[2:], others[:, 2:])
    both = np.prod(np.clip(high - low, 0, None), axis=1)
    area, areas = np.prod(box[2:] - box[:2]), np.prod(others[:, 2:] - others[:, :2], axis=1)
    return np.asarray(both / np.maximum(area + areas - both, 1e-9), np.float64)
