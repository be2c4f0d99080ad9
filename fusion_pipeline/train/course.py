"""A whole training as `fusion train` runs it: moments rendered, network fitted, exported, judged; all in one folder."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass, replace
from multiprocessing import get_context
from pathlib import Path

from fusion_pipeline.train import rides
from fusion_pipeline.train.curriculum import FROM_NOTHING, FURTHER, Stage

RIDE_MB = 0.52
FIRST_SEED = 2_000_000
JUDGED = 24  # moments after each stage
PICTURES = 4  # times as many of them in a batch as of moments
_CHUNK = 20


@dataclass(frozen=True, slots=True)
class Course:
    """What is to be done; written as config.json into the folder of the run."""

    hours: float = 1.0
    rides: int = 6000
    cache_gb: float = 4.0  # of moments on disk; fewer are rendered where that many do not fit
    workers: int = 2  # processes that render
    threads: int = 2  # of the training
    batch: int = 4
    rate: float = 1.5e-3
    start: str = ""  # checkpoint or stored weights to begin with
    size: str = "base"  # of fusion.SIZES
    half: bool = False  # bfloat16

    @property
    def affordable(self) -> int:
        """How many moments the cache may hold."""
        return min(self.rides, int(self.cache_gb * 1000 / RIDE_MB))


class CourseError(ValueError):
    """A run that cannot go on; the message says why and what to do."""


def opened(run: Path, course: Course) -> Course:
    """The course of a run: of a new one the given, of one that is there its own. Raises CourseError if they differ."""
    path = run / "config.json"
    if not path.exists():
        run.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(asdict(course), indent=1) + "\n", encoding="utf-8")
        return course
    known = Course(**json.loads(path.read_text(encoding="utf-8")))
    if known != course:
        changed = [name for name, value in asdict(course).items() if getattr(known, name) != value]
        raise CourseError(
            f"{run} was begun with another {', '.join(changed)}; go on with the same options, or name a new folder"
        )
    return known


def rendered(folder: Path, course: Course) -> Iterator[int]:
    """Render what is missing in parallel processes; yields how many moments are done."""
    missing = [
        seed for seed in range(FIRST_SEED, FIRST_SEED + course.affordable)
        if not (folder / f"{seed:07d}.npz").exists()
    ]  # fmt: skip
    yield course.affordable - len(missing)
    if not missing:
        return
    chunks = [missing[k : k + _CHUNK] for k in range(0, len(missing), _CHUNK)]
    with ProcessPoolExecutor(course.workers, get_context("spawn")) as pool:
        for done in as_completed([pool.submit(_render, folder, chunk) for chunk in chunks]):
            yield done.result()


def _render(folder: Path, seeds: list[int]) -> int:
    for seed in seeds:
        rides.fill(folder, seed, 1, 1)
    return len(seeds)


def stages_of(course: Course) -> tuple[Stage, ...]:
    """What is to be done one after the other."""
    return FURTHER if course.start else FROM_NOTHING


def trained(
    folder: Path, run: Path, course: Course, stage: Stage, number: int, said: Callable[[float, str], None]
) -> Path:
    """Fit for what is left of a stage's time, from the stage before or from the course's start; the checkpoint."""
    import torch

    from fusion_pipeline.train import camera_fit, fusion_fit
    from fusion_pipeline.train.fusion_fit import Manner
    from fusion_pipeline.train.loop import Schedule

    own = run / f"{number}-{stage.name}"
    last = own / "last.pt"
    before = sorted(run.glob(f"{number - 1}-*/last.pt")) if number > 1 else []
    start = before[0] if before else Path(course.start) if course.start else None
    spent = float(torch.load(last)["spent"]) if last.exists() else 0.0
    left = course.hours * 3600 * stage.share - spent
    if left > 1:
        manner = Manner(course.threads, stage.kept, stage.shares, stage.slow, course.size, course.half,
                        around=course.size == "base")  # fmt: skip  # nano looks ahead alone
        schedule = Schedule(left, course.batch, course.rate * stage.rate)
        if stage.pictures:
            camera_fit.fit(folder, own, replace(schedule, batch=PICTURES * course.batch), start, manner, said)
        else:
            fusion_fit.fit(folder, own, schedule, None, start, manner, said)
    return last


def judged(run: Path, stage: Stage, checkpoint: Path, advance: Callable[[int], None]) -> str:
    """A line of figures on a few held-out moments after a stage, kept in RUN/stages.csv too."""
    from fusion_pipeline.train.accuracy import car_ap, mean_ap
    from fusion_pipeline.train.fusion_export import export, manifest
    from fusion_pipeline.train.judge import Judge
    from fusion_pipeline.train.moments import held_out
    from fusion_pipeline.train.stored import restored

    network, samples = restored(checkpoint)
    path = checkpoint.with_name("fusion.onnx")
    export(network, path)
    path.with_suffix(".toml").write_text(manifest(path, samples), encoding="utf-8")
    judge, moments = Judge(path), held_out(run / "held-out", JUDGED, advance)
    values = []
    for mix in ((1, 1, 1), (1, 0, 0), (0, 1, 0)):
        found = [judge(moment, mix) for moment in moments]
        values += [car_ap(moments, found), mean_ap(moments, found)]
    table = run / "stages.csv"
    if not table.exists():
        heads = [f"{senses} {what}" for senses in ("LCA", "L", "C") for what in ("car BEV AP@0.7", "mAP at 2 m")]
        table.write_text("stage,samples," + ",".join(heads) + "\n", encoding="utf-8")
    with table.open("a", encoding="utf-8") as file:
        file.write(f"{stage.name},{samples}," + ",".join(f"{value:.1f}" for value in values) + "\n")
    cars, means = values[::2], values[1::2]
    return f"{stage.name}, {samples} moments: " + "; ".join(
        f"{senses} cars {car:.1f}, mAP {mean:.1f}"
        for senses, car, mean in zip(("LCA", "L", "C"), cars, means, strict=True)
    )


def curves(run: Path) -> Path:
    """RUN/curve.png of the curve.csv in a stage's folder: each loss over the samples seen, smoothed."""
    import matplotlib

    matplotlib.use("Agg")
    import numpy as np
    from matplotlib import pyplot

    from fusion_pipeline.train.fusion_fit import TERMS

    rows = np.loadtxt(run / "curve.csv", delimiter=",", ndmin=2)
    figure, axes = pyplot.subplots(1, len(TERMS), figsize=(3 * len(TERMS), 2.6))
    for axis, name, values in zip(axes, TERMS, rows[:, 3:].T, strict=True):
        window = max(1, len(values) // 40)
        smooth = np.convolve(values, np.full(window, 1 / window), mode="valid")
        axis.plot(rows[:, 1], values, linewidth=0.4, alpha=0.4)
        axis.plot(rows[window - 1 :, 1], smooth, linewidth=1.2)
        axis.set_title(name)
        axis.set_xlabel("samples")
    figure.tight_layout()
    figure.savefig(run / "curve.png", dpi=110)
    pyplot.close(figure)
    return run / "curve.png"
