"""What a model finds in one labelled frame, as numbers beside the truth."""

from __future__ import annotations

import difflib
from collections.abc import Sequence

import numpy as np

from fusion_pipeline.arrays import Array
from fusion_pipeline.evaluate.kitti_frames import EvaluationError, LabelledFrame
from fusion_pipeline.evaluate.kitti_judge import SURE, Judged
from fusion_pipeline.geometry.boxes import iou_3d, iou_bev

HEAD = ("found", "score", "range m", "x y z m", "l w h m", "yaw deg", "sigma x y z m", "LiDAR camera audio %",
        "labelled", "IoU BEV 3D", "off x y z m")  # fmt: skip
LEAST_OVERLAP = 0.2  # from above, of a finding and a truth that are shown in one row


def named(frames: Sequence[LabelledFrame], name: str) -> LabelledFrame:
    """The frame called `name`, in full or by its number. Raises EvaluationError."""
    number = name.rpartition("/")[2].lstrip("0") or "0"
    whole = [frame for frame in frames if frame.name == name]
    alike = [
        frame for frame in frames if "/" not in name and (frame.name.rpartition("/")[2].lstrip("0") or "0") == number
    ]
    found = whole or alike
    if not found:
        names = [frame.name for frame in frames]
        near = difflib.get_close_matches(name, names, n=3, cutoff=0.3) or names[:3]
        raise EvaluationError(
            f"no labelled frame is called {name!r}; there are {len(names)}, such as {', '.join(near)}"
        )
    if len(found) > 1:
        raise EvaluationError(f"{name!r} fits {', '.join(frame.name for frame in found)}; write one of them")
    return found[0]


def table(item: Judged, least: float = SURE) -> list[tuple[str, ...]]:
    """HEAD, then a row of texts for each finding at or above `least` in the picture, the nearest first, then for each
    truth that was not found.
    """
    truth, rows = item.frame.truth, list[tuple[str, ...]]([HEAD])
    boxes, values = item.boxes, item.found.boxes
    bev, space = iou_bev(boxes, truth.boxes), iou_3d(boxes, truth.boxes)
    pairs = _paired(bev * (values.scores >= least)[:, None])
    for i in np.argsort(np.hypot(boxes[:, 0], boxes[:, 1]), kind="stable"):
        if values.scores[i] < least:
            continue
        beside = ("", "", "")
        if i in pairs:
            k = pairs[int(i)]
            beside = (
                truth.kinds[k],
                f"{bev[i, k]:.2f} {space[i, k]:.2f}",
                _row(boxes[i, :3] - truth.boxes[k, :3], "+.2f"),
            )
        shares = " ".join(f"{100 * share:.0f}" for share in values.attribution[i])
        rows.append((item.found.class_names[int(values.labels[i])], f"{values.scores[i]:.2f}", *_box(boxes[i]),
                     _row(values.std[i, :3], ".2f"), shares, *beside))  # fmt: skip
    taken = set(pairs.values())
    for k in np.argsort(np.hypot(truth.boxes[:, 0], truth.boxes[:, 1]), kind="stable"):
        if int(k) not in taken:
            rows.append(("not found", "", *_box(truth.boxes[k]), "", "", truth.kinds[k], "", ""))
    return rows


def as_text(item: Judged, least: float = SURE, markdown: bool = False) -> str:
    """The table in columns, or as Markdown."""
    rows = table(item, least)
    if markdown:
        lines = ["| " + " | ".join(row) + " |" for row in rows]
        return "\n".join([lines[0], "|---" * len(HEAD) + "|", *lines[1:]]) + "\n"
    widths = [max(len(row[k]) for row in rows) for k in range(len(HEAD))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return "\n".join(lines) + "\n"


def _paired(overlap: Array) -> dict[int, int]:
    """The truth of each finding: greatest overlaps first, each truth once."""
    pairs: dict[int, int] = {}
    if not overlap.size:
        return pairs
    left = overlap.copy()
    while left.max() >= LEAST_OVERLAP:
        i, k = (int(part) for part in np.unravel_index(left.argmax(), left.shape))
        pairs[i] = k
        left[i], left[:, k] = 0, 0
    return pairs


def _box(box: Array) -> tuple[str, ...]:
    return (f"{np.hypot(box[0], box[1]):.1f}", _row(box[:3], ".2f"), _row(box[3:6], ".2f"),
            f"{np.degrees(np.angle(np.exp(1j * box[6]))):.1f}")  # fmt: skip


def _row(values: Array, form: str) -> str:
    return " ".join(format(float(value), form) for value in values)
