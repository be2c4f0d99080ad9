"""What is left of a model on KITTI frames when sensors go wrong or are missing: resistance and retention."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from fusion_pipeline.arrays import Array
from fusion_pipeline.bench.report import Figure
from fusion_pipeline.evaluate.kitti_corrupted import KINDS
from fusion_pipeline.evaluate.kitti_detect import ALL, CAMERA_ALONE, LIDAR_ALONE
from fusion_pipeline.evaluate.kitti_figures import DRAWS, By
from fusion_pipeline.evaluate.kitti_judge import KINDS as CLASSES
from fusion_pipeline.evaluate.kitti_judge import Judged
from fusion_pipeline.metrics import centre_distance as distance
from fusion_pipeline.metrics import kitti
from fusion_pipeline.metrics.charts import Chart, Series
from fusion_pipeline.train.corruptions import SEVERITIES

KIND, IOU, NEAR_M = "Car", 0.5, 1.0
HEAVINESS = ("light", "medium", "heavy")
WHAT = f"cars BEV AP@{IOU}, moderate, corrupted / clean"
TARGET = 0.8  # as in simulation
RETAINED_M = 2.0


@dataclass(frozen=True, slots=True)
class Kept:
    """What the two metrics take of one frame."""

    frame: kitti.Frame
    scene: distance.Scene

    @classmethod
    def of(cls, judged: Judged) -> Kept:
        """The cars."""
        return cls(judged.of(KIND), judged.scene(KIND, kitti.MODERATE))


@dataclass(frozen=True, slots=True)
class Corruptions:
    """A model on F frames under all kinds of corruption that each allows."""

    clean: tuple[Kept, ...]  # (F,)
    under: Mapping[str, Mapping[int, tuple[Kept, ...]]]  # by kind: the rows of `clean`, each at all severities
    left_out: Mapping[str, Mapping[str, int]]  # by kind: reasons, and of how many frames


class _Metric(Protocol):
    """AP in percent; the frames may be weighed."""

    wanted: int

    def __call__(self, weights: Array | None = None) -> float: ...


class _Overlap:
    def __init__(self, kept: Sequence[Kept]) -> None:
        self._verdicts = kitti.judged([one.frame for one in kept], KIND, kitti.MODERATE, IOU, True)
        self.wanted = int(self._verdicts.wanted.sum())

    def __call__(self, weights: Array | None = None) -> float:
        return kitti.precision_of(self._verdicts, weights=weights)


class _Distance:
    def __init__(self, kept: Sequence[Kept]) -> None:
        self._matches = distance.matched([one.scene for one in kept], NEAR_M)
        self.wanted = self._matches.wanted

    def __call__(self, weights: Array | None = None) -> float:
        return distance.precision_of(self._matches, weights)


class _Resistance:
    """AP under one kind over the clean AP of the same frames."""

    def __init__(self, found: Corruptions, kind: str, metric: type[_Overlap] | type[_Distance]) -> None:
        rows = found.under[kind]
        self._rows = np.asarray(list(rows), np.int64)
        self._clean: _Metric = metric([found.clean[row] for row in rows])
        self._under: list[_Metric] = [metric([rows[row][k] for row in rows]) for k in SEVERITIES]
        self.wanted = self._clean.wanted

    def __call__(self, weights: Array | None = None) -> tuple[float, ...]:
        """At each severity; NaN where nothing is found clean."""
        own = None if weights is None else weights[self._rows]
        clean = self._clean(own)
        return tuple(under(own) / clean if clean > 0 else float("nan") for under in self._under)


def figures(found: Corruptions) -> Iterator[Figure]:
    """Resistance on the whole and to each kind, and which kinds could not be done."""
    clean, near = _Overlap(found.clean), _Distance(found.clean)
    yield Figure(f"cars BEV AP@{IOU}, moderate, before corruption", clean() if clean.wanted else float("nan"), "",
                 note=f"{len(found.clean)} frames", n=clean.wanted,
                 beside=((f"centre distance {NEAR_M:.0f} m", near()),))  # fmt: skip
    by_kind, close = resistances(found), resistances(found, _Distance)
    if by_kind:
        frames = len(found.clean)
        draws = kitti.drawn(frames, DRAWS)
        boots = {kind: [np.mean(one(weights)) for weights in draws] for kind, one in by_kind.items()}
        means = [float(np.nanmean(row)) if not np.isnan(row).all() else float("nan")
                 for row in np.asarray(list(boots.values())).T]  # fmt: skip
        mean, other = (float(np.mean([one() for one in part.values()])) for part in (by_kind, close))
        several = sum((one.frame.kinds.count(KIND) > 0) for one in found.clean) > 1
        low, high = kitti.percentiles(means) if several else (None, None)
        yield Figure(f"mean resistance over {len(by_kind)} corruptions x {len(SEVERITIES)} severities, {WHAT}", mean,
                     "", f">= {TARGET}", mean >= TARGET, note=f"{frames} frames", low=low, high=high,
                     n=clean.wanted, beside=((f"centre distance {NEAR_M:.0f} m", other),))  # fmt: skip
        for kind, one in by_kind.items():
            low, high = kitti.percentiles([float(v) for v in boots[kind]]) if several else (None, None)
            said = ", ".join(f"{name} {value:.2f}" for name, value in zip(HEAVINESS, one(), strict=True))
            yield Figure(f"{kind}: {WHAT}", float(np.mean(one())), "", note=said, low=low, high=high, n=one.wanted,
                         beside=((f"centre distance {NEAR_M:.0f} m", float(np.mean(close[kind]()))),))  # fmt: skip
    yield Figure("kinds of corruption that these frames allow", len(by_kind), f"of {len(KINDS)}", note=_left_out(found))


def resistances(found: Corruptions, metric: type[_Overlap] | type[_Distance] = _Overlap) -> dict[str, _Resistance]:
    """By kind, as far as something is found clean in the frames that allow it."""
    made = {kind: _Resistance(found, kind, metric) for kind in KINDS if found.under.get(kind)}
    return {kind: one for kind, one in made.items() if not np.isnan(one()).any()}


def _left_out(found: Corruptions) -> str:
    said = []
    for kind, reasons in found.left_out.items():
        why = ", ".join(f"{reason} ({count})" for reason, count in reasons.items())
        frames = "all" if not found.under.get(kind) else f"{sum(reasons.values())} of {len(found.clean)}"
        said.append(f"{kind} in {frames} frames: {why}")
    said += [f"{kind}: nothing is found clean" for kind in found.under if kind not in resistances(found)]
    return "left out: " + "; ".join(said) if said else "none is left out"


def chart(found: Corruptions) -> Iterator[Chart]:
    """Resistance to each kind at three severities."""
    by_kind = {kind: one() for kind, one in resistances(found).items()}
    if by_kind:
        bars = tuple(Series(name, tuple(values[k] for values in by_kind.values())) for k, name in enumerate(HEAVINESS))
        yield Chart("kitti_robustness", f"What is left under corruption, KITTI: cars, BEV AP@{IOU} / clean", "bars", "",
                    "share", (0, 1), (0, 1.25), bars, tuple(by_kind),
                    f"{len(found.clean)} frames, n={_Overlap(found.clean).wanted}")  # fmt: skip


def retention(by: By) -> Iterator[Figure]:
    """Mean over the subsets of LiDAR and camera, over both, of the mean AP of the classes that are there."""
    if LIDAR_ALONE not in by or CAMERA_ALONE not in by:
        return
    matches = {senses: [distance.matched([item.scene(kind, kitti.MODERATE) for item in frames], RETAINED_M)
                        for kind in CLASSES] for senses, frames in by.items()}  # fmt: skip

    def kept(weights: Array | None = None) -> dict[str, float]:
        found = {senses.name: [distance.precision_of(part, weights) for part in parts]
                 for senses, parts in matches.items()}  # fmt: skip
        return {name: float(np.nanmean(values)) if not np.isnan(values).all() else float("nan")
                for name, values in found.items()}  # fmt: skip

    def ratio(values: Mapping[str, float]) -> float:
        full = values[ALL.name]
        return float(np.mean(list(values.values()))) / full if full > 0 else float("nan")

    whole, wanted = kept(), sum(part.wanted for part in matches[ALL])
    if not whole[ALL.name] > 0:
        return
    several = np.count_nonzero(np.sum([part.wanted_in for part in matches[ALL]], axis=0)) > 1
    draws = kitti.drawn(len(by[ALL]), DRAWS)
    low, high = kitti.percentiles([ratio(kept(weights)) for weights in draws]) if several else (None, None)
    said = ", ".join(f"{name} {value:.1f}" for name, value in whole.items())
    # With sound that is not there each of the three is counted again, and sound alone finds nothing.
    said += f"; KITTI has no sound: as 7 subsets {6 / 7 * ratio(whole):.2f}"
    yield Figure("retention: mean over 3 subsets of senses / all, mAP at 2 m", ratio(whole), "",
                 note=said, low=low, high=high, n=wanted)  # fmt: skip
