"""Texts to vectors beside those that the fusion network gives for what each sense perceives: search by words."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from fusion_pipeline.arrays import Floats
from fusion_pipeline.detect.network import ModelError, Network, TensorSpec
from fusion_pipeline.encode.text import LENGTH, NUMBERS, Reading, Vocabulary
from fusion_pipeline.manifest import SHIPPED, Manifest, ManifestError

DEFAULT_TEXT = SHIPPED / "fusion_base_text.onnx"
WIDTH = 64  # of the vectors
_INPUT = TensorSpec("tokens", (1, LENGTH), np.int64)
_OUTPUT = TensorSpec("vector", (1, WIDTH), np.float32)


class TextEncoder:
    """The text network of a fusion network with its vocabulary. One call at a time."""

    def __init__(self, model: Path = DEFAULT_TEXT, threads: int = 1) -> None:
        """Load an ONNX file with its manifest and vocabulary.

        Raises ManifestError, TextError or ModelError, whose message names the first thing that does not fit.
        """
        files = Manifest.beside(model).files
        for key in ("network", "vocabulary"):
            if key not in files:
                raise ManifestError(f"{model.with_suffix('.toml')}: files.{key} is missing; this is no text network's")
        self.vocabulary = Vocabulary.load(Path(files["vocabulary"].path))
        self._network = Network(Path(files["network"].path), threads=threads)
        pairs = (("input", self._network.inputs, _INPUT), ("output", self._network.outputs, _OUTPUT))
        for kind, found, wanted in pairs:
            if found != (wanted,):
                said = ", ".join(f"{spec.name} {spec}" for spec in found)
                raise ModelError(f"{model}: the {kind} of a text network is {wanted.name} {wanted}, this has {said}")

    def read(self, text: str) -> Reading:
        """How a text is understood: which words are unknown, and which are too many. Raises TextError for no words."""
        return self.vocabulary.read(text)

    def __call__(self, text: str) -> Floats:
        """(64,) of length 1. Raises TextError for a text without words."""
        return np.asarray(self._network({"tokens": self.read(text).ids[None]})["vector"][0], np.float32)

    def many(self, texts: Sequence[str]) -> Floats:
        """(N, 64), a text a row."""
        return np.stack([self(text) for text in texts]) if texts else np.zeros((0, WIDTH), np.float32)


def closeness(text: Floats, scenes: Floats) -> Floats:
    """(N,) -1 to 1: how well a text's vector (64,) fits moments with vectors (N, 3, 64), one for each sense.

    A sense that was absent has a vector of zeros and no say.
    """
    return np.asarray(joined(scenes) @ text, np.float32)


def joined(scenes: Floats) -> Floats:
    """(N, 64) of length 1: what the senses that were there say together, of (N, 3, 64); zeros where there was none."""
    total = scenes.sum(axis=1)
    return np.asarray(total / np.maximum(np.linalg.norm(total, axis=1, keepdims=True), 1e-6), np.float32)


__all__ = ["DEFAULT_TEXT", "NUMBERS", "WIDTH", "TextEncoder", "closeness", "joined"]
