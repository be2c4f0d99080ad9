"""The labelled frames of KITTI folders as people download them, and what is missing in them.

Object benchmark: a folder with label_2, calib, velodyne and image_2. Raw drive: a folder such as
2011_09_26_drive_0052_sync with velodyne_points, image_02, and tracklet_labels.xml or, as here and there, labels of the
benchmark's form in label_02; its calibration lies in the folder above. Either may lie up to four folders deep.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path

import numpy as np

from fusion_pipeline.arrays import Array, Doubles
from fusion_pipeline.geometry.boxes import corners
from fusion_pipeline.logs.kitti_files import (
    Calibration,
    drive_calibration,
    frame_calibration,
    frame_labels,
    numbered,
    tracklets,
)  # fmt: skip
from fusion_pipeline.logs.pictures import picture_size
from fusion_pipeline.logs.reader import FormError, LogError

DEPTH = 4
EARLIER = 4  # pictures, 0.1 s apart, that a frame of a drive may say came before it
SITE = "https://www.cvlibs.net/datasets/kitti/"
OBJECT_SITE, RAW_SITE = f"{SITE}eval_object.php?obj_benchmark=3d", f"{SITE}raw_data.php"
SIZE_PX = (1242, 375)  # of pictures that are not there
OCCLUSION = {1.0: 0, 0.6: 1, 0.2: 2}  # of tracklets, by the share in sight that they are read as


class EvaluationError(ValueError):
    """A data set that cannot be used to judge a model; the message says what is missing, where, and where to get it."""


@dataclass(frozen=True, slots=True, eq=False)
class Truth:
    """What was labelled in a frame; DontCare apart."""

    kinds: tuple[str, ...]
    boxes: Doubles  # (M, 7) x y z l w h yaw in the vehicle frame
    heights_px: Doubles  # (M,)
    occlusion: Array  # (M,)
    truncation: Doubles  # (M,)
    dont_care_px: Doubles  # (K, 4) left top right bottom


@dataclass(frozen=True, slots=True, eq=False)
class LabelledFrame:
    """One frame: its files, its calibration and its truth."""

    name: str  # "object/000001", "0052/14"
    scan: Path | None
    picture: Path | None
    calibration: Calibration
    truth: Truth
    earlier: tuple[Path, ...] = ()  # of a drive: the pictures before this one without a gap, the latest first


@dataclass(frozen=True, slots=True)
class Folder:
    """What a folder holds, and one line for each part that is missing."""

    frames: tuple[LabelledFrame, ...]
    missing: tuple[str, ...]


def find(root: Path) -> Folder:
    """The labelled frames under `root`. Raises EvaluationError where it holds nothing of KITTI's, or no such frame."""
    if not root.is_dir():
        raise EvaluationError(f'{root} is no folder; name one with KITTI data ({OBJECT_SITE}), or "simulated"')
    frames: list[LabelledFrame] = []
    missing: list[str] = []
    places = list(_places(root, DEPTH))
    for place in places:
        (_objects if _is_objects(place) else _drive)(place, frames, missing)
    if not places:
        raise EvaluationError(
            f"{root} holds no KITTI data: neither a folder with label_2, calib and velodyne ({OBJECT_SITE}) nor a "
            f"drive such as 2011_09_26_drive_0052_sync ({RAW_SITE})"
        )
    if not frames:
        raise EvaluationError(f"{root} holds no labelled frame that can be judged: " + "; ".join(missing))
    return Folder(tuple(frames), tuple(missing))


def _is_objects(place: Path) -> bool:
    parts = [(place / name).is_dir() for name in ("label_2", "calib", "velodyne", "image_2")]
    return sum(parts) >= 2 or parts[0]


def _is_drive(place: Path) -> bool:
    return any((place / name).exists() for name in ("velodyne_points", "label_02", "tracklet_labels.xml"))


def _places(folder: Path, depth: int) -> Iterator[Path]:
    if _is_objects(folder) or _is_drive(folder):
        if folder.name != "testing":  # has no labels, and needs none
            yield folder
    elif depth:
        for inner in sorted(path for path in folder.iterdir() if path.is_dir()):
            yield from _places(inner, depth - 1)


def _objects(place: Path, frames: list[LabelledFrame], missing: list[str]) -> None:
    labels = numbered(place / "label_2", "*.txt")
    tables, scans = numbered(place / "calib", "*.txt"), numbered(place / "velodyne", "*.bin")
    pictures = numbered(place / "image_2", "*.png", "*.jpg")
    if not labels:
        missing.append(f"{place / 'label_2'}: no labels, the truth (data_object_label_2.zip, {OBJECT_SITE})")
        return
    for name, there, why in (
        ("calib", tables, "where the sensors sit, without which a frame is left out (data_object_calib.zip"),
        ("velodyne", scans, "the LiDAR, without which the camera is judged alone (data_object_velodyne.zip"),
        ("image_2", pictures, "the camera, without which the LiDAR is judged alone (data_object_image_2.zip"),
    ):
        missing += _lacking(place / name, "{:06d}", labels.keys() - there.keys(), len(labels), f"{why}, {OBJECT_SITE})")
    for number, file in labels.items():
        if number not in tables or (number not in scans and number not in pictures):
            continue
        picture = pictures.get(number)
        calibration = frame_calibration(tables[number], _size(picture))
        frames.append(LabelledFrame(f"object/{number:06d}", scans.get(number), picture, calibration,
                                    _labelled(file, calibration)))  # fmt: skip


def _drive(place: Path, frames: list[LabelledFrame], missing: list[str]) -> None:
    labels, boxes = numbered(place / "label_02", "*.txt"), place / "tracklet_labels.xml"
    scans = numbered(place / "velodyne_points" / "data", "*.bin")
    pictures = numbered(place / "image_02" / "data", "*.png", "*.jpg")
    if not labels and not boxes.is_file():
        missing.append(f'{boxes}: no labels, the truth (the drive\'s "tracklets", {RAW_SITE})')
        return
    lacking = [path for path in (place.parent / f"calib_{n}.txt" for n in ("cam_to_cam", "velo_to_cam"))
               if not path.is_file()]  # fmt: skip
    missing += [f'{path}: where the sensors sit (the day\'s "calibration", {RAW_SITE})' for path in lacking]
    if lacking:
        return
    calibration = drive_calibration(place.parent)
    tracks = {} if labels else tracklets(boxes)
    truths = {number: _labelled(file, calibration) for number, file in labels.items()}
    truths |= {number: _tracked(*tracks[number], calibration) for number in sorted(tracks)}
    for name, there, why in (
        ("velodyne_points/data", scans, "the LiDAR, without which the camera is judged alone"),
        ("image_02/data", pictures, "the camera, without which the LiDAR is judged alone"),
    ):
        reason = f'{why} (the drive\'s "synced+rectified data", {RAW_SITE})'
        missing += _lacking(place / name, "{:010d}", truths.keys() - there.keys(), len(truths), reason)
    short = place.name.removesuffix("_sync").rpartition("_drive_")[2]
    for number, truth in truths.items():
        if number in scans or number in pictures:
            back = takewhile(pictures.__contains__, range(number - 1, number - 1 - EARLIER, -1))
            earlier = tuple(pictures[k] for k in back)
            frames.append(LabelledFrame(f"{short}/{number}", scans.get(number), pictures.get(number), calibration,
                                        truth, earlier))  # fmt: skip


def _lacking(folder: Path, form: str, lacking: set[int], of: int, why: str) -> Iterator[str]:
    if len(lacking) == of:
        yield f"{folder}: nothing for any of {of} labelled frames: {why}"
    elif lacking:
        named = ", ".join(form.format(number) for number in sorted(lacking)[:3]) + (" ..." if len(lacking) > 3 else "")
        yield f"{folder}: {len(lacking)} of {of} labelled frames are missing ({named}): {why}"


def _size(picture: Path | None) -> tuple[int, int]:
    if picture is None:
        return SIZE_PX
    try:
        _, height, width = picture_size(np.fromfile(picture, np.uint8, 65536))
    except (FormError, OSError):
        return SIZE_PX  # a damaged picture is refused, and named, when it is read
    return width, height


def _labelled(file: Path, calibration: Calibration) -> Truth:
    """Of a file of label_2. Raises LogError for a line that is none."""
    try:
        lines = file.read_text().splitlines()
        rows = [words for words in (line.split() for line in lines) if words]
        labels = frame_labels(lines, calibration, 0)
        real = [words for words in rows if words[0] != "DontCare"]
        numbers = np.asarray([words[1:8] for words in real], np.float64).reshape(-1, 7)
        ignored = np.asarray([words[4:8] for words in rows if words[0] == "DontCare"], np.float64).reshape(-1, 4)
    except (OSError, ValueError, IndexError, OverflowError) as error:
        raise LogError(f"{file} cannot be read as labels: {error}; download it again") from None
    boxes = np.column_stack([labels.boxes.centers_m, labels.boxes.sizes_m, labels.boxes.yaws_rad]).astype(np.float64)
    return Truth(tuple(words[0] for words in real), boxes, numbers[:, 6] - numbers[:, 4],
                 numbers[:, 1].astype(np.int64), numbers[:, 0], ignored)  # fmt: skip


def _tracked(
    rows: list[list[float]], names: list[str], tracks: list[int], visible: list[float], calibration: Calibration
) -> Truth:
    """Of tracklets, which say nothing of the picture: height and truncation are those of the projected box."""
    boxes = np.asarray(rows, np.float64).reshape(-1, 7)
    whole = projected(boxes, calibration, clip=False)
    shown = projected(boxes, calibration)
    area = np.maximum(np.prod(whole[:, 2:] - whole[:, :2], axis=1), 1e-9)
    inside = np.prod(shown[:, 2:] - shown[:, :2], axis=1) / area
    seen = inside > 0
    kinds = tuple({"Person (sitting)": "Person_sitting"}.get(name, name) for name in names)
    occlusion = np.asarray([OCCLUSION.get(round(share, 3), 3) for share in visible], np.int64)
    return Truth(tuple(k for k, there in zip(kinds, seen, strict=True) if there), boxes[seen],
                 (shown[:, 3] - shown[:, 1])[seen], occlusion[seen], 1 - inside[seen], np.zeros((0, 4)))  # fmt: skip


def projected(boxes: Doubles, calibration: Calibration, clip: bool = True) -> Doubles:
    """(N, 4) left top right bottom in the picture of boxes (N, 7) in the vehicle frame; all 0 for what lies behind."""
    points = calibration.vehicle_from_rectified.inverse().apply(corners(boxes).reshape(-1, 3))
    flat = np.column_stack([points, np.ones(len(points))]) @ calibration.projection.T
    depth = flat[:, 2].reshape(-1, 8)
    pixels = (flat[:, :2] / np.maximum(flat[:, 2:], 0.1)).reshape(-1, 8, 2)
    if clip:
        pixels = np.clip(pixels, 0, np.asarray(calibration.size_px) - 1)
    out = np.concatenate([pixels.min(axis=1), pixels.max(axis=1)], axis=1)
    out[depth.max(axis=1) <= 0] = 0
    return np.asarray(out, np.float64)
