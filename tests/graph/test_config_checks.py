"""Wrong values of `--set` and of rigs: each is found in the parent before anything starts, as one sentence."""

from __future__ import annotations

from pathlib import Path

import pytest

from calibration import rig
from fusion_pipeline.graph import LAUNCH_FILES, GraphError, load_graph
from fusion_pipeline.manifest import CPU_MODEL
from fusion_pipeline.overrides import OverrideError

WRONG_VALUES = [
    ("detector.min_score=7", "from 0 to 1"),
    ("detector.min_score=-0.1", "from 0 to 1"),
    ("detector.min_score=nan", "NaN"),
    ("detector.min_scor=0.4", "did you mean 'min_score'"),
    ("detector.providers=gpu", "did you mean 'cuda'"),
    ("detector.providers=GPU", "did you mean 'cuda'"),
    ("detector.providers=tensort", "did you mean 'tensorrt'"),
    ("detector.providers=", "at least one"),
    ("detector.threads=0", "from 1 to 1024"),
    ("detector.threads=-2", "from 1 to 1024"),
    ("detector.threads=two", "whole number"),
    ("detector.model=none.onnx", "does not exist"),
    ("detector.model=/", "does not exist; check the path"),
    ("detector.rig=none.toml", "does not exist"),
    ("detector.rig=/", "it is a folder"),
    ("detectr.min_score=0.4", "did you mean 'detector'"),
    ("aligner.deadline_ms=-5", "from 0 to 60000"),
    ("aligner.deadline_ms=inf", "finite"),
    ("aligner.tick_ms=0", "from 1 to 60000"),
    ("aligner.audio_window_s=0", "above 0"),
    ("aligner.camera_window_ms=nan", "NaN"),
    ("aligner.topics=camera/nope", "no process of the graph writes 'camera/nope'"),
    ("aligner.reference=lidar/roof", "did you mean 'lidar/top'"),
    ("tracker.gate_m=nan", "NaN"),
    ("tracker.gate_m=0", "above 0"),
    ("tracker.min_hits=0", "from 1 to 1000"),
    ("tracker.low_score=0.9", "lies above high_score"),
    ("tracker.smoothing=2", "from 0 to 1"),
    ("tracker.max_tracks=0", "from 1 to 100000"),
    ("camera.front.source=/dev/videoX", "write its number"),
    ("camera.front.source=rstp://10.0.0.2/main", "scheme 'rstp' is unknown"),
    ("camera.front.source=rtsp://10.0.0.2:99999/main", "a port is a number"),
    ("camera.front.source=drive.mp4", "does not exist"),
    ("camera.front.width_px=-640", "from 0 to 65500"),
    ("camera.front.width_px=640", "write both"),
    ("camera.front.rate_hz=-1", "from 0 to 10000"),
    ("camera.front.name=front left", "without blanks"),
    ("camera.front.silence_s=0", "above 0"),
    ("lidar.top.model=VLP-17", "did you mean 'VLP-16'"),
    ("lidar.top.source=udp://0.0.0.0:99999", "a port is a number from 1 to 65535"),
    ("lidar.top.source=udp://0.0.0.0", "has no port"),
    ("lidar.top.source=tcp://0.0.0.0:2368", "known: udp"),
    ("lidar.top.source=udp://300.0.0.1:2368", "no address"),
    ("lidar.top.sender=192.168.1", "no address of a sensor"),
    ("lidar.top.min_range_m=300", "not below max_range_m"),
    ("lidar.top.model=HDL-64E", "calibration"),
    ("microphone.roof.channels=0", "above 0"),
    ("microphone.roof.channels=2", "2 channels, but 4 microphones"),
    ("microphone.roof.rate_hz=0", "above 0"),
    ("microphone.roof.chunk_ms=0", "above 0"),
    ("microphone.roof.device=hw:x", "write the card's number"),
    ("recorder.compression=gzip", "unknown"),
    ("recorder.images=jpg", "did you mean 'jpeg'"),
    ("recorder.split_mb=-1", "from 0"),
    ("recorder.buffer_mb=1", "from 16"),
    ("recorder.out=drive.bag", "should end in .mcap"),
    ("recorder.topics=lidr", "did you mean 'lidar'"),
    ("recorder.save_on=score > 0.5", "needs keep_s"),
]
OPTICAL = "rotation = [[0.0, 0.0, 1.0], [-1.0, 0.0, 0.0], [0.0, -1.0, 0.0]]"
MATRIX = "[[400.0, 0.0, 319.5], [0.0, 400.0, 112.0], [0.0, 0.0, 1.0]]"
WRONG_RIGS = [  # what is replaced in the demo's rig, by what, and what is said
    (OPTICAL, "rol_pitch_yaw_deg = [0, 0, 0]", "did you mean 'roll_pitch_yaw_deg'"),
    (f", {OPTICAL}", "", "lacks a rotation"),
    (OPTICAL, "roll_pitch_yaw_deg = [0, 0, 30]", "looks straight up"),
    (OPTICAL, "rotation = [[1, 0, 0], [0, 2, 0], [0, 0, 1]]", "not a rotation"),
    (OPTICAL, "quaternion_xyzw = [0, 0, 0, 0]", "has the length 0"),
    (OPTICAL, f"{OPTICAL}, quaternion_xyzw = [0, 0, 0, 1]", "one says it all"),
    ("[0.0, 0.0, 1.73]", "[0.0, 0.0, 1730.0]", "millimetres"),
    ("[0.0, 0.0, 1.73]", "[0.0, 0.0]", "a list of 3 numbers"),
    ("[0.0, 0.0, 1.73]", "[0.0, 0.0, nan]", "finite"),
    ("[0.0, 0.0, 1.73]", '[0.0, 0.0, "1.73"]', "write a number"),
    ("[lidar.top]", '[lidar.top]\nmak = "VLP-16"', "did you mean 'make'"),
    ("[lidar.top]", "[lidar.top]\noffset_ms = 1e9", "at most an hour"),
    ("[lidar.top]", "[lidr.top]", "did you mean 'lidar'"),
    ("[camera.front]", "[camera]", "write a table [camera.NAME]"),
    (MATRIX, "[[0, 0, 0], [0, 0, 0], [0, 0, 0]]", "fx and fy above 0"),
    (MATRIX, MATRIX.replace("400.0", "nan", 1), "finite"),
    (MATRIX, MATRIX.replace("400.0", "0.4"), "is it in pixels"),
    (MATRIX, MATRIX.replace("319.5", "3195"), "far outside"),
    ("width_px = 640", "width_px = -640", "whole number of pixels"),
    ("height_px = 240", "height_px = 240.5", "whole number of pixels"),
    ('"pinhole"', '"pinhol"', "unknown"),
    ("[[0.1, 0.1, 0.0], ", "[[0.1, -0.1, 0.0], ", "at the same place"),
    ('name = "demo"', 'name = "demo', "cannot be read"),
    ('name = "demo"', "name = 7", "write a text"),
]


def faults(*assignments: str) -> tuple[str, ...]:
    """What `fusion launch launch/vehicle.py --check` finds."""
    graph = load_graph(LAUNCH_FILES / "vehicle.py")
    try:
        graph.with_overrides(assignments).check(thorough=True)
    except GraphError as error:
        return error.faults
    except OverrideError as error:
        return (str(error),)
    return ()


def test_the_vehicle_as_it_is_has_no_fault() -> None:
    assert faults() == ()


@pytest.mark.parametrize(("assignment", "said"), WRONG_VALUES, ids=[value for value, _ in WRONG_VALUES])
def test_a_wrong_value_is_found(assignment: str, said: str) -> None:
    (fault,) = faults(assignment)
    assert said in fault
    assert "\n" not in fault


@pytest.mark.parametrize(("old", "new", "said"), WRONG_RIGS, ids=[said for _, _, said in WRONG_RIGS])
def test_a_wrong_rig_is_found(tmp_path: Path, old: str, new: str, said: str) -> None:
    text = rig("demo").read_text(encoding="utf-8")
    assert old in text
    path = tmp_path / "rig.toml"
    path.write_text(text.replace(old, new, 1), encoding="utf-8")
    (fault,) = faults(*(f"{node}.rig={path}" for node in ("aligner", "detector", "recorder")))
    assert said in fault
    assert str(path) in fault
    assert "\n" not in fault


def test_the_rig_of_another_vehicle_is_found() -> None:
    found = faults(f"aligner.rig={rig('two_lidars')}")
    assert any("no process of the graph writes 'lidar/bumper'" in fault for fault in found)
    assert any("4 channels, but 6 microphones" in fault for fault in found)


def test_sensors_without_use_are_noted() -> None:
    graph = load_graph(LAUNCH_FILES / "vehicle.py").with_overrides([f"detector.rig={rig('two_lidars')}"])
    notes = graph.check(thorough=True).notes
    assert [note.partition(" is ")[0] for note in notes] == ["detector: camera/left", "detector: camera/right"]
    assert all("not used by this model" in note for note in notes)


def test_a_manifest_with_an_unknown_operation_is_found(tmp_path: Path) -> None:
    manifest = CPU_MODEL.with_suffix(".toml").read_text(encoding="utf-8")
    (tmp_path / "m.toml").write_text(manifest.replace('op = "nms_bev"', 'op = "nms_bv"'), encoding="utf-8")
    (fault,) = faults(f"detector.model={tmp_path / 'm.toml'}")
    assert "did you mean 'nms_bev'" in fault
