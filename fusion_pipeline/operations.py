"""What a manifest's stages may say: one dataclass of options per operation, and the table of all of them.

The code that carries an operation out is in `detect/inference.py`; here is only what can be written and checked
without a network, so that a manifest with a mistake is refused before anything heavy is loaded.
"""

from __future__ import annotations

import dataclasses
import difflib
import types
import typing
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

FITS = ("stretch", "letterbox", "letterbox_top_left")
ORDERS = ("bgr", "rgb")
YOLO_LAYOUTS = ("v8", "end2end", "yolox", "fastestdet")
FUSIONS = ("early", "late", "hybrid")
Z_REFERENCES = ("local_ground", "vehicle")


class OperationError(ValueError):
    """A stage that cannot be used; the message names the key and what to write instead."""


@dataclass(frozen=True, slots=True)
class ImageResize:
    """Pictures to a tensor (1, 3, height, width) f32 for each camera, or (cameras, 3, ...) for all when `stack`."""

    width: int
    height: int
    out: str = "image"  # name of the tensor
    fit: str = "stretch"  # stretch; letterbox (centred); letterbox_top_left
    order: str = "bgr"  # colour order of the three channels
    scale: float = 1 / 255  # times the 8-bit value, before mean and std
    mean: tuple[float, ...] = (0.0, 0.0, 0.0)
    std: tuple[float, ...] = (1.0, 1.0, 1.0)
    pad: int = 114  # 8-bit grey of the borders of a letterbox
    stack: bool = False
    cameras: int = 0  # of a stack: the rig's first so many; 0: all

    def __post_init__(self) -> None:
        _one_of("fit", self.fit, FITS)
        _one_of("order", self.order, ORDERS)
        _positive(width=self.width, height=self.height)
        if len(self.mean) != 3 or len(self.std) != 3 or 0.0 in self.std:
            raise OperationError("mean and std need three numbers each, one per channel; std must not be 0")


@dataclass(frozen=True, slots=True)
class BevRasterize:
    """All LiDAR points, in the vehicle frame, to the raster f32, (1, 64, 176, 200) for the standard field."""

    out: str = "lidar_bev"
    x_m: tuple[float, ...] = (0.0, 70.4)  # the field: behind to ahead
    y_m: tuple[float, ...] = (-40.0, 40.0)  # right to left
    sweeps: int = 0  # earlier sweeps, moved here by the ego pose, that go into channels 12 and 13; at most 2

    def __post_init__(self) -> None:
        if not 0 <= self.sweeps <= 2:
            raise OperationError(f"sweeps = {self.sweeps} should be 0, 1 or 2")
        _field(self.x_m, self.y_m)


@dataclass(frozen=True, slots=True)
class Srp:
    """Audio to steered response power (1, 16, 16, 72) f32: bands, time steps, azimuths; and level (1, 16, 16) in dB."""

    out: str = "audio_srp"
    level_out: str = "audio_level"


@dataclass(frozen=True, slots=True)
class Lookup:
    """Calibration as tables cam_lut, cam_bin, cam_rays, aud_lut, aud_geo, aud_dir: of the first cameras and array."""

    x_m: tuple[float, ...] = (0.0, 70.4)  # the field, as in bev_raster
    y_m: tuple[float, ...] = (-40.0, 40.0)
    cameras: int = 1

    def __post_init__(self) -> None:
        _positive(cameras=self.cameras)
        _field(self.x_m, self.y_m)


@dataclass(frozen=True, slots=True)
class DecodeSounds:
    """A tensor (classes, 72) of logits by azimuth to sounds; without it sounds are found by rule.

    `min_scores` has the least score of single names that have another than `min_score`.
    """

    names: tuple[str, ...]
    tensor: str = "audio_events"
    min_score: float = 0.5
    min_scores: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, least in self.min_scores.items():
            if name not in self.names:
                raise OperationError(f"min_scores.{name}: {nearest('sound', name, self.names)}")
            _positive(**{f"min_scores.{name}": least})


@dataclass(frozen=True, slots=True)
class RunOnnx:
    """One run of a network; `inputs` and `outputs` rename (the file's name = the pipeline's name).

    `fusion` "hybrid" is one run with all senses. "early" paints what the camera saw in the set before onto the raster
    and hides the camera otherwise, see `detect/painter.py`. "late" runs it once with the LiDAR and once with the
    camera, and joins their boxes, see `detect/late.py`. With `paint` a hybrid is painted too.
    """

    file: str = "network"  # a key of [files]
    fusion: str = "hybrid"
    paint: bool = False
    inputs: Mapping[str, str] = field(default_factory=dict)
    outputs: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        _one_of("fusion", self.fusion, FUSIONS)
        if self.paint and self.fusion == "late":
            raise OperationError('paint = true belongs to fusion = "hybrid"; late fusion keeps the senses apart')


@dataclass(frozen=True, slots=True)
class DecodeCenter:
    """Tensors scores, labels, boxes (and iou, std, attr where the network gives them) to boxes in the vehicle frame.

    `boxes` has the columns x y z l w h sin(yaw) cos(yaw) vx vy. The score is s^(1-iou_weight) * iou^iou_weight.
    """

    min_score: float = 0.3
    z: str = "local_ground"  # what z is above: the raster's local ground, or the vehicle frame's origin
    iou_weight: float = 0.5  # used only where the network gives `iou`
    attribution: tuple[float, ...] = (1.0, 0.0, 0.0)  # lidar, camera, audio, where the network gives no `attr`

    def __post_init__(self) -> None:
        _one_of("z", self.z, Z_REFERENCES)
        _shares(self.attribution)


@dataclass(frozen=True, slots=True)
class DecodeYolo:
    """The output of a YOLO-type network to 2-D boxes in pixels of the original picture.

    `names` are the network's classes; `class_map` gives, for each of the manifest's classes, which of them count as
    it. What is in no list is dropped.
    """

    layout: str
    names: tuple[str, ...]
    class_map: Mapping[str, tuple[str, ...]]
    tensor: str = "output0"
    min_score: float = 0.3
    strides: tuple[int, ...] = (8, 16, 32)  # of the yolox grids

    def __post_init__(self) -> None:
        _one_of("layout", self.layout, YOLO_LAYOUTS)
        for label, members in self.class_map.items():
            for member in members:
                if member not in self.names:
                    raise OperationError(f"class_map.{label}: {nearest('class', member, self.names)}")


@dataclass(frozen=True, slots=True)
class Nms2d:
    """Of 2-D boxes that overlap by more than `iou` the best stays; per class unless `across_classes`."""

    iou: float = 0.45
    across_classes: bool = True


@dataclass(frozen=True, slots=True)
class NmsBev:
    """Of boxes whose outlines from above overlap by more than `iou` the best stays; at most `top` in all.

    With `sigmas` also of boxes of a class that lie one behind another, nearer than so many of the better one's
    standard deviations of position and than its width to the side: a camera alone tells a thing at several depths.
    """

    iou: float = 0.2
    across_classes: bool = True
    top: int = 128
    sigmas: float = 0.0


@dataclass(frozen=True, slots=True)
class LiftToBoxes:
    """2-D boxes and the LiDAR points seen in them to boxes in the vehicle frame.

    `sizes` gives each class its usual length, width and height in metres.
    """

    sizes: Mapping[str, tuple[float, ...]]
    min_points: int = 5
    attribution: tuple[float, ...] = (0.5, 0.5, 0.0)  # the label is the camera's, the place the LiDAR's

    def __post_init__(self) -> None:
        _shares(self.attribution)
        for label, size in self.sizes.items():
            if len(size) != 3 or min(size) <= 0:
                raise OperationError(f"sizes.{label} must be three positive numbers: length, width, height in metres")


Operation = (
    ImageResize | BevRasterize | Srp | Lookup | RunOnnx | DecodeCenter | DecodeYolo | DecodeSounds | Nms2d | NmsBev
    | LiftToBoxes
)  # fmt: skip

OPERATIONS: dict[str, type[Operation]] = {
    "image_resize": ImageResize,
    "bev_raster": BevRasterize,
    "srp": Srp,
    "onnx": RunOnnx,
    "decode_center": DecodeCenter,
    "decode_yolo": DecodeYolo,
    "nms_2d": Nms2d,
    "nms_bev": NmsBev,
    "lookup": Lookup,
    "decode_sounds": DecodeSounds,
    "lift_2d_to_3d": LiftToBoxes,
}


def parse_operation(table: Mapping[str, Any]) -> Operation:
    """One entry of a manifest's `stages`, such as {op = "nms_2d", iou = 0.45}. Raises OperationError."""
    if "op" not in table:
        raise OperationError(f"lacks 'op'; known: {', '.join(OPERATIONS)}")
    name = str(table["op"])
    if name not in OPERATIONS:
        raise OperationError(nearest("op", name, OPERATIONS))
    try:
        return build(OPERATIONS[name], {key: value for key, value in table.items() if key != "op"})
    except OperationError as error:
        raise OperationError(f"({name}): {error}") from None


T = TypeVar("T")


def build(kind: type[T], table: Mapping[str, Any]) -> T:
    """A dataclass from a TOML table, every key and type checked. Raises OperationError naming the key."""
    hints = typing.get_type_hints(kind)
    fields = {item.name: item for item in dataclasses.fields(kind)}  # type: ignore[arg-type]
    for key in table:
        if key not in fields:
            raise OperationError(nearest("key", key, fields))
    for name, item in fields.items():
        required = item.default is dataclasses.MISSING and item.default_factory is dataclasses.MISSING
        if required and name not in table:
            raise OperationError(f"lacks {name!r}")
    return kind(**{key: _convert(key, value, hints[key]) for key, value in table.items()})


def nearest(what: str, name: str, known: Iterable[str]) -> str:
    """ "key 'scal' is unknown; did you mean 'scale'?" or, where nothing is near, the known names."""
    names = list(known)
    close = difflib.get_close_matches(name, names, 1, 0.5)
    advice = f"did you mean {close[0]!r}?" if close else f"known: {', '.join(names[:12])}"
    return f"{what} {name!r} is unknown; {advice}"


def _convert(key: str, value: Any, wanted: Any) -> Any:
    origin, arguments = typing.get_origin(wanted), typing.get_args(wanted)
    if wanted is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if wanted in (int, float, str, bool) and type(value) is wanted:
        return value
    if origin is tuple and isinstance(value, list):
        return tuple(_convert(f"{key}[{i}]", item, arguments[0]) for i, item in enumerate(value))
    if origin is not None and issubclass(origin, Mapping) and isinstance(value, dict):
        return {name: _convert(f"{key}.{name}", item, arguments[1]) for name, item in value.items()}
    if dataclasses.is_dataclass(wanted) and isinstance(value, dict):
        try:
            return build(typing.cast(Any, wanted), value)
        except OperationError as error:
            raise OperationError(f"{key}: {error}") from None
    raise OperationError(f"{key} = {value!r} should be {_described(wanted)}")


def _described(wanted: Any) -> str:
    origin, arguments = typing.get_origin(wanted), typing.get_args(wanted)
    if origin is tuple:
        return f"a list of {_described(arguments[0])}"
    if origin is not None and not isinstance(origin, types.UnionType):
        return f"a table of {_described(arguments[1])}"
    return {int: "a whole number", float: "a number", str: "a text", bool: "true or false"}.get(wanted, "a table")


def _one_of(key: str, value: str, known: tuple[str, ...]) -> None:
    if value not in known:
        raise OperationError(f"{key} = {value!r} is unknown; known: {', '.join(known)}")


def _positive(**values: float) -> None:
    for key, value in values.items():
        if value <= 0:
            raise OperationError(f"{key} = {value} must be positive")


def _field(x_m: tuple[float, ...], y_m: tuple[float, ...]) -> None:
    for key, ends in (("x_m", x_m), ("y_m", y_m)):
        cells = (ends[1] - ends[0]) / 3.2 if len(ends) == 2 else 0.0  # of the coarsest part of the network
        if cells < 1 or abs(cells - round(cells)) > 1e-6:
            raise OperationError(f"{key} = {list(ends)} should be two numbers, a multiple of 3.2 m apart")


def _shares(attribution: tuple[float, ...]) -> None:
    if len(attribution) != 3 or min(attribution) < 0 or abs(sum(attribution) - 1) > 1e-6:
        raise OperationError("attribution must be three shares (lidar, camera, audio) that sum to 1")
