"""`fusion sim`: a scenario as a log."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fusion_pipeline.cli.errors import UserError

if TYPE_CHECKING:
    from fusion_pipeline.rig import Rig


def sim(
    name: Annotated[str, typer.Argument(help="The scenario; --list shows them.", show_default=False)] = "",
    out: Annotated[Path, typer.Option("--out", "-o", help="The .mcap file; replaced if it is there.")] = Path(
        "sim.mcap"
    ),
    seed: Annotated[int, typer.Option("--seed", help="Another seed is another scene of the family.", min=0)] = 0,
    seconds: Annotated[float, typer.Option("--seconds", help="How long.", min=0.1)] = 20.0,
    rig: Annotated[str, typer.Option("--rig", help="A shipped rig, or a rig file.")] = "demo",
    lidar: Annotated[str, typer.Option("--lidar", help="Whose beams, unless the rig says: VLP-16, ...")] = "HDL-64E",
    faults: Annotated[
        list[str] | None,
        typer.Option(
            "--fault", help="TOPIC.KEY=VALUE, as camera/front.offset_ms=20; may be repeated.", show_default=False
        ),
    ] = None,
    sounds: Annotated[
        list[str] | None,
        typer.Option(
            "--sound", help="FILE@AHEAD,LEFT[,DB], or SOURCE=FILE in its place; may be repeated.", show_default=False
        ),
    ] = None,
    camera: Annotated[
        list[str] | None,
        typer.Option("--camera", help="KEY=VALUE, as readout_s=0.03; may be repeated.", show_default=False),
    ] = None,
    visibility_m: Annotated[float, typer.Option("--visibility", help="Fog: metres.", min=1.0)] = float("inf"),
    rain_mm_h: Annotated[float, typer.Option("--rain", help="Millimetres an hour.", min=0.0)] = 0.0,
    night: Annotated[bool, typer.Option("--night", help="Own headlights, no sun.")] = False,
    ego_errors: Annotated[
        bool, typer.Option("--ego-errors", help="Odometry drifts; biased rates and satellite fixes beside it.")
    ] = False,
    fleet_name: Annotated[str, typer.Option("--fleet", help="Whose vehicles: europe or us.")] = "europe",
    returns: Annotated[int, typer.Option("--returns", help="Echoes of each LiDAR beam.", min=1, max=2)] = 1,
    jpeg: Annotated[int, typer.Option("--jpeg", help="Quality of the pictures; 0: raw.", min=0, max=100)] = 0,
    picture: Annotated[
        Path | None, typer.Option("--picture", help="Draw the middle of it into this .png.", show_default=False)
    ] = None,
    show_list: Annotated[bool, typer.Option("--list", help="Show the scenarios, make nothing.")] = False,
) -> None:
    """Simulate camera, LiDAR and sound of a scenario, with the exact truth beside them.

    The same scenario, seed, rig and faults give the same messages. Topics of the truth: "truth" has the boxes as
    tracks, "truth/details" what each sensor saw of them, the sounds, and all clock and calibration errors.
    Keys of faults: offset_ms, drift_ppm, jitter_ms, delay_ms, delay_jitter_ms, drop, x_m, y_m, z_m, roll_deg,
    pitch_deg, yaw_deg, dead. Keys of cameras: noise, shot, exposure, blur_px, motion_s, readout_s, steps.
    """
    from fusion_pipeline.cli.progress import progress
    from fusion_pipeline.dashboard.sheet import SceneSheet
    from fusion_pipeline.logs.mcap_writer import McapWriter
    from fusion_pipeline.output_file import whole_file
    from fusion_pipeline.world.added_sounds import with_sounds
    from fusion_pipeline.world.beams import beam_table
    from fusion_pipeline.world.camera import CameraOptions
    from fusion_pipeline.world.ego_sensors import HZ, PERFECT_EGO, EgoErrors
    from fusion_pipeline.world.faults import parse_faults
    from fusion_pipeline.world.fleets import fleet
    from fusion_pipeline.world.scenarios import SCENARIOS, scenario
    from fusion_pipeline.world.simulation import EGO, Simulation
    from fusion_pipeline.world.weather import Weather

    if show_list or not name:
        for known, family in SCENARIOS.items():
            typer.echo(f"{known:24} {family.summary}; {family.seconds:.0f} s")
        if not show_list:
            raise UserError("name a scenario, such as `fusion sim city_street`")
        return
    try:
        family = scenario(name)
        options = CameraOptions(shadows=not night, night=night, weather=Weather(visibility_m, rain_mm_h), jpeg=jpeg)
        options = options.changed(camera or ())
        believed = _rig(rig)
        wrong = parse_faults(faults or (), (*believed.topics, *HZ))
        simulation = Simulation(
            with_sounds(family.build(seed, bool(believed.audios), fleet(fleet_name)), sounds or ()),
            believed,
            seed,
            wrong,
            beams=beam_table(lidar),
            options=options,
            ego_errors=EgoErrors() if ego_errors else PERFECT_EGO,
            ego_topics=tuple(HZ) if ego_errors else (EGO,),
            returns=returns,
        )
    except ValueError as error:
        raise UserError(str(error)) from error
    facts = {"scenario": name, "seed": str(seed), "faults": " ".join(faults or ())}
    with (
        whole_file(out) as file,
        McapWriter(file.path, believed, facts) as writer,
        progress("simulated ms", round(seconds * 1000)) as advance,
    ):
        file.holds = writer.holds
        done, scene = 0, SceneSheet(believed, seconds / 2)
        for frame in simulation.run(seconds):
            scene.feed(frame.message, frame.tracks, frame.truth.sounds if frame.truth else ())
            if frame.message is not None:
                writer.write(frame.message)
            if frame.truth is not None and frame.tracks is not None:
                writer.write(frame.tracks)
                writer.note("truth/details", frame.truth.table(), frame.truth.instant_ns)
                advance(min(100, round(seconds * 1000) - done))
                done += 100
    if picture is not None:
        try:
            scene.write(picture)
        except ValueError as error:
            raise UserError(str(error)) from error
    typer.echo(f"{name}, seed {seed}, {seconds:g} s: {out.resolve()}, {out.stat().st_size / 1e6:.1f} MB")


def _rig(name: str) -> Rig:
    """A rig file, or one that ships. Raises ValueError or UserError with the known."""
    from calibration import rig as shipped
    from fusion_pipeline.rig import Rig

    if Path(name).is_file() or name.endswith(".toml"):
        return Rig.load(Path(name))
    try:
        return Rig.load(shipped(name))
    except FileNotFoundError as error:
        raise UserError(f"{error}; or name a rig file, as my_vehicle.toml") from None
