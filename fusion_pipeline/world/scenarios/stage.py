"""What the builders of open scenes share: bodies on tracks, buildings, furniture, sounds, and a check of the whole.

An open scene lies on a ring so long that no sensor reaches round it. It lasts one period and begins anew.
"""

from __future__ import annotations

import numpy as np

from fusion_pipeline.arrays import Doubles
from fusion_pipeline.world.bodies import BODIES, car, tree
from fusion_pipeline.world.checks import check
from fusion_pipeline.world.drive import Actor, Body, Drive
from fusion_pipeline.world.fleets import EUROPE, Fleet
from fusion_pipeline.world.materials import Material
from fusion_pipeline.world.meshes import Mesh, block, cylinder, leaves
from fusion_pipeline.world.motion import Track
from fusion_pipeline.world.paint import painted
from fusion_pipeline.world.scenarios.pavement import Pavement
from fusion_pipeline.world.scene import CLASSES
from fusion_pipeline.world.sound import SoundSource
from fusion_pipeline.world.sources import synthesise

LENGTH_M = 800.0
Colour = tuple[float, float, float]


class Stage:
    """Collects what a scene consists of."""

    def __init__(self, seed: int, seconds: float, audible: bool, fleet: Fleet = EUROPE) -> None:
        self.rng = np.random.default_rng(seed)
        self.seconds, self.fleet = seconds, fleet
        self._audible = audible
        self._actors: list[Actor] = []
        self._scenery: list[Body] = []
        self._solids: list[tuple[float, ...]] = []
        self._sounds: list[SoundSource] = []

    def still(self, x: float, y: float, yaw_deg: float = 0.0) -> Track:
        """A track of something that stands."""
        return Track.still((x, y, 0.0), float(np.deg2rad(yaw_deg)), self.seconds)

    def along(self, places_m: Doubles, y: float, backwards: bool = False) -> Track:
        """A track along x from places (K + 1,) every STEP_S, as `follow` gives them; it heads that way or the other."""
        x = np.asarray(places_m, np.float64)
        yaw = np.pi if backwards else 0.0
        ways = np.stack([LENGTH_M - x if backwards else x, np.full_like(x, y), np.zeros_like(x)], axis=1)
        return Track(ways[:-1], np.full(len(x) - 1, yaw), np.zeros(3), periodic=False)

    def walk(self, waypoints: list[tuple[float, float]], speed_mps: float, wait_s: float = 0.0) -> Track:
        """A track through places, then standing."""
        return Track.along(waypoints, speed_mps, self.seconds, wait_s)

    def put(
        self, kind: str, track: Track, lacquer: Colour | None = None, size: tuple[float, float, float] | None = None
    ) -> Actor:
        """A car (any style of the fleet) or one of BODIES, of the usual size unless another is given."""
        rng = self.rng
        if kind == "car":
            style = self.fleet.style(rng)
            return self._add("car", style.name, style.size_m, track, car(rng, style.size_m, style), lacquer)
        label, usual = self.fleet.usual(kind)
        return self._add(label, kind, size or usual, track, BODIES[kind](rng, size or usual), lacquer)

    def thing(
        self, kind: str, label: str, size: tuple[float, float, float], track: Track, mesh: Mesh, lacquer: Colour
    ) -> Actor:
        """Something with a box and a mesh of its own."""
        return self._add(label, kind, size, track, mesh, lacquer)

    def sound(self, name: str, actor: Actor, level_db: float, speed_exponent: float = 0.0) -> None:
        """Let an actor sound."""
        if self._audible:
            track = actor.track.raised(min(1.0, actor.size_m[2]))
            self._sounds.append(SoundSource(name, synthesise(name, len(self._sounds)), track, level_db, speed_exponent))

    def scenery(self, mesh: Mesh, colour: Colour | None = None) -> None:
        """Something without a box."""
        self._scenery.append(painted(mesh, self.rng, colour))

    def house(self, x: tuple[float, float], y: tuple[float, float], height_m: float) -> None:
        """A block with windows to all sides, which hides and mirrors sound."""
        (x0, x1), (y0, y1) = x, y
        middle, half = ((x0 + x1) / 2, (y0 + y1) / 2), ((x1 - x0) / 2, (y1 - y0) / 2)
        self.scenery(block((x1 - x0, y1 - y0, height_m), (*middle, 0), Material.WALL))
        panes = []
        for z in np.arange(1.2, height_m - 1.8, 3.0):
            for u in np.arange(x0 + 1.5, x1 - 1.2, 2.7):
                panes += [block((1.1, 0.04, 1.5), (float(u), face, float(z)), Material.GLASS) for face in (y0, y1)]
            for v in np.arange(y0 + 1.5, y1 - 1.2, 2.7):
                panes += [block((0.04, 1.1, 1.5), (face, float(v), float(z)), Material.GLASS) for face in (x0, x1)]
        if panes:
            self.scenery(Mesh.join(panes))
        self._solids.append((*middle, *half, 1.0, 0.0, height_m))

    def wall(self, x: tuple[float, float], y: tuple[float, float], height_m: float, solid: bool = True) -> None:
        """A plain wall or fence."""
        middle, size = ((x[0] + x[1]) / 2, (y[0] + y[1]) / 2), (x[1] - x[0], y[1] - y[0])
        self.scenery(block((*size, height_m), (*middle, 0), Material.WALL))
        if solid:
            self._solids.append((*middle, size[0] / 2, size[1] / 2, 1.0, 0.0, height_m))

    def tree(self, x: float, y: float) -> None:
        """A tree of five to eight metres."""
        self.scenery(tree(self.rng, float(self.rng.uniform(5, 8))).placed((x, y, 0.0)))

    def bush(self, x: float, y: float) -> None:
        """A bush."""
        size = self.rng.uniform((0.8, 0.8, 0.6), (2.0, 1.6, 1.6))
        self.scenery(leaves(self.rng, size, 90).placed((x, y, 0.0)))

    def pole(self, x: float, y: float, height_m: float, plate: bool = False) -> None:
        """A pole, or a sign."""
        mesh = cylinder(0.06, 0.05, height_m, Material.METAL)
        if plate:
            mesh = Mesh.join([mesh, block((0.05, 0.6, 0.6), (0, 0, height_m - 0.6), Material.PLATE)])
        self.scenery(mesh.placed((x, y, 0.0)))

    def drive(self, ego: Track, pavement: Pavement) -> Drive:
        """The finished scene. Raises SceneError where things overlap at the start."""
        scenery = Body(
            Mesh.join([body.mesh for body in self._scenery]), np.concatenate([body.colours for body in self._scenery])
        )
        solids = np.asarray(self._solids, np.float64).reshape(-1, 7)
        made = Drive(
            LENGTH_M, self.seconds, ego, tuple(self._actors), scenery, pavement.ground(self.rng), solids,
            tuple(self._sounds),
        )  # fmt: skip
        check(made)
        return made

    def _add(
        self, label: str, kind: str, size: tuple[float, float, float], track: Track, mesh: Mesh, lacquer: Colour | None
    ) -> Actor:
        actor = Actor(CLASSES.index(label), kind, size, track, painted(mesh, self.rng, lacquer))
        self._actors.append(actor)
        return actor
