"""An ONNX network on exactly the provider that was asked for. The only importer of onnxruntime.

ONNX Runtime falls back to the CPU without a word: `InferenceSession(providers=["CUDAExecutionProvider"])` succeeds on a
machine without CUDA (microsoft/onnxruntime#23372). So what was asked for is compared with what got the nodes.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort

from fusion_pipeline.arrays import Array
from fusion_pipeline.checks import nearest
from fusion_pipeline.detect.providers import PROVIDERS, ProviderBusy, ProviderError, is_busy, why_absent
from fusion_pipeline.manifest import DEFAULT_MODEL, Manifest

_CPU = PROVIDERS["cpu"].runtime_name
_SILENT, _ERRORS = 4, 3  # ONNX Runtime's log severities: fatal, error
_DTYPES: dict[str, type[np.generic]] = {
    "tensor(float)": np.float32, "tensor(float16)": np.float16, "tensor(double)": np.float64,
    "tensor(int64)": np.int64, "tensor(int32)": np.int32, "tensor(int16)": np.int16, "tensor(int8)": np.int8,
    "tensor(uint8)": np.uint8, "tensor(uint16)": np.uint16, "tensor(bool)": np.bool_,
}  # fmt: skip


class ModelError(ValueError):
    """A model file or an input that cannot be used; the message names the file, the tensor and what is expected."""


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """Name, shape and dtype of one input or output; None stands for any extent."""

    name: str
    shape: tuple[int | None, ...]
    dtype: type[np.generic]

    def check(self, array: Array) -> None:
        """Raise ModelError unless `array` fits."""
        fits = array.ndim == len(self.shape) and all(
            want in (None, got) for want, got in zip(self.shape, array.shape, strict=True)
        )
        if not fits or array.dtype != self.dtype:
            raise ModelError(f"input {self.name!r} is {array.dtype} {array.shape}, the network wants {self}")

    def zeros(self) -> Array:
        """An array that fits, all zero; 1 for every free extent."""
        return np.zeros([1 if extent is None else extent for extent in self.shape], self.dtype)

    def __str__(self) -> str:
        return f"{np.dtype(self.dtype).name} ({', '.join('any' if e is None else str(e) for e in self.shape)})"


class Network:
    """A loaded, warmed-up ONNX file; call it with named arrays. One call at a time."""

    def __init__(
        self,
        model: Path,
        providers: Sequence[str] = ("cpu",),
        threads: int = 1,
        allow_fallback: bool = False,
        warm_up: bool = True,
        spin: bool = False,
    ) -> None:
        """Load `model` on `providers`, in order of preference: "cpu", "cuda", "tensorrt".

        Every provider in the list must start, and unless the list is ("cpu",) one of its accelerators must get nodes;
        otherwise ProviderError, or with `allow_fallback` what runs instead, reported by `describe`. Nodes that an
        accelerator leaves to the CPU (shapes) are counted in `describe`. Raises ModelError for a file that
        cannot be used. With `spin` idle threads keep their core busy for a while: only for a machine of its own.
        """
        for name in providers:
            if name not in PROVIDERS:
                raise ProviderError(f"providers: {nearest('provider', name, PROVIDERS)}")
        if not providers or threads < 1:
            raise ProviderError("name at least one provider, and at least one thread")
        self._threads, self._spin = threads, spin
        self._note = ""
        self._session = self._start(model, tuple(providers), allow_fallback)
        self.inputs = tuple(_spec(model, item) for item in self._session.get_inputs())
        self.outputs = tuple(_spec(model, item) for item in self._session.get_outputs())
        self.nodes = _placement(self._session)
        self._check_placement(model, tuple(providers), allow_fallback)
        if warm_up:
            with _quiet():
                self({spec.name: spec.zeros() for spec in self.inputs})

    @property
    def providers(self) -> tuple[str, ...]:
        """ONNX Runtime's names of the providers that run nodes, the busiest first."""
        return tuple(self.nodes)

    def describe(self) -> str:
        """What the network really runs on, for health: "CPUExecutionProvider, 1 thread"."""
        threads = f"{self._threads} thread" + ("s" if self._threads > 1 else "")
        if len(self.nodes) == 1:
            return f"{self.providers[0]}, {threads}{self._note}"
        shares = " + ".join(f"{name} ({count} nodes)" for name, count in self.nodes.items())
        return f"{shares}, {threads}{self._note}"

    def __call__(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """Run once; `inputs` must hold exactly the declared names. Raises ModelError naming what does not fit."""
        for spec in self.inputs:
            if spec.name not in inputs:
                raise ModelError(f"input {spec.name!r} is missing; given: {', '.join(inputs) or 'none'}")
            spec.check(inputs[spec.name])
        if len(inputs) != len(self.inputs):
            extra = next(name for name in inputs if name not in {spec.name for spec in self.inputs})
            raise ModelError(nearest("input", extra, [spec.name for spec in self.inputs]))
        names = [spec.name for spec in self.outputs]
        return dict(zip(names, self._session.run(names, dict(inputs)), strict=True))

    def _start(self, model: Path, providers: tuple[str, ...], allow_fallback: bool) -> ort.InferenceSession:
        if not model.is_file():
            raise ModelError(f"model file {model} does not exist; check the path")
        available = ort.get_available_providers()
        options = ort.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = self._threads, 1
        options.log_severity_level = _SILENT
        options.add_session_config_entry("session.intra_op.allow_spinning", str(int(self._spin)))
        options.add_session_config_entry("session.record_ep_graph_assignment_info", "1")
        wanted = [PROVIDERS[name] for name in providers if PROVIDERS[name].runtime_name in available]
        chosen = [(item.runtime_name, dict(item.options)) for item in wanted] or [(_CPU, {})]
        with _quiet():
            if providers != ("cpu",) and hasattr(ort, "preload_dlls"):
                ort.preload_dlls()
            session, failure = _open(model, options, chosen)
        if failure:
            self._fall_back(f"{providers[0]} was asked for but does not start: {failure}", allow_fallback)
            return session
        running = session.get_providers()
        absent = [name for name in providers if PROVIDERS[name].runtime_name not in running]
        if absent:
            package = Path(ort.__file__).parent / "capi"
            why = why_absent(absent[0], available, package)
            self._fall_back(f"{absent[0]} was asked for but does not run: {why}", allow_fallback)
        return session

    def _check_placement(self, model: Path, providers: tuple[str, ...], allow_fallback: bool) -> None:
        accelerators = [PROVIDERS[name].runtime_name for name in providers if name != "cpu"]
        if not accelerators or self._note or providers[0] == "cpu":
            return
        if not any(name in self.nodes for name in accelerators):
            self._fall_back(f"{providers[0]} started but took no node of {model.name}", allow_fallback)

    def _fall_back(self, why: str, allowed: bool) -> None:
        if not allowed:
            kind = ProviderBusy if is_busy(why) else ProviderError
            raise kind(f"{why}. Mend it, ask for cpu, or allow the fallback")
        self._note = f" ({why})"


def refuse_providers(manifest: Manifest, providers: Sequence[str]) -> None:
    """Raises ProviderError where the model is not made for one of `providers`."""
    for name in providers:
        if name not in manifest.requires.providers:
            raise ProviderError(
                f"{manifest.name} runs on {', '.join(manifest.requires.providers)}, not on {name}; ask for it, or "
                f"take another model, such as {DEFAULT_MODEL}"
            )


def opened(manifest: Manifest, providers: Sequence[str], allow_fallback: bool = False) -> None:
    """Open every network of a loaded manifest as it is, without optimisation and without a run: what ONNX Runtime
    itself refuses, such as an operator set that it does not know, and providers that it has not. Raises ModelError or
    ProviderError.
    """
    refuse_providers(manifest, providers)
    available = ort.get_available_providers()
    for name in providers:
        if PROVIDERS[name].runtime_name not in available and not allow_fallback:
            package = Path(ort.__file__).parent / "capi"
            raise ProviderError(f"{name} was asked for but cannot run: {why_absent(name, available, package)}")
    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = _SILENT
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    with _quiet():
        for path in manifest.networks.values():
            _open(path, options, [(_CPU, {})])


def _open(
    model: Path, options: ort.SessionOptions, chosen: list[tuple[str, dict[str, Any]]]
) -> tuple[ort.InferenceSession, str]:
    """A session, and why it had to be opened on the CPU ("" where it had not)."""
    try:
        # enable_fallback would let a later run that fails start the session anew on the CPU, in silence.
        return ort.InferenceSession(str(model), options, providers=chosen, enable_fallback=0), ""
    except Exception as error:  # every class that ONNX Runtime raises derives from Exception alone
        failure = _reason(error)
    try:
        return ort.InferenceSession(str(model), options, providers=[_CPU], enable_fallback=0), failure
    except Exception as error:
        raise ModelError(f"{model} is not a usable ONNX model: {_reason(error)}") from None


def _placement(session: ort.InferenceSession) -> dict[str, int]:
    """Nodes per provider, most first."""
    try:
        parts = session.get_provider_graph_assignment_info()
    except Exception:  # before ONNX Runtime 1.24 there is no such call; then the session's own list must do
        return dict.fromkeys(session.get_providers()[:1], 0)
    nodes: dict[str, int] = {}
    for part in parts:
        nodes[part.ep_name] = nodes.get(part.ep_name, 0) + len(part.get_nodes())
    return dict(sorted(nodes.items(), key=lambda item: -item[1])) or {session.get_providers()[0]: 0}


def _spec(model: Path, item: ort.NodeArg) -> TensorSpec:
    if item.type not in _DTYPES:
        raise ModelError(f"{model}: {item.name!r} is a {item.type}; only plain tensors can be fed and read")
    return TensorSpec(item.name, tuple(e if isinstance(e, int) else None for e in item.shape), _DTYPES[item.type])


def _reason(error: Exception) -> str:
    return str(error).splitlines()[0].split(" : ")[-1].removeprefix("[ONNXRuntimeError]").strip()


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """No log lines and no print from ONNX Runtime: what is wrong is said by exceptions and `describe`."""
    ort.set_default_logger_severity(_SILENT)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        ort.set_default_logger_severity(_ERRORS)
