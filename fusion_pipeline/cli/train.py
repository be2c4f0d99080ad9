"""`fusion train` and `fusion export`: a fusion network from simulated moments to a calibrated ONNX file."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from fusion_pipeline.messages import Message


def train(
    run: Annotated[Path, typer.Argument(help="Folder of the run; one that is there goes on.", show_default=False)],
    hours: Annotated[float, typer.Option("--hours", help="Time of the fitting.", min=0.001)] = 1.0,
    rides: Annotated[int, typer.Option("--rides", help="Simulated moments to learn from.", min=8)] = 6000,
    cache: Annotated[
        Path | None, typer.Option("--cache", help="Where moments are kept; default: RUN/rides.", show_default=False)
    ] = None,
    cache_gb: Annotated[float, typer.Option("--cache-gb", help="Most that they may take.", min=0.01)] = 4.0,
    workers: Annotated[int, typer.Option("--workers", help="Processes that render.", min=1)] = 2,
    threads: Annotated[int, typer.Option("--threads", help="Threads of the fitting.", min=1)] = 2,
    batch: Annotated[int, typer.Option("--batch", help="Moments in a step.", min=1)] = 4,
    rate: Annotated[float, typer.Option("--rate", help="Highest learning rate.", min=1e-6)] = 1.5e-3,
    start: Annotated[
        Path | None,
        typer.Option("--from", help="Checkpoint or weights to begin with; default: the shipped.", show_default=False),
    ] = None,
    scratch: Annotated[bool, typer.Option("--scratch", help="Begin with nothing learnt.")] = False,
    size: Annotated[str, typer.Option("--size", help="base or nano; nano begins with base's best channels.")] = "base",
    half: Annotated[
        bool | None,
        typer.Option("--bf16/--fp32", help="Default: bfloat16 where the CPU has units for it.", show_default=False),
    ] = None,
) -> None:
    """Train the fusion network on simulated moments, export it calibrated, and judge it.

    Everything lands in RUN: config.json, a folder for each stage with curve.csv, curve.png and last.pt (written every
    minute; the same command goes on from there), stages.csv, fusion.onnx with its manifest, figures.json. Needs the
    [train] extra.
    """
    from rich.console import Console

    from calibration import rig
    from fusion_pipeline.bench import report
    from fusion_pipeline.cli.errors import UserError
    from fusion_pipeline.cli.progress import progress
    from fusion_pipeline.train import calibrate, course, figures
    from fusion_pipeline.train.fusion import SIZES
    from fusion_pipeline.train.fusion_export import manifest
    from fusion_pipeline.train.stored import has_bf16, restored
    from fusion_pipeline.train.weights import SHIPPED_WEIGHTS

    begin = start or SHIPPED_WEIGHTS
    if start is not None and not start.is_file():
        raise UserError(f"{start} does not exist; name a last.pt or an .npz of weights")
    if size not in SIZES:
        raise UserError(f"--size {size} is unknown; known: {', '.join(SIZES)}")
    short = has_bf16() if half is None else half
    plan = course.opened(
        run,
        course.Course(
            hours, rides, cache_gb, workers, threads, batch, rate, "" if scratch else str(begin), size, short
        ),
    )
    folder = cache or run / "rides"
    with progress("moments rendered", plan.affordable) as advance:
        for done in course.rendered(folder, plan):
            advance(done)
    for number, stage in enumerate(course.stages_of(plan), 1):
        with progress(f"{stage.name}, % of the time", 100) as advance:
            shown = 0

            def said(share: float, text: str) -> None:
                nonlocal shown
                advance(int(100 * share) - shown, text)
                shown = int(100 * share)

            checkpoint = course.trained(folder, run, plan, stage, number, said)
        course.curves(checkpoint.parent)
        if not checkpoint.with_name("fusion.onnx").exists():
            with progress("judging the stage", course.JUDGED) as advance:
                line = course.judged(run, stage, checkpoint, advance)
            Console().print(line)
    network, samples = restored(checkpoint)
    path = run / "fusion.onnx"
    with progress("calibrating", calibrate.COUNT) as advance:
        calibrate.calibrated(network, path, calibrate.moments(run / "calibration", advance=advance))
    path.with_suffix(".toml").write_text(manifest(path, samples), encoding="utf-8")
    with progress("judging", figures.count_of(60, 1, 0)) as advance:
        rows = figures.figures(path, run / "held-out", 60, rig("demo"), 1, advance=advance)
    title = f"{path.name} after {samples} moments, on 60 held-out ones"
    (run / "figures.json").write_text(report.as_json({title: rows}), encoding="utf-8")
    Console().print(report.table(title, rows))
    Console().print(f"written: {path}; try it: fusion demo, with --set detector.model={path}")


def export(
    checkpoint: Annotated[Path, typer.Argument(help="last.pt of a run, or .npz of weights.", show_default=False)],
    out: Annotated[Path, typer.Argument(help="The .onnx file; its manifest lies beside it.", show_default=False)],
    rides: Annotated[
        Path | None, typer.Option("--calibrate", help="Folder of moments to calibrate on.", show_default=False)
    ] = None,
    all_round: Annotated[bool, typer.Option("--all-round", help="Look 51.2 m to every side, not only ahead.")] = False,
    cameras: Annotated[int, typer.Option("--cameras", help="The rig's first so many.", min=1, max=8)] = 1,
    int8: Annotated[
        Path | None,
        typer.Option("--int8", help="Also write 8-bit for the CPU; ranges from this folder.", show_default=False),
    ] = None,
) -> None:
    """Write a trained network as ONNX with its manifest, and say how far it is from the original.

    With --calibrate scores become chances and sigmas errors, on simulated moments rendered into that folder; without it
    a calibration that is kept beside .npz weights is used. With --int8 a second file, OUT_int8.onnx, computes in whole
    numbers of 8 bits, a quarter faster on a CPU; judge it with `fusion eval` as the other.
    """
    from fusion_pipeline.cli.errors import UserError
    from fusion_pipeline.cli.progress import progress
    from fusion_pipeline.encode.grid import ALL_ROUND, FRONT
    from fusion_pipeline.manifest import WHOLE
    from fusion_pipeline.train import calibrate
    from fusion_pipeline.train import quantize as quantizing
    from fusion_pipeline.train.fusion_export import Form, manifest, parity
    from fusion_pipeline.train.fusion_export import export as write
    from fusion_pipeline.train.stored import restored

    if not checkpoint.is_file():
        raise UserError(f"{checkpoint} does not exist; name the last.pt of a run of `fusion train`")
    if (int8 or rides) is not None and cameras != (4 if all_round else 1):
        raise UserError("--calibrate and --int8 take moments of one camera ahead, or with --all-round of --cameras 4")
    network, samples = restored(checkpoint)
    form, found = Form(ALL_ROUND if all_round else FRONT, cameras), calibrate.calibration_of(checkpoint)
    name = "fusion-" + ("surround" if all_round else network.size.name)
    with TemporaryDirectory(prefix="fusion-export-") as folder:
        made = Path(folder) / out.name
        if rides is not None:
            with progress("calibrating", calibrate.COUNT) as advance:
                moments = calibrate.moments(rides, calibrate.COUNT, advance, all_round)
            found = calibrate.calibrated(network, made, moments, form)
        write(network, made, found, form)
        text = manifest(made, samples, name, form)
        made.with_suffix(".toml").write_text(text, encoding="utf-8")
        difference = parity(network, made, found, form)
        _publish(made, out, text)
        typer.echo(f"{out}: {samples} moments, ONNX against torch {difference:.1e}")
        if int8 is not None:
            small = made.with_stem(made.stem + WHOLE)
            with progress("moments rendered", quantizing.MOMENTS) as advance:
                moments = calibrate.moments(int8, quantizing.MOMENTS, advance, all_round)
            quantizing.quantize(made, small, moments)
            share = small.stat().st_size / made.stat().st_size
            _publish(small, out.with_name(small.name), manifest(small, samples, f"{name}-int8", form, whole=True))
            typer.echo(f"{out.with_name(small.name)}: 8-bit, {share:.0%} of the size")


def _publish(made: Path, out: Path, text: str) -> None:
    """Put a network and its manifest, which are whole, where they were asked for. Raises OSError."""
    from fusion_pipeline.output_file import write_whole

    write_whole(out, made.read_bytes())
    write_whole(out.with_suffix(".toml"), text)


def adapt(
    log: Annotated[Path, typer.Argument(help="A log of your sensors; no labels needed.", show_default=False)],
    out: Annotated[Path, typer.Argument(help="The adapted .onnx file.", show_default=False)],
    weights: Annotated[
        Path | None,
        typer.Option("--weights", help="last.pt or .npz to adapt; default: the shipped.", show_default=False),
    ] = None,
    every: Annotated[int, typer.Option("--every", help="Take every n-th scan and picture.", min=1)] = 2,
    share: Annotated[float, typer.Option("--share", help="Of the log's statistics.", min=0.0, max=1.0)] = 0.5,
    self_train: Annotated[
        float, typer.Option("--self-train", help="Minutes to learn from its own tracks as well.", min=0.0)
    ] = 0.0,
    force: Annotated[
        bool, typer.Option("--force", help="Write also where the log shows too few scenes, or the network got worse.")
    ] = False,
) -> None:
    """Make the network at home with your sensors, from a log without labels.

    Only the statistics that its normalisations divide by are measured anew; no weight changes. With --self-train the
    LiDAR's part also learns from what was tracked surely in the log. A log of a standing vehicle is refused. Scans are
    held back, on which the network before and after is compared without labels; where it got worse nothing is written,
    and the exit code is 4. Needs the [train] extra.
    """
    from fusion_pipeline.cli.errors import IncompleteError, UserError
    from fusion_pipeline.cli.progress import progress
    from fusion_pipeline.logs import open_log
    from fusion_pipeline.train import adapt as adapting
    from fusion_pipeline.train import selftrain
    from fusion_pipeline.train.calibrate import calibration_of, keep
    from fusion_pipeline.train.fusion_export import export as write
    from fusion_pipeline.train.fusion_export import manifest
    from fusion_pipeline.train.held_back import compared
    from fusion_pipeline.train.stored import restored, store
    from fusion_pipeline.train.weights import SHIPPED_WEIGHTS

    source = weights or SHIPPED_WEIGHTS
    if not source.is_file():
        raise UserError(f"{source} does not exist; name the last.pt of a run of `fusion train`")
    network, samples = restored(source)
    opened, found = open_log(log), calibration_of(source)
    with progress("messages read") as advance:

        def read() -> Iterator[Message]:
            for message in opened:
                advance()
                yield message

        try:
            given = adapting.samples_of(opened.rig, read(), every, force)
        except ValueError as error:
            raise UserError(f"{log}: {error}") from error
    with TemporaryDirectory(prefix="fusion-adapt-") as name:
        folder = Path(name)
        made, before = folder / out.name, folder / "before" / out.name
        write(network, before, found)
        before.with_suffix(".toml").write_text(manifest(before, samples, "fusion-original"), encoding="utf-8")
        measured = adapting.adapt(network, opened.rig, given, share)
        if self_train:
            store(network, folder / "begin.npz", samples)
            keep(found, folder / "begin.npz")
            write(network, made, found)
            made.with_suffix(".toml").write_text(manifest(made, samples, "fusion-adapted"), encoding="utf-8")
            try:
                with progress("sets looked at") as advance:
                    lessons = selftrain.lessons_of(opened.sets, opened.rig, made, folder / "rides", every, advance)
            except ValueError as error:
                raise UserError(f"{log}: {error}") from error
            typer.echo(f"{lessons.boxes} boxes of {lessons.tracks} tracks in {lessons.scans} scans; learning from them")
            network, _ = restored(selftrain.taught(folder / "begin.npz", folder / "rides", folder / "run", self_train))
        write(network, made, found)
        text = manifest(made, samples, "fusion-adapted")
        made.with_suffix(".toml").write_text(text, encoding="utf-8")
        with progress("scans compared", 2 * len(given.held_back)) as advance:
            result = compared(before, made, opened.rig, given.held_back, advance)
        if result.worse and not force:
            raise IncompleteError(
                f"{out} was not written: the adapted network is worse, or cannot be compared ({result}); take a longer "
                "drive, a smaller --share, or --force"
            )
        _publish(made, out, text)
    typer.echo(str(result))
    if result.worse:
        typer.echo(f"{out} is written because of --force, though it is worse, or cannot be compared")
    typer.echo(
        f"{out}: statistics of {measured.scans} scans and {measured.pictures} pictures mixed in; "
        f"they lay {measured.moved:.2f} standard deviations from the simulated ones"
    )
