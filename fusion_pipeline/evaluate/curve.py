"""How a network grew with training: its checkpoints on the same held-out moments, and where the curve leads.

    python -m fusion_pipeline.evaluate.curve RUN/early.pt=79000 RUN/last.pt=150000 --cache HELD-OUT --plots FOLDER

Each checkpoint is named with the moments it has been taught in all its runs. Printed are, as a table, mAP at 2 m by
senses and retention (the mean over the 7 subsets of senses over that of all), and how many moments it would take to the
retention asked for if what the camera alone gains with each doubling stayed as it was.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from rich.console import Console
from rich.progress import Progress

from fusion_pipeline.evaluate.pictures import write_charts
from fusion_pipeline.metrics.charts import Chart, Series
from fusion_pipeline.train.accuracy import mean_ap, retention
from fusion_pipeline.train.figures import CAMERA, FULL
from fusion_pipeline.train.fusion_export import export, manifest
from fusion_pipeline.train.judge import NAMES, SUBSETS, Judge, Mix
from fusion_pipeline.train.moments import held_out
from fusion_pipeline.train.rides import Ride
from fusion_pipeline.train.stored import restored

WANTED = 0.7


@dataclass(frozen=True, slots=True)
class Point:
    """A checkpoint's mAP at 2 m with each subset of the senses."""

    name: str
    taught: int  # moments
    means: dict[Mix, float]

    @property
    def retention(self) -> float:
        """Mean over the subsets, over all senses."""
        return retention(self.means)


@dataclass(frozen=True, slots=True)
class Trend:
    """mAP of the camera alone as a straight line over the logarithm of the moments taught."""

    at_one: float
    per_doubling: float

    def at(self, taught: float) -> float:
        """mAP after so many moments."""
        return self.at_one + self.per_doubling * float(np.log2(taught))

    def reaches(self, mean: float) -> float:
        """Moments until then; infinite where nothing grows."""
        return float(2 ** ((mean - self.at_one) / self.per_doubling)) if self.per_doubling > 0 else float("inf")


def judged(
    checkpoint: Path, taught: int, moments: Sequence[Ride], advance: Callable[[], None], threads: int = 2
) -> Point:  # fmt: skip
    """Of one checkpoint; `advance` is called after each subset of the senses."""
    net, samples = restored(checkpoint)
    with TemporaryDirectory(prefix="fusion-curve-") as folder:
        path = Path(folder) / "fusion.onnx"
        export(net, path)
        path.with_suffix(".toml").write_text(manifest(path, samples), encoding="utf-8")
        judge = Judge(path, threads)
        means = dict[Mix, float]()
        for mix in SUBSETS:
            means[mix] = mean_ap(moments, [judge(moment, mix) for moment in moments])
            advance()
    return Point(checkpoint.stem, taught, means)


def trend(points: Sequence[Point]) -> Trend:
    """Least squares. Raises ValueError for fewer than two different numbers of moments."""
    if len({point.taught for point in points}) < 2:
        raise ValueError("a curve needs checkpoints after two different numbers of moments")
    slope, start = np.polyfit(np.log2([point.taught for point in points]), [p.means[CAMERA] for p in points], 1)
    return Trend(float(start), float(slope))


def needed(last: Point, wanted: float) -> float:
    """mAP of the camera alone that gives the retention asked for, with all else as in `last`.

    What the camera finds alone it finds with sound as well, so two of the subsets grow with it.
    """
    rest = sum(value for mix, value in last.means.items() if mix[0])
    return (wanted * len(SUBSETS) * last.means[FULL] - rest) / 2


def table(points: Sequence[Point]) -> str:
    """In Markdown."""
    heads = ("moments taught", *("".join(n for n, there in zip(NAMES, mix, strict=True) if there) for mix in SUBSETS),
             "retention")  # fmt: skip
    rows = [
        (str(point.taught), *(f"{point.means[mix]:.1f}" for mix in SUBSETS), f"{point.retention:.3f}")
        for point in points
    ]
    return "\n".join("| " + " | ".join(row) + " |" for row in (heads, ("---",) * len(heads), *rows)) + "\n"


def chart(points: Sequence[Point], line: Trend, goal: float, moments: int) -> Chart:
    """What was measured, and the line through it to where it would be enough."""
    end = min(line.reaches(goal), 8.0 * points[-1].taught)
    along = np.geomspace(points[0].taught, max(end, points[-1].taught), 40)
    thousands = tuple(point.taught / 1000 for point in points)
    return Chart(
        "camera_alone", "mAP at 2 m of the camera alone", "curves", "thousands of moments taught", "mAP",
        (0.0, float(along[-1]) / 1000), (0.0, max(1.2 * goal, 10.0)),
        (Series("measured", tuple(point.means[CAMERA] for point in points), thousands),
         Series(f"{line.per_doubling:.1f} with each doubling", tuple(line.at(x) for x in along), tuple(along / 1000)),
         Series(f"needed for a retention of {WANTED}", (goal, goal), (0.0, float(along[-1]) / 1000))),
        note=f"{moments} held-out moments",
    )  # fmt: skip


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoints", nargs="+", metavar="CHECKPOINT=MOMENTS")
    parser.add_argument("--cache", type=Path, required=True, help="where held-out moments are kept")
    parser.add_argument("--moments", type=int, default=80, help="of them")
    parser.add_argument("--plots", type=Path, help="a folder for the curve as a picture")
    options = parser.parse_args()
    asked = [name.rpartition("=") for name in options.checkpoints]
    for path, _, count in asked:
        if not (count.isdigit() and int(count) and Path(path).is_file()):
            parser.error(f"{path or count} is no checkpoint, or not followed by =MOMENTS")
    if len({int(count) for _, _, count in asked}) < 2:
        parser.error("a curve needs checkpoints after two different numbers of moments")
    moments = held_out(options.cache, options.moments)
    with Progress(console=Console(stderr=True), transient=True) as bar:
        advance = partial(bar.advance, bar.add_task("judging", total=len(asked) * len(SUBSETS)))
        found = [judged(Path(path), int(count), moments, advance) for path, _, count in asked]
    points = sorted(found, key=lambda one: one.taught)
    line, goal = trend(points), needed(points[-1], WANTED)
    sys.stdout.write(table(points))
    enough = line.reaches(goal)
    when = f"which the line reaches after {enough:,.0f} moments" if np.isfinite(enough) else "which it never reaches"
    sys.stdout.write(
        f"\nThe camera alone gains {line.per_doubling:.1f} with each doubling. A retention of {WANTED} needs "
        f"{goal:.1f} of it, {when}.\n"
    )
    if options.plots is not None:
        write_charts(options.plots, [chart(points, line, goal, len(moments))])


if __name__ == "__main__":
    main()
