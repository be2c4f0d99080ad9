"""The simulated world: how fast it is, and how far from geometry and from real scans."""

from __future__ import annotations

import resource
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from multiprocessing import get_context

import numpy as np

from fusion_pipeline.arrays import Doubles, Floats
from fusion_pipeline.bench import world_likeness, world_physics
from fusion_pipeline.bench.report import Figure
from fusion_pipeline.geometry.pose import Pose
from fusion_pipeline.messages import CameraFrame, LidarScan
from fusion_pipeline.rig import CameraMount, LidarMount, MicrophoneArray, Rig
from fusion_pipeline.world.beams import measured_hdl64
from fusion_pipeline.world.camera import SimulatedCamera
from fusion_pipeline.world.drive import Drive
from fusion_pipeline.world.ring_street import ring_street
from fusion_pipeline.world.simulation import Simulation
from fusion_pipeline.world.sweep import SimulatedSweep

HEIGHT_M = 1.73
ACTORS = 30
MOUNT = LidarMount(Pose(np.eye(3), np.asarray([0.0, 0.0, HEIGHT_M])))
BEAMS = replace(measured_hdl64(), azimuth_step_rad=2 * np.pi / 1800)


def rig() -> Rig:
    """One LiDAR, one camera of 640 x 192, four microphones."""
    from fusion_pipeline.geometry.camera import CameraModel

    lens = CameraModel("pinhole", 640, 192, np.asarray([[370.0, 0, 319.5], [0, 370.0, 90.0], [0, 0, 1]]), np.zeros(0))
    ahead = np.asarray([[0.0, 0, 1], [-1, 0, 0], [0, -1, 0]])
    square = np.asarray([[0.1, 0.1, 0], [0.1, -0.1, 0], [-0.1, -0.1, 0], [-0.1, 0.1, 0]])
    roof = Pose(np.eye(3), np.asarray([0.0, 0.0, 1.8]))
    return Rig(
        "benchmark", {"lidar/top": MOUNT}, {"camera/front": CameraMount(Pose(ahead, np.asarray([0.3, 0, 1.65])), lens)},
        {"audio/roof": MicrophoneArray(roof, square)},
    )  # fmt: skip


def street(audible: bool = False) -> Drive:
    """The demo's street with the first 30 of its actors."""
    whole = ring_street(7, audible)
    return replace(whole, actors=whole.actors[:ACTORS])


def run(quick: bool = False) -> tuple[Figure, ...]:
    """Speed, exactness against theory, likeness to KITTI's scans where $FUSION_DATA has them, and memory."""
    seconds = 2.0 if quick else 10.0
    return (
        *_speed(seconds),
        *_ray_casting(quick),
        *world_physics.figures(),
        *_depth(),
        *world_likeness.figures(),
        *_memory(10.0 if quick else 60.0),
    )


def _speed(seconds: float) -> Iterator[Figure]:
    simulation = Simulation(street(True), rig(), beams=BEAMS)
    for _ in simulation.run(0.3):
        pass
    began = time.perf_counter()
    for _ in simulation.run(seconds):
        pass
    pace = seconds / (time.perf_counter() - began)
    yield Figure("LiDAR 64 x 1800 rolling, camera 640 x 192, 4 microphones, 30 objects", pace, "x real time", ">= 1.5",
                 pace >= 1.5)  # fmt: skip
    for rolling in (False, True):
        with ProcessPoolExecutor(2, get_context("spawn")) as pool:
            rates = list(pool.map(_scans_per_second, (rolling, rolling), (seconds, seconds)))
        rate, kind = sum(rates), "rolling" if rolling else "instantaneous"
        yield Figure(f"LiDAR alone, {kind}, two processes", rate, "scans/s", ">= 60", rate >= 60)


def _scans_per_second(rolling: bool, seconds: float) -> float:
    sweeper = SimulatedSweep(street(), MOUNT, BEAMS, np.pi, rolling=rolling)
    sweeper.sweep(0.0, 0)
    began, count = time.perf_counter(), 0
    while time.perf_counter() - began < seconds / 2:
        count += 1
        sweeper.sweep(0.1 * count, count)
    return count / (time.perf_counter() - began)


def _ray_casting(quick: bool) -> Iterator[Figure]:
    """The same rays through open3d, which has to build its tree anew for each scan, since things move."""
    import open3d as o3d

    drive = street()
    sweeper = SimulatedSweep(drive, MOUNT, BEAMS, np.pi, noisy=False)
    ours = _median_ms(lambda: sweeper.sweep(3.0, 1), 5 if quick else 30)
    ways = BEAMS.directions()

    def cast() -> None:
        scene = o3d.t.geometry.RaycastingScene(nthreads=1)
        ego = drive.ego.at(3.0)
        for body, at, yaw in [(drive.scenery, np.zeros(3), 0.0)] + [
            (actor.body, actor.track.at(3.0).position_m, actor.track.at(3.0).yaw_rad) for actor in drive.actors
        ]:
            mesh = body.mesh.placed(at, yaw)
            vertices, triangles = mesh.vertices_m.astype(np.float32), mesh.triangles.astype(np.uint32)
            scene.add_triangles(o3d.core.Tensor(vertices), o3d.core.Tensor(triangles))  # type: ignore[call-overload]
        eye = (ego.position_m + np.asarray([0, 0, HEIGHT_M])).astype(np.float32)
        rays = np.concatenate([np.broadcast_to(eye, ways.shape), ways], axis=1)
        scene.cast_rays(o3d.core.Tensor(np.ascontiguousarray(rays, np.float32)), nthreads=1)  # type: ignore[call-overload]

    theirs = _median_ms(cast, 3 if quick else 10)
    yield Figure("one scan, one thread", ours, "ms", baseline=theirs, baseline_name="open3d's ray casting, one thread")


def _median_ms(do: Callable[[], object], repeats: int) -> float:
    times = []
    for _ in range(repeats):
        began = time.perf_counter()
        do()
        times.append(time.perf_counter() - began)
    return float(np.median(times)) * 1e3


def _depth() -> Iterator[Figure]:
    """LiDAR points in the depth picture of the same instant, where both see the same thing."""
    drive, mounts = street(), rig()
    camera_mount = mounts.cameras["camera/front"]
    sweeper, camera = SimulatedSweep(drive, MOUNT, BEAMS, noisy=False, glass=0.0), SimulatedCamera(drive, camera_mount)
    errors: list[Doubles] = []
    for seconds in (1.0, 13.0, 27.0, 41.0):
        sweep = sweeper.sweep(seconds, 1)
        camera.picture(seconds)
        errors.append(_depth_errors(sweep.xyz_m[sweep.actors >= 0], camera, camera_mount))
    error = np.concatenate(errors)
    share = float(100 * np.mean(error < 0.02))
    yield Figure(
        "LiDAR points on objects within 2 cm of the depth picture, 1 pixel around", share, "%", ">= 99.9 %",
        share >= 99.9, note=f"{len(error)} points that no nearer surface of the picture hides",
    )  # fmt: skip


def _depth_errors(points: Floats, camera: SimulatedCamera, mount: CameraMount) -> Doubles:
    """(N,) metres by which points differ from the plane through the depth picture's 3 x 3 neighbourhood."""
    local = mount.vehicle_from_sensor.inverse().apply(MOUNT.vehicle_from_sensor.apply(points.astype(np.float64)))
    local = local[local[:, 2] > 1.0]
    matrix, depth = mount.model.matrix, camera.depth_m().astype(np.float64)
    pixel = local @ matrix.T
    u, v = np.round(pixel[:, 0] / pixel[:, 2]).astype(int), np.round(pixel[:, 1] / pixel[:, 2]).astype(int)
    inside = (u > 0) & (v > 0) & (u < depth.shape[1] - 1) & (v < depth.shape[0] - 1)
    local, u, v = local[inside], u[inside], v[inside]
    around = np.stack([depth[v + i, u + j] for i in (-1, 0, 1) for j in (-1, 0, 1)])
    low, high = around.min(axis=0), around.max(axis=0)
    hidden = (low > 0) & (high < local[:, 2] - 0.3)
    error = np.maximum(np.maximum(low - local[:, 2], local[:, 2] - high), 0.0)
    return np.asarray(error[(low > 0) & ~hidden], np.float64)


def _memory(seconds: float) -> Iterator[Figure]:
    """A clip made as a stream, in a process of its own."""
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        gibibytes, messages = pool.submit(_stream, seconds).result()
    yield Figure(f"most memory of a process that streams {seconds:.0f} s", gibibytes, "GiB", "<= 1.5", gibibytes <= 1.5,
                 note=f"{messages} messages")  # fmt: skip


def _stream(seconds: float) -> tuple[float, int]:
    count = sum(
        isinstance(frame.message, LidarScan | CameraFrame) for frame in Simulation(street(True), rig()).run(seconds)
    )
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, count
