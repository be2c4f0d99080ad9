"""The LiDAR network: bird's-eye raster to 128 boxes, regression only where the heat map peaks.

The form follows CenterPoint (Yin et al., 2021), with depthwise-separable blocks for CPUs.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

CLASSES = ("car", "truck", "pedestrian", "two-wheeler", "other")
PEAKS = 128
ROWS, COLS, STEP_M, Y0_M = 176, 200, 0.4, -40.0
# Mean length, width, height by class: the network gives log ratios to them.
SIZES_M = ((3.95, 1.65, 1.54), (9.0, 2.5, 3.15), (0.8, 0.62, 1.75), (1.78, 0.62, 1.72), (1.2, 0.45, 0.95))
REGRESSED = 19  # dx dy z log(l w h) sin cos vx vy, iou, log std of x y z l w h yaw v


@dataclass(frozen=True, slots=True)
class Size:
    """Widths of a network in channels; multiples of 16 are what CPUs like."""

    name: str = "lidar"
    stem: int = 32  # at 0.4 m
    coarse: int = 64  # at 0.8 m, where the senses meet
    quarter: int = 96  # at 1.6 m
    trunk: int = 48  # at 0.4 m, before the heat map
    blocks: int = 2  # at 1.6 m
    inner: int = 64  # inside the block at 0.8 m
    spread: int = 64  # where a camera's cells tell their neighbours
    camera: tuple[int, int, int, int] = (16, 32, 64, 96)  # at 1/2, 1/4, 1/8 and 1/16
    hinted: bool = False  # whether features at 0.8 m tell the heat map of classes too: a thin trunk forgets
    timed: int = 64  # of the 128 peaks, the surest, are told how fast they go; no street holds more
    use: tuple[str, ...] = ("gates", "attention")  # how the senses meet; `train/compare.py` tries others


LIDAR = Size()
Corner = tuple[float, float]


def _conv(i: int, o: int, kernel: int = 3, stride: int = 1, groups: int = 1) -> nn.Sequential:
    layer = nn.Conv2d(i, o, kernel, stride, kernel // 2, groups=groups, bias=False)
    return nn.Sequential(layer, nn.BatchNorm2d(o, momentum=0.05), nn.ReLU(inplace=True))


def _separable(width: int) -> nn.Sequential:
    return nn.Sequential(_conv(width, width, groups=width), _conv(width, width, 1))


class _Residual(nn.Module):
    def __init__(self, width: int, inner: int = 0) -> None:
        super().__init__()
        inner = inner or width
        self.a = _conv(width, inner)
        self.b = nn.Sequential(nn.Conv2d(inner, width, 3, 1, 1, bias=False), nn.BatchNorm2d(width, momentum=0.05))

    def forward(self, x: Tensor) -> Tensor:
        return functional.relu(x + self.b(self.a(x)))


class LidarNet(nn.Module):
    """`lidar_bev` (B, 64, 176, 200) to features, heat map and, at chosen cells, box numbers."""

    def __init__(self, size: Size = LIDAR) -> None:
        super().__init__()
        stem, coarse, quarter, trunk = size.stem, size.coarse, size.quarter, size.trunk
        self.stem = nn.Sequential(_conv(64, stem, 1), _separable(stem))
        self.mid = nn.Sequential(_conv(stem, coarse, stride=2), _Residual(coarse, size.inner))
        blocks = [_Residual(quarter) for _ in range(size.blocks)]
        self.quarter = nn.Sequential(_conv(coarse, quarter, stride=2), *blocks)
        self.neck_up = _conv(quarter, coarse, 1)
        self.neck = _separable(coarse)
        self.up, self.lateral = _conv(coarse, trunk, 1), _conv(stem, trunk, 1)
        self.trunk = nn.Sequential(_separable(trunk), _separable(trunk))
        self.heat = nn.Conv2d(trunk, len(CLASSES), 1)
        self.hint = nn.Conv2d(coarse, len(CLASSES), 1) if size.hinted else None
        both = coarse + trunk
        self.box = nn.Sequential(nn.Linear(both, 96), nn.ReLU(), nn.Linear(96, 96), nn.ReLU(), nn.Linear(96, REGRESSED))
        nn.init.constant_(self.heat.bias, -4.6)
        if self.hint is not None:
            nn.init.zeros_(self.hint.weight)
            nn.init.zeros_(self.hint.bias)
        self.register_buffer("sizes", torch.tensor(SIZES_M))

    def features(self, lidar_bev: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Heat map logits (B, 5, 176, 200), fine features (B, 48, 176, 200), coarse (B, 64, 88, 100)."""
        fine = self.stem(lidar_bev)
        half = self.mid(fine)
        up = functional.interpolate(self.neck_up(self.quarter(half)), scale_factor=2.0, mode="nearest")
        coarse = self.neck(half + up)
        wide = functional.interpolate(self.up(coarse), scale_factor=2.0, mode="nearest")
        trunk = self.trunk(wide + self.lateral(fine))
        return self.heat_map(trunk, coarse), trunk, coarse

    def heat_map(self, trunk: Tensor, coarse: Tensor) -> Tensor:
        """Logits (B, 5, H, W) of the trunk's features (B, ., H, W) and those at half the resolution."""
        heat = self.heat(trunk)
        if self.hint is None:
            return heat
        return heat + functional.interpolate(self.hint(coarse), scale_factor=2.0, mode="nearest")

    def encoder(self) -> nn.ModuleList:
        """The part that looks at the raster, without the head."""
        return nn.ModuleList([self.stem, self.mid, self.quarter, self.neck_up, self.neck])

    def regress(self, trunk: Tensor, coarse: Tensor, batch: Tensor, row: Tensor, col: Tensor) -> Tensor:
        """Raw box numbers (K, 19) at K cells."""
        near = trunk.permute(0, 2, 3, 1)[batch, row, col]
        far = coarse.permute(0, 2, 3, 1)[batch, row // 2, col // 2]
        with torch.autocast("cpu", enabled=False):  # places need more digits than bfloat16 has
            return self.box(torch.cat([near, far], 1).float())

    def decode(self, raw: Tensor, row: Tensor, col: Tensor, labels: Tensor, corner_m: Corner = (0.0, Y0_M)) -> Tensor:
        """Boxes (K, 10): x y z l w h sin cos vx vy, z above local ground; the grid begins at `corner_m`."""
        x = (row.float() + 0.5 + raw[:, 0]) * STEP_M + corner_m[0]
        y = (col.float() + 0.5 + raw[:, 1]) * STEP_M + corner_m[1]
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
