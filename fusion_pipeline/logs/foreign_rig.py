"""The rig of a log of another system: its frames, lenses and first messages put together, and what is missing named."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from fusion_pipeline.findings import Findings
from fusion_pipeline.geometry.camera import CameraModel
from fusion_pipeline.geometry.pose import Pose
from fusion_pipeline.logs.frames import Frames, Places
from fusion_pipeline.logs.lenses import RECTIFIED, Calibration, LensError
from fusion_pipeline.rig import CameraMount, LidarMount, MicrophoneArray, Rig

TRANSPORTS = ("compressed", "compressedDepth", "theora", "ffmpeg", "h264", "zstd", "raw", "draco", "image_transport")


@dataclass(slots=True)
class Heads:
    """What the first messages of a log say, by the log's own topics."""

    frames: Frames = field(default_factory=Frames)
    calibrations: list[Calibration] = field(default_factory=list)
    texts: dict[str, str] = field(default_factory=dict)
    frame_of: dict[str, str] = field(default_factory=dict)
    sizes: dict[str, tuple[int, int]] = field(default_factory=dict)  # width, height of pictures
    no_camera: dict[str, str] = field(default_factory=dict)  # topics of pictures that are none of a camera's: why

    def unplaced(self) -> bool:
        """Whether a sensor's frame is not joined to the vehicle's yet."""
        places = self.frames.places(list(self.frame_of.values()))
        return any(places.of(frame)[0] is None for frame in self.frame_of.values())

    def rig(self, name: str, names: Mapping[str, str], findings: Findings) -> Rig:
        """Of the log's topics, given with our names. A sensor without a place or lens is left out and noted."""
        names = {topic: ours for topic, ours in names.items() if topic not in self.no_camera}
        fused = {ours for ours in names.values() if ours.startswith(("lidar/", "camera/"))}
        places = self.frames.places([self.frame_of.get(topic, "") for topic in names])
        lone = len(fused) == 1 or not any(ours.startswith("lidar/") for ours in fused)  # nothing to be fused with
        if places.assumed and fused and not lone:
            findings.add("assumed-base", "", places.assumed)
        lidars: dict[str, LidarMount] = {}
        cameras: dict[str, CameraMount] = {}
        audios: dict[str, MicrophoneArray] = {}
        for topic, ours in names.items():
            frame = self.frame_of.get(topic, "")
            if ours.startswith("audio/"):
                if (pose := places.found.get(frame)) is not None:
                    audios[ours] = MicrophoneArray(pose, np.zeros((1, 3)))
                continue
            if not ours.startswith(("lidar/", "camera/")):
                continue
            place = self._place(ours, frame, places, lone, findings)
            if ours.startswith("camera/"):
                made = self._lens(topic, ours, lone, names, findings)
                if place is not None and made is not None:
                    cameras[ours] = CameraMount(place @ made[1], made[0])
            elif place is not None:
                lidars[ours] = LidarMount(place)
        return Rig(name, lidars, cameras, audios)

    def _place(self, ours: str, frame: str, places: Places, lone: bool, findings: Findings) -> Pose | None:
        pose, finding, detail = places.of(frame)
        if pose is None:
            for joint in self.frames.bad if finding == "no-transform" else ():
                if frame and joint.endswith(f" {frame}"):
                    detail += f"; the transform {joint} is no rotation and translation"
            findings.add("no-calibration" if lone and finding == "no-transform" else finding, ours, detail)
        return pose

    def _lens(self, topic: str, ours: str, lone: bool, names: Mapping[str, str], findings: Findings
              ) -> tuple[CameraModel, Pose] | None:  # fmt: skip
        try:
            cameras = [other for other in names if names[other].startswith("camera/")]
            found = chosen(topic, self.frame_of, self.calibrations, cameras)
            lens, turn = found.pictures(topic)
            lens, remark = found.read_out(lens, self.sizes.get(topic))
            if remark:
                findings.add("lens-size", ours, remark)
            return lens, turn @ self._beside(topic, found)
        except LensError as error:
            bare = lone and error.finding == "no-lens" and not self.calibrations
            findings.add("no-calibration" if bare else error.finding, ours, str(error))
            return None

    def _beside(self, topic: str, found: Calibration) -> Pose:
        """Of the second camera of a stereo pair that bears the frame of the first: its place in that frame, by P."""
        shift, focal = float(found.projection[0, 3]), float(found.projection[0, 0])
        if shift == 0 or focal <= 0 or not np.isfinite(shift):
            return Pose.identity()
        first = [c for c in self.calibrations if c.frame == found.frame and c.topic != found.topic]
        if not first:
            return Pose.identity()
        if not RECTIFIED.search(topic):
            raise LensError("no-transform", f"{found.topic} and {first[0].topic} name one frame, {found.frame}, for "
                                            f"two cameras that are {abs(shift / focal):.3g} m apart")  # fmt: skip
        return Pose(np.eye(3), np.asarray([-shift / focal, 0.0, 0.0]))


def chosen(
    topic: str, frame_of: Mapping[str, str], calibrations: Sequence[Calibration], cameras: Sequence[str]
) -> Calibration:
    """Which of a log's calibrations is of the pictures of `topic`. Raises LensError ("no-lens").

    It lies beside the pictures, as ROS has it, or above them; where several do, the frame decides, then the name. One
    that lies elsewhere must name the same frame.
    """
    bare, frame = picture_topic(topic), frame_of.get(topic, "")
    for level, space in enumerate(_spaces(bare)):
        found = [c for c in calibrations if c.topic.rpartition("/")[0] == space]
        same = [c for c in found if frame and c.frame == frame]
        if same:
            found = same
        elif level > 1 and len(calibrations) > 1:
            found = [c for c in found if not frame or not c.frame]
        elif found and frame and all(c.frame for c in found):
            beside = {picture_topic(t) for t in cameras if picture_topic(t).rpartition("/")[0] == space}
            frames = {frame_of.get(t, "") for t in cameras if picture_topic(t) in beside}
            if len(frames) > 1:  # it is of another camera that lies here, unless the names say otherwise
                found = [c for c in found if _shared(_last(c.topic), _last(bare)) > 2]
        if found:
            return _nearest(found, bare)
    same = [c for c in calibrations if frame and c.frame == frame]
    if same:
        return _nearest(same, bare)
    raise LensError("no-lens", "the log has no calibration of these pictures" if calibrations else
                    "the log has no calibration of a camera")  # fmt: skip


def picture_topic(topic: str) -> str:
    """The topic of the pictures themselves: without the name of the transport that packs them."""
    while _last(topic) in TRANSPORTS and topic.count("/") > 1:
        topic = topic.rpartition("/")[0]
    return topic


def _spaces(topic: str) -> list[str]:
    """The topic itself, the namespace that it lies in, and those above."""
    spaces = [topic]
    while "/" in spaces[-1]:
        spaces.append(spaces[-1].rpartition("/")[0])
    return spaces


def _nearest(found: Sequence[Calibration], topic: str) -> Calibration:
    alike = {(c.model, c.width_px, c.height_px, c.matrix.tobytes(), c.distortion.tobytes()) for c in found}
    if len(alike) == 1:
        return found[0]
    scores = [_shared(c.topic, topic) for c in found]
    best = max(scores)
    if scores.count(best) > 1:
        raise LensError("no-lens", f"{' and '.join(c.topic for c in found[:3])} may both be of these pictures")
    return found[scores.index(best)]


def _last(topic: str) -> str:
    return topic.rpartition("/")[2]


def _shared(a: str, b: str) -> int:
    """Length of the beginning that two names share."""
    return next((k for k, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b)))
