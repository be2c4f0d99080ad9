"""A labelled KITTI frame as its sensors would have given it, had they gone wrong; and which wrongs it allows.

The kinds and their strengths are those of simulated moments, `train/corruptions.py`. Truth and the judged picture stay
what they were: a displaced camera is one whose calibration lies.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from fusion_pipeline.arrays import Bytes
from fusion_pipeline.encode.image import ImageError, decode
from fusion_pipeline.evaluate.kitti_detect import INSTANT_NS, PERIOD_NS, Senses
from fusion_pipeline.evaluate.kitti_frames import LabelledFrame
from fusion_pipeline.geometry.pose import Pose
from fusion_pipeline.logs.kitti_files import (
    CAMERA,
    LIDAR,
    LIDAR_HEIGHT_M,
    VEHICLE_FROM_VELO,
    named,
    read_picture,
    read_scan,
)
from fusion_pipeline.messages import CameraFrame, Header, LidarScan
from fusion_pipeline.rig import CameraMount, Rig
from fusion_pipeline.train.corruptions import CHANGES, CORRUPTIONS, LATE, LATE_S, Sight

KINDS = tuple(CORRUPTIONS)
STEP_S = 0.1  # from picture to picture of a drive
BACK = tuple(round(late / STEP_S) for late in LATE_S)  # how many pictures ago, by severity
OF_LIDAR = ("fewer beams", "fewer points")
OF_BOTH = ("motion", "fog", "snow")
ORDERED = 0.05  # more of a scan's points than this are on no beam of 64 where the file's order tells beams
_NONE: Bytes = np.zeros((0, 0, 3), np.uint8)


@dataclass(frozen=True, slots=True, eq=False)
class Taken:
    """What the sensors gave, and what their calibration claims."""

    rig: Rig
    scan: LidarScan | None
    picture: CameraFrame | None


class Corrupted:
    """One frame, read once, for all kinds and severities. Its name alone is the seed."""

    def __init__(self, frame: LabelledFrame, senses: Senses) -> None:
        """`senses` are those that the model takes in. Raises ValueError where the scan is damaged."""
        self.frame, self._senses = frame, senses
        self._seed = zlib.crc32(frame.name.encode())
        self._rig = frame.calibration.rig("kitti")
        mount = self._rig.cameras[CAMERA]
        scan = named(read_scan, frame.scan, 0, PERIOD_NS) if frame.scan is not None else None
        xyz = np.zeros((0, 3), np.float32) if scan is None else VEHICLE_FROM_VELO.apply(scan.xyz_m)
        intensity = np.zeros(0, np.float32) if scan is None else scan.intensity
        beam = np.zeros(0, np.int64) if scan is None else scan.ring.astype(np.int64)
        self._sight = Sight(
            xyz, intensity, beam, LIDAR_HEIGHT_M, _NONE if frame.picture is None else _pixels(frame.picture),
            mount.model.matrix, mount.vehicle_from_sensor.matrix,
        )  # fmt: skip

    def lacks(self, kind: str) -> str:
        """Why one of KINDS cannot be done to the frame, or would do nothing to the model; "" where it can."""
        points, picture = len(self._sight.xyz_m) > 0, self._sight.picture.size > 0
        lidar, camera = points and self._senses.lidar, picture and self._senses.camera
        if kind in OF_LIDAR and not lidar:
            return "no scan" if self._senses.lidar else "the model takes no scan"
        if kind not in (*OF_LIDAR, *OF_BOTH) and not camera:
            return "no picture" if self._senses.camera else "the model takes no picture"
        if not lidar and not camera:
            return "nothing that the model takes"
        if kind == "fewer beams" and np.bincount(self._sight.beam).max() > ORDERED * len(self._sight.beam):
            return "the scan's order does not tell its beams"
        if kind == "fog" and not points:
            return "no scan that says how far away a pixel is"
        if kind == LATE and len(self.frame.earlier) < max(BACK):
            return f"no {max(BACK)} earlier pictures"
        return ""

    def __call__(self, kind: str, severity: int) -> Taken:
        """One of KINDS done to it. Raises ValueError where an earlier picture is damaged."""
        if kind == LATE:
            path = self.frame.earlier[BACK[severity] - 1]
            picture = _pixels(path)
            if not picture.size:
                raise ValueError(f"{path} is no whole picture")
            return self._taken(replace(self._sight, picture=picture))
        return self._taken(CHANGES[kind](self._sight, self._seed, severity))

    def _taken(self, sight: Sight) -> Taken:
        mount = self._rig.cameras[CAMERA]
        camera = CameraMount(Pose(sight.camera[:3, :3], sight.camera[:3, 3]), mount.model)
        rig = Rig(self._rig.name, self._rig.lidars, {CAMERA: camera})
        scan = picture = None
        if self._senses.lidar and self.frame.scan is not None:
            xyz = np.ascontiguousarray(VEHICLE_FROM_VELO.inverse().apply(sight.xyz_m))
            still = np.zeros(len(xyz), np.int32)
            scan = LidarScan(_header(LIDAR), 0, xyz, sight.intensity, sight.beam.astype(np.uint16), still)
        if self._senses.camera and sight.picture.size:
            height, width = sight.picture.shape[:2]
            picture = CameraFrame(_header(CAMERA), "bgr8", height, width, sight.picture)
        return Taken(rig, scan, picture)


def _pixels(path: Path) -> Bytes:
    """(H, W, 3) B, G, R; of no size where it cannot be decoded, as it is then not there for the clean frame either."""
    try:
        return decode(named(read_picture, path, CAMERA, 0, 0))
    except ImageError:
        return _NONE


def _header(source: str) -> Header:
    return Header(source, INSTANT_NS, INSTANT_NS, source)
