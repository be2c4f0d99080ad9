"""Point times and intensity are read by one rule per topic, decided from the recording's first clouds."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("rosbags")

from ros_samples import SECOND, START, Ros

from fusion_pipeline.cli.dispatch import run
from fusion_pipeline.logs.reader import open_log
from fusion_pipeline.messages import LidarScan

PERIOD = SECOND // 10
N = 400
SPREAD = np.arange(N) * (PERIOD // N)  # ns from the first point of a scan


def scans_of(path: Path, start_ns: int | None = None) -> tuple[list[LidarScan], list[str]]:
    log = open_log(path)
    found = [m for m in log.messages(start_ns) if isinstance(m, LidarScan)]
    return found, [finding.name for finding in log.findings]


def bag(tmp_path: Path, clouds: list[Any], world: str = "ros2") -> Path:
    return Ros(world).write(tmp_path / "log", [("/points", cloud) for cloud in clouds], PERIOD)


UNITS = {"s": 1e-9, "ms": 1e-6, "us": 1e-3, "ns": 1.0}


@pytest.mark.parametrize("world", ["ros1", "ros2"])
@pytest.mark.parametrize(("unit", "kind", "absolute"), [
    ("s", "f4", False), ("ms", "f4", False), ("us", "f4", False), ("ns", "f4", False), ("us", "u4", False),
    ("ns", "u4", False), ("ms", "f8", False), ("s", "f8", True), ("ms", "f8", True), ("us", "f8", True),
    ("ns", "f8", True), ("ns", "i4", False), ("us", "i4", False),
])  # fmt: skip
def test_every_unit_and_origin_gives_the_same_scan(
    world: str, unit: str, kind: str, absolute: bool, tmp_path: Path
) -> None:
    name = {"s": "t", "ms": "timestamp", "us": "offset_time", "ns": "point_time_offset"}[unit]
    clouds = []
    for number in range(4):
        stamp = START + number * PERIOD
        values = (SPREAD + (stamp if absolute else 0)) * UNITS[unit]
        clouds.append(Ros(world).cloud({name: np.asarray(values, kind)}, stamp))
    found, names = scans_of(bag(tmp_path, clouds, world))
    assert "point-time" not in names
    for number, scan in enumerate(found):
        assert abs(scan.header.capture_ns - (START + number * PERIOD)) < 2_000
        np.testing.assert_allclose(scan.offset_ns, SPREAD, atol=1_100 if unit == "ms" else 1_000)


@pytest.mark.parametrize("scale", [1.0, 1e3, 1e6, 1e9])
def test_times_before_the_stamp_are_the_end_stamped(scale: float, tmp_path: Path) -> None:
    """Velodyne's driver stamps the end of a scan and counts back."""
    back = (SPREAD - SPREAD[-1]) / SECOND * scale
    clouds = [Ros().cloud({"time": back.astype("f4")}, START + k * PERIOD) for k in range(3)]
    found, _ = scans_of(bag(tmp_path, clouds))
    assert abs(found[0].header.capture_ns - (START - int(SPREAD[-1]))) < 50_000
    assert found[0].duration_ns == pytest.approx(int(SPREAD[-1]), abs=50_000)


@pytest.mark.parametrize(("kind", "scale"), [("f8", 1.0), ("f8", 1e3), ("f8", 1e9), ("f4", 1.0), ("u4", 1e6)])
def test_a_clock_of_its_own_leaves_the_times_out_and_is_named(kind: str, scale: float, tmp_path: Path) -> None:
    """The LiDAR counts from power-on, the header is the host's: nothing says where in the scan the stamp lies."""
    clouds = []
    for k in range(4):
        own = (754 * SECOND + k * PERIOD + SPREAD) / SECOND
        clouds.append(Ros().cloud({"timestamp": (own * scale).astype(kind)}, START + k * PERIOD))
    found, names = scans_of(bag(tmp_path, clouds))
    assert [scan.header.capture_ns for scan in found] == [START + k * PERIOD for k in range(4)]
    assert all(not scan.offset_ns.any() and scan.duration_ns == 0 for scan in found)
    assert names.count("point-time") == 1


@pytest.mark.parametrize(("name", "scale"), [("timestamp", 1e9), ("timestamp", 1.0), ("time", 1e6)])
def test_power_on_time_in_header_and_points_alike_is_not_counted_twice(name: str, scale: float, tmp_path: Path) -> None:
    first = 1234 * SECOND + SECOND // 2
    clouds = []
    for k in range(3):
        own = (first + k * PERIOD + SPREAD) / SECOND
        clouds.append(Ros().cloud({name: np.asarray(own * scale, "f8")}, first + k * PERIOD))
    found, names = scans_of(bag(tmp_path, clouds))
    assert "point-time" not in names
    assert [round(scan.header.capture_ns / 1e6) for scan in found] == [1_234_500, 1_234_600, 1_234_700]
    np.testing.assert_allclose(found[0].offset_ns, SPREAD, atol=1_000)


def test_whole_seconds_and_their_fraction_in_two_fields(tmp_path: Path) -> None:
    clouds = []
    for k in range(3):
        at = START + k * PERIOD + SPREAD
        clouds.append(Ros().cloud({"timestampSec": (at // SECOND).astype("u4"),
                                   "timestampNsec": (at % SECOND).astype("u4")}, START + k * PERIOD))  # fmt: skip
    found, _ = scans_of(bag(tmp_path, clouds))
    np.testing.assert_array_equal(found[1].offset_ns, SPREAD)
    assert found[1].header.capture_ns == START + PERIOD


def test_a_unit_in_the_name_is_taken_for_what_it_says(tmp_path: Path) -> None:
    """40 points in 40 us could be 40 ms."""
    clouds = [Ros().cloud({"offset_ns": np.arange(40, dtype="u4") * 1_000}, START + k * PERIOD) for k in range(3)]
    found, _ = scans_of(bag(tmp_path, clouds))
    assert found[0].duration_ns == 39_000


def test_one_scan_whose_times_are_far_off_keeps_its_points(tmp_path: Path) -> None:
    clouds = [Ros().cloud({"t": (SPREAD + (0 if k != 7 else 3 * SECOND)).astype("u4")}, START + k * PERIOD)
              for k in range(9)]  # fmt: skip
    found, names = scans_of(bag(tmp_path, clouds))
    assert [scan.duration_ns for scan in found] == [*([int(SPREAD[-1])] * 7), 0, int(SPREAD[-1])]
    assert found[7].header.capture_ns == START + 7 * PERIOD
    assert "point-time" in names


def test_a_scale_is_fixed_from_the_first_scans_and_the_same_from_the_middle(tmp_path: Path) -> None:
    lights = [np.full(N, 20, "f4") for _ in range(12)]
    lights[3][7] = 900.0  # a reflector
    lights[9][:] = 0.5  # a road in the dark: still of 255
    clouds = [Ros().cloud({"intensity": light}, START + k * PERIOD) for k, light in enumerate(lights)]
    path = bag(tmp_path, clouds)
    found, names = scans_of(path)
    medians = [float(np.median(scan.intensity)) for scan in found]
    assert medians[:9] == pytest.approx([20 / 255] * 9)
    assert medians[9] == pytest.approx(0.5 / 255)
    assert found[3].intensity.max() == 1.0
    assert "intensity-scale" in names  # the dark scan contradicts the scale
    later, _ = scans_of(path, START + 9 * PERIOD)
    assert [float(np.median(scan.intensity)) for scan in later] == medians[9:]


@pytest.mark.parametrize(("fields", "expected", "remark"), [
    ({"intensity": ("u1", 51)}, 0.2, False), ({"reflectivity": ("u1", 51)}, 0.2, False),
    ({"intensity": ("f4", 51)}, 0.2, False), ({"intensity": ("f4", 0.2)}, 0.2, False),
    ({"intensity": ("u2", 51)}, 0.2, False), ({"intensity": ("u2", 13107)}, 0.2, False),
    ({"signal": ("u2", 51)}, 0.2, False), ({"reflectance": ("f8", 0.2)}, 0.2, False),
    ({"intensity": ("f4", 819.0)}, 0.2, True), ({"intensity": ("f4", 700.0), "reflectivity": ("u2", 51)}, 0.2, False),
    ({"intensity": ("f4", 3000.0), "reflectivity": ("u1", 51), "ambient": ("u2", 9000)}, 0.2, False),
])  # fmt: skip
def test_the_scale_of_each_number_type_and_name(
    fields: dict[str, tuple[str, float]], expected: float, remark: bool, tmp_path: Path
) -> None:
    extra = {name: np.full(N, value, kind) for name, (kind, value) in fields.items()}
    found, names = scans_of(bag(tmp_path, [Ros().cloud(extra, START + k * PERIOD) for k in range(3)]))
    assert float(np.median(found[0].intensity)) == pytest.approx(expected, rel=0.01)
    assert ("intensity-scale" in names) == remark


def test_padding_empty_repeated_and_listed_fields_are_passed_over(tmp_path: Path) -> None:
    clouds = []
    for k in range(3):
        cloud = Ros().cloud(
            {"intensity": np.full(N, 51, "f4"), "ring": np.arange(N, dtype="u2") % 16}, START + k * PERIOD
        )
        field = Ros().types["sensor_msgs/msg/PointField"]
        for name, offset, datatype, count in (
            ("_", 12, 2, 4), ("_", 0, 2, 9), ("", 3, 7, 1), ("x", 4, 7, 1), ("normals", 0, 7, 3), ("far", 900, 8, 1),
            ("ring", 900, 4, 1), ("odd", 1, 77, 1),
        ):  # fmt: skip
            cloud.fields.append(field(name=name, offset=offset, datatype=datatype, count=count))
        clouds.append(cloud)
    found, _ = scans_of(bag(tmp_path, clouds))
    assert len(found) == 3
    assert found[0].ring.max() == 15
    assert found[0].xyz_m[0, 0] == 10.0
    assert found[0].intensity[0] == pytest.approx(0.2)


@pytest.mark.parametrize("world", ["ros1", "ros2"])
@pytest.mark.parametrize("behind_ns", [0, 900 * SECOND])
def test_a_livox_custom_message(world: str, behind_ns: int, tmp_path: Path) -> None:
    """Offsets count from the timebase; where that is of the sensor's own clock, from the stamp."""
    ros = Ros(world)
    point, whole = (ros.types[f"livox_ros_driver2/msg/Custom{name}"] for name in ("Point", "Msg"))
    held = [point(offset_time=k * 1_000_000, x=1.0 + k, y=2.0, z=3.0, reflectivity=51, tag=16, line=k % 6)
            for k in range(100)]  # fmt: skip
    message = whole(header=ros.header("livox", START), timebase=START - behind_ns, point_num=100, lidar_id=1,
                    rsvd=np.zeros(3, np.uint8), points=held)  # fmt: skip
    (scan,), _ = scans_of(ros.write(tmp_path / "l", [("/livox/lidar", message)]))
    assert (scan.header.source, scan.header.capture_ns, scan.duration_ns) == ("lidar/livox_lidar", START, 99_000_000)
    np.testing.assert_array_equal(scan.ring, np.arange(100) % 6)
    assert scan.xyz_m[5].tolist() == [6.0, 2.0, 3.0]
    assert scan.intensity[0] == pytest.approx(0.2)


def test_stamps_of_zero_are_named_and_the_arrival_stands_for_them(tmp_path: Path) -> None:
    path = bag(tmp_path, [Ros().cloud({"intensity": np.ones(N, "u1")}, 0) for _ in range(3)])
    log = open_log(path)
    found = [m for m in log.messages() if isinstance(m, LidarScan)]
    assert [scan.header.capture_ns for scan in found] == [START + k * PERIOD for k in range(3)]
    assert [(f.name, f.count) for f in log.findings if f.name == "unstamped"] == [("unstamped", 3)]


def test_convert_says_how_many_of_how_many(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ros = Ros()
    clouds = [ros.cloud({"intensity": np.ones(40, "f4")}, stamp_ns=START + k * SECOND // 10) for k in range(10)]
    for cloud in clouds[5:]:
        cloud.data = cloud.data[:-8]  # fewer bytes than its points have
    content = [("/tf_static", ros.transforms(("base_link", "lidar", (0.0, 0.0, 2.0))))]
    path = ros.write(tmp_path / "half", [*content, *(("/points", cloud) for cloud in clouds)], step_ns=SECOND // 10)
    assert run(["log", "convert", str(path), str(tmp_path / "half_out.mcap")]) == 3
    shown = capsys.readouterr().out
    assert "half_out.mcap: 5 messages of 10, " in shown
    assert re.search(r"error \[refused\] lidar/points: .*, 5 times", shown)
