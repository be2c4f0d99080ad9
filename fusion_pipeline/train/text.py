"""The text network: a small transformer over the words of a caption, in a file of its own beside the fusion network."""

from __future__ import annotations

import json
import warnings
from pathlib import Path

import numpy as np
import onnx
import torch
from torch import Tensor, nn
from torch.nn import functional

from fusion_pipeline.arrays import Array
from fusion_pipeline.encode.text import LENGTH, NUMBERS, Vocabulary
from fusion_pipeline.manifest import sha256_of
from fusion_pipeline.train.captions import FACTS
from fusion_pipeline.train.model import CLASSES
from fusion_pipeline.train.represent import WIDTH

LAYERS, HEADS, DEPTH = 2, 4, 16
_MASKED = 1e4
INPUTS, OUTPUTS = ("tokens",), ("vector",)


class _Layer(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)
        self.parts, self.out = nn.Linear(WIDTH, 3 * HEADS * DEPTH), nn.Linear(HEADS * DEPTH, WIDTH)
        self.wide = nn.Sequential(nn.Linear(WIDTH, 128), nn.ReLU(), nn.Linear(128, WIDTH))

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        b, n, _ = x.shape
        parts = self.parts(self.first(x)).reshape(b, n, 3, HEADS, DEPTH).permute(2, 0, 3, 1, 4)
        fit = parts[0] @ parts[1].transpose(2, 3) * DEPTH**-0.5
        share = torch.softmax(fit + (mask[:, None, None] - 1) * _MASKED, 3)
        x = x + self.out((share @ parts[2]).transpose(1, 2).reshape(b, n, HEADS * DEPTH))
        return x + self.wide(self.second(x))


class TextNet(nn.Module):
    """(B, 24) int64 word numbers, 0 where the text is over, to (B, 64) of length 1."""

    def __init__(self) -> None:
        super().__init__()
        self.words = nn.Embedding(NUMBERS, WIDTH)
        self.places = nn.Parameter(torch.randn(LENGTH, WIDTH) * 0.02)
        self.layers = nn.ModuleList(_Layer() for _ in range(LAYERS))
        self.out = nn.Sequential(nn.LayerNorm(WIDTH), nn.Linear(WIDTH, WIDTH))
        nn.init.normal_(self.words.weight, std=0.1)

    def forward(self, tokens: Tensor) -> Tensor:
        """Of texts with at least one word each."""
        mask = (tokens > 0).float()
        x = self.words(tokens) + self.places
        for layer in self.layers:
            x = layer(x, mask)
        mean = (x * mask[:, :, None]).sum(1) / mask.sum(1, keepdim=True).clamp(min=1.0)
        return functional.normalize(self.out(mean), dim=1)


def tokens_of(texts: list[str], vocabulary: Vocabulary) -> Tensor:
    """(N, 24) of N texts."""
    return torch.from_numpy(np.stack([vocabulary.read(text).ids for text in texts]))


def disturbed(tokens: Array, words: int, rng: np.random.Generator) -> Tensor:
    """As people write: here and there a word is missing, or unknown. `words` is the size of the vocabulary."""
    out = tokens.copy()
    there = out > 0
    unknown = there & (rng.random(out.shape) < 0.03)
    out[unknown] = rng.integers(words + 1, NUMBERS, int(unknown.sum()))
    lost = there & (rng.random(out.shape) < 0.03)
    lost[:, 0] = False
    for row in np.flatnonzero(lost.any(axis=1)):
        kept = out[row][~lost[row]]
        out[row] = np.concatenate([kept, np.zeros(LENGTH - len(kept), np.int64)])
    return torch.from_numpy(out)


def export(net: TextNet, vocabulary: Vocabulary, path: Path, moments: int) -> None:
    """Write the ONNX file and, beside it, vocabulary (.txt) and manifest (.toml).

    Raises RuntimeError where the exporter misnamed something.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter tells of its own inner life
        torch.onnx.export(
            net.eval(), (torch.ones((1, LENGTH), dtype=torch.int64),), str(path), input_names=list(INPUTS),
            output_names=list(OUTPUTS), opset_version=17, dynamo=False,
        )  # fmt: skip
    model = onnx.load(str(path))
    try:
        import onnxslim

        model = onnxslim.slim(model)
        onnx.save(model, str(path))
    except ImportError:
        pass  # a little larger without
    names = tuple(v.name for v in model.graph.input), tuple(v.name for v in model.graph.output)
    if names != (INPUTS, OUTPUTS):
        raise RuntimeError(f"the exported file has inputs and outputs {names}, wanted {(INPUTS, OUTPUTS)}")
    vocabulary.save(path.with_suffix(".txt"))
    path.with_suffix(".toml").write_text(manifest(path, moments), encoding="utf-8")


def manifest(path: Path, moments: int, name: str = "fusion-text") -> str:
    """The manifest of an exported file, as TOML."""
    words = path.with_suffix(".txt")
    return f"""# Words to vectors beside those of the fusion network (its output `scene_emb`); see detect/text.py.
# tokens int64 (1, {LENGTH}): word numbers, 0 where the text is over; vector float32 (1, {WIDTH}), of length 1.
schema = 1
name = "{name}"
license = "Apache-2.0"
description = "Text encoder; trained on captions of {moments} simulated moments, from {len(FACTS)} facts"
source = "fusion_pipeline.train, no real data, no weights of others"
classes = {json.dumps(list(CLASSES))}

[files.network]
path = "{path.name}"
sha256 = "{sha256_of(path)}"

[files.vocabulary]
path = "{words.name}"
sha256 = "{sha256_of(words)}"

[[stages]]
op = "onnx"
"""


def parity(net: TextNet, path: Path, texts: list[str]) -> float:
    """Greatest difference between ONNX Runtime and torch over some texts."""
    from fusion_pipeline.detect.text import TextEncoder

    encoder = TextEncoder(path)
    with torch.no_grad():
        expected = net.eval()(tokens_of(texts, encoder.vocabulary)).numpy()
    return float(np.abs(encoder.many(texts) - expected).max())
