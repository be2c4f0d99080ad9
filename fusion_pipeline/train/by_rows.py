"""Two things that ONNX Runtime does slowly in a network of whole numbers, done by copying rows of channels.

Convolutions in 8 bits keep channels last. There a Resize looks up every number by itself and can cost more than the
convolution before it, and to read 128 cells of a map the whole map is made floating point and channels first. Both are
a Gather of rows of channels, done before numbers are made floating point. What comes out is the same to the bit.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import onnx
from onnx import GraphProto, ModelProto, NodeProto, helper, numpy_helper

from fusion_pipeline.arrays import Array

LAST, FIRST = [0, 2, 3, 1], [0, 3, 1, 2]  # permutations that put channels last, and first again
REPEATS = {"mode": b"nearest", "coordinate_transformation_mode": b"asymmetric", "nearest_mode": b"floor"}


def by_rows(model: ModelProto) -> None:
    """Change the graph of `model`, as quantize_static leaves it: each doubling (or more) of a map, and each Gather of
    columns of a flattened map that was whole numbers before.
    """
    work = _Work(model)
    for node in list(model.graph.node):
        if node.op_type == "Resize" and (times := work.times(node)):
            work.repeat(node, times)
        elif node.op_type == "Gather":
            work.read(node)
    work.finish()


class _Work:
    """A graph in the making: what each node is replaced by."""

    def __init__(self, model: ModelProto) -> None:
        self._graph: GraphProto = model.graph
        typed = onnx.shape_inference.infer_shapes(model).graph
        self._shapes = {
            value.name: [dim.dim_value for dim in value.type.tensor_type.shape.dim]
            for value in (*typed.value_info, *typed.input)
        }
        self._numbers = {value.name: numpy_helper.to_array(value) for value in model.graph.initializer}
        self._made_by = {name: node for node in model.graph.node for name in node.output}
        self._instead: dict[str, list[NodeProto]] = {}  # by the first output of the node that goes

    def times(self, node: NodeProto) -> int:
        """How many times as large a Resize makes rows and columns; 0 if it does anything else."""
        if not REPEATS.items() <= _settings(node).items() or len(node.input) < 3 or node.input[2] not in self._numbers:
            return 0
        scales = self._numbers[node.input[2]]
        times = int(scales[-1]) if len(scales) == 4 else 0
        return times if np.array_equal(scales, [1, 1, times, times]) else 0

    def repeat(self, node: NodeProto, times: int) -> None:
        """Each cell `times` by `times` times."""
        source, steps = self._before(node.input[0])
        _, _, h, w = self._shapes[node.input[0]]
        name = node.output[0]
        self._instead[name] = [
            helper.make_node("Transpose", [source], [f"{name}/last"], f"{name}/last", perm=LAST),
            self._repeated(f"{name}/last", f"{name}/taller", h, times, axis=1),
            self._repeated(f"{name}/taller", f"{name}/wider", w, times, axis=2),
            helper.make_node("Transpose", [f"{name}/wider"], [_inner(name, steps)], f"{name}/first", perm=FIRST),
            *_again(steps, name),
        ]

    def read(self, node: NodeProto) -> None:
        """Some cells of a map (1, C, h, w) of whole numbers, where it has been flattened to (C, h * w)."""
        flat = self._made_by.get(node.input[0])
        if flat is None or flat.op_type != "Reshape" or _settings(node).get("axis") != 1:
            return
        source, steps = self._before(flat.input[0])
        shape, wanted = self._shapes.get(flat.input[0], []), self._shapes.get(node.input[0], [])
        if not steps or len(shape) != 4 or wanted != [shape[1], shape[2] * shape[3]]:
            return
        name = node.output[0]
        shape_of = self._constant(f"{name}/shape", np.asarray(wanted[::-1]))
        self._instead[name] = [
            helper.make_node("Transpose", [source], [f"{name}/last"], f"{name}/last", perm=LAST),
            helper.make_node("Reshape", [f"{name}/last", shape_of], [f"{name}/flat"], f"{name}/flat"),
            helper.make_node("Gather", [f"{name}/flat", node.input[1]], [f"{name}/picked"], f"{name}/picked", axis=0),
            helper.make_node("Transpose", [f"{name}/picked"], [_inner(name, steps)], f"{name}/first", perm=[1, 0]),
            *_again(steps, name),
        ]

    def finish(self) -> None:
        """Put the new nodes where the old were, and leave out what nothing reads any more."""
        nodes = [new for node in self._graph.node for new in self._instead.get(node.output[0], [node])]
        read = {value.name for value in self._graph.output}
        kept: list[NodeProto] = []
        for node in reversed(nodes):
            if read.intersection(node.output):
                kept.append(node)
                read.update(node.input)
        constants = [value for value in self._graph.initializer if value.name in read]
        _fill(self._graph.node, reversed(kept))
        _fill(self._graph.initializer, constants)

    def _before(self, name: str) -> tuple[str, list[str]]:
        """Whole numbers that `name` was made floating point from, and their scale and zero; else itself."""
        node = self._made_by.get(name)
        if node is None or node.op_type != "DequantizeLinear":
            return name, []
        return node.input[0], list(node.input[1:])

    def _repeated(self, source: str, out: str, count: int, times: int, axis: int) -> NodeProto:
        at = self._constant(f"{out}/at", np.arange(count * times) // times)
        return helper.make_node("Gather", [source, at], [out], out, axis=axis)

    def _constant(self, name: str, values: Array) -> str:
        self._graph.initializer.append(numpy_helper.from_array(values.astype(np.int64), name))
        return name


def _settings(node: NodeProto) -> dict[str, Any]:
    return {setting.name: helper.get_attribute_value(setting) for setting in node.attribute}


def _inner(name: str, steps: list[str]) -> str:
    """What a chain gives before it is made floating point, if it is."""
    return f"{name}/whole" if steps else name


def _again(steps: list[str], name: str) -> list[NodeProto]:
    if not steps:
        return []
    return [helper.make_node("DequantizeLinear", [f"{name}/whole", *steps], [name], f"{name}/exact")]


def _fill(field: object, values: Iterable[object]) -> None:
    """Of a protobuf's repeated field."""
    kept = list(values)
    del field[:]  # type: ignore[attr-defined]
    field.extend(kept)  # type: ignore[attr-defined]
