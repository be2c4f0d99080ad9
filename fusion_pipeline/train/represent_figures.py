"""How well moments and things are found again by their vectors, on held-out simulated moments. Needs no torch.

Text, sound and picture each ask for the moment; a thing asks for itself, seen a second time as training sees it:
turned, scaled, thinned, with senses missing. Chance is the baseline of each.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from fusion_pipeline.arrays import Array, Floats
from fusion_pipeline.bench.report import Figure
from fusion_pipeline.detect.network import Network
from fusion_pipeline.detect.text import TextEncoder, joined
from fusion_pipeline.encode.points import BevRaster
from fusion_pipeline.metrics.retrieval import chance, ranks, recall, same_again
from fusion_pipeline.train.captions import FACTS, caption, facts_of, holding
from fusion_pipeline.train.data import COLS, ROWS
from fusion_pipeline.train.judge import LEAST
from fusion_pipeline.train.lessons import Lesson, Options, lesson
from fusion_pipeline.train.moments import HELD_SEED, Progress
from fusion_pipeline.train.rides import Ride

AMONG = (1, 5, 10)
SHORT, LONG = 3, 8  # facts that a caption tells
NEAR_M = 2.0
TAG = 9  # the column of boxes that numbers them: lessons leave it alone


@dataclass(frozen=True, slots=True, eq=False)
class Known:
    """Vectors of N moments, and of K things in two views each."""

    scenes: Floats  # (N, 3, 64)
    first: Floats  # (K, 16)
    again: Floats  # (K, 16)
    labels: Array  # (K,)
    moments: Array  # (K,) which moment each thing is of


def tagged(ride: Ride) -> Ride:
    """With a tenth column in `boxes` that numbers them: lessons carry it along."""
    return replace(ride, boxes=np.column_stack([ride.boxes, np.arange(len(ride.boxes))]).astype(np.float32))


def count_of(rides: int) -> int:
    """How many steps `figures` advances."""
    return 2 * rides


def has_vectors(model: Path) -> bool:
    """Whether a network gives vectors of moments and things."""
    names = {spec.name for spec in Network(model, warm_up=False).outputs}
    return {"scene_emb", "obj_emb"} <= names


def figures(
    model: Path, text: Path, rides: Sequence[Ride], advance: Progress = lambda n: None, threads: int = 2
) -> tuple[Figure, ...]:
    """Recall of moments and rank-1 accuracy of things; `text` is the text network's file. () for a network without."""
    if not has_vectors(model):
        return ()
    known = _known(model, rides, advance, threads)
    return (*_found(known.scenes, TextEncoder(text, threads), rides), *_again(known))


def inputs_of(item: Lesson) -> dict[str, Array]:
    """A network's inputs of a lesson of the whole grid."""
    return {
        "lidar_bev": item.target.raster[None], "image": item.image[None] * item.present[1], "cam_lut": item.cam_lut,
        "cam_bin": item.cam_bin, "cam_rays": item.cam_rays[None], "audio_srp": item.srp[None],
        "audio_level": item.level[None], "aud_lut": item.aud_lut, "aud_geo": item.aud_geo,
        "aud_dir": item.aud_dir[None], "present": item.present[None],
    }  # fmt: skip


def _known(model: Path, rides: Sequence[Ride], advance: Progress, threads: int) -> Known:
    network, raster = Network(model, threads=threads), BevRaster()
    names = [spec.name for spec in network.inputs]

    def run(item: Lesson) -> dict[str, Array]:
        inputs = inputs_of(item)
        advance(1)
        return network({name: np.ascontiguousarray(inputs[name]) for name in names})

    scenes, first, again, labels, moments = [], [], [], [], []
    for number, ride in enumerate(rides):
        rng, marked = np.random.default_rng([HELD_SEED, number]), tagged(ride)
        plain = lesson(marked, raster, rng, Options((ROWS, COLS), False, (1, 1, 1)))
        one = run(plain)
        scenes.append(one["scene_emb"])
        a = _vectors(plain, one)
        other = lesson(marked, raster, rng, Options((ROWS, COLS), True))
        while other.corner[0] < 0:  # it lies behind the vehicle, where this network does not look
            other = lesson(marked, raster, rng, Options((ROWS, COLS), True))
        b = _vectors(other, run(other))
        for tag in sorted(a.keys() & b.keys()):
            first.append(a[tag])
            again.append(b[tag])
            labels.append(int(ride.labels[tag]))
            moments.append(number)
    wide = np.asarray(scenes, np.float32), np.asarray(first).reshape(-1, 16), np.asarray(again).reshape(-1, 16)
    return Known(*wide, np.asarray(labels, np.int64), np.asarray(moments, np.int64))


def _vectors(item: Lesson, out: dict[str, Array]) -> dict[int, Floats]:
    """By a thing's number, the vector of the surest detection of its class that lies no farther away than NEAR_M."""
    scores, boxes, labels = out["scores"], out["boxes"], out["labels"]
    found = {}
    for box, label in zip(item.target.boxes, item.target.labels, strict=True):
        near = (np.hypot(*(boxes[:, :2] - box[:2]).T) < NEAR_M) & (labels == label) & (scores > LEAST)
        if near.any():
            found[int(box[TAG])] = out["obj_emb"][int(np.where(near, scores, -1).argmax())]
    return found


def _row(what: str, likeness: Array, right: Array, note: str = "") -> Figure:
    found, by_chance = recall(ranks(likeness, right), AMONG), chance(right, AMONG)
    pairs = zip(AMONG, found, by_chance, strict=True)
    said = ", ".join(f"@{k} {100 * a:.0f} (chance {100 * b:.1f})" for k, a, b in pairs)
    return Figure(f"{what}, recall@5", 100 * float(found[1]), "%", baseline=100 * float(by_chance[1]),
                  baseline_name="chance", note=f"{len(likeness)} moments; {said}{note}")  # fmt: skip


def _found(scenes: Floats, encoder: TextEncoder, rides: Sequence[Ride]) -> Iterator[Figure]:
    truth = np.stack([facts_of(ride) for ride in rides])
    own, whole, rng = np.eye(len(rides), dtype=bool), joined(scenes), np.random.default_rng(HELD_SEED)
    for most, what in ((LONG, "a long text finds its moment"), (SHORT, "a short text finds a moment it is true of")):
        texts, told = [], np.zeros((len(rides), len(FACTS)), bool)
        for k, row in enumerate(truth):
            text, facts = caption(row, rng, most)
            texts.append(text)
            told[k, facts] = True
        right = own if most == LONG else holding(told, truth)
        yield _row(what, encoder.many(texts) @ whole.T, right, f'; as "{texts[0]}"')
    lidar, camera, audio = (scenes[:, k] for k in range(3))
    yield _row("a picture finds its LiDAR scan", camera @ lidar.T, own)
    yield _row("a sound finds its LiDAR scan", audio @ lidar.T, own)


def _again(known: Known) -> Iterator[Figure]:
    for groups, where in ((known.moments, "its moment"), (known.labels * 0, "all moments")):
        accuracy, by_chance, count = same_again(known.first @ known.again.T, known.labels, groups)
        yield Figure(f"a thing seen again is found among those of its class in {where}, rank 1", 100 * accuracy, "%",
                     baseline=100 * by_chance, baseline_name="chance", note=f"{count} things")  # fmt: skip
