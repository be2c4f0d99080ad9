"""The outputs of YOLO-type networks as 2-D boxes, one function per layout.

Layouts as their exporters write them: Ultralytics v8 to v11 ("v8"), exports with built-in suppression and YOLO26
("end2end"), Megvii's YOLOX 0.3 ("yolox"), dog-qiuqiu/FastestDet 50473cd ("fastestdet").
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from fusion_pipeline.arrays import Array, Doubles, Floats, Ints
from fusion_pipeline.detect.network import ModelError
from fusion_pipeline.detect.work import Boxes2d, View
from fusion_pipeline.operations import DecodeYolo

Raw = tuple[Doubles, Floats, Ints]  # corners in the network's pixels, scores, the network's classes
Layout = Callable[[Array, int, tuple[int, int], DecodeYolo], Raw]


class YoloDecoder:
    """One view's output tensor to boxes in its picture."""

    def __init__(self, options: DecodeYolo, classes: tuple[str, ...], input_size: tuple[int, int], min_score: float):
        """`classes` are the manifest's, `input_size` the width and height of the network's picture."""
        self._options, self._size, self._min_score = options, input_size, min_score
        self._decode = LAYOUTS[options.layout]
        self._label_of = np.full(len(options.names), -1, np.int64)
        for label, members in options.class_map.items():
            for member in members:
                self._label_of[options.names.index(member)] = classes.index(label)

    def __call__(self, view: View) -> Boxes2d:
        """Boxes of mapped classes at or above the least score. Raises ModelError for a tensor of another shape."""
        tensor = view.tensors[self._options.tensor]
        corners, scores, names = self._decode(tensor, len(self._options.names), self._size, self._options)
        labels = self._label_of[np.clip(names, 0, len(self._label_of) - 1)]
        with np.errstate(invalid="ignore"):
            good = (scores >= self._min_score) & (labels >= 0) & np.isfinite(corners).all(axis=1)
        boxes = view.fit.to_picture(corners[good])
        return Boxes2d(boxes, scores[good].astype(np.float32), labels[good])


def _v8(tensor: Array, classes: int, size: tuple[int, int], options: DecodeYolo) -> Raw:
    """[1, 4 + classes, N]: centre, size in pixels, then a score per class; no objectness."""
    _require("v8", tensor, (1, 4 + classes, None))
    rows = tensor[0].T
    return _from_centres(rows[:, :4], *_best(rows[:, 4:]))


def _end2end(tensor: Array, classes: int, size: tuple[int, int], options: DecodeYolo) -> Raw:
    """[1, N, 6]: corners in pixels, score, class; already suppressed."""
    _require("end2end", tensor, (1, None, 6))
    rows = tensor[0]
    return rows[:, :4].astype(np.float64), rows[:, 4], rows[:, 5].astype(np.int64)


def _yolox(tensor: Array, classes: int, size: tuple[int, int], options: DecodeYolo) -> Raw:
    """[1, N, 5 + classes] over the grids of all strides: offset and log size in strides, objectness, classes."""
    cells = []
    for stride in options.strides:
        columns, rows_ = size[0] // stride, size[1] // stride
        y, x = np.mgrid[:rows_, :columns]
        cells.append(np.stack([x.ravel(), y.ravel(), np.full(x.size, stride)], axis=1))
    grid = np.concatenate(cells).astype(np.float64)
    _require("yolox", tensor, (1, len(grid), 5 + classes))
    rows = tensor[0].astype(np.float64)
    stride_of = grid[:, 2:]
    centres = np.concatenate([(rows[:, :2] + grid[:, :2]) * stride_of, np.exp(rows[:, 2:4]) * stride_of], axis=1)
    best, names = _best(rows[:, 5:])
    return _from_centres(centres, (best * rows[:, 4]).astype(np.float32), names)


def _fastestdet(tensor: Array, classes: int, size: tuple[int, int], options: DecodeYolo) -> Raw:
    """[1, 5 + classes, H, W]: objectness, tanh of the offset in the cell, sigmoid of the size, class probabilities.

    The score is objectness^0.6 * class^0.4; positions are fractions of the picture.
    """
    _require("fastestdet", tensor, (1, 5 + classes, None, None))
    _, _, height, width = tensor.shape
    cells = tensor[0].reshape(5 + classes, -1).T.astype(np.float64)
    row, column = np.divmod(np.arange(height * width), width)
    best, names = _best(cells[:, 5:])
    scores = np.power(np.clip(cells[:, 0], 0, 1), 0.6) * np.power(np.clip(best, 0, 1), 0.4)
    centres = np.stack(
        [
            (column + np.tanh(cells[:, 1])) / width * size[0],
            (row + np.tanh(cells[:, 2])) / height * size[1],
            size[0] / (1 + np.exp(-cells[:, 3])),
            size[1] / (1 + np.exp(-cells[:, 4])),
        ],
        axis=1,
    )
    return _from_centres(centres, scores.astype(np.float32), names)


LAYOUTS: dict[str, Layout] = {"v8": _v8, "end2end": _end2end, "yolox": _yolox, "fastestdet": _fastestdet}


def _best(scores: Array) -> tuple[Floats, Ints]:
    names = scores.argmax(axis=1)
    return scores[np.arange(len(scores)), names], names.astype(np.int64)


def _from_centres(centres: Array, scores: Floats, names: Ints) -> Raw:
    middle, half = centres[:, :2].astype(np.float64), centres[:, 2:].astype(np.float64) / 2
    return np.concatenate([middle - half, middle + half], axis=1), scores, names


def _require(layout: str, tensor: Array, shape: tuple[int | None, ...]) -> None:
    fits = tensor.ndim == len(shape) and all(w in (None, g) for w, g in zip(shape, tensor.shape, strict=True))
    if not fits:
        wanted = ", ".join("any" if extent is None else str(extent) for extent in shape)
        raise ModelError(
            f"layout {layout!r} wants an output of ({wanted}), the network gives {tensor.shape}; "
            "correct `layout`, `names` or `strides` in the manifest"
        )
