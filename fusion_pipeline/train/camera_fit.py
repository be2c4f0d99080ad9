"""Trains the camera's part by itself on cached rides: what each part of the picture shows and how deep that lies.

    python -m fusion_pipeline.train.camera_fit RIDES RUN --from fusion_pipeline/train/fusion_base.npz --keep edges

Without raster, grid and head a picture costs a third, and depth is what a camera by itself is worst at: a network that
is then trained further with fusion_fit, from RUN/last.pt, need not find it out by way of boxes.
"""

from __future__ import annotations

import argparse
import queue
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from fusion_pipeline.encode.lookup import camera_table
from fusion_pipeline.train.drawing import Rides
from fusion_pipeline.train.fusion import SIZES, FusionNet
from fusion_pipeline.train.fusion_fit import RARE, TERMS, Manner
from fusion_pipeline.train.loop import Said, Schedule, run_loop, unheard
from fusion_pipeline.train.losses import class_loss, depth_loss
from fusion_pipeline.train.rides import load
from fusion_pipeline.train.senses import CameraNet
from fusion_pipeline.train.stored import begin_with
from fusion_pipeline.train.views import NOTHING, changed_view, drawn_lens

USUAL = Manner()
EDGES = "edges"  # what a manner can keep: the finest layers, a third of the time, once they have been taught
LOOK = 200  # batches after which the folder is looked at again
Batch = tuple[Tensor, Tensor, Tensor, Tensor]  # images, rays, classes, depths


def seen(path: Path, rng: np.random.Generator) -> tuple[np.ndarray, ...]:
    """One ride's picture, rays, classes and depths."""
    ride = load(path)
    view = changed_view(ride, drawn_lens(rng), rng)
    rays = camera_table(view.model, view.pose, view.fit, None, np.zeros((1, 2))).rays
    return view.image, rays, view.classes, view.depths


def batches(rides: Path, schedule: Schedule, skip: int = 0) -> Iterator[Batch]:
    """Endless batches, prepared by a thread; rides that appear meanwhile are taken up. Raises FileNotFoundError without
    rides.
    """
    rng, source = np.random.default_rng([schedule.seed, skip]), Rides(rides)
    first = source.drawn(rng, LOOK * schedule.batch)
    ready: queue.Queue[Batch] = queue.Queue(8)

    def work(paths: list[Path]) -> None:
        while True:
            for k in range(0, len(paths), schedule.batch):
                items = [seen(path, rng) for path in paths[k : k + schedule.batch]]
                ready.put(tuple(torch.from_numpy(np.stack(part)) for part in zip(*items, strict=True)))
            paths = source.drawn(rng, LOOK * schedule.batch)

    threading.Thread(target=work, args=(first,), daemon=True).start()
    while True:
        yield ready.get()


def step(net: CameraNet, batch: Batch) -> dict[str, Tensor]:
    """Losses of classes and depths, by the names they have in fusion_fit."""
    image, rays, classes, depths = batch
    _, _, said, far = net(image.contiguous(memory_format=torch.channels_last), rays)
    rare = torch.where(classes < NOTHING, RARE, 1.0)
    return {"segment": class_loss(said, classes, rare), "depth": depth_loss(far, depths, rare)}


def fit(
    rides: Path, run: Path, schedule: Schedule, start: Path | None = None, manner: Manner = USUAL, said: Said = unheard,
) -> None:  # fmt: skip
    """Train and leave RUN/last.pt, a whole network as fusion_fit's, and RUN/curve.csv; a run of the same RUN goes on.
    `said` hears of the share of the time and the losses.
    """
    torch.manual_seed(schedule.seed)
    torch.set_num_threads(manner.threads)
    whole = FusionNet(SIZES[manner.size], manner.use)
    if start is not None:
        begin_with(whole, start)
    whole = whole.to(memory_format=torch.channels_last).eval()
    camera = whole.camera.train()
    if EDGES in manner.kept:
        for part in (camera.two, camera.four):
            part.eval().requires_grad_(False)
    learning = [value for value in camera.parameters() if value.requires_grad]
    groups = [{"params": learning, "lr": schedule.rate, "factor": 1.0}]
    run_loop(
        whole, groups, run, schedule, lambda steps: batches(rides, schedule, steps),
        lambda batch, _: step(camera, batch), TERMS,
        half=manner.half, beside={"size": whole.size.name, "use": whole.use}, said=said,
    )  # fmt: skip


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rides", type=Path)
    parser.add_argument("run", type=Path)
    parser.add_argument("--from", dest="start", type=Path, help="the network to begin with, .pt or .npz")
    parser.add_argument("--seconds", type=float, default=1200.0)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--rate", type=float, default=2e-3, help="the highest learning rate")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--size", choices=SIZES, default="base")
    parser.add_argument("--keep", nargs="*", choices=(EDGES,), default=(), help="what stays as --from has it")
    parser.add_argument("--half", action="store_true", help="bfloat16")
    options = parser.parse_args()
    schedule = Schedule(options.seconds, options.batch, options.rate)
    fit(options.rides, options.run, schedule, options.start,
        Manner(options.threads, tuple(options.keep), size=options.size, half=options.half))  # fmt: skip


if __name__ == "__main__":
    main()
