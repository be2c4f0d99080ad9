"""KITTI folders as logs: raw drives (synchronised and rectified) and the object benchmark.

Geiger, Lenz, Stiller and Urtasun, "Vision meets Robotics: The KITTI Dataset", IJRR 2013; https://www.cvlibs.net/datasets/kitti/.
The vehicle frame is the Velodyne's, lowered to the ground by 1.73 m.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fusion_pipeline.arrays import Doubles, Floats
from fusion_pipeline.clock import SECOND_NS
from fusion_pipeline.geometry.camera import CameraModel
from fusion_pipeline.geometry.pose import Pose
from fusion_pipeline.logs.labels import Labels
from fusion_pipeline.logs.reader import LogError
from fusion_pipeline.messages import CameraFrame, Header, LidarScan, Message
from fusion_pipeline.rig import CameraMount, LidarMount, Rig

LIDAR_HEIGHT_M = 1.73
PERIOD_NS = 103_100_000  # of the scanner in the raw drives, where the log does not say
CAMERA_DELAY_NS = 5_000_000  # assumed from exposure to the picture in hand; KITTI does not say
LIDAR, CAMERA = "lidar/top", "camera/front"


@dataclass(frozen=True, slots=True)
class _Item:
    """One file and its stamps."""

    arrival_ns: int
    capture_ns: int
    duration_ns: int
    path: Path


class _Files:
    """What both kinds of folder share: two lists of files that become one stream of messages."""

    def __init__(self, path: Path, rig: Rig, scans: list[_Item], pictures: list[_Item]) -> None:
        self.path, self.rig = path, rig
        self.refused: Counter[tuple[str, str]] = Counter()
        self._scans, self._pictures = scans, pictures
        self.topics = tuple(topic for topic, items in ((LIDAR, scans), (CAMERA, pictures)) if items)
        if not self.topics:
            raise LogError(f"{path} holds neither scans nor pictures with stamps; is the download complete?")
        arrivals = [item.arrival_ns for item in (*scans, *pictures)]
        self.start_ns, self.end_ns = min(arrivals), max(arrivals)

    def labels(self) -> Iterator[Labels]:
        """None are read."""
        yield from ()

    def messages(
        self, start_ns: int | None = None, end_ns: int | None = None, topics: Collection[str] | None = None
    ) -> Iterator[Message]:
        """Scans and pictures in order of arrival; files that are missing or damaged are counted and passed over."""
        low, high = start_ns or 0, 1 << 63 if end_ns is None else end_ns
        streams = [
            [(i.arrival_ns, kind, i) for i in items if low <= i.arrival_ns < high]
            for kind, (topic, items) in enumerate(((CAMERA, self._pictures), (LIDAR, self._scans)))
            if topics is None or topic in topics
        ]
        for _, kind, item in heapq.merge(*streams, key=lambda entry: entry[:2]):
            try:
                yield read_scan(item.path, item.capture_ns, item.duration_ns) if kind else _picture(item)
            except FileNotFoundError:
                self.refused[(CAMERA, LIDAR)[kind], "file missing"] += 1
            except (OSError, ValueError):
                self.refused[(CAMERA, LIDAR)[kind], "file damaged"] += 1


class KittiDrive(_Files):
    """A raw drive such as `2011_09_26/2011_09_26_drive_0052_sync`; its calibration lies in the folder above."""

    def __init__(self, path: Path) -> None:
        scans = []
        folder = path / "velodyne_points"
        if folder.is_dir():
            middles = _stamps(folder / "timestamps.txt")
            firsts = _stamps(folder / "timestamps_start.txt") or [t - PERIOD_NS // 2 for t in middles]
            lasts = _stamps(folder / "timestamps_end.txt") or [t + PERIOD_NS for t in firsts]
            files = {int(file.stem): file for file in (folder / "data").glob("*.bin") if file.stem.isdigit()}
            for number, (first, last) in enumerate(zip(firsts, lasts, strict=False)):
                if number in files:
                    scans.append(_Item(last, first, max(0, last - first), files[number]))
        pictures = []
        folder = path / "image_02"
        if folder.is_dir():
            files = {int(file.stem): file for file in (folder / "data").glob("*.*") if file.stem.isdigit()}
            for number, stamp in enumerate(_stamps(folder / "timestamps.txt")):
                if number in files:
                    pictures.append(_Item(stamp + CAMERA_DELAY_NS, stamp, 0, files[number]))
        super().__init__(path, drive_rig(path.parent), scans, pictures)


class KittiObjects(_Files):
    """The object benchmark's `training` or `testing`. Its frames do not follow each other, and get stamps 1 s apart."""

    def __init__(self, path: Path) -> None:
        def items(folder: str, pattern: str, delay_ns: int, before_ns: int, duration_ns: int) -> list[_Item]:
            files = sorted(file for file in (path / folder).glob(pattern) if file.stem.isdigit())
            stamps = [(int(file.stem) + 1) * SECOND_NS for file in files]
            return [
                _Item(t - before_ns + duration_ns + delay_ns, t - before_ns, duration_ns, file)
                for t, file in zip(stamps, files, strict=True)
            ]

        scans = items("velodyne", "*.bin", 0, PERIOD_NS // 2, PERIOD_NS)
        pictures = items("image_2", "*.*", CAMERA_DELAY_NS, 0, 0)
        tables = sorted((path / "calib").glob("*.txt"))
        if not tables:
            raise LogError(f"{path / 'calib'} holds no calibration; the object benchmark has one file for each frame")
        table = _table(tables[0])
        mount = Pose(
            _matrix(table, "Tr_velo_to_cam", tables[0], 3, 4)[:, :3], table["Tr_velo_to_cam"].reshape(3, 4)[:, 3]
        )
        rectify = Pose(_matrix(table, "R0_rect", tables[0], 3, 3), np.zeros(3))
        rig = _rig(path.name, _matrix(table, "P2", tables[0], 3, 4), rectify @ mount, (1242, 375))
        super().__init__(path, rig, scans, pictures)


def drive_rig(folder: Path) -> Rig:
    """The rig of a day's folder, from its calib_cam_to_cam.txt and calib_velo_to_cam.txt. Raises LogError."""
    cameras, velo = folder / "calib_cam_to_cam.txt", folder / "calib_velo_to_cam.txt"
    for path in (cameras, velo):
        if not path.is_file():
            raise LogError(
                f"calibration {path} does not exist; a drive needs its day's calibration in the folder above it"
            )
    table, mount = _table(cameras), _table(velo)
    camera_from_velo = Pose(_matrix(mount, "R", velo, 3, 3), _matrix(mount, "T", velo, 3))
    rectify = Pose(_matrix(table, "R_rect_00", cameras, 3, 3), np.zeros(3))
    size = _matrix(table, "S_rect_02", cameras, 2).astype(int)
    projection = _matrix(table, "P_rect_02", cameras, 3, 4)
    return _rig(f"kitti_{folder.name}", projection, rectify @ camera_from_velo, (int(size[0]), int(size[1])))


def _rig(name: str, projection: Doubles, rectified_from_velo: Pose, size_px: tuple[int, int]) -> Rig:
    """`projection` (3, 4) of rectified camera 2: K [I | b]; b is its place beside camera 0."""
    matrix = projection[:, :3]
    camera_from_rectified = Pose(np.eye(3), np.asarray(np.linalg.solve(matrix, projection[:, 3]), np.float64))
    vehicle_from_velo = Pose(np.eye(3), np.asarray([0.0, 0.0, LIDAR_HEIGHT_M]))
    vehicle_from_camera = vehicle_from_velo @ (camera_from_rectified @ rectified_from_velo).inverse()
    model = CameraModel("pinhole", *size_px, matrix, np.zeros(0))
    return Rig(name, {LIDAR: LidarMount(vehicle_from_velo)}, {CAMERA: CameraMount(vehicle_from_camera, model)})


def read_scan(path: Path, capture_ns: int, duration_ns: int) -> LidarScan:
    """A Velodyne file, float32 x y z reflectance, as a scan. Raises ValueError where its size does not fit."""
    flat = np.fromfile(path, np.float32)
    if flat.size == 0 or flat.size % 4:
        raise ValueError(f"{path} has {flat.size * 4} bytes; a scan has 16 for each point")
    rows = flat.reshape(-1, 4)
    azimuth = np.arctan2(rows[:, 1], rows[:, 0])
    # The scanner turns counter-clockwise from behind the vehicle, and faces forward in the middle of the scan.
    share = (azimuth + np.float32(np.pi)) * np.float32(1 / (2 * np.pi))
    return LidarScan(
        Header(LIDAR, capture_ns, capture_ns + duration_ns, LIDAR),
        duration_ns,
        xyz_m=np.ascontiguousarray(rows[:, :3]),
        intensity=np.clip(rows[:, 3], 0, 1),
        ring=_rings(azimuth),
        offset_ns=(share * np.float32(duration_ns)).astype(np.int32),
    )


def _rings(azimuth: Floats) -> NDArray[np.uint16]:
    """The files hold ring after ring, top first, each from straight ahead round to the left."""
    start = np.zeros(len(azimuth), np.int64)
    start[1:] = (azimuth[:-1] < 0) & (azimuth[1:] >= 0) & (np.abs(azimuth[1:]) < 1.5)
    return np.minimum(np.cumsum(start), 63).astype(np.uint16)


def _picture(item: _Item) -> CameraFrame:
    data = np.fromfile(item.path, np.uint8)
    encoding, height, width = _picture_size(data)
    return CameraFrame(Header(CAMERA, item.capture_ns, item.arrival_ns, CAMERA), encoding, height, width, data)


def _picture_size(data: NDArray[np.uint8]) -> tuple[str, int, int]:
    head = data[:24].tobytes()
    if head[:8] == b"\x89PNG\r\n\x1a\n" and len(head) == 24:
        return "png", int.from_bytes(head[20:24], "big"), int.from_bytes(head[16:20], "big")
    import cv2

    picture = cv2.imdecode(data, cv2.IMREAD_UNCHANGED) if len(data) else None
    if head[:2] != b"\xff\xd8" or picture is None:
        raise ValueError("neither a PNG nor a JPEG file")
    return "jpeg", int(picture.shape[0]), int(picture.shape[1])


def _stamps(path: Path) -> list[int]:
    """Lines such as "2011-09-26 13:02:25.594360375" as nanoseconds since 1970, read as UTC; [] without the file."""
    if not path.is_file():
        return []
    found = []
    for number, text in enumerate(path.read_text().split("\n"), 1):
        if not text.strip():
            continue
        try:
            whole, _, fraction = text.strip().partition(".")
            seconds = int(datetime.strptime(whole, "%Y-%m-%d %H:%M:%S").replace(tzinfo=UTC).timestamp())
            found.append(seconds * SECOND_NS + int(fraction.ljust(9, "0")[:9] or 0))
        except ValueError:
            raise LogError(
                f"{path}, line {number}: {text.strip()!r} is no stamp like 2011-09-26 13:02:25.594360375"
            ) from None
    return found


def _table(path: Path) -> dict[str, Doubles]:
    found = {}
    for text in path.read_text().splitlines():
        key, _, rest = text.partition(":")
        try:
            found[key.strip()] = np.asarray(rest.split(), np.float64)
        except ValueError:
            continue  # calib_time and corner_dist of some files are no numbers
    return found


def _matrix(table: dict[str, Doubles], key: str, path: Path, *shape: int) -> Doubles:
    if key not in table or table[key].size != np.prod(shape):
        raise LogError(f"{path} lacks {key} with {np.prod(shape)} numbers")
    return table[key].reshape(shape)
