"""`fusion log images` and `fusion log video`: a camera's pictures, with boxes drawn in."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fusion_pipeline.cli.errors import UserError
from fusion_pipeline.cli.progress import progress

if TYPE_CHECKING:
    from fusion_pipeline.arrays import Bytes
    from fusion_pipeline.dashboard.overlay import BoxesByTime
    from fusion_pipeline.logs.reader import Log
    from fusion_pipeline.messages import CameraFrame

Source = Annotated[Path, typer.Argument(help="Any log.", show_default=False)]
Camera = Annotated[str, typer.Option("--topic", help="The camera; by default the first.", show_default=False)]
Boxes = Annotated[
    str,
    typer.Option(
        "--boxes",
        help="What to draw: a sets.jsonl, or a topic of the log such as tracks, or labels, or none. "
        "By default its tracks, detections, truth or labels, the first that is there.",
        show_default=False,
    ),
]
Start = Annotated[float, typer.Option("--start", help="Seconds after the log's first message.")]
End = Annotated[float, typer.Option("--end", help="Seconds after the log's first message.")]
SUFFIXES = (".png", ".jpg")


def images(
    path: Source,
    out: Annotated[Path, typer.Argument(help="The folder to write to; made if it is not there.", show_default=False)],
    topic: Camera = "",
    boxes: Boxes = "",
    every: Annotated[int, typer.Option("--every", help="One of so many pictures.", min=1)] = 1,
    start: Start = 0.0,
    end: End = float("inf"),
    form: Annotated[str, typer.Option("--as", help="png or jpg.")] = "png",
) -> None:
    """Write pictures named after their capture time, with a bar below that says when they were taken."""
    import cv2

    from fusion_pipeline.output_file import write_whole

    if f".{form}" not in SUFFIXES:
        raise UserError(f"--as {form} is unknown; write png or jpg")
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"cannot make the folder {out}: {error.strerror}; choose another place") from None
    count = 0
    opened = _opened(path, topic, boxes, start, end)
    with progress("pictures") as advance:
        for frame, picture in _drawn(*opened, every):
            file = out / f"{frame.header.capture_ns}.{form}"
            write_whole(file, cv2.imencode(file.suffix, picture)[1].tobytes())
            count += 1
            advance(1)
    typer.echo(f"{out}: {count} pictures")


def video(
    path: Source,
    out: Annotated[Path, typer.Argument(help="The .mp4 file to write; replaced if it is there.", show_default=False)],
    topic: Camera = "",
    boxes: Boxes = "",
    start: Start = 0.0,
    end: End = float("inf"),
    fps: Annotated[float, typer.Option("--fps", help="0: the camera's own rate.", min=0)] = 0.0,
) -> None:
    """Write a film of a camera, at the rate at which it was recorded."""
    from fusion_pipeline.dashboard.overlay import Film
    from fusion_pipeline.output_file import whole_file

    if out.suffix != ".mp4":
        raise UserError(f"{out} should end in .mp4")
    log, name, found, low, high = _opened(path, topic, boxes, start, end)
    rate = fps or _rate_hz(log, name)
    with whole_file(out) as file, progress("pictures") as advance:
        try:
            with Film(file.path, rate) as film:
                for _, picture in _drawn(log, name, found, low, high, 1):
                    film.write(picture)
                    advance(1)
        finally:
            file.holds = f"{film.count} pictures" if film.count and film.is_whole() else ""
        if not film.count:
            raise UserError(f"{path} has no picture of {name} in that time")
        if not file.holds:
            raise UserError(f"cannot write {out}: not every picture could be read again; is the disk full?")
    typer.echo(f"{out}: {film.count} pictures at {rate:.2f} Hz")
    if not film.plays_anywhere:
        typer.echo("written as MPEG-4 Part 2, which browsers do not show; H.264 needs the extra logs", err=True)


def _opened(path: Path, topic: str, boxes: str, start: float, end: float) -> tuple[Log, str, BoxesByTime, int, int]:
    """The log, the camera, its boxes and the time."""
    from fusion_pipeline.clock import LAST_NS, SECOND_NS
    from fusion_pipeline.dashboard.overlay import BoxesByTime
    from fusion_pipeline.logs.reader import LogError, open_log
    from fusion_pipeline.logs.result_lines import read_results

    if not start < end:
        raise UserError(f"--start {start:g} is not before --end {end:g}")
    log = open_log(path)
    cameras = [name for name in log.topics if name.startswith("camera/")]
    name = topic or next(iter(cameras), "")
    if name not in cameras:
        raise UserError(f"{path} has no camera {topic!r}; it has {', '.join(cameras) or 'none'}")
    file = Path(boxes)
    if boxes == "none":
        found = BoxesByTime(())
    elif file.suffix == ".jsonl":
        found = BoxesByTime(read_results(file))
    else:
        found = BoxesByTime(read_results(path, boxes))
    if len(found) and name not in log.rig.cameras:
        raise LogError(f"the rig of {path} has no {name}; boxes cannot be drawn: write --boxes none")
    low = log.start_ns + round(start * SECOND_NS)
    return log, name, found, low, LAST_NS if end == float("inf") else log.start_ns + round(end * SECOND_NS)


def _drawn(
    log: Log, name: str, found: BoxesByTime, low: int, high: int, every: int
) -> Iterator[tuple[CameraFrame, Bytes]]:
    from fusion_pipeline.dashboard.overlay import drawn
    from fusion_pipeline.logs.picture_codec import raw_picture
    from fusion_pipeline.messages import CameraFrame

    frames = (m for m in log.messages(low, high, (name,)) if isinstance(m, CameraFrame))
    chosen = (frame for number, frame in enumerate(frames) if number % every == 0)
    return drawn(chosen, raw_picture, found, dict(log.rig.cameras), log.start_ns)


def _rate_hz(log: Log, name: str) -> float:
    """Of the camera's first pictures."""
    from itertools import islice

    import numpy as np

    stamps = [m.header.capture_ns for m in islice(log.messages(topics=(name,)), 30)]
    period = float(np.median(np.diff(np.sort(stamps)))) if len(stamps) > 1 else 1e8
    return min(max(1e9 / max(period, 1.0), 1.0), 120.0)
