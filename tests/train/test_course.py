"""A course renders what is missing, refuses to go on as another one, and draws its curves."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from fusion_pipeline.train import course
from fusion_pipeline.train.course import Course, CourseError, opened, rendered


def test_a_run_goes_on_with_its_own_options_alone(tmp_path: Path) -> None:
    plan = Course(hours=0.5, rides=10)
    assert opened(tmp_path / "run", plan) == plan
    assert opened(tmp_path / "run", plan) == plan
    with pytest.raises(CourseError, match="was begun with another batch, rate; go on with the same options"):
        opened(tmp_path / "run", replace(plan, batch=8, rate=1e-2))


def test_the_cache_keeps_its_limit() -> None:
    assert Course(rides=6000, cache_gb=1.0).affordable == int(1000 / course.RIDE_MB)
    assert Course(rides=6, cache_gb=1.0).affordable == 6


def test_only_what_is_missing_is_rendered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = Course(rides=3, workers=1)
    (tmp_path / f"{course.FIRST_SEED + 1:07d}.npz").write_bytes(b"there")
    assert sum(rendered(tmp_path, plan)) == 3
    assert len(list(tmp_path.glob("???????.npz"))) == 3
    assert (tmp_path / f"{course.FIRST_SEED + 1:07d}.npz").read_bytes() == b"there"
    assert list(rendered(tmp_path, plan)) == [3]


def test_curves_are_drawn(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    pytest.importorskip("matplotlib")
    from fusion_pipeline.train.fusion_fit import TERMS

    losses = ",0.5" * (len(TERMS) - 1)
    rows = [f"{20 * k},{80 * k},{k / 50},{np.exp(-k / 20):.3f}{losses}" for k in range(1, 50)]
    (tmp_path / "curve.csv").write_text("\n".join(rows))
    assert course.curves(tmp_path).stat().st_size > 5000


def test_stages_follow_one_another(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch = pytest.importorskip("torch")
    from fusion_pipeline.train import camera_fit, fusion_fit

    begun: list[tuple[str, Path | None]] = []

    def fit(
        rides: Path, run: Path, schedule: object, lidar: object, start: Path | None, manner: object, said: object
    ) -> None:
        begun.append((run.name, start))
        run.mkdir(parents=True)
        torch.save({"spent": schedule.seconds}, run / "last.pt")  # type: ignore[attr-defined]

    def pictures(rides: Path, run: Path, schedule: object, start: Path | None, manner: object, said: object) -> None:
        fit(rides, run, schedule, None, start, manner, said)

    monkeypatch.setattr(fusion_fit, "fit", fit)
    monkeypatch.setattr(camera_fit, "fit", pictures)
    plan = Course(hours=1.0, start="weights.npz")
    stages = course.stages_of(plan)
    assert sum(stage.share for stage in stages) == pytest.approx(1.0)
    for _ in range(2):  # the second time there is nothing left to do
        for number, stage in enumerate(stages, 1):
            course.trained(tmp_path, tmp_path, plan, stage, number, lambda share, text: None)
    assert [name for name, _ in begun] == ["1-pictures", "2-camera", "3-together", "4-settling"]
    assert begun[0][1] == Path("weights.npz")
    assert begun[1][1] == tmp_path / "1-pictures" / "last.pt"
    assert course.stages_of(Course())[0].name == "lidar"
