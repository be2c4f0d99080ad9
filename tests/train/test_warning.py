"""How long before line of sight: thresholds have their precision or announce nothing."""

from __future__ import annotations

import numpy as np
import pytest

from calibration import rig
from fusion_pipeline.manifest import SHIPPED
from fusion_pipeline.rig import Rig
from fusion_pipeline.train import warning
from fusion_pipeline.train.warning import Drive, lead_times

SECONDS = np.arange(10, dtype=np.float64) * 0.2


def drive(scores: list[float], seen_s: float = 1.0) -> Drive:
    return Drive(SECONDS, np.asarray(scores), np.zeros(10), seen_s)


def test_a_lead_counts_from_the_second_look() -> None:
    siren = drive([0, 0, 0.9, 0.9, 0.9, 0.9, 0.9, 0.9, 0.9, 0.9])
    leads, _ = lead_times([siren], [drive([0.01] * 10)])
    np.testing.assert_allclose(leads, [0.4])


def test_one_look_is_no_announcement() -> None:
    leads, _ = lead_times([drive([0, 0.9, 0, 0.9, 0, 0.9, 0, 0.9, 0, 0.9])], [])
    assert leads[0] == -np.inf


def test_no_threshold_is_made_up_where_none_has_the_precision() -> None:
    siren, noisy = drive([0.6] * 10), drive([0.97] * 10, np.inf)
    leads, threshold = lead_times([siren], [noisy])
    assert threshold == np.inf
    assert leads[0] == -np.inf


def test_what_is_heard_in_plain_sight_does_not_excuse_ghosts() -> None:
    siren = drive([0.5] * 4 + [0.99] * 6, 0.8)
    leads, threshold = lead_times([siren], [drive([0.5] * 10, np.inf)])
    assert threshold == np.inf or threshold > 0.5
    assert leads[0] < 0


def test_a_network_without_attention_listens_as_well(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(warning, "STEP_S", 8.0)
    drive = warning.listened(SHIPPED / "fusion_nano.onnx", Rig.load(rig("demo")), "crossing_occluded_siren", 0)
    assert len(drive.scores) >= 2
    assert np.isfinite(drive.scores).all()
