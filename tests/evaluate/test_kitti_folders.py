"""Which frames of a folder can be judged, what is missing in it, and that it is said where, what for and where from."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from kitti_folders import DONT_CARE, drive, objects

from fusion_pipeline.evaluate.kitti_frames import EvaluationError, find, projected
from fusion_pipeline.logs.reader import LogError


def test_the_object_benchmark_as_downloaded(tmp_path: Path) -> None:
    objects(tmp_path / "training")
    for root in (tmp_path, tmp_path / "training"):
        folder = find(root)
        assert folder.missing == ()
        assert [frame.name for frame in folder.frames] == ["object/000000", "object/000001"]
    truth = folder.frames[0].truth
    assert truth.kinds == ("Car",)
    np.testing.assert_allclose(truth.boxes, [[20, 2, 0.8, 4, 1.8, 1.5, 0]], atol=1e-3)
    assert (truth.heights_px[0], truth.occlusion[0], truth.truncation[0]) == (80, 0, 0)
    assert truth.dont_care_px.tolist() == [[700, 150, 760, 200]]
    assert folder.frames[0].calibration.size_px == (1242, 375)


def test_a_raw_drive_with_tracklets(tmp_path: Path) -> None:
    path = drive(tmp_path / "2011_09_26")
    for root in (tmp_path, path.parent, path):
        frames = find(root).frames
        assert [frame.name for frame in frames] == ["0007/0", "0007/1"]
    truth = frames[0].truth
    np.testing.assert_allclose(truth.boxes, [[20, 2, 0.8, 4, 1.8, 1.5, 0]], atol=1e-3)
    assert truth.occlusion.tolist() == [1]
    assert truth.truncation.tolist() == pytest.approx([0.0], abs=1e-9)
    # the nearest face, 18 m away, is 700 * 1.5 / 18 pixels high
    np.testing.assert_allclose(truth.heights_px, 700 * 1.5 / 18, rtol=0.05)
    assert frames[1].truth.kinds == ()  # behind the camera, where nothing is pictured


def test_a_box_half_out_of_the_picture_is_truncated(tmp_path: Path) -> None:
    path = drive(tmp_path / "day")
    text = (path / "tracklet_labels.xml").read_text()
    (path / "tracklet_labels.xml").write_text(text.replace("<ty>2</ty>", "<ty>17</ty>"))
    (frame, _) = find(tmp_path).frames
    assert 0.1 < frame.truth.truncation[0] < 0.9
    left, _, _, bottom = projected(frame.truth.boxes, frame.calibration)[0]
    assert (left, bottom <= 374) == (0, True)


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    folder = objects(tmp_path / "training", count=3)
    (folder / "velodyne" / "000001.bin").unlink()
    for file in (folder / "image_2").iterdir():
        file.unlink()
    found = find(tmp_path)
    assert [frame.name for frame in found.frames] == ["object/000000", "object/000002"]
    scans, pictures = found.missing
    assert "velodyne: 1 of 3 labelled frames are missing (000001)" in scans
    assert "data_object_velodyne.zip, https://www.cvlibs.net" in scans
    assert "image_2: nothing for any of 3 labelled frames: the camera" in pictures
    (folder / "calib" / "000000.txt").unlink()
    assert [frame.name for frame in find(tmp_path).frames] == ["object/000002"]


def test_a_drive_without_calibration_or_labels_says_so(tmp_path: Path) -> None:
    path = drive(tmp_path / "day")
    (tmp_path / "day" / "calib_velo_to_cam.txt").unlink()
    with pytest.raises(EvaluationError, match=r"calib_velo_to_cam\.txt: where the sensors sit .the day's"):
        find(tmp_path)
    (path / "tracklet_labels.xml").unlink()
    with pytest.raises(EvaluationError, match=r"tracklet_labels\.xml: no labels, the truth"):
        find(tmp_path)


def test_a_folder_of_something_else(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    with pytest.raises(EvaluationError, match="holds no KITTI data: neither a folder with label_2"):
        find(tmp_path)
    with pytest.raises(EvaluationError, match=r'is no folder; name one with KITTI data .* or "simulated"'):
        find(tmp_path / "nowhere")


def test_testing_needs_no_labels(tmp_path: Path) -> None:
    objects(tmp_path / "training")
    testing = objects(tmp_path / "testing")
    for file in (testing / "label_2").iterdir():
        file.unlink()
    (testing / "label_2").rmdir()
    assert find(tmp_path).missing == ()


def test_a_damaged_line_of_labels_names_its_file(tmp_path: Path) -> None:
    folder = objects(tmp_path)
    (folder / "label_2" / "000001.txt").write_text(f"Car 0.00 0 1.0 nonsense\n{DONT_CARE}\n")
    with pytest.raises(LogError, match=r"000001\.txt cannot be read as labels"):
        find(tmp_path)
