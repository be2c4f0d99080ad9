"""Trains the vectors of moments, things and texts on a fusion network that stays as it is.

    python -m fusion_pipeline.train.represent_fit RIDES RUN/last.pt RUN/represented.pt --text fusion_base_text.onnx

First the network looks at as many rides as it can in three fifths of the time, then the heads learn from what it felt.
RUN/represented.pt is the checkpoint with them in it, for fusion_export; the text network is exported with its
vocabulary and manifest beside it. Every tenth moment is kept back, and the heads are judged on those.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from fusion_pipeline.arrays import Array
from fusion_pipeline.metrics.retrieval import chance, ranks, recall, same_again
from fusion_pipeline.train.captions import FACTS, SENSED, caption, holding, vocabulary
from fusion_pipeline.train.features import Features, gathered, network
from fusion_pipeline.train.fusion import SIZES, FusionNet
from fusion_pipeline.train.loop import Schedule
from fusion_pipeline.train.represent import SceneHeads, Sharpness, joined, scene_loss, text_loss, thing_head, thing_loss
from fusion_pipeline.train.text import TextNet, disturbed, export, parity, tokens_of

GATHERING, LEARNING = 0.6, 0.32  # of the time
THINGS = 24  # moments whose things are told apart in one step
BACK = 10  # every so manieth moment is kept back
TELLINGS = 4  # captions of each moment
CONTRAST = 0.5  # weight of the senses against each other, beside the texts
AMONG = (1, 5, 10)
Said = Callable[[float, str], None]


class Heads(nn.Module):
    """All that learns, for features of these widths."""

    def __init__(self, features: Features) -> None:
        super().__init__()
        self.scene = SceneHeads(features.lidar.shape[2] // 2, features.picture.shape[1] // 2)
        self.thing, self.text, self.sharp = thing_head(features.first.shape[1]), TextNet(), Sharpness()


@dataclass(frozen=True, slots=True, eq=False)
class Captions:
    """TELLINGS captions of each of N moments."""

    tokens: Array  # (N, TELLINGS, 24)
    told: Array  # (N, TELLINGS, P) bool, which facts
    words: int  # of the vocabulary

    @classmethod
    def of(cls, truth: Array, rng: np.random.Generator, most: int = 8) -> Captions:
        """Of moments of which these facts (N, P) hold; short ones and long ones of up to `most` facts."""
        words, texts, told = vocabulary(), [], np.zeros((len(truth), TELLINGS, truth.shape[1]), bool)
        for k, row in enumerate(truth):
            for n in range(TELLINGS):
                text, facts = caption(row, rng, int(rng.integers(1, most + 1)))
                texts.append(text)
                told[k, n, facts] = True
        return cls(tokens_of(texts, words).numpy().reshape(len(truth), TELLINGS, -1), told, len(words.words))


@dataclass(frozen=True, slots=True)
class Pace:
    """How long, in seconds or, if `steps` are given, in steps."""

    seconds: float = 120.0
    steps: int = 0
    batch: int = 256
    rate: float = 2e-3
    half: bool = True  # bfloat16


def parted(features: Features) -> tuple[Array, Array]:
    """Rows of moments to learn from, and of those kept back."""
    back = features.seeds % BACK == 0
    return np.flatnonzero(~back), np.flatnonzero(back)


def _some_senses(count: int, rng: np.random.Generator) -> Tensor:
    """(B, 3): mostly all, else some."""
    there = rng.random((count, 3)) < 0.6
    there[rng.random(count) < 0.6] = True
    there[~there.any(axis=1)] = True
    return torch.from_numpy(there.astype(np.float32))


def learnt(features: Features, rows: Array, pace: Pace, seed: int = 0, said: Said = lambda share, text: None) -> Heads:
    """Heads that have learnt from those rows; ready to judge."""
    torch.manual_seed(seed)
    rng, heads = np.random.default_rng(seed), Heads(features)
    captions = Captions.of(features.truth, rng)
    heads.scene.settle(features.kept(rng.choice(rows, min(len(rows), 400), replace=False)))
    optimizer = torch.optim.AdamW(heads.parameters(), lr=pace.rate, weight_decay=0.02)
    schedule, heads = Schedule(pace.seconds, rate=pace.rate), heads.train()
    seeds = np.unique(features.moments[np.isin(features.moments, features.seeds[rows])])
    for number, share in enumerate(_shares(pace)):
        for group in optimizer.param_groups:
            group["lr"] = schedule.rate_at(share)
        chosen = rng.choice(rows, min(pace.batch, len(rows)), replace=False)
        losses = _step(heads, features, chosen, captions, rng, pace.half)
        losses.append(_thing_step(heads, features, rng.choice(seeds, min(THINGS, len(seeds)), replace=False)))
        optimizer.zero_grad(set_to_none=True)
        torch.stack(losses).sum().backward()
        nn.utils.clip_grad_norm_(heads.parameters(), 5.0)
        optimizer.step()
        if number % 10 == 0:
            said(share, " ".join(f"{name} {float(x.detach()):.2f}"
                                 for name, x in zip(("senses", "text", "things"), losses, strict=True)))  # fmt: skip
    return heads.eval()


def _shares(pace: Pace) -> Iterator[float]:
    began, number = time.monotonic(), 0
    while True:
        share = number / pace.steps if pace.steps else (time.monotonic() - began) / pace.seconds
        if share >= 1.0:
            return
        yield share
        number += 1


def _step(
    heads: Heads, features: Features, chosen: Array, captions: Captions, rng: np.random.Generator, half: bool
) -> list[Tensor]:
    truth, one = features.truth[chosen], rng.integers(0, TELLINGS, len(chosen))
    tokens, told = disturbed(captions.tokens[chosen, one], captions.words, rng), captions.told[chosen, one]
    with torch.autocast("cpu", torch.bfloat16, enabled=half):
        scenes = heads.scene.of(features.kept(chosen)).float()
        texts = heads.text(tokens).float()
    tells = ~((told[:, :, None] & ~SENSED[None]).any(axis=1))
    loss = text_loss(texts, scenes, torch.from_numpy(holding(told, truth)), torch.from_numpy(tells),
                     _some_senses(len(chosen), rng), heads.sharp)  # fmt: skip
    return [CONTRAST * scene_loss(scenes, heads.sharp), loss]


def _thing_step(heads: Heads, features: Features, moments: Array) -> Tensor:
    rows = np.flatnonzero(np.isin(features.moments, moments))
    first, again = _things(heads.thing, features, rows)
    return thing_loss(first, again, heads.sharp)


def _things(head: nn.Module, features: Features, rows: Array) -> tuple[Tensor, Tensor]:
    both = (torch.from_numpy(part[rows].astype(np.float32)) for part in (features.first, features.again))
    first, again = (functional.normalize(head(part), dim=1) for part in both)
    return first, again


def judged(heads: Heads, features: Features, rows: Array, seed: int = 1) -> dict[str, tuple[float, float]]:
    """Recall or accuracy, and chance, by name, on some rows; nothing of no rows."""
    if not len(rows):
        return {}
    rng, words = np.random.default_rng(seed), vocabulary()
    with torch.no_grad():
        scenes = torch.cat([heads.scene.of(features.kept(part)) for part in np.array_split(rows, len(rows) // 64 + 1)])
        texts = [caption(features.truth[row], rng, 8) for row in rows]
        vectors = heads.text(tokens_of([text for text, _ in texts], words)).numpy()
        whole = joined(scenes, torch.ones((len(rows), 3))).numpy()
        things = np.flatnonzero(np.isin(features.moments, features.seeds[rows]))
        first, again = (part.numpy() for part in _things(heads.thing, features, things))
    told = np.zeros((len(rows), len(FACTS)), bool)
    for k, (_, facts) in enumerate(texts):
        told[k, facts] = True
    own, truth = np.eye(len(rows), dtype=bool), holding(told, features.truth[rows])
    lidar, camera, audio = (scenes[:, k].numpy() for k in range(3))
    out: dict[str, tuple[float, float]] = {}
    asked = {"text to its moment": (vectors @ whole.T, own), "text to a true one": (vectors @ whole.T, truth),
             "camera to LiDAR": (camera @ lidar.T, own), "audio to LiDAR": (audio @ lidar.T, own)}  # fmt: skip
    for name, (likeness, right) in asked.items():
        found, by_chance = recall(ranks(likeness, right), AMONG), chance(right, AMONG)
        out |= {f"{name} @{k}": (float(a), float(b)) for k, a, b in zip(AMONG, found, by_chance, strict=True)}
    labels, moments = features.labels[things], features.moments[things]
    if len(things):
        out["thing again, its moment"] = same_again(first @ again.T, labels, moments)[:2]
        out["thing again, all moments"] = same_again(first @ again.T, labels, labels * 0)[:2]
    return out


def checkpoint(net: FusionNet, heads: Heads, samples: int, path: Path) -> None:
    """A checkpoint as fusion_fit leaves them, with the heads in it, and the text network beside."""
    net.add_module("scene", heads.scene)
    net.add_module("embed", heads.thing)
    mean = {f"module.{name}": value for name, value in net.state_dict().items()}
    path.parent.mkdir(parents=True, exist_ok=True)
    half = path.with_suffix(".part")
    size = next(name for name, size in SIZES.items() if size == net.size)
    torch.save({"mean": mean, "samples": samples, "size": size, "text": heads.text.state_dict()}, half)
    half.rename(path)


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rides", type=Path)
    parser.add_argument("start", type=Path, help="checkpoint of the fusion network")
    parser.add_argument("out", type=Path, help="checkpoint to be written")
    parser.add_argument("--text", type=Path, required=True, help="ONNX file of the text network to be written")
    parser.add_argument("--seconds", type=float, default=450.0)
    parser.add_argument("--workers", type=int, default=2, help="processes that look, and threads that learn")
    options = parser.parse_args(arguments)
    paths = sorted(options.rides.glob("???????.npz"))
    if not paths:
        parser.error(f"{options.rides} holds no rides; fill it with python -m fusion_pipeline.train.rides")

    def said(share: float, text: str) -> None:
        sys.stdout.write(f"\r{100 * share:3.0f} % {text:60}")
        sys.stdout.flush()

    features = gathered(paths, options.start, GATHERING * options.seconds, options.workers, said)
    torch.set_num_threads(options.workers)
    rows, back = parted(features)
    heads = learnt(features, rows, Pace(LEARNING * options.seconds), said=said)
    for name, (value, by_chance) in judged(heads, features, back).items():
        sys.stdout.write(f"\n{name:28} {100 * value:5.1f} %   chance {100 * by_chance:5.1f} %")
    state = torch.load(options.start) if options.start.suffix == ".pt" else {}
    checkpoint(network(options.start), heads, int(state.get("samples", 0)), options.out)
    export(heads.text, vocabulary(), options.text, len(rows))
    gap = parity(heads.text, options.text, ["a siren from the left behind", "two cars ahead, rain, at night"])
    sys.stdout.write(f"\n{len(rows)} moments learnt, {len(back)} kept back; ONNX against torch {gap:.1e}\n")


if __name__ == "__main__":
    main()
