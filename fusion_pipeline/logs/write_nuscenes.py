"""Results in nuScenes' submission format: boxes in the global frame by the token of their key frame.

The formats: "Results format" in the development kit's README of detection and of tracking. The size is width, length,
height, the rotation w, x, y, z. The classes are the ten that both benchmarks know; the others are left out and counted.
"""

from __future__ import annotations

import json
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from fusion_pipeline.geometry.pose import Pose
from fusion_pipeline.logs.nuscenes import NuScenes
from fusion_pipeline.logs.pose_track import PoseTrack
from fusion_pipeline.logs.reader import Log, LogError
from fusion_pipeline.messages import Detections, EgoMotion, Tracks
from fusion_pipeline.output_file import write_whole

NEAR_NS = 60_000_000  # a set further from every key frame belongs to none
MOST_BOXES = 500  # of a sample, by the benchmark's rules; the best count
TRACKED = ("bicycle", "bus", "car", "motorcycle", "pedestrian", "trailer", "truck")
DETECTED = (*TRACKED, "construction_vehicle", "traffic_cone", "barrier")
NAMES = {
    "two-wheeler": "bicycle", "cyclist": "bicycle", "van": "car", "person": "pedestrian",
    "person_sitting": "pedestrian",
    "vehicle.car": "car", "vehicle.truck": "truck", "vehicle.trailer": "trailer", "vehicle.motorcycle": "motorcycle",
    "vehicle.bicycle": "bicycle", "vehicle.bus.rigid": "bus", "vehicle.bus.bendy": "bus",
    "vehicle.construction": "construction_vehicle", "human.pedestrian.adult": "pedestrian",
    "human.pedestrian.child": "pedestrian", "human.pedestrian.police_officer": "pedestrian",
    "human.pedestrian.construction_worker": "pedestrian", "movable_object.trafficcone": "traffic_cone",
    "movable_object.barrier": "barrier",
}  # fmt: skip
MOVES_MPS = 0.5
ATTRIBUTES = {
    "pedestrian": ("pedestrian.moving", "pedestrian.standing"),
    **dict.fromkeys(("bicycle", "motorcycle"), ("cycle.with_rider", "cycle.without_rider")),
    **dict.fromkeys(("car", "truck", "bus", "trailer", "construction_vehicle"), ("vehicle.moving", "vehicle.parked")),
}


@dataclass(frozen=True, slots=True)
class Samples:
    """Where results belong, and where the vehicle was."""

    tokens: Mapping[int, str]  # by stamp, in order of time; empty: each set is a sample, named after its stamp
    poses: PoseTrack

    @classmethod
    def of(cls, log: Log) -> Samples:
        """Of a scene of nuScenes its key frames; of another log each set, placed by its ego motion. Raises LogError."""
        if isinstance(log, NuScenes):
            return cls(dict(sorted(log.samples.items())), log.global_from_vehicle)
        egos: dict[int, Pose] = {}
        for message in log.messages(topics=[topic for topic in log.topics if topic.startswith("ego/")][:1]):
            if isinstance(message, EgoMotion):
                egos[message.header.capture_ns] = Pose.from_quaternion(message.orientation, message.position_m)
        times = sorted(egos)
        if not times:
            raise LogError(f"{log.path} has no ego motion; nuScenes' results are in a frame that does not move")
        return cls({}, PoseTrack("ego", "odometry", times, lambda number: egos[times[number]]))

    def token_at(self, stamp_ns: int) -> str:
        """The token of the nearest key frame; "" where none is near."""
        if not self.tokens:
            return str(stamp_ns)
        stamps = list(self.tokens)
        place = bisect_left(stamps, stamp_ns)
        near = min(stamps[max(0, place - 1) : place + 1], key=lambda stamp: abs(stamp - stamp_ns))
        return self.tokens[near] if abs(near - stamp_ns) <= NEAR_NS else ""


def write_nuscenes(
    found: Iterable[Tracks | Detections], samples: Samples, out: Path, tracking: bool = False,
    advance: Callable[[int], None] = lambda n: None,
) -> tuple[int, Counter[str]]:  # fmt: skip
    """Write the file; how many boxes, and what was left out by reason. Every key frame is in it, also without boxes.

    Raises LogError.
    """
    results: dict[str, list[dict[str, Any]]] = {token: [] for token in samples.tokens.values()}
    distance = dict.fromkeys(results, NEAR_NS + 1)
    stamps = {token: stamp for stamp, token in samples.tokens.items()}
    left: Counter[str] = Counter()
    for item in found:
        advance(1)
        stamp = item.header.capture_ns
        token = samples.token_at(stamp)
        if not token:
            left["sets between key frames"] += 1
            continue
        away = abs(stamps.get(token, stamp) - stamp)
        if away >= distance.get(token, NEAR_NS + 1):
            left["sets further from a key frame than another"] += 1
            continue
        distance[token] = away
        results[token] = _boxes(item, token, samples.poses.at(stamp), tracking, left)
    sensors = {"use_camera": True, "use_lidar": True, "use_radar": False, "use_map": False, "use_external": True}
    try:
        write_whole(out, json.dumps({"meta": sensors, "results": results}))
    except OSError as error:
        raise LogError(f"cannot write {out}: {error.strerror}; choose another place") from None
    return sum(len(boxes) for boxes in results.values()), left


def _boxes(
    found: Tracks | Detections, token: str, pose: Pose, tracking: bool, left: Counter[str]
) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    boxes = found.boxes
    for k in np.argsort(-boxes.scores, kind="stable").tolist():
        label = int(boxes.labels[k])
        name = found.class_names[label].lower() if 0 <= label < len(found.class_names) else str(label)
        name = NAMES.get(name, name)
        if name not in (TRACKED if tracking else DETECTED):
            left[f"boxes of class {name}"] += 1
            continue
        if tracking and boxes.track_ids[k] < 0:
            left["boxes without a track"] += 1
            continue
        if len(rows) == MOST_BOXES:
            left[f"boxes beyond {MOST_BOXES} of a sample"] += 1
            continue
        turn = pose @ Pose.from_euler(0.0, 0.0, float(boxes.yaws_rad[k]), boxes.centers_m[k].astype(np.float64))
        x, y, z, w = turn.quaternion.tolist()
        length, width, height = boxes.sizes_m[k].tolist()
        speed = pose.rotation @ np.asarray([*boxes.velocities_mps[k].tolist(), 0.0])
        row: dict[str, Any] = {
            "sample_token": token, "translation": turn.translation_m.tolist(), "size": [width, length, height],
            "rotation": [w, x, y, z], "velocity": speed[:2].tolist(),
        }  # fmt: skip
        if tracking:
            row |= {"tracking_id": str(int(boxes.track_ids[k])), "tracking_name": name,
                    "tracking_score": float(boxes.scores[k])}  # fmt: skip
        else:
            moving, standing = ATTRIBUTES.get(name, ("", ""))
            fast = float(np.hypot(*boxes.velocities_mps[k])) > MOVES_MPS
            row |= {"detection_name": name, "detection_score": float(boxes.scores[k]),
                    "attribute_name": moving if fast else standing}  # fmt: skip
        rows.append(row)
    return rows
