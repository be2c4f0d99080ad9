"""Weights of an exported network back into one that can be trained on.

The export folds each normalisation into the convolution before it. Here the convolution keeps the folded weights, and
its normalisation gets the statistics of one batch, with scale and shift that undo them: the network's answers on that
batch stay what they were, and training goes on from there.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import onnx
import torch
from onnx import numpy_helper
from torch import Tensor, nn

from fusion_pipeline.train.model import LidarNet


def warm_start(net: LidarNet, exported: Path, raster: Tensor) -> None:
    """Fill `net` from the ONNX file `exported`; `raster` (B, 64, H, W) is a batch to take statistics of.

    Raises ValueError where the file holds another network.
    """
    graph = onnx.load(str(exported)).graph
    stored = {item.name: torch.from_numpy(numpy_helper.to_array(item).copy()) for item in graph.initializer}
    folded = [node for node in graph.node if node.op_type == "Conv" and not node.input[1].startswith("net.")]
    pairs = _in_order(net, raster)
    if len(folded) != len(pairs):
        raise ValueError(f"{exported} has {len(folded)} folded convolutions, this network {len(pairs)}")
    for node, (convolution, _) in zip(folded, pairs, strict=True):
        weight = stored[node.input[1]]
        if weight.shape != convolution.weight.shape:
            raise ValueError(f"{exported}: {node.name} is {tuple(weight.shape)}, not {tuple(convolution.weight.shape)}")
        convolution.weight.data.copy_(weight)
    named = {name.removeprefix("net."): value for name, value in stored.items() if name.startswith("net.")}
    own = net.state_dict()
    for name, value in named.items():
        own[name].copy_(value)
    biases = {norm: stored[node.input[2]] for node, (_, norm) in zip(folded, pairs, strict=True)}
    hooks = [norm.register_forward_pre_hook(_undoing(biases[norm])) for norm in biases]
    net.eval()
    with torch.no_grad():
        net.features(raster)
    for hook in hooks:
        hook.remove()
    net.train()


def _in_order(net: LidarNet, raster: Tensor) -> list[tuple[nn.Conv2d, nn.BatchNorm2d]]:
    """Convolutions with their normalisations, as they come in a forward pass."""
    seen: list[nn.Module] = []
    kinds = nn.Conv2d | nn.BatchNorm2d
    layers = [layer for layer in net.modules() if isinstance(layer, kinds) and layer is not net.heat]
    hooks = [layer.register_forward_hook(lambda layer, *_: seen.append(layer)) for layer in layers]
    net.eval()
    with torch.no_grad():
        net.features(raster)
    for hook in hooks:
        hook.remove()
    return [(a, b) for a, b in zip(seen[::2], seen[1::2], strict=True) if isinstance(a, nn.Conv2d)
            and isinstance(b, nn.BatchNorm2d)]  # fmt: skip


def _undoing(bias: Tensor) -> Callable[[nn.BatchNorm2d, tuple[Tensor]], None]:
    def hook(norm: nn.BatchNorm2d, inputs: tuple[Tensor]) -> None:
        variance, mean = torch.var_mean(inputs[0], dim=(0, 2, 3), correction=0)
        norm.running_mean.copy_(mean)
        norm.running_var.copy_(variance)
        norm.weight.data.copy_((variance + norm.eps).sqrt())
        norm.bias.data.copy_(bias + mean)

    return hook
