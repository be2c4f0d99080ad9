"""Cameras: lenses, calibrations, pictures."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from mcap.writer import Writer
from recordings import MS, PERIOD, ROS, START, camera, drive, lidar, mcap, ordered, places, turns
from situation import Outcome, Situation

LENS = "an unknown value falls into the default"
CHANGE = "fields that change a message's meaning are not read"
RULES = "two rules for one question"
ENDS = "missing knowledge replaced by a default"


def lens(folder: Path, image: dict[str, Any] | None = None, topic: str = "/cam/image_raw", **info: Any) -> Path:
    """A LiDAR and a camera with this CameraInfo."""
    return mcap(folder / "x.mcap", ordered([*places(), *lidar(), *camera(topic=topic, info=info, **(image or {}))]))


def k_of(found: Outcome) -> Any:
    """The matrix of the only camera."""
    assert found.rig is not None
    (mount,) = found.rig.cameras.values()
    return mount.model.matrix


def is_k(fx: float, fy: float, cx: float, cy: float) -> Any:
    return lambda found: np.allclose([k_of(found)[0, 0], k_of(found)[1, 1], k_of(found)[0, 2], k_of(found)[1, 2]],
                                     [fx, fy, cx, cy], atol=0.3)  # fmt: skip


def _foxglove(folder: Path, model: str, bent: list[float]) -> Path:
    """LiDAR-less: a CameraCalibration, a FrameTransform and pictures, all in JSON."""
    path = folder / "x.mcap"
    schemas = {"foxglove.CameraCalibration": "/cam/calibration", "foxglove.CompressedImage": "/cam/image",
               "foxglove.FrameTransform": "/tf", "foxglove.PointCloud": "/points"}  # fmt: skip
    picture = cv2.imencode(".png", np.full((24, 32, 3), 90, np.uint8))[1].tobytes()
    points = np.random.default_rng(0).normal(0, 9, (50, 3)).astype("f4")
    unit = {"position": {"x": 0, "y": 0, "z": 0}, "orientation": {"x": 0, "y": 0, "z": 0, "w": 1}}
    with path.open("wb") as file:
        writer = Writer(file)
        writer.start()
        channels = {name: writer.register_channel(topic, "json", writer.register_schema(
            name, "jsonschema", b'{"type": "object"}')) for name, topic in schemas.items()}  # fmt: skip
        for number in range(20):
            at = START + number * PERIOD
            stamp = {"sec": at // 10**9, "nsec": at % 10**9}
            for name, body in {
                "foxglove.FrameTransform": {"parent_frame_id": "base_link", "child_frame_id": "cam" if number % 2 else
                                            "lidar", "translation": unit["position"], "rotation": unit["orientation"]},
                "foxglove.CameraCalibration": {"frame_id": "cam", "width": 32, "height": 24, "distortion_model": model,
                                               "D": bent, "K": [30, 0, 16, 0, 30, 12, 0, 0, 1],
                                               "R": [1, 0, 0, 0, 1, 0, 0, 0, 1],
                                               "P": [30, 0, 16, 0, 0, 30, 12, 0, 0, 0, 1, 0]},
                "foxglove.CompressedImage": {"frame_id": "cam", "format": "png",
                                             "data": base64.b64encode(picture).decode()},
                "foxglove.PointCloud": {"frame_id": "lidar", "point_stride": 12, "pose": unit,
                                        "fields": [{"name": n, "offset": 4 * k, "type": 7}
                                                   for k, n in enumerate("xyz")],
                                        "data": base64.b64encode(points.tobytes()).decode()},
            }.items():  # fmt: skip
                data = json.dumps({"timestamp": stamp, **body}).encode()
                writer.add_message(channels[name], at + 20 * MS, data, at + 20 * MS)
        writer.finish()
    return path


def pictures(folder: Path, make: Any, kind: str = "jpeg", count: int = 20, size: tuple[int, int] = (32, 24)) -> Path:
    """A camera alone, of compressed pictures `make(number)`."""

    def message(k: int, t: int) -> Any:
        return ROS.types["sensor_msgs/msg/CompressedImage"](
            header=ROS.header("cam", t), format=kind, data=np.frombuffer(make(k), np.uint8))  # fmt: skip

    about = turns(lambda k, t: ROS.info("cam", t, size=size), count, topic="/cam/camera_info")
    return mcap(folder / "x.mcap", ordered([*about, *turns(message, count, topic="/cam/image_raw/compressed")]))


def encoded(suffix: str, picture: Any, *options: int) -> bytes:
    return bytes(cv2.imencode(suffix, picture, list(options))[1].tobytes())


HALVES = np.zeros((24, 32, 3), np.uint8)
HALVES[:, :16] = 30, 60, 220  # BGR, left
HALVES[:, 16:] = 200, 120, 20


def colour(found: Outcome, tolerance: int = 25) -> bool:
    """Whether the pictures are HALVES."""
    return all(np.abs(np.asarray(_bgr(f)).astype(int)[4:20, [4, 28]] - HALVES[4:20, [4, 28]]).max() <= tolerance
               for f in found.frames)  # fmt: skip


def _bgr(frame: Any) -> Any:
    from fusion_pipeline.messages.camera import CameraFrame

    assert isinstance(frame, CameraFrame)
    return frame.data if frame.encoding == "bgr8" else frame.data[..., ::-1]


def raw(folder: Path, encoding: str, data: Any, step: int, big: int = 0) -> Path:
    """Raw pictures of 32 x 24, beside a LiDAR."""

    def message(k: int, t: int) -> Any:
        made = ROS.image("cam", t)
        made.encoding, made.step, made.is_bigendian = encoding, step, big
        made.data = np.frombuffer(np.ascontiguousarray(data).tobytes(), np.uint8)
        return made

    about = turns(lambda k, t: ROS.info("cam", t), topic="/cam/camera_info")
    return mcap(folder / "x.mcap", ordered([*places(), *lidar(), *about, *turns(message, topic="/cam/image_raw")]))


def _padded() -> Any:
    wide = np.zeros((24, 40, 3), np.uint8)
    wide[:, :32], wide[:, 32:] = HALVES, 255
    return wide


def _sixteen(order: str) -> Any:
    return np.broadcast_to(np.linspace(0, 65535, 32), (24, 32)).astype(order + "u2")


def _grey_ramp(found: Outcome) -> bool:
    return all(np.abs(f.data.reshape(24, 32, -1)[3, :, 0].astype(int) - np.linspace(0, 255, 32)).max() < 3
               for f in found.frames)  # fmt: skip


def _exif(data: bytes, orientation: int) -> bytes:
    from struct import pack

    body = b"Exif\0\0MM\0*\0\0\0\x08" + pack(">HHHIHHI", 1, 0x0112, 3, 1, orientation, 0, 0)
    return data[:2] + b"\xff\xe1" + pack(">H", len(body) + 2) + body + data[2:]


def _sizes(folder: Path) -> Path:
    half = camera(size=(16, 12))
    rows = [b if k >= 20 and b[2].__msgtype__.endswith("Image") else a
            for k, (a, b) in enumerate(zip(camera(), half, strict=True))]  # fmt: skip
    return mcap(folder / "x.mcap", ordered([*places(), *lidar(), *rows]))


def _cut(data: bytes, share: float) -> bytes:
    return data[: int(len(data) * share)]


NOISE = np.random.default_rng(3).integers(0, 255, (240, 320, 3)).astype(np.uint8)
FULL = (64, 48)
SITUATIONS = [
    *(Situation(f"lens model {model or 'without a name'} with {len(bent)} coefficients in CameraInfo",
                "foxglove-sdk#548", LENS, "no lens; an error" if code else "known", code=code, has=has,
                make=lambda f, model=model, bent=bent: lens(f, model=model, bent=bent))
      for model, bent, code, has in (
          ("equidistant", (0.1, 0.01, 0, 0), 0, ()), ("kannala_brandt", (0.1, 0.01, 0, 0), 0, ()),
          ("rational_polynomial", (0.1,) * 8, 0, ()), ("double_sphere", (0.1, 0.5), 3, ("unknown-lens",)),
          ("thin_prism_fisheye", (0.1,) * 8, 3, ("unknown-lens",)), ("", (), 0, ()),
          ("plumb_bob", (0.1, 0.2, 0.3), 3, ("unknown-lens",)), ("Fisheye62", (0.1,) * 8, 3, ("unknown-lens",)),
      )),
    *(Situation(f"lens model {model} in Foxglove's JSON", "foxglove-sdk#548", LENS,
                "no lens; an error" if code else "known", code=code, has=has,
                make=lambda f, model=model, bent=bent: _foxglove(f, model, bent))
      for model, bent, code, has in (
          ("kannala_brandt", [0.1, 0.01, 0.0, 0.0], 0, ()), ("mei", [0.1] * 5, 3, ("unknown-lens",)))),
    Situation("a CameraInfo of zeros, as of a camera that was never calibrated", "own", LENS, "an error",
              code=3, has=("no-lens",), make=lambda f: lens(f, k=(0.0,) * 9)),
    Situation("binning 2 of the full sensor", "jsk_recognition#2713", CHANGE, "K is scaled", right=is_k(30, 30, 16, 12),
              make=lambda f: lens(f, size=FULL, k=(60, 0, 32, 0, 60, 24, 0, 0, 1), binning=2)),
    Situation("a region of the sensor", "ipm#26", CHANGE, "the centre is moved", right=is_k(30, 30, 16, 12),
              make=lambda f: lens(f, size=FULL, k=(30, 0, 32, 0, 30, 24, 0, 0, 1), roi=(16, 12, 32, 24))),
    Situation("a region and binning of it", "vision_opencv#378", CHANGE, "both, in that order",
              right=is_k(30, 30, 16, 12),
              make=lambda f: lens(f, size=(128, 96), k=(60, 0, 64, 0, 60, 48, 0, 0, 1),
                                  roi=(32, 24, 64, 48), binning=2)),
    Situation("the matrix of binned pictures with the size of the full sensor", "avt_vimba_camera#82", CHANGE,
              "an error", code=3, has=("lens-size",),
              make=lambda f: lens(f, size=(128, 96), k=(30, 0, 16, 0, 30, 12, 0, 0, 1), binning=4)),
    Situation("a region that is given with the size of the region", "camera1394#36", CHANGE, "an error", code=3,
              make=lambda f: lens(f, size=(32, 24), roi=(16, 12, 32, 24))),
    Situation("pictures of half the size of their CameraInfo", "pylon-ros-camera#143", CHANGE, "an error", code=3,
              has=("lens-size",), make=lambda f: lens(f, size=FULL, k=(60, 0, 32, 0, 60, 24, 0, 0, 1))),
    Situation("pictures change their size in the middle", "own", CHANGE, "an error", code=3,
              has=("lens-size",), make=_sizes),
    Situation("rectified pictures with P", "own", CHANGE, "P, without distortion",
              make=lambda f: lens(f, topic="/cam/image_rect", bent=(0.3, 0.1, 0, 0, 0),
                                  p=(25, 0, 15, 0, 0, 25, 11, 0, 0, 0, 1, 0)), right=is_k(25, 25, 15, 11)),
    Situation("rectified pictures with P of zeros", "own", CHANGE, "an error", code=3, has=("no-lens",),
              make=lambda f: lens(f, topic="/cam/image_rect", bent=(0.3, 0.1, 0, 0, 0))),
    Situation("raw pictures in rgb8", "own", CHANGE, "colours are right", right=colour,
              make=lambda f: raw(f, "rgb8", HALVES[..., ::-1], 96)),
    Situation("rows with padding", "own", CHANGE, "colours are right", right=colour,
              make=lambda f: raw(f, "bgr8", _padded(), 120)),
    Situation("16 bits, high byte first", "image_pipeline#55", CHANGE, "values are right", right=_grey_ramp,
              make=lambda f: raw(f, "mono16", _sixteen(">"), 64, 1)),
    Situation("16 bits, low byte first", "image_pipeline#55", CHANGE, "values are right", right=_grey_ramp,
              make=lambda f: raw(f, "mono16", _sixteen("<"), 64)),
    Situation("an encoding that nobody knows", "own", LENS, "refused and counted", code=3, has=("refused",),
              make=lambda f: raw(f, "yuv499", HALVES, 96)),
    Situation("depth pictures of 16UC1", "own", LENS, "no camera; named", has=("unread-topic",),
              make=lambda f: mcap(f / "x.mcap", drive(*camera(
                  topic="/depth/image_rect_raw", encoding="16UC1", byte=2))), counts={"lidar/points": 20,
                                                                                     "camera/cam_image_raw": 20}),
    Situation("JPEG in grey", "own", RULES, "read",
              make=lambda f: pictures(f, lambda k: encoded(".jpg", HALVES[..., 0])),
              right=lambda o: len(o.frames) == 20),
    Situation("JPEG with bytes behind its end", "libjpeg-turbo#163", RULES, "read", right=colour,
              make=lambda f: pictures(f, lambda k: encoded(".jpg", HALVES) + b"metadata" * 9)),
    Situation("JPEG with the EXIF orientation 3", "own", RULES, "its stored pixels", right=colour,
              make=lambda f: pictures(f, lambda k: _exif(encoded(".jpg", HALVES), 3))),
    Situation("JPEG that was cut off half way", "own", ENDS, "refused and counted", code=3,
              has=("refused",), make=lambda f: pictures(
                  f, lambda k: _cut(encoded(".jpg", NOISE), 0.5 if k == 4 else 1), size=(320, 240))),
    Situation("PNG that was cut off", "own", ENDS, "refused and counted", code=3, has=("refused",),
              make=lambda f: pictures(f, lambda k: _cut(encoded(".png", NOISE), 0.5 if k == 4 else 1), "png", 20,
                                      (320, 240))),
    Situation("PNG of 16 bits", "image_pipeline#55", CHANGE, "read as 8", right=_grey_ramp,
              make=lambda f: pictures(f, lambda k: encoded(".png", _sixteen("<")), "png")),
    Situation("format says `bgr8; jpeg compressed bgr8`", "own", RULES, "read", right=colour,
              make=lambda f: pictures(f, lambda k: encoded(".jpg", HALVES), "bgr8; jpeg compressed bgr8")),
    Situation("format says png, the bytes are JPEG", "own", RULES, "read by its bytes, or refused", right=colour,
              make=lambda f: pictures(f, lambda k: encoded(".jpg", HALVES), "png")),
    Situation("black pictures throughout", "own", "success that made nothing", "a warning", has=("black-picture",),
              make=lambda f: pictures(f, lambda k: encoded(".png", HALVES * 0), "png")),
]  # fmt: skip
