"""The whole pipeline on a simulated vehicle: no data, no devices, no GPU. `fusion demo` runs it."""

from __future__ import annotations

from pathlib import Path

from calibration import rig
from fusion_pipeline.graph import Graph, Process
from fusion_pipeline.manifest import CPU_MODEL
from nodes.aligner import Aligner, AlignerConfig
from nodes.detector import Detector, DetectorConfig
from nodes.picture import Picture, PictureConfig
from nodes.results import Results, ResultsConfig
from nodes.simulated import (
    SimulatedCamera,
    SimulatedCameraConfig,
    SimulatedEgo,
    SimulatedEgoConfig,
    SimulatedLidar,
    SimulatedLidarConfig,
    SimulatedMicrophone,
    SimulatedMicrophoneConfig,
)  # fmt: skip
from nodes.tracker import Tracker, TrackerConfig

RIG = rig("demo")
SENSORS = ("lidar/top", "camera/front", "audio/roof", "ego/odometry")


def graph(
    model: Path = CPU_MODEL,
    seed: int = 7,
    scenario: str = "city_street",
    threads: int = 1,
    picture: Path | None = None,
    out: Path | None = None,
) -> Graph:
    """Simulated camera, LiDAR, microphones and odometry of a scenario, through the vehicle's pipeline."""
    processes = [
        Process(SimulatedCamera, SimulatedCameraConfig(RIG, seed=seed, scenario=scenario), name="camera.front"),
        Process(SimulatedLidar, SimulatedLidarConfig(RIG, seed=seed, scenario=scenario), name="lidar.top"),
        Process(
            SimulatedMicrophone, SimulatedMicrophoneConfig(RIG, seed=seed, scenario=scenario), name="microphone.roof"
        ),
        Process(SimulatedEgo, SimulatedEgoConfig(RIG, seed=seed, scenario=scenario), name="ego"),
        Process(Aligner, AlignerConfig(RIG, topics=SENSORS)),
        Process(Detector, DetectorConfig(model, RIG, threads=threads)),
        Process(Tracker, TrackerConfig()),
    ]
    if picture is not None:
        processes.append(Process(Picture, PictureConfig(picture, RIG, every_s=2.0), nice=10))
    if out is not None:
        processes.append(Process(Results, ResultsConfig(out)))
    return Graph(tuple(processes))
