"""The curve of a training: what is measured of each checkpoint, and where the line through it leads."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

from fusion_pipeline.evaluate import curve  # noqa: E402
from fusion_pipeline.evaluate.curve import Point, needed, trend  # noqa: E402
from fusion_pipeline.train.fusion import NANO, FusionNet  # noqa: E402
from fusion_pipeline.train.judge import SUBSETS  # noqa: E402


def point(taught: int, camera: float, full: float = 80.0) -> Point:
    means = {mix: full if mix[0] else camera if mix[1] else 0.0 for mix in SUBSETS}
    return Point(str(taught), taught, means)


def test_a_line_over_doublings_is_found_and_followed() -> None:
    line = trend([point(1000, 10.0), point(2000, 14.0), point(8000, 22.0)])
    assert line.per_doubling == pytest.approx(4.0)
    assert line.at(4000) == pytest.approx(18.0)
    assert line.reaches(26.0) == pytest.approx(16000)


def test_a_camera_as_good_as_needed_gives_the_retention_asked_for() -> None:
    last = point(8000, 22.0)
    assert last.retention < curve.WANTED
    assert point(8000, needed(last, curve.WANTED)).retention == pytest.approx(curve.WANTED)


def test_what_does_not_grow_never_gets_there() -> None:
    assert trend([point(1000, 10.0), point(2000, 9.0)]).reaches(20.0) == float("inf")
    with pytest.raises(ValueError, match="two different"):
        trend([point(1000, 10.0)])


def test_the_command_prints_and_draws(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:  # fmt: skip
    paths = []
    for taught in (8, 16):
        net = FusionNet(NANO)
        paths.append(tmp_path / f"net{taught}.pt")
        mean = {f"module.{name}": value for name, value in net.state_dict().items()}
        torch.save({"mean": mean, "size": "nano", "samples": taught}, paths[-1])
    command = ["curve", *(f"{path}={8 * k}" for k, path in enumerate(paths, 1)), "--cache", str(tmp_path / "held"),
               "--moments", "1", "--plots", str(tmp_path / "plots")]  # fmt: skip
    monkeypatch.setattr(sys, "argv", command)
    curve.main()
    said = capsys.readouterr().out
    assert said.count("|") > 30
    assert f"retention of {curve.WANTED}" in said
    assert (tmp_path / "plots" / "camera_alone.png").stat().st_size > 1000
    monkeypatch.setattr(sys, "argv", ["curve", "nowhere.pt=7", "--cache", str(tmp_path)])
    with pytest.raises(SystemExit):
        curve.main()
    assert "nowhere.pt" in capsys.readouterr().err
    monkeypatch.setattr(sys, "argv", ["curve", f"{paths[0]}=8", "--cache", str(tmp_path)])
    with pytest.raises(SystemExit):
        curve.main()
    assert "two different" in capsys.readouterr().err
