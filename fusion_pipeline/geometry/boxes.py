"""Upright boxes: corners, and how much two of them overlap, seen from above and in space."""

from __future__ import annotations

import numba as nb
import numpy as np

from fusion_pipeline.arrays import Array, Doubles, require_shape


def bev_corners(boxes: Array) -> Doubles:
    """(N, 4, 2) corners seen from above, counter-clockwise from front left, of boxes (N, 7) x y z l w h yaw."""
    require_shape("boxes", boxes, None, 7)
    rows = np.asarray(boxes, np.float64)
    x = np.asarray([0.5, -0.5, -0.5, 0.5]) * rows[:, 3:4]
    y = np.asarray([0.5, 0.5, -0.5, -0.5]) * rows[:, 4:5]
    c, s = np.cos(rows[:, 6:7]), np.sin(rows[:, 6:7])
    corners: Doubles = np.stack([rows[:, 0:1] + c * x - s * y, rows[:, 1:2] + s * x + c * y], axis=2)
    return corners


def corners(boxes: Array) -> Doubles:
    """(N, 8, 3) corners of boxes (N, 7) x y z l w h yaw: the four below, then the four above."""
    flat = bev_corners(boxes)
    rows = np.asarray(boxes, np.float64)
    low, high = rows[:, 2] - rows[:, 5] / 2, rows[:, 2] + rows[:, 5] / 2
    faces = [np.concatenate([flat, np.broadcast_to(z[:, None, None], (len(rows), 4, 1))], axis=2) for z in (low, high)]
    return np.concatenate(faces, axis=1)


@nb.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _overlap(a: Doubles, b: Doubles) -> float:
    """Area common to two convex counter-clockwise polygons: Sutherland-Hodgman."""
    poly = np.empty((16, 2))
    next_poly = np.empty((16, 2))
    n = len(a)
    poly[:n] = a
    for i in range(len(b)):
        px, py = b[i, 0], b[i, 1]
        ex, ey = b[(i + 1) % len(b), 0] - px, b[(i + 1) % len(b), 1] - py
        m = 0
        for j in range(n):
            k = (j + 1) % n
            s0 = ex * (poly[j, 1] - py) - ey * (poly[j, 0] - px)
            s1 = ex * (poly[k, 1] - py) - ey * (poly[k, 0] - px)
            if s0 >= 0:
                next_poly[m] = poly[j]
                m += 1
            if (s0 >= 0) != (s1 >= 0):
                t = s0 / (s0 - s1)
                next_poly[m, 0] = poly[j, 0] + t * (poly[k, 0] - poly[j, 0])
                next_poly[m, 1] = poly[j, 1] + t * (poly[k, 1] - poly[j, 1])
                m += 1
        n = m
        if n == 0:
            return 0.0
        poly[:n] = next_poly[:n]
    area = 0.0
    for j in range(n):
        k = (j + 1) % n
        area += poly[j, 0] * poly[k, 1] - poly[k, 0] * poly[j, 1]
    return max(0.5 * area, 0.0)


@nb.njit(cache=True, nogil=True)  # type: ignore[untyped-decorator]
def _overlaps(a: Doubles, b: Doubles) -> Doubles:
    out = np.zeros((len(a), len(b)))
    for i in range(len(a)):
        for j in range(len(b)):
            out[i, j] = _overlap(a[i], b[j])
    return out


def bev_intersection(a: Array, b: Array) -> Doubles:
    """(N, M) square metres that boxes a (N, 7) and b (M, 7) share, seen from above."""
    return np.asarray(_overlaps(bev_corners(a), bev_corners(b)), np.float64)


def iou_bev(a: Array, b: Array) -> Doubles:
    """(N, M) intersection over union seen from above, of boxes (N, 7) and (M, 7) x y z l w h yaw."""
    both = bev_intersection(a, b)
    area_a, area_b = np.prod(a[:, 3:5], axis=1, dtype=np.float64), np.prod(b[:, 3:5], axis=1, dtype=np.float64)
    return np.asarray(both / np.maximum(area_a[:, None] + area_b[None] - both, 1e-9), np.float64)


def iou_3d(a: Array, b: Array) -> Doubles:
    """(N, M) intersection over union in space, of upright boxes (N, 7) and (M, 7) x y z l w h yaw."""
    top = np.minimum((a[:, 2] + a[:, 5] / 2)[:, None], (b[:, 2] + b[:, 5] / 2)[None])
    low = np.maximum((a[:, 2] - a[:, 5] / 2)[:, None], (b[:, 2] - b[:, 5] / 2)[None])
    both = bev_intersection(a, b) * np.maximum(top - low, 0.0)
    volume_a, volume_b = np.prod(a[:, 3:6], axis=1, dtype=np.float64), np.prod(b[:, 3:6], axis=1, dtype=np.float64)
    return np.asarray(both / np.maximum(volume_a[:, None] + volume_b[None] - both, 1e-9), np.float64)


def nms_bev(boxes: Array, scores: Array, iou: float) -> Array:
    """Rows of boxes (N, 7) to keep, best score first: none overlaps a better one by more than `iou` from above."""
    order = np.argsort(-scores, kind="stable")
    overlap = iou_bev(boxes[order], boxes[order])
    keep = np.ones(len(order), bool)
    for i in range(len(order)):
        if keep[i]:
            keep[i + 1 :] &= overlap[i, i + 1 :] <= iou
    return np.asarray(order[keep], np.int64)


def nms_sight(boxes: Array, std_m: Array, scores: Array, sigmas: float) -> Array:
    """Rows of boxes (N, 7) of one class to keep, best score first: one thing told at several depths is told once.

    None lies behind or before a better one by less than `sigmas` of that one's standard deviations `std_m` (N, 2) of x
    and y, as seen from the origin, and at the same time beside it by less than that one's width.
    """
    order = np.argsort(-scores, kind="stable")
    middles = np.asarray(boxes[order, :2], np.float64)
    sight = middles / np.maximum(np.linalg.norm(middles, axis=1, keepdims=True), 1e-9)
    reach = sigmas * np.hypot(*(sight * std_m[order]).T)
    apart = middles[None] - middles[:, None]  # (better, other, 2)
    along = np.abs((apart * sight[:, None]).sum(axis=2))
    beside = np.abs(apart[..., 0] * sight[:, None, 1] - apart[..., 1] * sight[:, None, 0])
    same = (along < reach[:, None]) & (beside < boxes[order, 4][:, None])
    keep = np.ones(len(order), bool)
    for i in range(len(order)):
        if keep[i]:
            keep[i + 1 :] &= ~same[i, i + 1 :]
    return np.asarray(order[keep], np.int64)
