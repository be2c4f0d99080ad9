"""What a manifest's stages may say: one dataclass of options per operation, and the table of all of them.

The code that carries an operation out is in `detect/inference.py`; here is only what can be written and checked
without a network, so that a manifest with a mistake is refused before anything heavy is loaded.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any

from fusion_pipeline.checks import Range, nearest
from fusion_pipeline.tables import TableError, build

FITS = ("stretch", "letterbox", "letterbox_top_left")
ORDERS = ("bgr", "rgb")
YOLO_LAYOUTS = ("v8", "end2end", "yolox", "fastestdet")
FUSIONS = ("early", "late", "hybrid")
Z_REFERENCES = ("local_ground", "vehicle")
IMAGE_DTYPES = ("", "float32", "float16", "float64", "uint8")
IMAGE_LAYOUTS = ("", "nchw", "nhwc")
Share = Annotated[float, Range(0, 1)]
Count = Annotated[int, Range(1, 4096)]
Pixels = Annotated[int, Range(1, 16_384)]
LONGEST_FIELD_M = 1000.0


class OperationError(TableError):
    """A stage that cannot be used; the message names the key and what to write instead."""


@dataclass(frozen=True, slots=True)
class ImageResize:
    """Pictures to a tensor (1, 3, height, width) f32 for each camera, or (cameras, 3, ...) for all when `stack`.

    `dtype` and `layout` "" are what the network's input declares: float16 and float64 are the same numbers in another
    form, uint8 is the 8-bit values themselves (with scale = 1, no mean and no std), "nhwc" is (1, height, width, 3).
    """

    width: Pixels
    height: Pixels
    out: str = "image"  # name of the tensor
    fit: str = "stretch"  # stretch; letterbox (centred); letterbox_top_left
    order: str = "bgr"  # colour order of the three channels
    scale: float = 1 / 255  # times the 8-bit value, before mean and std
    mean: tuple[float, ...] = (0.0, 0.0, 0.0)
    std: tuple[float, ...] = (1.0, 1.0, 1.0)
    pad: Annotated[int, Range(0, 255)] = 114  # 8-bit grey of the borders of a letterbox
    stack: bool = False
    cameras: Annotated[int, Range(0, 64)] = 0  # of a stack: the rig's first so many; 0: all
    dtype: str = ""  # float32, float16, float64 or uint8
    layout: str = ""  # nchw or nhwc

    def __post_init__(self) -> None:
        _one_of("fit", self.fit, FITS)
        _one_of("order", self.order, ORDERS)
        _one_of("dtype", self.dtype, IMAGE_DTYPES)
        _one_of("layout", self.layout, IMAGE_LAYOUTS)
        _positive(width=self.width, height=self.height)
        if self.dtype == "uint8" and not self.plain:
            raise OperationError(
                "dtype uint8 holds the 8-bit values as they are; write scale = 1.0, no mean and no std"
            )
        if len(self.mean) != 3 or len(self.std) != 3 or min(self.std, default=0.0) <= 0 or self.scale == 0:
            raise OperationError("mean and std need three numbers each, one per channel; std must be positive")

    @property
    def plain(self) -> bool:
        """Whether the 8-bit values stay as they are."""
        return self.scale == 1.0 and set(self.mean) == {0.0} and set(self.std) == {1.0}


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
    cameras: Annotated[int, Range(1, 64)] = 1

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
    min_score: Annotated[float, Range(0, 1, above=True)] = 0.5
    min_scores: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, least in self.min_scores.items():
            if name not in self.names:
                raise OperationError(f"min_scores.{name}: {nearest('sound', name, self.names)}")
            if not 0 < least <= 1:
                raise OperationError(f"min_scores.{name} = {least} must be positive and at most 1")


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

    min_score: Share = 0.3
    z: str = "local_ground"  # what z is above: the raster's local ground, or the vehicle frame's origin
    iou_weight: Share = 0.5  # used only where the network gives `iou`
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
    min_score: Share = 0.3
    strides: tuple[Count, ...] = (8, 16, 32)  # of the yolox grids

    def __post_init__(self) -> None:
        _one_of("layout", self.layout, YOLO_LAYOUTS)
        for label, members in self.class_map.items():
            for member in members:
                if member not in self.names:
                    raise OperationError(f"class_map.{label}: {nearest('class', member, self.names)}")
        if not self.names or not self.class_map:
            raise OperationError("names and class_map must not be empty; without them no box has a class")


@dataclass(frozen=True, slots=True)
class Nms2d:
    """Of 2-D boxes that overlap by more than `iou` the best stays; per class unless `across_classes`."""

    iou: Share = 0.45
    across_classes: bool = True


@dataclass(frozen=True, slots=True)
class NmsBev:
    """Of boxes whose outlines from above overlap by more than `iou` the best stays; at most `top` in all.

    With `sigmas` also of boxes of a class that lie one behind another, nearer than so many of the better one's
    standard deviations of position and than its width to the side: a camera alone tells a thing at several depths.
    """

    iou: Share = 0.2
    across_classes: bool = True
    top: Annotated[int, Range(1, 100_000)] = 128
    sigmas: Annotated[float, Range(0, 100)] = 0.0


@dataclass(frozen=True, slots=True)
class LiftToBoxes:
    """2-D boxes and the LiDAR points seen in them to boxes in the vehicle frame.

    `sizes` gives each class its usual length, width and height in metres.
    """

    sizes: Mapping[str, tuple[float, ...]]
    min_points: Annotated[int, Range(1, 1_000_000)] = 5
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
    except TableError as error:
        raise OperationError(f"({name}): {error}") from None


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
        far = max(map(abs, ends), default=0.0) > LONGEST_FIELD_M
        if far or cells < 1 or abs(cells - round(cells)) > 1e-6:
            raise OperationError(
                f"{key} = {list(ends)} should be two numbers, a multiple of 3.2 m apart, within {LONGEST_FIELD_M:g} m"
            )


def _shares(attribution: tuple[float, ...]) -> None:
    if len(attribution) != 3 or min(attribution) < 0 or abs(sum(attribution) - 1) > 1e-6:
        raise OperationError("attribution must be three shares (lidar, camera, audio) that sum to 1")
