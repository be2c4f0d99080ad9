"""What is true in a drive at a time: boxes as a perfect detector would give them, and the vehicle's own motion."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field

import numpy as np

from fusion_pipeline.arrays import Doubles, Ints
from fusion_pipeline.geometry.pose import Pose
from fusion_pipeline.messages import Boxes, EgoMotion, Header
from fusion_pipeline.world.drive import Drive
from fusion_pipeline.world.ego_sensors import PERFECT_EGO, EgoErrors
from fusion_pipeline.world.faults import Fault, described
from fusion_pipeline.world.motion import nearest_image
from fusion_pipeline.world.occlusion import Sight
from fusion_pipeline.world.scene import CLASSES
from fusion_pipeline.world.sight import bearing_rad, in_sight
from fusion_pipeline.world.sound_truth import SoundTruth, sounds_at

__all__ = ["SoundTruth", "Truth", "bearing_rad", "boxes", "boxes_at", "ego_motion", "in_sight", "truth_at"]

REACH_M = 100.0
_POSE_STD = (0.05, 0.05, 0.02, 0.002, 0.002, 0.005)  # metres, radians: what a good odometry claims
_TWIST_STD = (0.05, 0.05, 0.05, 0.002, 0.002, 0.005)


def boxes(drive: Drive, time_ns: int, reach_m: float = 100.0) -> Boxes:
    """Every actor within `reach_m` in the vehicle frame at vehicle time `time_ns`, scores 1.

    `labels` index scene.CLASSES; `track_ids` are rows of `drive.actors`.
    """
    return boxes_at(drive, drive.seconds(time_ns), reach_m)


def boxes_at(drive: Drive, seconds: float, reach_m: float = 100.0) -> Boxes:
    """The same at a time of the drive itself."""
    ego = drive.ego.at(seconds)
    c, s = np.cos(ego.yaw_rad), np.sin(ego.yaw_rad)
    turn = np.array([[c, s], [-s, c]])
    rows: list[Doubles] = []
    numbers = []
    for number, actor in enumerate(drive.actors):
        state = actor.track.at(seconds)
        offset = state.position_m - ego.position_m
        offset[0] = nearest_image(float(offset[0]), drive.ring_m)
        if np.hypot(offset[0], offset[1]) > reach_m:
            continue
        yaw = (state.yaw_rad - ego.yaw_rad + np.pi) % (2 * np.pi) - np.pi
        centre = [*(turn @ offset[:2]), offset[2] + actor.size_m[2] / 2]
        rows.append(np.array([*centre, *actor.size_m, yaw, *(turn @ state.velocity_mps[:2])]))
        numbers.append(number)
    table = np.asarray(rows, np.float32).reshape(-1, 9)
    n = len(table)
    return Boxes(
        centers_m=table[:, :3].copy(),
        sizes_m=table[:, 3:6].copy(),
        yaws_rad=table[:, 6].copy(),
        velocities_mps=table[:, 7:].copy(),
        scores=np.ones(n, np.float32),
        labels=np.array([drive.actors[i].label for i in numbers], np.int64),
        std=np.zeros((n, 8), np.float32),
        attribution=np.full((n, 3), 1 / 3, np.float32),
        track_ids=np.array(numbers, np.int64),
    )


def ego_motion(drive: Drive, time_ns: int, topic: str, since_ns: int) -> EgoMotion:
    """Pose in an odometry frame that began at `since_ns` where the vehicle's lap does, and twist."""
    laps = time_ns // drive.period_ns - since_ns // drive.period_ns
    state = drive.ego.at(drive.seconds(time_ns) + laps * drive.period_s)
    pose = Pose.from_euler(0.0, 0.0, state.yaw_rad, state.position_m)
    return EgoMotion(
        header=Header(topic, time_ns, time_ns, frame="odometry"),
        position_m=state.position_m,
        orientation=pose.quaternion,
        velocity_mps=pose.rotation.T @ state.velocity_mps,
        angular_velocity_rps=np.array([0.0, 0.0, state.yaw_rate_rps]),
        pose_covariance=np.diag(np.square(_POSE_STD)),
        twist_covariance=np.diag(np.square(_TWIST_STD)),
    )


@dataclass(frozen=True, slots=True)
class Delivery:
    """A message of a faulty sensor: when it was really captured, when it says so, when it arrives, if at all."""

    topic: str
    true_ns: int
    stamp_ns: int
    arrival_ns: int  # -1: dropped


@dataclass(frozen=True, slots=True)
class Truth:
    """All that is true at one instant. Row i of `seen` belongs to box i; a sensor that gave nothing has no entry."""

    instant_ns: int
    class_names: tuple[str, ...]
    boxes: Boxes
    kinds: tuple[str, ...]
    seen: Mapping[str, Ints]  # topic -> (N,) points or pixels on each box
    in_sight: tuple[bool, ...]  # (N,) no building stands between the box's middle and the vehicle
    sounds: tuple[SoundTruth, ...]
    clocks_ms: Mapping[str, float]  # by how much a sensor's clock is ahead
    faults: Mapping[str, Fault]
    sights: Mapping[str, Sight] = field(default_factory=dict)  # topic -> what it sees; rows of drive.actors
    deliveries: tuple[Delivery, ...] = ()  # of faulty topics, captured since the truth before
    ego_errors: EgoErrors = PERFECT_EGO

    def table(self) -> dict[str, object]:
        """For JSON, one line of a log; the boxes themselves travel as tracks."""
        rows = zip(self.boxes.track_ids.tolist(), self.kinds, self.in_sight, strict=True)
        objects = [
            {"track_id": number, "kind": kind, "in_sight": sight,
             "seen": {topic: int(hits[i]) for topic, hits in self.seen.items()},
             "visible": {topic: look.share(number) for topic, look in self.sights.items()},
             "hidden_by": {topic: _named(look.hidden_by[number])
                           for topic, look in self.sights.items() if number in look.hidden_by}}
            for i, (number, kind, sight) in enumerate(rows)
        ]  # fmt: skip
        table: dict[str, object] = {
            "stamp_ns": self.instant_ns, "objects": objects, "sounds": [sound.table() for sound in self.sounds],
            "clocks_ms": dict(self.clocks_ms), "faults": described(self.faults),
            "messages": [asdict(delivery) for delivery in self.deliveries],
        }  # fmt: skip
        if self.ego_errors != PERFECT_EGO:
            table["ego_errors"] = asdict(self.ego_errors)
        return table


def truth_at(
    drive: Drive, instant_ns: int, seen: Mapping[str, Ints], clocks_ms: Mapping[str, float],
    faults: Mapping[str, Fault], arrays_m: Mapping[str, Doubles] | None = None,
) -> Truth:  # fmt: skip
    """The truth of an instant; `seen` has points or pixels for each of `drive.actors`.

    `arrays_m` has the middle of each array (3,) in the vehicle frame.
    """
    seconds = drive.seconds(instant_ns)
    found = boxes_at(drive, seconds, REACH_M)
    eye = drive.ego.at(seconds).position_m + np.asarray([0.0, 0.0, 1.7])
    numbers = found.track_ids
    places = [_middle(drive, int(i), seconds) for i in numbers]
    return Truth(
        instant_ns, CLASSES, found, tuple(drive.actors[i].kind for i in numbers),
        {topic: hits[numbers] for topic, hits in seen.items()},
        tuple(in_sight(drive, eye, place) for place in places), sounds_at(drive, seconds, arrays_m or {}), clocks_ms,
        faults,
    )  # fmt: skip


def _middle(drive: Drive, number: int, seconds: float) -> Doubles:
    actor = drive.actors[number]
    return np.asarray(actor.track.at(seconds).position_m + np.asarray([0.0, 0.0, actor.size_m[2] / 2]), np.float64)


def _named(hidden_by: Mapping[int, float]) -> dict[str, float]:
    return {"scenery" if actor < 0 else str(actor): round(share, 3) for actor, share in hidden_by.items()}
