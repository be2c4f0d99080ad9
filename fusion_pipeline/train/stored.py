"""Weights from files and into files, and what this processor is good at."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from fusion_pipeline.train.fusion import SIZES, FusionNet
from fusion_pipeline.train.slim import cuttable, slimmed

_SAMPLES, _SIZE = "of/samples", "of/size"  # beside the tensors of a file of weights


def begin_with(net: FusionNet, checkpoint: Path) -> None:
    """Take the tensors of a checkpoint (.pt) or of stored weights (.npz): those of the same shape as they are, those of
    a wider network cut down to this one's widths.
    """
    stored: dict[str, Tensor]
    if checkpoint.suffix == ".npz":
        with np.load(checkpoint) as file:
            names = [name for name in file.files if name not in (_SAMPLES, _SIZE)]
            stored = {name: torch.from_numpy(file[name].astype(np.float32)) for name in names}
    else:
        stored = {k.removeprefix("module."): v for k, v in torch.load(checkpoint)["mean"].items()}
    own = net.state_dict()
    if any(name in stored and stored[name].shape != value.shape for name, value in own.items()) and cuttable(stored):
        stored = slimmed(stored, net.size)
    net.load_state_dict({k: stored[k] if k in stored and stored[k].shape == v.shape else v for k, v in own.items()})


def _averaged(checkpoint: Path) -> tuple[FusionNet, int]:
    """The averaged network of a checkpoint, and how many samples it has seen."""
    state = torch.load(checkpoint)
    net = FusionNet(SIZES[state.get("size", "base")], state.get("use"))
    begin_with(net, checkpoint)
    return net.eval(), int(state["samples"])


def store(net: FusionNet, path: Path, samples: int) -> None:
    """The weights in half precision, small enough to be kept with the code: what a later training begins with."""
    arrays: dict[str, Any] = {name: value.numpy().astype(np.float16) for name, value in net.state_dict().items()}
    arrays |= {_SAMPLES: np.asarray(samples), _SIZE: np.asarray(net.size.name)}
    np.savez_compressed(path, **arrays)


def restored(path: Path) -> tuple[FusionNet, int]:
    """The network of a checkpoint (.pt) or of stored weights (.npz), and how many samples it has seen."""
    if path.suffix != ".npz":
        return _averaged(path)
    with np.load(path) as file:
        size, samples = str(file[_SIZE]) if _SIZE in file else "base", int(file[_SAMPLES]) if _SAMPLES in file else 0
    net = FusionNet(SIZES[size])
    begin_with(net, path)
    return net.eval(), samples


def has_bf16() -> bool:
    """Whether this processor multiplies matrices of bfloat16 faster than of float32."""
    return bool(torch.backends.mkldnn.is_available() and torch.ops.mkldnn._is_mkldnn_bf16_supported())
