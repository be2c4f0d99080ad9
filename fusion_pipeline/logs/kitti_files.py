"""The files of the KITTI data sets: calibration, stamps, scans, pictures, labels, tracklets, ego motion.

Geiger, Lenz, Stiller and Urtasun, "Vision meets Robotics: The KITTI Dataset", IJRR 2013; https://www.cvlibs.net/datasets/kitti/.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from fusion_pipeline.arrays import Doubles, Floats
from fusion_pipeline.clock import SECOND_NS
from fusion_pipeline.geometry.camera import CameraModel
from fusion_pipeline.geometry.pose import Pose
from fusion_pipeline.logs.labels import Labels, labelled
from fusion_pipeline.logs.pictures import compressed_frame
from fusion_pipeline.logs.reader import FormError, LogError
from fusion_pipeline.messages import CameraFrame, Header, LidarScan
from fusion_pipeline.rig import CameraMount, LidarMount, Rig

Read = TypeVar("Read")

LIDAR_HEIGHT_M = 1.73
LIDAR, CAMERA, EGO = "lidar/top", "camera/front", "ego/oxts"
CLASSES = ("Car", "Van", "Truck", "Pedestrian", "Person_sitting", "Cyclist", "Tram", "Misc")
LARGEST = 1e7  # of any number in a calibration or a label
IN_SIGHT = (1.0, 0.6, 0.2, 1.0)  # of labels' occlusion: wholly visible, partly, largely hidden, unknown


@dataclass(frozen=True, slots=True, eq=False)
class Calibration:
    """Where the Velodyne sits before the rectified camera 0, and how a rectified camera projects."""

    rectified_from_velo: Pose
    projection: Doubles  # (3, 4) of the colour camera: K [I | b]; b is its place beside camera 0
    size_px: tuple[int, int]  # width, height

    @property
    def vehicle_from_rectified(self) -> Pose:
        """The vehicle frame is the Velodyne's, lowered to the ground."""
        return VEHICLE_FROM_VELO @ self.rectified_from_velo.inverse()

    def rig(self, name: str) -> Rig:
        """Velodyne and colour camera."""
        matrix = self.projection[:, :3]
        beside = Pose(np.eye(3), np.asarray(np.linalg.solve(matrix, self.projection[:, 3]), np.float64))
        vehicle_from_camera = VEHICLE_FROM_VELO @ (beside @ self.rectified_from_velo).inverse()
        model = CameraModel("pinhole", *self.size_px, matrix, np.zeros(0))
        return Rig(name, {LIDAR: LidarMount(VEHICLE_FROM_VELO)}, {CAMERA: CameraMount(vehicle_from_camera, model)})


VEHICLE_FROM_VELO = Pose(np.eye(3), np.asarray([0.0, 0.0, LIDAR_HEIGHT_M]))


def frame_calibration(
    path: Path, size_px: tuple[int, int] = (1242, 375), camera: str = "P2", benchmark: str = "object"
) -> Calibration:
    """Of a calib file of the "object", "tracking" or "odometry" benchmark. Raises LogError."""
    return _usable(lambda: _frame_calibration(path, size_px, camera, benchmark), path)


def drive_calibration(folder: Path) -> Calibration:
    """Of a day's folder, from its calib_cam_to_cam.txt and calib_velo_to_cam.txt. Raises LogError."""
    return _usable(lambda: _drive_calibration(folder), folder)


def _usable(make: Callable[[], Calibration], path: Path) -> Calibration:
    """Numbers that are no rotation, or a projection that is none, are the file's fault. Raises LogError."""
    try:
        found = make()
        found.rig("tried")
    except LogError:
        raise
    except (ValueError, OverflowError, np.linalg.LinAlgError) as error:
        raise LogError(f"the calibration in {path} cannot be used: {error}") from None
    return found


def _frame_calibration(path: Path, size_px: tuple[int, int], camera: str, benchmark: str) -> Calibration:
    found = table(path)
    if benchmark == "odometry" and "Tr" not in found:
        raise LogError(
            f"{path} lacks Tr, where the Velodyne sits; the calib.txt of data_odometry_calib.zip has it, those beside "
            "the pictures do not"
        )
    if "Tr" in found:  # odometry: in the rectified frame already
        mount, rectify = matrix(found, "Tr", path, 3, 4), np.eye(3)
    else:
        keys = [("Tr_velo_to_cam", "Tr_velo_cam"), ("R0_rect", "R_rect")]  # of the object and the tracking benchmark
        own = [pair[benchmark == "tracking"] for pair in keys]
        there = [next((key for key in pair if key in found), own[k]) for k, pair in enumerate(keys)]
        mount, rectify = matrix(found, there[0], path, 3, 4), matrix(found, there[1], path, 3, 3)
    rectified_from_velo = Pose(rectify, np.zeros(3)) @ Pose(mount[:, :3], mount[:, 3])
    return Calibration(rectified_from_velo, matrix(found, camera, path, 3, 4), size_px)


def _drive_calibration(folder: Path) -> Calibration:
    cameras, velo = folder / "calib_cam_to_cam.txt", folder / "calib_velo_to_cam.txt"
    for path in (cameras, velo):
        if not path.is_file():
            raise LogError(
                f"calibration {path} does not exist; a drive needs its day's calibration in the folder above it"
            )
    found, mount = table(cameras), table(velo)
    camera_from_velo = Pose(matrix(mount, "R", velo, 3, 3), matrix(mount, "T", velo, 3))
    rectify = Pose(matrix(found, "R_rect_00", cameras, 3, 3), np.zeros(3))
    size = matrix(found, "S_rect_02", cameras, 2).astype(int)
    return Calibration(rectify @ camera_from_velo, matrix(found, "P_rect_02", cameras, 3, 4),
                       (int(size[0]), int(size[1])))  # fmt: skip


def table(path: Path) -> dict[str, Doubles]:
    """Lines "key: numbers", or "key numbers" as in the tracking benchmark. Raises LogError."""
    try:
        lines = path.read_text().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise LogError(f"calibration {path} cannot be read: {getattr(error, 'strerror', error)}") from None
    found = {}
    for text in lines:
        key, *rest = text.split(None, 1)[:2] if text.strip() else [""]
        try:
            found[key.rstrip(":")] = np.asarray(rest[0].split() if rest else [], np.float64)
        except ValueError:
            continue  # calib_time and corner_dist of some files are no numbers
    return found


def matrix(found: dict[str, Doubles], key: str, path: Path, *shape: int) -> Doubles:
    """A row of a table in its shape. Raises LogError where it is not there or too short."""
    if key not in found or found[key].size != np.prod(shape):
        raise LogError(f"{path} lacks {key} with {np.prod(shape)} numbers")
    if not (np.abs(found[key]) < LARGEST).all():
        raise LogError(f"{path}: {key} has a value that no calibration can have; download it again")
    return found[key].reshape(shape)


def stamps(path: Path) -> list[int | None]:
    """Lines such as "2011-09-26 13:02:25.594360375" as nanoseconds since 1970, read as UTC; [] without the file.

    Line n + 1 is of file n. An empty line (drive 0009 has some) is None: nothing was recorded at its number.
    """
    if not path.is_file():
        return []
    found: list[int | None] = []
    for number, text in enumerate(path.read_text(errors="replace").rstrip().split("\n"), 1):
        if not text.strip():
            found.append(None)
            continue
        try:
            whole, _, fraction = text.strip().partition(".")
            seconds = int(datetime.strptime(whole, "%Y-%m-%d %H:%M:%S").replace(tzinfo=UTC).timestamp())
            found.append(seconds * SECOND_NS + int(fraction.ljust(9, "0")[:9] or 0))
        except ValueError:
            raise LogError(
                f"{path}, line {number}: {text.strip()[:60]!r} is no stamp like 2011-09-26 13:02:25.594360375"
            ) from None
    return found


def read_scan(path: Path, capture_ns: int, duration_ns: int) -> LidarScan:
    """A Velodyne file, float32 x y z reflectance, as a scan; points that are no numbers are left out.

    Raises FormError where its size does not fit.
    """
    data = np.fromfile(path, np.uint8)
    if data.size == 0 or data.size % 16:
        raise FormError("a scan's size is a multiple of 16 bytes" if data.size else "empty scan")
    rows = data.view(np.float32).reshape(-1, 4)
    flat = rows.reshape(-1)
    # One number that is finite where all are; where it is not, they are looked at one by one.
    if not np.isfinite(np.dot(flat, flat)) and not np.isfinite(rows).all():
        rows = rows[np.isfinite(rows).all(axis=1)]
        if not len(rows):
            raise FormError("no point is a number")
    azimuth = np.arctan2(rows[:, 1], rows[:, 0])
    # The scanner turns counter-clockwise from behind the vehicle, and faces forward in the middle of the scan.
    share = (azimuth + np.float32(np.pi)) * np.float32(1 / (2 * np.pi))
    return LidarScan(
        Header(LIDAR, capture_ns, capture_ns + duration_ns, LIDAR),
        duration_ns,
        xyz_m=np.ascontiguousarray(rows[:, :3]),
        intensity=np.clip(rows[:, 3], 0, 1),
        ring=_rings(azimuth),
        offset_ns=(np.nan_to_num(share) * np.float32(duration_ns)).astype(np.int32),
    )


def _rings(azimuth: Floats) -> NDArray[np.uint16]:
    """The files hold ring after ring, top first, each from straight ahead round to the left."""
    start = np.zeros(len(azimuth), np.int64)
    start[1:] = (azimuth[:-1] < 0) & (azimuth[1:] >= 0) & (np.abs(azimuth[1:]) < 1.5)
    return np.minimum(np.cumsum(start), 63).astype(np.uint16)


def read_picture(path: Path, topic: str, capture_ns: int, arrival_ns: int) -> CameraFrame:
    """A PNG or JPEG file as it is. Raises FormError where it is neither, or cut off."""
    return compressed_frame(Header(topic, capture_ns, arrival_ns, topic), np.fromfile(path, np.uint8))


def named(read: Callable[..., Read], path: Path, *rest: object) -> Read:
    """`read(path, *rest)`, one of the readers above, for who has to name the file: raises FormError with its path."""
    try:
        return read(path, *rest)
    except FormError as error:
        raise FormError(f"{path}: {error}") from None


def frame_labels(lines: list[str], calibration: Calibration, stamp_ns: int, with_track: bool = False) -> Labels:
    """Of lines of label_2; with `with_track` of a tracking file, whose lines begin with frame and track.

    Raises ValueError, OverflowError or IndexError for lines that are none.
    """
    rows, names, tracks, visible = [], [], [], []
    for text in lines:
        words = text.split()
        track, words = (int(words[1]), words[2:]) if with_track else (-1, words)
        if not words or words[0] == "DontCare":
            continue
        truncated, occluded = float(words[1]), int(float(words[2]))
        height, width, length, x, y, z, turn = (float(word) for word in words[8:15])
        rows.append([x, y - height / 2, z, length, width, height, turn])
        names.append(words[0])
        tracks.append(track)
        visible.append(max(0.0, 1 - max(truncated, 0.0)) * IN_SIGHT[occluded if 0 <= occluded < 4 else 3])
    boxes = np.asarray(rows, np.float64).reshape(-1, 7)
    if not (np.abs(boxes) < LARGEST).all() or not np.isfinite(visible).all():
        raise ValueError("a label that is no number")
    pose = calibration.vehicle_from_rectified
    boxes[:, :3] = pose.apply(boxes[:, :3])
    ahead = np.column_stack([np.cos(boxes[:, 6]), np.zeros(len(boxes)), -np.sin(boxes[:, 6])]) @ pose.rotation.T
    boxes[:, 6] = np.arctan2(ahead[:, 1], ahead[:, 0])
    return labelled(stamp_ns, boxes, names, CLASSES, tracks, visible=visible)


def tracklets(path: Path) -> dict[int, tuple[list[list[float]], list[str], list[int], list[float]]]:
    """Of a tracklet_labels.xml, by frame: vehicle-frame rows, names, tracks, share in sight. Raises LogError."""
    from xml.etree import ElementTree

    found: dict[int, tuple[list[list[float]], list[str], list[int], list[float]]] = {}
    try:
        for track, item in enumerate(ElementTree.parse(path).getroot().find("tracklets").findall("item")):  # type: ignore[union-attr]
            name = str(item.findtext("objectType"))
            height, width, length = (float(item.findtext(key) or "") for key in ("h", "w", "l"))
            first = int(item.findtext("first_frame") or "")
            for step, pose in enumerate(item.find("poses").findall("item")):
                x, y, z, turn = (float(pose.findtext(key) or "") for key in ("tx", "ty", "tz", "rz"))
                occluded = int(float(pose.findtext("occlusion") or 0))
                rows, names, tracks, visible = found.setdefault(first + step, ([], [], [], []))
                rows.append([x, y, z + LIDAR_HEIGHT_M + height / 2, length, width, height, turn])
                names.append(name)
                tracks.append(track)
                visible.append(IN_SIGHT[occluded] if 0 <= occluded < 4 else 1.0)
    except (ElementTree.ParseError, AttributeError, ValueError, OverflowError) as error:
        raise LogError(f"{path} cannot be read as tracklets: {error}; download them again or remove the file") from None
    return found


def numbered(folder: Path, *patterns: str) -> dict[int, Path]:
    """Files by the number that is their name, in its order."""
    found = {int(file.stem): file for pattern in patterns for file in folder.glob(pattern) if file.stem.isdigit()}
    return dict(sorted(found.items()))
