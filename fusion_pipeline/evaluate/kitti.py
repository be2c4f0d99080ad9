"""A model judged on a folder of KITTI data."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from fusion_pipeline.evaluate import kitti_robust
from fusion_pipeline.evaluate.kitti_corrupted import KINDS, Corrupted
from fusion_pipeline.evaluate.kitti_detect import ALL, Detector, Senses, senses_of, taken_by
from fusion_pipeline.evaluate.kitti_figures import By, charts, sections
from fusion_pipeline.evaluate.kitti_frames import EvaluationError, Folder, LabelledFrame
from fusion_pipeline.evaluate.kitti_judge import Judged, look
from fusion_pipeline.evaluate.kitti_robust import Corruptions, Kept
from fusion_pipeline.evaluate.outcome import Outcome, outcome
from fusion_pipeline.logs.reader import FormError
from fusion_pipeline.manifest import Manifest
from fusion_pipeline.messages import Detections
from fusion_pipeline.train.corruptions import SEVERITIES

Advance = Callable[[int], None]


def looked(detector: Detector, frame: LabelledFrame) -> Judged:
    """One frame with all senses. Raises EvaluationError where one of its files is damaged."""
    return look(frame, _found(detector, frame))


def evaluated(
    model: Path, folder: Folder, advance: Advance = lambda n: None, robust: int = 0
) -> tuple[Outcome, list[Judged]]:
    """All figures, and what was found with all senses; `robust` frames at most go through every corruption that they
    allow. Raises EvaluationError for a damaged file.
    """
    detector = Detector(model)
    by: By = {}
    for senses in senses_of(detector.manifest):
        found = []
        for frame in folder.frames:
            found.append(look(frame, _found(detector, frame, senses)))
            advance(1)
        by[senses] = found
    about = f"{len(folder.frames)} labelled frames, each alone, without earlier sweeps"
    tables, drawn = sections(by), list(charts(by))
    tables["on the whole"] += tuple(kitti_robust.retention(by))
    if robust:
        under = corrupted(detector, _spread(by[ALL], robust), advance)
        tables["under corruption"] = tuple(kitti_robust.figures(under))
        drawn += kitti_robust.chart(under)
        about += f"; {len(under.clean)} of them under each corruption"
    return outcome(model, "kitti", about, tables, drawn), by[ALL]


def corrupted(detector: Detector, frames: Sequence[Judged], advance: Advance = lambda n: None) -> Corruptions:
    """Each frame under all kinds of corruption that it allows. Raises EvaluationError for a damaged file."""
    under: dict[str, dict[int, tuple[Kept, ...]]] = {}
    left_out: dict[str, dict[str, int]] = {}
    taken = taken_by(detector.manifest)
    for row, item in enumerate(frames):
        with _naming(item.frame):
            wrong = Corrupted(item.frame, taken)
        for kind in KINDS:
            if why := wrong.lacks(kind):
                reasons = left_out.setdefault(kind, {})
                reasons[why] = reasons.get(why, 0) + 1
                advance(len(SEVERITIES))
                continue
            kept = []
            for severity in SEVERITIES:
                with _naming(item.frame):
                    given = wrong(kind, severity)
                    found = detector.looking(given.rig, given.scan, given.picture)
                kept.append(Kept.of(look(item.frame, found)))
                advance(1)
            under.setdefault(kind, {})[row] = tuple(kept)
    return Corruptions(tuple(Kept.of(item) for item in frames), under, left_out)


def steps(model: Path, folder: Folder, robust: int = 0) -> int:
    """How often `evaluated` advances."""
    clean = len(senses_of(Manifest.beside(model))) * len(folder.frames)
    return clean + min(robust, len(folder.frames)) * len(KINDS) * len(SEVERITIES)


def _spread(frames: Sequence[Judged], most: int) -> list[Judged]:
    """At most so many of them, from the first to the last alike."""
    rows = np.linspace(0, len(frames) - 1, min(most, len(frames))).round().astype(int)
    return [frames[row] for row in rows]


def _found(detector: Detector, frame: LabelledFrame, senses: Senses = ALL) -> Detections:
    with _naming(frame):
        return detector(frame, senses)


@contextmanager
def _naming(frame: LabelledFrame) -> Iterator[None]:
    """A damaged file ends as an EvaluationError that names the frame."""
    try:
        yield
    except ValueError as error:
        if type(error) not in (ValueError, FormError):
            raise  # of the model, which says itself what is wrong
        raise EvaluationError(
            f"frame {frame.name}: {error}; download it again, or take it and its label away"
        ) from None
