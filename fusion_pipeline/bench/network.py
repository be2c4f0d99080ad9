"""What a run of the networks costs on this processor: threads, spinning, and which provider really runs.

Without spinning, idle threads of ONNX Runtime leave their core to the other processes of the pipeline; the baseline
lets them spin, which is ONNX Runtime's own default.
"""

from __future__ import annotations

import os
import time
from pathlib import Path

import numpy as np

from fusion_pipeline.bench.report import Figure
from fusion_pipeline.detect.network import Network
from fusion_pipeline.manifest import SHIPPED

THREADS = (1, 2)
TARGETS_MS = {("fusion_base", 1): 55.0, ("fusion_base", 2): 38.0, ("fusion_nano", 1): 32.0}


def median_ms(network: Network, seconds: float) -> tuple[float, float]:
    """(p50, p95) of a run, in milliseconds, repeated for about `seconds`."""
    random = np.random.default_rng(0)
    inputs = {spec.name: random.random(spec.zeros().shape).astype(spec.dtype) for spec in network.inputs}
    times: list[float] = []
    network(inputs)
    until = time.perf_counter() + seconds
    while time.perf_counter() < until or len(times) < 5:
        start = time.perf_counter()
        network(inputs)
        times.append((time.perf_counter() - start) * 1e3)
    p50, p95 = np.percentile(times, [50, 95])
    return float(p50), float(p95)


def models(folders: tuple[Path, ...] = (SHIPPED,)) -> tuple[Path, ...]:
    """The ONNX files of the shipped models, and that of $FUSION_MODEL where it is set."""
    given = os.environ.get("FUSION_MODEL")
    found = [path for folder in folders for path in sorted(folder.glob("*.onnx"))]
    return tuple(found + ([Path(given)] if given else []))


def run(quick: bool = False) -> tuple[Figure, ...]:
    """Latency of every model at one thread and at two. Raises ModelError for a $FUSION_MODEL that is no model."""
    seconds = 1.0 if quick else 5.0
    figures = []
    for model in models():
        for threads in THREADS:
            network = Network(model, threads=threads)
            p50, p95 = median_ms(network, seconds)
            spinning, _ = median_ms(Network(model, threads=threads, spin=True), seconds)
            note = f"p95 {p95:.1f} ms; asked for cpu, runs on {network.describe()}"
            what = f"{model.stem}, {threads} thread" + ("s" if threads > 1 else "")
            limit = TARGETS_MS.get((model.stem, threads))
            target, met = ("", None) if limit is None else (f"<= {limit:g}", p50 <= limit)
            figures.append(Figure(what, p50, "ms", target, met, spinning, "threads spin", note))
    return tuple(figures)
