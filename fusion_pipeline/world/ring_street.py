"""The street of `fusion demo`: a ring of 480 m with houses, parked cars, traffic, people and an ambulance."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

import numpy as np

from fusion_pipeline.arrays import Doubles
from fusion_pipeline.world.bodies import BODIES, car, tree
from fusion_pipeline.world.drive import Actor, Body, Drive
from fusion_pipeline.world.fleets import EUROPE, Fleet
from fusion_pipeline.world.materials import Material
from fusion_pipeline.world.meshes import Mesh, block, cylinder, leaves
from fusion_pipeline.world.motion import STEP_S, Track
from fusion_pipeline.world.paint import painted, street_ground
from fusion_pipeline.world.scene import CLASSES
from fusion_pipeline.world.sound import SoundSource
from fusion_pipeline.world.sources import synthesise

RING_M, PERIOD_S, LANE_M = 480.0, 60.0, 3.3
PEOPLE, TURN_S = 26, 1.5
EGO_LAPS, AMBULANCE_LAPS = 1, 2  # 8 and 16 m/s


@lru_cache(maxsize=2)
def ring_street(seed: int, audible: bool = True, fleet: Fleet = EUROPE) -> Drive:
    """The drive of `seed`; the same seed gives the same drive on every machine.

    Without `audible` it has no sounds, which take a second to make; all else is the same.
    """
    return _Builder(seed, audible, fleet).drive()


class _Builder:
    def __init__(self, seed: int, audible: bool, fleet: Fleet) -> None:
        self.fleet = fleet
        self.rng = np.random.default_rng(seed)
        self.audible = audible
        self.actors: list[Actor] = []
        self.scenery: list[Body] = []
        self.solids: list[tuple[float, ...]] = []
        self.sounds: list[SoundSource] = []

    def drive(self) -> Drive:
        self._traffic()
        self._parked()
        self._people()
        self._houses()
        self._furniture()
        scenery = Body(
            Mesh.join([body.mesh for body in self.scenery]), np.concatenate([body.colours for body in self.scenery])
        )
        ego = self._lap(0.0, -LANE_M / 2, EGO_LAPS)
        ground = street_ground(RING_M, LANE_M, self.rng)
        solids = np.asarray(self.solids, np.float64).reshape(-1, 7)
        return Drive(RING_M, PERIOD_S, ego, tuple(self.actors), scenery, ground, solids, tuple(self.sounds))

    def _lap(self, start_m: float, across_m: float, laps: int, sway_m: float = 0.0) -> Track:
        """Round the ring `laps` times in a period, the other way where negative, swaying along by a slow wave."""
        phase = float(self.rng.uniform(0, 2 * np.pi))

        def place(times: Doubles) -> Doubles:
            wave = sway_m * np.sin(2 * np.pi * 2 * times / PERIOD_S + phase)
            x = start_m + laps * RING_M * times / PERIOD_S + wave
            return np.stack([x, np.full_like(x, across_m), np.zeros_like(x)], axis=1)

        return Track.from_function(place, PERIOD_S)

    def _there_and_back(self, middle_m: float, across_m: float, reach_m: float, sway_m: float) -> Track:
        """Go `reach_m` along the street and back within a period; turn round in TURN_S."""
        phase = float(self.rng.uniform(0, 2 * np.pi))

        def place(times: Doubles) -> Doubles:
            angle = 2 * np.pi * times / PERIOD_S + phase
            x = middle_m + reach_m / 2 * np.arcsin(0.995 * np.sin(angle)) * 2 / np.pi
            return np.stack([x, across_m + sway_m * np.cos(angle), np.zeros_like(x)], axis=1)

        track = Track.from_function(place, PERIOD_S)
        half = round(TURN_S / STEP_S / 2)
        yaws = track.yaws_rad
        lapped = np.concatenate([yaws[-half:] - track.turn_rad, yaws, yaws[:half] + track.turn_rad])
        smooth = np.convolve(lapped, np.full(2 * half + 1, 1 / (2 * half + 1)), mode="valid")
        return replace(track, yaws_rad=smooth)

    def _put(self, kind: str, track: Track, lacquer: tuple[float, float, float] | None = None) -> Actor:
        rng = self.rng
        if kind == "car":
            style = self.fleet.style(rng)
            size = style.size_m
            label, name, mesh = "car", style.name, car(rng, size, style)
        else:
            label, size = self.fleet.usual(kind)
            name, mesh = kind, BODIES[kind](rng, size)
        actor = Actor(CLASSES.index(label), name, size, track, painted(mesh, rng, lacquer))
        self.actors.append(actor)
        return actor

    def _sound(self, name: str, actor: Actor, level_db: float, speed_exponent: float = 0.0) -> None:
        if not self.audible:
            return
        track = actor.track.raised(min(1.0, actor.size_m[2]))
        waveform = synthesise(name, len(self.sounds))
        self.sounds.append(SoundSource(name, waveform, track, level_db, speed_exponent))

    def _traffic(self) -> None:
        for start in (17.0, 46.0, -28.0):  # in our lane, at our pace
            self._sound("engine", self._put("car", self._lap(start, -LANE_M / 2, EGO_LAPS, 3.0)), 78.0, 0.5)
        self._put("truck", self._lap(110.0, -LANE_M / 2, EGO_LAPS, 4.0), (0.85, 0.85, 0.83))
        for start in (60.0, 150.0, 215.0, 330.0, 420.0):
            kind = str(self.rng.choice(["car", "car", "car", "van"]))
            self._sound("tyres", self._put(kind, self._lap(start, LANE_M / 2, -EGO_LAPS, 5.0)), 76.0, 1.75)
        self._put("bus", self._lap(270.0, LANE_M / 2, -EGO_LAPS, 2.0), (0.75, 0.16, 0.12))
        ambulance = self._put("van", self._lap(180.0, LANE_M + 1.1, -AMBULANCE_LAPS), (0.95, 0.95, 0.55))
        self._sound("siren_hi_lo", ambulance, 112.0)

    def _parked(self) -> None:
        for side in (-1.0, 1.0):
            along = float(self.rng.uniform(5, 12))
            while along < RING_M - 8:
                # The left strip stays free: the ambulance takes it.
                if side < 0 and self.rng.random() < 0.55 and (along % 120) < 50:
                    yaw = 0.0 if self.rng.random() < 0.8 else np.pi
                    at = (along, side * (LANE_M + 1.15 + self.rng.normal(0, 0.08)), 0.0)
                    self._put("van" if self.rng.random() < 0.12 else "car", Track.still(at, yaw, PERIOD_S))
                along += float(self.rng.uniform(5.6, 7.5))

    def _people(self) -> None:
        apart = RING_M / (PEOPLE // 2)
        for number in range(PEOPLE):  # each keeps to a stretch of pavement of its own
            across = (1 if number % 2 else -1) * (LANE_M + self.rng.uniform(4.8, 5.7))
            middle = apart * (number // 2 + float(self.rng.uniform(0.45, 0.55)))
            self._put(
                "pedestrian", self._there_and_back(middle, across, float(self.rng.uniform(0.4, 0.85)) * apart, 0.4)
            )
        for start in (70.0, 190.0, 310.0, 430.0):  # between the trees and those who walk
            rider = self._there_and_back(start, -(LANE_M + 3.5), float(self.rng.uniform(70, 110)), 0.15)
            self._put("two-wheeler", rider)

    def _houses(self) -> None:
        for side in (-1.0, 1.0):
            along = float(self.rng.uniform(0, 6))
            while along < RING_M - 12:
                long, deep = float(self.rng.uniform(12, 26)), float(self.rng.uniform(8, 11))
                high = float(self.rng.uniform(6, 15))
                long = min(long, RING_M - along - 1)
                middle, across = along + long / 2, side * (LANE_M + 7.2 + deep / 2)
                self.scenery.append(painted(block((long, deep, high), (middle, across, 0), Material.WALL), self.rng))
                self.scenery.append(painted(self._windows(middle, side, long, high), self.rng))
                self.solids.append((middle, across, long / 2, deep / 2, 1.0, 0.0, high))
                along += long + float(self.rng.choice([0.0, self.rng.uniform(3, 12)], p=[0.6, 0.4]))

    def _windows(self, middle: float, side: float, long: float, high: float) -> Mesh:
        """Panes a hand's breadth before the facade, with a door in the middle."""
        face = side * (LANE_M + 7.17)
        panes = [
            block((1.1, 0.04, 1.5), (middle + u, face, z), Material.GLASS)
            for u in np.arange(-long / 2 + 1.6, long / 2 - 1.0, 2.7)
            for z in np.arange(1.2, high - 2.0, 3.0)
        ]
        door = block((1.2, 0.06, 2.2), (middle + 1.3, face, 0), Material.DARK_PAINT)
        return Mesh.join([*panes, door])

    def _furniture(self) -> None:
        for side in (-1.0, 1.0):
            for along in np.arange(float(self.rng.uniform(4, 14)), RING_M - 3, 20.0):
                at = (float(along), side * (LANE_M + 2.75), 0.0)
                if self.rng.random() < 0.5:
                    mesh = tree(self.rng, float(self.rng.uniform(5, 8)))
                else:
                    arm = block((0.1, 1.6, 0.1), (0, -side * 0.7, 5.9), Material.METAL)
                    mesh = Mesh.join([cylinder(0.08, 0.05, 6.0, Material.METAL), arm])
                self.scenery.append(painted(mesh.placed(at), self.rng))
            for _ in range(30):
                size = self.rng.uniform((0.8, 0.6, 0.6), (2.2, 1.2, 1.4))
                at = (float(self.rng.uniform(0, RING_M)), side * (LANE_M + 6.6), 0.0)
                self.scenery.append(painted(leaves(self.rng, size, 90).placed(at), self.rng))
