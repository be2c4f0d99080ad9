"""What the network is punished for."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from fusion_pipeline.train.model import STEP_M, Y0_M

MOVES_MPS = 1.0
VELOCITY = 0.02  # weight of its errors: `motion.py` is what tells it


def heat_loss(logits: Tensor, heat: Tensor, weight: Tensor) -> Tensor:
    """Focal loss on Gaussian hills (alpha 2, beta 4; CornerNet, Law and Deng 2018), by the number of centres."""
    logits = logits.float()
    chance = torch.sigmoid(logits).clamp(1e-4, 1 - 1e-4)
    hit = heat.eq(1.0).float()
    yes = torch.log(chance) * (1 - chance).square() * hit
    no = torch.log(1 - chance) * chance.square() * (1 - heat).pow(4) * (1 - hit)
    return -((yes + no) * weight[:, None]).sum() / hit.sum().clamp(min=1.0)


def box_loss(raw: Tensor, row: Tensor, col: Tensor, boxes: Tensor, sizes: Tensor) -> Tensor:
    """L1 on the box numbers, likelihood of the errors under `std`, and the predicted IoU. K boxes at their cells."""
    goal = torch.stack(
        [
            boxes[:, 0] / STEP_M - row - 0.5,
            (boxes[:, 1] - Y0_M) / STEP_M - col - 0.5,
            boxes[:, 2] - 0.5 * sizes[:, 2],
            *(torch.log(boxes[:, 3:6] / sizes)).T,
            torch.sin(boxes[:, 6]),
            torch.cos(boxes[:, 6]),
        ],
        1,
    )
    # A body looks nearly the same from both ends: the cheaper heading teaches the axis, a little weight the direction.
    gap = (raw[:, :8] - goal).abs()
    flipped = (raw[:, 6:8] + goal[:, 6:8]).abs().sum(1)
    # What drives shows its direction. Most things stand: without a weight nothing would ever be said to move.
    moves = boxes[:, 7:9].square().sum(1) > MOVES_MPS**2
    sure, drive = torch.where(moves, 0.7, 0.15), torch.where(moves, 1.0, 0.3)
    straight = gap[:, 6:8].sum(1)
    turn = (1 - sure) * torch.minimum(straight, flipped) + sure * straight
    scale = torch.tensor([1.0, 1.0, 3.0, 2.0, 2.0, 3.0])
    loss = (gap[:, :6] * scale).sum(1) + turn + VELOCITY * drive * (raw[:, 8:10] - boxes[:, 7:9]).abs().sum(1)
    with torch.no_grad():
        error, agreement = _errors(raw, goal, boxes, sizes)
    log_std = raw[:, 11:19].clamp(-5, 3)
    likelihood = (log_std + error * torch.exp(-log_std)).mean(1)  # Laplace
    iou = functional.binary_cross_entropy_with_logits(raw[:, 10], agreement, reduction="none")
    return (loss + 0.05 * likelihood + 0.3 * iou).mean()


def _errors(raw: Tensor, goal: Tensor, boxes: Tensor, sizes: Tensor) -> tuple[Tensor, Tensor]:
    """Errors (K, 8) in metres and radians, and the 3D IoU (K,), approximated as if the yaws agreed."""
    move = (raw[:, :2] - goal[:, :2]) * STEP_M
    z = raw[:, 2] - goal[:, 2]
    size = sizes * torch.exp(raw[:, 3:6].clamp(-1.5, 1.5))
    cross = raw[:, 6] * goal[:, 7] - raw[:, 7] * goal[:, 6]
    turn = torch.atan2(cross, raw[:, 6] * goal[:, 6] + raw[:, 7] * goal[:, 7]).abs()
    speed = (raw[:, 8:10] - boxes[:, 7:9]).abs().amax(1)
    error = torch.cat([move.abs(), z.abs()[:, None], (size - boxes[:, 3:6]).abs(), turn[:, None], speed[:, None]], 1)
    c, s = goal[:, 7], goal[:, 6]
    away = torch.stack([c * move[:, 0] + s * move[:, 1], -s * move[:, 0] + c * move[:, 1], z], 1).abs()
    lap = ((size + boxes[:, 3:6]) / 2 - away).clamp(min=0)
    lap = torch.minimum(lap, torch.minimum(size, boxes[:, 3:6])).prod(1)
    both = lap / (size.prod(1) + boxes[:, 3:6].prod(1) - lap)
    axis = torch.minimum(turn, torch.pi - turn)
    return error, (both * torch.cos(axis).clamp(min=0)).clamp(0, 1)


def depth_loss(logits: Tensor, bins: Tensor, weight: Tensor) -> Tensor:
    """Cross-entropy of depths (B, D, h, w) against real-numbered bins (B, h, w), shared between the two nearest, of so
    much `weight` (B, h, w); -1 is not taught.
    """
    chances = torch.log_softmax(logits.float(), 1)
    weight, at = weight * (bins >= 0), (bins - 0.5).clamp(0, logits.shape[1] - 1.001)
    low = at.long()
    share = at - low
    picked = chances.gather(1, torch.stack([low, low + 1], 1))
    said = (1 - share) * picked[:, 0] + share * picked[:, 1]
    return -(said * weight).sum() / weight.sum().clamp(min=1.0)


def class_loss(logits: Tensor, classes: Tensor, weight: Tensor) -> Tensor:
    """Cross-entropy of classes (B, h, w), of so much `weight` (B, h, w)."""
    return (functional.cross_entropy(logits.float(), classes, reduction="none") * weight).mean()


def imitation_loss(pupil: Tensor, teacher: Tensor, where: Tensor) -> Tensor:
    """How far one sense's features (B, C, h, w) are from another's, which stay as they are, at places (B, 1, h, w).

    Where both look at a thing, what the LiDAR makes of it is what the head can read (after UniDistill, Zhou et al.
    2023). The error is in units of the teacher's mean size, so that its weight outlives a change of scale.
    """
    goal = teacher.detach().float()
    count = where.sum().clamp(min=1.0)
    size = (goal.abs().mean(1, keepdim=True) * where).sum() / count + 1e-3
    gap = functional.smooth_l1_loss(pupil.float() / size, goal / size, reduction="none").mean(1, keepdim=True)
    return (gap * where).sum() / count
