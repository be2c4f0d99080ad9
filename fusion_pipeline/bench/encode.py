"""What it costs to turn messages into a network's inputs, one thread."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace

import cv2
import numpy as np

from fusion_pipeline.arrays import Floats
from fusion_pipeline.bench.report import Figure
from fusion_pipeline.encode.audio import SteeredResponse
from fusion_pipeline.encode.grid import BevGrid
from fusion_pipeline.encode.image import Fit, prepare
from fusion_pipeline.encode.lookup import MAP
from fusion_pipeline.encode.paint import PICTURED, paint, painted_by, picture_rows
from fusion_pipeline.encode.points import EDGES_M, BevRaster
from fusion_pipeline.geometry.camera import CameraModel
from fusion_pipeline.geometry.pose import Pose
from fusion_pipeline.messages import AudioChunk, Header
from fusion_pipeline.operations import ImageResize
from fusion_pipeline.rig import MicrophoneArray
from fusion_pipeline.world.beams import hdl64
from fusion_pipeline.world.lidar import SimulatedLidar
from fusion_pipeline.world.streets import street

POINTS = 120_000
WIDTH, HEIGHT = 640, 192
AUDIO_HZ = 16_000
_LENS = CameraModel("pinhole", WIDTH, HEIGHT, np.asarray([[370.0, 0, 320], [0, 370, 96], [0, 0, 1]]), np.zeros(0))
_BENT = replace(_LENS, distortion=np.asarray([1e-9, 0.0, 0.0, 0.0]))


def median_ms(work: Callable[[], object], seconds: float) -> float:
    """Median duration of a call, repeated for about `seconds`, in milliseconds."""
    times: list[float] = []
    work()
    until = time.perf_counter() + seconds
    while time.perf_counter() < until or len(times) < 5:
        start = time.perf_counter()
        work()
        times.append((time.perf_counter() - start) * 1e3)
    return float(np.median(times))


def scan_of(points: int) -> tuple[Floats, Floats]:
    """A simulated turn of an HDL-64E in a street, drawn to exactly so many points (N, 3) and intensities (N,)."""
    scan = SimulatedLidar(hdl64()).scan(street(3), 3)
    rng = np.random.default_rng(0)
    rows = np.sort(rng.integers(0, len(scan.xyz_m), points))
    jitter = rng.normal(0, 0.005, (points, 3)).astype(np.float32)
    return scan.xyz_m[rows] + jitter, scan.intensity[rows]


def plain_raster(xyz: Floats, intensity: Floats, ground: Callable[[Floats], Floats]) -> Floats:
    """The raster's heights, counts and intensity in NumPy (without the observed-free channel), ground given."""
    grid = BevGrid()
    x, y = xyz[:, 0], xyz[:, 1]
    inside = (x >= grid.x_m[0]) & (x < grid.x_m[1]) & (y >= grid.y_m[0]) & (y < grid.y_m[1])
    xyz, bright = xyz[inside], intensity[inside]
    h = xyz[:, 2] - ground(np.ascontiguousarray(xyz[:, :2]))
    good = (h >= EDGES_M[0]) & (h < EDGES_M[-1])
    xyz, h, bright = xyz[good], h[good], bright[good]
    rows, cols = grid.shape
    r = ((xyz[:, 0] - grid.x_m[0]) / grid.cell_m).astype(np.int64)
    c = ((xyz[:, 1] - grid.y_m[0]) / grid.cell_m).astype(np.int64)
    k = 2 * (r & 1) + (c & 1)
    cell = (k * rows + (r >> 1)) * cols + (c >> 1)
    out = np.zeros((64, rows * cols), np.float32)
    flat = out.reshape(16, -1)
    flat[np.searchsorted(EDGES_M, h, side="right") - 1, cell] = 1
    np.maximum.at(flat[9], cell, h / EDGES_M[-1])
    count = np.bincount(cell, minlength=4 * rows * cols)
    flat[10] = np.log(1 + np.minimum(count, 256)) / 4
    ranks = np.argsort(np.argsort(bright)) / max(len(bright), 1)
    flat[11] = np.bincount(cell, ranks, minlength=4 * rows * cols) / np.maximum(count, 1)
    return out.reshape(1, 64, rows, cols)


def painting(xyz: Floats, raster: BevRaster, lens: CameraModel) -> Callable[[], None]:
    """Painting the raster that has just been made of the points, by a camera that looks ahead."""
    axes = Pose(np.asarray([[0.0, 0, 1], [-1, 0, 0], [0, -1, 0]]), np.asarray([0.2, 0.0, 0.0]))
    bev, segments = raster(xyz, np.zeros(len(xyz), np.float32)), np.zeros((1, PICTURED, *MAP), np.float32)
    way = axes.inverse().matrix

    def work() -> None:
        paint(bev, painted_by(raster, xyz, picture_rows(xyz, lens, way, Fit(1.0, 1.0, 0.0, 0.0))), segments)

    return work


def run(quick: bool = False) -> tuple[Figure, ...]:
    """Raster, picture and sound, each beside a plain way of doing the same."""
    seconds = 0.5 if quick else 3.0
    cv2.setNumThreads(1)
    xyz, intensity = scan_of(POINTS)
    raster = BevRaster(reuse=True)
    ours = median_ms(lambda: raster(xyz, intensity), seconds)
    plain = median_ms(lambda: plain_raster(xyz, intensity, raster.ground_at), seconds)
    paint_ms, bent_ms = (median_ms(painting(xyz, raster, lens), seconds) for lens in (_LENS, _BENT))
    fresh = BevRaster()
    picture = np.random.default_rng(1).integers(0, 255, (375, 1242, 3)).astype(np.uint8)
    resize = ImageResize(out="image", width=WIDTH, height=HEIGHT)
    image_ms = median_ms(lambda: prepare(picture, resize), seconds)
    png, jpeg = (cv2.imencode(suffix, picture)[1] for suffix in (".png", ".jpg"))
    square = np.asarray([[0.1, 0.1, 0], [0.1, -0.1, 0], [-0.1, -0.1, 0], [-0.1, 0.1, 0]])
    steered = SteeredResponse(MicrophoneArray(Pose.identity(), square), AUDIO_HZ)
    pcm = np.random.default_rng(2).integers(-3000, 3000, (AUDIO_HZ // 2, 4)).astype(np.int16)
    chunk = AudioChunk(Header("audio/roof", 0, 0), AUDIO_HZ, pcm)
    name = "NumPy, without free space"
    return (
        Figure(f"raster of {POINTS} points", ours, "ms", "<= 3 ms", ours <= 3, plain, name),
        Figure("the same into a new array", median_ms(lambda: fresh(xyz, intensity), seconds), "ms"),
        Figure(
            "its paint: whose picture shows which point, and which paints a cell",
            paint_ms,
            "ms",
            "",
            None,
            bent_ms,
            "through OpenCV, as a lens with distortion",
        ),
        Figure("picture 1242 x 375 to 640 x 192", image_ms, "ms"),
        Figure("PNG decoded, random pixels", median_ms(lambda: cv2.imdecode(png, 1), seconds), "ms"),
        Figure("JPEG decoded, random pixels", median_ms(lambda: cv2.imdecode(jpeg, 1), seconds), "ms"),
        Figure("steered response of 0.5 s, 4 microphones", median_ms(lambda: steered(chunk), seconds), "ms"),
    )
