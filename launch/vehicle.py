"""A vehicle: one camera, one LiDAR, four microphones, the network, the tracker and a recorder.

Copy this file, put in your devices and your rig, and start it with `fusion launch my_vehicle.py`. Any value can be
changed for one run: `fusion launch my_vehicle.py --set detector.min_score=0.4 --set recorder.out=/data/drive.mcap`.
"""

from __future__ import annotations

from pathlib import Path

from calibration import rig
from fusion_pipeline.graph import Graph, Process
from fusion_pipeline.manifest import CPU_MODEL
from fusion_pipeline.sensors.camera import CameraConfig
from fusion_pipeline.sensors.microphone import MicrophoneConfig
from fusion_pipeline.sensors.velodyne import VelodyneConfig
from nodes.aligner import Aligner, AlignerConfig
from nodes.camera import Camera
from nodes.detector import Detector, DetectorConfig
from nodes.lidar import Lidar
from nodes.microphone import Microphone
from nodes.recorder import Recorder, RecorderConfig
from nodes.tracker import Tracker, TrackerConfig

RIG = rig("demo")
MODEL = CPU_MODEL  # for providers=("cuda",) take DEFAULT_MODEL of the same module

graph = Graph(
    (
        Process(Camera, CameraConfig("/dev/video0", name="front")),
        Process(Lidar, VelodyneConfig("udp://0.0.0.0:2368", model="VLP-32C", name="top")),
        Process(Microphone, MicrophoneConfig("hw:1", name="roof", channels=4)),
        Process(Aligner, AlignerConfig(RIG, deadline_ms=60)),
        Process(Detector, DetectorConfig(MODEL, RIG, threads=2)),
        Process(Tracker, TrackerConfig()),
        Process(Recorder, RecorderConfig(Path("drive.mcap"), rig=RIG), nice=5),
    )
)
