"""What a run of the networks costs on this processor: threads, spinning, and which provider really runs.

Without spinning, idle threads of ONNX Runtime leave their core to the other processes of the pipeline; the baseline
lets them spin, which is ONNX Runtime's own default. The baseline of a file in whole numbers of 8 bits is the one in
floating point.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from fusion_pipeline.arrays import Doubles
from fusion_pipeline.bench.report import Figure, step
from fusion_pipeline.detect.network import Network
from fusion_pipeline.manifest import SHIPPED, WHOLE

THREADS = (1, 2)
TARGETS_MS = {("fusion_base", 1): 55.0, ("fusion_base", 2): 38.0, ("fusion_nano", 1): 32.0}


def in_turn_ms(networks: Sequence[Network], seconds: float) -> Doubles:
    """(runs, networks) times in milliseconds, of runs one after the other for about `seconds` each network.

    In turn, since a machine that others use too is faster at one time than at another.
    """
    random = np.random.default_rng(0)
    inputs = [
        {spec.name: random.random(spec.zeros().shape).astype(spec.dtype) for spec in network.inputs}
        for network in networks
    ]
    rows: list[list[float]] = []
    until = time.perf_counter() + seconds * len(networks)
    while time.perf_counter() < until or len(rows) < 5:
        row = []
        for network, given in zip(networks, inputs, strict=True):
            start = time.perf_counter()
            network(given)
            row.append((time.perf_counter() - start) * 1e3)
        rows.append(row)
    return np.array(rows)


def models(folders: tuple[Path, ...] = (SHIPPED,)) -> tuple[Path, ...]:
    """The ONNX files of the shipped models, and that of $FUSION_MODEL where it is set."""
    given = os.environ.get("FUSION_MODEL")
    found = [path for folder in folders for path in sorted(folder.glob("*.onnx"))]
    return tuple(found + ([Path(given)] if given else []))


def run(quick: bool = False) -> tuple[Figure, ...]:
    """Latency of every model at one thread and at two. Raises ModelError for a $FUSION_MODEL that is no model."""
    seconds = 1.0 if quick else 5.0
    files, figures = models(), []
    for model in files:
        if model.stem.endswith(WHOLE):
            continue
        twin = model.with_stem(model.stem + WHOLE)
        forms = [model, twin] if twin in files else [model]
        for threads in THREADS:
            step(f"{model.stem}, {threads} thread{'s' if threads > 1 else ''}")
            networks = [Network(path, threads=threads) for path in forms]
            p50, p95 = np.percentile(in_turn_ms(networks, seconds), [50, 95], axis=0)
            # By itself: threads that still spin would take the core of whoever has the next turn.
            spinning = float(np.median(in_turn_ms([Network(model, threads=threads, spin=True)], seconds)))
            limit = TARGETS_MS.get((model.stem, threads))
            for k, (path, network) in enumerate(zip(forms, networks, strict=True)):
                what = f"{path.stem}, {threads} thread" + ("s" if threads > 1 else "")
                target, met = ("", None) if limit is None else (f"<= {limit:g}", bool(p50[k] <= limit))
                other, said = (spinning, "threads spin") if path == model else (p50[0], "floating point, in turn")
                note = f"p95 {p95[k]:.1f} ms; asked for cpu, runs on {network.describe()}"
                figures.append(Figure(what, float(p50[k]), "ms", target, met, float(other), said, note))
    return tuple(figures)
