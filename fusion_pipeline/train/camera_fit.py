"""Trains the camera's part by itself on cached rides: how deep and what each part of the picture is.

    python -m fusion_pipeline.train.camera_fit RIDES RUN --from fusion_pipeline/train/fusion_base.npz --seconds 1200

Without raster, grid and head a picture costs a third, and depth is what a camera by itself is worst at: a network that
is then trained further with fusion_fit, from RUN/last.pt, need not find it out by way of boxes.
"""

from __future__ import annotations

import argparse
import queue
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from fusion_pipeline.encode.lookup import camera_table
from fusion_pipeline.train.fit import Schedule
from fusion_pipeline.train.fusion import SIZES, FusionNet
from fusion_pipeline.train.fusion_fit import NOTHING, RARE, TERMS, Manner
from fusion_pipeline.train.losses import class_loss, depth_loss
from fusion_pipeline.train.rides import load
from fusion_pipeline.train.senses import CameraNet
from fusion_pipeline.train.stored import begin_with
from fusion_pipeline.train.views import changed_view, drawn_lens

AVERAGE_STEPS = 100
USUAL = Manner()
Batch = tuple[Tensor, Tensor, Tensor, Tensor]  # images, rays, classes, depths


def seen(path: Path, rng: np.random.Generator) -> tuple[np.ndarray, ...]:
    """One ride's picture, rays, classes and depths."""
    ride = load(path)
    view = changed_view(ride, drawn_lens(rng), rng)
    rays = camera_table(view.model, view.pose, view.fit, None, np.zeros((1, 2))).rays
    return view.image, rays, view.classes, view.depths


def batches(rides: Path, size: int, seed: int, loaders: int) -> Callable[[], Batch]:
    """What gives the next batch; rides that appear meanwhile are taken up. Raises FileNotFoundError without rides."""
    if not any(rides.glob("???????.npz")):
        raise FileNotFoundError(f"{rides} holds no rides; python -m fusion_pipeline.train.rides renders some")
    ready: queue.Queue[Batch] = queue.Queue(8)

    def work(number: int) -> None:
        rng = np.random.default_rng([seed, number])
        while True:
            there = sorted(rides.glob("???????.npz"))
            for _ in range(200):
                items = [seen(there[int(rng.integers(len(there)))], rng) for _ in range(size)]
                ready.put(tuple(torch.from_numpy(np.stack(part)) for part in zip(*items, strict=True)))

    for number in range(loaders):
        threading.Thread(target=work, args=(number,), daemon=True).start()
    return ready.get


def loss_of(net: CameraNet, batch: Batch) -> tuple[Tensor, Tensor]:
    """Of classes and of depths."""
    image, rays, classes, depths = batch
    _, _, said, far = net(image.contiguous(memory_format=torch.channels_last), rays)
    rare = torch.where(classes < NOTHING, RARE, 1.0)
    return class_loss(said, classes, rare), depth_loss(far, depths, rare)


def fit(
    rides: Path, run: Path, schedule: Schedule, start: Path | None = None, manner: Manner = USUAL,
    said: Callable[[float, str], None] = lambda share, text: None, loaders: int = 1,
) -> None:  # fmt: skip
    """Train and leave RUN/last.pt, a whole network as fusion_fit's, and RUN/curve.csv; a run of the same RUN goes on.
    `said` hears of the share of the time and the losses.
    """
    torch.manual_seed(schedule.seed)
    torch.set_num_threads(manner.threads)
    whole = FusionNet(SIZES[manner.size], manner.use)
    if start is not None:
        begin_with(whole, start)
    net = whole.camera.to(memory_format=torch.channels_last).train()
    mean = torch.optim.swa_utils.AveragedModel(
        net, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(1 - 1 / AVERAGE_STEPS), use_buffers=True
    )
    optimizer = torch.optim.AdamW(net.parameters(), lr=schedule.rate, weight_decay=0.01)
    run.mkdir(parents=True, exist_ok=True)
    last, spent, steps = run / "last.pt", 0.0, 0
    if last.exists():
        state = torch.load(last)
        whole.load_state_dict({name.removeprefix("module."): value for name, value in state["mean"].items()})
        net.load_state_dict(state["net"])
        mean.load_state_dict(state["camera"])
        optimizer.load_state_dict(state["optimizer"])
        spent, steps = state["spent"], state["steps"]
    began = saved = time.monotonic()
    log: list[list[float]] = []
    batch, done = batches(rides, schedule.batch, schedule.seed + steps, loaders), False
    while not done:
        share = (spent + time.monotonic() - began) / (spent + schedule.seconds)
        for group in optimizer.param_groups:
            group["lr"] = schedule.rate_at(share)
        with torch.autocast("cpu", torch.bfloat16, enabled=manner.half):
            classes, depths = loss_of(net, batch())
        optimizer.zero_grad(set_to_none=True)
        (classes + depths).backward()
        nn.utils.clip_grad_norm_(net.parameters(), 10.0)
        optimizer.step()
        mean.update_parameters(net)
        steps, done = steps + 1, share >= 1.0
        log.append([float(classes.detach()), float(depths.detach())])
        if steps % 20 == 0:
            now = dict(zip(("segment", "depth"), np.asarray(log).mean(axis=0).tolist(), strict=True))
            log.clear()
            said(share, " ".join(f"{name} {value:.2f}" for name, value in now.items()))
            with (run / "curve.csv").open("a") as file:
                values = ",".join(f"{now.get(name, 0.0):.4f}" for name in TERMS)
                file.write(f"{steps},{steps * schedule.batch},{share:.3f},{values}\n")
        if done or time.monotonic() - saved > 60:
            saved = time.monotonic()
            state = {"net": net.state_dict(), "camera": mean.state_dict(), "optimizer": optimizer.state_dict()}
            state |= {
                "mean": _with_camera(whole, mean.module),
                "size": manner.size,
                "use": manner.use,
                "spent": spent + saved - began,
                "steps": steps,
                "samples": steps * schedule.batch,
            }
            torch.save(state, run / "half.pt")
            (run / "half.pt").rename(last)


def _with_camera(whole: FusionNet, camera: nn.Module) -> dict[str, Tensor]:
    """The whole network's weights by fusion_fit's names, its camera's from another."""
    own = {f"module.{name}": value for name, value in whole.state_dict().items()}
    return own | {f"module.camera.{name}": value for name, value in camera.state_dict().items()}


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
    parser.add_argument("--half", action="store_true", help="bfloat16")
    options = parser.parse_args()
    schedule = Schedule(options.seconds, options.batch, options.rate)
    fit(options.rides, options.run, schedule, options.start,
        Manner(options.threads, size=options.size, half=options.half))  # fmt: skip


if __name__ == "__main__":
    main()
