"""Any street at all, sloping and crowned, with kerbs and banks: what networks are trained on.

Nobody steers here: each thing goes straight on for the two seconds that the scene lasts, and whatever would meet
another stands. In the middle of them all is as `streets.street` of the same seed has it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np

from fusion_pipeline.arrays import Doubles
from fusion_pipeline.geometry.boxes import iou_bev
from fusion_pipeline.world.checks import EGO_SIZE_M, LEAST_IOU
from fusion_pipeline.world.drive import Actor, Body, Drive
from fusion_pipeline.world.fleets import Fleet, Size
from fusion_pipeline.world.materials import Material
from fusion_pipeline.world.meshes import Mesh, block
from fusion_pipeline.world.motion import STEP_S, Track
from fusion_pipeline.world.paint import painted
from fusion_pipeline.world.scenarios.pavement import Pavement
from fusion_pipeline.world.scenarios.stage import LENGTH_M
from fusion_pipeline.world.scene import Thing
from fusion_pipeline.world.sound import SoundSource
from fusion_pipeline.world.sources import Waveform, synthesise
from fusion_pipeline.world.streets import RandomStreet

SECONDS, MIDDLE_S = 2.0, 1.0
_MOMENTS_S = tuple(np.arange(-1.0, 1.01, 0.2).tolist())  # from the middle, when nobody may overlap
_VOICES = 4  # waveforms of a kind of sound; they take a second to make
_SHADES = ((0.25, 0.25, 0.26), (0.33, 0.32, 0.31), (0.42, 0.40, 0.37))  # of asphalt


def build(seed: int, audible: bool, fleet: Fleet | None = None) -> Drive:
    """The scene of `seed`; without a fleet one street in five has American vehicles."""
    street = RandomStreet(seed, fleet)
    rng = np.random.default_rng([seed, 7])
    goers = [_Goer((0.0, 0.0), 0.0, _ego_speed(street, rng), EGO_SIZE_M)]
    goers += [_Goer(t.base_m[:2], t.yaw_rad, float(np.hypot(*t.velocity_mps)), t.size_m) for t in street.things]
    goers, kept = _untangled(goers)
    ego = goers[0].track(street)
    actors, sounds = [], []
    for goer, number in zip(goers[1:], kept[1:], strict=True):
        thing, track = street.things[number - 1], goer.track(street)
        actors.append(Actor(thing.label, thing.kind, thing.size_m, track, painted(thing.mesh, rng)))
        sounds += _sounds(thing, track, goer.speed_mps, rng) if audible else []
    bodies = [_terrain(street, rng), _markings(street), *(painted(mesh, rng) for mesh in street.static)]
    scenery = Body(Mesh.join([b.mesh for b in bodies]), np.concatenate([b.colours for b in bodies]))
    solids = np.asarray(street.solids, np.float64).reshape(-1, 7)
    ground = Pavement(20.0).ground(rng)  # never looked at: this drive is not level
    return Drive(
        LENGTH_M, SECONDS, ego, tuple(actors), scenery, ground, solids, (*sounds, *_hidden_siren(street, rng, audible)),
        level=False,
    )  # fmt: skip


def _ego_speed(street: RandomStreet, rng: np.random.Generator) -> float:
    """As fast as the street allows: nobody ahead within reach, and it runs our way."""
    ahead = [t.base_m[0] - t.size_m[0] / 2 for t in street.things if t.base_m[0] > 0 and abs(t.base_m[1]) < 2.6]
    free = min(ahead, default=40.0) - 4.0
    top = 14.0 if abs(street.heading) < 0.25 else 4.0
    return float(min(rng.uniform(0, top), max(free, 0.0) / (SECONDS - MIDDLE_S)) * (rng.random() < 0.85))


@dataclass(frozen=True, slots=True)
class _Goer:
    """Somebody who goes straight on, and where they are in the middle of the scene."""

    at: Sequence[float]
    yaw_rad: float
    speed_mps: float
    size_m: Size

    def track(self, street: RandomStreet) -> Track:
        """The way on the ground."""
        times = np.arange(round(SECONDS / STEP_S)) * STEP_S - MIDDLE_S
        x = self.at[0] + self.speed_mps * np.cos(self.yaw_rad) * times
        y = self.at[1] + self.speed_mps * np.sin(self.yaw_rad) * times
        ways = np.stack([x, y, street.ground(x, y)], axis=1)
        return Track(ways, np.full(len(times), self.yaw_rad), np.zeros(3), periodic=False)

    def box(self, after_s: float) -> tuple[float, ...]:
        """x y z l w h yaw `after_s` from the middle of the scene."""
        x = self.at[0] + self.speed_mps * float(np.cos(self.yaw_rad)) * after_s
        y = self.at[1] + self.speed_mps * float(np.sin(self.yaw_rad)) * after_s
        return x, y, self.size_m[2] / 2, *self.size_m, self.yaw_rad


def _untangled(goers: list[_Goer]) -> tuple[list[_Goer], list[int]]:
    """Who would meet another stands still; of two in one place the later goes. Gives who is left, and their rows."""
    kept = list(range(len(goers)))
    while True:
        tables = [np.asarray([goers[k].box(after) for k in kept]) for after in (0.0, *_MOMENTS_S)]
        meets = [np.triu(iou_bev(table, table) > LEAST_IOU, 1) for table in tables]
        stuck, moving = np.argwhere(meets[0]), np.argwhere(np.any(meets[1:], axis=0))
        if len(stuck):
            del kept[int(stuck[0, 1])]
        elif len(moving):
            for k in {kept[int(n)] for n in moving.ravel()}:
                goers[k] = replace(goers[k], speed_mps=0.0)
        else:
            return [goers[k] for k in kept], kept


def _sounds(thing: Thing, track: Track, speed: float, rng: np.random.Generator) -> list[SoundSource]:
    """What a thing is heard by; most are not."""
    lot = float(rng.random())
    kind, level, exponent = "", 0.0, 0.0
    if thing.kind in ("van", "truck", "bus") and lot < 0.15:
        kind, level = str(rng.choice(["siren_wail", "siren_yelp", "siren_hi_lo"])), float(rng.uniform(106, 114))
    elif thing.kind == "truck" and lot < 0.4:
        kind, level = "beeper", 95.0
    elif thing.kind == "pedestrian" and lot < 0.4:
        kind, level = ("babble", 68.0) if lot < 0.2 else ("footsteps", 60.0)
    elif thing.kind == "two-wheeler" and lot < 0.25:
        kind, level = "bell", 85.0
    elif thing.label < 2 and lot > 0.97:
        kind, level = "horn", 100.0
    elif thing.label < 2 and speed > 3:
        kind, level, exponent = ("tyres", 78.0, 1.75) if lot < 0.7 else ("engine", 80.0, 0.5)
    if not kind:
        return []
    place = track.raised(min(1.0, thing.size_m[2]))
    return [SoundSource(kind, _voice(kind, int(rng.integers(_VOICES))), place, level, exponent)]


def _hidden_siren(street: RandomStreet, rng: np.random.Generator, audible: bool) -> list[SoundSource]:
    """On some streets a siren sounds from somewhere out of the LiDAR's field: behind, beside, beyond houses."""
    if not audible or rng.random() > 0.3:
        return []
    far, bearing = float(rng.uniform(15, 80)), float(rng.uniform(-np.pi, np.pi))
    at = (far * float(np.cos(bearing)), far * float(np.sin(bearing)))
    track = _Goer(at, bearing + np.pi, float(rng.uniform(0, 16)), EGO_SIZE_M).track(street)
    kind = str(rng.choice(["siren_wail", "siren_yelp", "siren_hi_lo"]))
    return [
        SoundSource(kind, _voice(kind, int(rng.integers(_VOICES))), track.raised(1.8), float(rng.uniform(106, 114)))
    ]


@lru_cache(maxsize=64)
def _voice(kind: str, number: int) -> Waveform:
    return synthesise(kind, number)


def _terrain(street: RandomStreet, rng: np.random.Generator) -> Body:
    body = painted(street.terrain(), rng)
    shade = np.asarray(_SHADES[int(rng.integers(len(_SHADES)))]) * rng.uniform(0.8, 1.2)
    colours = np.where((body.mesh.materials == Material.ROAD)[:, None], shade, body.colours)
    colours = colours * rng.uniform(0.93, 1.07, (len(colours), 1))
    return Body(body.mesh, colours.astype(np.float32))


def _markings(street: RandomStreet) -> Body:
    """Dashes between the lanes and lines at the edges, a centimetre high so that they lie on every slope."""
    pieces = []
    for across, step, long in ((0.0, 9.0, 4.0), (-street.lane, 3.0, 2.9), (street.lane, 3.0, 2.9)):
        for along in np.arange(-12.0, 78.0, step):
            x, y = street.xy(float(along), across)
            ends = [street.xy(float(along + s * long / 2), across) for s in (-1, 1)]
            (x0, y0), (x1, y1) = ends
            tilt = (street.height(x1, y1) - street.height(x0, y0)) / long
            mesh = block((long, 0.12, 0.015), (0, 0, 0), Material.PLATE)
            vertices = mesh.vertices_m.copy()
            vertices[:, 2] += np.float32(tilt) * vertices[:, 0]
            placed = Mesh(vertices, mesh.triangles, mesh.materials)
            pieces.append(placed.placed((x, y, street.height(x, y)), street.heading))
    mesh = Mesh.join(pieces)
    material = np.full(len(mesh.materials), int(Material.ROAD), np.uint8)
    white: Doubles = np.full((len(material), 3), 0.8)
    return Body(Mesh(mesh.vertices_m, mesh.triangles, material), white.astype(np.float32))
