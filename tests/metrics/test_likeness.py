"""A comparison of results says what changed, by field, and nothing where nothing did."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest

from fusion_pipeline.metrics.likeness import LikenessError, compared


def thing(x: float, label: str = "car", track: int = 1) -> dict[str, Any]:
    return {
        "label": label, "score": 0.8, "center_m": [x, 1.0, 0.8], "size_m": [4.0, 1.7, 1.5], "yaw_rad": 0.1,
        "velocity_mps": [5.0, 0.0], "std": [0.1] * 8, "attribution": {"lidar": 0.9, "camera": 0.1, "audio": 0.0},
        "track_id": track,
    }  # fmt: skip


def write(path: Path, sets: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in sets))
    return path


SETS = [
    {"stamp_ns": k, "objects": [thing(10.0 + k), thing(30.0, "pedestrian", 2)], "sounds": []} for k in range(1, 6)
]  # fmt: skip


def test_the_same_is_the_same_in_any_order_of_objects(tmp_path: Path) -> None:
    turned = [{**row, "objects": row["objects"][::-1]} for row in SETS]
    found = compared(write(tmp_path / "a", SETS), write(tmp_path / "b", turned))
    assert found.same
    assert (found.sets, found.objects) == (5, 10)
    assert list(found.lines())[-1] == "the same"


def test_each_difference_is_named(tmp_path: Path) -> None:
    other = copy.deepcopy(SETS)
    other[1]["objects"][0]["center_m"][0] += 0.25
    other[2]["objects"].pop()
    other[3]["objects"].append(thing(60.0, "truck"))
    other[3]["objects"][0]["track_id"] = 7
    other[4]["sounds"] = [{"label": "siren", "score": 0.9, "azimuth_rad": 1.0}]
    del other[0]
    found = compared(write(tmp_path / "a", SETS), write(tmp_path / "b", other))
    assert not found.same
    assert found.missing_sets == [1]
    assert found.vanished == {"pedestrian": 1}
    assert found.appeared == {"truck": 1}
    assert found.changed == {"center_m": 1, "track_id": 1}
    assert found.greatest["center_m"] == pytest.approx(0.25)
    assert found.sounds == 1
    assert found.first_ns == 2
    assert "objects gone: 1 x pedestrian" in list(found.lines())


def test_within_tolerance_is_the_same(tmp_path: Path) -> None:
    other = copy.deepcopy(SETS)
    other[0]["objects"][0]["center_m"][0] += 5e-4
    assert compared(write(tmp_path / "a", SETS), write(tmp_path / "b", other)).same
    assert not compared(tmp_path / "a", tmp_path / "b", {"center_m": 1e-4}).same


def test_a_file_that_is_none_is_named_with_its_line(tmp_path: Path) -> None:
    (tmp_path / "b").write_text(json.dumps(SETS[0]) + "\nnonsense\n")
    with pytest.raises(LikenessError, match="b, line 2 is no line of results"):
        compared(write(tmp_path / "a", SETS), tmp_path / "b")
