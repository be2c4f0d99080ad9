"""Attribution that is taught: a sense's share of a box is what leaving that sense out would cost its score."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor
from torch.nn import functional

from fusion_pipeline.train.fusion import Felt, FusionNet, Seen

HONEST = 0.1  # weight of the loss


def drops(net: FusionNet, felt: Felt, seen: Seen, logits: Tensor, index: Tensor) -> Tensor:
    """(K, 3) by how much each sense's absence lowers the score of K objects (batch, row, column, ..., label)."""

    def scores(of: Tensor) -> Tensor:
        near = functional.max_pool2d(torch.sigmoid(of), 3, 1, 1)
        return near[index[:, 0], index[:, 5], index[:, 1], index[:, 2]]

    with torch.no_grad():
        whole = scores(logits)
        columns = []
        for sense in range(3):
            present = seen.present.clone()
            present[:, sense] = 0
            without = net.meet(felt.without(sense), replace(seen, present=present))[0]
            alone = (present[:, :3].sum(1) > 0).float()[index[:, 0]]
            columns.append((whole - scores(without) * alone).clamp(min=0) * seen.present[index[:, 0], sense])
        return torch.stack(columns, 1)


def evidence_at(felt: Felt, gates: Tensor, batch: Tensor, row: Tensor, column: Tensor) -> tuple[Tensor, Tensor]:
    """Features (K, 3, 64) and gates (K, 3) at K fine cells."""
    r, c = row // 2, column // 2
    parts = [grid.permute(0, 2, 3, 1)[batch, r, c] for grid in felt.grids]
    return torch.stack(parts, 1), gates.permute(0, 2, 3, 1)[batch, r, c]


def honest_loss(net: FusionNet, felt: Felt, seen: Seen, logits: Tensor, gates: Tensor, index: Tensor) -> Tensor:
    """The shares of K objects should be those of the drops, where there is any drop and more than one sense."""
    lost = drops(net, felt, seen, logits, index)
    total = lost.sum(1)
    use = (total > 0.02) & (seen.present[index[:, 0], :3].sum(1) > 1)
    if not use.any():
        return logits.sum() * 0
    evidence, shares_of = evidence_at(felt, gates, index[:, 0], index[:, 1], index[:, 2])
    shares = net.shares(evidence.detach(), shares_of.detach(), seen.present[index[:, 0], :3])
    goal = lost[use] / total[use, None]
    return -(goal * torch.log(shares[use].clamp(min=1e-4))).sum(1).mean()
