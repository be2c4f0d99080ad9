"""What the camera and the ears make of their inputs, each by itself; the LiDAR's network is in `model.py`."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from fusion_pipeline.encode.lookup import DEPTHS, FARTHEST_M, NEAREST_M, RAY, TOKENS
from fusion_pipeline.train.model import CLASSES, _conv, _Residual, _separable

SOUNDS, HEARD, SEEN = 8, 32, 32  # classes of sound; channels of sound and of pictures that are lifted
MARKS = 15  # depths, even in the logarithm, that flat ground is compared with; with it itself 16, as CPUs like


class Ground(nn.Module):
    """How deep flat ground would lie at each place of the picture, from the calibration: what stands on it is there.

    A picture alone does not say how high its camera hangs or how it is tilted (after BEVDepth, Li et al. 2023, which
    tells its depth network the calibration too).
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.tell = nn.Conv2d(MARKS + 1, width, 1, bias=False)
        nn.init.zeros_(self.tell.weight)
        self.register_buffer("marks", torch.linspace(0.0, 1.0, MARKS).reshape(1, MARKS, 1, 1), persistent=False)

    def forward(self, rays: Tensor) -> Tensor:
        """(B, width, 24, 80) of rays (B, 480, RAY)."""
        inverse = rays[:, :, RAY - 1].reshape(-1, 1, *TOKENS)
        inverse = functional.interpolate(inverse, scale_factor=2.0, mode="bilinear", align_corners=False)
        depth = -torch.log(inverse.clamp(1 / FARTHEST_M, 1 / NEAREST_M) * NEAREST_M) / math.log(FARTHEST_M / NEAREST_M)
        near = torch.exp(-((depth - self.marks) * MARKS).square())
        return self.tell(torch.cat([near, inverse.clamp(-0.3, 0.3) * 10.0], 1))


class CameraNet(nn.Module):
    """(B, 3, 192, 640) to features at 1/8 and 1/16, and classes and depths at 1/8."""

    def __init__(self, widths: tuple[int, int, int, int]) -> None:
        super().__init__()
        half, four, eight, far = widths
        self.two = _conv(3, half, stride=2)
        self.four = nn.Sequential(_conv(half, four, stride=2), _separable(four))
        self.fine = _Residual(four)  # where the wheels of what is far off stand is a matter of single pixels
        self.eight = nn.Sequential(_conv(four, eight, stride=2), _Residual(eight))
        self.ground = Ground(eight)
        self.sixteen = nn.Sequential(_conv(eight, far, stride=2), _Residual(far))
        self.context = nn.Sequential(_conv(far, far, stride=2), _Residual(far), _Residual(far))
        self.wide, self.settle = _conv(far, far, 1), _conv(far, far)
        self.down, self.side = _conv(far, SEEN, 1), _conv(eight, SEEN, 1)
        self.segment = nn.Conv2d(SEEN, len(CLASSES) + 1, 1)
        self.far = nn.Sequential(_conv(eight, 48), nn.Conv2d(48, DEPTHS, 1))
        self.far_up = _conv(far, eight, 1)
        nn.init.zeros_(self.fine.b[1].weight)

    def forward(self, image: Tensor, rays: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """(B, 32, 24, 80), (B, 96, 12, 40), (B, 6, 24, 80), (B, 64, 24, 80); `rays` (B, 480, RAY)."""
        eight = self.eight(self.fine(self.four(self.two(image)))) + self.ground(rays)
        sixteen = self.sixteen(eight)
        around = functional.interpolate(self.wide(self.context(sixteen)), scale_factor=2.0, mode="nearest")
        sixteen = self.settle(sixteen + around)
        fine = self.side(eight) + functional.interpolate(self.down(sixteen), scale_factor=2.0, mode="nearest")
        up = functional.interpolate(self.far_up(sixteen), scale_factor=2.0, mode="nearest")
        return fine, sixteen, self.segment(fine), self.far(eight + up)


class Spread(nn.Module):
    """Neighbours tell each other how far a thing can be: dense convolutions at half and quarter of the grid."""

    def __init__(self, width: int, inner: int) -> None:
        super().__init__()
        self.near, self.back = _conv(width, inner), _conv(inner, width)
        self.quarter = nn.Sequential(_conv(inner, inner), _conv(inner, inner))

    def forward(self, x: Tensor) -> Tensor:
        """(B, width, h, w) of that shape; h and w are multiples of 4."""
        half = self.near(functional.avg_pool2d(x, 2))
        far = functional.interpolate(self.quarter(functional.avg_pool2d(half, 2)), scale_factor=2.0, mode="nearest")
        return x + functional.interpolate(self.back(half + far), scale_factor=2.0, mode="nearest")


class AudioNet(nn.Module):
    """Steered response power and level to features by azimuth and events; convolutions close the circle."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            nn.Sequential(nn.Conv2d(i, 32, 3, bias=False), nn.BatchNorm2d(32, momentum=0.05), nn.ReLU())
            for i in (32, 32, 32)
        )
        self.events = nn.Sequential(nn.Conv1d(64, 48, 1), nn.ReLU(), nn.Conv1d(48, SOUNDS, 1))

    def forward(self, srp: Tensor, level: Tensor) -> tuple[Tensor, Tensor]:
        """(B, 32, 72) features, (B, 8, 72) logits."""
        loud = ((level + 70.0) / 40.0).clamp(-1.0, 2.0)[..., None].expand(-1, -1, -1, srp.shape[3])
        x = torch.cat([srp, loud], 1)
        for layer in self.layers:
            x = torch.cat([x[..., -1:], x, x[..., :1]], 3)  # round the circle
            x = layer(functional.pad(x, (0, 0, 1, 1)))
        x = x.mean(2)
        around = x.mean(2, keepdim=True).expand(-1, -1, x.shape[2])
        return x, self.events(torch.cat([x, around], 1))
