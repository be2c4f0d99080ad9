"""Runs a model on single labelled frames, through the same stages that run in the vehicle, with some of its senses."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path

from fusion_pipeline.detect.inference import Inference
from fusion_pipeline.evaluate.kitti_frames import LabelledFrame
from fusion_pipeline.logs.kitti_files import CAMERA, named, read_picture, read_scan
from fusion_pipeline.manifest import Manifest
from fusion_pipeline.messages import CameraFrame, Detections, Header, LidarScan, SensorSet
from fusion_pipeline.operations import BevRasterize, ImageResize, LiftToBoxes
from fusion_pipeline.rig import Rig

LEAST = 0.02  # scores below it end no precision-recall curve that matters
PERIOD_NS, INSTANT_NS = 103_100_000, 1_000_000_000
KEPT = 6  # networks with the tables of a calibration; KITTI was driven on five days


@dataclass(frozen=True, slots=True)
class Senses:
    """Which of a frame's sensors a model gets."""

    name: str
    lidar: bool
    camera: bool


ALL, LIDAR_ALONE, CAMERA_ALONE = (
    Senses("all senses", True, True), Senses("LiDAR alone", True, False), Senses("camera alone", False, True),
)  # fmt: skip


def senses_of(manifest: Manifest) -> tuple[Senses, ...]:
    """All that a model has, then, of one that takes in both, each alone."""
    taken = taken_by(manifest)
    lifts = any(isinstance(stage, LiftToBoxes) for stage in manifest.stages)  # which needs both at once
    return (ALL, LIDAR_ALONE, CAMERA_ALONE) if taken.lidar and taken.camera and not lifts else (ALL,)


def taken_by(manifest: Manifest) -> Senses:
    """Those that the model takes in."""
    kinds = {type(stage) for stage in manifest.stages}
    return Senses("what the model takes", bool(kinds & {BevRasterize, LiftToBoxes}), ImageResize in kinds)


class Detector:
    """One model, ready for frames of any calibration. Each frame is taken for itself: there is no earlier sweep."""

    def __init__(self, model: Path, threads: int = 2) -> None:
        self.manifest = Manifest.beside(model)
        self._model, self._threads = model, threads
        self._loaded: OrderedDict[bytes, Inference] = OrderedDict()

    def __call__(self, frame: LabelledFrame, senses: Senses = ALL) -> Detections:
        """What is found. Raises ValueError where a file of the frame is damaged."""
        scan = picture = None
        if senses.lidar and frame.scan is not None:
            scan = named(read_scan, frame.scan, INSTANT_NS - PERIOD_NS // 2, PERIOD_NS)
        if senses.camera and frame.picture is not None:
            picture = named(read_picture, frame.picture, CAMERA, INSTANT_NS, INSTANT_NS)
        return self.looking(frame.calibration.rig("kitti"), scan, picture)

    def looking(self, rig: Rig, scan: LidarScan | None, picture: CameraFrame | None) -> Detections:
        """What is found in a scan and a picture of INSTANT_NS."""
        inference = self._for(rig)
        inference.forget()
        lidars, cameras = (() if scan is None else (scan,)), (() if picture is None else (picture,))
        return inference(SensorSet(Header("set", INSTANT_NS, INSTANT_NS), lidars, cameras))

    def _for(self, rig: Rig) -> Inference:
        mount = rig.cameras[CAMERA]
        key = mount.vehicle_from_sensor.matrix.tobytes() + mount.model.matrix.tobytes()
        key += repr((mount.model.width_px, mount.model.height_px)).encode()
        if key not in self._loaded:
            self._loaded[key] = Inference.load(self._model, rig, LEAST, threads=self._threads)
            if len(self._loaded) > KEPT:
                self._loaded.popitem(last=False)
        self._loaded.move_to_end(key)
        return self._loaded[key]
