"""Figures, plots and pictures of a hand-made folder; JSON that reads back; the model card."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from kitti_folders import found, objects

from fusion_pipeline.bench.report import Figure, markdown, ranged
from fusion_pipeline.dashboard.plots import draw_chart
from fusion_pipeline.evaluate import one_frame, outcome
from fusion_pipeline.evaluate.card import card, shipped
from fusion_pipeline.evaluate.kitti import evaluated
from fusion_pipeline.evaluate.kitti_frames import EvaluationError, find
from fusion_pipeline.evaluate.kitti_judge import Judged, look, sureness
from fusion_pipeline.evaluate.pictures import worst_kitti, write_charts, write_failures
from fusion_pipeline.manifest import SHIPPED, Manifest
from fusion_pipeline.metrics import kitti
from fusion_pipeline.metrics.charts import Chart, Series

LIDAR_MODEL = SHIPPED / "lidar_bev.onnx"


@pytest.fixture
def judged(tmp_path: Path) -> list[Judged]:
    """Found right, with a ghost; and missed. The truth is one car at x 20, y 2 in each."""
    first, second = find(objects(tmp_path / "training")).frames
    return [look(first, found((20.1, 2, 0, 0.9), (40, -5, 0, 0.8), (30, 60, 0, 0.7))), look(second, found())]


def test_only_what_the_camera_shows_is_judged(judged: list[Judged]) -> None:
    assert judged[0].found.boxes.scores.tolist() == pytest.approx([0.9, 0.8])  # y = 60 is out of the picture
    verdicts = kitti.judged([item.of("Car") for item in judged], "Car", kitti.MODERATE, 0.7, True)
    assert verdicts.right.tolist() == [True, False]
    assert kitti.precision_of(verdicts) == pytest.approx(50)
    assert verdicts.wanted.tolist() == [1, 1]


def test_scores_and_errors_of_findings(judged: list[Judged]) -> None:
    sure = sureness(judged)
    assert sure.right.tolist() == [True, False]
    np.testing.assert_allclose(sure.errors[:, :3], [[0.1, 0, 0]], atol=1e-3)
    np.testing.assert_allclose(sure.sigmas, 0.1, rtol=1e-5)


def test_the_worst_frames_are_drawn_first(judged: list[Judged], tmp_path: Path) -> None:
    failures = list(worst_kitti([judged[0], judged[1], replace(judged[0], frame=judged[0].frame)], 2))
    assert len(failures) == 2
    (ghost, missed) = (next(f for f in failures if f.false), next(f for f in worst_kitti(judged, 9) if f.missed))
    assert ghost.false == ("car 40 m away (x 40.0, y -5.0), score 0.80",)
    assert missed.missed == ("Car 20 m away (x 20.0, y 2.0)",)
    assert write_failures(tmp_path / "worst", ((f.name, f.image()) for f in failures)) == 2
    pictures = sorted(path.name for path in (tmp_path / "worst").iterdir())
    assert [name[:3] for name in pictures] == ["01_", "02_"]
    red = (missed.image()[..., 2] > 200) & (missed.image()[..., 1] < 90) & (missed.image()[..., 0] < 90)
    assert red.sum() > 50  # the missed car's outline


def test_one_frame_as_numbers(judged: list[Judged]) -> None:
    text = one_frame.as_text(judged[0])
    _, car, ghost = text.splitlines()
    assert car.split() == (
        ["car", "0.90", "20.2", "20.10", "2.00", "0.80", "4.00", "1.80", "1.50", "0.0", "0.10", "0.10", "0.10",
         "75", "25", "0", "Car", "0.95", "0.95", "+0.10", "+0.00", "+0.00"]
    )  # fmt: skip
    assert "Car" not in ghost
    assert one_frame.as_text(judged[1]).splitlines()[1].startswith("not found")
    assert one_frame.as_text(judged[0], markdown=True).count("|\n") == 4
    frames = [item.frame for item in judged]
    assert one_frame.named(frames, "1") is frames[1]
    assert one_frame.named(frames, "object/000000") is frames[0]
    with pytest.raises(EvaluationError, match=r"no labelled frame is called '7'; there are 2, such as object/00000"):
        one_frame.named(frames, "7")
    with pytest.raises(EvaluationError, match="'1' fits object/000001, 0052/1; write one of them"):
        one_frame.named([*frames, replace(frames[0], name="0052/1")], "1")


def test_a_model_on_a_folder_without_pictures(tmp_path: Path) -> None:
    folder = objects(tmp_path / "training")
    for file in (folder / "image_2").iterdir():
        file.unlink()
    steps: list[int] = []
    one, seen = evaluated(LIDAR_MODEL, find(tmp_path), steps.append)
    assert len(steps) == len(seen) == 2
    cars = {row.what: row for row in one.sections["cars, AP R40"]}
    assert cars["cars BEV AP@0.7, moderate"].n == 2
    assert cars["cars BEV AP@0.7, moderate"].target == ">= 75"
    assert "cars BEV AP@0.7, 40-70 m" not in cars  # nothing is labelled there
    assert one.sections["cyclists, AP R40"] == ()
    assert {chart.name for chart in one.charts} >= {"kitti_cars_bev_0.7", "kitti_cars_bev_0.7_distance"}
    write_charts(tmp_path / "plots", one.charts)
    image = cv2.imread(str(tmp_path / "plots" / "kitti_cars_bev_0.7.png"))
    assert image is not None
    again = outcome.read(_written(tmp_path / "one.json", outcome.as_json([one])))
    assert again[0].sections == one.sections
    assert again[0].files == one.files
    assert outcome.as_json(again) == outcome.as_json([one])


def test_a_frame_without_a_scan_is_judged_with_what_is_there(tmp_path: Path) -> None:
    (objects(tmp_path / "training") / "velodyne" / "000001.bin").unlink()
    folder = find(tmp_path)
    assert "velodyne: 1 of 2 labelled frames are missing" in folder.missing[0]
    one, seen = evaluated(LIDAR_MODEL, folder)
    assert [len(item.boxes) > 0 for item in seen] == [True, False]
    cars = {row.what: row for row in one.sections["cars, AP R40"]}
    assert cars["cars BEV AP@0.5, moderate"].value <= 50  # one of two cars was never in sight


def test_a_damaged_scan_names_the_frame(tmp_path: Path) -> None:
    folder = objects(tmp_path / "training")
    (folder / "velodyne" / "000001.bin").write_bytes(b"123")
    with pytest.raises(EvaluationError, match=r"frame object/000001: .*000001\.bin: a scan's size"):
        evaluated(LIDAR_MODEL, find(tmp_path))


def test_json_that_is_none_of_ours_is_refused(tmp_path: Path) -> None:
    for text in ("{", "[]", '{"schema": 1}', '{"schema": 1, "evaluations": [{"model": "x"}]}'):
        with pytest.raises(EvaluationError, match="is no result of `fusion eval --out`"):
            outcome.read(_written(tmp_path / "bad.json", text))
    with pytest.raises(EvaluationError, match="schema is 9; this program reads 1"):
        outcome.read(_written(tmp_path / "bad.json", '{"schema": 9}'))
    with pytest.raises(EvaluationError, match="No such file"):
        outcome.read(tmp_path / "none.json")


def test_json_has_no_nan(tmp_path: Path) -> None:
    row = Figure("x", float("nan"), "", low=float("nan"), high=1.0, beside=(("y", float("nan")),))
    one = outcome.Outcome("m", {}, "kitti", "a", "2026-01-01", {"t": (row,)}, ())
    text = outcome.as_json([one])
    assert json.loads(text)["evaluations"][0]["sections"]["t"][0]["value"] is None
    (back,) = outcome.read(_written(tmp_path / "nan.json", text))
    assert np.isnan(back.sections["t"][0].value)


def test_rows_show_interval_and_n() -> None:
    row = Figure("cars", 81.234, "", ">= 75", True, 79.0, "LiDAR alone", "", 60.04, 95.5, 14, (("camera alone", 1.0),))
    assert ranged(row) == "81.23 [60, 95.5] n=14"
    assert "| 81.23 [60, 95.5] n=14 | 79 (LiDAR alone); 1 (camera alone) | >= 75 | met |" in markdown("t", [row])


def test_charts_are_drawn_with_their_colours() -> None:
    bars = Chart("b", "Bars", "bars", "", "AP", (0, 1), (0, 100), (Series("a", (80.0, float("nan"), 0.0)),),
                 ("one two three", "four", "five"))  # fmt: skip
    image = draw_chart(bars).astype(int)
    plain = draw_chart(replace(bars, series=(Series("a", (0.0, float("nan"), 0.0)),))).astype(int)
    changed = np.abs(image - plain).sum(axis=2) > 60
    columns, rows = np.flatnonzero(changed.any(axis=0)), np.flatnonzero(changed.any(axis=1))
    assert columns.max() < image.shape[1] * 0.4  # in the first of three categories
    assert 0.7 < (rows.max() - rows.min()) / 406 < 0.9  # 80 of 100, of 406 pixels
    line = Chart("c", "Curve", "curves", "x", "y", (0, 1), (0, 1), (Series("a", (0.5, 0.5), (0.0, 1.0)),))
    middle = np.abs(draw_chart(line).astype(int) - draw_chart(replace(line, series=())).astype(int)).sum(axis=2) > 60
    assert middle[84 + 203 - 2 : 84 + 203 + 3, 200:700].any(axis=0).all()


def test_the_card_is_made_of_outcomes_alone() -> None:
    (manifest, *_) = shipped()
    files = {Path(file.path).name: file.sha256 for file in manifest.files.values()}
    rows = (Figure("cars BEV AP@0.7, moderate", 61.5, "", ">= 75", False, 60.0, "LiDAR alone", "", 40.0, 80.0, 14),)
    one = outcome.Outcome(manifest.name, files, "kitti", "11 labelled frames", "2026-01-01", {"cars, AP R40": rows}, ())
    text = card([one])
    assert text == card([one])
    assert "| cars BEV AP@0.7 |  | 61.5 [40, 80] 14 |" in text
    assert "Targets not reached: cars BEV AP@0.7, moderate (61.5, wanted >= 75)." in text
    assert "earlier weights" not in text
    stale = card([replace(one, files=dict.fromkeys(files, "0" * 64))])
    assert "Measured with earlier weights of this model" in stale


def test_models_md_names_every_shipped_file(repo_root: Path) -> None:
    """After new weights: fusion eval KITTI simulated --robust 40 --out figures.json --card MODELS.md."""
    text = (repo_root / "MODELS.md").read_text(encoding="utf-8")
    for path in sorted(SHIPPED.glob("*.toml")):
        for file in Manifest.parse(path).files.values():
            assert file.sha256 in text, f"MODELS.md does not name {file.path} as it is now; write it again"
    assert {path.name for path in SHIPPED.glob("*.onnx")} <= set(text.replace("`", " ").replace(",", " ").split())
    assert "earlier weights of this model" not in text


def _written(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path
