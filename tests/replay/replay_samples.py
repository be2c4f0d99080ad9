"""A small log for tests of the player, and what it plays."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from fusion_pipeline.geometry.pose import Pose
from fusion_pipeline.logs.mcap_writer import McapWriter
from fusion_pipeline.messages import Boxes, CameraFrame, Detections, EgoMotion, Header, LidarScan, Message
from fusion_pipeline.messages.ego import unmeasured
from fusion_pipeline.rig import LidarMount, Rig

START_NS = 1_700_000_000_000_000_000
SCANS, PERIOD_NS = 30, 100_000_000
RIG = Rig("small", {"lidar/top": LidarMount(Pose.identity())})


def messages() -> list[Message]:
    """3 s: scans at 10 Hz, pictures at 20 Hz, poses at 50 Hz, and detections of a car that drives ahead."""
    rng = np.random.default_rng(3)
    found: list[Message] = []
    for k in range(SCANS):
        at = START_NS + k * PERIOD_NS
        xyz = rng.normal(0, 10, (50, 3)).astype(np.float32)
        zeros = np.zeros(50, np.float32)
        found.append(LidarScan(Header("lidar/top", at, at + PERIOD_NS + 3_000_000), PERIOD_NS, xyz, zeros,
                               np.zeros(50, np.uint16), np.zeros(50, np.int32)))  # fmt: skip
        found.append(_detections(at + PERIOD_NS // 2, k, rng))
    for k in range(2 * SCANS):
        at = START_NS + k * PERIOD_NS // 2
        pixels = np.full((4, 6, 1), k, np.uint8)
        found.append(CameraFrame(Header("camera/left", at, at + int(rng.integers(5, 30)) * 1_000_000), "mono8", 4, 6,
                                 pixels))  # fmt: skip
    for k in range(5 * SCANS):
        at = START_NS + k * PERIOD_NS // 5
        zeros = np.zeros(3)
        found.append(EgoMotion(Header("ego/odometry", at, at + 2_000_000), np.asarray([k * 0.1, 0, 0]),
                               np.asarray([0.0, 0, 0, 1]), zeros, zeros, np.zeros((6, 6)), np.zeros((6, 6)),
                               unmeasured()))  # fmt: skip
    return sorted(found, key=lambda message: message.header.arrival_ns)


def _detections(at: int, k: int, rng: np.random.Generator) -> Detections:
    n = 3
    centers = np.asarray([[8 + 0.4 * k, -2, 1], [20, 5, 1], [30 - k, 9, 1]], np.float32)
    centers[:, :2] += rng.normal(0, 0.05, (n, 2)).astype(np.float32)
    boxes = Boxes(
        centers, np.full((n, 3), 2, np.float32), np.zeros(n, np.float32), np.zeros((n, 2), np.float32),
        np.asarray([0.9, 0.7, 0.2 + 0.5 * (k % 3 > 0)], np.float32), np.zeros(n, np.int64),
        np.full((n, 8), 0.2, np.float32), np.full((n, 3), 1 / 3, np.float32), np.full(n, -1, np.int64),
    )  # fmt: skip
    return Detections(Header("detections", at, at + 90_000_000), ("car",), boxes)


def write_log(path: Path) -> Path:
    """The messages as an MCAP log."""
    with McapWriter(path, RIG) as writer:
        for message in messages():
            writer.write(message)
    return path
