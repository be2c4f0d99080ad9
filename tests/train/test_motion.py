"""How fast things go: windows, turns, and that a shift of bodies becomes a velocity."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from fusion_pipeline.train.motion import CHANNELS, REACH, SIDE, Motion, bodies, driven, motion_loss  # noqa: E402
from fusion_pipeline.train.motion_fit import turned  # noqa: E402


def raster(shift: tuple[int, int]) -> torch.Tensor:
    """A car of 4 m at fine cells 100.., 100.. that has moved by `shift` fine cells in each sweep."""
    fine = torch.zeros(3, 128, 128)
    for k in range(3):
        r, c = 60 - k * shift[0], 60 - k * shift[1]
        fine[k, r : r + 20, c : c + 9] = 1
    folded = fine.reshape(3, 64, 2, 64, 2).permute(0, 2, 4, 1, 3).reshape(3, 4, 64, 64)
    out = torch.zeros(1, 64, 64, 64)
    out[0, 12:16], out[0, 48:56] = folded[0], folded[1:].reshape(8, 64, 64)
    return out


def test_the_window_of_a_cell_shows_what_is_around_it() -> None:
    net = Motion().eval()
    image = raster((3, -2))
    seen: list[torch.Tensor] = []
    net.layers[0].register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    zero = torch.zeros(2, dtype=torch.long)
    net(image, zero, torch.tensor([35, 0]), torch.tensor([32, 63]))
    padded = torch.nn.functional.pad(bodies(image), (REACH,) * 4)
    torch.testing.assert_close(seen[0][0], padded[0, :, 35 : 35 + SIDE, 32 : 32 + SIDE])
    torch.testing.assert_close(seen[0][1], padded[0, :, 0:SIDE, 63 : 63 + SIDE])


def test_turning_a_window_turns_its_velocity() -> None:
    image = torch.nn.functional.pad(bodies(raster((3, 0))), (REACH,) * 4)[:, :, 32 : 32 + SIDE, 30 : 30 + SIDE]

    def moved(window: torch.Tensor) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
        fine = window.reshape(3, 2, 2, SIDE, SIDE).permute(0, 3, 1, 4, 2).reshape(3, 2 * SIDE, 2 * SIDE)
        middles = [np.argwhere(part.numpy() > 0).mean(axis=0) for part in fine[:2]]
        return np.asarray(middles[0] - middles[1])

    velocity = torch.tensor([[6.0, 0.0]])
    for seed in range(8):
        window, speed = turned(image, velocity, np.random.default_rng(seed))
        assert window.shape == (1, CHANNELS, SIDE, SIDE)
        shift = moved(window[0])
        assert np.dot(shift, speed[0].numpy()) > 0.9 * np.linalg.norm(shift) * 6.0


def test_it_learns_what_shifts_mean() -> None:
    torch.manual_seed(0)
    net, rng = Motion(), np.random.default_rng(0)
    optimizer = torch.optim.Adam(net.parameters(), 3e-3)
    shifts = [(a, b) for a in (-4, -2, 0, 2, 4) for b in (-2, 0, 2)]
    images = torch.cat([raster(shift) for shift in shifts])
    truth = torch.tensor(shifts, dtype=torch.float32) * 2.0  # 0.2 m in 0.1 s
    batch = torch.arange(len(shifts))

    def middle() -> torch.Tensor:
        return torch.from_numpy(rng.integers(-1, 2, len(shifts))) + 34

    for _ in range(150):
        loss = motion_loss(net(images, batch, middle(), middle()), truth)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    with torch.no_grad():
        found = net(images, batch, torch.full_like(batch, 35), torch.full_like(batch, 32))
    assert (found[:, :2] - truth).abs().mean() < 0.4 * truth.abs().mean()  # nothing learnt: 1


def test_boxes_face_where_they_drive() -> None:
    boxes = torch.tensor([[0.0, 0, 0, 4, 2, 1, 0.0, 1.0, 9, 9], [0, 0, 0, 4, 2, 1, 1.0, 0.0, 9, 9]])
    found = torch.tensor([[-8.0, 0.0, 0.0], [0.0, 0.5, -1.0]])
    now, std = driven(boxes, torch.ones(2, 8), found, torch.ones(1))
    assert now[0, 6:].tolist() == [-0.0, -1.0, -8.0, 0.0]
    assert now[1, 6:].tolist() == [1.0, 0.0, 0.0, 0.5]
    torch.testing.assert_close(std[:, 7], torch.exp(found[:, 2]))
    still, unsure = driven(boxes, torch.ones(2, 8), found, torch.zeros(1))
    assert not still[:, 8:].any()
    torch.testing.assert_close(still[:, 6:8], boxes[:, 6:8])
    assert (unsure[:, 7] == 5.0).all()
