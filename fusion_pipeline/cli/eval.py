"""`fusion eval`: models on labelled frames, real or simulated; tables, plots, pictures of failures, the model card."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from fusion_pipeline.evaluate.kitti_frames import Folder
    from fusion_pipeline.evaluate.outcome import Outcome
    from fusion_pipeline.evaluate.simulated import Extent

SIMULATED = "simulated"
WORST = 12  # moments or frames that are drawn


def evaluate(
    data: Annotated[
        list[str],
        typer.Argument(
            help='Folders of KITTI data, as downloaded; "simulated"; or figures that --out has written.',
            show_default=False,
        ),
    ],
    model: Annotated[
        list[Path] | None,
        typer.Option(
            "--model",
            help="ONNX file; may be given several times. Default: the shipped; for --card all of them.",
            show_default=False,
        ),
    ] = None,
    frame: Annotated[
        str, typer.Option("--frame", help="Only this KITTI frame, as numbers beside the truth.", show_default=False)
    ] = "",
    frames: Annotated[int, typer.Option("--frames", help="Simulated moments.", min=4)] = 240,
    drives: Annotated[int, typer.Option("--drives", help="Simulated drives to track and to listen to.", min=0)] = 4,
    robust: Annotated[
        int,
        typer.Option("--robust", help="Moments, and KITTI frames, at most, that go through every corruption.", min=0),
    ] = 0,
    cache: Annotated[
        Path | None, typer.Option("--cache", help="Where simulated moments are kept.", show_default=False)
    ] = None,
    pictures: Annotated[
        Path | None, typer.Option("--pictures", help="Draw the worst frames into this folder.", show_default=False)
    ] = None,
    plots: Annotated[
        Path | None, typer.Option("--plots", help="Draw curves and bars into this folder.", show_default=False)
    ] = None,
    out: Annotated[Path | None, typer.Option("--out", help="Write all as JSON there.", show_default=False)] = None,
    card: Annotated[
        Path | None, typer.Option("--card", help="Write the card of the shipped models there.", show_default=False)
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Figures as JSON.")] = False,
    markdown: Annotated[bool, typer.Option("--markdown", help="Figures as Markdown tables.")] = False,
) -> None:
    """Score models on labelled KITTI frames, or on simulated moments that no training has seen.

    KITTI: average precision (40 recalls) of cars, pedestrians and cyclists from above and in space, by level and
    distance, with 95 % intervals and n, beside LiDAR alone and camera alone; whether scores are chances; where the
    camera helps; what is left with one sense and, with --robust, when sensors go wrong (ten kinds at three severities,
    as far as recorded frames allow; what they do not is said). A folder with label_2, calib, velodyne and image_2 will
    do, or a raw drive with its tracklets; what is missing is named.
    Simulated: accuracy of all classes, missing senses, attribution, calibration, sounds, tracks, robustness.
    """
    from rich.console import Console

    from fusion_pipeline.bench import report
    from fusion_pipeline.evaluate import outcome

    if frame:
        _one_frame(data, model or [], frame, markdown)
        return
    asked = _Asked(data, model, card, frames, drives, robust, cache, pictures, plots)
    outcomes: list[Outcome] = []
    for one in asked.outcomes():
        outcomes.append(one)
        if out is not None:  # after each, so that nothing measured is lost
            _write(out, outcome.as_json(outcomes))
    if plots is not None:
        from fusion_pipeline.evaluate.pictures import write_charts

        several = len({one.model for one in outcomes}) > 1
        for one in outcomes:
            write_charts(plots, one.charts, f"{one.model}_" if several else "")
    if card is not None:
        from fusion_pipeline.evaluate.card import card as card_of

        _write(card, card_of(outcomes))
    if json:
        sys.stdout.write(outcome.as_json(outcomes))
        return
    for one in outcomes:
        for title, rows in one.sections.items():
            whole = f"{one.model} on {one.data}: {title}" if title != one.data else f"{one.model} on {one.data}"
            if markdown and rows:
                sys.stdout.write(report.markdown(f"{whole}; {one.about}", rows) + "\n")
            elif rows:
                Console().print(report.table(f"{whole} ({one.about})", rows))
    for place in (folder for folder in (pictures, plots, out, card) if folder is not None):
        typer.echo(f"written: {place}", err=True)


class _Asked:
    """What one call is to do."""

    def __init__(
        self, data: Sequence[str], models: Sequence[Path] | None, card: Path | None, frames: int, drives: int,
        robust: int, cache: Path | None, pictures: Path | None, plots: Path | None,
    ) -> None:  # fmt: skip
        from fusion_pipeline.evaluate.simulated import Extent

        self._data, self._pictures, self._card = data, pictures, card
        self._all_shipped = not models and card is not None
        self._models = list(models or _default_models(all_of_them=card is not None))
        self._extent = Extent(frames, drives, robust)
        self._cache = (
            cache or Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "fusion-pipeline" / "held-out"
        )
        for place in (pictures, plots):
            if place is not None:
                place.mkdir(parents=True, exist_ok=True)  # what cannot be written is said now, not after an hour

    def outcomes(self) -> Iterator[Outcome]:
        """Of each model on each of the data; earlier figures as they are."""
        from fusion_pipeline.detect.network import ModelError
        from fusion_pipeline.evaluate import outcome

        folders = {name: _folder(name) for name in self._data if name != SIMULATED and not name.endswith(".json")}
        earlier = {name: outcome.read(Path(name)) for name in self._data if name.endswith(".json")}
        for name in self._data:
            if name in earlier:
                yield from earlier[name]
                continue
            for path in self._models:
                try:
                    yield self._simulated(path) if name == SIMULATED else self._kitti(path, folders[name])
                except ModelError as error:
                    if not self._all_shipped:
                        raise
                    typer.echo(f"not judged: {path.name} on {name}: {error}", err=True)

    def _drawn(self, model: Path) -> Path:
        """Where the pictures of a model go: a folder of its own where there are several."""
        assert self._pictures is not None
        return self._pictures / model.stem if len(self._models) > 1 else self._pictures

    def _kitti(self, model: Path, folder: Folder) -> Outcome:
        from fusion_pipeline.cli.progress import progress
        from fusion_pipeline.evaluate import kitti
        from fusion_pipeline.evaluate.pictures import worst_kitti, write_failures

        robust = self._extent.robust
        with progress(f"{model.name}, KITTI frames", kitti.steps(model, folder, robust)) as advance:
            found, judged = kitti.evaluated(model, folder, advance, robust)
        if self._pictures is not None:
            write_failures(
                self._drawn(model), ((f"kitti_{one.name}", one.image()) for one in worst_kitti(judged, WORST))
            )
        return found

    def _simulated(self, model: Path) -> Outcome:
        from calibration import rig
        from fusion_pipeline.cli.progress import progress
        from fusion_pipeline.evaluate import simulated
        from fusion_pipeline.evaluate.pictures import write_failures

        extent: Extent = self._extent
        with progress(f"{model.name}, moments", extent.steps) as advance:
            found, seen = simulated.evaluated(model, self._cache, rig("demo"), extent, advance)
        if self._pictures is not None:
            write_failures(self._drawn(model), ((f"simulated_{name}", image) for name, image in seen.worst(WORST)))
        return found


def _default_models(all_of_them: bool) -> list[Path]:
    from fusion_pipeline.manifest import DEFAULT_MODEL

    if not all_of_them:
        return [DEFAULT_MODEL]
    from fusion_pipeline.evaluate.card import shipped
    from fusion_pipeline.operations import DecodeCenter, DecodeYolo

    detectors = [m for m in shipped() if any(isinstance(stage, DecodeCenter | DecodeYolo) for stage in m.stages)]
    return [Path(file.path) for manifest in detectors for file in manifest.files.values()]


def _folder(name: str) -> Folder:
    from fusion_pipeline.evaluate.kitti_frames import find

    folder = find(Path(name))
    for line in folder.missing:
        typer.echo(f"missing: {line}", err=True)
    return folder


def _one_frame(data: Sequence[str], models: Sequence[Path], name: str, markdown: bool) -> None:
    from fusion_pipeline.cli.errors import UserError
    from fusion_pipeline.evaluate import one_frame
    from fusion_pipeline.evaluate.kitti import looked
    from fusion_pipeline.evaluate.kitti_detect import Detector
    from fusion_pipeline.evaluate.kitti_judge import SURE

    if len(data) != 1 or data[0] == SIMULATED or data[0].endswith(".json"):
        raise UserError("--frame looks at one frame of one KITTI folder; name the folder")
    wanted = one_frame.named(_folder(data[0]).frames, name)
    for path in models or _default_models(all_of_them=False):
        detector = Detector(path)
        sys.stdout.write(f"{detector.manifest.name}, KITTI {wanted.name}, score >= {SURE}\n\n")
        sys.stdout.write(one_frame.as_text(looked(detector, wanted), markdown=markdown))


def _write(path: Path, text: str) -> None:
    from fusion_pipeline.output_file import write_whole

    write_whole(path, text)
