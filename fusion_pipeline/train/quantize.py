"""An exported fusion network with its convolutions in whole numbers of 8 bits: for the CPU, a third faster.

Ranges come from simulated moments, with all senses and with some missing. What the heat map, the ears and the speeds
end in stays in floating point, as do the boxes: there a step of 1/255 of the range would be seen. Weights take 7 bits,
so that sums of two products fit into the 16 bits that processors without VNNI add them in: the same on every machine.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import onnx

from fusion_pipeline.arrays import Array
from fusion_pipeline.train.by_rows import by_rows
from fusion_pipeline.train.judge import Judge, Mix
from fusion_pipeline.train.rides import Ride

MIXES: tuple[Mix, ...] = ((1, 1, 1), (1, 0, 0), (0, 1, 0), (1, 1, 0))
MOMENTS = 32  # that ranges are taken from
EXACT = ("/heat", "/motion", "/audio")  # parts that stay as they are
INSIDE = ("Conv", "Relu")
ADDED = (*INSIDE, "Resize")  # sums of what these make, as in residual blocks, are in whole numbers as well,
SWITCH = "present"  # and its products with this, by which an absent sense gives nothing


def quantize(source: Path, out: Path, rides: Sequence[Ride]) -> None:
    """Write the network `source`, a file with its manifest beside it, to `out`; ranges are those on `rides`."""
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    class Moments(CalibrationDataReader):
        def __init__(self) -> None:
            self._inputs = _inputs(Judge(source, 1), rides)

        def get_next(self) -> dict[str, Array] | None:
            return next(self._inputs, None)

    with TemporaryDirectory(prefix="fusion-quantize-") as folder, _no_hints():
        prepared, whole = Path(folder) / "prepared.onnx", Path(folder) / "whole.onnx"
        quant_pre_process(source, prepared, skip_symbolic_shape=True)
        quantize_static(
            prepared, whole, Moments(), quant_format=QuantFormat.QDQ, op_types_to_quantize=[*INSIDE, "Add", "Mul"],
            nodes_to_exclude=_exact(onnx.load(str(prepared)).graph),
            activation_type=QuantType.QUInt8, weight_type=QuantType.QInt8, per_channel=True, reduce_range=True,
        )  # fmt: skip
        model = onnx.load(str(whole))
    by_rows(model)
    onnx.save(model, str(out))


def _exact(graph: onnx.GraphProto) -> list[str]:
    """Names of nodes that stay in floating point."""
    constant = {value.name for value in graph.initializer}
    whole, switch, out = set[str](), {SWITCH}, list[str]()
    for node in graph.node:
        given = {name for name in node.input if name and name not in constant}
        others = given - whole
        sums = node.op_type == "Add" and whole.issuperset(node.input)
        switched = node.op_type == "Mul" and others and others != given and others <= switch
        if given and given <= switch:
            switch.update(node.output)
        if node.op_type in INSIDE and node.name.startswith(EXACT):
            out.append(node.name)
        elif node.op_type in ADDED or sums or switched:
            whole.update(node.output)
        elif node.op_type in ("Add", "Mul"):
            out.append(node.name)
    return out


def _inputs(judge: Judge, rides: Sequence[Ride]) -> Iterator[dict[str, Array]]:
    for number, ride in enumerate(rides[:MOMENTS]):
        yield judge.inputs(ride, MIXES[number % len(MIXES)])[0]


@contextmanager
def _no_hints() -> Iterator[None]:
    """ONNX Runtime's advice to prepare a graph that has been prepared is not for our users."""
    level = logging.getLogger().level
    logging.getLogger().setLevel(logging.ERROR)
    try:
        yield
    finally:
        logging.getLogger().setLevel(level)
