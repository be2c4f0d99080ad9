"""`fusion eval`: a model on labelled frames."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer


def evaluate(
    data: Annotated[
        Path, typer.Argument(help="Folder with kitti_raw/ and kitti_object/, as downloaded.", show_default=False)
    ],
    model: Annotated[
        Path | None, typer.Option("--model", help="ONNX file; default: the shipped.", show_default=False)
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Figures as JSON.")] = False,
) -> None:
    """Score a model on labelled KITTI frames.

    Average precision of cars (moderate, 40 recall positions) with 95 % intervals, and recall within 40 m in drive 0052.
    """
    from rich.console import Console

    from fusion_pipeline.bench import report
    from fusion_pipeline.bench.recordings import figures
    from fusion_pipeline.cli.errors import UserError
    from fusion_pipeline.manifest import SHIPPED

    path = model or SHIPPED / "lidar_bev.onnx"
    if not data.is_dir():
        raise UserError(f"{data} is no folder; name the one that holds kitti_raw/ and kitti_object/")
    with Console(stderr=True).status("judging"):
        measured = {f"{path.name} on labelled KITTI frames": figures(path, data)}
    if json:
        sys.stdout.write(report.as_json(measured))
    else:
        for title, rows in measured.items():
            Console().print(report.table(title, rows))
