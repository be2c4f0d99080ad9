"""How fast things go: a small network that compares, around each box, this sweep with the two before it.

The large network has to say what stands where; that a thing has moved by a few cells is lost on the way to its head.
Here nothing else is asked. The window of 6.8 m around a box shows where bodies are now, 0.1 s and 0.2 s ago, in fine
cells of 0.2 m.
"""

from __future__ import annotations

import math
from functools import reduce

import torch
from torch import Tensor, nn
from torch.nn import functional

REACH = 8  # cells of 0.4 m to each side
SIDE = 2 * REACH + 1
CHANNELS = 12  # four fine cells of this sweep and of the two before it
LEAST_LOG, MOST_LOG = -3.0, 2.5  # of the standard deviation, m/s
TYPICAL_MPS = 5.0  # so that the layers' numbers are about 1
UNKNOWN_MPS = 5.0  # its deviation without earlier sweeps
TURN_MPS = 1.5  # faster than this backwards, and the box is turned round


def bodies(raster: Tensor) -> Tensor:
    """(B, 12, H, W) where something stands 0.4 to 2.3 m high in this sweep, and in the earlier ones."""
    # Slice by slice: ONNX Runtime's ReduceMax over an axis in the middle takes five times as long.
    now = reduce(torch.maximum, (raster[:, first : first + 4] for first in range(8, 28, 4)))
    return torch.cat([now, raster[:, 48:56]], 1)


class Motion(nn.Module):
    """Velocities of K things whose middles lie in the cells (`row`, `column`) of rasters."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(CHANNELS, 24, 3, 2, 1), nn.ReLU(), nn.Conv2d(24, 32, 3, 2, 1), nn.ReLU(), nn.Flatten(),
            nn.Linear(32 * 25, 48), nn.ReLU(), nn.Linear(48, 3),
        )  # fmt: skip

    def forward(self, raster: Tensor, batch: Tensor, row: Tensor, column: Tensor) -> Tensor:
        """(K, 3) vx, vy in m/s and the logarithm of their standard deviation; (B, 64, H, W), (K,), (K,), (K,)."""
        seen = functional.pad(bodies(raster), (REACH, REACH, REACH, REACH))
        _, _, h, w = seen.shape
        rows = seen.permute(0, 2, 3, 1).reshape(-1, CHANNELS)
        around = torch.arange(SIDE)
        first = (batch * h + row) * w + column
        index = first[:, None, None] + around[None, :, None] * w + around[None, None, :]
        windows = rows.index_select(0, index.reshape(-1)).reshape(-1, SIDE, SIDE, CHANNELS).permute(0, 3, 1, 2)
        return self.read(windows)

    def read(self, windows: Tensor) -> Tensor:
        """The same of windows (K, 12, 17, 17) that are cut out already."""
        found = self.layers(windows)
        return torch.cat([found[:, :2] * TYPICAL_MPS, found[:, 2:].clamp(LEAST_LOG, MOST_LOG)], 1)


def motion_loss(found: Tensor, velocity: Tensor) -> Tensor:
    """Likelihood of errors under a Laplace distribution, and the errors themselves; (K, 3) against (K, 2)."""
    gap = (found[:, :2] - velocity).abs().sum(1)
    return (gap + 0.3 * (found[:, 2] + gap.detach() / 2 * torch.exp(-found[:, 2]))).mean()


def rest_unknown(found: Tensor, count: int) -> Tensor:
    """(count, 3) the velocities found, and of the rest that nothing is known."""
    rest = found.new_zeros(count - len(found), 3)
    rest[:, 2] = math.log(UNKNOWN_MPS)
    return torch.cat([found, rest])


def driven(boxes: Tensor, std: Tensor, found: Tensor, sweeps: Tensor) -> tuple[Tensor, Tensor]:
    """Boxes (K, 10) and sigmas (K, 8) with the velocities found and headings along them; `sweeps` (1,) 0 for none."""
    speed = found[:, :2] * sweeps
    ahead = (speed * boxes[:, [7, 6]]).sum(1, keepdim=True)  # along cos, sin
    turn = 1.0 - 2.0 * (ahead < -TURN_MPS).float()
    sigma = torch.exp(found[:, 2:]) * sweeps + UNKNOWN_MPS * (1.0 - sweeps)
    return torch.cat([boxes[:, :6], boxes[:, 6:8] * turn, speed], 1), torch.cat([std[:, :7], sigma], 1)
