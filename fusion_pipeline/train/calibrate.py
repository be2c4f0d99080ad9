"""A trained fusion network to a calibrated ONNX file.

python -m fusion_pipeline.train.calibrate RUN/last.pt fusion_pipeline/models/fusion_base.onnx FOLDER [WEIGHTS.npz]

Scores and sigmas are fitted on simulated moments in FOLDER that neither training nor judgement uses. With WEIGHTS.npz
weights and calibration are kept there too, for later trainings and `fusion adapt`.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from fusion_pipeline.metrics.calibration import sigma_factors, temperature
from fusion_pipeline.train.accuracy import judged_scores
from fusion_pipeline.train.fusion import FusionNet
from fusion_pipeline.train.fusion_export import Calibration, Form, export, manifest, parity
from fusion_pipeline.train.judge import Judge, Mix
from fusion_pipeline.train.moments import Progress, kept
from fusion_pipeline.train.rides import Ride
from fusion_pipeline.train.stored import restored, store

FIRST_SEED, COUNT = 2_980_000, 160
AHEAD = Form()
MIXES: tuple[Mix, ...] = ((1, 1, 1), (1, 1, 0), (1, 0, 0))
BLIND: tuple[Mix, ...] = ((0, 1, 0), (0, 1, 1))  # without a LiDAR errors are others, and so is what a score means
LEAST = 50  # errors that sigmas are made of; with fewer they stay those with a LiDAR


def moments(
    folder: Path, count: int = COUNT, advance: Progress = lambda n: None, around: bool = False
) -> list[Ride]:  # fmt: skip
    """Rides for calibration alone; see `moments.kept`."""
    return list(kept(folder, FIRST_SEED, count, advance, around))


def calibrated(net: FusionNet, path: Path, rides: Sequence[Ride], form: Form = AHEAD) -> Calibration:
    """Export, judge, fit, and export again: the calibration that is now in `path`."""
    export(net, path, form=form)
    path.with_suffix(".toml").write_text(manifest(path, 0, form=form), encoding="utf-8")
    judge = Judge(path)
    with_lidar = _fitted(judge, rides, MIXES, Calibration())
    blind = _fitted(judge, rides, BLIND, with_lidar)
    # Most things stand, so that a speed of nothing is mostly right; but it is not known, and must not look so.
    found = replace(with_lidar, blind=replace(blind, sigmas=(*blind.sigmas[:-1], 1.0)))
    export(net, path, found, form)
    return found


def _fitted(judge: Judge, rides: Sequence[Ride], mixes: Sequence[Mix], otherwise: Calibration) -> Calibration:
    judged = [judged_scores(rides, [judge(ride, mix) for ride in rides]) for mix in mixes]
    scores, right, errors, sigmas = (np.concatenate(parts) for parts in zip(*judged, strict=True))
    if len(errors) < LEAST:
        return otherwise
    slope, shift = temperature(scores, right)
    return Calibration(slope, shift, tuple(float(f) for f in sigma_factors(errors, sigmas)))


def calibration_of(weights: Path) -> Calibration:
    """The calibration kept beside stored weights, as NAME.json; where there is none, none."""
    path = weights.with_suffix(".json")
    if not path.is_file():
        return Calibration()
    table = json.loads(path.read_text(encoding="utf-8"))
    return _from(table)


def _from(table: dict[str, Any]) -> Calibration:
    blind = table.get("blind")
    return Calibration(table["slope"], table["shift"], tuple(table["sigmas"]), _from(blind) if blind else None)


def keep(found: Calibration, weights: Path) -> None:
    """Write the calibration beside stored weights."""
    weights.with_suffix(".json").write_text(json.dumps(asdict(found)) + "\n", encoding="utf-8")


def main() -> None:
    """The command line: checkpoint, ONNX file, folder of rides."""
    net, samples = restored(Path(sys.argv[1]))
    path = Path(sys.argv[2])
    found = calibrated(net, path, moments(Path(sys.argv[3])))
    path.with_suffix(".toml").write_text(manifest(path, samples), encoding="utf-8")
    gap = parity(net, path, found)
    if len(sys.argv) > 4:
        store(net, Path(sys.argv[4]), samples)
        keep(found, Path(sys.argv[4]))
    sys.stdout.write(f"{path.name}: {samples} samples, {found}, ONNX against torch {gap:.1e}\n")


if __name__ == "__main__":
    main()
