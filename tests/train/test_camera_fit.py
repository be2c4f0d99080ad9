"""The camera's part by itself: what it is taught, that it learns, and that flat ground tells it how deep things are."""

from __future__ import annotations

from itertools import count
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from fusion_pipeline.encode.lookup import DEPTHS, FARTHEST_M, NEAREST_M, RAY  # noqa: E402
from fusion_pipeline.train import camera_fit, loop  # noqa: E402
from fusion_pipeline.train.curriculum import FROM_NOTHING, FURTHER, Stage  # noqa: E402
from fusion_pipeline.train.fusion import BASE, FusionNet  # noqa: E402
from fusion_pipeline.train.fusion_fit import Manner  # noqa: E402
from fusion_pipeline.train.loop import Schedule  # noqa: E402
from fusion_pipeline.train.losses import class_loss, depth_loss  # noqa: E402
from fusion_pipeline.train.rides import load, render, save  # noqa: E402
from fusion_pipeline.train.senses import MARKS, Ground  # noqa: E402
from fusion_pipeline.train.stored import restored, store  # noqa: E402
from fusion_pipeline.train.views import WHOLE, changed_view, elsewhere, plain_view  # noqa: E402


@pytest.fixture(scope="module")
def rides(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("rides")
    for number in range(2):
        save(render(2_970_000 + number), folder / f"{number:07d}.npz")
    return folder


def test_a_depth_between_two_bins_is_best_said_by_both() -> None:
    logits = torch.full((1, DEPTHS, 1, 2), -9.0)
    logits[0, 20:22, 0] = 0.0
    bins, even = torch.tensor([[[21.0, -1.0]]]), torch.ones(1, 1, 2)
    assert float(depth_loss(logits, bins, even)) == pytest.approx(np.log(2), abs=0.02)
    twice = depth_loss(torch.cat([logits, logits * 0], 3), torch.tensor([[[21.0, -1.0, 21.0, 40.0]]]),
                       torch.tensor([[[1.0, 9.0, 0.0, 0.0]]]))  # fmt: skip
    assert float(twice) == pytest.approx(np.log(2), abs=0.02)  # neither the unknown nor the weightless count
    right = torch.zeros(1, 6, 1, 2)
    right[0, 3] = 9.0
    assert float(class_loss(right, torch.full((1, 1, 2), 3), even)) < 0.01


def test_ground_says_where_it_is_in_depth_and_nothing_at_first() -> None:
    ground = Ground(8)
    rays = torch.zeros(1, 480, RAY)
    rays[0, :, 6] = 1 / 20.0
    assert not ground(rays).any()  # a network that was trained without goes on as it was
    with torch.no_grad():
        ground.tell.weight[0, :MARKS, 0, 0] = torch.linspace(0, 1, MARKS)
        ground.tell.weight[1, :MARKS] = 1.0
    told = ground(rays)[0, :, 12, 40].detach()
    depth = float(np.log(20.0 / NEAREST_M) / np.log(FARTHEST_M / NEAREST_M))
    assert float(told[0] / told[1]) == pytest.approx(depth, abs=0.01)


def test_what_is_taught_is_what_the_ride_shows(rides: Path) -> None:
    image, rays, classes, depths = camera_fit.seen(rides / "0000000.npz", np.random.default_rng(0))
    assert image.shape == (3, 192, 640)
    assert rays.shape == (480, RAY)
    assert classes.shape == depths.shape == (24, 80)
    near, far = depths[20:][depths[20:] >= 0].mean(), depths[8:12][depths[8:12] >= 0].mean()
    assert near < far


def test_it_leaves_a_whole_network_and_goes_on(rides: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ticks, heard = count(), []
    monkeypatch.setattr(loop, "time", SimpleNamespace(monotonic=lambda: float(next(ticks))))
    monkeypatch.setattr(torch, "set_num_threads", lambda _: None)
    store(FusionNet(BASE), tmp_path / "start.npz", 7)
    before = restored(tmp_path / "start.npz")[0].state_dict()
    run = tmp_path / "run"
    manner = Manner(kept=(camera_fit.EDGES,))
    start = tmp_path / "start.npz"
    camera_fit.fit(rides, run, Schedule(45.0, 2, 2e-3), start, manner, lambda _, text: heard.append(text))
    assert heard[0].startswith("segment ")
    network, samples = restored(run / "last.pt")
    after = network.state_dict()
    assert float((after["camera.ground.tell.weight"]).abs().max()) > 0
    torch.testing.assert_close(after["lidar.stem.0.0.weight"], before["lidar.stem.0.0.weight"])
    assert float((after["camera.sixteen.0.0.weight"] - before["camera.sixteen.0.0.weight"]).abs().max()) > 1e-4
    edges = [name for name in after if name.startswith(("camera.two.", "camera.four."))]
    assert all(torch.equal(after[name], before[name]) for name in edges)
    camera_fit.fit(rides, run, Schedule(9.0, 2, 2e-3), None, manner)  # neither start nor steps are asked for again
    network, more = restored(run / "last.pt")
    assert more > samples
    torch.testing.assert_close(network.state_dict()["hear.weight"], before["hear.weight"])
    assert (run / "curve.csv").read_text().count("\n") == more // 2 // 20


def test_without_rides_it_says_how_to_make_some(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"train\.rides"):
        next(camera_fit.batches(tmp_path, Schedule(1.0)))


def test_a_camera_that_was_never_taught_learns_its_edges_too(
    rides: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ticks = count()
    monkeypatch.setattr(loop, "time", SimpleNamespace(monotonic=lambda: float(next(ticks))))
    monkeypatch.setattr(torch, "set_num_threads", lambda _: None)
    store(FusionNet(BASE), tmp_path / "start.npz", 0)
    before = restored(tmp_path / "start.npz")[0].state_dict()["camera.two.0.weight"]
    for stage, moves in ((stage_of(FROM_NOTHING), True), (stage_of(FURTHER), False)):
        run = tmp_path / str(moves)
        camera_fit.fit(rides, run, Schedule(9.0, 2, 2e-3), tmp_path / "start.npz", Manner(kept=stage.kept))
        after = restored(run / "last.pt")[0].state_dict()["camera.two.0.weight"]
        assert torch.equal(after, before) != moves


def stage_of(stages: tuple[Stage, ...]) -> Stage:
    """The one of pictures."""
    return next(stage for stage in stages if stage.pictures)


def test_a_picture_of_elsewhere_is_whole_but_out_of_place(rides: Path) -> None:
    view = plain_view(load(rides / "0000001.npz"))
    other = elsewhere(view)
    np.testing.assert_array_equal(other.image, view.image[:, :, ::-1])
    np.testing.assert_array_equal(other.classes, view.classes[:, ::-1])  # what it shows it still shows
    np.testing.assert_array_equal(other.depths, view.depths[:, ::-1])
    assert other.pose is view.pose
    assert other.fit == view.fit


def test_strange_pictures_keep_the_shapes_of_things(rides: Path) -> None:
    ride = load(rides / "0000001.npz")
    changes = []
    for seed in range(12):
        view = changed_view(ride, WHOLE, np.random.default_rng(seed))
        assert np.isfinite(view.image).all()
        np.testing.assert_array_equal(view.classes, ride.classes)  # through the same lens
        changes.append(float(np.abs(view.image - plain_view(ride).image).mean()))
    assert min(changes) > 0.01
    assert max(changes) > 0.3
