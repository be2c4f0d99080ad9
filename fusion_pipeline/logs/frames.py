"""Frames and lenses that a log of another system has, put together into a rig."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from fusion_pipeline.geometry.camera import CameraModel
from fusion_pipeline.geometry.pose import Pose
from fusion_pipeline.rig import CameraMount, LidarMount, MicrophoneArray, Rig

BASES = ("base_link", "base_footprint", "vehicle", "ego_vehicle", "base", "body")


@dataclass(slots=True)
class Frames:
    """Joints between frames, and lenses by frame or by the namespace of their topic."""

    joints: dict[str, dict[str, Pose]] = field(default_factory=dict)  # joints[a][b] is a_from_b
    lenses: dict[str, CameraModel] = field(default_factory=dict)

    def join(self, parent: str, child: str, pose: Pose) -> None:
        """`pose` is parent_from_child."""
        self.joints.setdefault(parent, {})[child] = pose
        self.joints.setdefault(child, {})[parent] = pose.inverse()

    def mount(self, frame: str) -> Pose:
        """vehicle_from_frame by the fewest joints; the identity where there is no way."""
        base = next((name for name in BASES if name in self.joints), "")
        waiting, seen = deque([(base, Pose.identity())]), {base}
        while waiting:
            here, pose = waiting.popleft()
            if here == frame:
                return pose
            for there, joint in self.joints.get(here, {}).items():
                if there not in seen:
                    seen.add(there)
                    waiting.append((there, pose @ joint))
        return Pose.identity()

    def lens(self, topic: str, frame: str) -> CameraModel | None:
        """Of a camera's topic: that of the nearest namespace above it, or of its frame."""
        space = topic
        while "/" in space:
            space = space.rpartition("/")[0]
            if space in self.lenses:
                return self.lenses[space]
        return self.lenses.get(frame)

    def rig(self, name: str, names: Mapping[str, str], frame_of: Mapping[str, str]) -> Rig:
        """Of the log's topics, given with our names and their frames. A camera without a lens is left out."""
        lidars, cameras, audios = {}, {}, {}
        for topic, ours in names.items():
            frame = frame_of.get(topic, "")
            if ours.startswith("lidar/"):
                lidars[ours] = LidarMount(self.mount(frame))
            elif ours.startswith("camera/") and (lens := self.lens(topic, frame)) is not None:
                cameras[ours] = CameraMount(self.mount(frame), lens)
            elif ours.startswith("audio/") and frame in self.joints:
                audios[ours] = MicrophoneArray(self.mount(frame), np.zeros((1, 3)))
        return Rig(name, lidars, cameras, audios)
