"""Weights from files and into files, and what this processor is good at."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from fusion_pipeline.train.fusion import FusionNet
from fusion_pipeline.train.slim import slimmed


def begin_with(net: FusionNet, checkpoint: Path) -> None:
    """Take the tensors of a checkpoint (.pt) or of stored weights (.npz): those of the same shape as they are, those of
    a wider network cut down to this one's widths.
    """
    stored: dict[str, Tensor]
    if checkpoint.suffix == ".npz":
        with np.load(checkpoint) as file:
            stored = {name: torch.from_numpy(file[name].astype(np.float32)) for name in file.files}
    else:
        stored = {k.removeprefix("module."): v for k, v in torch.load(checkpoint)["mean"].items()}
    own = net.state_dict()
    if stored.keys() >= own.keys() and any(stored[name].shape != value.shape for name, value in own.items()):
        stored = slimmed(stored, net.size)
    net.load_state_dict({k: stored[k] if k in stored and stored[k].shape == v.shape else v for k, v in own.items()})


def store(net: FusionNet, path: Path) -> None:
    """The weights in half precision, small enough to be kept with the code: what a later training begins with."""
    np.savez_compressed(path, **{name: value.numpy().astype(np.float16) for name, value in net.state_dict().items()})


def has_bf16() -> bool:
    """Whether this processor multiplies matrices of bfloat16 faster than of float32."""
    return bool(torch.backends.mkldnn.is_available() and torch.ops.mkldnn._is_mkldnn_bf16_supported())
