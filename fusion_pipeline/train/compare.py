"""Ways in which the senses can meet, each taught alike from the same weights and judged on the same moments.

    python -m fusion_pipeline.train.compare RIDES RUN --from fusion_pipeline/train/fusion_base.npz --seconds 240

Every variant begins with the weights given (concatenation, which they do not hold, as a weighted mean) and learns for
the same time. RUN/compare.md and RUN/compare.json hold the table: accuracy with and without senses, parameters,
multiplications and additions of one run, latency of the exported file at one thread. A variant whose row is there
already is not taught again.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from fusion_pipeline.bench.network import in_turn_ms
from fusion_pipeline.detect.network import Network
from fusion_pipeline.train.accuracy import car_ap, mean_ap, retention
from fusion_pipeline.train.fusion import FusionNet
from fusion_pipeline.train.fusion_export import INPUTS, ExportedFusion, example, export, manifest
from fusion_pipeline.train.fusion_fit import Manner, fit
from fusion_pipeline.train.judge import SUBSETS, Judge
from fusion_pipeline.train.loop import Schedule
from fusion_pipeline.train.moments import held_out
from fusion_pipeline.train.stored import has_bf16, restored

VARIANTS = {
    "gates and attention": ("gates", "attention"),
    "gates": ("gates",),
    "attention on the mean": ("attention",),
    "concatenation": ("join",),
    "mean": (),
}
BATCH, RATE, SLOW, MOMENTS = 8, 8e-4, 0.6, 80
_HEADS = ("meeting", "cars LCA", "cars L", "mAP LCA", "mAP L", "mAP C", "retention", "parameters (M)", "GFLOP",
          "ms, 1 thread", "moments taught")  # fmt: skip


@dataclass(frozen=True, slots=True)
class Row:
    """Of one variant. Cars: BEV AP@0.7, R40; mAP at 2 m; retention: mean mAP over the 7 subsets of senses / all."""

    name: str
    cars: float
    cars_lidar: float
    mean: float
    mean_lidar: float
    mean_camera: float
    retention: float
    parameters_m: float
    gflop: float
    latency_ms: float  # of all variants in turn, at the end; not a number before
    samples: int

    def cells(self) -> tuple[str, ...]:
        """As texts, in the order of the table."""
        accuracy = (self.cars, self.cars_lidar, self.mean, self.mean_lidar, self.mean_camera)
        cost = (f"{self.parameters_m:.2f}", f"{self.gflop:.2f}", f"{self.latency_ms:.1f}", str(self.samples))
        return (self.name, *(f"{value:.1f}" for value in accuracy), f"{self.retention:.3f}", *cost)


def gflop_of(net: FusionNet) -> float:
    """Multiplications and additions of one run with one camera, in billions."""
    inputs = example()
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        ExportedFusion(net).eval()(*(inputs[name] for name in INPUTS))
    return float(counter.get_total_flops()) / 1e9


def taught(rides: Path, run: Path, start: Path, name: str, seconds: float) -> Path:
    """A variant's checkpoint."""
    manner, last = Manner(kept=("audio",), slow=SLOW, use=VARIANTS[name], half=has_bf16()), run / "last.pt"
    left = seconds - (float(torch.load(last)["spent"]) if last.exists() else 0.0)
    if left > 1:
        fit(rides, run, Schedule(left, BATCH, RATE), None, start, manner)
    return last


def judged(checkpoint: Path, name: str, cache: Path, count: int) -> Row:
    """A variant's figures on held-out moments, kept in `cache`."""
    net, samples = restored(checkpoint)
    path = checkpoint.with_name("fusion.onnx")
    export(net, path)
    path.with_suffix(".toml").write_text(manifest(path, samples), encoding="utf-8")
    judge, moments = Judge(path), held_out(cache, count)
    found = {mix: [judge(moment, mix) for moment in moments] for mix in SUBSETS}
    means = {mix: mean_ap(moments, out) for mix, out in found.items()}
    full = means[1, 1, 1]
    return Row(
        name, car_ap(moments, found[1, 1, 1]), car_ap(moments, found[1, 0, 0]), full, means[1, 0, 0], means[0, 1, 0],
        retention(means), sum(p.numel() for p in net.parameters()) / 1e6,
        gflop_of(net), float("nan"), samples,
    )  # fmt: skip


def in_turn(run: Path, names: Sequence[str], seconds: float = 2.0) -> dict[str, float]:
    """Median milliseconds of a run of each variant's file at one thread; one after the other, so that a machine that
    slows down slows all of them.
    """
    networks = {name: Network(_folder(run, name) / "fusion.onnx", threads=1) for name in names}
    times = np.median(in_turn_ms(list(networks.values()), seconds), axis=0)
    return {name: float(value) for name, value in zip(networks, times, strict=True)}


def _folder(run: Path, name: str) -> Path:
    return run / name.replace(" ", "-")


def table(rows: list[Row]) -> str:
    """In Markdown."""
    lines = [_HEADS, ("---",) * len(_HEADS), *(row.cells() for row in rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rides", type=Path)
    parser.add_argument("run", type=Path)
    parser.add_argument("--from", dest="start", type=Path, required=True, help="weights that all begin with")
    parser.add_argument("--seconds", type=float, default=240.0, help="for which each variant learns")
    parser.add_argument("--moments", type=int, default=MOMENTS, help="held-out ones, to judge on")
    parser.add_argument("--cache", type=Path, help="where these are kept; RUN/held-out otherwise")
    options = parser.parse_args()
    options.run.mkdir(parents=True, exist_ok=True)
    kept = options.run / "compare.json"
    settings = {"from": str(options.start), "seconds": options.seconds, "moments": options.moments}
    before: dict[str, Any] = (
        json.loads(kept.read_text(encoding="utf-8")) if kept.exists() else {"settings": settings, "rows": []}
    )
    if before["settings"] != settings:
        parser.error(f"{kept} was made with {before['settings']}; name another folder than {options.run}")
    rows = [Row(**row) for row in before["rows"]]
    for name in VARIANTS:
        if name in {row.name for row in rows}:
            continue
        checkpoint = taught(options.rides, _folder(options.run, name), options.start, name, options.seconds)
        rows.append(judged(checkpoint, name, options.cache or options.run / "held-out", options.moments))
        result = {"settings": settings, "rows": [asdict(row) for row in rows]}
        kept.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    latencies = in_turn(options.run, [row.name for row in rows])
    whole = table([replace(row, latency_ms=latencies[row.name]) for row in rows])
    (options.run / "compare.md").write_text(whole, encoding="utf-8")
    sys.stdout.write(whole)


if __name__ == "__main__":
    main()
