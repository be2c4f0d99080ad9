"""Repeating cells and reading cells by rows of channels gives the same to the bit, and leaves the rest as it is."""

from __future__ import annotations

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")

import onnxruntime  # noqa: E402
from onnx import ModelProto, TensorProto, helper, numpy_helper  # noqa: E402

from fusion_pipeline.arrays import Array  # noqa: E402
from fusion_pipeline.train.by_rows import by_rows  # noqa: E402

CHANNELS, HIGH, WIDE = 3, 4, 5
FLAT = HIGH * WIDE


def network(
    mode: str = "nearest", scales: tuple[float, ...] = (1, 1, 2, 2), whole: bool = True, where: str = "asymmetric"
) -> ModelProto:  # fmt: skip
    """A map, in whole numbers before if `whole`; once larger, once with some of its cells read."""
    constants = {
        "scale": np.float32(0.05), "zero": np.uint8(7), "scales": np.asarray(scales, np.float32),
        "shape": np.asarray([CHANNELS, FLAT]),
    }  # fmt: skip
    first = [
        helper.make_node("QuantizeLinear", ["map", "scale", "zero"], ["bytes"]),
        helper.make_node("DequantizeLinear", ["bytes", "scale", "zero"], ["x"]),
    ] if whole else [helper.make_node("Relu", ["map"], ["x"])]  # fmt: skip
    rest = [
        helper.make_node("Resize", ["x", "", "scales"], ["large"], mode=mode, nearest_mode="floor",
                         coordinate_transformation_mode=where),
        helper.make_node("Reshape", ["x", "shape"], ["flat"]),
        helper.make_node("Gather", ["flat", "cells"], ["read"], axis=1),
    ]  # fmt: skip
    graph = helper.make_graph(
        [*first, *rest], "test",
        [helper.make_tensor_value_info("map", TensorProto.FLOAT, [1, CHANNELS, HIGH, WIDE]),
         helper.make_tensor_value_info("cells", TensorProto.INT64, [6])],
        [helper.make_tensor_value_info("large", TensorProto.FLOAT, [1, CHANNELS, None, None]),
         helper.make_tensor_value_info("read", TensorProto.FLOAT, [CHANNELS, 6])],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )  # fmt: skip
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def outputs(model: ModelProto) -> list[Array]:
    onnx.checker.check_model(model)
    rng = np.random.default_rng(4)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    given = {"map": rng.normal(2, 3, (1, CHANNELS, HIGH, WIDE)).astype(np.float32), "cells": rng.integers(0, FLAT, 6)}
    return list(session.run(None, given))


def kinds(model: ModelProto) -> list[str]:
    return [node.op_type for node in model.graph.node]


@pytest.mark.parametrize("times", [2, 3])
def test_the_same_to_the_bit_without_a_resize(times: int) -> None:
    model = network(scales=(1, 1, times, times))
    expected = outputs(model)
    by_rows(model)
    assert "Resize" not in kinds(model)
    for found, wanted in zip(outputs(model), expected, strict=True):
        np.testing.assert_array_equal(found, wanted)
    read = next(node for node in model.graph.node if "read" in node.output)
    assert read.op_type == "DequantizeLinear"  # six cells are made floating point, not the map


def test_of_floating_point_too_but_cells_are_then_read_as_before() -> None:
    model = network(whole=False)
    expected = outputs(model)
    by_rows(model)
    assert "Resize" not in kinds(model)
    assert next(node for node in model.graph.node if "read" in node.output).op_type == "Gather"
    for found, wanted in zip(outputs(model), expected, strict=True):
        np.testing.assert_array_equal(found, wanted)


@pytest.mark.parametrize(
    ("mode", "scales", "where"),
    [("linear", (1, 1, 2, 2), "asymmetric"), ("nearest", (1, 1, 2, 3), "asymmetric"),
     ("nearest", (1, 1, 1.5, 1.5), "asymmetric"), ("nearest", (1, 1, 2, 2), "half_pixel")],
)  # fmt: skip
def test_what_repeats_no_cells_stays(mode: str, scales: tuple[float, ...], where: str) -> None:
    model = network(mode, scales, where=where)
    by_rows(model)
    assert kinds(model).count("Resize") == 1
    outputs(model)


def test_nothing_is_left_that_nobody_reads() -> None:
    model = network()
    by_rows(model)
    read = {name for node in model.graph.node for name in node.input}
    assert {value.name for value in model.graph.initializer} <= read
