"""Colours of the simulated street: bodies by material, the ground from above. For eyes; nothing is measured by them."""

from __future__ import annotations

import numpy as np

from fusion_pipeline.arrays import Doubles
from fusion_pipeline.world.drive import Body, Ground
from fusion_pipeline.world.materials import Material
from fusion_pipeline.world.meshes import Mesh

LACQUERS = (
    (0.75, 0.76, 0.78), (0.12, 0.13, 0.15), (0.88, 0.88, 0.86), (0.55, 0.08, 0.08), (0.10, 0.20, 0.42),
    (0.38, 0.40, 0.43), (0.14, 0.30, 0.20), (0.80, 0.62, 0.10), (0.30, 0.45, 0.58),
)  # fmt: skip
CLOTHES = ((0.55, 0.15, 0.15), (0.15, 0.2, 0.4), (0.2, 0.2, 0.22), (0.75, 0.7, 0.6), (0.2, 0.35, 0.2), (0.8, 0.5, 0.1))
FACADES = ((0.72, 0.62, 0.50), (0.62, 0.42, 0.34), (0.78, 0.74, 0.66), (0.55, 0.57, 0.60), (0.68, 0.55, 0.42))
_PLAIN = {
    Material.ROAD: (0.28, 0.28, 0.3), Material.GRASS: (0.28, 0.38, 0.16), Material.GLASS: (0.16, 0.21, 0.26),
    Material.RUBBER: (0.05, 0.05, 0.05), Material.PLATE: (0.92, 0.92, 0.9), Material.METAL: (0.42, 0.43, 0.45),
}  # fmt: skip


def painted(mesh: Mesh, rng: np.random.Generator, lacquer: tuple[float, float, float] | None = None) -> Body:
    """The mesh with a colour for each triangle: one lacquer, one cloth and one facade for all of it."""
    table = np.full((len(Material), 3), 0.5)
    for material, colour in _PLAIN.items():
        table[material] = colour
    coat = np.asarray(lacquer if lacquer is not None else LACQUERS[int(rng.integers(len(LACQUERS)))])
    table[Material.PAINT] = table[Material.DARK_PAINT] = coat
    table[Material.CLOTH] = CLOTHES[int(rng.integers(len(CLOTHES)))]
    table[Material.WALL] = FACADES[int(rng.integers(len(FACADES)))]
    table[Material.FOLIAGE] = (0.2, 0.33, 0.11)
    colours = table[mesh.materials]
    leafy = mesh.materials == Material.FOLIAGE
    colours[leafy] *= rng.uniform(0.6, 1.4, (int(leafy.sum()), 1))
    return Body(mesh, colours.astype(np.float32))


def street_ground(ring_m: float, lane_m: float, rng: np.random.Generator) -> Ground:
    """Two lanes, parking strips, pavements of slabs, grass beyond; dashes between the lanes, a crossing every 120 m."""
    cell, low = 0.1, -24.0
    rows, columns = round(-2 * low / cell), round(ring_m / cell)
    y: Doubles = (low + (np.arange(rows, dtype=np.float64) + 0.5) * cell)[:, None]
    x: Doubles = ((np.arange(columns, dtype=np.float64) + 0.5) * cell)[None]
    side = np.abs(y) + 0 * x
    colour = np.empty((rows, columns, 3), np.float32)
    colour[:] = (0.25, 0.34, 0.15)
    colour[side < lane_m + 6.5] = (0.46, 0.45, 0.43)
    slabs = (side < lane_m + 6.5) & (((x % 1.0) < 0.06) | ((side % 1.0) < 0.06))
    colour[slabs] = (0.38, 0.37, 0.35)
    colour[side < lane_m + 2.4] = (0.55, 0.54, 0.52)  # the kerb's stones
    colour[side < lane_m + 2.2] = (0.27, 0.27, 0.28)
    colour[side < lane_m] = (0.22, 0.22, 0.235)
    white = (side < 0.08) & ((x % 9.0) < 4.0)
    white |= (np.abs(side - lane_m) < 0.06) & ((x % 2.0) < 1.0)
    crossing = ((x % 120.0) > 57) & ((x % 120.0) < 60.5) & (side < lane_m + 2.2) & (((y + 50) % 1.0) < 0.5)
    colour[white | crossing] = (0.82, 0.82, 0.8)
    coarse = rng.normal(0, 1, (rows // 8 + 1, columns // 8 + 1)).astype(np.float32)
    blotch = np.repeat(np.repeat(coarse, 8, 0), 8, 1)[:rows, :columns]
    noise = 1 + 0.05 * rng.normal(0, 1, (rows, columns)).astype(np.float32) + 0.035 * blotch
    pixels = np.clip(colour * noise[..., None] * 255, 0, 255).astype(np.uint8)
    return Ground(np.ascontiguousarray(pixels), low, cell)
