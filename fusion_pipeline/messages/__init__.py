"""Typed, frozen messages. Every field is always present; empty means zero rows, never None."""

from fusion_pipeline.messages.audio import AudioChunk
from fusion_pipeline.messages.camera import CameraFrame
from fusion_pipeline.messages.detections import Boxes, Detections, SoundEvent, SourceStamp, Tracks
from fusion_pipeline.messages.ego import EgoMotion
from fusion_pipeline.messages.header import Header, Hop
from fusion_pipeline.messages.health import Count, Health, Lap, LogTime, StageTiming
from fusion_pipeline.messages.lidar import LidarScan
from fusion_pipeline.messages.sensor_set import Missing, SensorSet

Message = CameraFrame | LidarScan | AudioChunk | EgoMotion | SensorSet | Detections | Tracks | Health | LogTime | Lap

MESSAGE_TYPES: tuple[type[Message], ...] = (
    CameraFrame, LidarScan, AudioChunk, EgoMotion, SensorSet, Detections, Tracks, Health, LogTime, Lap,
)  # fmt: skip

__all__ = [
    "MESSAGE_TYPES", "AudioChunk", "Boxes", "CameraFrame", "Count", "Detections", "EgoMotion", "Header", "Health",
    "Hop", "Lap", "LidarScan", "LogTime", "Message", "Missing", "SensorSet", "SoundEvent", "SourceStamp", "StageTiming",
    "Tracks",
]  # fmt: skip
