"""`fusion eval`: a model on labelled frames, real or simulated."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from fusion_pipeline.train.judge import Found
    from fusion_pipeline.train.rides import Ride

SIMULATED = "simulated"
WORST = 12  # moments that are drawn


def evaluate(
    data: Annotated[
        str,
        typer.Argument(
            help='Folder with kitti_raw/ and kitti_object/, as downloaded; or "simulated".', show_default=False
        ),
    ],
    model: Annotated[
        Path | None, typer.Option("--model", help="ONNX file; default: the shipped.", show_default=False)
    ] = None,
    frames: Annotated[int, typer.Option("--frames", help="Simulated moments.", min=4)] = 240,
    drives: Annotated[int, typer.Option("--drives", help="Simulated drives to track and to listen to.", min=0)] = 4,
    robust: Annotated[int, typer.Option("--robust", help="Moments that go through every corruption.", min=0)] = 0,
    cache: Annotated[
        Path | None, typer.Option("--cache", help="Where simulated moments are kept.", show_default=False)
    ] = None,
    pictures: Annotated[
        Path | None,
        typer.Option("--pictures", help="Draw the worst simulated moments into this folder.", show_default=False),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Figures as JSON.")] = False,
    markdown: Annotated[bool, typer.Option("--markdown", help="Figures as a Markdown table.")] = False,
) -> None:
    """Score a model on labelled KITTI frames, or on simulated moments that no training has seen.

    KITTI: average precision of cars (moderate, 40 recall positions) with 95 % intervals, and recall within 40 m in
    drive 0052. Simulated: accuracy of all classes, missing senses, attribution, calibration, sounds, robustness.
    """
    from rich.console import Console

    from fusion_pipeline.bench import report
    from fusion_pipeline.cli.errors import UserError
    from fusion_pipeline.manifest import DEFAULT_MODEL

    path = model or DEFAULT_MODEL
    if data == SIMULATED:
        from calibration import rig
        from fusion_pipeline.cli.progress import progress
        from fusion_pipeline.train import figures as simulated

        kept = cache or Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "fusion-pipeline" / "held-out"

        def looked(rides: Sequence[Ride], found: Sequence[Found]) -> None:
            if pictures is not None:
                _draw(pictures, rides, found)

        with progress("moments", simulated.count_of(frames, drives, robust)) as advance:
            rows = simulated.figures(path, kept, frames, rig("demo"), drives, min(robust, frames), advance, 2, looked)
        measured = {f"{path.name} on {frames} held-out simulated moments": rows}
    else:
        from fusion_pipeline.bench.recordings import figures

        if not Path(data).is_dir():
            raise UserError(
                f'{data} is no folder; name the one that holds kitti_raw/ and kitti_object/, or "simulated"'
            )
        with Console(stderr=True).status("judging"):
            measured = {f"{path.name} on labelled KITTI frames": figures(path, Path(data))}
    if json:
        sys.stdout.write(report.as_json(measured))
    elif markdown:
        sys.stdout.write("\n".join(report.markdown(title, rows) for title, rows in measured.items()))
    else:
        for title, rows in measured.items():
            Console().print(report.table(title, rows))


def _draw(folder: Path, rides: Sequence[Ride], found: Sequence[Found]) -> None:
    """The worst moments as pictures: boxes found, and thin white outlines of what could be seen."""
    import cv2

    from fusion_pipeline.dashboard.picture import draw
    from fusion_pipeline.train.failures import worst

    folder.mkdir(parents=True, exist_ok=True)
    for place, item in enumerate(worst(rides, found, WORST), 1):
        picture = draw(item.ride.picture(), item.ride.xyz_m, item.found, item.camera, item.truth)
        name = f"{place:02d}_moment_{item.number}_{item.said.replace(', ', '_').replace(' ', '_')}.png"
        if not cv2.imwrite(str(folder / name), picture):
            raise OSError(f"cannot write {folder / name}")
