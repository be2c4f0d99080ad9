"""Which execution providers ONNX Runtime can be asked for, and why one of them is not there."""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from pathlib import Path
from typing import Any


class ProviderError(RuntimeError):
    """The provider that was asked for does not run; the message names what is missing and the way out."""


class ProviderBusy(ProviderError):
    """The provider runs, but its device has no room at present, such as memory that another process holds."""

    transient = True  # whoever asks again later may succeed


# What CUDA, cuDNN, TensorRT and ONNX Runtime's arena say where memory is short or the device is taken, in lower case.
_BUSY = ("out of memory", "alloc_failed", "failed to allocate", "cuda failure 2:", "cuda failure 46", "unavailable",
         "device busy", "devices are busy")  # fmt: skip


def is_busy(reason: str) -> bool:
    """Whether `reason`, a library's words for why a session did not start, means that a later try may succeed."""
    return any(words in reason.lower() for words in _BUSY)


@dataclass(frozen=True, slots=True)
class Provider:
    """One way to run a network."""

    runtime_name: str
    library: str  # the shared library in ONNX Runtime's package, "" where it is built in
    options: tuple[tuple[str, Any], ...] = ()


PROVIDERS: dict[str, Provider] = {
    "cpu": Provider("CPUExecutionProvider", ""),
    # The heuristic search starts in a second where the exhaustive one takes minutes; the arena grows by what is asked.
    "cuda": Provider(
        "CUDAExecutionProvider",
        "onnxruntime_providers_cuda",
        (("cudnn_conv_algo_search", "HEURISTIC"), ("arena_extend_strategy", "kSameAsRequested")),
    ),
    "tensorrt": Provider("TensorrtExecutionProvider", "onnxruntime_providers_tensorrt"),
}


def why_absent(name: str, available: list[str], package: Path) -> str:
    """What keeps provider `name` from running: not in this build, a library that is missing, or no device.

    `available` is what the installed ONNX Runtime was built with, `package` the folder of its shared libraries.
    """
    provider = PROVIDERS[name]
    if provider.runtime_name not in available:
        return f"the installed onnxruntime was built without {provider.runtime_name}; install onnxruntime-gpu"
    for pattern in (f"lib{provider.library}.so", f"{provider.library}.dll"):
        library = package / pattern
        if not library.is_file():
            continue
        try:
            ctypes.CDLL(str(library))
        except OSError as error:
            return f"{error}; install the CUDA libraries it was built for (pip install 'onnxruntime-gpu[cuda,cudnn]')"
        return "its libraries load, but it started no device; check the driver (nvidia-smi) and the GPU's generation"
    return f"the library {provider.library} is not in {package}"
