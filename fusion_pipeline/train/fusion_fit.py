"""Trains the fusion network for a given time on cached rides.

    python -m fusion_pipeline.train.fusion_fit RIDES RUN --seconds 3600 --lidar fusion_pipeline/models/lidar_bev.onnx

The LiDAR's part begins with the weights of an exported LiDAR network. One-cycle learning rate over the clock; every
minute the averaged weights are written to RUN/last.pt, from which a run of the same RUN goes on. Rides that appear in
the folder while it trains are taken up.
"""

from __future__ import annotations

import argparse
import queue
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from fusion_pipeline.encode.points import BevRaster
from fusion_pipeline.train import cache
from fusion_pipeline.train.drawing import Rides
from fusion_pipeline.train.fusion import SIZES, FusionNet, Seen, place_of
from fusion_pipeline.train.honest import HONEST, honest_loss
from fusion_pipeline.train.lessons import SHARES, Lesson, Options, drawn_mix, lesson, place
from fusion_pipeline.train.loop import Said, Schedule, run_loop, unheard
from fusion_pipeline.train.losses import box_loss, class_loss, depth_loss, heat_loss, imitation_loss
from fusion_pipeline.train.motion import motion_loss
from fusion_pipeline.train.rides import load
from fusion_pipeline.train.stored import begin_with
from fusion_pipeline.train.views import NOTHING
from fusion_pipeline.train.warm import warm_start

Batch = dict[str, Tensor]
SEGMENT, DEPTH, EVENT, MOTION, IMITATE = 0.3, 0.5, 3.0, 0.3, 0.5  # weights of losses
RARE = 3.0  # weight of things in the picture, beside what is none
THING = 0.1  # of the heat map: from here the camera is to feel what the LiDAR feels
FOUND, REACH = 0.5, 8  # weight of boxes read off at peaks; cells to each side in which a thing's peak may lie
FAINT = 0.05  # a peak that is lower than this is none
HONEST_EVERY = 4  # steps
LOOK = 400  # batches after which the folder of rides is looked at again
LIDAR_RATE = 0.3  # of the learning rate: that part has been trained before
TERMS = ("heat", "box", "segment", "depth", "event", "motion", "imitate", "honest")
PARTS = ("lidar", "camera", "audio")  # that may be kept as they are; the head is none of them


def seen_of(batch: Batch) -> Seen:
    """The network's inputs among a batch's tensors."""
    return Seen(**{name: batch[name] for name in Seen.__slots__})


def collated(lessons: list[Lesson], crop: tuple[int, int]) -> Batch:
    """One batch. `truth` (K, 15): batch, row and column in the window, row and column, label, box."""

    def stack(values: list[np.ndarray]) -> Tensor:
        return torch.from_numpy(np.stack(values))

    rows = []
    for k, item in enumerate(lessons):
        corner = np.asarray(item.corner)
        cells = item.target.cells - corner
        inside = ((cells >= 0) & (cells < crop)).all(axis=1)
        block = np.column_stack([np.full(len(cells), k), cells, item.target.cells, item.target.labels,
                                 item.target.boxes])  # fmt: skip
        rows.append(block[inside])
    places = [place_of(*(torch.from_numpy(part).float() for part in place(item.corner, crop))) for item in lessons]
    return {
        "raster": stack([item.target.raster for item in lessons]).contiguous(memory_format=torch.channels_last),
        "heat": stack([item.target.heat for item in lessons]),
        "weight": stack([item.target.weight for item in lessons]),
        "truth": torch.from_numpy(np.concatenate(rows).astype(np.float32)),
        "place": torch.stack(places),
        **{name: stack([getattr(item, name) for item in lessons])
           for name in ("image", "cam_lut", "cam_bin", "cam_rays", "srp", "level", "aud_lut", "aud_geo", "aud_dir",
                         "present", "paint_rows",
                        "classes", "depths", "events")},
    }  # fmt: skip


def batches(
    rides: Path,
    schedule: Schedule,
    skip: int = 0,
    shares: tuple[float, ...] = SHARES,
    scans: Path | None = None,
    around: bool = True,
) -> Iterator[Batch]:
    """Endless batches, prepared by a thread; `skip` changes their order after a restart, `shares` are of the senses.

    Lessons with the LiDAR alone come from `scans`, a folder of `train/cache.py`, where it is given. Without `around`
    all lie ahead of the vehicle.
    """
    rng, raster, source = np.random.default_rng([schedule.seed, skip]), BevRaster(), Rides(rides)
    first = source.drawn(rng, LOOK * schedule.batch)
    ready: queue.Queue[Batch] = queue.Queue(maxsize=6)

    def work(paths: list[Path]) -> None:
        lone: list[Path] = []

        def made(path: Path) -> Lesson:
            mix = drawn_mix(rng, shares)
            alone = lone and mix == (1, 0, 0)
            scan = cache.load(lone[int(rng.integers(len(lone)))]) if alone else None
            return lesson(load(path), raster, rng, Options(schedule.crop, mix=mix, around=around), scan)

        while True:
            lone = sorted(scans.glob("???????.npz")) if scans is not None else []
            for k in range(0, len(paths), schedule.batch):
                ready.put(collated([made(path) for path in paths[k : k + schedule.batch]], schedule.crop))
            paths = source.drawn(rng, LOOK * schedule.batch)

    threading.Thread(target=work, args=(first,), daemon=True).start()
    while True:
        yield ready.get()


def step(net: FusionNet, batch: Batch, honest: bool) -> dict[str, Tensor]:
    """The losses of a batch, by name."""
    seen = seen_of(batch)
    felt = net.feel(seen)
    logits, trunk, coarse, gates = net.meet(felt, seen)
    losses = {"heat": heat_loss(logits, batch["heat"], batch["weight"])}
    rare = torch.where(batch["classes"] < NOTHING, RARE, 1.0)
    losses["segment"] = SEGMENT * class_loss(felt.segments, batch["classes"], rare)
    losses["depth"] = DEPTH * depth_loss(felt.depths, batch["depths"], rare)
    things = functional.max_pool2d(batch["heat"].amax(1, keepdim=True), 2) > THING
    both = (batch["present"][:, 0] * batch["present"][:, 1]).reshape(-1, 1, 1, 1)
    losses["imitate"] = IMITATE * imitation_loss(felt.grids[1], felt.grids[0], things * felt.seen * both)
    goal = batch["events"]
    event = functional.binary_cross_entropy_with_logits(felt.events, goal.clamp(min=0), reduction="none")
    losses["event"] = EVENT * (event * (goal >= 0) * (1 + 4 * goal.clamp(min=0))).mean()
    truth = batch["truth"]
    zero = logits.sum() * 0
    losses["box"], losses["motion"], losses["honest"] = zero, zero, zero
    if len(truth):
        index = truth[:, :6].long()
        losses["box"] = _boxes(net, trunk, coarse, index, truth)
        found = found_at(logits, index)
        if len(found):
            losses["box"] = losses["box"] + FOUND * _boxes(net, trunk, coarse, *_shifted(index, truth, found))
        swept = truth[batch["present"][index[:, 0], 3] > 0]
        if len(swept):
            cells = swept[:, :3].long()
            found = net.motion(batch["raster"], cells[:, 0], cells[:, 1], cells[:, 2]).float()
            losses["motion"] = MOTION * motion_loss(found, swept[:, 13:15])
        if honest:
            losses["honest"] = HONEST * honest_loss(net, felt, seen, logits, gates, index)
    return losses


def found_at(logits: Tensor, index: Tensor) -> Tensor:
    """(F, 3) which of K things, and how many rows and columns off their middles the heat map (B, 5, h, w) peaks.

    What is deployed reads boxes off at peaks, and by camera alone these are metres away: taught at the middles only, a
    network neither corrects that nor owns up to it in its sigmas. `index` (K, 6) is that of `collated`'s truth. A peak
    that is nearer to another thing of the class is that one's.
    """
    h, w = logits.shape[2:]
    with torch.no_grad():
        heat = functional.pad(logits.float(), (REACH,) * 4, value=-1e4)
        side = 2 * REACH + 1
        steps = torch.arange(side)
        row = index[:, 1, None, None] + steps[None, :, None]
        column = index[:, 2, None, None] + steps[None, None, :]
        around = heat[index[:, 0, None, None], index[:, 5, None, None], row, column].flatten(1)
        height, best = around.max(1)
        off = torch.stack([torch.div(best, side, rounding_mode="trunc"), best % side], 1) - REACH
        peaks = index[:, 1:3] + off
        away = (peaks[:, None] - index[None, :, 1:3]).square().sum(2)
        other = (index[:, None, 0] != index[None, :, 0]) | (index[:, None, 5] != index[None, :, 5])
        own = away.masked_fill(other, 1 << 30).argmin(1) == torch.arange(len(index))
        inside = ((peaks >= 0) & (peaks < torch.tensor([h, w]))).all(1)
        kept = torch.nonzero(own & inside & (off != 0).any(1) & (torch.sigmoid(height) > FAINT)).flatten()
        return torch.cat([kept[:, None], off[kept]], 1)


def _shifted(index: Tensor, truth: Tensor, found: Tensor) -> tuple[Tensor, Tensor]:
    """Of the things of `found`, the same with cells that lie that far off."""
    moved = index[found[:, 0]].clone()
    moved[:, 1:3] += found[:, 1:]
    moved[:, 3:5] += found[:, 1:]
    return moved, truth[found[:, 0]]


def _boxes(net: FusionNet, trunk: Tensor, coarse: Tensor, index: Tensor, truth: Tensor) -> Tensor:
    raw = net.lidar.regress(trunk, coarse, index[:, 0], index[:, 1], index[:, 2])
    return box_loss(raw, index[:, 3], index[:, 4], truth[:, 6:], net.lidar.sizes[index[:, 5]])


def parameters(net: FusionNet, rate: float, slow: float = LIDAR_RATE) -> list[dict[str, object]]:
    """What the LiDAR's network had been taught before learns more slowly; what is kept as it is is not among them."""
    groups: dict[float, list[nn.Parameter]] = {slow: [], 1.0: []}
    for name, value in net.named_parameters():
        if value.requires_grad:
            groups[slow if name.startswith("lidar.") else 1.0].append(value)
    return [{"params": values, "lr": rate, "factor": factor} for factor, values in groups.items() if values]


@dataclass(frozen=True, slots=True)
class Manner:
    """How a stage of training is done, beside its schedule."""

    threads: int = 2
    kept: tuple[str, ...] = ()  # of PARTS: neither learns nor changes its statistics
    shares: tuple[float, ...] = SHARES  # of lessons with each of lessons.MIXES
    slow: float = LIDAR_RATE
    size: str = "base"  # of fusion.SIZES
    half: bool = False  # bfloat16: twice as fast where the processor has units for it
    around: bool = True  # whether some lessons lie behind and beside the vehicle
    use: tuple[str, ...] | None = None  # how the senses meet, otherwise than is usual for the size


def fit(
    rides: Path, run: Path, schedule: Schedule, lidar: Path | None = None, start: Path | None = None,
    manner: Manner = Manner(), said: Said = unheard, scans: Path | None = None,
) -> None:  # fmt: skip
    """Train and leave RUN/last.pt and RUN/curve.csv. It starts from a LiDAR network, or from another checkpoint.
    `said` hears of the share of the time and the losses.
    """
    torch.manual_seed(schedule.seed)
    torch.set_num_threads(manner.threads)
    net = FusionNet(SIZES[manner.size], manner.use)
    if lidar is not None:
        wide = Schedule(schedule.seconds, batch=12, crop=schedule.crop)
        warm_start(net.lidar, lidar, next(batches(rides, wide))["raster"])
    if start is not None:
        begin_with(net, start)
    net = net.to(memory_format=torch.channels_last)
    net.train()
    for part in manner.kept:
        kept = net.lidar.encoder() if part == "lidar" else getattr(net, part)
        kept.eval().requires_grad_(False)
    run_loop(
        net, parameters(net, schedule.rate, manner.slow), run, schedule,
        lambda steps: batches(rides, schedule, steps, manner.shares, scans, manner.around),
        lambda batch, number: step(net, batch, number % HONEST_EVERY == 0), TERMS,
        half=manner.half, beside={"size": net.size.name, "use": net.use}, said=said,
    )  # fmt: skip


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("rides", type=Path)
    parser.add_argument("run", type=Path)
    parser.add_argument("--seconds", type=float, default=3600.0)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--rate", type=float, default=1.5e-3, help="the highest learning rate")
    parser.add_argument("--lidar", type=Path, help="an exported LiDAR network to begin with")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--scans", type=Path, help="a folder of train.cache, for lessons with the LiDAR alone")
    parser.add_argument("--from", dest="start", type=Path, help="another checkpoint to begin with")
    parser.add_argument("--keep", nargs="*", default=(), choices=PARTS, help="parts that stay as they are")
    parser.add_argument("--shares", nargs=7, type=float, default=SHARES, help="of LCA LC L C CA LA A")
    parser.add_argument("--slow", type=float, default=LIDAR_RATE, help="the LiDAR's share of the rate")
    parser.add_argument("--size", choices=SIZES, default="base")
    parser.add_argument("--half", action="store_true", help="bfloat16")
    parser.add_argument("--ahead", action="store_true", help="no lessons behind and beside: it will look ahead alone")
    options = parser.parse_args()
    schedule = Schedule(options.seconds, options.batch, options.rate)
    manner = Manner(options.threads, tuple(options.keep), tuple(options.shares), options.slow, options.size,
                    options.half, not options.ahead)  # fmt: skip
    fit(options.rides, options.run, schedule, options.lidar, options.start, manner, scans=options.scans)


if __name__ == "__main__":
    main()
