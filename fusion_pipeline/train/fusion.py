"""The fusion network: LiDAR raster, camera and sound meet in bird's-eye view, any of them may be missing.

Hybrid fusion: features of each sense are lifted to the coarse grid (0.8 m) and added under gates that sum to one
(normalised weighting bears a missing sensor better than concatenation; UniBEV, Wang et al. 2024), then a small
cross-attention lets each part of the grid ask all camera tokens and azimuths by where they look (after CMT, Yan et al.
2023). The head is the LiDAR network's. A missing sense has gate, features and attribution 0.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from fusion_pipeline.train.model import CLASSES, LidarNet, _conv, _Residual, _separable

SENSES = 3  # lidar, camera, audio
COARSE_ROWS, COARSE_COLS, COARSE_M, RIGHT_M = 88, 100, 0.8, -40.0
POOL = 4  # the grid that asks is so much coarser
HEADS, DEPTH = 4, 16
SOUNDS = 8
_ABSENT = 1e4


@dataclass(frozen=True, slots=True, eq=False)
class Seen:
    """Inputs of a batch of B; see encode/lookup.py. `place` (B, 5, h / 4, w / 4) says where the grid's parts lie."""

    raster: Tensor  # (B, 64, 2 h, 2 w)
    image: Tensor  # (B, 3, 192, 640)
    cam_lut: Tensor  # (B, h * w * 3)
    cam_rays: Tensor  # (B, 480, 6)
    srp: Tensor  # (B, 16, 16, 72)
    level: Tensor  # (B, 16, 16) dB of full scale
    aud_lut: Tensor  # (B, h * w)
    aud_geo: Tensor  # (B, h * w, 4)
    aud_dir: Tensor  # (B, 72, 2)
    present: Tensor  # (B, 4)
    place: Tensor


@dataclass(frozen=True, slots=True, eq=False)
class Felt:
    """What each sense makes of it, before they meet."""

    fine: Tensor  # (B, 32, 2 h, 2 w)
    grids: tuple[Tensor, Tensor, Tensor]  # (B, 64, h, w) each
    tokens: Tensor  # (B, 480, 96)
    azimuths: Tensor  # (B, 32, 72)
    seen: Tensor  # (B, 1, h, w) 1 where a camera looks
    segments: Tensor  # (B, 6, 24, 80)
    events: Tensor  # (B, 8, 72)


class CameraNet(nn.Module):
    """(B, 3, 192, 640) to features at 1/8 and 1/16 and classes at 1/8."""

    def __init__(self) -> None:
        super().__init__()
        self.two = _conv(3, 16, stride=2)
        self.four = nn.Sequential(_conv(16, 32, stride=2), _separable(32))
        self.eight = nn.Sequential(_conv(32, 64, stride=2), _Residual(64))
        self.sixteen = nn.Sequential(_conv(64, 96, stride=2), _Residual(96))
        self.down, self.side = _conv(96, 32, 1), _conv(64, 32, 1)
        self.segment = nn.Conv2d(32, len(CLASSES) + 1, 1)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(B, 32, 24, 80), (B, 96, 12, 40), (B, 6, 24, 80)."""
        eight = self.eight(self.four(self.two(image)))
        sixteen = self.sixteen(eight)
        fine = self.side(eight) + functional.interpolate(self.down(sixteen), scale_factor=2.0, mode="nearest")
        return fine, sixteen, self.segment(fine)


class _Spread(nn.Module):
    """Neighbours along a ray tell each other how far a thing can be: a depthwise convolution of wide reach."""

    def __init__(self, rate: int) -> None:
        super().__init__()
        self.wide = nn.Conv2d(64, 64, 5, 1, 2 * rate, dilation=rate, groups=64, bias=False)
        self.norm = nn.BatchNorm2d(64, momentum=0.05)
        self.mix = nn.Sequential(nn.Conv2d(64, 64, 1), nn.ReLU(), nn.Conv2d(64, 64, 1))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.mix(self.norm(self.wide(x)))


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


class Attention(nn.Module):
    """Parts of the grid ask camera tokens and azimuths; what comes back is added."""

    def __init__(self) -> None:
        super().__init__()
        width = HEADS * DEPTH
        self.ask, self.where = nn.Linear(64, width), nn.Linear(5, width)
        self.token, self.ray = nn.Linear(96, width), nn.Linear(6, width)
        self.sound, self.way = nn.Linear(32, width), nn.Linear(2, width)
        self.value, self.norm = nn.Linear(width, width), nn.LayerNorm(width)
        self.wide = nn.Sequential(nn.Linear(width, 128), nn.ReLU(), nn.Linear(128, 64))
        nn.init.zeros_(self.wide[2].weight)
        nn.init.zeros_(self.wide[2].bias)

    def forward(self, grid: Tensor, felt: Felt, seen: Seen) -> Tensor:
        """(B, 64, h, w) to be added to the grid of that shape."""
        b, c, h, w = grid.shape
        small = functional.avg_pool2d(grid, POOL)
        rows, columns = h // POOL, w // POOL
        query = self.ask(small.reshape(b, c, rows * columns).transpose(1, 2))
        query = query + self.where(seen.place.reshape(b, 5, rows * columns).transpose(1, 2))
        camera = self.token(felt.tokens) + self.ray(seen.cam_rays)
        sound = self.sound(felt.azimuths.transpose(1, 2)) + self.way(seen.aud_dir)
        keys = torch.cat([camera, sound], 1)
        count = keys.shape[1]
        cameras, sounds = seen.present[:, 1:2], seen.present[:, 2:3]
        there = torch.cat([cameras.expand(b, camera.shape[1]), sounds.expand(b, sound.shape[1])], 1)

        def split(x: Tensor, n: int) -> Tensor:
            return x.reshape(b, n, HEADS, DEPTH).transpose(1, 2)

        fit = split(query, rows * columns) @ split(keys, count).transpose(2, 3) * DEPTH**-0.5
        share = torch.softmax(fit + (there[:, None, None] - 1.0) * _ABSENT, 3)
        answer = (share @ split(self.value(keys), count)).transpose(1, 2).reshape(b, rows * columns, HEADS * DEPTH)
        anything = torch.maximum(cameras, sounds)[:, :, None]
        out = self.wide(self.norm(answer + query)) * anything
        out = out.transpose(1, 2).reshape(b, 64, rows, columns)
        return functional.interpolate(out, scale_factor=float(POOL), mode="nearest")


class FusionNet(nn.Module):
    """All of it. `use` may switch parts off, for comparison: "gates", "attention"."""

    def __init__(self, use: tuple[str, ...] = ("gates", "attention")) -> None:
        super().__init__()
        self.use = use
        self.lidar, self.camera, self.audio = LidarNet(), CameraNet(), AudioNet()
        self.lift_camera = nn.Sequential(nn.Linear(100, 64), nn.ReLU(), nn.Linear(64, 64))
        self.spread = nn.Sequential(*(_Spread(rate) for rate in (1, 2, 4)))
        self.lift_audio = nn.Sequential(nn.Linear(36, 64), nn.ReLU(), nn.Linear(64, 64))
        self.votes = nn.ModuleList(nn.Conv2d(64, 16, 1) for _ in range(SENSES))
        self.gate = nn.Conv2d(16, SENSES, 1)
        self.attention = Attention()
        self.mix = nn.Sequential(_separable(64), nn.Conv2d(64, 64, 1))
        self.evidence = nn.ModuleList(nn.Linear(64, 8) for _ in range(SENSES))
        self.attribute = nn.Sequential(nn.Linear(3 * 8 + 3, 32), nn.ReLU(), nn.Linear(32, SENSES))
        self.embed = nn.Linear(112, 16)
        nn.init.zeros_(self.mix[1].weight)
        nn.init.zeros_(self.mix[1].bias)
        nn.init.zeros_(self.gate.weight)
        with torch.no_grad():
            self.gate.bias.copy_(torch.tensor([2.0, 0.0, -1.0]))

    def feel(self, seen: Seen) -> Felt:
        """Each sense by itself."""
        lidar = self.lidar
        fine = lidar.stem(seen.raster)
        half = lidar.mid(fine)
        up = functional.interpolate(lidar.neck_up(lidar.quarter(half)), scale_factor=2.0, mode="nearest")
        own = lidar.neck(half + up)
        b, _, h, w = own.shape
        near, far, segments = self.camera(seen.image)
        azimuths, events = self.audio(seen.srp, seen.level)
        table = near.reshape(b, 32, -1).transpose(1, 2)
        table = torch.cat([table, torch.zeros_like(table[:, :1])], 1)
        picked = torch.stack([table[i].index_select(0, seen.cam_lut[i]) for i in range(b)])
        looked = (seen.cam_lut < table.shape[1] - 1).float().reshape(b, h * w, 3).amax(2)
        picked = torch.cat([picked.reshape(b, h * w, 96), seen.aud_geo], 2)  # what is seen, and how far the cell is
        camera = self.lift_camera(picked) * looked[:, :, None]
        heard = torch.stack([azimuths[i].index_select(1, seen.aud_lut[i]) for i in range(b)]).transpose(1, 2)
        audio = self.lift_audio(torch.cat([heard, seen.aud_geo], 2))
        there = seen.present[:, :3].reshape(b, 3, 1, 1)
        grids = (
            own * there[:, 0:1],
            self.spread(camera.transpose(1, 2).reshape(b, 64, h, w)) * there[:, 1:2],
            audio.transpose(1, 2).reshape(b, 64, h, w) * there[:, 2:3],
        )
        tokens = far.reshape(b, 96, -1).transpose(1, 2)
        return Felt(fine, grids, tokens, azimuths, looked.reshape(b, 1, h, w), segments, events)

    def meet(self, felt: Felt, seen: Seen) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Heat map logits (B, 5, 2 h, 2 w), trunk (B, 48, ...), coarse (B, 64, h, w) and gates (B, 3, h, w)."""
        there = seen.present[:, :3].reshape(-1, 3, 1, 1)
        grids = [grid * there[:, k : k + 1] for k, grid in enumerate(felt.grids)]
        asked = sum(vote(grid) for vote, grid in zip(self.votes, grids, strict=True))
        open_ = torch.cat([there[:, 0:1].expand_as(felt.seen), there[:, 1:2] * felt.seen,
                           there[:, 2:3].expand_as(felt.seen)], 1)  # fmt: skip
        gates = torch.softmax(self.gate(functional.relu(asked)) + (open_ - 1.0) * _ABSENT, 1) * open_
        if "gates" not in self.use:
            gates = open_ / open_.sum(1, keepdim=True).clamp(min=1.0)
        fused = sum(gates[:, k : k + 1] * grid for k, grid in enumerate(grids))
        if "attention" in self.use:
            fused = fused + self.attention(fused, felt, seen)
        coarse = fused + self.mix(fused)
        wide = functional.interpolate(self.lidar.up(coarse), scale_factor=2.0, mode="nearest")
        trunk = self.lidar.trunk(wide + self.lidar.lateral(felt.fine) * there[:, 0:1])
        return self.lidar.heat(trunk), trunk, coarse, gates

    def shares(self, evidence: Tensor, gates: Tensor, present: Tensor) -> Tensor:
        """(K, 3) what each sense gave: features of each (K, 3, 64) and gates (K, 3) at K cells, `present` (K, 3)."""
        parts = [layer(evidence[:, k]) for k, layer in enumerate(self.evidence)]
        logits = self.attribute(torch.cat([*parts, gates], 1))
        shares = torch.softmax(logits + (present - 1.0) * _ABSENT, 1) * present
        return shares / shares.sum(1, keepdim=True).clamp(min=1e-6)


def place_of(x: Tensor, y: Tensor) -> Tensor:
    """(5, ...) x, y, range and bearing of places in metres, about 1 in size."""
    far = torch.sqrt(x * x + y * y) + 1e-3
    return torch.stack([x / 40.0 - 1.0, y / 20.0, torch.log(far) - 3.0, x / far, y / far])


def whole_place() -> Tensor:
    """(1, 5, 22, 25) of the whole grid's asking parts."""
    step = COARSE_M * POOL
    x = (torch.arange(COARSE_ROWS // POOL) + 0.5) * step
    y = (torch.arange(COARSE_COLS // POOL) + 0.5) * step + RIGHT_M
    return place_of(*torch.meshgrid(x, y, indexing="ij"))[None]
