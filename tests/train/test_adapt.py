"""Statistics of another sensor are measured and mixed in; weights stay what they are."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from calibration import rig  # noqa: E402
from fusion_pipeline.messages import CameraFrame, Header, LidarScan, Message  # noqa: E402
from fusion_pipeline.rig import Rig  # noqa: E402
from fusion_pipeline.train.adapt import LEAST, adapt, samples_of  # noqa: E402
from fusion_pipeline.train.calibrate import calibration_of, keep  # noqa: E402
from fusion_pipeline.train.fusion import FusionNet  # noqa: E402
from fusion_pipeline.train.fusion_export import Calibration  # noqa: E402
from fusion_pipeline.train.stored import restored, store  # noqa: E402

RIG = Rig.load(rig("demo"))


def log(scans: int) -> list[Message]:
    """Scans of a plain with a wall, and grey pictures."""
    out: list[Message] = []
    for number in range(scans):
        rng = np.random.default_rng(number)
        xyz = rng.uniform((2, -30, -1.75), (60, 30, -1.7), (4000, 3)).astype(np.float32)
        xyz[:500, 2] = rng.uniform(-1.7, 1, 500)
        header = Header("lidar/top", number, number)
        zero = np.zeros(4000)
        light = np.full(4000, 0.4, np.float32)
        out.append(LidarScan(header, 0, xyz, light, zero.astype(np.uint16), zero.astype(np.int32)))
        pixels = np.full((240, 640, 3), 90 + 5 * number, np.uint8)
        out.append(CameraFrame(Header("camera/front", number, number), "bgr8", 240, 640, pixels))
    return out


def test_only_statistics_of_the_mixed_senses_change() -> None:
    torch.manual_seed(0)
    net = FusionNet().eval()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    given = samples_of(RIG, log(12), every=1)
    assert [scan.header.capture_ns for scan in given.held_back] == [3, 7, 11]
    found = adapt(net, RIG, given, share=0.5)
    assert (found.scans, found.pictures) == (9, 9)
    changed = {name for name, value in net.state_dict().items() if not torch.equal(value, before[name])}
    assert changed
    assert all("running" in name or "num_batches" in name for name in changed)
    assert {name.split(".")[0] for name in changed} == {"lidar", "camera"}
    whole = FusionNet().eval()
    whole.load_state_dict(before)
    adapt(whole, RIG, given, share=1.0)
    name = "lidar.stem.0.1.running_mean"
    half = 0.5 * (before[name] + whole.state_dict()[name])
    torch.testing.assert_close(net.state_dict()[name], half)
    assert not net.training


def test_a_short_log_is_refused() -> None:
    with pytest.raises(ValueError, match=f"the log gives 3 scans; statistics need at least {LEAST}"):
        samples_of(RIG, log(3), every=1)
    with pytest.raises(ValueError, match="the log gives 3 scans"):
        samples_of(RIG, log(3), every=1, force=True)


def test_a_log_of_a_standing_vehicle_is_refused() -> None:
    standing = [message for _ in range(20) for message in log(1)]
    with pytest.raises(ValueError, match=f"its 20 scans show 1 scenes .* at least {LEAST}; the vehicle stood"):
        samples_of(RIG, standing, every=1)
    forced = samples_of(RIG, standing, every=1, force=True)
    assert (len(forced.rasters), len(forced.held_back)) == (15, 5)


def test_stored_weights_and_calibration_come_back(tmp_path: Path) -> None:
    net = FusionNet().eval()
    store(net, tmp_path / "w.npz", 12)
    back = restored(tmp_path / "w.npz")[0].state_dict()
    for name, value in net.state_dict().items():
        torch.testing.assert_close(back[name], value, atol=1e-3, rtol=1e-3, check_dtype=False)
    assert calibration_of(tmp_path / "w.npz") == Calibration()
    keep(Calibration(1.5, -0.25, (2.0,) * 8), tmp_path / "w.npz")
    assert calibration_of(tmp_path / "w.npz") == Calibration(1.5, -0.25, (2.0,) * 8)
    both = Calibration(1.5, -0.25, (2.0,) * 8, Calibration(0.5, -1.0, (9.0,) * 8))
    keep(both, tmp_path / "w.npz")
    assert calibration_of(tmp_path / "w.npz") == both
