"""A trained fusion network in smaller widths: of each group of channels the most used stay, and training goes on.

Channels that are added to one another belong to one group and go together. How much a channel is used: how strongly
those that read it weigh it, times how strongly its normalisation lets it through (after Li et al., "Pruning filters
for efficient ConvNets", 2017).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from fusion_pipeline.train.fusion import FusionNet
from fusion_pipeline.train.model import Size
from fusion_pipeline.train.senses import MARKS, SEEN

State = dict[str, Tensor]


@dataclass(frozen=True, slots=True)
class Layer:
    """A convolution or linear layer: groups of its outputs and inputs; `None` and numbers are never cut."""

    name: str
    out: str | None
    into: tuple[str | int, ...] = ()  # groups side by side; a depthwise layer has none
    norm: bool = True  # NAME.0 is the layer, NAME.1 its normalisation; otherwise NAME is the layer


def _separable(name: str, inner: str, out: str) -> Iterator[Layer]:
    yield Layer(f"{name}.0", inner)
    yield Layer(f"{name}.1", out, (inner,))


def _residual(name: str, group: str) -> Iterator[Layer]:
    yield Layer(f"{name}.a", f"{name}.a", (group,))
    yield Layer(f"{name}.b", group, (f"{name}.a",))


def _layers(size: Size) -> Iterator[Layer]:
    yield Layer("lidar.stem.0", "stem", (64,))
    yield from _separable("lidar.stem.1", "stem", "fine")
    yield Layer("lidar.mid.0", "half", ("fine",))
    yield from _residual("lidar.mid.1", "half")
    yield Layer("lidar.quarter.0", "quarter", ("half",))
    for k in range(size.blocks):
        yield from _residual(f"lidar.quarter.{k + 1}", "quarter")
    yield Layer("lidar.neck_up", "half", ("quarter",))
    yield from _separable("lidar.neck", "half", "grid")
    yield Layer("lidar.up", "trunk", ("grid",))
    yield Layer("lidar.lateral", "trunk", ("fine",))
    yield from _separable("lidar.trunk.0", "trunk", "trunk1")
    yield from _separable("lidar.trunk.1", "trunk1", "trunk2")
    yield Layer("lidar.heat", None, ("trunk2",), False)
    yield Layer("lidar.box.0", None, ("trunk2", "grid"), False)
    yield Layer("embed", None, ("trunk2", "grid"), False)
    yield Layer("camera.two", "two", (3,))
    yield Layer("camera.four.0", "four", ("two",))
    yield from _separable("camera.four.1", "four", "four1")
    yield from _residual("camera.fine", "four1")
    yield Layer("camera.eight.0", "eight", ("four1",))
    yield Layer("camera.ground.tell", "eight", (MARKS + 1,), False)
    yield from _residual("camera.eight.1", "eight")
    yield Layer("camera.sixteen.0", "sixteen", ("eight",))
    yield from _residual("camera.sixteen.1", "sixteen")
    yield Layer("camera.context.0", "context", ("sixteen",))
    yield from _residual("camera.context.1", "context")
    yield from _residual("camera.context.2", "context")
    yield Layer("camera.wide", "sixteen", ("context",))
    yield Layer("camera.settle", "tokens", ("sixteen",))
    yield Layer("camera.down", None, ("tokens",))
    yield Layer("camera.side", None, ("eight",))
    yield Layer("camera.far_up", "eight", ("tokens",))
    yield Layer("camera.far.0", None, ("eight",))
    yield Layer("look", "lifted", (3 * SEEN,), False)
    yield Layer("far", "lifted", (3 + 4,), False)
    yield Layer("lift_camera.1", "grid", ("lifted",), False)
    yield Layer("spread.near", "near", ("grid",))
    yield Layer("spread.quarter.0", "spread", ("near",))
    yield Layer("spread.quarter.1", "near", ("spread",))
    yield Layer("spread.back", "grid", ("near",))
    yield Layer("hear", "heard", (SEEN,), False)
    yield Layer("place", "heard", (4,), False)
    yield Layer("lift_audio.1", "grid", ("heard",), False)
    for k in range(3):
        yield Layer(f"votes.{k}", None, ("grid",), False)
        yield Layer(f"evidence.{k}", None, ("grid",), False)
    yield Layer("attention.ask", None, ("grid",), False)
    yield Layer("attention.token", None, ("tokens",), False)
    yield Layer("attention.wide.2", "grid", (128,), False)
    yield from _separable("mix.0", "grid", "mixed")
    yield Layer("mix.1", "grid", ("mixed",), False)


def slimmed(state: State, size: Size) -> State:
    """Weights for FusionNet(size) from those of a wider one, by name. What has no wider counterpart is left out."""
    small = FusionNet(size).state_dict()
    layers = list(_layers(size))
    wanted, widths = _widths(layers, small), _widths(layers, state)
    kept = {
        group: torch.topk(used, wanted[group]).indices.sort().values
        for group, used in _uses(layers, state).items() if wanted[group] < len(used)
    }  # fmt: skip
    out = {name: value for name, value in state.items() if name in small and value.shape == small[name].shape}
    for layer in layers:
        weight_name = f"{layer.name}.0.weight" if layer.norm else f"{layer.name}.weight"
        weight = state[weight_name]
        columns = _columns(layer, widths, kept)
        if columns is not None:
            weight = weight.index_select(1, columns)
        rows = kept.get(layer.out or "")
        beside = [f"{layer.name}.bias"] if not layer.norm else [
            f"{layer.name}.1.{what}" for what in ("weight", "bias", "running_mean", "running_var")
        ]  # fmt: skip
        if rows is not None:
            weight = weight.index_select(0, rows)
            out.update({name: state[name].index_select(0, rows) for name in beside if name in state})
        out[weight_name] = weight
    return {name: value for name, value in out.items() if value.shape == small[name].shape}


def cuttable(state: State) -> bool:
    """Whether these are weights of a network of this form, of whatever widths."""
    wanted = (f"{layer.name}.0.weight" if layer.norm else f"{layer.name}.weight" for layer in _layers(Size()))
    return all(name in state for name in wanted)


def _widths(layers: list[Layer], small: State) -> dict[str, int]:
    return {
        layer.out: len(small[f"{layer.name}.0.weight" if layer.norm else f"{layer.name}.weight"])
        for layer in layers if layer.out is not None
    }  # fmt: skip


def _extents(layer: Layer, widths: dict[str, int]) -> Iterator[tuple[str | int, int, int]]:
    at = 0
    for group in layer.into:
        width = group if isinstance(group, int) else widths[group]
        yield group, at, at + width
        at += width


def _uses(layers: list[Layer], state: State) -> dict[str, Tensor]:
    widths = _widths(layers, state)
    reads = {group: torch.zeros(width) for group, width in widths.items()}
    passes = {group: torch.zeros(width) for group, width in widths.items()}
    for layer in layers:
        weight = state[f"{layer.name}.0.weight" if layer.norm else f"{layer.name}.weight"]
        for group, first, last in _extents(layer, widths):
            if isinstance(group, str):
                read = weight[:, first:last].abs().transpose(0, 1).flatten(1).sum(1)
                reads[group] += read / read.mean().clamp(min=1e-9)
        if layer.out is not None:
            passes[layer.out] += state[f"{layer.name}.1.weight"].abs() if layer.norm else weight.flatten(1).norm(dim=1)
    return {group: reads[group] * passes[group] for group in widths}


def _columns(layer: Layer, widths: dict[str, int], kept: dict[str, Tensor]) -> Tensor | None:
    """Which inputs stay; None where all do, as in depthwise layers."""
    if not any(group in kept for group in layer.into):
        return None
    parts = []
    for group, first, last in _extents(layer, widths):
        chosen = kept.get(group) if isinstance(group, str) else None
        parts.append(torch.arange(first, last) if chosen is None else first + chosen)
    return torch.cat(parts)
