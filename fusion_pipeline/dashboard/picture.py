"""One sensor set as one picture: boxes in the camera, the view from above, and the list of what was found."""

from __future__ import annotations

import numpy as np

from fusion_pipeline.arrays import Array, Bytes, require_dtype, require_shape
from fusion_pipeline.dashboard.canvas import PANEL, Canvas, Rect
from fusion_pipeline.dashboard.panels import draw_camera, draw_from_above, draw_list
from fusion_pipeline.messages import Detections, Tracks
from fusion_pipeline.rig import CameraMount

_GAP = 10
_CAMERA_WIDTH, _CAMERA_MAX_HEIGHT = 1060, 600
_ABOVE_WIDTH = 470
_LIST_MIN_HEIGHT = 330


def draw(
    frame: Bytes,
    points_m: Array,
    found: Tracks | Detections,
    camera: CameraMount,
    truth: Array | None = None,
    missed: Array | None = None,
) -> Bytes:
    """(H, W, 3) BGR picture of one set.

    `frame` is (h, w, 3) BGR from `camera`, `points_m` (N, 3) in the vehicle frame, `truth` (M, 7) boxes x y z length
    width height yaw, drawn as thin white outlines, `missed` (K, 7) those in red. Raises ValueError for
    arrays of another shape.
    """
    require_shape("frame", frame, None, None, 3)
    require_dtype("frame", frame, np.uint8)
    require_shape("points_m", points_m, None, 3)
    for name, rows in (("truth", truth), ("missed", missed)):
        if rows is not None:
            require_shape(name, rows, None, 7)
    height, width = frame.shape[:2]
    shrink = min(_CAMERA_WIDTH / width, _CAMERA_MAX_HEIGHT / height)
    shown = Rect(_GAP, _GAP, round(width * shrink), round(height * shrink))
    left_width, whole_height = _CAMERA_WIDTH, round(shown.height) + _LIST_MIN_HEIGHT + 3 * _GAP
    canvas = Canvas(left_width + _ABOVE_WIDTH + 3 * _GAP, whole_height)
    beside = Rect(left_width + 2 * _GAP, _GAP, _ABOVE_WIDTH, whole_height - 2 * _GAP)
    below = Rect(_GAP, shown.height + 2 * _GAP, left_width, _LIST_MIN_HEIGHT)
    centred = Rect(_GAP + (left_width - shown.width) // 2, _GAP, shown.width, shown.height)
    for where in (beside, below):
        canvas.rect(where, PANEL)
    draw_camera(canvas.clip(centred), frame, found, camera, truth, missed)
    draw_from_above(canvas.clip(beside), points_m, found, camera, truth, missed)
    draw_list(canvas.clip(below), len(points_m), found)
    return canvas.image()
