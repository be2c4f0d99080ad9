"""Triangles with a material each, and the shapes they are made of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fusion_pipeline.arrays import Doubles, Floats, require_shape
from fusion_pipeline.world.materials import Material


@dataclass(frozen=True, slots=True, eq=False)
class Mesh:
    """V vertices, T triangles."""

    vertices_m: Floats  # (V, 3)
    triangles: NDArray[np.uint32]  # (T, 3) rows of vertices_m
    materials: NDArray[np.uint8]  # (T,) Material of each triangle

    def __post_init__(self) -> None:
        require_shape("vertices_m", self.vertices_m, None, 3)
        require_shape("triangles", self.triangles, None, 3)
        require_shape("materials", self.materials, len(self.triangles))

    @classmethod
    def join(cls, meshes: Sequence[Mesh]) -> Self:
        """All of them as one."""
        starts = np.cumsum([0] + [len(m.vertices_m) for m in meshes])
        return cls(
            np.concatenate([np.zeros((0, 3), np.float32)] + [m.vertices_m for m in meshes]),
            np.concatenate(
                [np.zeros((0, 3), np.uint32)]
                + [m.triangles + np.uint32(s) for m, s in zip(meshes, starts, strict=False)]
            ),
            np.concatenate([np.zeros(0, np.uint8)] + [m.materials for m in meshes]),
        )

    def placed(self, at_m: ArrayLike, yaw_rad: float = 0.0) -> Mesh:
        """Turned about z by `yaw_rad`, then moved by `at_m` (3,)."""
        c, s = np.cos(yaw_rad), np.sin(yaw_rad)
        turn = np.asarray([[c, -s, 0], [s, c, 0], [0, 0, 1]], np.float64)
        moved = self.vertices_m @ turn.T + np.asarray(at_m, np.float64)
        return Mesh(moved.astype(np.float32), self.triangles, self.materials)


def hexahedron(corners_m: ArrayLike, materials: Sequence[Material]) -> Mesh:
    """A box-like body of 8 corners: 4 below (counter-clockwise from above), then 4 above; faces

    bottom, top, 0-1, 1-2, 2-3, 3-0 take the six `materials`.
    """
    quads = ((0, 3, 2, 1), (4, 5, 6, 7), (0, 1, 5, 4), (1, 2, 6, 5), (2, 3, 7, 6), (3, 0, 4, 7))
    triangles = [t for a, b, c, d in quads for t in ((a, b, c), (a, c, d))]
    return Mesh(
        np.asarray(corners_m, np.float32).reshape(8, 3),
        np.asarray(triangles, np.uint32),
        np.repeat(np.asarray([int(m) for m in materials], np.uint8), 2),
    )


def block(size_m: Sequence[float] | Doubles, at_m: ArrayLike, material: Material, yaw_rad: float = 0.0) -> Mesh:
    """An upright box of length, width, height, standing with the middle of its bottom at `at_m`."""
    return frustum(size_m[0], size_m[1], size_m[0], size_m[1], size_m[2], (material,) * 6).placed(at_m, yaw_rad)


def frustum(
    length0: float, width0: float, length1: float, width1: float, height: float, materials: Sequence[Material]
) -> Mesh:
    """Between rectangles about the z axis at z = 0 and z = height; faces bottom, top, right, front, left, back."""
    signs = np.asarray([[-1, -1], [1, -1], [1, 1], [-1, 1]]) / 2
    low = np.column_stack([signs * [length0, width0], np.zeros(4)])
    high = np.column_stack([signs * [length1, width1], np.full(4, height)])
    return hexahedron(np.vstack([low, high]), materials)


def cylinder(radius0: float, radius1: float, height: float, material: Material, sides: int = 8) -> Mesh:
    """Upright on z = 0, open below, closed above."""
    angle = np.arange(sides) * 2 * np.pi / sides
    ring = np.column_stack([np.cos(angle), np.sin(angle)])
    low = np.column_stack([ring * radius0, np.zeros(sides)])
    high = np.column_stack([ring * radius1, np.full(sides, height)])
    i, j = np.arange(sides), (np.arange(sides) + 1) % sides
    top = np.full(sides, 2 * sides)
    faces = ((i, j, j + sides), (i, j + sides, i + sides), (i + sides, j + sides, top))
    triangles = np.concatenate([np.stack(face, 1) for face in faces])
    vertices = np.vstack([low, high, [[0, 0, height]]]).astype(np.float32)
    return Mesh(vertices, triangles.astype(np.uint32), np.full(len(triangles), int(material), np.uint8))


def wheel(radius: float, width: float) -> Mesh:
    """A tyre lying along y, standing on z = 0."""
    mesh = cylinder(radius, radius, width, Material.RUBBER, 12)
    x, y, z = mesh.vertices_m.T
    return Mesh(np.column_stack([x, z - width / 2, y + radius]).astype(np.float32), mesh.triangles, mesh.materials)


def leaves(rng: np.random.Generator, size_m: Sequence[float] | Doubles, count: int) -> Mesh:
    """`count` loose triangles in an ellipsoid that stands on z = 0: a bush or the crown of a tree."""
    way = rng.normal(size=(count, 3))
    way /= np.linalg.norm(way, axis=1, keepdims=True) + 1e-9
    middle = way * rng.uniform(0.3, 1.0, (count, 1)) ** (1 / 3) * np.asarray(size_m) / 2
    middle[:, 2] += size_m[2] / 2
    span = 0.6 * float(np.prod(size_m) / count) ** (1 / 3)
    corners = middle[:, None] + rng.normal(0, span, (count, 3, 3))
    corners[..., 2] = np.maximum(corners[..., 2], 0.0)
    return Mesh(
        corners.reshape(-1, 3).astype(np.float32),
        np.arange(3 * count, dtype=np.uint32).reshape(-1, 3),
        np.full(count, int(Material.FOLIAGE), np.uint8),
    )
