"""What is true in a drive at a time: boxes as a perfect detector would give them, and the vehicle's own motion."""

from __future__ import annotations

import numpy as np

from fusion_pipeline.arrays import Doubles
from fusion_pipeline.geometry.pose import Pose
from fusion_pipeline.messages import Boxes, EgoMotion, Header
from fusion_pipeline.world.drive import Drive
from fusion_pipeline.world.motion import nearest_image

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


def bearing_rad(drive: Drive, seconds: float, position_m: Doubles) -> float:
    """Direction of a place of the world (3,) from the vehicle: 0 ahead, positive to the left."""
    ego = drive.ego.at(seconds)
    x = nearest_image(float(position_m[0] - ego.position_m[0]), drive.ring_m)
    bearing = np.arctan2(position_m[1] - ego.position_m[1], x) - ego.yaw_rad
    return float((bearing + np.pi) % (2 * np.pi) - np.pi)
