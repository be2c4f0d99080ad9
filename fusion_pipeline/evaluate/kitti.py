"""A model judged on a folder of KITTI data."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from fusion_pipeline.evaluate.kitti_detect import ALL, Detector, Senses, senses_of
from fusion_pipeline.evaluate.kitti_figures import By, charts, sections
from fusion_pipeline.evaluate.kitti_frames import EvaluationError, Folder, LabelledFrame
from fusion_pipeline.evaluate.kitti_judge import Judged, look
from fusion_pipeline.evaluate.outcome import Outcome, outcome
from fusion_pipeline.logs.reader import FormError
from fusion_pipeline.manifest import Manifest
from fusion_pipeline.messages import Detections

Advance = Callable[[int], None]


def looked(detector: Detector, frame: LabelledFrame) -> Judged:
    """One frame with all senses. Raises EvaluationError where one of its files is damaged."""
    return look(frame, _found(detector, frame))


def evaluated(model: Path, folder: Folder, advance: Advance = lambda n: None) -> tuple[Outcome, list[Judged]]:
    """All figures, and what was found with all senses. Raises EvaluationError for a damaged file."""
    detector = Detector(model)
    by: By = {}
    for senses in senses_of(detector.manifest):
        found = []
        for frame in folder.frames:
            found.append(look(frame, _found(detector, frame, senses)))
            advance(1)
        by[senses] = found
    about = f"{len(folder.frames)} labelled frames, each alone, without earlier sweeps"
    return outcome(model, "kitti", about, sections(by), charts(by)), by[ALL]


def steps(model: Path, folder: Folder) -> int:
    """How often `evaluated` advances."""
    return len(senses_of(Manifest.beside(model))) * len(folder.frames)


def _found(detector: Detector, frame: LabelledFrame, senses: Senses = ALL) -> Detections:
    try:
        return detector(frame, senses)
    except ValueError as error:
        if type(error) not in (ValueError, FormError):
            raise  # of the model, which says itself what is wrong
        raise EvaluationError(
            f"frame {frame.name}: {error}; download it again, or take it and its label away"
        ) from None
