"""One space for senses and words: a vector for what each sense makes of a moment, and one for each thing.

Features are summed up by where they lie: by range and bearing on the grid, by azimuth for sounds. The same small layer
reads every region, and a layer over all regions makes the vector. Vectors of the same moment, of a caption that holds
of it, and of the same thing seen again are drawn together, others pushed apart (InfoNCE, van den Oord et al. 2018;
several right answers share as in Khosla et al. 2020).
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

if TYPE_CHECKING:
    from fusion_pipeline.train.fusion import Felt, Seen

WIDTH = 64  # of the vectors of moments and texts
OBJECT = 16  # of those of things
SENSES = 3
RANGES_M = (7.0, 12.0, 18.0, 26.0, 35.0)  # between bands
BEARINGS_RAD = tuple(np.deg2rad((-45.0, -17.0, 17.0, 45.0)).tolist())  # between sectors
REGIONS = (len(RANGES_M) + 1) * (len(BEARINGS_RAD) + 1)
SECTORS = 24  # of sound
_INNER, _DROPPED, _NOISE = 24, 0.1, 0.2
_SHARPEST = 100.0  # the greatest inverse temperature
_NOWHERE = 1e4


@dataclass(frozen=True, slots=True, eq=False)
class Pooled:
    """What the scene's vectors are made of: nothing in here is learnt with them, so it can be kept."""

    lidar: Tensor  # (B, REGIONS, 2 * 64) mean and maximum of the features in each region
    camera: Tensor  # (B, REGIONS, 2 * 64)
    picture: Tensor  # (B, 2 * 96) mean and maximum over the camera's tokens
    sound: Tensor  # (B, SECTORS, 80) mean and maximum of features and events in each sector
    present: Tensor  # (B, 3)


def regions(place: Tensor) -> Tensor:
    """(B, REGIONS, N) 1 for the region that each of N parts of the grid lies in, else 0.

    `place` (B, 5, rows, columns) is that of fusion.py; what lies behind counts as beside.
    """
    x, y = (place[:, 0].flatten(1) + 1.0) * 40.0, place[:, 1].flatten(1) * 20.0
    far = torch.sqrt(x * x + y * y)
    ahead = x.clamp(min=0.0)  # the bearing is compared by half-planes: arctan2 has no ONNX form
    band = sum((far > edge).float() for edge in RANGES_M)
    sector = sum((y * float(np.cos(edge)) > ahead * float(np.sin(edge))).float() for edge in BEARINGS_RAD)
    number = band * (len(BEARINGS_RAD) + 1) + sector
    return (number[:, None] == torch.arange(REGIONS, device=place.device)[None, :, None]).float()


def pooled(felt: Felt, seen: Seen) -> Pooled:
    """Of a batch: the grids are first pooled to the size of `seen.place`."""
    b, _, rows, _ = seen.place.shape
    where = regions(seen.place)
    count = where.sum(2, keepdim=True).clamp(min=1.0)
    # The maximum over a region is taken of its own parts alone, not of all with the others masked.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", torch.jit.TracerWarning)  # a constant of the grid in an exported file too
        most = int(where.sum(2).max())
    inside, members = where.topk(most, 2)
    first = torch.arange(b, device=where.device)[:, None, None] * where.shape[2]
    taken = (members + first).reshape(-1)

    def parts(grid: Tensor) -> Tensor:
        size = grid.shape[2] // rows
        flat = functional.avg_pool2d(grid, size).flatten(2), functional.max_pool2d(grid, size).flatten(2)
        mean = where @ flat[0].transpose(1, 2).to(where.dtype) / count
        own = flat[1].transpose(1, 2).flatten(0, 1).index_select(0, taken).reshape(*members.shape, -1)
        top = (own + ((inside - 1.0) * _NOWHERE).to(own.dtype)[..., None]).amax(2)
        return torch.cat([mean, top * inside[:, :, :1].to(top.dtype)], 2)

    picture = torch.cat([felt.tokens.mean(1), felt.tokens.amax(1)], 1)
    sound = torch.cat([felt.azimuths, torch.sigmoid(felt.events)], 1)
    sound = sound.reshape(b, sound.shape[1], SECTORS, sound.shape[2] // SECTORS)
    sectors = torch.cat([sound.mean(3), sound.amax(3)], 1).transpose(1, 2)
    return Pooled(parts(felt.grids[0]), parts(felt.grids[1]), picture, sectors, seen.present[:, :3])


class _Gather(nn.Module):
    """Features of R regions (B, R, width) to one vector (B, R * _INNER)."""

    def __init__(self, count: int, width: int) -> None:
        super().__init__()
        self.register_buffer("middle", torch.zeros(width))
        self.register_buffer("spread", torch.ones(width))
        self.what, self.where = nn.Linear(width, _INNER), nn.Parameter(torch.randn(count, _INNER) * 0.1)

    def forward(self, what: Tensor) -> Tensor:
        x = (what - self.middle) / self.spread
        if self.training:  # moments are few: nobody shall know them by heart
            x = functional.dropout(x + _NOISE * torch.randn_like(x), _DROPPED)
        return functional.relu(self.what(x) + self.where).flatten(1)

    def settle(self, what: Tensor) -> None:
        """Take middle and spread of each feature from examples."""
        flat = what.reshape(-1, what.shape[2])
        self.middle.copy_(flat.mean(0))
        self.spread.copy_(flat.std(0).clamp(min=1e-2))


def _to_vector(width: int) -> nn.Sequential:
    drop = nn.Dropout(_DROPPED)
    return nn.Sequential(drop, nn.Linear(width, WIDTH), nn.ReLU(), nn.Linear(WIDTH, WIDTH))


class SceneHeads(nn.Module):
    """What each sense felt to (B, 3, 64): LiDAR, camera, audio, each of length 1, exactly 0 where it is absent."""

    def __init__(self, coarse: int = 64, tokens: int = 96) -> None:
        """For grids and tokens of so many channels."""
        super().__init__()
        self.lidar, self.camera = _Gather(REGIONS, 2 * coarse), _Gather(REGIONS, 2 * coarse)
        self.picture, self.sound = _Gather(1, 2 * tokens), _Gather(SECTORS, 80)
        widths = REGIONS * _INNER, (REGIONS + 1) * _INNER, SECTORS * _INNER
        self.out = nn.ModuleList(_to_vector(width) for width in widths)

    def forward(self, felt: Felt, seen: Seen) -> Tensor:
        """Of what the network felt."""
        return self.of(pooled(felt, seen))

    def settle(self, kept: Pooled) -> None:
        """Before training: how large each feature is, from some hundred moments."""
        self.lidar.settle(kept.lidar)
        self.camera.settle(kept.camera)
        self.picture.settle(kept.picture[:, None])
        self.sound.settle(kept.sound)

    def of(self, kept: Pooled) -> Tensor:
        """The same of what has been kept."""
        camera = torch.cat([self.camera(kept.camera), self.picture(kept.picture[:, None])], 1)
        parts = (self.lidar(kept.lidar), camera, self.sound(kept.sound))
        vectors = torch.stack([out(part) for out, part in zip(self.out, parts, strict=True)], 1)
        return functional.normalize(vectors, dim=2) * (kept.present > 0).to(vectors.dtype)[:, :, None]


def joined(scenes: Tensor, there: Tensor) -> Tensor:
    """(B, 64) of length 1: what those senses of (B, 3, 64) that are `there` (B, 3) say together."""
    return functional.normalize((scenes * there[:, :, None]).sum(1), dim=1)


class Sharpness(nn.Module):
    """Inverse temperatures of the losses, learnt; they begin at 1 / 0.07 as CLIP's (Radford et al. 2021)."""

    def __init__(self) -> None:
        super().__init__()
        names = ("senses", "text", "things")
        self.logs = nn.ParameterDict({name: nn.Parameter(torch.tensor(2.66)) for name in names})

    def of(self, name: str) -> Tensor:
        """One of "senses", "text", "things"."""
        return torch.exp(self.logs[name]).clamp(max=_SHARPEST)


def info_nce(likeness: Tensor, right: Tensor) -> Tensor:
    """Both ways over a matrix (N, M) of sharpened likeness; `right` (N, M) marks the right answers, several may be.

    Rows and columns without a right answer or without a wrong one teach nothing.
    """
    return (_one_way(likeness, right) + _one_way(likeness.T, right.T)) / 2


def _one_way(likeness: Tensor, right: Tensor) -> Tensor:
    marks = right.to(likeness.dtype)
    count = marks.sum(1)
    use = (count > 0) & (count < right.shape[1])
    if not bool(use.any()):
        return likeness.sum() * 0
    log = torch.log_softmax(likeness, 1)
    return -((log * marks).sum(1)[use] / count[use]).mean()


def scene_loss(scenes: Tensor, sharp: Sharpness) -> Tensor:
    """LiDAR-camera, LiDAR-audio and camera-audio of (B, 3, 64), over the moments that have both."""
    total = scenes.sum() * 0
    for one, other in ((0, 1), (0, 2), (1, 2)):
        both = (scenes[:, one].abs().sum(1) > 0) & (scenes[:, other].abs().sum(1) > 0)
        a, b = scenes[both, one], scenes[both, other]
        total = total + info_nce(a @ b.T * sharp.of("senses"), torch.eye(len(a), dtype=torch.bool))
    return total / 3


def text_loss(texts: Tensor, scenes: Tensor, holds: Tensor, tells: Tensor, there: Tensor, sharp: Sharpness) -> Tensor:
    """Texts (M, 64) against each sense and all together; `holds` (M, B) says of which moments a text is true, `tells`
    (M, 3) which senses alone can tell, `there` (B, 3) which are taken together.
    """
    scale = sharp.of("text")
    loss = info_nce(texts @ joined(scenes, there).T * scale, holds)
    for sense in range(SENSES):
        mine = tells[:, sense]
        if bool(mine.any()):
            loss = loss + 0.3 * info_nce(texts[mine] @ scenes[:, sense].T * scale, holds[mine])
    return loss


def thing_loss(first: Tensor, again: Tensor, sharp: Sharpness) -> Tensor:
    """Things (K, 16) of length 1, row by row the same seen twice; all others are wrong answers."""
    return info_nce(first @ again.T * sharp.of("things"), torch.eye(len(first), dtype=torch.bool))


def thing_head(width: int) -> nn.Module:
    """Features (K, width) at the peaks of the heat map to (K, 16), yet to be normalised."""
    return nn.Linear(width, OBJECT)
