"""A whole training as `fusion train` runs it: moments rendered, network fitted, exported, judged; all in one folder."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from multiprocessing import get_context
from pathlib import Path

from fusion_pipeline.train import rides

RIDE_MB = 0.52
FIRST_SEED = 2_000_000
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


def trained(folder: Path, run: Path, course: Course, said: Callable[[float, str], None]) -> Path:
    """Fit for what is left of the course's hours; the checkpoint."""
    import torch

    from fusion_pipeline.train.fit import Schedule
    from fusion_pipeline.train.fusion_fit import fit

    last = run / "last.pt"
    spent = float(torch.load(last)["spent"]) if last.exists() else 0.0
    left = course.hours * 3600 - spent
    if left > 1:
        start = Path(course.start) if course.start else None
        fit(folder, run, Schedule(left, course.batch, course.rate), None, course.threads, start, said=said)
    return last


def curves(run: Path) -> Path:
    """RUN/curve.png of RUN/curve.csv: each loss over the samples seen, smoothed."""
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
