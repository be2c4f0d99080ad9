"""The world as its users meet it: the library's loop, the page's examples, shipped rigs, sounds from files."""

from __future__ import annotations

import re
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pytest
import soundfile

from calibration import rig
from fusion_pipeline import world
from fusion_pipeline.cli.dispatch import run
from fusion_pipeline.logs.reader import open_log
from fusion_pipeline.messages import CameraFrame, LidarScan
from fusion_pipeline.rig import Rig
from fusion_pipeline.world.added_sounds import with_sounds
from fusion_pipeline.world.camera import CameraOptions
from fusion_pipeline.world.scenarios import scenario

TWO = Rig.load(rig("two_lidars"))
EYES = Rig("eyes", {"lidar/bumper": TWO.lidars["lidar/bumper"]})


def points(seed: int) -> list[bytes]:
    """Scans of a short run; at the top of a module, so that a process of its own can be asked."""
    frames = world.run("highway", EYES, 0.2, seed)
    return [f.message.xyz_m.tobytes() for f in frames if isinstance(f.message, LidarScan)]


def test_processes_side_by_side_give_what_one_gives() -> None:
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        assert list(pool.map(points, (3, 4))) == [points(3), points(4)]


def test_unknown_names_list_the_known() -> None:
    for arguments, said in (
        (("high_way", EYES), "did you mean highway"),
        (("highway", TWO, 1.0, 0, None, "X9"), "VLP-16"),
    ):
        with pytest.raises(ValueError, match=said):
            world.run(*arguments)


def test_the_examples_of_the_page_run(repo_root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    blocks = re.findall(r"```python\n(.*?)```", (repo_root / "docs" / "world.md").read_text(), re.DOTALL)
    assert blocks
    for block in blocks:
        exec(compile(block, "docs/world.md", "exec"), {})
    assert "points" in capsys.readouterr().out


def test_a_rig_of_two_makes_and_three_cameras(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "x.mcap"
    assert run(["sim", "robot_yard", "--rig", "two_lidars", "--seconds", "0.1", "-o", str(out)]) == 0
    messages = list(open_log(out).messages())
    rings = {m.header.source: int(m.ring.max()) + 1 for m in messages if isinstance(m, LidarScan)}
    assert rings == {"lidar/top": 64, "lidar/bumper": 16}
    pictures = {m.header.source: m.width_px for m in messages if isinstance(m, CameraFrame)}
    assert pictures == {"camera/front": 640, "camera/left": 480, "camera/right": 480}
    assert run(["sim", "robot_yard", "--rig", "three_lidars", "--seconds", "0.1", "-o", str(out)]) == 2
    assert "known: demo, two_lidars" in capsys.readouterr().err


def test_a_sensor_in_a_wall_is_refused_by_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = rig("demo").read_text().replace("[0.0, 0.0, 1.73]", "[0.0, 16.1, 1.73]")
    path = tmp_path / "walled.toml"
    path.write_text(text)
    assert run(["sim", "robot_yard", "--rig", str(path), "--seconds", "0.1", "-o", str(tmp_path / "x.mcap")]) == 2
    said = capsys.readouterr().err
    assert "lidar/top is inside a building at x " in said
    assert said.count("\n") == 1
    assert not (tmp_path / "x.mcap").exists()


def test_a_sound_file_sounds_where_it_is_put(tmp_path: Path) -> None:
    path = tmp_path / "bark.wav"
    soundfile.write(path, np.sin(np.arange(16_000) * 0.3), 16_000)
    drive = scenario("robot_yard").build(0, True)
    added = with_sounds(drive, [f"{path}@5,-2,80"])
    source = added.sounds[-1]
    offset = source.track.at(0.0).position_m - drive.ego.at(0.0).position_m
    np.testing.assert_allclose(offset, [5.0, -2.0, 1.0], atol=1e-6)
    assert (source.name, source.level_db, len(added.sounds)) == ("bark", 80.0, len(drive.sounds) + 1)
    other = with_sounds(drive, [f"beeper={path}"])
    (old,), (new,) = ([s for s in d.sounds if s.name == "beeper"] for d in (drive, other))
    assert new.track is old.track
    assert new.waveform.label == old.waveform.label
    assert new.waveform.samples.tobytes() != old.waveform.samples.tobytes()
    wrong = {
        f"{path}@5": "is no place", "bark": "is not understood", f"siren={path}": "has babble, beeper",
        f"{tmp_path}/none.wav@5,5": "cannot be read",
    }  # fmt: skip
    for text, said in wrong.items():
        with pytest.raises(ValueError, match=said):
            with_sounds(drive, [text])


def test_camera_options_are_read_or_refused() -> None:
    options = CameraOptions().changed(["readout_s=0.02", "steps=3"])
    assert (options.readout_s, options.steps) == (0.02, 3)
    for text in ("readout_s", "zoom=3", "noise=much", "steps=0"):
        with pytest.raises(ValueError, match=r"not understood|at least 1"):
            CameraOptions().changed([text])
