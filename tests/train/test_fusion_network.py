"""The fusion network: a missing sense has no influence and no share; what is exported is what was trained."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import count
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

torch = pytest.importorskip("torch")
onnx = pytest.importorskip("onnx")

from fusion_pipeline.detect.network import Network  # noqa: E402
from fusion_pipeline.encode.grid import ALL_ROUND, FRONT  # noqa: E402
from fusion_pipeline.encode.lookup import UNSEEN  # noqa: E402
from fusion_pipeline.encode.paint import paint  # noqa: E402
from fusion_pipeline.manifest import Manifest  # noqa: E402
from fusion_pipeline.operations import BevRasterize, Lookup  # noqa: E402
from fusion_pipeline.train import fusion_fit, loop  # noqa: E402
from fusion_pipeline.train.fusion import BASE, NANO, FusionNet, Seen, whole_place, with_paint  # noqa: E402
from fusion_pipeline.train.fusion_export import (  # noqa: E402
    INPUTS,
    Calibration,
    ExportedFusion,
    Form,
    example,
    export,
    manifest,
    parity,
)
from fusion_pipeline.train.loop import Schedule  # noqa: E402
from fusion_pipeline.train.losses import imitation_loss  # noqa: E402
from fusion_pipeline.train.model import LIDAR  # noqa: E402
from fusion_pipeline.train.rides import render, save  # noqa: E402
from fusion_pipeline.train.slim import slimmed  # noqa: E402
from fusion_pipeline.train.stored import begin_with, restored  # noqa: E402

SHORT = Schedule(seconds=9.0, batch=2, crop=(32, 32))


@pytest.fixture(scope="module", autouse=True)
def counted() -> Iterator[None]:
    """Training by a clock on which each look takes a second: so many steps on any machine."""
    ticks, threads = count(), torch.get_num_threads()
    torch.set_num_threads(1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop, "time", SimpleNamespace(monotonic=lambda: float(next(ticks))))
        patch.setattr(torch, "set_num_threads", lambda _: None)
        yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def net() -> FusionNet:
    torch.manual_seed(3)
    net = FusionNet()
    for layer in net.modules():  # so that nothing is zero because nothing has been learnt
        if isinstance(layer, torch.nn.Linear | torch.nn.Conv2d):
            torch.nn.init.kaiming_normal_(layer.weight)
    with torch.no_grad():
        net.lidar.heat.weight *= 0.01  # a score of exactly 1 has no peak
    return net.eval()


def seen(**changed: object) -> Seen:
    inputs = example(2)
    base = Seen(
        inputs["lidar_bev"], inputs["image"], inputs["cam_lut"][None], inputs["cam_bin"][None],
        inputs["cam_rays"], inputs["audio_srp"], inputs["audio_level"], inputs["aud_lut"][None],
        inputs["aud_geo"][None], inputs["aud_dir"], inputs["present"],
        whole_place(),
    )  # fmt: skip
    return replace(base, **changed)


@pytest.mark.parametrize(("sense", "field"), [(0, "raster"), (1, "image"), (2, "srp")])
def test_an_absent_sense_has_no_influence(net: FusionNet, sense: int, field: str) -> None:
    present = torch.ones(1, 4)
    present[0, sense] = 0
    one = seen(present=present)
    two = seen(present=present, **{field: torch.randn_like(getattr(one, field))})
    with torch.no_grad():
        a, b = net.meet(net.feel(one), one)[0], net.meet(net.feel(two), two)[0]
        both = seen()
        c = net.meet(net.feel(both), both)[0]
    torch.testing.assert_close(a, b)
    assert (a - c).abs().max() > 1e-4  # where it is there it has


def test_gates_and_shares_sum_to_one_and_are_zero_for_the_absent(net: FusionNet) -> None:
    present = torch.tensor([[1.0, 0.0, 1.0, 0.0]])
    inputs = seen(present=present)
    with torch.no_grad():
        felt = net.feel(inputs)
        gates = net.meet(felt, inputs)[3]
        shares = net.shares(torch.randn(9, 3, 64), torch.rand(9, 3), present[:, :3].expand(9, 3))
    torch.testing.assert_close(gates.sum(1), torch.ones_like(gates[:, 0]))
    assert float(gates[:, 1].abs().max()) == 0.0
    torch.testing.assert_close(shares.sum(1), torch.ones(9))
    assert float(shares[:, 1].abs().max()) == 0.0


def test_training_leaves_a_state_that_exports_and_goes_on(tmp_path: Path) -> None:
    for number in range(2):
        save(render(2_960_000 + number), tmp_path / f"{number:07d}.npz")
    fusion_fit.fit(tmp_path, tmp_path / "run", SHORT)
    network, samples = restored(tmp_path / "run" / "last.pt")
    assert samples >= 2 * 3
    path = tmp_path / "fusion.onnx"
    export(network, path)
    path.with_suffix(".toml").write_text(manifest(path, samples))
    assert Manifest.beside(path).classes[0] == "car"
    assert parity(network, path) < 1e-4
    onnx.checker.check_model(str(path))
    inputs = {name: value.numpy() for name, value in example(4).items()}
    assert set(inputs) == set(INPUTS)
    inputs["present"] = np.zeros((1, 4), np.float32)
    nothing = Network(path)(inputs)
    assert np.isfinite(nothing["scores"]).all()
    assert not nothing["attr"].any()
    fusion_fit.fit(tmp_path, tmp_path / "run", SHORT)
    assert restored(tmp_path / "run" / "last.pt")[1] > samples
    fresh = FusionNet()
    begin_with(fresh, tmp_path / "run" / "last.pt")
    torch.testing.assert_close(fresh.hear.weight, restored(tmp_path / "run" / "last.pt")[0].hear.weight)


def test_a_missing_scan_does_not_bend_the_statistics_of_scans(net: FusionNet) -> None:
    one = seen()
    both = {
        name: torch.cat([getattr(one, name)] * 2) if name != "place" else one.place.expand(2, -1, -1, -1)
        for name in Seen.__slots__
        if name != "paint_rows"
    }
    both["raster"] = torch.cat([one.raster, torch.zeros_like(one.raster)])
    both["present"] = torch.tensor([[1.0, 1, 1, 1], [0, 1, 1, 0]])
    means = []
    for inputs in (seen(), Seen(**both)):
        learner = FusionNet()
        learner.load_state_dict(net.state_dict())
        felt = learner.train().feel(inputs)
        assert not felt.grids[0][1:].any()
        means.append(learner.lidar.stem[0][1].running_mean.clone())
    torch.testing.assert_close(means[0], means[1])


def test_the_same_weights_look_all_round(tmp_path: Path) -> None:
    torch.manual_seed(6)
    net, form = FusionNet().eval(), Form(ALL_ROUND, 2)
    export(net, tmp_path / "round.onnx", form=form)
    (tmp_path / "round.toml").write_text(manifest(tmp_path / "round.onnx", 0, "round", form))
    stages = Manifest.beside(tmp_path / "round.onnx").stages
    assert [s.x_m for s in stages if isinstance(s, BevRasterize | Lookup)] == [(-51.2, 51.2)] * 2
    assert parity(net, tmp_path / "round.onnx", form=form) < 1e-4


def test_a_narrower_network_starts_with_the_channels_that_matter(tmp_path: Path) -> None:
    torch.manual_seed(5)
    wide = FusionNet(LIDAR).eval()
    with torch.no_grad():  # half of the widest group is never read
        for name in ("quarter.1.a.0", "quarter.2.a.0", "neck_up.0"):
            wide.lidar.get_submodule(name).weight[:, ::3] = 0
    small = slimmed(wide.state_dict(), BASE)
    assert small.keys() == FusionNet(BASE).state_dict().keys()
    picked = wide.lidar.neck_up[0].weight.reshape(64, 96)[:, np.arange(96) % 3 > 0]
    torch.testing.assert_close(small["lidar.neck_up.0.weight"].reshape(64, 64), picked)
    nano = FusionNet(NANO)
    narrow = slimmed(wide.state_dict(), NANO)
    left = nano.state_dict().keys() - narrow.keys()
    assert all(name.startswith(("scene.", "lidar.hint.")) for name in left)  # a space of its own; what base has not
    nano.load_state_dict(nano.state_dict() | narrow)
    example_inputs = seen()
    with torch.no_grad():
        assert torch.isfinite(nano.eval().meet(nano.feel(example_inputs), example_inputs)[0]).all()


def test_paint_in_training_is_the_paint_on_the_vehicle() -> None:
    rng = torch.Generator().manual_seed(8)
    raster = torch.rand(1, 64, 24, 32, generator=rng)
    segments = torch.randn(1, 6, 24, 80, generator=rng)
    rows = torch.randint(0, UNSEEN + 1, (1, 4, 24, 32), generator=rng)
    live = raster.numpy().copy()
    paint(live, rows[0].numpy(), segments.numpy())
    np.testing.assert_allclose(with_paint(raster, segments, rows).numpy(), live, atol=1e-6)


def test_paint_changes_what_the_lidar_feels_and_teaches_the_camera_nothing(net: FusionNet) -> None:
    rows = torch.randint(0, UNSEEN, (1, 4, *FRONT.shape), generator=torch.Generator().manual_seed(1))
    plain, coloured = seen(), seen(paint_rows=rows)
    with torch.no_grad():
        assert (net.feel(plain).grids[0] != net.feel(coloured).grids[0]).any()
    net.zero_grad()
    net.feel(coloured).grids[0].sum().backward()
    assert net.camera.segment.weight.grad is None
    net.zero_grad()


def test_imitation_pulls_the_pupil_alone_and_only_where_both_look() -> None:
    torch.manual_seed(4)
    teacher, pupil = torch.randn(2, 8, 6, 6, requires_grad=True), torch.randn(2, 8, 6, 6, requires_grad=True)
    where = torch.zeros(2, 1, 6, 6)
    assert imitation_loss(pupil, teacher, where) == 0
    where[0, 0, 2, 3] = 1
    assert imitation_loss(teacher.detach().clone(), teacher, where) == 0
    imitation_loss(pupil, teacher, where).backward()
    assert teacher.grad is None
    assert pupil.grad is not None
    assert pupil.grad[0, :, 2, 3].abs().sum() > 0
    pupil.grad[0, :, 2, 3] = 0
    assert not pupil.grad.any()


def test_boxes_are_taught_where_the_heat_map_peaks_too() -> None:
    heat = torch.full((2, 5, 32, 32), -5.0)
    things = torch.tensor([[0, 10, 10, 50, 60, 0], [0, 10, 14, 50, 64, 0], [1, 20, 20, 20, 20, 2], [1, 0, 0, 0, 0, 1],
                           [1, 12, 12, 12, 12, 3]])  # fmt: skip
    heat[0, 0, 12, 9] = 3.0  # beside the first, two rows off
    heat[0, 0, 10, 14] = 2.0  # on the second, and the highest near neither other
    heat[1, 2, 20, 20] = 1.0
    heat[1, 1, 3, 0] = 2.0
    heat[1, 3, 15, 12] = -4.0  # too faint to be a finding
    found = fusion_fit.found_at(heat, things)
    assert found.tolist() == [[0, 2, -1], [3, 3, 0]]
    moved, truth = fusion_fit._shifted(things, torch.arange(5.0)[:, None], found)
    assert moved[0].tolist() == [0, 12, 9, 52, 59, 0]  # in the window and on the whole grid
    assert truth.flatten().tolist() == [0.0, 3.0]


def test_without_a_lidar_scores_and_sigmas_are_calibrated_on_their_own(net: FusionNet) -> None:
    """The same network, seen with and without, against one calibrated as if nothing had been measured."""
    blind = Calibration(0.5, -1.0, (4.0,) * 8)
    plain, both = ExportedFusion(net).eval(), ExportedFusion(net, Calibration(blind=blind)).eval()
    for lidar in (1.0, 0.0):
        inputs = example(5) | {"present": torch.tensor([[lidar, 1.0, 1.0, 1.0]])}
        given = tuple(inputs[name] for name in INPUTS)
        with torch.no_grad():
            a, b = plain(*given), both(*given)
        torch.testing.assert_close(b[4], a[4] * (1.0 if lidar else 4.0))
        odds = torch.logit(a[0]) * (1.0 if lidar else 0.5) - (0.0 if lidar else 1.0)
        known = a[0] > 1e-4
        torch.testing.assert_close(b[0][known], torch.sigmoid(odds)[known], atol=1e-5, rtol=1e-4)


def test_what_is_known_at_half_the_resolution_hints_at_classes() -> None:
    lidar = FusionNet(NANO).lidar
    assert lidar.hint is not None
    trunk, coarse = torch.randn(1, NANO.trunk, 8, 8), torch.randn(1, NANO.coarse, 4, 4)
    plain = lidar.heat(trunk)
    torch.testing.assert_close(lidar.heat_map(trunk, coarse), plain)  # at first it says nothing
    torch.nn.init.normal_(lidar.hint.weight)
    added = lidar.heat_map(trunk, coarse) - plain
    torch.testing.assert_close(added[:, :, ::2, ::2], lidar.hint(coarse), atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(added[:, :, 1::2, 1::2], lidar.hint(coarse), atol=1e-5, rtol=1e-4)
