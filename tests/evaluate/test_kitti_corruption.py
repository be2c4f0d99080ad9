"""Recorded frames under corruption: each kind does what it says where it can, and says why where it cannot."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from kitti_folders import CAR, beam_scan, drive, found, objects, picture

from fusion_pipeline.evaluate.kitti import evaluated, steps
from fusion_pipeline.evaluate.kitti_corrupted import KINDS, Corrupted
from fusion_pipeline.evaluate.kitti_detect import ALL, CAMERA_ALONE, LIDAR_ALONE
from fusion_pipeline.evaluate.kitti_frames import EvaluationError, LabelledFrame, find
from fusion_pipeline.evaluate.kitti_judge import look
from fusion_pipeline.evaluate.kitti_robust import Corruptions, Kept, chart, figures, retention
from fusion_pipeline.logs.kitti_files import CAMERA, read_scan
from fusion_pipeline.manifest import SHIPPED
from fusion_pipeline.train.corruptions import CORRUPTIONS, SEVERITIES

LIDAR_MODEL = SHIPPED / "lidar_bev.onnx"
RIGHT, GHOST = (20.0, 2.0, 0, 0.9), (40.0, -5.0, 0, 0.95)


@pytest.fixture
def frame(tmp_path: Path) -> LabelledFrame:
    """Number 5 of a drive, of 64 beams; each picture is lighter than the one before."""
    folder = drive(tmp_path / "2011_09_26")
    (folder / "tracklet_labels.xml").unlink()
    for number in range(6):
        picture(folder / "image_02" / "data" / f"{number:010d}.png", 100 + 10 * number)
    beam_scan(folder / "velodyne_points" / "data" / f"{5:010d}.bin")
    (folder / "label_02").mkdir()
    (folder / "label_02" / f"{5:010d}.txt").write_text(f"{CAR}\n")
    (one,) = find(tmp_path).frames
    return one


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_touches_its_senses_alone_and_depends_on_the_frame_alone(frame: LabelledFrame, kind: str) -> None:
    assert frame.scan is not None
    wrong, again = Corrupted(frame, ALL), Corrupted(frame, ALL)
    assert wrong.lacks(kind) == ""
    plain, mount = read_scan(frame.scan, 0, 1), frame.calibration.rig("kitti").cameras[CAMERA]
    for severity in SEVERITIES:
        one, two = wrong(kind, severity), again(kind, severity)
        assert one.scan is not None
        assert one.picture is not None
        assert two.scan is not None
        assert two.picture is not None
        assert one.scan.xyz_m.tobytes() == two.scan.xyz_m.tobytes()
        assert one.picture.data.tobytes() == two.picture.data.tobytes()
        moved = len(one.scan.xyz_m) != len(plain.xyz_m) or np.abs(one.scan.xyz_m - plain.xyz_m).max() > 1e-4
        repictured = bool((one.picture.data != 150).any())
        displaced = bool((one.rig.cameras[CAMERA].vehicle_from_sensor.matrix != mount.vehicle_from_sensor.matrix).any())
        assert moved == (kind in ("fewer beams", "fewer points", "motion", "fog", "snow"))
        assert repictured == (kind in ("picture late", "fog", "snow", "dark", "bright", "camera masked"))
        assert displaced == (kind == "camera displaced")


def test_kinds_are_those_of_simulated_moments() -> None:
    assert tuple(CORRUPTIONS) == KINDS
    assert len(KINDS) == 10


def test_beams_are_those_of_the_scanner(frame: LabelledFrame) -> None:
    wrong = Corrupted(frame, ALL)
    kept = [wrong("fewer beams", severity).scan for severity in SEVERITIES]
    assert [len(np.unique(scan.ring)) for scan in kept if scan is not None] == [32, 16, 8]
    assert [len(scan.ring) for scan in kept if scan is not None] == [16_000, 8_000, 4_000]


def test_fog_takes_what_is_far_and_fades_what_is_far(frame: LabelledFrame) -> None:
    wrong = Corrupted(frame, ALL)
    far, middle, low = [], [], []
    for severity in SEVERITIES:
        given = wrong("fog", severity)
        assert given.scan is not None
        assert given.picture is not None
        away = np.linalg.norm(given.scan.xyz_m, axis=1)
        far.append(int((away > 30).sum()))
        assert (away < 4.4).sum() > 0  # droplets; the nearest ground is 4.2 m away
        middle.append(float(given.picture.data[180, :, 2].mean()))  # at the horizon, the wall
        low.append(float(given.picture.data[-4:, :, 2].mean()))  # ground some metres ahead
    assert far[0] > far[1] >= far[2]
    air = 150 * 214 / 222
    assert middle[0] > middle[2] == pytest.approx(air, abs=2.0)
    assert 150 >= low[0] > low[2] > air + 1


def test_late_is_an_earlier_picture(frame: LabelledFrame) -> None:
    wrong = Corrupted(frame, ALL)
    shades = [
        given.data.mean() for given in (wrong("picture late", k).picture for k in SEVERITIES) if given is not None
    ]
    assert shades == pytest.approx([140, 130, 110])
    assert Corrupted(replace(frame, earlier=frame.earlier[:3]), ALL).lacks("picture late") == "no 4 earlier pictures"
    frame.earlier[3].write_bytes(frame.earlier[3].read_bytes()[:-20])
    with pytest.raises(ValueError, match=r"0000000001\.png: truncated png picture"):
        wrong("picture late", 2)


def test_earlier_pictures_end_where_one_is_missing(frame: LabelledFrame) -> None:
    assert [path.stem[-1] for path in frame.earlier] == ["4", "3", "2", "1"]
    frame.earlier[1].unlink()
    (again,) = find(frame.earlier[1].parents[3]).frames
    assert [path.stem[-1] for path in again.earlier] == ["4"]


def test_what_a_frame_or_a_model_does_not_allow(frame: LabelledFrame, tmp_path: Path) -> None:
    single = find(objects(tmp_path / "object")).frames[0]
    lacking = {kind: why for kind in KINDS if (why := Corrupted(single, ALL).lacks(kind))}
    assert lacking == {
        "fewer beams": "the scan's order does not tell its beams", "picture late": "no 4 earlier pictures",
    }  # fmt: skip
    blind = Corrupted(replace(frame, picture=None), ALL)
    assert blind.lacks("dark") == blind.lacks("camera displaced") == "no picture"
    assert (blind.lacks("fog"), blind("fog", 2).picture) == ("", None)
    assert Corrupted(frame, LIDAR_ALONE).lacks("bright") == "the model takes no picture"
    pictured = Corrupted(replace(frame, scan=None), ALL)
    assert pictured.lacks("fewer points") == "no scan"
    assert pictured.lacks("fog") == "no scan that says how far away a pixel is"
    assert (pictured.lacks("snow"), pictured("snow", 0).scan) == ("", None)
    assert Corrupted(frame, CAMERA_ALONE).lacks("fewer beams") == "the model takes no scan"


@pytest.fixture
def twice(tmp_path: Path) -> Corruptions:
    """Two frames, found clean; under fog the second ever less, under darkness nothing at first; late only in one."""
    first, second = find(objects(tmp_path / "training")).frames
    right, missed, ghost = ([Kept.of(look(frame, found(*rows))) for frame in (first, second)]
                            for rows in ((RIGHT,), (), (GHOST, RIGHT)))  # fmt: skip
    under = {
        "fog": {0: (right[0], right[0], right[0]), 1: (right[1], ghost[1], missed[1])},
        "dark": {0: (missed[0], right[0], right[0]), 1: (missed[1], right[1], right[1])},
        "picture late": {1: (right[1], right[1], ghost[1])},
    }
    return Corruptions(tuple(right), under, {"picture late": {"no 4 earlier pictures": 1}, "snow": {"no scan": 2}})


def test_resistance_is_ap_under_corruption_over_clean_ap(twice: Corruptions) -> None:
    rows = {row.what: row for row in figures(twice)}
    what = "cars BEV AP@0.5, moderate, corrupted / clean"
    fog, dark, late = (rows[f"{kind}: {what}"] for kind in ("fog", "dark", "picture late"))
    # a ghost before two right ones: 2 of 3 are right at every recall; one missed of two: half the recalls
    assert (fog.value, fog.n) == (pytest.approx((1 + 2 / 3 + 0.5) / 3), 2)
    assert fog.note == "light 1.00, medium 0.67, heavy 0.50"
    assert (dark.value, late.value, late.n) == (pytest.approx(2 / 3), pytest.approx((1 + 1 + 0.5) / 3), 1)
    mean = rows[f"mean resistance over 3 corruptions x 3 severities, {what}"]
    assert mean.value == pytest.approx((fog.value + dark.value + late.value) / 3)
    assert (mean.target, mean.met, mean.n, mean.note) == (">= 0.8", False, 2, "2 frames")
    assert mean.low is not None
    assert mean.high is not None
    assert mean.low <= mean.value <= mean.high
    assert dict(dark.beside)["centre distance 1 m"] == pytest.approx(2 / 3)
    allowed = rows["kinds of corruption that these frames allow"]
    assert (allowed.value, allowed.unit) == (3, "of 10")
    assert allowed.note == (
        "left out: picture late in 1 of 2 frames: no 4 earlier pictures (1); snow in all frames: no scan (2)"
    )
    assert rows["cars BEV AP@0.5, moderate, before corruption"].value == 100
    (bars,) = chart(twice)
    assert bars.categories == ("picture late", "fog", "dark")
    assert bars.series[2].y == pytest.approx((0.5, 0.5, 1.0))


def test_where_nothing_is_found_clean_there_is_no_resistance(twice: Corruptions, tmp_path: Path) -> None:
    nothing = tuple(Kept.of(look(frame, found())) for frame in find(tmp_path).frames)
    rows = list(figures(replace(twice, clean=nothing)))
    assert [row.value for row in rows] == [0, 0]
    assert "fog: nothing is found clean" in rows[1].note
    assert list(chart(replace(twice, clean=nothing))) == []


def test_retention_is_the_mean_over_subsets_over_all(tmp_path: Path) -> None:
    frames = find(objects(tmp_path / "training")).frames
    hit, half = ([look(frame, found(*rows)) for frame, rows in zip(frames, table, strict=True)]
                 for table in (((RIGHT,), (RIGHT,)), ((), ())))  # fmt: skip
    (row,) = retention({ALL: hit, LIDAR_ALONE: hit, CAMERA_ALONE: half})
    assert (row.value, row.low, row.high, row.n) == (
        pytest.approx(2 / 3),
        pytest.approx(2 / 3),
        pytest.approx(2 / 3),
        2,
    )
    assert row.note.startswith(
        "all senses 100.0, LiDAR alone 100.0, camera alone 0.0; KITTI has no sound: as 7 subsets 0.57"
    )
    assert list(retention({ALL: hit})) == []
    assert list(retention({ALL: half, LIDAR_ALONE: hit, CAMERA_ALONE: half})) == []


def test_a_model_under_corruption(tmp_path: Path) -> None:
    objects(tmp_path / "training", count=3)
    folder, counted = find(tmp_path), [0]

    def advance(n: int) -> None:
        counted[0] += n

    one, _ = evaluated(LIDAR_MODEL, folder, advance, robust=2)
    assert counted[0] == steps(LIDAR_MODEL, folder, 2) == 3 + 2 * 30
    assert one.about.endswith("; 2 of them under each corruption")
    rows = one.sections["under corruption"]
    assert rows[-1].value == 4  # points, motion, fog, snow
    assert "dark in all frames: the model takes no picture (2)" in rows[-1].note
    assert "kitti_robustness" in {drawn.name for drawn in one.charts}
    again, _ = evaluated(LIDAR_MODEL, folder, robust=2)
    assert again.sections == one.sections
    plain, _ = evaluated(LIDAR_MODEL, folder)
    assert "under corruption" not in plain.sections


def test_a_damaged_earlier_picture_names_the_frame(frame: LabelledFrame, tmp_path: Path) -> None:
    frame.earlier[0].write_bytes(frame.earlier[0].read_bytes()[:-20])
    with pytest.raises(
        EvaluationError, match=r"frame 0007/5: .*0000000004\.png: truncated png picture; download it again"
    ):
        evaluated(SHIPPED / "fusion_nano.onnx", find(tmp_path), robust=1)


def test_real_frames_allow_all_kinds_but_late_pictures_of_single_frames(data_root: Path) -> None:
    frames = {one.name: one for one in find(data_root).frames}
    if not {"0052/14", "object/000003"} <= frames.keys():
        pytest.skip(f"no KITTI frames under {data_root}")
    driven, single = Corrupted(frames["0052/14"], ALL), Corrupted(frames["object/000003"], ALL)
    assert {kind: why for kind in KINDS if (why := driven.lacks(kind))} == {}
    assert [kind for kind in KINDS if single.lacks(kind)] == ["picture late"]
    for wrong in (driven, single):
        scan = wrong("fewer beams", 0).scan
        assert scan is not None
        assert len(np.unique(scan.ring)) == 32
