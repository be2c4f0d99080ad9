"""What an ONNX file says of itself, without loading it: inputs, outputs, and the files beside it that hold its weights.

A walk over the protocol-buffer fields of `onnx/onnx.proto3` (ONNX 1.19) that skips what nobody asks for, so that a
network of a gigabyte is looked at in milliseconds. Weights may lie in other files ("external data", `docs/ExternalData`
of the ONNX project): the graph then names a location relative to its own folder, an offset and a length.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

# onnx.TensorProto.DataType: the plain types, as NumPy calls them.
ELEMENTS = {
    1: "float32", 2: "uint8", 3: "int8", 4: "uint16", 5: "int16", 6: "int32", 7: "int64", 8: "string", 9: "bool",
    10: "float16", 11: "float64", 12: "uint32", 13: "uint64", 16: "bfloat16",
}  # fmt: skip
MOST_FIELDS = 3_000_000  # a network of 100,000 nodes has about a million; more is an attack or damage
DEEPEST = 32  # graphs within graphs
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_EXTERNAL = 1  # onnx.TensorProto.DataLocation.EXTERNAL


class OnnxFileError(ValueError):
    """A file that is no ONNX model, or refers to files that it must not; the message says why, without its path."""


@dataclass(frozen=True, slots=True)
class Tensor:
    """A declared input or output. Its shape has None for any extent, and is None itself where none is declared."""

    name: str
    dtype: str  # NumPy's name; "" for what is no plain tensor
    shape: tuple[int | None, ...] | None

    def __str__(self) -> str:
        if self.shape is None:
            return self.dtype or "no plain tensor"
        return f"{self.dtype} ({', '.join('any' if extent is None else str(extent) for extent in self.shape)})"


@dataclass(slots=True)
class OnnxFile:
    """What was found."""

    ir_version: int = 0
    opsets: dict[str, int] = field(default_factory=dict)
    inputs: tuple[Tensor, ...] = ()
    outputs: tuple[Tensor, ...] = ()
    external: dict[str, int] = field(default_factory=dict)  # location -> least size in bytes that it must have


def read_onnx(path: Path) -> OnnxFile:
    """Look into an ONNX file. Raises OnnxFileError; OSError where it cannot be read."""
    if not path.is_file():
        raise OnnxFileError("it is no regular file")
    if path.stat().st_size == 0:
        raise OnnxFileError("it is empty")
    with path.open("rb") as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as data:
        return _Walk(data).model()


class _Walk:
    """One pass over a model's fields."""

    def __init__(self, data: mmap.mmap) -> None:
        self._data, self._left = data, MOST_FIELDS
        self._found = OnnxFile()
        self._constants: set[str] = set()

    def model(self) -> OnnxFile:
        found, graphs = self._found, 0
        for number, start, end, value in self._fields(0, len(self._data)):
            if number == 1:
                found.ir_version = value
            elif number == 7:
                graphs += 1
                self._graph(start, end, 0)
            elif number == 8:
                texts = {key: (a, b, v) for key, a, b, v in self._fields(start, end)}
                domain = self._text(*texts[1][:2]) if 1 in texts else ""
                found.opsets[domain] = texts[2][2] if 2 in texts else 0
            elif number == 25:  # functions of the model
                self._nodes(start, end, 7, 0)
        if not graphs or not found.ir_version:
            raise OnnxFileError("it holds no ONNX graph")
        # Up to IR version 3 the graph's inputs list its weights too.
        found.inputs = tuple(tensor for tensor in found.inputs if tensor.name not in self._constants)
        return found

    def _graph(self, start: int, end: int, depth: int) -> None:
        """The outermost graph's inputs and outputs; of all graphs the weights elsewhere."""
        if depth > DEEPEST:
            raise OnnxFileError("its graphs are nested too deeply")
        inputs: list[Tensor] = []
        outputs: list[Tensor] = []
        for number, a, b, _ in self._fields(start, end):
            if number == 5:
                self._tensor(a, b)
            elif number == 15:  # sparse: values and indices
                for part, c, d, _ in self._fields(a, b):
                    if part in (1, 2):
                        self._tensor(c, d)
            elif number == 1:
                self._node(a, b, depth)
            elif number in (11, 12) and not depth:
                (inputs if number == 11 else outputs).append(self._value(a, b))
        if not depth:
            self._found.inputs, self._found.outputs = tuple(inputs), tuple(outputs)

    def _nodes(self, start: int, end: int, key: int, depth: int) -> None:
        for number, a, b, _ in self._fields(start, end):
            if number == key:
                self._node(a, b, depth)

    def _node(self, start: int, end: int, depth: int) -> None:
        for number, a, b, _ in self._fields(start, end):
            if number != 5:
                continue
            for kind, c, d, _ in self._fields(a, b):
                if kind in (5, 10):
                    self._tensor(c, d, named=False)
                elif kind in (6, 11):
                    self._graph(c, d, depth + 1)

    def _tensor(self, start: int, end: int, named: bool = True) -> None:
        location, entries = 0, {}
        for number, a, b, value in self._fields(start, end):
            if number == 8 and named:
                self._constants.add(self._text(a, b))
            elif number == 14:
                location = value
            elif number == 13:
                pair = {key: self._text(c, d) for key, c, d, _ in self._fields(a, b)}
                entries[pair.get(1, "")] = pair.get(2, "")
        if location != _EXTERNAL:
            return
        where = entries.get("location", "")
        parts = where.replace("\\", "/").split("/")
        if not where or "\0" in where or where.startswith(("/", "\\")) or ".." in parts or ":" in parts[0]:
            raise OnnxFileError(f"its weights lie in {where[:200]!r}; they must lie in or below its own folder")
        reach = 0
        for key in ("offset", "length"):
            text = entries.get(key, "0") or "0"
            if not text.isascii() or not text.isdigit() or len(text) > 18:
                raise OnnxFileError(f"its weights in {where!r} have the {key} {text[:40]!r}, which is no number")
            reach += int(text)
        self._found.external[where] = max(reach, self._found.external.get(where, 0))

    def _value(self, start: int, end: int) -> Tensor:
        """A ValueInfoProto."""
        name, dtype, shape = "", "", None
        for number, a, b, _ in self._fields(start, end):
            if number == 1:
                name = self._text(a, b)
            elif number == 2:
                for kind, c, d, _ in self._fields(a, b):
                    if kind == 1:
                        dtype, shape = self._type(c, d)
        return Tensor(name, dtype, shape)

    def _type(self, start: int, end: int) -> tuple[str, tuple[int | None, ...] | None]:
        dtype, shape = "", None
        for number, a, b, value in self._fields(start, end):
            if number == 1:
                dtype = ELEMENTS.get(value, "")
            elif number == 2:
                extents: list[int | None] = []
                for part, c, d, _ in self._fields(a, b):
                    if part == 1:
                        fixed = [v for key, _, _, v in self._fields(c, d) if key == 1]
                        extents.append(fixed[-1] if fixed and 0 <= fixed[-1] < 1 << 40 else None)
                shape = tuple(extents)
        return dtype, shape

    def _text(self, start: int, end: int) -> str:
        if end - start > 4096:
            raise OnnxFileError("one of its names is longer than 4096 bytes")
        return self._data[start:end].decode("utf-8", "replace")

    def _fields(self, start: int, end: int) -> Iterator[tuple[int, int, int, int]]:
        """Number, start and end of each field's bytes, and its value where it is a number."""
        at = start
        while at < end:
            self._left -= 1
            if self._left < 0:
                raise OnnxFileError(f"it has more than {MOST_FIELDS} fields")
            key, at = self._varint(at, end)
            number, wire = key >> 3, key & 7
            if wire == _VARINT:
                value, at = self._varint(at, end)
                yield number, at, at, value
                continue
            if wire == _BYTES:
                size, at = self._varint(at, end)
            elif wire in (_FIXED64, _FIXED32):
                size = 8 if wire == _FIXED64 else 4
            else:
                raise OnnxFileError("it is no ONNX file, or a damaged one")
            if number == 0 or at + size > end:
                raise OnnxFileError("it is no ONNX file, or it is cut off")
            yield number, at, at + size, 0
            at += size

    def _varint(self, at: int, end: int) -> tuple[int, int]:
        data, value, shift = self._data, 0, 0
        while at < end and shift < 70:
            byte = data[at]
            at += 1
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value, at
            shift += 7
        raise OnnxFileError("it is no ONNX file, or it is cut off")
