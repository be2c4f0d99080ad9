"""The LiDAR network: bird's-eye raster to 128 boxes, regression only where the heat map peaks.

The form follows CenterPoint (Yin et al., 2021), with depthwise-separable blocks for CPUs.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

CLASSES = ("car", "truck", "pedestrian", "two-wheeler", "other")
PEAKS = 128
ROWS, COLS, STEP_M, Y0_M = 176, 200, 0.4, -40.0
# Mean length, width, height by class: the network gives log ratios to them.
SIZES_M = ((3.95, 1.65, 1.54), (9.0, 2.5, 3.15), (0.8, 0.62, 1.75), (1.78, 0.62, 1.72), (1.2, 0.45, 0.95))
REGRESSED = 19  # dx dy z log(l w h) sin cos vx vy, iou, log std of x y z l w h yaw v


def _conv(i: int, o: int, kernel: int = 3, stride: int = 1, groups: int = 1) -> nn.Sequential:
    layer = nn.Conv2d(i, o, kernel, stride, kernel // 2, groups=groups, bias=False)
    return nn.Sequential(layer, nn.BatchNorm2d(o, momentum=0.05), nn.ReLU(inplace=True))


def _separable(width: int) -> nn.Sequential:
    return nn.Sequential(_conv(width, width, groups=width), _conv(width, width, 1))


class _Residual(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.a = _conv(width, width)
        self.b = nn.Sequential(nn.Conv2d(width, width, 3, 1, 1, bias=False), nn.BatchNorm2d(width, momentum=0.05))

    def forward(self, x: Tensor) -> Tensor:
        return functional.relu(x + self.b(self.a(x)))


class LidarNet(nn.Module):
    """`lidar_bev` (B, 64, 176, 200) to features, heat map and, at chosen cells, box numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(_conv(64, 32, 1), _separable(32))
        self.mid = nn.Sequential(_conv(32, 64, stride=2), _Residual(64))
        self.quarter = nn.Sequential(_conv(64, 96, stride=2), _Residual(96), _Residual(96))
        self.neck_up = _conv(96, 64, 1)
        self.neck = _separable(64)
        self.up, self.lateral = _conv(64, 48, 1), _conv(32, 48, 1)
        self.trunk = nn.Sequential(_separable(48), _separable(48))
        self.heat = nn.Conv2d(48, len(CLASSES), 1)
        self.box = nn.Sequential(nn.Linear(112, 96), nn.ReLU(), nn.Linear(96, 96), nn.ReLU(), nn.Linear(96, REGRESSED))
        nn.init.constant_(self.heat.bias, -4.6)
        self.register_buffer("sizes", torch.tensor(SIZES_M))

    def features(self, lidar_bev: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Heat map logits (B, 5, 176, 200), fine features (B, 48, 176, 200), coarse (B, 64, 88, 100)."""
        fine = self.stem(lidar_bev)
        half = self.mid(fine)
        up = functional.interpolate(self.neck_up(self.quarter(half)), scale_factor=2.0, mode="nearest")
        coarse = self.neck(half + up)
        wide = functional.interpolate(self.up(coarse), scale_factor=2.0, mode="nearest")
        trunk = self.trunk(wide + self.lateral(fine))
        return self.heat(trunk), trunk, coarse

    def regress(self, trunk: Tensor, coarse: Tensor, batch: Tensor, row: Tensor, col: Tensor) -> Tensor:
        """Raw box numbers (K, 19) at K cells."""
        near = trunk.permute(0, 2, 3, 1)[batch, row, col]
        far = coarse.permute(0, 2, 3, 1)[batch, row // 2, col // 2]
        return self.box(torch.cat([near, far], 1).float())

    def decode(self, raw: Tensor, row: Tensor, col: Tensor, labels: Tensor) -> Tensor:
        """Boxes (K, 10): x y z l w h sin cos vx vy, z above local ground."""
        x = (row.float() + 0.5 + raw[:, 0]) * STEP_M
        y = (col.float() + 0.5 + raw[:, 1]) * STEP_M + Y0_M
        size = self.sizes[labels] * torch.exp(raw[:, 3:6].clamp(-1.5, 1.5))
        turn = raw[:, 6:8] / (raw[:, 6:8].square().sum(1, keepdim=True) + 1e-6).sqrt()
        z = raw[:, 2:3] + 0.5 * self.sizes[labels][:, 2:3]
        return torch.cat([x[:, None], y[:, None], z, size, turn, raw[:, 8:10]], 1)


class Exported(nn.Module):
    """What the ONNX file holds: one raster and `present` to 128 detections, best first."""

    def __init__(self, net: LidarNet) -> None:
        super().__init__()
        self.net = net

    def forward(self, lidar_bev: Tensor, present: Tensor) -> tuple[Tensor, ...]:
        """scores (128,), labels (128,), boxes (128, 10), iou (128,), std (128, 8), attr (128, 3)."""
        logits, trunk, coarse = self.net.features(lidar_bev)
        heat = torch.sigmoid(logits)
        peak = heat * (functional.max_pool2d(heat, 3, 1, 1) == heat).float()
        scores, index = torch.topk(peak.reshape(-1), PEAKS)
        labels = torch.div(index, ROWS * COLS, rounding_mode="trunc")
        cell = index - labels * (ROWS * COLS)
        row = torch.div(cell, COLS, rounding_mode="trunc")
        col = cell - row * COLS
        near = trunk.reshape(48, ROWS * COLS).index_select(1, cell)
        half = torch.div(row, 2, rounding_mode="trunc") * (COLS // 2) + torch.div(col, 2, rounding_mode="trunc")
        far = coarse.reshape(64, ROWS * COLS // 4).index_select(1, half)
        raw = self.net.box(torch.cat([near, far], 0).transpose(0, 1))
        boxes = self.net.decode(raw, row, col, labels)
        lidar = present[0, 0:1].clamp(0.0, 1.0)
        attr = torch.cat([lidar.expand(PEAKS)[:, None], torch.zeros(PEAKS, 2)], 1)
        return scores * lidar, labels, boxes, torch.sigmoid(raw[:, 10]), torch.exp(raw[:, 11:19].clamp(-5, 3)), attr
