"""Late fusion: the boxes of the LiDAR alone and those of the camera alone, joined as boxes.

A box of the camera that lies near one of the LiDAR's of the same class along and across the line of sight is the same
thing: the place is the LiDAR's, and the chances that each is wrong are multiplied. What only one of them finds keeps
its score. The camera errs along the line of sight, so it is allowed more there.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from fusion_pipeline.arrays import Array
from fusion_pipeline.encode.inputs import PRESENT

ALONG, ACROSS = 0.15, 0.04  # of the range, beside NEAR_M
NEAR_M = 1.0
TRUST = 0.7  # in the camera's score where the LiDAR finds the same: both miss the same things
_ROWS = ("scores", "labels", "boxes", "iou", "std", "attr", "obj_emb")


def senses_apart(inputs: Mapping[str, Array]) -> list[dict[str, Array]]:
    """The inputs with LiDAR (and sound) alone, and with the camera alone; one of them where the other is absent."""
    out = []
    for off in (("camera",), ("lidar", "audio", "sweeps")):
        present = np.array(inputs["present"], copy=True)
        present[0, [PRESENT.index(name) for name in off]] = 0
        if present.any():
            out.append({**inputs, "present": present})
    return out


def fused_late(lidar: Mapping[str, Array], camera: Mapping[str, Array]) -> dict[str, Array]:
    """Outputs (N rows each) of two runs as those of one with up to 2 N rows; events are the LiDAR's run's."""
    same = _same(lidar, camera)
    best = np.where(same, camera["scores"][None], 0.0).max(axis=1, initial=0.0)
    scores = 1 - (1 - lidar["scores"]) * (1 - TRUST * best)
    left = ~same.any(axis=0)
    out = {name: np.array(value, copy=True) for name, value in lidar.items()}
    out["attr"] = _shares(lidar["attr"], lidar["scores"], best)
    out["scores"] = scores.astype(np.float32)
    out |= {name: np.concatenate([out[name], camera[name][left]]) for name in _ROWS if name in lidar}
    return out | {name: camera[name] for name in ("cam_seg",) if name in camera}


def _same(lidar: Mapping[str, Array], camera: Mapping[str, Array]) -> Array:
    """(N, M) whether two boxes are the same thing."""
    a, b = lidar["boxes"][:, :2].astype(np.float64), camera["boxes"][:, :2].astype(np.float64)
    far = np.maximum(np.hypot(*b.T), 1e-3)
    way = b / far[:, None]
    gap = a[:, None] - b[None]
    along = np.abs((gap * way[None]).sum(axis=2))
    across = np.abs(gap[..., 0] * way[None, :, 1] - gap[..., 1] * way[None, :, 0])
    near = (along < NEAR_M + ALONG * far) & (across < NEAR_M + ACROSS * far)
    return np.asarray(near & (lidar["labels"][:, None] == camera["labels"][None]), bool)


def _shares(attr: Array, scores: Array, best: Array) -> Array:
    """The camera gets what it added to the score."""
    added = TRUST * best * (1 - scores)
    share = (added / np.maximum(scores + added, 1e-6))[:, None]
    return np.asarray(attr * (1 - share) + share * np.asarray([[0.0, 1.0, 0.0]]), np.float32)
