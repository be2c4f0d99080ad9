"""What can be drawn of a fusion network's figures on simulated moments."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from fusion_pipeline.arrays import Array, Doubles
from fusion_pipeline.metrics import calibration, kitti
from fusion_pipeline.metrics.charts import Chart, Series
from fusion_pipeline.train.accuracy import frame_of
from fusion_pipeline.train.judge import NAMES, Found, Mix
from fusion_pipeline.train.rides import Ride

BANDS_M = ((0.0, 20.0), (20.0, 40.0), (40.0, 70.0))
WORDS = {"L": "LiDAR", "C": "camera", "A": "sound"}
DRAWS = 200


def cars(moments: Sequence[Ride], by_mix: Mapping[Mix, Sequence[Found]]) -> Iterator[Chart]:
    """Precision over recall of cars, and their AP by distance, for each of the mixes."""
    lines, bars = [], []
    for mix, found in by_mix.items():
        verdicts = _verdicts(moments, found)
        recall, precision = kitti.curve(verdicts)
        if len(recall):
            best = np.maximum.accumulate(precision[::-1])[::-1]
            lines.append(Series(f"{named(mix)}, AP {kitti.precision_of(verdicts):.1f}", (best[0], *best),
                                (0.0, *recall)))  # fmt: skip
        parts = [_verdicts(moments, found, *band) for band in BANDS_M]
        ends = [kitti.interval_of(part, DRAWS) for part in parts]
        bars.append(Series(named(mix), tuple(kitti.precision_of(part) for part in parts),
                           low=tuple(low for low, _ in ends), high=tuple(high for _, high in ends)))  # fmt: skip
    note = f"{len(moments)} held-out moments"
    yield Chart("simulated_cars_bev_0.7", "Simulated, cars, BEV IoU 0.7", "curves", "recall", "precision", (0, 1),
                (0, 1), tuple(lines), note=note)  # fmt: skip
    yield Chart("simulated_cars_bev_0.7_distance", "Simulated, cars, BEV AP@0.7 by distance", "bars", "", "AP R40",
                (0, 1), (0, 100), tuple(bars), tuple(f"{near:.0f}-{far:.0f} m" for near, far in BANDS_M),
                f"{note}; 95 % bootstrap over moments")  # fmt: skip


def subsets(values: Mapping[Mix, float], moments: int) -> Chart:
    """mAP with each subset of the senses."""
    names = tuple("all" if all(mix) else named(mix) for mix in values)
    return Chart("simulated_retention", "What is left with fewer senses: mAP at 2 m", "bars", "", "mAP", (0, 1),
                 (0, 100), (Series("mAP over four classes", tuple(values.values())),), names,
                 f"{moments} held-out moments")  # fmt: skip


def reliability(scores: Doubles, right: Array) -> Chart:
    """Share of right ones over the mean score."""
    bins = calibration.reliability(scores, right)
    return Chart("simulated_reliability", "Are scores chances? Simulated", "curves", "mean score", "share right",
                 (0, 1), (0, 1), (Series("share right", tuple(bins[:, 1]), tuple(bins[:, 0])),),
                 note=f"{len(scores)} findings in {len(bins)} bins of equal mass", diagonal=True)  # fmt: skip


def robustness(kept: Mapping[str, Sequence[float]], moments: int) -> Chart:
    """NDS under each corruption over clean NDS, at three severities."""
    names = ("light", "medium", "heavy")
    bars = tuple(Series(name, tuple(values[k] for values in kept.values())) for k, name in enumerate(names))
    return Chart("simulated_robustness", "What is left under corruption: NDS / clean NDS", "bars", "", "share", (0, 1),
                 (0, 1.25), bars, tuple(kept), f"{moments} held-out moments")  # fmt: skip


def named(mix: Mix) -> str:
    """A subset of the senses in words."""
    return " + ".join(WORDS[name] for name, there in zip(NAMES, mix, strict=True) if there)


def _verdicts(moments: Sequence[Ride], found: Sequence[Found], *band_m: float) -> kitti.Verdicts:
    frames = [frame_of(ride, out, 0, *band_m) for ride, out in zip(moments, found, strict=True)]
    return kitti.judged(frames, "Car", kitti.MODERATE, 0.7, True)
