"""Labels: what people, or a simulator, say was truly there at an instant. One form for every data set."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fusion_pipeline.arrays import Array, Floats, Ints, require_dtype, require_shape
from fusion_pipeline.messages import Boxes, Header, Tracks

LABELS = "labels"  # source of their headers


@dataclass(frozen=True, slots=True)
class Labels:
    """N labelled boxes in the vehicle frame at `header.capture_ns`; scores 1, `track_ids` -1 where there are none."""

    header: Header
    class_names: tuple[str, ...]  # of the data set, as it spells them
    boxes: Boxes
    visible: Floats  # (N,) share of the object in sight, 0 to 1; 1 where the data set does not say
    points: Ints  # (N,) LiDAR points in the box; -1 where the data set does not say

    def __post_init__(self) -> None:
        n = len(self.boxes)
        require_shape("labels.visible", self.visible, n)
        require_dtype("labels.visible", self.visible, np.float32)
        require_shape("labels.points", self.points, n)
        require_dtype("labels.points", self.points, np.int64)

    def tracks(self) -> Tracks:
        """As tracks, which everything that draws, writes or compares results takes."""
        return Tracks(self.header, self.class_names, self.boxes)


def labelled(
    stamp_ns: int,
    rows: Array | list[list[float]],
    names: list[str],
    class_names: tuple[str, ...],
    track_ids: list[int] | None = None,
    velocities_mps: Array | None = None,
    visible: list[float] | None = None,
    points: list[int] | None = None,
) -> Labels:
    """From (N, 7) vehicle-frame rows x y z length width height yaw and the name of each row's class.

    A name that `class_names` lacks is put behind them. Raises ValueError where the counts differ.
    """
    table = np.asarray(rows, np.float32).reshape(-1, 7)
    n = len(table)
    if len(names) != n:
        raise ValueError(f"{len(names)} names for {n} boxes")
    known = list(class_names)
    known += [name for name in dict.fromkeys(names) if name not in known]
    boxes = Boxes(
        centers_m=np.ascontiguousarray(table[:, :3]),
        sizes_m=np.ascontiguousarray(table[:, 3:6]),
        yaws_rad=np.ascontiguousarray(table[:, 6]),
        velocities_mps=np.zeros((n, 2), np.float32)
        if velocities_mps is None
        else np.asarray(velocities_mps, np.float32),
        scores=np.ones(n, np.float32),
        labels=np.asarray([known.index(name) for name in names], np.int64),
        std=np.zeros((n, 8), np.float32),
        attribution=np.full((n, 3), 1 / 3, np.float32),
        track_ids=np.full(n, -1, np.int64) if track_ids is None else np.asarray(track_ids, np.int64),
    )
    return Labels(
        Header(LABELS, stamp_ns, stamp_ns), tuple(known), boxes,
        np.ones(n, np.float32) if visible is None else np.asarray(visible, np.float32),
        np.full(n, -1, np.int64) if points is None else np.asarray(points, np.int64),
    )  # fmt: skip
