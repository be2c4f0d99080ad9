"""The fusion network: LiDAR raster, camera and sound meet in bird's-eye view, any of them may be missing.

Hybrid fusion: features of each sense are lifted to the coarse grid (0.8 m) and added under gates that sum to one
(normalised weighting bears a missing sensor better than concatenation; UniBEV, Wang et al. 2024), then a small
cross-attention lets each part of the grid ask all camera tokens and azimuths by where they look (after CMT, Yan et al.
2023). The head is the LiDAR network's. A missing sense has gate, features and attribution 0.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from torch.nn import functional

from fusion_pipeline.encode.grid import COARSE_M, FRONT, BevGrid
from fusion_pipeline.encode.lookup import DEPTHS, RAY, UNSEEN
from fusion_pipeline.encode.paint import PAINT_CHANNELS
from fusion_pipeline.train.model import LidarNet, Size, _separable
from fusion_pipeline.train.motion import Motion
from fusion_pipeline.train.represent import SceneHeads
from fusion_pipeline.train.senses import HEARD, SEEN, AudioNet, CameraNet, Spread

SENSES = 3  # lidar, camera, audio
POOL = 4  # the grid that asks is so much coarser
HEADS, DEPTH = 4, 16
WAY = 6  # numbers of a ray that say where from and where to
BASE = Size("base", quarter=64, trunk=32, inner=48, spread=32)
NANO = Size("nano", stem=16, coarse=32, quarter=64, trunk=32, blocks=1, inner=32, spread=32, camera=(16, 16, 32, 64),
            hinted=True, timed=32, use=("gates",))  # fmt: skip
SIZES = {size.name: size for size in (BASE, NANO)}
_ABSENT = 1e4


@dataclass(frozen=True, slots=True, eq=False)
class Seen:
    """Inputs of a batch of B; see encode/lookup.py. `place` (B, 5, h / 4, w / 4) says where the grid's parts lie."""

    raster: Tensor  # (B, 64, 2 h, 2 w)
    image: Tensor  # (B, 3, 192, 640)
    cam_lut: Tensor  # (B, h * w * 3)
    cam_bin: Tensor  # (B, h * w * 3)
    cam_rays: Tensor  # (B, 480, RAY)
    srp: Tensor  # (B, 16, 16, 72)
    level: Tensor  # (B, 16, 16) dB of full scale
    aud_lut: Tensor  # (B, h * w)
    aud_geo: Tensor  # (B, h * w, 4)
    aud_dir: Tensor  # (B, 72, 2)
    present: Tensor  # (B, 4)
    place: Tensor
    paint_rows: Tensor | None = None  # (B, 4, 2 h, 2 w) see encode/paint.py; None: the raster is as it is


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
    depths: Tensor  # (B, 64, 24, 80) logits

    def without(self, sense: int) -> Felt:
        """The same, but for one sense that felt nothing."""
        grids = [grid * (k != sense) for k, grid in enumerate(self.grids)]
        return replace(self, grids=(grids[0], grids[1], grids[2]))


class Attention(nn.Module):
    """Parts of the grid ask camera tokens and azimuths; what comes back is added."""

    def __init__(self, grid: int, tokens: int) -> None:
        super().__init__()
        width = HEADS * DEPTH
        self.ask, self.where = nn.Linear(grid, width), nn.Linear(5, width)
        self.token, self.ray = nn.Linear(tokens, width), nn.Linear(WAY, width)
        self.sound, self.way = nn.Linear(32, width), nn.Linear(2, width)
        self.value, self.norm = nn.Linear(width, width), nn.LayerNorm(width)
        self.wide = nn.Sequential(nn.Linear(width, 128), nn.ReLU(), nn.Linear(128, grid))
        nn.init.zeros_(self.wide[2].weight)
        nn.init.zeros_(self.wide[2].bias)

    def forward(self, grid: Tensor, felt: Felt, seen: Seen) -> Tensor:
        """(B, 64, h, w) to be added to the grid of that shape."""
        b, c, h, w = grid.shape
        small = functional.avg_pool2d(grid, POOL)
        rows, columns = h // POOL, w // POOL
        query = self.ask(small.reshape(b, c, rows * columns).transpose(1, 2))
        query = query + self.where(seen.place.reshape(b, 5, rows * columns).transpose(1, 2))
        camera = self.token(felt.tokens) + self.ray(seen.cam_rays[:, :, :WAY])
        sound = self.sound(felt.azimuths.transpose(1, 2)) + self.way(seen.aud_dir)
        keys = torch.cat([camera, sound], 1)
        count = keys.shape[1]
        cameras, sounds = seen.present[:, 1:2], seen.present[:, 2:3]
        there = torch.cat([cameras.expand(b, camera.shape[1]), sounds.expand(b, sound.shape[1])], 1)

        def split(x: Tensor, n: int) -> Tensor:
            return x.reshape(b, n, HEADS, DEPTH).transpose(1, 2)

        # The mask is one more column of the keys, which every query asks with 1: no pass over all pairs for it.
        asked = torch.cat([split(query * DEPTH**-0.5, rows * columns), query.new_ones(b, HEADS, rows * columns, 1)], 3)
        masked = ((there - 1.0) * _ABSENT)[:, None, :, None].expand(b, HEADS, count, 1)
        offered = torch.cat([split(keys, count), masked.to(keys.dtype)], 3)
        share = torch.softmax(asked @ offered.transpose(2, 3), 3)
        answer = (share @ split(self.value(keys), count)).transpose(1, 2).reshape(b, rows * columns, HEADS * DEPTH)
        anything = torch.maximum(cameras, sounds)[:, :, None]
        out = self.wide(self.norm(answer + query)) * anything
        out = out.transpose(1, 2).reshape(b, c, rows, columns)
        return functional.interpolate(out, scale_factor=float(POOL), mode="nearest")


def _softmax(x: Tensor) -> Tensor:
    """Over the second dimension, which ONNX Runtime would turn to the end and back again for it."""
    height = torch.exp(x - x.amax(1, keepdim=True))
    return height / height.sum(1, keepdim=True)


def _for_those(
    there: Tensor, training: bool, part: Callable[[Tensor], tuple[Tensor, ...]], x: Tensor, widths: tuple[int, int]
) -> tuple[Tensor, ...]:
    """`part(x)` of the LiDAR, in training of those samples alone that are `there`: zeros of absent ones would bend the
    statistics of its normalisations, and cost as much as others.
    """
    if not training or bool(there.all()):
        return part(x)
    chosen = torch.nonzero(there).flatten()
    if not len(chosen):
        b, _, h, w = x.shape
        return x.new_zeros((b, widths[0], h, w)), x.new_zeros((b, widths[1], h // 2, w // 2))
    return tuple(y.new_zeros((len(x), *y.shape[1:])).index_copy(0, chosen, y) for y in part(x[chosen]))


class FusionNet(nn.Module):
    """All of it. `use`, otherwise than is usual for the size: "gates" or "join" (concatenation) or neither (the mean),
    and "attention".
    """

    def __init__(self, size: Size = BASE, use: tuple[str, ...] | None = None) -> None:
        super().__init__()
        self.size, self.use = size, size.use if use is None else use
        width, both = size.coarse, size.coarse + size.trunk
        self.lidar, self.camera, self.audio = LidarNet(size), CameraNet(size.camera), AudioNet()
        self.look, self.far = nn.Linear(3 * SEEN, width), nn.Linear(3 + 4, width, bias=False)
        self.anyway = nn.Parameter(torch.full((3, 1), 0.25))  # how much a cell is told whatever its depth
        self.lift_camera = nn.Sequential(nn.ReLU(), nn.Linear(width, width))
        self.spread = Spread(width, size.spread)
        self.hear, self.place = nn.Linear(HEARD, width), nn.Linear(4, width, bias=False)
        self.lift_audio = nn.Sequential(nn.ReLU(), nn.Linear(width, width))
        self.votes = nn.ModuleList(nn.Conv2d(width, 16, 1) for _ in range(SENSES))
        self.gate = nn.Conv2d(16, SENSES, 1)
        if "join" in self.use:  # begins as a weighted mean
            self.join = nn.Conv2d(SENSES * width, width, 1)
            with torch.no_grad():
                parts = [share * torch.eye(width) for share in (0.8, 0.15, 0.05)]
                self.join.weight.copy_(torch.cat(parts, 1)[:, :, None, None])
                self.join.bias.zero_()
        self.attention = Attention(width, size.camera[3])
        self.mix = nn.Sequential(_separable(width), nn.Conv2d(width, width, 1))
        self.evidence = nn.ModuleList(nn.Linear(width, 8) for _ in range(SENSES))
        self.attribute = nn.Sequential(nn.Linear(3 * 8 + 3, 32), nn.ReLU(), nn.Linear(32, SENSES))
        self.embed = nn.Linear(both, 16)
        self.motion, self.scene = Motion(), SceneHeads(width, size.camera[3])
        nn.init.zeros_(self.mix[1].weight)
        nn.init.zeros_(self.mix[1].bias)
        nn.init.zeros_(self.gate.weight)
        with torch.no_grad():
            self.gate.bias.copy_(torch.tensor([2.0, 0.0, -1.0]))

    def feel(self, seen: Seen) -> Felt:
        """Each sense by itself."""
        b, there = len(seen.present), seen.present[:, :3].reshape(-1, 3, 1, 1)
        widths = self.size.stem, self.size.coarse
        near, far, segments, depths = self.camera(seen.image, seen.cam_rays.reshape(len(seen.image), -1, RAY))
        raster = seen.raster if seen.paint_rows is None else with_paint(seen.raster, segments, seen.paint_rows)
        fine, own = _for_those(seen.present[:, 0] > 0, self.training, self._lidar, raster, widths)
        h, w = own.shape[2:]
        azimuths, events = self.audio(seen.srp, seen.level)
        cameras = len(seen.image) // b
        looked = (seen.cam_lut < UNSEEN * cameras).float().reshape(b, h * w, 3)
        camera = self.lift_camera(self._looked_up(near, depths, seen, looked)) * looked.amax(2)[:, :, None]
        audio = functional.interpolate(self._heard(azimuths, seen, h, w), scale_factor=2.0, mode="nearest")
        grids = (
            own * there[:, 0:1],
            self.spread(camera.transpose(1, 2).reshape(b, -1, h, w)) * there[:, 1:2],
            audio * there[:, 2:3],
        )
        tokens = far.reshape(b, cameras, far.shape[1], -1).transpose(2, 3).reshape(b, -1, far.shape[1])
        seen_by_camera = looked.amax(2).reshape(b, 1, h, w)
        return Felt(fine, grids, tokens, azimuths, seen_by_camera, segments, events, depths)

    def _lidar(self, raster: Tensor) -> tuple[Tensor, Tensor]:
        lidar = self.lidar
        fine = lidar.stem(raster)
        half = lidar.mid(fine)
        up = functional.interpolate(lidar.neck_up(lidar.quarter(half)), scale_factor=2.0, mode="nearest")
        return fine, lidar.neck(half + up)

    def _heard(self, azimuths: Tensor, seen: Seen, h: int, w: int) -> Tensor:
        """(B, width, h / 2, w / 2) of every second cell: azimuths are 5 degrees wide, so that no more can be told."""
        b = len(azimuths)
        at = seen.aud_lut.reshape(b, h, w)[:, ::2, ::2].reshape(b, -1)
        geometry = seen.aud_geo.reshape(b, h, w, 4)[:, ::2, ::2].reshape(b, -1, 4)
        # What is heard at an azimuth is lifted once per azimuth, not once per cell.
        voices = self.hear(azimuths.transpose(1, 2))
        heard = torch.stack([voices[i].index_select(0, at[i]) for i in range(b)])
        audio = self.lift_audio(heard + self.place(geometry))
        return audio.transpose(1, 2).reshape(b, -1, h // 2, w // 2)

    def _looked_up(self, near: Tensor, depths: Tensor, seen: Seen, looked: Tensor) -> Tensor:
        """(B, h * w, width) of each cell: what the cameras see there at three heights, the more the surer they are that
        it is that far away; how sure they are; how far the cell is.
        """
        b, count, _ = looked.shape
        table = near.reshape(b, -1, SEEN, UNSEEN).transpose(2, 3).reshape(b, -1, SEEN)
        table = torch.cat([table, torch.zeros_like(table[:, :1])], 1)
        chances = torch.softmax(depths.reshape(b, -1, DEPTHS, UNSEEN).transpose(2, 3).float(), 3).reshape(b, -1, DEPTHS)
        chances = torch.cat([chances, torch.zeros_like(chances[:, :1])], 1).reshape(b, -1)
        at = seen.cam_lut * DEPTHS + seen.cam_bin
        picked = torch.stack([table[i].index_select(0, seen.cam_lut[i]) for i in range(b)]).reshape(b, count, 3, SEEN)
        chance = torch.stack([chances[i].index_select(0, at[i]) for i in range(b)]).reshape(b, count, 3) * (DEPTHS / 4)
        weighed = picked * (chance[..., None] + self.anyway).to(picked.dtype)
        return self.look(weighed.flatten(2)) + self.far(torch.cat([chance, seen.aud_geo], 2))

    def meet(self, felt: Felt, seen: Seen) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Heat map logits (B, 5, 2 h, 2 w), trunk (B, 48, ...), coarse (B, 64, h, w) and gates (B, 3, h, w).

        What was felt by a sense that is absent must be 0, as `feel` leaves it and `Felt.without` makes it.
        """
        there, grids = seen.present[:, :3].reshape(-1, 3, 1, 1), felt.grids
        asked = sum(vote(grid) for vote, grid in zip(self.votes, grids, strict=True))
        open_ = torch.cat([there[:, 0:1].expand_as(felt.seen), there[:, 1:2] * felt.seen,
                           there[:, 2:3].expand_as(felt.seen)], 1)  # fmt: skip
        gates = _softmax(self.gate(functional.relu(asked)) + (open_ - 1.0) * _ABSENT) * open_
        if "gates" not in self.use:
            gates = open_ / open_.sum(1, keepdim=True).clamp(min=1.0)
        if "join" in self.use:
            fused = self.join(torch.cat(grids, 1))
        else:
            fused = sum(gates[:, k : k + 1] * grid for k, grid in enumerate(grids))
        if "attention" in self.use:
            fused = fused + self.attention(fused, felt, seen)
        coarse = fused + self.mix(fused)
        wide = functional.interpolate(self.lidar.up(coarse), scale_factor=2.0, mode="nearest")
        trunk = self.lidar.trunk(wide + self.lidar.lateral(felt.fine) * there[:, 0:1])
        return self.lidar.heat_map(trunk, coarse), trunk, coarse, gates

    def shares(self, evidence: Tensor, gates: Tensor, present: Tensor) -> Tensor:
        """(K, 3) what each sense gave: features of each (K, 3, 64) and gates (K, 3) at K cells, `present` (K, 3)."""
        parts = [layer(evidence[:, k]) for k, layer in enumerate(self.evidence)]
        logits = self.attribute(torch.cat([*parts, gates], 1))
        shares = torch.softmax(logits + (present - 1.0) * _ABSENT, 1) * present
        return shares / shares.sum(1, keepdim=True).clamp(min=1e-6)


def with_paint(raster: Tensor, segments: Tensor, rows: Tensor) -> Tensor:
    """The raster (B, 64, h, w) with what the camera saw (B, 6, 24, 80) painted by rows (B, 4, h, w) of its map.

    Nothing flows back: on the vehicle it is the picture before this one that paints.
    """
    chance = 1 - torch.softmax(segments.detach().float(), 1)[:, -1].flatten(1)
    table = torch.cat([chance, torch.zeros_like(chance[:, :1])], 1)
    paint = table.gather(1, rows.flatten(1)).reshape(rows.shape).to(raster.dtype)
    return torch.cat([raster[:, : PAINT_CHANNELS.start], paint, raster[:, PAINT_CHANNELS.stop :]], 1)


def place_of(x: Tensor, y: Tensor) -> Tensor:
    """(5, ...) x, y, range and bearing of places in metres, about 1 in size."""
    far = torch.sqrt(x * x + y * y) + 1e-3
    return torch.stack([x / 40.0 - 1.0, y / 20.0, torch.log(far) - 3.0, x / far, y / far])


def whole_place(grid: BevGrid = FRONT) -> Tensor:
    """(1, 5, rows / 4, columns / 4) of the whole grid's asking parts; (1, 5, 22, 25) of the standard one."""
    step = COARSE_M * POOL
    x = (torch.arange(grid.coarse[0] // POOL) + 0.5) * step + grid.x_m[0]
    y = (torch.arange(grid.coarse[1] // POOL) + 0.5) * step + grid.y_m[0]
    return place_of(*torch.meshgrid(x, y, indexing="ij"))[None]
