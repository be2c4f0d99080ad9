"""The vehicle and what was found around it, as Foxglove draws it: frames, lenses, boxes."""

from __future__ import annotations

import math
from typing import Any

from fusion_pipeline.logs.foxglove_form import stamp
from fusion_pipeline.messages import Detections, Tracks
from fusion_pipeline.rig import CameraMount, LidarMount, MicrophoneArray, Rig

COLOURS = ((0.31, 0.76, 0.97), (1.0, 0.65, 0.3), (1.0, 0.35, 0.55), (0.55, 0.85, 0.35), (0.7, 0.7, 0.7))
LIFETIME_NS = 500_000_000  # boxes fade when the next set does not come


def transforms(rig: Rig, time_ns: int) -> list[Any]:
    """vehicle_from_sensor of every sensor, its frame named after its topic."""
    from foxglove.messages import FrameTransform, Quaternion, Vector3

    found = []
    mounts: dict[str, LidarMount | CameraMount | MicrophoneArray] = {**rig.lidars, **rig.cameras, **rig.audios}
    for topic, mount in mounts.items():
        x, y, z = mount.vehicle_from_sensor.translation_m.tolist()
        qx, qy, qz, qw = mount.vehicle_from_sensor.quaternion.tolist()
        found.append(
            FrameTransform(
                timestamp=stamp(time_ns),
                parent_frame_id="vehicle",
                child_frame_id=topic,
                translation=Vector3(x=x, y=y, z=z),
                rotation=Quaternion(x=qx, y=qy, z=qz, w=qw),
            )
        )
    return found


def calibration(topic: str, mount: CameraMount, time_ns: int) -> Any:
    """A camera's lens; the picture is taken as it comes, so the projection is the matrix itself."""
    from foxglove.messages import CameraCalibration

    model, matrix = mount.model, mount.model.matrix
    projection = [*matrix[0].tolist(), 0.0, *matrix[1].tolist(), 0.0, *matrix[2].tolist(), 0.0]
    name = "kannala_brandt" if model.model == "fisheye" else "plumb_bob"
    count = 4 if model.model == "fisheye" else 5
    distortion = [*model.distortion.tolist(), *([0.0] * count)][: max(count, len(model.distortion))]
    return CameraCalibration(
        timestamp=stamp(time_ns),
        frame_id=topic,
        width=model.width_px,
        height=model.height_px,
        distortion_model=name if len(distortion) <= count else "rational_polynomial",
        D=distortion,
        K=matrix.ravel().tolist(),
        R=[1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0],
        P=projection,
    )


def boxes(found: Detections | Tracks) -> Any:
    """The boxes of a set as one scene entity with their labels."""
    from foxglove.messages import (
        Color,
        CubePrimitive,
        Duration,
        Pose,
        Quaternion,
        SceneEntity,
        SceneUpdate,
        TextPrimitive,
        Vector3,
    )  # fmt: skip

    cubes, texts = [], []
    for i, label in enumerate(found.boxes.labels.tolist()):
        x, y, z = found.boxes.centers_m[i].tolist()
        length, width, height = found.boxes.sizes_m[i].tolist()
        half = float(found.boxes.yaws_rad[i]) / 2
        turn = Quaternion(z=math.sin(half), w=math.cos(half))
        r, g, b = COLOURS[label % len(COLOURS)]
        cubes.append(
            CubePrimitive(
                pose=Pose(position=Vector3(x=x, y=y, z=z), orientation=turn),
                size=Vector3(x=length, y=width, z=height),
                color=Color(r=r, g=g, b=b, a=0.45),
            )
        )
        name = found.class_names[label] if 0 <= label < len(found.class_names) else str(label)
        texts.append(
            TextPrimitive(
                pose=Pose(position=Vector3(x=x, y=y, z=z + height / 2 + 0.4), orientation=Quaternion(w=1.0)),
                billboard=True,
                font_size=0.6,
                color=Color(r=1.0, g=1.0, b=1.0, a=1.0),
                text=f"{name} {found.boxes.scores[i]:.2f}",
            )
        )
    entity = SceneEntity(
        timestamp=stamp(found.header.capture_ns),
        frame_id="vehicle",
        id=found.header.source,
        lifetime=Duration(sec=0, nsec=LIFETIME_NS),
        cubes=cubes,
        texts=texts,
    )
    return SceneUpdate(entities=[entity])
