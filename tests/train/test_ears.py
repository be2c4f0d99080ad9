"""Ears by themselves: what windows teach of a siren, and that training is repeatable and reaches its files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from fusion_pipeline.arrays import Floats  # noqa: E402
from fusion_pipeline.encode.audio import Response  # noqa: E402
from fusion_pipeline.train import ears, windows  # noqa: E402
from fusion_pipeline.train.rigs import drawn_array  # noqa: E402
from fusion_pipeline.train.senses import AudioNet  # noqa: E402
from fusion_pipeline.train.windows import joined, siren_row, taught  # noqa: E402
from fusion_pipeline.world.scenarios import scenario  # noqa: E402


def response(level_db: float, rows: int = 16, way: int = 0) -> Response:
    """All from one azimuth; `rows` bands are loud, the others at -110 dB."""
    level = np.full((16, 16), -110.0, np.float32)
    level[:rows] = level_db
    srp = np.zeros((1, 16, 16, 72), np.float32)
    srp[:, :rows, :, way] = 1
    none = np.zeros((16, 1), np.float32)
    return Response(srp, level, none, none[:1, 0], np.zeros((16, 72, 72), np.float32))


def test_a_siren_in_sight_is_taught_where_it_is() -> None:
    row = siren_row(response(-50, 4, way=20), response(-50), np.deg2rad(50.0), True)
    assert row.argmax() == 10
    assert row.min() >= 0  # its echo from bin 20 is no other siren


def test_a_siren_round_the_corner_is_taught_where_it_comes_from() -> None:
    row = siren_row(response(-50, 4, way=20), response(-50), np.deg2rad(50.0), False)
    assert row.argmax() == 20
    assert row[10] == -1
    assert row[50] == 0


def test_a_masked_siren_is_not_taught() -> None:
    assert not siren_row(response(-70, 4), response(-50), 0.0, False).any()
    assert siren_row(response(-50, 1), response(-50, 16), 0.0, True)[0] == -1  # 1 band of 16: between the two


def test_a_loud_sound_leaves_the_place_of_a_faint_one_open() -> None:
    sounds = np.asarray([[1, 0.0, 70.0], [1, np.pi / 2, 50.0], [5, 0.0, 30.0]])
    rows = taught(sounds)
    assert rows[1, 0] == 1
    assert rows[1, 18] == -1
    assert not rows[5].any()
    np.testing.assert_array_equal(joined([rows[1], rows[5]]), rows[1])


def pools(windows_n: int = 8) -> list[ears.Pool]:
    """A class of sound is where the response is 1."""
    rng = np.random.default_rng(0)
    srp = rng.integers(-9, 9, (windows_n, 16, 16, 72)).astype(np.int8)
    goal = np.zeros((windows_n, 8, 72), np.float16)
    for k in range(windows_n):
        srp[k, :, :, 9 * k] = 127
        goal[k, 0, 9 * k] = 1
    return [(srp, np.full((windows_n, 16, 16), -50, np.int8), goal)]


def trained() -> AudioNet:
    torch.manual_seed(1)
    return ears.train(AudioNet(), pools(), 3)


def test_the_same_steps_give_the_same_ears() -> None:
    one, two = trained().state_dict(), trained().state_dict()
    assert all(torch.equal(one[name], two[name]) for name in one)


def test_ears_reach_stored_weights_and_states_and_files_of_their_own(tmp_path: Path) -> None:
    own = trained()
    name, value = next(iter(own.state_dict().items()))
    stored: dict[str, Any] = {f"audio.{name}": np.zeros(value.shape, np.float16), "camera.x": np.ones(2)}
    np.savez(tmp_path / "w.npz", **stored)
    torch.save({"net": {}, "mean": {}, "samples": 3}, tmp_path / "c.pt")
    for target in ("w.npz", "c.pt", "ears.pt"):
        ears.graft(tmp_path / target, own)
    with np.load(tmp_path / "w.npz") as file:
        np.testing.assert_array_equal(file[f"audio.{name}"], value.numpy().astype(np.float16))
        assert file["camera.x"].sum() == 2
    state = torch.load(tmp_path / "c.pt")
    assert torch.equal(state["mean"][f"module.audio.{name}"], value)
    assert state["samples"] == 3
    assert torch.equal(torch.load(tmp_path / "ears.pt")[name], value)


def test_batches_take_from_windows_and_rides_alike(tmp_path: Path) -> None:
    (tmp_path / "w").mkdir()
    srp, level, goal = pools()[0]
    np.savez(tmp_path / "w" / "00000.npz", srp=srp, level=level, goals=goal)
    np.savez(tmp_path / "2000000.npz", srp=srp[0], level=level[0], sounds=np.asarray([[0, 0.0, 80.0]]))
    both = ears.gathered(tmp_path / "w", tmp_path)
    assert [len(pool[0]) for pool in both] == [8, 1]
    batch = ears.drawn(both, np.random.default_rng(0))
    assert len(batch[0]) == ears.BATCH
    assert batch[0].max() == 1


def test_what_is_rendered_teaches_sirens_and_fits_its_shard() -> None:
    rng = np.random.default_rng(0)
    drive = scenario("crossing_occluded_siren").build(windows.FIRST_SEED, True)
    looks: list[tuple[Response, Floats]] = []
    while not any(goal[windows.SIREN].max() > 0.9 for _, goal in looks):  # now and then the siren is left out
        looks = list(windows.Stretch(drive, drawn_array(rng), 7.5, rng).windows(rng))
    assert len(looks) == windows.LOOKS
    assert all(goal.shape == (8, 72) and goal.min() >= -1 and goal.max() <= 1 for _, goal in looks)
