"""A fusion network's figures on held-out simulated moments, as `fusion eval simulated` prints them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np

from fusion_pipeline.bench.report import Figure
from fusion_pipeline.manifest import Manifest
from fusion_pipeline.metrics import calibration
from fusion_pipeline.metrics import centre_distance as distance
from fusion_pipeline.metrics.charts import Chart
from fusion_pipeline.operations import DecodeSounds
from fusion_pipeline.rig import Rig
from fusion_pipeline.train import figure_charts, represent_figures, street, warning
from fusion_pipeline.train.accuracy import (
    CLASSES,
    FAR_M,
    car_ap,
    car_interval,
    event_ap,
    judged_scores,
    leave_one_out,
    mean_ap,
    pictured_iou,
    retention,
    scene_of,
    siren_azimuths,
    wanted,
)
from fusion_pipeline.train.around import SIDES, on_side
from fusion_pipeline.train.corruptions import CORRUPTIONS, SEVERITIES
from fusion_pipeline.train.judge import NAMES, SUBSETS, Found, Judge, all_subsets
from fusion_pipeline.train.moments import HELD_SEED, Progress, held_out
from fusion_pipeline.train.rides import Ride
from fusion_pipeline.world.sources import LABELS

FOLLOWED_S = 15.0
FULL, LIDAR, CAMERA = (1, 1, 1), (1, 0, 0), (0, 1, 0)
MODES = (("early", False, "early"), ("late", False, "late"), ("hybrid", False, "hybrid"),
         ("hybrid", True, "early and hybrid"))  # fmt: skip
STD_NAMES = ("x", "y", "z", "length", "width", "height", "yaw", "speed")
Charted = Callable[[Chart], None]  # who wants to draw
Looked = Callable[[Sequence[Ride], Sequence[Found]], None]  # who wants to look at what was found
By = dict[tuple[int, int, int], list[Found]]


def count_of(rides: int, drives: int, robust: int) -> int:
    """How many steps `figures` advances, about."""
    looks = drives * (round(FOLLOWED_S * 10) + 2 * 97)
    again = represent_figures.count_of(rides) + rides * (len(MODES) + len(SUBSETS))
    return looks + again + robust * len(CORRUPTIONS) * len(SEVERITIES)


def figures(
    model: Path,
    folder: Path,
    rides: int,
    model_rig: Path,
    drives: int = 0,
    robust: int = 0,
    advance: Progress = lambda n: None,
    threads: int = 2,
    looked: Looked = lambda rides, found: None,
    charted: Charted = lambda chart: None,
) -> tuple[Figure, ...]:
    """All of them; `drives` drives of the rig at `model_rig` are followed and listened to, `robust` moments go through
    every corruption.
    """
    judge = Judge(model, threads)
    moments = held_out(folder, rides, advance, judge.around)
    by_mix = all_subsets(judge, moments, advance)
    looked(moments, by_mix[FULL])
    for chart in figure_charts.cars(moments, {mix: by_mix[mix] for mix in (FULL, LIDAR, CAMERA)}):
        charted(chart)
    ways = _sides(moments, by_mix) if judge.around else _modes(moments, by_mix[LIDAR], judge, advance)
    rows = (
        *_accuracy(moments, by_mix), *ways, *_missing(moments, by_mix, charted), *_honesty(moments, by_mix, charted),
        *_sounds(moments, by_mix[FULL]),
    )  # fmt: skip
    if judge.around:  # drives and corruptions are those of a rig with one camera
        return rows
    text = model.with_name(f"{model.stem}_text.onnx")  # without words nobody trained the vectors
    if text.is_file():
        rows += represent_figures.figures(model, text, moments, advance, threads)
    rig = Rig.load(model_rig)
    return (*rows, *_followed(model, rig, drives, advance), *_warned(model, rig, drives, advance),
            *_robust(judge, moments[:robust], by_mix[FULL][:robust], advance, charted))  # fmt: skip


def _scenes(moments: Sequence[Ride], found: Sequence[Found], label: int) -> list[distance.Scene]:
    return [scene_of(ride, out, label) for ride, out in zip(moments, found, strict=True)]


def _seen(moments: Sequence[Ride], label: int) -> int:
    return sum(int((wanted(ride) & (ride.labels == label)).sum()) for ride in moments)


def _accuracy(moments: Sequence[Ride], by_mix: By) -> Iterator[Figure]:
    full, alone = by_mix[FULL], by_mix[LIDAR]
    low, high = car_interval(moments, full)
    ap = car_ap(moments, full)
    yield Figure("cars, BEV AP@0.7, R40, all senses", ap, "", ">= 80", ap >= 80, car_ap(moments, alone), "LiDAR alone",
                 f"{len(moments)} moments", low, high, _seen(moments, 0))  # fmt: skip
    far, far_alone = (car_ap(moments, found, 0.5, near_m=FAR_M) for found in (full, alone))
    yield Figure(f"cars beyond {FAR_M:.0f} m, BEV AP@0.5, R40", far, "", "", None, far_alone,
                 "LiDAR alone")  # fmt: skip
    gain, far_gain = ap - car_ap(moments, alone), far - far_alone
    yield Figure("all senses over LiDAR alone, cars, BEV AP@0.7", gain, "", ">= 3", gain >= 3,
                 note=f"beyond {FAR_M:.0f} m, at 0.5: {far_gain:+.1f}")  # fmt: skip
    for label, name in ((2, "pedestrians"), (3, "two-wheelers")):
        scenes = _scenes(moments, full, label)
        value, (low, high) = distance.average_precision(scenes, 1.0), distance.interval(scenes, 1.0)
        yield Figure(f"{name}, AP at centre distance 1 m", value, "", ">= 70", value >= 70,
                     distance.average_precision(_scenes(moments, alone, label), 1.0), "LiDAR alone",
                     "", low, high, _seen(moments, label))  # fmt: skip
    for mix, name in ((FULL, "all senses"), (LIDAR, "LiDAR alone")):
        mean, nds, errors = distance.score([_scenes(moments, by_mix[mix], label) for label in range(4)])
        said = ", ".join(f"{a} {e:.2f}" for a, e in zip(("ATE m", "ASE", "AOE rad", "AVE m/s"), errors, strict=True))
        yield Figure(f"NDS without attributes, {name}", nds, "", note=f"mAP {100 * mean:.1f}; {said}")


def _missing(moments: Sequence[Ride], by_mix: By, charted: Charted) -> Iterator[Figure]:
    full = mean_ap(moments, by_mix[FULL])
    values = {mix: mean_ap(moments, found) for mix, found in by_mix.items()}
    parts = ", ".join(
        f"{''.join(n for n, there in zip(NAMES, mix, strict=True) if there)} {v:.1f}" for mix, v in values.items()
    )
    charted(figure_charts.subsets(values, len(moments)))
    kept = retention(values)
    yield Figure("retention: mean over the 7 subsets of senses / all, mAP at 2 m", kept, "", ">= 0.7", kept >= 0.7,
                 note=parts)  # fmt: skip
    own = [mean_ap(moments, found, 2.0, mix) for mix, found in by_mix.items()]
    yield Figure("the same, counting for each subset only what its senses can see", float(np.mean(own)) / full, "",
                 note="without LiDAR what fills 40 pixels; sound alone names no box and counts as 0")  # fmt: skip


def _sides(moments: Sequence[Ride], by_mix: By) -> Iterator[Figure]:
    """Of an all-round network, how well it does where."""
    for side, name in enumerate(SIDES):
        cars, means = {}, {}
        for mix in (FULL, LIDAR, CAMERA):
            parts = [on_side(ride, out, side) for ride, out in zip(moments, by_mix[mix], strict=True)]
            rides, found = [ride for ride, _ in parts], [out for _, out in parts]
            cars[mix], means[mix] = car_ap(rides, found), mean_ap(rides, found)
        yield Figure(f"{name}: cars, BEV AP@0.7, R40, all senses", cars[FULL], "", "", None, cars[LIDAR], "LiDAR alone",
                     f"mAP at 2 m: all senses {means[FULL]:.1f}, LiDAR alone {means[LIDAR]:.1f}, cameras alone "
                     f"{means[CAMERA]:.1f}", n=_seen(rides, 0))  # fmt: skip


def _modes(
    moments: Sequence[Ride], lidar: Sequence[Found], judge: Judge, advance: Progress
) -> Iterator[Figure]:  # fmt: skip
    """The same frames and the same weights, fused in every way that a manifest can ask for."""
    alone = car_ap(moments, lidar)
    for fusion, paint, name in MODES:
        found = []
        for ride in moments:
            found.append(judge(ride, FULL, fusion, paint))
            advance(1)
        walk, ride_on = (distance.average_precision(_scenes(moments, found, label), 1.0) for label in (2, 3))
        yield Figure(f"{name} fusion, same weights: cars, BEV AP@0.7", car_ap(moments, found), "", "", None, alone,
                     "LiDAR alone", f"mAP at 2 m {mean_ap(moments, found):.1f}; at 1 m pedestrians {walk:.1f}, "
                     f"two-wheelers {ride_on:.1f}")  # fmt: skip


def _honesty(moments: Sequence[Ride], by_mix: By, charted: Charted) -> Iterator[Figure]:
    shares, drops = leave_one_out(moments, by_mix)
    rank = calibration.rank_correlation(shares, drops)
    yield Figure("Spearman of attribution against leave-one-out", rank, "", ">= 0.7", rank >= 0.7,
                 note=f"{len(shares)} pairs of detection and sense")  # fmt: skip
    absent = max(
        (float(out.attr[:, k].max(initial=0)) for mix, found in by_mix.items() for out in found for k in range(3)
         if not mix[k]), default=0.0,
    )  # fmt: skip
    yield Figure("greatest attribution to an absent sense", absent, "", "0", absent == 0.0)
    scores, right, errors, sigmas = judged_scores(moments, by_mix[FULL])
    charted(figure_charts.reliability(scores, right))
    ece = calibration.expected_calibration_error(scores, right)
    covered = np.asarray([calibration.coverage(errors[:, k], sigmas[:, k]) for k in range(8)])
    yield Figure("expected calibration error of scores", ece, "", "<= 0.05", ece <= 0.05, n=len(scores))
    said = ", ".join(f"{name} {100 * c:.0f}" for name, c in zip(STD_NAMES, covered, strict=True))
    mean = 100 * float(covered.mean())
    yield Figure("errors within one sigma, mean over 8 columns", mean, "%", "63 to 73", 63 <= mean <= 73, note=said)
    yield from _blind_honesty(moments, by_mix[CAMERA])
    if by_mix[CAMERA][0].pictured.size:
        shown = 100 * pictured_iou(moments, by_mix[CAMERA])
        parts = ", ".join(f"{name} {value:.0f}" for name, value in zip(CLASSES, shown, strict=False))
        yield Figure("what each part of the picture shows, mean IoU", float(shown.mean()), "%", note=parts)


def _blind_honesty(moments: Sequence[Ride], found: Sequence[Found]) -> Iterator[Figure]:
    """When the LiDAR is gone: what a score means, and whether sigmas own up to how little a camera knows."""
    scores, right, errors, sigmas = judged_scores(moments, found)
    yield Figure("camera alone: expected calibration error of scores",
                 calibration.expected_calibration_error(scores, right), "", n=len(scores))  # fmt: skip
    if len(errors):
        covered = 100 * np.asarray([calibration.coverage(errors[:, k], sigmas[:, k]) for k in range(8)])
        apart, said = np.median(np.hypot(*errors[:, :2].T)), np.median(np.hypot(*sigmas[:, :2].T))
        yield Figure("camera alone: errors within one sigma, mean over 8 columns", float(covered.mean()), "%",
                     note=f"x {covered[0]:.0f}, y {covered[1]:.0f}; middles {apart:.2f} m off, sigmas {said:.2f} m "
                     "(medians of what is right within 2 m)", n=len(errors))  # fmt: skip


def _sounds(moments: Sequence[Ride], full: Sequence[Found]) -> Iterator[Figure]:
    errors = siren_azimuths(moments, full)
    if len(errors):
        median = float(np.median(errors))
        yield Figure("siren azimuth, one array, moving vehicle, median error", median, "deg", "<= 8", median <= 8,
                     note=f"{len(errors)} moments, mean {errors.mean():.1f}")  # fmt: skip
    values = {LABELS[k]: pair for k, pair in event_ap(moments, full).items() if pair[1] >= 5}
    if values:
        said = ", ".join(f"{name} {ap:.0f} ({n})" for name, (ap, n) in values.items())
        yield Figure("sound events within 20 degrees, mean AP", float(np.mean([ap for ap, _ in values.values()])), "",
                     note=said)  # fmt: skip


def _followed(model: Path, rig: Rig, drives: int, advance: Progress) -> Iterator[Figure]:
    if not drives:
        return
    found = [street.followed(model, rig, "city_street", 20 + seed, FOLLOWED_S, advance) for seed in range(drives)]
    hota = 100 * float(np.mean([one.hota for one in found]))
    said = ", ".join(
        f"{name} {100 * float(np.mean([getattr(one, key) for one in found])):.1f}"
        for name, key in (("DetA", "detection"), ("AssA", "association"), ("MOTA", "mota"), ("IDF1", "idf1"))
    )
    switches = sum(one.switches for one in found)
    yield Figure("HOTA of tracks on a simulated street, nearness within 4 m", hota, "", ">= 65", hota >= 65,
                 note=f"{drives} drives of {FOLLOWED_S:.0f} s; {said}, {switches} switches")  # fmt: skip


def _warned(model: Path, rig: Rig, drives: int, advance: Progress) -> Iterator[Figure]:
    if not drives:
        return
    sirens = [warning.listened(model, rig, "crossing_occluded_siren", seed, advance) for seed in range(drives)]
    quiet = ("highway", "car_park", "construction_site", "robot_yard")
    silent = [warning.listened(model, rig, quiet[k % 4], k, advance) for k in range(drives)]
    threshold = _siren_score(model)
    leads, precision = warning.leads_at(sirens, threshold), 100 * warning.precision_at(sirens, silent, threshold)
    median, seen = float(np.median(leads)), [d for d in sirens if np.isfinite(d.seen_s)]
    plain = np.concatenate([d.misses_rad[d.seconds >= d.seen_s] for d in seen]) if seen else np.zeros(0)
    miss = float(np.rad2deg(np.median(plain))) if len(plain) else float("nan")
    best, least = warning.lead_times(sirens, silent)
    yield Figure("a hidden siren is announced before line of sight, median", median, "s", ">= 1 at 90 % precision",
                 median >= 1.0 and precision >= 100 * warning.PRECISION,
                 note=f"{drives} crossings, least {leads.min():.1f} s, at the manifest's score of {threshold:.2f}; "
                 f"precision {precision:.0f} % against {drives} drives without one; from {least:.2f} on it has 90 %: "
                 f"{np.median(best):.1f} s; azimuth in plain sight off by {miss:.0f} degrees (median)")  # fmt: skip


def _siren_score(model: Path) -> float:
    """From which score on the model's manifest announces a siren."""
    stages = [stage for stage in Manifest.beside(model).stages if isinstance(stage, DecodeSounds)]
    return stages[0].min_scores.get("siren", stages[0].min_score) if stages else 0.5


def _robust(
    judge: Judge, moments: Sequence[Ride], clean: Sequence[Found], advance: Progress, charted: Charted
) -> Iterator[Figure]:
    if not moments:
        return
    whole = distance.score([_scenes(moments, clean, label) for label in range(4)])[1]
    kept: dict[str, list[float]] = {}
    for name, change in CORRUPTIONS.items():
        for severity in SEVERITIES:
            found = []
            for number, ride in enumerate(moments):
                found.append(judge(change(ride, HELD_SEED + number, severity)))
                advance(1)
            score = distance.score([_scenes(moments, found, label) for label in range(4)])[1]
            kept.setdefault(name, []).append(score / whole)
    charted(figure_charts.robustness(kept, len(moments)))
    mean = float(np.mean(list(kept.values())))
    said = "; ".join(f"{name} {' '.join(f'{v:.2f}' for v in values)}" for name, values in kept.items())
    yield Figure("mean resistance over 10 corruptions x 3 severities, NDS / clean NDS", mean, "", ">= 0.8", mean >= 0.8,
                 note=f"{len(moments)} moments; {said}")  # fmt: skip
