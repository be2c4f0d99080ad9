"""Frames that a log of another system joins, and where they put its sensors: found by the structure of the tree."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field

import numpy as np

from fusion_pipeline.geometry.pose import Pose

# Names of the vehicle's own frame, by preference (REP 105 of ROS; nuScenes, CARLA, Argoverse call it otherwise).
BASES = ("base_link", "base_footprint", "vehicle", "ego_vehicle", "base", "body", "ego", "chassis", "base_stabilized")
FIXED = ("odom", "map", "world", "earth", "utm", "odometry", "global", "local")  # what a vehicle moves in
SAME_M, SAME_RAD = 0.01, 0.01  # two ways to one frame that differ by less agree


def plain_frame(frame: str) -> str:
    """A frame's name without the slash that ROS 1 sets before it."""
    return frame.strip().lstrip("/")


def is_base(frame: str) -> bool:
    """Whether a frame's name is a vehicle's, whatever prefix it bears: "robot1/base_link"."""
    last = frame.rpartition("/")[2]
    return last in BASES or last.endswith(("_base_link", "_base_footprint"))


def is_fixed(frame: str) -> bool:
    """Whether a frame's name is of what a vehicle moves in."""
    return frame.rpartition("/")[2] in FIXED


@dataclass(slots=True)
class Joint:
    """parent_from_child as it was first given; `moves` where later ones differ."""

    pose: Pose
    moves: bool = False


@dataclass(slots=True)
class Places:
    """Where frames sit: vehicle_from_frame, or why that is not known."""

    base: str = ""
    assumed: str = ""  # why `base` may be wrong; "" where its name says that it is the vehicle
    found: dict[str, Pose] = field(default_factory=dict)
    moving: dict[str, str] = field(default_factory=dict)  # frame: the joint on its way that moves
    doubtful: dict[str, str] = field(default_factory=dict)  # frame: what contradicts its place

    def of(self, frame: str) -> tuple[Pose | None, str, str]:
        """vehicle_from_frame; or None, the name of a finding and its detail."""
        if not frame:
            return None, "no-transform", "its messages name no frame"
        if frame in self.moving:
            return None, "moving-mount", f"{self.moving[frame]} moves, on the way from {self.base} to {frame}"
        if frame in self.doubtful:
            return None, "no-transform", self.doubtful[frame]
        pose = self.found.get(frame)
        if pose is None:
            return None, "no-transform", f"no transform joins its frame {frame} to {self.base or 'a vehicle'}"
        return pose, "", ""


@dataclass(slots=True)
class Frames:
    """Joints between frames, by parent and child."""

    joints: dict[tuple[str, str], Joint] = field(default_factory=dict)
    bad: Counter[str] = field(default_factory=Counter)  # joints that are no transform: "base_link -> lidar"

    def join(self, parent: str, child: str, pose: Pose) -> None:
        """`pose` is parent_from_child. One that was given before and differs makes the joint a moving one."""
        parent, child = plain_frame(parent), plain_frame(child)
        if not parent or not child or parent == child:
            self.bad[f"{parent} -> {child}"] += 1
            return
        known = self.joints.get((parent, child))
        if known is None:
            self.joints[parent, child] = Joint(pose)
        elif not known.moves and not _same(known.pose, pose):
            known.moves = True

    def refuse(self, parent: str, child: str) -> None:
        """Note a joint whose numbers are no transform."""
        self.bad[f"{plain_frame(parent)} -> {plain_frame(child)}"] += 1

    def places(self, sensors: Collection[str]) -> Places:
        """Of all frames that are joined to the vehicle's, of which `sensors` are frames of sensors."""
        around = self._around()
        base, assumed = self._base([s for s in sensors if s], around)
        places = Places(base, assumed)
        if not base:
            return places
        via: dict[str, str] = {base: ""}
        places.found[base] = Pose.identity()
        self._walk(deque([base]), around, places, via, False)
        still = dict(places.found)
        self._walk(deque(places.found), around, places, via, True)
        for (parent, child), joint in self.joints.items():
            if joint.moves or parent not in still or child not in still or via[child] == parent or via[parent] == child:
                continue
            if not _same(still[parent] @ joint.pose, still[child]):
                odd = parent if child == base else child
                said = f"frame {odd} is joined in two ways that contradict each other: under {parent} and otherwise"
                places.doubtful |= {frame: said for frame in via if odd in _way(frame, via)}
        return places

    def _around(self) -> dict[str, list[tuple[str, Joint, bool]]]:
        """By frame its neighbours, the joint to each, and whether the neighbour is its child."""
        around: dict[str, list[tuple[str, Joint, bool]]] = {}
        for (parent, child), joint in self.joints.items():
            if joint.moves and is_fixed(parent):
                continue  # the vehicle's own motion
            around.setdefault(parent, []).append((child, joint, True))
            around.setdefault(child, []).append((parent, joint, False))
        return around

    def _walk(self, waiting: deque[str], around: dict[str, list[tuple[str, Joint, bool]]], places: Places,
              via: dict[str, str], moving: bool) -> None:  # fmt: skip
        """By the fewest joints; without `moving` over those alone that do not move."""
        while waiting:
            here = waiting.popleft()
            for there, joint, down in around.get(here, ()):
                if there in via or (joint.moves and not moving):
                    continue
                via[there] = here
                places.found[there] = places.found[here] @ (joint.pose if down else joint.pose.inverse())
                if joint.moves:
                    places.moving[there] = f"{here} -> {there}"
                elif here in places.moving:
                    places.moving[there] = places.moving[here]
                waiting.append(there)

    def _base(self, sensors: Iterable[str], around: dict[str, list[tuple[str, Joint, bool]]]) -> tuple[str, str]:
        """The vehicle's frame: by its name, or else the root of the tree that holds most sensors."""
        frames = {*around, *(sensor for sensor in sensors if is_base(sensor))}
        named = [frame for frame in frames if is_base(frame)]
        if named:
            reach = {frame: sum(sensor in _reached(frame, around) for sensor in sensors) for frame in named}
            return min(named, key=lambda frame: (-reach[frame], _preference(frame), frame)), ""
        roots = Counter(root for sensor in sensors if (root := self._root(sensor)))
        if not roots:
            return "", ""
        base = min(roots, key=lambda root: (-roots[root], root))
        return base, f"no frame is named base_link; {base}, the root of its sensors' frames, is taken as the vehicle's"

    def _root(self, frame: str) -> str:
        """The topmost frame above a sensor's over joints that do not move; "" where it has no joint."""
        above = {child: parent for (parent, child), joint in reversed(self.joints.items()) if not joint.moves}
        if frame not in above and not any(frame == parent for parent, _ in self.joints):
            return ""
        seen = {frame}
        while frame in above and above[frame] not in seen:
            frame = above[frame]
            seen.add(frame)
        return frame


def _reached(start: str, around: dict[str, list[tuple[str, Joint, bool]]]) -> set[str]:
    waiting, seen = deque([start]), {start}
    while waiting:
        for there, _, _ in around.get(waiting.popleft(), ()):
            if there not in seen:
                seen.add(there)
                waiting.append(there)
    return seen


def _way(frame: str, via: dict[str, str]) -> list[str]:
    way = [frame]
    while via.get(way[-1]):
        way.append(via[way[-1]])
    return way


def _preference(frame: str) -> int:
    last = frame.rpartition("/")[2]
    return BASES.index(last) if last in BASES else len(BASES)


def _same(a: Pose, b: Pose) -> bool:
    gap = a.inverse() @ b
    turn = np.arccos(np.clip((np.trace(gap.rotation) - 1) / 2, -1, 1))
    return float(np.linalg.norm(gap.translation_m)) < SAME_M and float(turn) < SAME_RAD
