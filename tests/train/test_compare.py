"""Other ways in which the senses can meet: they run, are taught, and are judged alike."""

from __future__ import annotations

import json
import sys
from itertools import count
from pathlib import Path
from types import SimpleNamespace

import pytest

torch = pytest.importorskip("torch")

from fusion_pipeline.train import compare, loop  # noqa: E402
from fusion_pipeline.train.compare import VARIANTS, gflop_of  # noqa: E402
from fusion_pipeline.train.fusion import BASE, NANO, FusionNet  # noqa: E402
from fusion_pipeline.train.fusion_export import INPUTS, ExportedFusion, example, parity  # noqa: E402
from fusion_pipeline.train.loop import Schedule  # noqa: E402
from fusion_pipeline.train.rides import render, save  # noqa: E402
from fusion_pipeline.train.stored import begin_with  # noqa: E402
from fusion_pipeline.train.weights import SHIPPED_WEIGHTS  # noqa: E402


@pytest.mark.parametrize("name", VARIANTS)
def test_every_variant_answers_without_a_sense(name: str) -> None:
    torch.manual_seed(1)
    net = ExportedFusion(FusionNet(NANO, VARIANTS[name])).eval()
    inputs = example(3)
    for present in ([1.0, 1, 1, 1], [0, 1, 0, 0], [1, 0, 0, 0]):
        inputs["present"] = torch.tensor([present])
        with torch.no_grad():
            out = net(*(inputs[key] for key in INPUTS))
        assert all(bool(torch.isfinite(part.float()).all()) for part in out)
        assert not out[5][:, [k for k in range(3) if not present[k]]].any()  # no share for what is absent


def test_concatenation_begins_as_a_weighted_mean_and_ignores_what_is_absent() -> None:
    torch.manual_seed(2)
    net = FusionNet(NANO, ("join",)).eval()
    inputs = example(5)
    inputs["present"] = torch.tensor([[1.0, 0, 1, 1]])
    outs = []
    for seed in (1, 2):
        inputs["image"] = torch.randn(inputs["image"].shape, generator=torch.Generator().manual_seed(seed))
        with torch.no_grad():
            outs.append(ExportedFusion(net).eval()(*(inputs[key] for key in INPUTS))[0])
    torch.testing.assert_close(*outs)


def test_flops_are_those_of_convolutions() -> None:
    whole, plain = gflop_of(FusionNet(NANO, BASE.use)), gflop_of(FusionNet(NANO, ()))
    assert 1.0 < plain < whole < 10.0


def test_a_table_of_variants(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ticks = count()
    monkeypatch.setattr(loop, "time", SimpleNamespace(monotonic=lambda: float(next(ticks))))
    monkeypatch.setattr(torch, "set_num_threads", lambda _: None)
    monkeypatch.setattr(compare, "VARIANTS", {"gates and attention": BASE.use, "concatenation": ("join",)})
    monkeypatch.setattr(compare, "Schedule", lambda seconds, batch, rate: Schedule(seconds, 2, rate, crop=(32, 32)))
    rides, run = tmp_path / "rides", tmp_path / "run"
    rides.mkdir()
    for seed in range(2):
        save(render(2_000_000 + seed), rides / f"{2_000_000 + seed:07d}.npz")
    arguments = [str(rides), str(run), "--from", str(SHIPPED_WEIGHTS), "--seconds", "9", "--moments", "2"]
    monkeypatch.setattr(sys, "argv", ["compare", *arguments])
    compare.main()
    lines = (run / "compare.md").read_text(encoding="utf-8").splitlines()
    assert len(lines) == 4
    assert lines[3].startswith("| concatenation |")
    rows = json.loads((run / "compare.json").read_text(encoding="utf-8"))["rows"]
    assert rows[0]["parameters_m"] < rows[1]["parameters_m"]
    joined = FusionNet(use=("join",))
    begin_with(joined, run / "concatenation" / "last.pt")
    assert parity(joined.eval(), run / "concatenation" / "fusion.onnx") < 1e-4
    taught = (run / "concatenation" / "last.pt").stat().st_mtime_ns
    compare.main()  # nothing is done twice
    assert (run / "concatenation" / "last.pt").stat().st_mtime_ns == taught
    monkeypatch.setattr(sys, "argv", ["compare", *arguments[:-1], "3"])
    with pytest.raises(SystemExit):
        compare.main()  # another question is another table
    assert len((run / "compare.md").read_text(encoding="utf-8").splitlines()) == 4
