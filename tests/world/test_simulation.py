"""A simulated log: the same each time, wrong as told, and true beside."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from itertools import islice
from pathlib import Path

import cv2
import numpy as np
import pytest
from scipy.spatial import cKDTree

from calibration import rig
from fusion_pipeline.cli.dispatch import run
from fusion_pipeline.clock import MILLISECOND_NS
from fusion_pipeline.encode.image import decode
from fusion_pipeline.logs.reader import open_log
from fusion_pipeline.messages import AudioChunk, CameraFrame, EgoMotion, LidarScan, Message
from fusion_pipeline.rig import Rig
from fusion_pipeline.world.camera import CameraOptions
from fusion_pipeline.world.drive import Drive
from fusion_pipeline.world.faults import Fault, parse_faults
from fusion_pipeline.world.ring_street import ring_street
from fusion_pipeline.world.scenarios import SCENARIOS, scenario
from fusion_pipeline.world.simulation import EGO, START_NS, Frame, Simulation
from fusion_pipeline.world.truth import in_sight

RIG = Rig.load(rig("demo"))
LIDAR_ONLY = Rig("lidar", RIG.lidars)


@pytest.fixture(scope="module")
def drive() -> Drive:
    return ring_street(3, audible=False)


def frames(drive: Drive, seconds: float, faults: dict[str, Fault] | None = None, the_rig: Rig = RIG) -> list[Frame]:
    """All that a simulation gives."""
    return list(Simulation(drive, the_rig, 5, faults).run(seconds))


def of(found: list[Frame], kind: type[Message]) -> list[Message]:
    """Messages of one type."""
    return [frame.message for frame in found if isinstance(frame.message, kind)]


def content(message: Message | None) -> bytes:
    """What a sensor says."""
    if isinstance(message, LidarScan):
        return message.xyz_m.tobytes() + message.intensity.tobytes()
    if isinstance(message, CameraFrame):
        return message.data.tobytes()
    return message.pcm.tobytes() if isinstance(message, AudioChunk) else repr(message).encode()


def test_the_same_twice_and_in_order_of_arrival(drive: Drive) -> None:
    one, two = frames(drive, 0.5), frames(drive, 0.5)
    assert [content(a.message) for a in one] == [content(b.message) for b in two]
    assert [a.truth.table() for a in one if a.truth] == [b.truth.table() for b in two if b.truth]
    arrivals = [frame.message.header.arrival_ns for frame in one if frame.message]
    assert arrivals == sorted(arrivals)
    assert (len(of(one, LidarScan)), len(of(one, CameraFrame)), len(of(one, AudioChunk)), len(of(one, EgoMotion))) == (
        5, 5, 25, 25,
    )  # fmt: skip
    assert sum(frame.truth is not None for frame in one) == 5


def test_perfect_sensors_stamp_the_true_instants(drive: Drive) -> None:
    found = frames(drive, 0.3)
    assert [m.header.capture_ns - START_NS for m in of(found, CameraFrame)] == [0, 100_000_000, 200_000_000]
    scans = of(found, LidarScan)
    assert [m.middle_ns - START_NS for m in scans if isinstance(m, LidarScan)] == [0, 100_000_000, 200_000_000]
    assert all(m.header.arrival_ns == m.header.capture_ns + 100_000_000 for m in scans)


def test_clock_and_delivery_are_wrong_as_told(drive: Drive) -> None:
    camera = Fault(offset_ms=20, drift_ppm=1000, delay_ms=15)
    found = frames(drive, 2.0, {"camera/front": camera, EGO: Fault(jitter_ms=2, drop=0.3)})
    stamps = np.asarray([m.header.capture_ns for m in of(found, CameraFrame)]) - START_NS
    true_ns = np.arange(len(stamps)) * 100 * MILLISECOND_NS
    np.testing.assert_allclose(stamps - true_ns, 20e6 + true_ns * 1e-3, atol=1)
    late = [m.header.arrival_ns - START_NS for m in of(found, CameraFrame)]
    np.testing.assert_array_equal(late - true_ns, 35 * MILLISECOND_NS)
    egos = np.asarray([m.header.capture_ns for m in of(found, EgoMotion)]) - START_NS
    assert 50 < len(egos) < 90
    errors = egos - np.round(egos / 20e6) * 20e6
    assert 1e6 < errors.std() < 3e6
    told = [frame.truth for frame in found if frame.truth][-1]
    assert told.clocks_ms["camera/front"] == pytest.approx(20 + 1.9, abs=0.01)
    assert told.table()["faults"] == {
        "camera/front": {"offset_ms": 20, "drift_ppm": 1000, "delay_ms": 15}, EGO: {"jitter_ms": 2, "drop": 0.3},
    }  # fmt: skip


def test_a_turned_lidar_turns_its_points(drive: Drive) -> None:
    straight = of(frames(drive, 0.1, None, LIDAR_ONLY), LidarScan)[0]
    turned = of(frames(drive, 0.1, {"lidar/top": Fault(yaw_deg=3.0)}, LIDAR_ONLY), LidarScan)[0]
    assert isinstance(straight, LidarScan)
    assert isinstance(turned, LidarScan)

    tree = cKDTree(straight.xyz_m)

    def apart_m(turn_deg: float) -> float:
        c, s = np.cos(np.deg2rad(turn_deg)), np.sin(np.deg2rad(turn_deg))
        far = turned.xyz_m[(np.hypot(turned.xyz_m[:, 0], turned.xyz_m[:, 1]) > 8) & (turned.xyz_m[:, 2] > -1)]
        return float(np.median(tree.query(far @ np.asarray([[c, s, 0], [-s, c, 0], [0, 0, 1]]))[0]))

    assert apart_m(3.0) < 0.6 * min(apart_m(0.0), apart_m(2.0), apart_m(4.0))


def test_truth_counts_what_the_sensors_saw(drive: Drive) -> None:
    found = frames(drive, 0.2, None, Rig("eyes", RIG.lidars, RIG.cameras))
    truths = [frame.truth for frame in found if frame.truth]
    scans = of(found, LidarScan)
    for truth, scan in zip(truths, scans, strict=True):
        assert isinstance(scan, LidarScan)
        points = scan.xyz_m + RIG.lidars["lidar/top"].vehicle_from_sensor.translation_m
        for i, count in enumerate(truth.seen["lidar/top"].tolist()):
            offset = points - truth.boxes.centers_m[i]
            c, s = np.cos(truth.boxes.yaws_rad[i]), np.sin(truth.boxes.yaws_rad[i])
            local = np.stack([c * offset[:, 0] + s * offset[:, 1], -s * offset[:, 0] + c * offset[:, 1], offset[:, 2]])
            inside = (np.abs(local.T) < truth.boxes.sizes_m[i] / 2 + 1.3).all(axis=1)  # 24 m/s for half a turn
            assert count <= inside.sum()
        assert truth.seen["lidar/top"].sum() > 500
        assert truth.seen["camera/front"].sum() > 500
        hidden = [hits for hits, sight in zip(truth.seen["lidar/top"], truth.in_sight, strict=True) if not sight]
        assert sum(hidden) == 0


def test_sight_lines_against_steps_along_them(drive: Drive) -> None:
    rng = np.random.default_rng(2)
    outcomes = []
    for _ in range(60):
        eye = np.asarray([rng.uniform(0, 400), rng.uniform(-6, 6), 1.7])
        place = eye + np.asarray([rng.uniform(-50, 50), rng.uniform(-25, 25), rng.uniform(-1.2, 6)])
        steps = eye + np.linspace(0, 1, 4001)[:, None] * (place - eye)
        blocked = False
        for x, y, hx, hy, c, s, height in drive.solids:
            dx = steps[:, 0] - x
            dx -= drive.ring_m * np.round(dx / drive.ring_m)
            dy = steps[:, 1] - y
            inside = (np.abs(c * dx + s * dy) < hx) & (np.abs(c * dy - s * dx) < hy) & (steps[:, 2] < height)
            blocked |= bool(inside.any())
        assert in_sight(drive, eye, place) != blocked
        outcomes.append(blocked)
    assert 5 < sum(outcomes) < 55


def test_faults_are_read_or_refused() -> None:
    faults = parse_faults(["lidar/top.yaw_deg=0.5", "lidar/top.drop=0.1", "audio/roof.dead=2"], RIG.topics)
    assert faults == {"lidar/top": Fault(yaw_deg=0.5, drop=0.1), "audio/roof": Fault(dead=2)}
    for text in ("lidar/top.yaw=1", "lidar/none.drop=1", "drop", "lidar/top.drop=much", "lidar/top.drop=2"):
        with pytest.raises(ValueError, match=r"drop|fault"):
            parse_faults([text], RIG.topics)


def test_the_command_writes_a_log_that_replays(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "street.mcap"
    assert run(["sim", "city_street", "--seconds", "0.4", "--seed", "3", "-o", str(out)]) == 0
    log = open_log(out)
    assert set(log.topics) == {"lidar/top", "camera/front", "audio/roof", EGO}
    assert isinstance(next(islice(log.messages(), 1)), Message)
    assert log.rig.cameras["camera/front"].model.width_px == RIG.cameras["camera/front"].model.width_px
    from mcap.reader import make_reader

    with out.open("rb") as file:
        notes = [json.loads(m.data) for _, c, m in make_reader(file).iter_messages() if c.topic == "truth/details"]
    assert len(notes) == 4
    assert {sound["name"] for sound in notes[0]["sounds"]} >= {"siren_hi_lo"}
    for words, said in ((["city_stret"], "did you mean city_street"), (["city_street", "--fault", "x"], "fault 'x'")):
        assert run(["sim", *words, "--seconds", "0.1", "-o", str(out)]) == 2
        assert said in capsys.readouterr().err


def test_pictures_can_be_jpeg(drive: Drive) -> None:
    pictures = [
        next(f.message for f in Simulation(drive, RIG, options=CameraOptions(jpeg=quality)).run(0.1)
             if isinstance(f.message, CameraFrame))
        for quality in (0, 90)
    ]  # fmt: skip
    assert [picture.encoding for picture in pictures] == ["bgr8", "jpeg"]
    raw, coded = (decode(picture).astype(int) for picture in pictures)
    assert np.abs(raw - coded).mean() < 4
    assert pictures[1].data.nbytes < 0.3 * pictures[0].data.nbytes


def test_a_writer_that_is_killed_leaves_what_it_wrote(tmp_path: Path) -> None:
    """Killed with 20 of 40 s on disk or less, the log opens, and its messages are whole."""
    out = tmp_path / "cut.mcap"
    command = [sys.executable, "-m", "fusion_pipeline.cli", "sim", "robot_yard", "--seconds", "40", "-o", str(out)]
    child = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 300
        while time.monotonic() < deadline and (not out.exists() or out.stat().st_size < 20_000_000):
            time.sleep(0.05)
    finally:
        child.kill()
        child.wait()
    messages = list(open_log(out).messages())
    assert sum(isinstance(message, LidarScan) for message in messages) >= 2
    assert all(np.isfinite(m.xyz_m).all() for m in messages if isinstance(m, LidarScan))


def test_the_command_draws_a_sheet_with_errors_of_the_ego(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out, sheet = tmp_path / "x.mcap", tmp_path / "x.jpg"
    words = ["sim", "crossing_occluded_siren", "--seconds", "0.6", "--ego-errors", "-o", str(out)]
    assert run([*words, "--picture", str(sheet), "--rain", "3", "--lidar", "VLP-16"]) == 0
    image = cv2.imread(str(sheet))
    assert image is not None
    assert image.shape[0] > 700
    assert image[-100:].std() > 5  # the spectrogram
    assert {"ego/rates", "ego/satellite"} <= set(open_log(out).topics)
    assert run([*words, "--picture", str(tmp_path / "x.txt")]) == 2
    assert "name a .png or .jpg" in capsys.readouterr().err
    assert run([*words, "--lidar", "VLP"]) == 2
    assert "known: HDL-64E" in capsys.readouterr().err


@pytest.mark.parametrize("name", SCENARIOS)
def test_every_scenario_runs(name: str) -> None:
    drive = scenario(name).build(1, False)
    found = frames(drive, 0.1, None, Rig("eyes", RIG.lidars, RIG.cameras))
    scan = of(found, LidarScan)[0]
    assert isinstance(scan, LidarScan)
    assert len(scan.xyz_m) > 10_000
