"""A model's figures on labelled KITTI frames: tables by class, what it is on the whole, and what can be drawn."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial

import numpy as np

from fusion_pipeline.arrays import Array
from fusion_pipeline.bench.report import Figure
from fusion_pipeline.evaluate.kitti_detect import ALL, LIDAR_ALONE, Senses
from fusion_pipeline.evaluate.kitti_judge import BANDS_M, IOUS, KINDS, SURE, Judged, labels_of, sureness
from fusion_pipeline.geometry.boxes import iou_bev
from fusion_pipeline.metrics import calibration, kitti
from fusion_pipeline.metrics import centre_distance as distance
from fusion_pipeline.metrics.charts import Chart, Series

By = dict[Senses, list[Judged]]
DRAWS = 500
# Of cars, moderate: a first release's targets on real frames for a network that has seen simulation alone.
TARGETS = {("Car", True, 0.5): 85.0, ("Car", True, 0.7): 75.0, ("Car", False, 0.7): 45.0}
PEDESTRIAN_M, PEDESTRIAN_TARGET, ECE_TARGET = 0.5, 50.0, 0.05
PLURAL = {"Car": "cars", "Pedestrian": "pedestrians", "Cyclist": "cyclists"}
BANDS = {f"{near:.0f}-{far:.0f} m": (near, far) for near, far in BANDS_M}
SURE_NEAR_M = 40.0
MOST_SOURCES = 6  # drives that get rows of their own


def sections(by: By) -> dict[str, tuple[Figure, ...]]:
    """AP of each class by level and distance, and the model on the whole."""
    found = {f"{PLURAL[kind]}, AP R40": tuple(_class_rows(by, kind)) for kind in KINDS}
    return {**found, "on the whole": tuple(_whole(by))}


def _class_rows(by: By, kind: str) -> Iterator[Figure]:
    places = {level.name: (level, kitti.ANYWHERE) for level in kitti.LEVELS}
    places |= {name: (kitti.MODERATE, band) for name, band in BANDS.items()}
    for bev in (True, False):
        for iou in IOUS[kind]:
            for column, (level, band) in places.items():
                yield from _ap_row(by, kind, bev, iou, column, level, band)


def _ap_row(
    by: By, kind: str, bev: bool, iou: float, column: str, level: kitti.Level, band: tuple[float, float]
) -> Iterator[Figure]:
    verdicts = {
        senses: kitti.judged([item.of(kind) for item in frames], kind, level, iou, bev, band)
        for senses, frames in by.items()
    }
    wanted = int(verdicts[ALL].wanted.sum())
    if not wanted:
        return  # an AP of nothing is no number
    value = kitti.precision_of(verdicts[ALL])
    low, high = _ends(verdicts[ALL].wanted, lambda: kitti.interval_of(verdicts[ALL], DRAWS))
    target = TARGETS.get((kind, bev, iou)) if column == kitti.MODERATE.name else None
    others = {senses: kitti.precision_of(part) for senses, part in verdicts.items() if senses != ALL}
    yield Figure(
        f"{PLURAL[kind]} {'BEV' if bev else '3D'} AP@{iou}, {column}", value, "",
        f">= {target:.0f}" if target else "", None if target is None else value >= target,
        others.get(LIDAR_ALONE), LIDAR_ALONE.name if LIDAR_ALONE in others else "", "", low, high, wanted,
        tuple((senses.name, ap) for senses, ap in others.items() if senses != LIDAR_ALONE),
    )  # fmt: skip


def _ends(wanted: Array, interval: Callable[[], tuple[float, float]]) -> tuple[float | None, float | None]:
    """The interval, or none where all truth is in one frame: drawing frames then says nothing."""
    return interval() if int((wanted > 0).sum()) > 1 else (None, None)


def _whole(by: By) -> Iterator[Figure]:
    full = by[ALL]
    yield Figure("labelled frames", len(full), "", note=_labelled(full))
    yield from _pedestrians(by)
    yield from _camera_gain(by)
    scores = sureness(full)
    if len(scores.scores):
        ece = calibration.expected_calibration_error(scores.scores, scores.right)
        far = [(name, (scores.range_m >= near) & (scores.range_m < end)) for name, (near, end) in BANDS.items()]
        said = ", ".join(
            f"{name} {calibration.expected_calibration_error(scores.scores[there], scores.right[there]):.3f} "
            f"({int(there.sum())})"
            for name, there in far if there.any()
        )  # fmt: skip
        low, high = _ece_interval(full)
        yield Figure("expected calibration error of scores, right within 2 m", ece, "", f"<= {ECE_TARGET}",
                     ece <= ECE_TARGET, None, "", said, low, high, len(scores.scores))  # fmt: skip
    yield from _errors(full)
    yield from _places(full)
    yield from _by_source(full)
    cars = [item.of("Car") for item in full]
    for bev in (True, False):
        spared = kitti.judged(cars, "Car", kitti.MODERATE, 0.7, bev, dont_care=True)
        if spared.wanted.sum():
            yield Figure(f"cars {'BEV' if bev else '3D'} AP@0.7, moderate, boxes in DontCare regions left out",
                         kitti.precision_of(spared), "", n=int(spared.wanted.sum()))  # fmt: skip


def _by_source(frames: Sequence[Judged]) -> Iterator[Figure]:
    """Cars of each drive and of the object benchmark apart, whose labels were made with different care."""
    sources = sorted({item.frame.name.rpartition("/")[0] for item in frames})
    if not 1 < len(sources) <= MOST_SOURCES:
        return
    for source in sources:
        name = "the object benchmark" if source == "object" else f"drive {source}"
        own = [item.of("Car") for item in frames if item.frame.name.rpartition("/")[0] == source]
        for bev in (True, False):
            verdicts = kitti.judged(own, "Car", kitti.MODERATE, 0.7, bev)
            if verdicts.wanted.sum():
                low, high = _ends(verdicts.wanted, partial(kitti.interval_of, verdicts, DRAWS))
                yield Figure(f"cars {'BEV' if bev else '3D'} AP@0.7, moderate, {name} alone",
                             kitti.precision_of(verdicts), "", note=f"{len(own)} frames", low=low, high=high,
                             n=int(verdicts.wanted.sum()))  # fmt: skip


def _labelled(frames: Sequence[Judged]) -> str:
    kinds = [kind for item in frames for kind in item.frame.truth.kinds]
    return ", ".join(f"{kinds.count(kind)} {kind}" for kind in sorted(set(kinds)))


def _pedestrians(by: By) -> Iterator[Figure]:
    matches = {
        senses: distance.matched([item.scene("Pedestrian", kitti.MODERATE) for item in frames], PEDESTRIAN_M)
        for senses, frames in by.items()
    }
    wanted = matches[ALL].wanted
    if not wanted:
        return
    value = distance.precision_of(matches[ALL])
    draws = kitti.drawn(len(by[ALL]), DRAWS)
    low, high = _ends(
        matches[ALL].wanted_in, lambda: kitti.percentiles([distance.precision_of(matches[ALL], w) for w in draws])
    )
    others = {senses: distance.precision_of(part) for senses, part in matches.items() if senses != ALL}
    yield Figure(
        f"pedestrians, moderate, AP at centre distance {PEDESTRIAN_M} m", value, "", f">= {PEDESTRIAN_TARGET:.0f}",
        value >= PEDESTRIAN_TARGET, others.get(LIDAR_ALONE), LIDAR_ALONE.name if LIDAR_ALONE in others else "", "",
        low, high, wanted, tuple((senses.name, ap) for senses, ap in others.items() if senses != LIDAR_ALONE),
    )  # fmt: skip


def _camera_gain(by: By) -> Iterator[Figure]:
    """All senses less LiDAR alone, on the same frames; the bootstrap draws the same frames for both."""
    if LIDAR_ALONE not in by:
        return
    for kind, bev, iou in (("Car", True, 0.7), ("Car", False, 0.7), ("Pedestrian", True, 0.5), ("Cyclist", True, 0.5)):
        both = [kitti.judged([item.of(kind) for item in by[senses]], kind, kitti.MODERATE, iou, bev)
                for senses in (ALL, LIDAR_ALONE)]  # fmt: skip
        wanted = int(both[0].wanted.sum())
        if not wanted:
            continue
        gain = kitti.precision_of(both[0]) - kitti.precision_of(both[1])
        draws = kitti.drawn(len(by[ALL]), DRAWS)
        low, high = kitti.percentiles(
            [kitti.precision_of(both[0], weights=w) - kitti.precision_of(both[1], weights=w) for w in draws]
        )
        said = "helps" if low > 0 else "harms" if high < 0 else "makes no difference that these frames could show"
        yield Figure(f"the camera's gain over LiDAR alone, {PLURAL[kind]} {'BEV' if bev else '3D'} AP@{iou}, moderate",
                     gain, "", note=f"the camera {said}", low=low, high=high, n=wanted)  # fmt: skip


def _ece_interval(frames: Sequence[Judged]) -> tuple[float, float]:
    per_frame = [sureness([item]) for item in frames]
    rng = np.random.default_rng(0)
    values = []
    for _ in range(DRAWS // 2):
        some = [per_frame[i] for i in rng.integers(0, len(per_frame), len(per_frame))]
        scores, right = np.concatenate([s.scores for s in some]), np.concatenate([s.right for s in some])
        values.append(calibration.expected_calibration_error(scores, right))
    return kitti.percentiles(values)


def _errors(frames: Sequence[Judged]) -> Iterator[Figure]:
    sure = sureness(frames)
    if not len(sure.errors):
        return
    means, spreads = sure.errors.mean(axis=0), sure.errors.std(axis=0)
    names = ("x", "y", "z", "length", "width", "height", "yaw")
    for k, (name, mean, spread) in enumerate(zip(names, means, spreads, strict=True)):
        covered = ""
        if sure.sigmas[:, k].any():
            covered = f"; {100 * calibration.coverage(sure.errors[:, k], sure.sigmas[:, k]):.0f} % within one sigma"
        unit = "rad" if name == "yaw" else "m"
        yield Figure(f"mean error of {name}, score >= {SURE}", float(mean), unit, n=len(sure.errors),
                     note=f"spread {spread:.2f} {unit}{covered}")  # fmt: skip


def _places(frames: Sequence[Judged]) -> Iterator[Figure]:
    """Cars within 40 m that are found, hidden ones too, and sure cars where nothing is labelled."""
    hits = total = false = 0
    for item in frames:
        truth = item.frame.truth
        cars = [
            i for i, kind in enumerate(truth.kinds) if kind == "Car" and np.hypot(*truth.boxes[i, :2]) < SURE_NEAR_M
        ]
        sure = labels_of(item.found, "Car") & (item.found.boxes.scores >= SURE)
        overlap = iou_bev(item.boxes[sure], truth.boxes)
        false += int((overlap.max(axis=1, initial=0) < 0.1).sum())
        hits += sum(int(overlap[:, i].max(initial=0) >= 0.5) for i in cars)
        total += len(cars)
    if total:
        yield Figure(f"cars within {SURE_NEAR_M:.0f} m found at BEV IoU 0.5, score >= {SURE}", 100 * hits / total, "%",
                     n=total)  # fmt: skip
    yield Figure(f"cars where nothing is labelled, score >= {SURE}", false, "", note=f"in {len(frames)} frames")


def charts(by: By) -> Iterator[Chart]:
    """Precision over recall, AP over distance, reliability of scores."""
    for kind in KINDS:
        limits = ((True, IOUS[kind][0]), (True, IOUS[kind][1]), (False, IOUS[kind][0]))
        for bev, iou in limits:
            yield from _curves(by, kind, bev, iou)
    yield from _by_distance(by)
    sure = sureness(by[ALL])
    if len(sure.scores):
        bins = calibration.reliability(sure.scores, sure.right)
        line = Series("share right", tuple(bins[:, 1]), tuple(bins[:, 0]))
        note = f"{len(sure.scores)} findings in {len(bins)} bins of equal mass"
        yield Chart("kitti_reliability", "Are scores chances? KITTI", "curves", "mean score", "share right", (0, 1),
                    (0, 1), (line,), note=note, diagonal=True)  # fmt: skip


def _curves(by: By, kind: str, bev: bool, iou: float) -> Iterator[Chart]:
    lines, wanted = [], 0
    for senses, frames in by.items():
        verdicts = kitti.judged([item.of(kind) for item in frames], kind, kitti.MODERATE, iou, bev)
        wanted = int(verdicts.wanted.sum())
        recall, precision = kitti.curve(verdicts)
        if len(recall):
            best = np.maximum.accumulate(precision[::-1])[::-1]
            name = f"{senses.name}, AP {kitti.precision_of(verdicts):.1f}"
            lines.append(Series(name, (best[0], *best), (0.0, *recall)))
    if lines:
        space = "BEV" if bev else "3D"
        name, title = (
            f"kitti_{PLURAL[kind]}_{space}_{iou}".lower(),
            f"KITTI, {PLURAL[kind]}, moderate, {space} IoU {iou}",
        )
        yield Chart(name, title, "curves", "recall", "precision", (0, 1), (0, 1), tuple(lines), note=f"n={wanted}")


def _by_distance(by: By) -> Iterator[Chart]:
    for kind, bev, iou in (("Car", True, 0.7), ("Car", False, 0.7), ("Pedestrian", True, 0.5), ("Cyclist", True, 0.5)):
        bars, counts = [], []
        for senses, frames in by.items():
            parts = [kitti.judged([item.of(kind) for item in frames], kind, kitti.MODERATE, iou, bev, band)
                     for band in BANDS_M]  # fmt: skip
            counts = [int(part.wanted.sum()) for part in parts]
            ends = [kitti.interval_of(part, DRAWS // 2) for part in parts]
            bars.append(Series(senses.name, tuple(kitti.precision_of(part) for part in parts),
                               low=tuple(low for low, _ in ends), high=tuple(high for _, high in ends)))  # fmt: skip
        if any(counts):
            space, names = "BEV" if bev else "3D", tuple(f"{n}, n={c}" for n, c in zip(BANDS, counts, strict=True))
            yield Chart(f"kitti_{PLURAL[kind]}_{space}_{iou}_distance".lower(),
                        f"KITTI, {PLURAL[kind]}, moderate, {space} AP@{iou} by distance", "bars", "", "AP R40", (0, 1),
                        (0, 100), tuple(bars), names, "bars of error: 95 % bootstrap over frames")  # fmt: skip
