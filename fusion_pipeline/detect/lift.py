"""2-D boxes to boxes in the vehicle frame, by the LiDAR points that are seen inside them (late fusion).

Frustum PointNets (Qi et al. 2018) without the networks: the nearest dense cluster of points in a box is the object; its
outline from above gives the heading (L-shape fit by closeness, Zhang et al. 2017), the class its usual size, and the
side that the sensor sees is where the box begins.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fusion_pipeline.arrays import Array, Doubles, Floats
from fusion_pipeline.detect.work import View, Work
from fusion_pipeline.messages import Boxes
from fusion_pipeline.operations import LiftToBoxes
from fusion_pipeline.rig import CameraMount

TRIM_SIDES, TRIM_TOP, TRIM_BOTTOM = 0.1, 0.05, 0.15  # of the 2-D box: background at the edges, road at the foot
GAP_M, GAP_PER_M = 0.6, 0.01  # a wider gap in range parts two clusters
CLUSTER_SHARE = 0.15  # of the points in the box; fewer are a pole or a leaf in front of the object
GROUND_RADIUS_M = 4.0
GROUND_CLEARANCE_M = 0.2
HEADING_MIN_POINTS = 10
HEADING_STEPS = 45  # of 2 degrees
LONG = 1.5  # length over width from which the outline tells the heading
UNKNOWN_SPEED_MPS = 10.0


@dataclass(frozen=True, slots=True, eq=False)
class _Sight:
    """The points that one camera sees."""

    points_m: Doubles  # (N, 3) vehicle frame
    pixels: Doubles  # (N, 2)


class Lifter:
    """All views' 2-D boxes to boxes; those without enough points are left out, for their distance is not known."""

    def __init__(self, options: LiftToBoxes, classes: tuple[str, ...]) -> None:
        """Raises KeyError for a class without a usual size."""
        self._options = options
        self._sizes = np.array([options.sizes[name] for name in classes], np.float64)

    def __call__(self, work: Work) -> Boxes:
        """(N,) boxes on the ground; velocity unknown. Attribution as the manifest says (documented there)."""
        rows: list[Doubles] = []
        scores: list[float] = []
        labels: list[int] = []
        for view in work.views:
            if len(view.boxes.scores) == 0 or len(work.scene.points_m) == 0:
                continue
            sight = _seen(work.scene.points_m, view)
            for corners, score, label in zip(view.boxes.corners_px, view.boxes.scores, view.boxes.labels, strict=True):
                row = self._lift(sight, view.picture.mount, corners, self._sizes[label])
                if row is not None:
                    rows.append(row)
                    scores.append(float(score))
                    labels.append(int(label))
        return self._boxes(np.array(rows).reshape(-1, 15), scores, labels)

    def _boxes(self, rows: Doubles, scores: list[float], labels: list[int]) -> Boxes:
        n = len(rows)
        return Boxes(
            centers_m=rows[:, :3].astype(np.float32),
            sizes_m=rows[:, 3:6].astype(np.float32),
            yaws_rad=rows[:, 6].astype(np.float32),
            velocities_mps=np.zeros((n, 2), np.float32),
            scores=np.array(scores, np.float32),
            labels=np.array(labels, np.int64),
            std=rows[:, 7:15].astype(np.float32),
            attribution=np.tile(np.array(self._options.attribution, np.float32), (n, 1)),
            track_ids=np.full(n, -1, np.int64),
        )

    def _lift(self, sight: _Sight, mount: CameraMount, corners: Doubles, size: Doubles) -> Doubles | None:
        """x y z length width height yaw and their 8 standard deviations; None where too few points tell."""
        eye = mount.vehicle_from_sensor.translation_m
        cluster = _foreground(sight, corners, eye, float(np.hypot(size[0], size[1])), self._options.min_points)
        if len(cluster) < self._options.min_points:
            return None
        ground = _ground_near(sight.points_m, cluster)
        standing = cluster[cluster[:, 2] > ground + GROUND_CLEARANCE_M]
        cluster = standing if len(standing) >= self._options.min_points else cluster
        left, right = _bearings(mount, corners)
        distance = float(np.median(np.hypot(*(cluster[:, :2] - eye[:2]).T)))
        yaw, told = _heading(cluster[:, :2], size, eye[:2], left, right, distance)
        center, length_width = _place(cluster[:, :2], size, yaw, eye[:2], (left + right) / 2)
        top = float(np.percentile(cluster[:, 2], 98)) - ground
        height = float(np.clip(top, 0.75 * size[2], 1.3 * size[2]))
        return np.concatenate(
            [center, [ground + height / 2], length_width, [height, yaw], _spread(size, distance, told)]
        )


def _seen(points: Floats, view: View) -> _Sight:
    """The points inside the picture, with their pixels."""
    mount = view.picture.mount
    optical = mount.vehicle_from_sensor.inverse().apply(points)
    before = np.flatnonzero(optical[:, 2] > 0.5)
    pixels, inside = mount.model.project(optical[before])
    return _Sight(points[before[inside]].astype(np.float64), pixels[inside])


def _foreground(sight: _Sight, corners: Doubles, eye: Doubles, diagonal: float, least: int) -> Doubles:
    """(M, 3) the nearest cluster in range that has a fair share of the points in the box."""
    x1, y1, x2, y2 = corners
    side, height = TRIM_SIDES * (x2 - x1), y2 - y1
    u, v = sight.pixels.T
    inside = (u > x1 + side) & (u < x2 - side) & (v > y1 + TRIM_TOP * height) & (v < y2 - TRIM_BOTTOM * height)
    points = sight.points_m[inside]
    if len(points) < least:
        return np.asarray(points[:0])
    ranges = np.hypot(*(points[:, :2] - eye[:2]).T)
    order = np.argsort(ranges)
    points, ranges = points[order], ranges[order]
    ends = np.append(np.flatnonzero(np.diff(ranges) > GAP_M + GAP_PER_M * ranges[:-1]) + 1, len(ranges))
    starts = np.append(0, ends[:-1])
    enough = np.flatnonzero(ends - starts >= max(least, CLUSTER_SHARE * len(ranges)))
    if len(enough) == 0:
        return np.asarray(points[:0])
    first, last = starts[enough[0]], ends[enough[0]]
    near = ranges[first:last] < ranges[first] + 1.2 * diagonal
    return np.asarray(points[first:last][near])


def _ground_near(points: Doubles, cluster: Doubles) -> float:
    """z of the ground around the cluster, by the lowest twentieth of what is seen there; at most a 5 % slope off."""
    middle = np.median(cluster[:, :2], axis=0)
    offsets = points[:, :2] - middle
    around = points[(np.abs(offsets) < GROUND_RADIUS_M).all(axis=1), 2]
    limit = 0.3 + 0.05 * float(np.hypot(*middle))
    return float(np.clip(np.percentile(around, 5) if len(around) else 0.0, -limit, limit))


def _bearings(mount: CameraMount, corners: Doubles) -> tuple[float, float]:
    """Directions in the vehicle frame, from the camera, of the middles of the box's left and right edges."""
    y = (corners[1] + corners[3]) / 2
    rays = mount.model.rays(np.array([[corners[0], y], [corners[2], y]])) @ mount.vehicle_from_sensor.rotation.T
    left, right = np.arctan2(rays[:, 1], rays[:, 0])
    return float(left), float(left + np.angle(np.exp(1j * (right - left))))


def _heading(
    outline: Doubles, size: Doubles, eye: Doubles, left: float, right: float, distance: float
) -> tuple[float, bool]:
    """Yaw of the length axis, -pi/2 to pi/2, and whether the outline told it (else it is along or across the vehicle).

    Of the two axes of the L-shape that one is the length with which the box would look as wide as the 2-D box.
    """
    told = size[0] / size[1] >= LONG and len(outline) >= HEADING_MIN_POINTS
    base = _closeness_angle(outline) if told else 0.0
    seen_width = abs(left - right) * distance
    bearing = (left + right) / 2
    best, best_cost = base, np.inf
    for yaw in (base, base + np.pi / 2):
        turn = yaw - bearing
        apparent = size[0] * abs(np.sin(turn)) + size[1] * abs(np.cos(turn))
        axes = _axes(yaw)
        extents = np.ptp(outline @ axes.T, axis=0)
        overflow = np.clip(extents - size[:2], 0, None).sum()
        cost = abs(apparent - seen_width) + overflow
        if cost < best_cost:
            best, best_cost = yaw, cost
    return float((best + np.pi / 2) % np.pi - np.pi / 2), told


def _closeness_angle(outline: Doubles) -> float:
    """The angle in 0 to pi/2 whose rectangle has the points closest to its edges (Zhang et al. 2017, criterion 2)."""
    angles = np.arange(HEADING_STEPS) * (np.pi / 2 / HEADING_STEPS)
    sample = outline[:: max(1, len(outline) // 200)]
    along = sample @ np.stack([np.cos(angles), np.sin(angles)])  # (M, A)
    across = sample @ np.stack([-np.sin(angles), np.cos(angles)])
    edge = np.minimum(_to_edge(along), _to_edge(across))
    return float(angles[np.argmax((1 / np.maximum(edge, 0.05)).sum(axis=0))])


def _to_edge(along: Array) -> Array:
    return np.asarray(np.minimum(along - along.min(axis=0), along.max(axis=0) - along))


def _place(outline: Doubles, size: Doubles, yaw: float, eye: Doubles, bearing: float) -> tuple[Doubles, Doubles]:
    """(2,) middle and (2,) length and width of the box around the outline, grown away from the sensor."""
    axes = _axes(yaw)
    along = outline @ axes.T
    low, high = np.percentile(along, 2, axis=0), np.percentile(along, 98, axis=0)
    grown = np.clip(high - low, size[:2], 1.3 * size[:2])
    sensor = axes @ eye
    middle = (low + high) / 2
    middle = np.where(sensor < low, np.minimum(low + grown / 2, middle + grown), middle)
    middle = np.where(sensor > high, np.maximum(high - grown / 2, middle - grown), middle)
    center = axes.T @ middle
    # Across the line of sight the 2-D box knows better than a face that is seen in part: meet half-way.
    across = np.array([-np.sin(bearing), np.cos(bearing)])
    return center - 0.5 * across * float((center - eye) @ across), grown


def _axes(yaw: float) -> Doubles:
    """(2, 2) unit vectors along and across the box."""
    return np.array([[np.cos(yaw), np.sin(yaw)], [-np.sin(yaw), np.cos(yaw)]])


def _spread(size: Doubles, distance: float, told: bool) -> Doubles:
    """(8,) standard deviations as STD_COLUMNS; sizes are guesses by class, and with them where the far side lies."""
    place = 0.3 + 0.01 * distance + 0.1 * size[0]
    heading = 0.2 if told else 0.8
    return np.array([place, place, 0.2, 0.15 * size[0], 0.1 * size[1], 0.1 * size[2], heading, UNKNOWN_SPEED_MPS])
