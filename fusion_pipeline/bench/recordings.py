"""How a network does on labelled KITTI frames: a judgement, never a source of weights."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from fusion_pipeline.arrays import Array, Doubles, Floats
from fusion_pipeline.bench.report import Figure
from fusion_pipeline.encode.audio import AZIMUTHS, BANDS, QUIET_DB, STEPS
from fusion_pipeline.encode.image import prepare
from fusion_pipeline.encode.lookup import HEIGHT_PX, PICTURE, WIDTH_PX, rig_tables
from fusion_pipeline.encode.points import BevRaster
from fusion_pipeline.geometry.boxes import corners, iou_bev, nms_bev
from fusion_pipeline.geometry.camera import CameraModel
from fusion_pipeline.geometry.pose import Pose
from fusion_pipeline.manifest import Manifest
from fusion_pipeline.metrics.kitti import MODERATE, Frame, average_precision, counted, interval
from fusion_pipeline.operations import DecodeCenter
from fusion_pipeline.rig import CameraMount, Rig

Detector = Callable[["Shot"], tuple[Doubles, Doubles, Array]]  # to boxes (N, 7), scores, labels
DRIVE = "2011_09_26/2011_09_26_drive_0052_sync"
LIDAR_M = 1.73
NEAR_M, SURE = 40.0, 0.3


@dataclass(frozen=True, slots=True, eq=False)
class Shot:
    """One frame's files and calibration."""

    name: str
    scan: Path
    picture: Path
    label: Path
    projection: Doubles  # (3, 4) of the rectified camera
    camera_from_vehicle: Doubles  # (4, 4)

    def points(self) -> tuple[Floats, Floats]:
        """(N, 3) in the vehicle frame, (N,) intensity."""
        rows = np.fromfile(self.scan, np.float32).reshape(-1, 4)
        return rows[:, :3] + np.asarray([0, 0, LIDAR_M], np.float32), rows[:, 3]

    def camera(self, width_px: int, height_px: int) -> CameraMount:
        """Where the picture was taken from, and its intrinsics."""
        matrix = self.projection[:, :3]
        beside = np.linalg.solve(matrix, self.projection[:, 3])
        turn, shift = self.camera_from_vehicle[:3, :3], self.camera_from_vehicle[:3, 3] + beside
        return CameraMount(
            Pose(turn, shift).inverse(), CameraModel("pinhole", width_px, height_px, matrix, np.zeros(0))
        )


def detector(model: Path, least: float = 0.02, senses: tuple[int, int] = (1, 1), threads: int = 2) -> Detector:
    """The exported network with encoding, decoding and overlap removal around it, with LiDAR and camera as `senses`
    say; sound there is none.
    """
    from fusion_pipeline.detect.network import Network

    network, raster = Network(model, threads=threads), BevRaster()
    names = {spec.name for spec in network.inputs}
    stages = Manifest.beside(model).stages
    iou_weight = next((stage.iou_weight for stage in stages if isinstance(stage, DecodeCenter)), 0.0)

    def detect(shot: Shot) -> tuple[Doubles, Doubles, Array]:
        xyz, intensity = shot.points() if senses[0] else (np.zeros((0, 3), np.float32), np.zeros(0, np.float32))
        inputs: dict[str, Array] = {"lidar_bev": raster(xyz, intensity)}
        present = np.asarray([[senses[0], 0, 0, 0]], np.float32)
        if "image" in names:
            pixels = cv2.imread(str(shot.picture)) if senses[1] else None
            cameras = {"camera": shot.camera(pixels.shape[1], pixels.shape[0])} if pixels is not None else {}
            present[0, 1] = pixels is not None
            inputs |= rig_tables(Rig("kitti", {}, cameras))
            inputs["image"] = np.zeros((1, 3, HEIGHT_PX, WIDTH_PX), np.float32)
            if pixels is not None:
                inputs["image"] = prepare(np.asarray(pixels, np.uint8), PICTURE)[0][None]
            inputs["audio_srp"] = np.zeros((1, BANDS, STEPS, AZIMUTHS), np.float32)
            inputs["audio_level"] = np.full((1, BANDS, STEPS), QUIET_DB, np.float32)
        out = network({**inputs, "present": present})
        rows = out["boxes"].astype(np.float64)
        yaw = np.arctan2(rows[:, 6], rows[:, 7])
        boxes = np.column_stack([rows[:, :6], yaw])
        boxes[:, 2] += raster.ground_at(rows[:, :2].astype(np.float32))
        scores = out["scores"].astype(np.float64) ** (1 - iou_weight) * out["iou"] ** iou_weight
        keep = np.flatnonzero(scores > least)
        keep = keep[nms_bev(boxes[keep], scores[keep], 0.2)]
        return boxes[keep], scores[keep], out["labels"][keep]

    return detect


def _matrices(path: Path) -> dict[str, Doubles]:
    found = {}
    for line in path.read_text().splitlines():
        key, _, rest = line.partition(":")
        if rest.strip() and key != "calib_time":
            found[key] = np.asarray(rest.split(), np.float64)
    return found


def _square(rotation: Doubles, shift: Doubles) -> Doubles:
    out = np.eye(4)
    out[:3, :3], out[:3, 3] = rotation.reshape(3, 3), shift
    return out


def kitti(root: Path) -> Iterator[Shot]:
    """The labelled frames under `root`."""
    down = np.eye(4)
    down[2, 3] = -LIDAR_M  # velodyne from vehicle
    raw = root / "kitti_raw"
    camera, mount = (_matrices(raw / "2011_09_26" / f"calib_{n}.txt") for n in ("cam_to_cam", "velo_to_cam"))
    turn = _square(camera["R_rect_00"], np.zeros(3)) @ _square(mount["R"], mount["T"]) @ down
    for label in sorted((raw / DRIVE / "label_02").glob("*.txt")):
        scan = raw / DRIVE / "velodyne_points" / "data" / f"{label.stem}.bin"
        picture = next((raw / DRIVE / "image_02" / "data").glob(f"{label.stem}.*"), Path("none"))
        yield Shot(f"0052/{int(label.stem)}", scan, picture, label, camera["P_rect_02"].reshape(3, 4), turn)
    folder = root / "kitti_object" / "training"
    for label in sorted((folder / "label_2").glob("*.txt")):
        table = _matrices(folder / "calib" / label.name)
        velo = table["Tr_velo_to_cam"].reshape(3, 4)
        turn = _square(table["R0_rect"], np.zeros(3)) @ _square(velo[:, :3], velo[:, 3]) @ down
        picture = next((folder / "image_2").glob(f"{label.stem}.*"), Path("none"))
        scan = folder / "velodyne" / f"{label.stem}.bin"
        yield Shot(f"object/{label.stem}", scan, picture, label, table["P2"].reshape(3, 4), turn)


def judge(detect: Detector, shot: Shot, wanted: int) -> Frame:
    """One labelled frame with what the detector finds of class `wanted` in the camera's view."""
    boxes, scores, labels = detect(shot)
    projection, turn, label = shot.projection, shot.camera_from_vehicle, shot.label
    boxes, scores = boxes[labels == wanted], scores[labels == wanted]
    pixels = _pictured(boxes, projection @ turn)
    seen = (pixels[:, 2] > 0) & (pixels[:, 0] < 1242) & (pixels[:, 2] - pixels[:, 0] > 1)
    middle = projection @ turn @ np.column_stack([boxes[:, :3], np.ones(len(boxes))]).T
    across = middle[0] / np.maximum(middle[2], 0.1)
    seen &= (across > 0) & (across < 1242)
    rows = [line.split() for line in label.read_text().splitlines() if line.strip()]
    real = [r for r in rows if r[0] != "DontCare"]
    numbers = np.asarray([r[1:15] for r in real], np.float64).reshape(-1, 14)
    bottom = np.column_stack([numbers[:, 10:13], np.ones(len(real))]) @ np.linalg.inv(turn).T
    ahead = np.linalg.inv(turn)[:3, :3] @ np.stack(
        [np.cos(numbers[:, 13]), 0 * numbers[:, 13], -np.sin(numbers[:, 13])]
    )
    height, width, length = numbers[:, 7], numbers[:, 8], numbers[:, 9]
    truth = np.column_stack(
        [bottom[:, :2], bottom[:, 2] + height / 2, length, width, height, np.arctan2(ahead[1], ahead[0])]
    )
    return Frame(
        kinds=tuple(r[0] for r in real),
        boxes=truth,
        heights_px=numbers[:, 6] - numbers[:, 4],
        occlusion=numbers[:, 1].astype(int),
        truncation=numbers[:, 0],
        found=boxes[seen],
        scores=scores[seen],
        found_px=pixels[seen],
        dont_care_px=np.asarray([r[4:8] for r in rows if r[0] == "DontCare"], np.float64).reshape(-1, 4),
    )


def _pictured(boxes: Doubles, matrix: Doubles) -> Doubles:
    """(N, 4) left top right bottom in the picture of boxes in the vehicle frame."""
    points = corners(boxes).reshape(-1, 3)
    flat = np.column_stack([points, np.ones(len(points))]) @ matrix.T
    depth = np.maximum(flat[:, 2:], 0.1)
    pixels = np.clip(flat[:, :2] / depth, [0, 0], [1241, 374]).reshape(-1, 8, 2)
    return np.concatenate([pixels.min(axis=1), pixels.max(axis=1)], axis=1)


def figures(model: Path, root: Path) -> tuple[Figure, ...]:
    """Cars, moderate, R40, with 95 % intervals; recall of the drive's cars within 40 m; false cars; errors in metres.

    Raises FileNotFoundError where `root` holds no labelled frame.
    """
    if not root.joinpath("kitti_raw").is_dir():
        raise FileNotFoundError(f"{root / 'kitti_raw'} does not exist; download a KITTI drive with its labels into it")
    detect = detector(model)
    named = [(shot.name, judge(detect, shot, wanted=0)) for shot in kitti(root)]
    frames = [frame for _, frame in named]
    return (*_precisions(frames), *_places(named))


def _precisions(frames: list[Frame]) -> Iterator[Figure]:
    n = counted(frames, "Car", MODERATE)
    for bev in (True, False):
        for iou in (0.5, 0.7):
            low, high = interval(frames, "Car", MODERATE, iou, bev)
            yield Figure(
                f"cars, moderate, {'BEV' if bev else '3D'} AP@{iou}, R40",
                average_precision(frames, "Car", MODERATE, iou, bev), "",
                note=f"95 % interval {low:.0f} to {high:.0f}; {n} cars in {len(frames)} frames",
            )  # fmt: skip


def _places(named: list[tuple[str, Frame]]) -> Iterator[Figure]:
    hits = total = false = 0
    errors: list[Doubles] = []
    for name, frame in named:
        cars = [i for i, k in enumerate(frame.kinds) if k == "Car" and np.hypot(*frame.boxes[i, :2]) < NEAR_M]
        sure = frame.scores >= SURE
        overlap = iou_bev(frame.found[sure], frame.boxes)
        false += int((overlap.max(axis=1, initial=0) < 0.1).sum())
        for i in cars:
            match = overlap[:, i].max(initial=0) >= 0.5
            if name.startswith("0052"):
                hits, total = hits + int(match), total + 1
            if match:
                errors.append(frame.found[sure][overlap[:, i].argmax()] - frame.boxes[i])
    yield Figure(f"drive 0052, cars within {NEAR_M:.0f} m found at BEV IoU 0.5, score >= {SURE}", hits, f"of {total}")
    yield Figure(f"cars where nothing is labelled, {len(named)} frames, score >= {SURE}", false, "")
    if errors:
        offsets = np.stack(errors)[:, :6]
        means, spreads = offsets.mean(axis=0), offsets.std(axis=0)
        for name, mean, spread in zip(("x", "y", "z", "length", "width", "height"), means, spreads, strict=True):
            yield Figure(
                f"mean error of {name}, cars within {NEAR_M:.0f} m", float(mean), "m", note=f"spread {spread:.2f} m"
            )
