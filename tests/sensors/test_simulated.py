"""Simulated drivers: what they say depends on the instant alone, and their stamps keep the contract of real ones."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from fusion_pipeline.clock import MILLISECOND_NS, SECOND_NS, now_ns
from fusion_pipeline.rig import Rig, to_toml
from fusion_pipeline.sensors import simulated
from fusion_pipeline.sensors.retry import SetupError
from fusion_pipeline.world.ring_street import ring_street

OFFSETS_NS = {"lidar/top": 7_000_000, "camera/front": -12_500_000, "audio/roof": 3_000_000}
INSTANT = 1_700_000_000 * SECOND_NS + 500 * MILLISECOND_NS


def quiet(state: str, detail: str) -> None:
    """Nobody listens."""


@pytest.fixture(scope="module")
def rig(repo_root: Path) -> Rig:
    """The demo's rig with clocks that are off."""
    demo = Rig.load(repo_root / "calibration" / "rigs" / "demo.toml")

    def off(mounts: Any) -> Any:
        return {topic: replace(mount, offset_ns=OFFSETS_NS[topic]) for topic, mount in mounts.items()}

    return Rig("off", off(demo.lidars), off(demo.cameras), off(demo.audios))


@pytest.fixture(scope="module")
def rig_path(rig: Rig, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("rigs") / "off.toml"
    path.write_text(to_toml(rig), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def camera(rig_path: Path) -> simulated.SimulatedCamera:
    driver = simulated.SimulatedCamera(simulated.SimulatedCameraConfig(rig_path), quiet)
    driver.prepare()
    return driver


@pytest.fixture(scope="module")
def lidar(rig_path: Path) -> simulated.SimulatedLidar:
    driver = simulated.SimulatedLidar(simulated.SimulatedLidarConfig(rig_path), quiet)
    driver.prepare()
    return driver


@pytest.fixture(scope="module")
def microphone(rig_path: Path) -> simulated.SimulatedMicrophone:
    driver = simulated.SimulatedMicrophone(simulated.SimulatedMicrophoneConfig(rig_path), quiet)
    driver.prepare()
    return driver


@pytest.fixture(scope="module")
def ego(rig_path: Path) -> simulated.SimulatedEgo:
    driver = simulated.SimulatedEgo(simulated.SimulatedEgoConfig(rig_path), quiet)
    driver.prepare()
    return driver


@pytest.fixture
def world_anew() -> None:
    """The next driver builds its street itself, as it would in a process of its own."""
    ring_street.cache_clear()


def test_topics_are_those_of_the_rig(rig_path: Path) -> None:
    configs = [
        simulated.SimulatedCameraConfig(rig_path), simulated.SimulatedLidarConfig(rig_path),
        simulated.SimulatedMicrophoneConfig(rig_path), simulated.SimulatedEgoConfig(rig_path),
    ]  # fmt: skip
    assert [config.topic for config in configs] == ["camera/front", "lidar/top", "audio/roof", "ego/odometry"]
    assert all(config.files == (rig_path,) for config in configs)


@pytest.mark.usefixtures("world_anew")
def test_a_picture_depends_on_its_instant_alone(camera: simulated.SimulatedCamera) -> None:
    first = camera.made(INSTANT)
    camera.made(INSTANT + SECOND_NS)
    other = simulated.SimulatedCamera(camera.config, quiet)
    other.prepare()
    assert other.drive is not camera.drive
    np.testing.assert_array_equal(first.data, other.made(INSTANT).data)
    assert first.data.tobytes() != other.made(INSTANT + 100 * MILLISECOND_NS).data.tobytes()


@pytest.mark.usefixtures("world_anew")
def test_a_scan_depends_on_its_instant_alone(lidar: simulated.SimulatedLidar) -> None:
    first = lidar.made(INSTANT)
    lidar.made(INSTANT + SECOND_NS)
    other = simulated.SimulatedLidar(lidar.config, quiet)
    other.prepare()
    assert other.drive is not lidar.drive
    again = other.made(INSTANT)
    for name in ("xyz_m", "intensity", "ring", "offset_ns"):
        np.testing.assert_array_equal(getattr(first, name), getattr(again, name))
    assert first.xyz_m.tobytes() != other.made(INSTANT + 100 * MILLISECOND_NS).xyz_m.tobytes()


def test_another_seed_is_another_street(camera: simulated.SimulatedCamera) -> None:
    other = simulated.SimulatedCamera(replace(camera.config, seed=8), quiet)
    other.prepare()
    gap = camera.made(INSTANT).data.astype(int) - other.made(INSTANT).data
    assert np.abs(gap).mean() > 10


def test_stamps_of_a_picture(camera: simulated.SimulatedCamera) -> None:
    frame = camera.made(INSTANT)
    assert frame.header.source == frame.header.frame == "camera/front"
    assert frame.header.capture_ns + OFFSETS_NS["camera/front"] == INSTANT
    assert frame.header.arrival_ns >= INSTANT + 20 * MILLISECOND_NS
    assert (frame.encoding, frame.height_px, frame.width_px) == ("bgr8", 240, 640)
    ahead = now_ns() + 100 * SECOND_NS
    assert camera.made(ahead).header.arrival_ns == ahead + 20 * MILLISECOND_NS


def test_stamps_of_a_scan(lidar: simulated.SimulatedLidar) -> None:
    scan = lidar.made(INSTANT)
    assert scan.header.source == "lidar/top"
    assert scan.duration_ns == 100 * MILLISECOND_NS
    assert scan.middle_ns + OFFSETS_NS["lidar/top"] == INSTANT
    assert scan.header.arrival_ns > scan.header.capture_ns + scan.duration_ns
    assert scan.offset_ns.min() >= 0
    assert scan.offset_ns.max() < scan.duration_ns
    ahead = np.abs(np.arctan2(scan.xyz_m[:, 1], scan.xyz_m[:, 0])) < 0.01
    np.testing.assert_allclose(scan.offset_ns[ahead], 50 * MILLISECOND_NS, atol=0.3 * MILLISECOND_NS)
    later = now_ns() + 100 * SECOND_NS
    assert lidar.made(later).header.arrival_ns == later + 50 * MILLISECOND_NS


def test_stamps_of_a_chunk_and_no_seam_to_the_next(microphone: simulated.SimulatedMicrophone) -> None:
    first, second = microphone.made(INSTANT), microphone.made(INSTANT + 20 * MILLISECOND_NS)
    assert first.header.source == "audio/roof"
    assert first.header.capture_ns + OFFSETS_NS["audio/roof"] == INSTANT
    assert first.header.arrival_ns >= INSTANT + 25 * MILLISECOND_NS
    assert first.rate_hz == 16_000
    assert first.pcm.shape == (320, 4)
    assert first.end_ns == second.header.capture_ns
    sample = INSTANT % microphone.drive.period_ns * 16_000 // SECOND_NS
    longer = microphone._field.pcm(sample, 640)
    np.testing.assert_array_equal(np.concatenate([first.pcm, second.pcm]), longer)
    assert np.abs(longer).max() > 10


def test_stamps_of_odometry(ego: simulated.SimulatedEgo) -> None:
    first, second = ego.made(INSTANT), ego.made(INSTANT + 20 * MILLISECOND_NS)
    assert first.header.source == "ego/odometry"
    assert first.header.capture_ns == first.header.arrival_ns == INSTANT
    np.testing.assert_allclose(second.position_m - first.position_m, [8.0 * 0.02, 0, 0], atol=1e-6)
    np.testing.assert_allclose(first.velocity_mps, [8.0, 0, 0], atol=1e-6)
    now = ego.made(now_ns())
    assert 0 <= now.position_m[0] < 2 * 480.0, "it begins where the street does"


def test_camera_and_lidar_see_the_same_world(
    camera: simulated.SimulatedCamera, lidar: simulated.SimulatedLidar, rig: Rig
) -> None:
    """Points of an instant, brought into the picture of that instant, agree in depth."""
    scan = lidar.made(INSTANT)
    camera.made(INSTANT)
    mount = rig.cameras["camera/front"]
    vehicle = rig.lidars["lidar/top"].vehicle_from_sensor.apply(scan.xyz_m.astype(np.float64))
    optical = mount.vehicle_from_sensor.inverse().apply(vehicle[(vehicle[:, 2] > 0.3) & (vehicle[:, 0] > 2.0)])
    pixels, visible = mount.model.project(optical)
    u, v = np.rint(pixels[visible]).astype(int).T
    depth = camera._camera.depth_m()[v, u]
    seen = depth > 0
    assert seen.sum() > 1000
    assert np.median(np.abs(depth - optical[visible, 2])[seen]) < 0.05


def test_jpeg_pictures_decode_to_nearly_the_same(camera: simulated.SimulatedCamera) -> None:
    packed = simulated.SimulatedCamera(replace(camera.config, jpeg_quality=90), quiet)
    packed.prepare()
    frame = packed.made(INSTANT)
    assert frame.encoding == "jpeg"
    assert frame.data.nbytes < 640 * 240 * 3 / 3
    decoded = cv2.imdecode(frame.data, cv2.IMREAD_COLOR)
    assert np.abs(decoded.astype(int) - camera.made(INSTANT).data).mean() < 4


def test_live_messages_are_on_the_beat_until_it_is_stopped(rig_path: Path) -> None:
    driver = simulated.SimulatedEgo(simulated.SimulatedEgoConfig(rig_path), quiet)
    stop = threading.Event()
    stream = driver.messages(stop)  # prepares itself
    stamps = [message.header.capture_ns for message in islice(stream, 5)]
    assert all(stamp % (20 * MILLISECOND_NS) == 0 for stamp in stamps)
    assert stamps == sorted(set(stamps))
    assert abs(now_ns() - stamps[-1]) < SECOND_NS
    stop.set()
    assert list(stream) == []


def test_what_a_machine_is_too_slow_for_is_counted(
    lidar: simulated.SimulatedLidar, monkeypatch: pytest.MonkeyPatch
) -> None:
    def late(make: Any, rate_hz: float, delay_ns: int, stop: Any, missed: Callable[[int], None]) -> Any:
        assert (rate_hz, delay_ns) == (10.0, 50 * MILLISECOND_NS)
        missed(3)
        yield make(INSTANT)
        missed(2)

    monkeypatch.setattr(simulated, "on_beat", late)
    assert len(list(lidar.messages(threading.Event()))) == 1
    assert dict(lidar.counts) == {simulated.MISSED: 5}
    lidar.counts.clear()


@pytest.mark.parametrize(
    ("driver", "config", "complaint"),
    [
        (simulated.SimulatedCamera, {"name": "rear"}, "has no camera/rear; it has camera/front$"),
        (simulated.SimulatedLidar, {"name": "left"}, "has no lidar/left; it has lidar/top$"),
        (simulated.SimulatedMicrophone, {"name": "door"}, "has no audio/door; it has audio/roof$"),
        (simulated.SimulatedCamera, {"jpeg_quality": 101}, "camera/front .*jpeg_quality is 101; write 1 to 100"),
        (simulated.SimulatedCamera, {"jpeg_quality": -1}, "jpeg_quality is -1"),
        (simulated.SimulatedCamera, {"rate_hz": 0.0}, "rate_hz of camera/front is 0; write how many a second"),
        (simulated.SimulatedMicrophone, {"rate_hz": 16_010.0}, "rate_hz is 16010; write a whole number of samples"),
        (simulated.SimulatedEgo, {"rate_hz": float("nan")}, "rate_hz of ego/odometry is nan"),
    ],
)
def test_settings_that_cannot_be(rig_path: Path, driver: Any, config: dict[str, Any], complaint: str) -> None:
    kinds = {
        simulated.SimulatedCamera: simulated.SimulatedCameraConfig,
        simulated.SimulatedLidar: simulated.SimulatedLidarConfig,
        simulated.SimulatedMicrophone: simulated.SimulatedMicrophoneConfig,
        simulated.SimulatedEgo: simulated.SimulatedEgoConfig,
    }
    with pytest.raises(SetupError, match=complaint):
        driver(kinds[driver](rig_path, **config), quiet).prepare()


def test_rigs_that_cannot_be_simulated(rig: Rig, tmp_path: Path) -> None:
    mount = rig.cameras["camera/front"]
    bent = replace(mount, model=replace(mount.model, distortion=np.array([-9.0, 0.0, 0.0, 0.0])))
    path = tmp_path / "bent.toml"
    path.write_text(to_toml(replace(rig, cameras={"camera/front": bent}, audios={})), encoding="utf-8")
    with pytest.raises(SetupError, match=r"camera/front of the rig .*bent\.toml: this lens model cannot be inverted"):
        simulated.SimulatedCamera(simulated.SimulatedCameraConfig(path), quiet).prepare()
    with pytest.raises(SetupError, match="has no audio/roof; it has none of its kind"):
        simulated.SimulatedMicrophone(simulated.SimulatedMicrophoneConfig(path), quiet).prepare()


def test_faults_of_a_live_sensor(rig_path: Path) -> None:
    wrong = "offset_ms=5 jitter_ms=1 delay_ms=30 drop=0.4 yaw_deg=3"
    config = simulated.SimulatedLidarConfig(rig_path, fault=wrong, rate_hz=50.0)
    driver, perfect = (simulated.SimulatedLidar(replace(config, fault=fault), quiet) for fault in (wrong, ""))
    stop = threading.Event()
    found = list(islice(driver.messages(stop), 4))
    perfect.prepare()
    for scan in found:
        off_ns = scan.header.capture_ns % (20 * MILLISECOND_NS)  # what it says of an instant that is a multiple
        assert abs((off_ns - 5 * MILLISECOND_NS + 50 * MILLISECOND_NS + OFFSETS_NS["lidar/top"]) % (20 * MILLISECOND_NS)
                   - 10 * MILLISECOND_NS) > 5 * MILLISECOND_NS  # fmt: skip
        assert scan.header.arrival_ns - scan.header.capture_ns > 110 * MILLISECOND_NS
    assert driver.counts[simulated.DROPPED] + len(found) >= 4
    turned, straight = driver.made(INSTANT).xyz_m, perfect.made(INSTANT).xyz_m
    assert np.abs(turned[:1000] - straight[:1000]).max() > 0.01
    bad = simulated.SimulatedLidar(replace(config, fault="offset=5"), quiet)
    with pytest.raises(SetupError, match="offset_ms"):
        bad.prepare()


def test_a_live_lidar_all_round_of_another_make_in_fog(rig: Rig, tmp_path: Path) -> None:
    mounts = {"lidar/top": replace(rig.lidars["lidar/top"], make="VLP-16")}
    path = tmp_path / "other.toml"
    path.write_text(to_toml(Rig("other", mounts)), encoding="utf-8")
    clear, fog = (
        simulated.SimulatedLidar(
            simulated.SimulatedLidarConfig(path, field_deg=180.0, rolling=True, visibility_m=far), quiet
        )
        for far in (float("inf"), 40.0)
    )
    for driver in (clear, fog):
        driver.prepare()
    scan, misty = clear.made(INSTANT), fog.made(INSTANT)
    assert set(np.unique(scan.ring)) == set(range(16))
    assert (scan.xyz_m[:, 0] < -5).any()
    assert np.quantile(np.linalg.norm(misty.xyz_m, axis=1), 0.99) < np.quantile(
        np.linalg.norm(scan.xyz_m, axis=1), 0.99
    )


def test_a_live_sensor_in_a_wall_is_refused(rig: Rig, tmp_path: Path) -> None:
    drive = ring_street(7, False)
    x, y = drive.solids[0, :2] - drive.ego.at(0.0).position_m[:2]
    mount = rig.lidars["lidar/top"]
    walled = replace(
        mount, vehicle_from_sensor=replace(mount.vehicle_from_sensor, translation_m=np.asarray([x, y, 2.0]))
    )
    path = tmp_path / "walled.toml"
    path.write_text(to_toml(Rig("walled", {"lidar/top": walled})), encoding="utf-8")
    with pytest.raises(SetupError, match="inside a building"):
        simulated.SimulatedLidar(simulated.SimulatedLidarConfig(path), quiet).prepare()
