"""Vectors of moments, things and texts carry something; absent senses are zero; what is exported is what has learnt."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("onnx")

from fusion_pipeline.detect.network import ModelError, Network  # noqa: E402
from fusion_pipeline.detect.text import TextEncoder, closeness, joined  # noqa: E402
from fusion_pipeline.encode.points import BevRaster  # noqa: E402
from fusion_pipeline.encode.text import TextError  # noqa: E402
from fusion_pipeline.manifest import ManifestError, sha256_of  # noqa: E402
from fusion_pipeline.train.captions import FACTS, INDEX, vocabulary  # noqa: E402
from fusion_pipeline.train.features import Features, Feeler, mirrored  # noqa: E402
from fusion_pipeline.train.fusion import FusionNet, whole_place  # noqa: E402
from fusion_pipeline.train.lessons import Options, lesson  # noqa: E402
from fusion_pipeline.train.represent import (  # noqa: E402
    REGIONS,
    SECTORS,
    SceneHeads,
    Sharpness,
    info_nce,
    pooled,
    regions,
    scene_loss,
)
from fusion_pipeline.train.represent_fit import Heads, Pace, checkpoint, judged, learnt, main  # noqa: E402
from fusion_pipeline.train.rides import render, save  # noqa: E402
from fusion_pipeline.train.text import TextNet, disturbed, export, parity, tokens_of  # noqa: E402

MOMENTS, THINGS = 40, 4
SHORT = Pace(steps=80, batch=MOMENTS, rate=4e-3, half=False)


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def features() -> Features:
    """Moments whose features are their facts, mixed and noisy; things with features of their own, seen twice."""
    rng = np.random.default_rng(0)
    truth = np.zeros((MOMENTS, len(FACTS)), bool)
    truth[:, rng.choice(len(FACTS), 30, replace=False)] = rng.random((MOMENTS, 30)) < 0.3
    truth[:, INDEX["day",]] = True

    def of(count: int, width: int) -> np.ndarray:
        mixed = truth @ rng.normal(0, 1, (len(FACTS), count * width)) + rng.normal(0, 0.3, (MOMENTS, count * width))
        return mixed.reshape(MOMENTS, count, width).astype(np.float16)

    things = rng.normal(0, 1, (MOMENTS * THINGS, 96))
    noise = rng.normal(0, 1.0, (2, *things.shape)) * np.linspace(0.1, 4, 96)  # most of it says nothing
    return Features(
        of(REGIONS, 128), of(REGIONS, 128), of(1, 192)[:, 0], of(SECTORS, 80), truth, np.arange(MOMENTS),
        (things + noise[0]).astype(np.float16), (things + noise[1]).astype(np.float16),
        np.zeros(len(things), np.int64), np.repeat(np.arange(MOMENTS), THINGS),
    )  # fmt: skip


@pytest.fixture(scope="module")
def heads(features: Features) -> Heads:
    return learnt(features, np.arange(MOMENTS), SHORT)


def test_what_has_learnt_finds_and_what_has_not_does_not(features: Features, heads: Heads) -> None:
    rows = np.arange(MOMENTS)
    found, fresh = judged(heads, features, rows), judged(Heads(features).eval(), features, rows)
    for name in ("text to its moment @1", "camera to LiDAR @1", "audio to LiDAR @1", "thing again, all moments"):
        value, by_chance = found[name]
        assert value > 6 * by_chance, name
        assert value > 2 * fresh[name][0], name
    assert fresh["text to its moment @1"][0] < 3 * fresh["text to its moment @1"][1]


def test_what_carries_nothing_is_found_out(features: Features) -> None:
    rng = np.random.default_rng(1)
    noise = {name: rng.normal(0, 1, getattr(features, name).shape).astype(np.float16)
             for name in ("lidar", "camera", "picture", "sound")}  # fmt: skip
    rows = np.arange(MOMENTS)
    heads = learnt(replace(features, **noise), rows, SHORT)
    again = {name: rng.normal(0, 1, values.shape).astype(np.float16) for name, values in noise.items()}
    value, by_chance = judged(heads, replace(features, **again), rows)["text to its moment @1"]
    assert value < 3 * by_chance


def test_absent_senses_are_exactly_zero(features: Features, heads: Heads) -> None:
    present = torch.tensor([[1.0, 0, 1], [0, 0.5, 0], [0, 0, 0]])
    with torch.no_grad():
        scenes = heads.scene.of(features.kept(np.arange(3), present))
    there = (present > 0).float()
    torch.testing.assert_close(scenes.norm(dim=2), there)
    assert not scenes[there == 0].any()
    assert not joined(scenes.numpy())[2].any()
    np.testing.assert_allclose(np.linalg.norm(joined(scenes.numpy())[:2], axis=1), 1, rtol=1e-5)
    assert closeness(np.ones(64, np.float32), scenes.numpy())[2] == 0


def test_absent_senses_are_not_compared(heads: Heads) -> None:
    scenes = torch.nn.functional.normalize(torch.randn(6, 3, 64), dim=2)
    less = scenes.clone()
    less[:, 2] = 0
    own = torch.eye(6, dtype=torch.bool)
    with torch.no_grad():
        loss = scene_loss(less, heads.sharp) * 3
        wanted = info_nce(scenes[:, 0] @ scenes[:, 1].T * heads.sharp.of("senses"), own)
        nothing = scene_loss(less * 0, Sharpness())
    torch.testing.assert_close(loss, wanted)
    assert float(nothing) == 0.0


def test_regions_part_the_grid_by_range_and_bearing() -> None:
    place = whole_place()
    where = regions(place)[0]
    assert where.sum(0).eq(1).all()
    x, y = (place[0, 0].flatten() + 1) * 40, place[0, 1].flatten() * 20
    ahead = where.reshape(6, 5, -1)[:, 2].sum(0) > 0
    assert torch.equal(ahead, torch.atan2(y, x).abs() <= np.deg2rad(17))
    assert float(torch.hypot(x, y)[where[:5].sum(0) > 0].max()) <= 7.0
    behind = torch.stack([torch.tensor([-1.5, -1.5]), torch.tensor([0.3, -0.3])])[None, :, :, None]  # x -20, y +-6
    sectors = regions(torch.cat([behind, torch.zeros(1, 3, 2, 1)], 1))[0].argmax(0) % 5
    assert sectors.tolist() == [4, 0]


class _Scene(torch.nn.Module):
    def __init__(self, net: FusionNet, heads: SceneHeads) -> None:
        super().__init__()
        self.net, self.heads = net, heads

    def forward(self, lidar: torch.Tensor, camera: torch.Tensor, audio: torch.Tensor, tokens: torch.Tensor,
                azimuths: torch.Tensor, events: torch.Tensor, present: torch.Tensor) -> torch.Tensor:  # fmt: skip
        felt = SimpleNamespace(grids=(lidar, camera, audio), tokens=tokens, azimuths=azimuths, events=events)
        return self.heads(felt, SimpleNamespace(place=whole_place(), present=present))


def test_the_heads_export_and_mean_the_same(tmp_path: Path) -> None:
    torch.manual_seed(1)
    module = _Scene(FusionNet(), SceneHeads()).eval()
    grids = [torch.relu(torch.randn(1, 64, 88, 100)) for _ in range(3)]
    values = [*grids, torch.randn(1, 480, 96), torch.randn(1, 32, 72), torch.randn(1, 8, 72), torch.ones(1, 4)]
    names = ["lidar", "camera", "audio", "tokens", "azimuths", "events", "present"]
    values[-1][0, 1] = 0
    torch.onnx.export(module, tuple(values), str(tmp_path / "s.onnx"), input_names=names, output_names=["scene_emb"],
                      opset_version=17, dynamo=False)  # fmt: skip
    network = Network(tmp_path / "s.onnx")
    used = {spec.name for spec in network.inputs}
    found = network({name: value.numpy() for name, value in zip(names, values, strict=True) if name in used})
    with torch.no_grad():
        expected = module(*values).numpy()
    np.testing.assert_allclose(found["scene_emb"], expected, atol=1e-4)
    assert not found["scene_emb"][0, 1].any()
    kept = pooled(SimpleNamespace(grids=grids, tokens=values[3], azimuths=values[4], events=values[5]),
                  SimpleNamespace(place=whole_place(), present=values[6]))  # fmt: skip
    left = torch.zeros(1, 64, 88, 100)
    assert kept.lidar.shape == (1, REGIONS, 128)
    assert not pooled(SimpleNamespace(grids=(left,) * 3, tokens=values[3], azimuths=values[4], events=values[5]),
                      SimpleNamespace(place=whole_place(), present=values[6])).lidar.any()  # fmt: skip


def test_the_text_network_exports_and_means_the_same(tmp_path: Path, heads: Heads) -> None:
    path = tmp_path / "fusion_text.onnx"
    export(heads.text, vocabulary(), path, MOMENTS)
    texts = ["a siren from the left behind", "two cars ahead, heavy rain, at night", "pedestrain", "xylophone"]
    assert parity(heads.text, path, texts) < 1e-4
    encoder = TextEncoder(path)
    vectors = encoder.many(texts)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, rtol=1e-5)
    np.testing.assert_array_equal(encoder("pedestrian"), vectors[2])  # what is misspelt is understood
    assert np.abs(encoder("a car on the left") - encoder("a car on the right")).max() > 1e-3
    assert encoder.many([]).shape == (0, 64)
    with pytest.raises(TextError, match="holds no word"):
        encoder("...")
    words = path.with_suffix(".txt")
    words.write_text(words.read_text().replace("siren", "sirene"))
    with pytest.raises(ManifestError, match=r"fusion_text.txt has the sha256"):
        TextEncoder(path)


def test_a_network_that_is_none_for_texts_is_refused(tmp_path: Path, heads: Heads) -> None:
    class Other(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x * 2

    path = tmp_path / "fusion_text.onnx"
    export(heads.text, vocabulary(), path, MOMENTS)
    before = sha256_of(path)
    torch.onnx.export(Other(), (torch.ones(1, 24),), str(path), input_names=["tokens"], output_names=["vector"],
                      dynamo=False)  # fmt: skip
    manifest = path.with_suffix(".toml")
    manifest.write_text(manifest.read_text().replace(before, sha256_of(path)))
    with pytest.raises(
        ModelError, match=r"the input of a text network is tokens int64 \(1, 24\), this has tokens float32"
    ):
        TextEncoder(path)
    manifest.write_text(manifest.read_text().partition("[files.vocabulary]")[0] + '[[stages]]\nop = "onnx"\n')
    with pytest.raises(ManifestError, match="vocabulary is missing"):
        TextEncoder(path)


def test_disturbed_texts_keep_their_first_word_and_length() -> None:
    tokens = tokens_of(["a car on the left, two pedestrians ahead, a siren from behind at night"] * 200, vocabulary())
    changed = disturbed(tokens.numpy(), len(vocabulary().words), np.random.default_rng(0))
    assert (changed != tokens).any()
    assert (changed[:, 0] > 0).all()
    assert ((changed > 0).sum(1) <= (tokens > 0).sum(1)).all()
    assert torch.isfinite(TextNet()(changed)).all()


def test_a_checkpoint_with_heads_loads_again(tmp_path: Path, features: Features, heads: Heads) -> None:
    net = FusionNet()
    checkpoint(net, heads, 12, tmp_path / "r.pt")
    state = torch.load(tmp_path / "r.pt")
    again = FusionNet()
    again.add_module("scene", SceneHeads())
    again.load_state_dict({name.removeprefix("module."): value for name, value in state["mean"].items()})
    torch.testing.assert_close(again.scene.lidar.what.weight, heads.scene.lidar.what.weight)
    torch.testing.assert_close(again.embed.weight, heads.thing.weight)
    assert state["samples"] == 12


def test_the_command_looks_learns_and_leaves_a_checkpoint_and_a_text_network(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for seed in (2_950_010, 2_950_011, 2_950_013):
        save(render(seed), tmp_path / f"{seed:07d}.npz")
    torch.save({"mean": FusionNet().state_dict(), "samples": 5}, tmp_path / "start.pt")
    text = tmp_path / "models" / "fusion_text.onnx"
    main([str(tmp_path), str(tmp_path / "start.pt"), str(tmp_path / "out.pt"), "--text", str(text), "--seconds", "3",
          "--workers", "1"])  # fmt: skip
    assert "2 moments learnt, 1 kept back" in capsys.readouterr().out
    assert "module.scene.lidar.what.weight" in torch.load(tmp_path / "out.pt")["mean"]
    assert TextEncoder(text)("rain").shape == (64,)
    with pytest.raises(SystemExit):
        main([str(tmp_path / "models"), str(tmp_path / "start.pt"), str(tmp_path / "out.pt"), "--text", str(text)])
    assert "holds no rides" in capsys.readouterr().err


def test_a_mirrored_ride_is_the_mirrored_world_to_all_senses() -> None:
    ride, raster, rng = render(2_950_002), BevRaster(), np.random.default_rng(0)
    options = Options((176, 200), False, (1, 1, 1))
    one, other = lesson(ride, raster, rng, options), lesson(mirrored(ride), raster, rng, options)
    np.testing.assert_allclose(one.target.heat[:, :, ::-1], other.target.heat, atol=1e-6)
    column, theirs = (item.cam_lut.reshape(88, 100, 3) for item in (one, other))
    column = column[:, ::-1]
    both = (column < 1920) & (theirs < 1920)
    assert both.sum() > 5000
    assert np.abs(79 - column[both] % 80 - theirs[both] % 80).max() <= 1
    np.testing.assert_allclose(np.roll(one.events[:, ::-1], 1, axis=1), other.events, atol=1e-5)
    np.testing.assert_allclose(np.roll(one.srp[..., ::-1], 1, axis=2), other.srp)
    features = Feeler(FusionNet().eval())(ride, 2_950_002, True, rng)
    assert features.first.shape == features.again.shape
    assert len(features.first) > 2
    assert features.truth.sum() > 5
    seen = set(ride.labels[ride.points >= 5].tolist())
    assert set(features.labels.tolist()) <= seen | set(ride.labels[ride.pixels >= 40].tolist())
