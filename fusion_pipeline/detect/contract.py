"""Whether a manifest's stages, its networks and a rig fit together, found without running or loading any of them.

Every stage makes tensors of a shape and dtype that its options and the rig decide, and every ONNX file declares what it
takes and gives; here the two are compared. Light: it imports neither ONNX Runtime nor any encoder, so that the parent
of a graph can afford it. `tests/detect/test_contract.py` holds the shapes against what the encoders really make.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from fusion_pipeline.manifest import Manifest
from fusion_pipeline.onnxfile import OnnxFile, Tensor, read_onnx
from fusion_pipeline.operations import (
    BevRasterize,
    DecodeCenter,
    DecodeSounds,
    DecodeYolo,
    ImageResize,
    LiftToBoxes,
    Lookup,
    RunOnnx,
    Srp,
)  # fmt: skip

if TYPE_CHECKING:
    from fusion_pipeline.rig import Rig

RASTER_CHANNELS, CELL_M = 64, 0.4  # of `encode.points.BevRaster` and `encode.grid.BevGrid.shape`
BANDS, STEPS, AZIMUTHS = 16, 16, 72  # of `encode.audio`
TOKENS, RAY, HEIGHTS = 480, 7, 3  # of `encode.lookup`
BOX_COLUMNS = 10  # of `detect.center.COLUMNS`
NOT_USED = "not used by this model"
_FLOATS = ("float16", "float32", "float64")
_MADE = "float32"


def used_topics(manifest: Manifest, rig: Rig) -> frozenset[str]:
    """The sensors of `rig` that the model takes something from."""
    kinds = {type(stage) for stage in manifest.stages}
    used: set[str] = set()
    if kinds & {BevRasterize, LiftToBoxes}:
        used.update(rig.lidars)
    for stage in manifest.stages:
        if isinstance(stage, ImageResize):
            used.update(list(rig.cameras)[: (stage.cameras or None) if stage.stack else None])
    if DecodeSounds not in kinds:
        used.update(rig.audios)  # sounds are found by rule, in every array
    elif Srp in kinds:
        used.update(list(rig.audios)[:1])
    return frozenset(used)


def unused_topics(manifest: Manifest, rig: Rig) -> tuple[str, ...]:
    """The sensors of `rig` that the model leaves out, in the rig's order."""
    used = used_topics(manifest, rig)
    return tuple(topic for topic in rig.topics if topic not in used)


def resolved(manifest: Manifest) -> Manifest:
    """The manifest with the `dtype` and `layout` of its image stages as the networks' inputs declare them."""
    declared = _inputs_by_source(manifest, {name: read_onnx(path) for name, path in manifest.networks.items()})
    stages = tuple(
        _resolved(stage, declared.get(stage.out)) if isinstance(stage, ImageResize) else stage
        for stage in manifest.stages
    )
    return replace(manifest, stages=stages)


def model_faults(manifest: Manifest, rig: Rig) -> Iterator[str]:
    """Sentences on inputs that no stage makes, on shapes and dtypes that differ, and on outputs that no decoder takes.

    `manifest` must be loaded. Shapes that a file leaves open are taken to fit.
    """
    files = {name: read_onnx(path) for name, path in manifest.networks.items()}
    declared = _inputs_by_source(manifest, files)
    made = _Made(rig)
    for number, stage in enumerate(manifest.stages, 1):
        where = f"{manifest.path}: stages[{number}]"
        if isinstance(stage, RunOnnx):
            yield from (f"{where} (onnx): {text}" for text in made.run(manifest, stage, files[stage.file]))
        else:
            if isinstance(stage, ImageResize):
                wanted = declared.get(stage.out)
                stage = _resolved(stage, wanted)
                if wanted is not None and wanted.dtype == "uint8" and stage.dtype == "" and not stage.plain:
                    yield (
                        f"{where} (image_resize): the network's input {wanted.name!r} takes uint8, the 8-bit values as "
                        "they are; write scale = 1.0, no mean and no std"
                    )
                    stage = replace(stage, scale=1.0, mean=(0.0,) * 3, std=(1.0,) * 3, dtype="uint8")
            yield from (f"{where}: {text}" for text in made.take(stage))


def _inputs_by_source(manifest: Manifest, files: dict[str, OnnxFile]) -> dict[str, Tensor]:
    """The first network input that each tensor of the pipeline goes to."""
    found: dict[str, Tensor] = {}
    for stage in manifest.stages:
        if isinstance(stage, RunOnnx):
            for tensor in files[stage.file].inputs:
                found.setdefault(stage.inputs.get(tensor.name, tensor.name), tensor)
    return found


def _resolved(stage: ImageResize, wanted: Tensor | None) -> ImageResize:
    if wanted is None:
        return stage
    dtype, layout = stage.dtype, stage.layout
    if not dtype and (wanted.dtype in _FLOATS or (wanted.dtype == "uint8" and stage.plain)):
        dtype = wanted.dtype
    if not layout and wanted.shape is not None and len(wanted.shape) == 4:
        # By the declared extents alone: (any, height, width, 3) cannot hold (n, 3, height, width), nor the reverse.
        last = _fits((None, stage.height, stage.width, 3), wanted.shape)
        layout = "nhwc" if last and not _fits((None, 3, stage.height, stage.width), wanted.shape) else "nchw"
    return replace(stage, dtype=dtype, layout=layout)


def _fits(made: tuple[int | None, ...], declared: tuple[int | None, ...]) -> bool:
    return len(made) == len(declared) and all(a == b or None in (a, b) for a, b in zip(made, declared, strict=True))


@dataclass(slots=True)
class _Made:
    """The tensors that the stages so far have made."""

    rig: Rig
    tensors: dict[str, Tensor] = field(default_factory=lambda: {"present": Tensor("present", _MADE, (1, 4))})
    size: tuple[int, int] = (0, 0)

    def take(self, stage: object) -> Iterator[str]:
        """Add what a stage that is no network makes; yields what a decoder cannot take."""
        if isinstance(stage, ImageResize):
            self._picture(stage)
        elif isinstance(stage, BevRasterize):
            rows, columns = _cells(stage.x_m), _cells(stage.y_m)
            self._make(stage.out, (1, RASTER_CHANNELS, rows, columns))
        elif isinstance(stage, Srp):
            self._make(stage.out, (1, BANDS, STEPS, AZIMUTHS))
            self._make(stage.level_out, (1, BANDS, STEPS))
        elif isinstance(stage, Lookup):
            cells = (_cells(stage.x_m) // 2) * (_cells(stage.y_m) // 2)
            self._make("cam_lut", (cells * HEIGHTS,), "int64")
            self._make("cam_bin", (cells * HEIGHTS,), "int64")
            self._make("cam_rays", (1, TOKENS * stage.cameras, RAY))
            self._make("aud_lut", (cells,), "int64")
            self._make("aud_geo", (cells, 4))
            self._make("aud_dir", (1, AZIMUTHS, 2))
        elif isinstance(stage, DecodeCenter):
            yield from self._decoded("scores", None, "decode_center")
            yield from self._decoded("labels", None, "decode_center")
            yield from self._decoded("boxes", (None, BOX_COLUMNS), "decode_center", last_only=True)
        elif isinstance(stage, DecodeSounds):
            yield from self._decoded(stage.tensor, (len(stage.names), AZIMUTHS), "decode_sounds")
        elif isinstance(stage, DecodeYolo):
            yield from self._decoded(stage.tensor, _yolo_shape(stage, self.size), f"decode_yolo, layout {stage.layout}")

    def run(self, manifest: Manifest, stage: RunOnnx, file: OnnxFile) -> Iterator[str]:
        """Compare a network's inputs with what there is, and add its outputs."""
        for key, table, tensors in (("inputs", stage.inputs, file.inputs), ("outputs", stage.outputs, file.outputs)):
            names = [tensor.name for tensor in tensors]
            for name in table:
                if name not in names:
                    yield f"{key}: the network has no {key[:-1]} {name!r}; it has {', '.join(names[:12])}"
        for wanted in file.inputs:
            source = stage.inputs.get(wanted.name, wanted.name)
            if source not in self.tensors:
                yield f"no stage makes {source!r} for input {wanted.name!r}; made: {', '.join(sorted(self.tensors))}"
                continue
            made = self.tensors[source]
            same_type = made.dtype == wanted.dtype or (made.dtype in _FLOATS and wanted.dtype in _FLOATS)
            shaped = made.shape is None or wanted.shape is None or _fits(made.shape, wanted.shape)
            if not same_type or not shaped:
                yield f"input {wanted.name!r} wants {wanted}, the stages before make {made} of {source!r}"
        for given in file.outputs:
            name = stage.outputs.get(given.name, given.name)
            self.tensors[name] = replace(given, name=name)

    def _make(self, name: str, shape: tuple[int | None, ...], dtype: str = _MADE) -> None:
        self.tensors[name] = Tensor(name, dtype, shape)

    def _picture(self, stage: ImageResize) -> None:
        count = (stage.cameras or max(1, len(self.rig.cameras))) if stage.stack else 1
        middle = (stage.height, stage.width, 3) if stage.layout == "nhwc" else (3, stage.height, stage.width)
        self._make(stage.out, (count, *middle), stage.dtype or _MADE)
        if not stage.stack:
            self.size = (stage.width, stage.height)

    def _decoded(
        self, name: str, shape: tuple[int | None, ...] | None, what: str, last_only: bool = False
    ) -> Iterator[str]:
        if name not in self.tensors:
            yield f"({what}) wants a tensor {name!r}; made: {', '.join(sorted(self.tensors))}"
            return
        given = self.tensors[name].shape
        if shape is None or given is None:
            return
        fits = given[-1:] in ((None,), shape[-1:]) if last_only else _fits(shape, given)
        if not fits:
            wanted = ", ".join("any" if extent is None else str(extent) for extent in shape)
            yield (
                f"({what}) wants {name!r} as ({wanted}), the network gives {self.tensors[name]}; correct the layout or "
                "the names in the manifest, or export the network again"
            )


def _cells(ends: tuple[float, ...]) -> int:
    return round((ends[1] - ends[0]) / CELL_M)


def _yolo_shape(stage: DecodeYolo, size: tuple[int, int]) -> tuple[int | None, ...]:
    """As in `detect.yolo`."""
    classes = len(stage.names)
    if stage.layout == "v8":
        return 1, 4 + classes, None
    if stage.layout == "end2end":
        return 1, None, 6
    if stage.layout == "yolox":
        return 1, sum((size[0] // stride) * (size[1] // stride) for stride in stage.strides), 5 + classes
    return 1, 5 + classes, None, None
