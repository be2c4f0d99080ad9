"""Bodies of things on the road about the middle of their footprint: x forward, standing on z = 0, filling their box."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from fusion_pipeline.arrays import Floats
from fusion_pipeline.world.fleets import CarStyle, Size
from fusion_pipeline.world.materials import Material as M
from fusion_pipeline.world.meshes import Mesh, block, cylinder, frustum, hexahedron, leaves, wheel


def car(rng: np.random.Generator, size: Size, style: CarStyle) -> Mesh:
    """Hood, cabin with pillars and glass, wheels in dark arches."""
    length, width, height = size
    paint = M.DARK_PAINT if rng.random() < 0.3 else M.PAINT
    sill, belt, hood = rng.uniform(0.14, 0.22), style.belt * height, style.hood * height

    def x(share: float) -> float:
        return (share - 0.5) * length

    def slab(x0: float, x1: float, z0: float, top0: float, top1: float, wide: float, top: float) -> Mesh:
        a, b = wide / 2, top / 2
        low = [(x0, -a, z0), (x1, -a, z0), (x1, a, z0), (x0, a, z0)]
        high = [(x0, -b, top0), (x1, -b, top1), (x1, b, top1), (x0, b, top0)]
        return hexahedron(low + high, (paint,) * 6)

    radius = float(np.clip(0.2 * height, 0.27, 0.36))
    mid = 0.5 * (sill + belt)
    nose = rng.uniform(0.01, 0.04)  # bumpers bulge: the body is longest at mid height
    parts = [
        slab(x(0.0), x(1.0), sill, mid, mid, width * 0.96, width),
        slab(x(nose / 2), x(style.cowl), mid, belt, belt, width, width * 0.94),
        slab(x(style.cowl), x(1.0 - nose), mid, belt, hood, width, width * 0.9),
    ]
    tumble = rng.uniform(0.76, 0.84) * width
    base_w = width * 0.94
    low = [(x(style.tail), -base_w / 2), (x(style.cowl), -base_w / 2)]
    low += [(x(style.cowl), base_w / 2), (x(style.tail), base_w / 2)]
    high = [(x(style.roof_rear), -tumble / 2), (x(style.roof_front), -tumble / 2)]
    high += [(x(style.roof_front), tumble / 2), (x(style.roof_rear), tumble / 2)]
    edge = height * 0.965  # the roof is crowned: its rim lies lower than its middle
    cabin = [(*p, belt) for p in low] + [(*p, edge) for p in high]
    parts.append(hexahedron(cabin, (paint, paint, M.GLASS, M.GLASS, M.GLASS, M.GLASS)))
    cx, cl = x((style.roof_rear + style.roof_front) / 2), (style.roof_front - style.roof_rear) * length
    parts.append(frustum(cl, tumble, cl * 0.7, tumble * 0.6, height - edge, (paint,) * 6).placed((cx, 0, edge)))
    for (lx, ly), (hx, hy) in zip(low, high, strict=True):
        parts.append(_pillar((lx, ly, belt), (hx, hy, edge), paint))
    for side in (-1.0, 1.0):  # the pillar between the doors
        bx = x(0.45 * style.cowl + 0.55 * style.tail)
        parts.append(_pillar((bx, side * base_w / 2, belt), (bx, side * tumble / 2, edge), paint))
        for wx in (x(0.19), x(0.81)):
            parts.append(wheel(radius, 0.2).placed((wx, side * (width / 2 - 0.1), 0)))
    for seat in (0.35, 0.55):
        parts.append(block((0.15, width * 0.7, 0.75 * height - mid), (x(seat * style.cowl + 0.1), 0, mid), M.CLOTH))
    for end in (x(1.0) + 0.005, x(0.0) - 0.005):
        parts.append(block((0.01, 0.5, 0.11), (end, 0, mid - 0.06), M.PLATE))
    return Mesh.join(parts)


def _pillar(low: tuple[float, float, float], high: tuple[float, float, float], paint: M) -> Mesh:
    a, b = np.asarray(low), np.asarray(high)
    half = np.asarray([[-0.05, -0.015, 0], [0.05, -0.015, 0], [0.05, 0.015, 0], [-0.05, 0.015, 0]])
    return hexahedron(np.vstack([a + half, b + half]) * [1.0, 1.01, 1.0], (paint,) * 6)


def van(rng: np.random.Generator, size: Size) -> Mesh:
    """A box with a short sloping nose."""
    length, width, height = size
    paint = M.DARK_PAINT if rng.random() < 0.15 else M.PAINT
    cab = rng.uniform(0.2, 0.3) * length
    body = block((length - cab, width, height - 0.25), (-cab / 2, 0, 0.25), paint)
    x0, x1, x2 = length / 2 - cab, length / 2, length / 2 - 0.55 * cab
    a, b, belt = width / 2, width * 0.46, height * 0.52
    low = hexahedron(
        [
            (x0, -a, 0.25), (x1, -a, 0.25), (x1, a, 0.25), (x0, a, 0.25),
            (x0, -a, belt), (x1 - 0.05, -b, belt), (x1 - 0.05, b, belt), (x0, a, belt),
        ],
        (paint,) * 6,
    )  # fmt: skip
    high = hexahedron(
        [
            (x0, -a, belt), (x1 - 0.1, -b, belt), (x1 - 0.1, b, belt), (x0, a, belt),
            (x0, -a, height), (x2, -b, height), (x2, b, height), (x0, a, height),
        ],
        (paint, paint, M.GLASS, M.GLASS, M.GLASS, paint),
    )  # fmt: skip
    return Mesh.join([body, low, high, *_wheels(size, 0.33, (-0.3, 0.32))])


def truck(rng: np.random.Generator, size: Size) -> Mesh:
    """A cab before a tall load."""
    length, width, height = size
    cab = min(2.2, 0.35 * length)
    load = block((length - cab - 0.4, width, height - 1.0), (-(cab + 0.4) / 2, 0, 1.0), M.PAINT)
    frame = block((length * 0.95, width * 0.4, 0.4), (0, 0, 0.6), M.METAL)
    top = height * rng.uniform(0.75, 0.98)
    front = length / 2 - cab / 2
    lower = block((cab, width * 0.96, 0.55 * top - 0.4), (front, 0, 0.4), M.PAINT)
    glass = (M.PAINT, M.PAINT, M.GLASS, M.GLASS, M.GLASS, M.PAINT)
    upper = frustum(cab, width * 0.96, cab * 0.9, width * 0.9, 0.45 * top, glass).placed((front, 0, 0.55 * top))
    return Mesh.join([load, frame, lower, upper, *_wheels(size, 0.5, (-0.38, -0.25, 0.36))])


def bus(rng: np.random.Generator, size: Size) -> Mesh:
    """A long box with a band of glass."""
    length, width, height = size
    glass = (M.PAINT, M.PAINT, M.GLASS, M.GLASS, M.GLASS, M.GLASS)
    low = block((length, width, 0.9), (0, 0, 0.3), M.PAINT)
    band = frustum(length, width, length * 0.99, width * 0.98, height - 1.7, glass).placed((0, 0, 1.2))
    roof = block((length * 0.99, width * 0.98, 0.5), (0, 0, height - 0.5), M.PAINT)
    posts = [
        block((0.12, width * 1.002, height - 1.7), (px, 0, 1.2), M.PAINT)
        for px in np.arange(-0.45, 0.46, rng.uniform(0.1, 0.16)) * length
    ]
    return Mesh.join([low, band, roof, *posts, *_wheels(size, 0.48, (-0.28, 0.3))])


def _wheels(size: Size, radius: float, at: tuple[float, ...]) -> list[Mesh]:
    return [wheel(radius, 0.25).placed((a * size[0], s * (size[1] / 2 - 0.13), 0)) for a in at for s in (-1, 1)]


def pedestrian(rng: np.random.Generator, size: Size) -> Mesh:
    """Legs in a stride, torso, arms, head."""
    length, width, height = size
    stride = rng.uniform(0.1, 0.9) * length / 2
    hip, neck = 0.48 * height, 0.86 * height
    parts = []
    for side, step in ((-1, stride), (1, -stride)):
        y = side * 0.09
        leg = _limb((step * 0.8, y, 0.0), (0.0, y, hip), 0.07)
        arm = _limb((-step * 0.7, side * width / 2 * 0.85, hip * 0.95), (0.0, side * width * 0.36, neck * 0.96), 0.05)
        parts += [leg, arm]
    torso = cylinder(0.36 * width, 0.33 * width, neck - hip, M.CLOTH).placed((0, 0, hip))
    head = cylinder(0.1, 0.08, height - neck, M.CLOTH).placed((0, 0, neck))
    return Mesh.join([*parts, torso, head])


def sway_of(kind: str, mesh: Mesh) -> Floats | None:
    """(V,) how far ahead of its hip or shoulder each vertex is in mid-stride, metres; None for who does not walk.

    The first four bodies of a `pedestrian` are its limbs, of four vertices below and four above.
    """
    if kind != "pedestrian":
        return None
    sway = np.zeros(len(mesh.vertices_m), np.float32)
    limbs = mesh.vertices_m[:32, 0].reshape(4, 2, 4).mean(axis=2)
    sway[:32].reshape(4, 2, 4)[:, 0] = (limbs[:, 0] - limbs[:, 1])[:, None]
    return sway


def _limb(low: tuple[float, float, float], high: tuple[float, float, float], half: float) -> Mesh:
    square = np.asarray([[-half, -half, 0], [half, -half, 0], [half, half, 0], [-half, half, 0]])
    return hexahedron(np.vstack([np.asarray(low) + square, np.asarray(high) + square]), (M.CLOTH,) * 6)


def two_wheeler(rng: np.random.Generator, size: Size) -> Mesh:
    """A bicycle, or where wide a motorcycle, with its rider."""
    length, width, height = size
    radius = 0.33
    reach = length / 2 - radius
    thick = 0.25 if width > 0.7 else 0.06
    wheels = [wheel(radius, 0.05 + thick / 3).placed((s * reach, 0, 0)) for s in (-1, 1)]
    frame = block((reach * 1.8, thick, 0.35), (0, 0, 0.45), M.METAL)
    bar = block((0.06, width, 0.06), (reach * 0.75, 0, 1.0), M.METAL)
    lean = rng.uniform(0.05, 0.35)
    torso = _limb((-0.2, 0, 0.8), (lean - 0.1, 0, height - 0.28), 0.18)
    head = cylinder(0.12, 0.09, 0.28, M.CLOTH).placed((lean - 0.05, 0, height - 0.28))
    legs = [_limb((0.05, s * 0.12, 0.3), (-0.15, s * 0.1, 0.9), 0.07) for s in (-1, 1)]
    arms = [_limb((reach * 0.7, s * 0.22, 1.02), (lean, s * 0.2, height - 0.35), 0.05) for s in (-1, 1)]
    return Mesh.join([*wheels, frame, bar, torso, head, *legs, *arms])


def animal(rng: np.random.Generator, size: Size) -> Mesh:
    """A body on four legs; stands for whatever moves and is none of the rest."""
    length, width, height = size
    body = block((length * 0.8, width, height * 0.45), (-0.1 * length, 0, height * 0.4), M.CLOTH)
    head = block((length * 0.25, width * 0.6, height * 0.3), (length * 0.37, 0, height * 0.7), M.CLOTH)
    feet = [(a * length, s * width * 0.4, 0) for a in (-0.4, 0.2) for s in (-1, 1)]
    legs = [block((0.08, 0.08, height * 0.4), foot, M.CLOTH) for foot in feet]
    return Mesh.join([body, head, *legs])


def tree(rng: np.random.Generator, height: float) -> Mesh:
    """A trunk under a crown of loose leaves."""
    trunk = rng.uniform(0.25, 0.45) * height
    wide = rng.uniform(0.3, 0.6) * height
    stem = cylinder(rng.uniform(0.08, 0.25), 0.08, trunk * 1.3, M.WALL)
    return Mesh.join([stem, leaves(rng, (wide, wide, height - trunk), 250).placed((0, 0, trunk))])


def trailer(rng: np.random.Generator, size: Size) -> Mesh:
    """A tractor and its semitrailer, a gap between them."""
    length, width, height = size
    tractor = 5.9
    box = length - tractor + 2.6  # it rests on the tractor's rear axle
    load = block((box, width, height - 1.15), (-(length - box) / 2, 0, 1.15), M.PAINT)
    frame = block((box * 0.96, width * 0.35, 0.35), (-(length - box) / 2, 0, 0.8), M.METAL)
    axles = [
        wheel(0.5, 0.3).placed((-length / 2 + at, side * (width / 2 - 0.17), 0))
        for at in (1.6, 2.9, 4.2) for side in (-1, 1)
    ]  # fmt: skip
    front = truck(rng, (tractor, width, height * 0.95))
    cab = front.placed((length / 2 - tractor / 2, 0, 0))
    keep = cab.vertices_m[cab.triangles][:, :, 0].mean(axis=1) > length / 2 - 2.5  # the tractor has no load of its own
    low = cab.vertices_m[cab.triangles][:, :, 2].max(axis=1) < 1.1
    rows = np.flatnonzero(keep | low)
    return Mesh.join([load, frame, *axles, Mesh(cab.vertices_m, cab.triangles[rows], cab.materials[rows])])


def articulated_bus(rng: np.random.Generator, size: Size) -> Mesh:
    """Two boxes of a bus with dark bellows between."""
    length, width, height = size
    front = bus(rng, (length * 0.55, width, height)).placed((length * 0.225, 0, 0))
    rear = bus(rng, (length * 0.39, width, height)).placed((-length * 0.305, 0, 0))
    bellows = block((length * 0.07, width * 0.92, height - 0.8), (-length * 0.08, 0, 0.6), M.RUBBER)
    return Mesh.join([front, rear, bellows])


BODIES: dict[str, Callable[[np.random.Generator, Size], Mesh]] = {
    "van": van,
    "truck": truck,
    "trailer": trailer,
    "bus": bus,
    "articulated bus": articulated_bus,
    "pedestrian": pedestrian,
    "two-wheeler": two_wheeler,
    "motorcycle": two_wheeler,
    "other": animal,
}
