"""Random streets: a road with lanes, parked rows, pavements, houses, greenery and everybody on it."""

from __future__ import annotations

import numpy as np

from fusion_pipeline.arrays import Doubles
from fusion_pipeline.world.bodies import BODIES, car, tree
from fusion_pipeline.world.fleets import EUROPE, UNITED_STATES, Fleet
from fusion_pipeline.world.materials import Material
from fusion_pipeline.world.meshes import Mesh, block, cylinder
from fusion_pipeline.world.roadside import Bank, clutter
from fusion_pipeline.world.scene import CLASSES, Scene, Thing

EUROPEAN_SHARE = 0.8  # of all streets; the rest have American vehicles
_TRAFFIC = ("car", "van", "truck", "bus", "trailer", "articulated bus")
_TRAFFIC_SHARES = (0.83, 0.09, 0.04, 0.02, 0.01, 0.01)


class RandomStreet:
    """One street with everything on it; things never overlap (by circles)."""

    def __init__(self, seed: int, fleet: Fleet | None = None) -> None:
        """Without a fleet it is European on EUROPEAN_SHARE of all streets, American on the others."""
        rng = self.rng = np.random.default_rng(seed)
        drawn = EUROPE if rng.random() < EUROPEAN_SHARE else UNITED_STATES
        self.fleet = fleet or drawn
        self.heading = rng.normal(0, 0.08) if rng.random() < 0.8 else rng.uniform(-0.6, 0.6)
        self.lane = rng.uniform(2.9, 3.7)
        self.side = rng.choice([-1.0, 1.0], p=[0.8, 0.2])  # where the oncoming lane is not
        self.slope = rng.normal(0, 0.012, 2)
        self.bend = rng.normal(0, 0.00015)
        self.kerb = rng.uniform(0.06, 0.16) if rng.random() < 0.8 else 0.0
        self.half = self.lane + rng.uniform(0.2, 3.0)
        self.banks = {side: Bank.draw(rng, self.half) for side in (-1.0, 1.0)}
        self.rough = rng.uniform(0.01, 0.07)
        self.offset = -self.side * self.lane / 2 * rng.uniform(0.8, 1.2)
        self.things: list[Thing] = []
        self.static: list[Mesh] = []
        self.solids: list[tuple[float, ...]] = []  # houses: x, y, half length, half width, cos yaw, sin yaw, height
        self._taken: list[tuple[float, float, float]] = [(0.0, 0.0, 2.8)]
        self._traffic()
        self._parked()
        self._people()
        self._furniture()

    def xy(self, along: float, across: float) -> tuple[float, float]:
        """Place `along` the street and `across` it, to the left, in the vehicle frame."""
        c, s = np.cos(self.heading), np.sin(self.heading)
        across = across + self.offset
        return float(c * along - s * across), float(s * along + c * across)

    def ground(self, x: Doubles, y: Doubles) -> Doubles:
        """Heights of the ground at places (N,), metres."""
        c, s = np.cos(self.heading), np.sin(self.heading)
        across = -s * x + c * y - self.offset
        base = self.slope[0] * x + self.slope[1] * y + self.bend * x * x - 0.012 * np.minimum(np.abs(across), self.half)
        own = 0.012 * abs(self.offset)
        lift: Doubles = base + own + self.kerb * np.clip((np.abs(across) - self.half) / 0.1, 0, 1)
        for side, bank in self.banks.items():
            lift = lift + bank.lift(c * x + s * y, side * across)
        return lift

    def height(self, x: float, y: float) -> float:
        """Height of the ground at one place."""
        return float(self.ground(np.asarray([x]), np.asarray([y]))[0])

    def free(self, x: float, y: float, radius: float) -> bool:
        """Whether nothing stands within `radius` metres."""
        return all((x - a) ** 2 + (y - b) ** 2 > (radius + r) ** 2 for a, b, r in self._taken)

    def put(self, kind: str, along: float, across: float, yaw: float, speed: float) -> None:
        """Put a thing with a box there, where it is free."""
        rng = self.rng
        x, y = self.xy(along, across)
        style = self.fleet.style(rng)
        known = self.fleet.sizes.get(kind)
        label = known.label if known else "car"
        size = self.fleet.drawn(rng, *((known.mean, known.spread) if known else (style.size_m, self.fleet.car_spread)))
        reach = 0.5 * size[0] if kind in ("pedestrian", "two-wheeler", "motorcycle", "other") else 0.46 * size[0] + 0.2
        heading = self.heading + yaw
        # A long thing takes three circles along its length.
        dx, dy = np.cos(heading), np.sin(heading)
        radius = max(0.62 * size[1], 0.35)
        spots = [
            (x + dx * o, y + dy * o) for o in np.linspace(-1, 1, max(2, int(size[0] / 1.5))) * (reach - radius / 2)
        ]
        if x < -3 or not all(self.free(a, b, radius) for a, b in spots):
            return
        self._taken += [(float(a), float(b), radius) for a, b in spots]
        mesh = car(rng, size, style) if kind == "car" else BODIES[kind](rng, size)
        base = (x, y, self.height(x, y))
        name = style.name if kind == "car" else kind
        velocity = (float(speed * dx), float(speed * dy))
        yaw_rad = float((heading + np.pi) % (2 * np.pi) - np.pi)
        self.things.append(Thing(CLASSES.index(label), name, base, size, yaw_rad, velocity, mesh))

    def vehicle(self) -> str:
        """A kind of vehicle, as common as it is."""
        return str(self.rng.choice(_TRAFFIC, p=_TRAFFIC_SHARES))

    def _traffic(self) -> None:
        rng = self.rng
        for direction in (1.0, -1.0):
            along = rng.uniform(4, 30)
            across = -direction * self.lane / 2
            while along < 75:
                if rng.random() < 0.6:
                    yaw = (0.0 if direction > 0 else np.pi) + rng.normal(0, 0.04)
                    self.put(self.vehicle(), along, across + rng.normal(0, 0.3), yaw, rng.uniform(0, 14))
                along += rng.uniform(6, 28)
        for _ in range(rng.integers(0, 4)):  # crossing, turning, anywhere
            self.put(
                self.vehicle(), rng.uniform(6, 68), rng.uniform(-30, 30), rng.uniform(-np.pi, np.pi), rng.uniform(0, 6)
            )

    def _parked(self) -> None:
        rng = self.rng
        for side in (-1.0, 1.0):
            if rng.random() < 0.35:
                continue
            turned = rng.choice([0.0, np.pi / 2, np.pi / 4], p=[0.65, 0.25, 0.1])
            across = side * (self.half + rng.uniform(-1.0, 1.5) + (1.5 if turned else 0.0))
            along, full = rng.uniform(3, 20), rng.uniform(0.4, 0.95)
            end = along + rng.uniform(10, 60)
            while along < min(end, 72):
                if rng.random() < full:
                    flip = rng.choice([0.0, np.pi])
                    kind = "car" if rng.random() < 0.88 else "van"
                    self.put(kind, along, across + rng.normal(0, 0.12), turned + flip + rng.normal(0, 0.03), 0.0)
                along += rng.uniform(2.5, 3.1) if turned else rng.uniform(4.9, 6.3)

    def _people(self) -> None:
        rng = self.rng
        for kind, count, speed in (
            ("pedestrian", 7, 1.4),
            ("two-wheeler", 4, 4.0),
            ("motorcycle", 2, 8.0),
            ("other", 2, 0.5),
        ):
            for _ in range(rng.integers(0, count)):
                near = rng.choice([-1.0, 1.0]) * (self.half + rng.uniform(-2.5, 4))
                yaw = rng.choice([0.0, np.pi]) + rng.normal(0, 0.5)
                for _ in range(rng.choice([1, 1, 2])):
                    at = rng.uniform(3, 55)
                    self.put(kind, at + rng.normal(0, 1.0), near + rng.normal(0, 0.8), yaw, rng.uniform(0, speed))

    def still(self, mesh: Mesh, along: float, across: float, radius: float, yaw: float = 0.0) -> None:
        """Put something without a box there, where it is free."""
        x, y = self.xy(along, across)
        if self.free(x, y, radius):
            self._taken.append((x, y, radius))
            self.static.append(mesh.placed((x, y, self.height(x, y) - 0.05), self.heading + yaw))

    def _furniture(self) -> None:
        rng = self.rng
        for side in (-1.0, 1.0):
            edge = self.half + rng.uniform(0.5, 2)
            for along in np.arange(rng.uniform(2, 15), 75, rng.uniform(6, 25)):
                across = side * (edge + rng.uniform(0, 1))
                what = rng.random()
                if what < 0.35:
                    post = cylinder(0.08, 0.05, rng.uniform(3, 8), Material.METAL)
                    self.still(post, along, across, 0.3)
                elif what < 0.5:
                    sign = block((0.03, 0.6, 0.6), (0, 0, 2.0), Material.PLATE)
                    self.still(Mesh.join([cylinder(0.03, 0.03, 2.3, Material.METAL), sign]), along, across, 0.3)
                elif what < 0.75:
                    self.still(tree(rng, rng.uniform(4, 10)), along, across + side, 0.4)
                else:
                    box = (rng.uniform(0.4, 1.8), rng.uniform(0.4, 1.2), rng.uniform(0.7, 1.6))
                    self.still(block(box, (0, 0, 0), Material.METAL), along, across, max(box[:2]) * 0.7)
            for piece in clutter(rng):
                self.still(piece.mesh, piece.along_m, side * (edge + piece.outward_m), piece.radius_m, piece.yaw_rad)
            if rng.random() < 0.4:  # a wall, hedge or fence along the street
                long, tall = rng.uniform(8, 50), rng.uniform(0.6, 2.2)
                across, along = side * (edge + rng.uniform(2, 8)), rng.uniform(10, 60)
                if rng.random() < 0.5:
                    mesh = block((long, 0.25, tall), (0, 0, 0), Material.WALL)
                else:
                    bars = [
                        block((0.06, 0.06, tall), (u, 0, 0), Material.METAL)
                        for u in np.arange(-long / 2, long / 2, 0.5)
                    ]
                    bars += [block((long, 0.05, 0.08), (0, 0, z), Material.METAL) for z in (0.2, tall - 0.1)]
                    mesh = Mesh.join(bars)
                self._barrier(mesh, along, across, long)
            if rng.random() < 0.75:  # houses
                along = rng.uniform(-10, 20)
                across = side * (edge + rng.uniform(3, 14))
                while along < 90:
                    long, deep = rng.uniform(8, 25), rng.uniform(6, 12)
                    high = rng.uniform(4, 14)
                    house = block((long, deep, high), (0, 0, 0), Material.WALL)
                    if self._barrier(house, along + long / 2, across + side * deep / 2, long, deep):
                        at = self.xy(along + long / 2, across + side * deep / 2)
                        turn = (float(np.cos(self.heading)), float(np.sin(self.heading)))
                        self.solids.append((*at, long / 2, deep / 2, *turn, high))
                    along += long + rng.choice([0.0, rng.uniform(2, 12)])

    def _barrier(self, mesh: Mesh, along: float, across: float, long: float, deep: float = 0.5) -> bool:
        points = [
            self.xy(along + u, across + v)
            for u in np.linspace(-long / 2, long / 2, max(2, int(long / 1.5)))
            for v in np.linspace(-deep / 2, deep / 2, max(1, int(deep / 1.5)))
        ]
        free = all(self.free(x, y, 0.9) for x, y in points)
        if free:
            x, y = self.xy(along, across)
            self.static.append(mesh.placed((x, y, self.height(x, y) - 0.5), self.heading))
        return free

    def terrain(self) -> Mesh:
        """The ground as a mesh, rough beside the road."""
        beside = -self.half - np.asarray([24, 20, 17, 14, 12, 10, 8.5, 7, 5.5, 4, 3, 2, 1, 0.1, 0])
        across = np.concatenate([[-90, -60, -45, -35], beside, [-2.5, 0, 2.5]])
        across = np.unique(np.concatenate([across, -across]))
        along = np.concatenate([np.arange(-20, 30, 1.5), np.arange(30, 125, 5.0)])
        u, v = np.meshgrid(along, across, indexing="ij")
        c, s = np.cos(self.heading), np.sin(self.heading)
        w = v + self.offset
        x, y = c * u - s * w, s * u + c * w
        z = self.ground(x, y)
        off = (np.abs(v) > self.half + 0.2) & (np.abs(v) < 60)
        z = z + np.where(off, self.rng.normal(0, self.rough, z.shape), 0.0)
        n, m = u.shape
        i = (np.arange(n - 1)[:, None] * m + np.arange(m - 1)).ravel()
        triangles = np.concatenate([np.stack([i, i + m, i + m + 1], 1), np.stack([i, i + m + 1, i + 1], 1)])
        wide = np.abs(v.ravel()[triangles]).max(axis=1) > self.half + 2.5
        materials = np.where(wide, int(Material.GRASS), int(Material.ROAD)).astype(np.uint8)
        return Mesh(
            np.column_stack([x.ravel(), y.ravel(), z.ravel()]).astype(np.float32),
            triangles.astype(np.uint32),
            materials,
        )


def street(seed: int) -> Scene:
    """A street with everything on it; the same seed gives the same bytes."""
    work = RandomStreet(seed)
    return Scene(tuple(work.things), Mesh.join([work.terrain(), *work.static]))
