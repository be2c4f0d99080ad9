"""Messages for tests of what people see."""

from __future__ import annotations

import numpy as np

from fusion_pipeline.clock import now_ns
from fusion_pipeline.messages import Boxes, Count, Header, Health, Hop, SoundEvent, StageTiming, Tracks

NAMES = ("car", "truck", "pedestrian")


def boxes(*rows: tuple[float, float, float, int]) -> Boxes:
    """Cars and others at (x, y), turned by yaw, of that label; track ids count from 7."""
    n = len(rows)
    table = np.asarray(rows, np.float32).reshape(n, 4)
    return Boxes(
        centers_m=np.column_stack([table[:, :2], np.full(n, 0.8)]).astype(np.float32),
        sizes_m=np.tile(np.float32([4.0, 1.7, 1.6]), (n, 1)),
        yaws_rad=table[:, 2].copy(),
        velocities_mps=np.tile(np.float32([3.0, 4.0]), (n, 1)),
        scores=np.full(n, 0.9, np.float32),
        labels=table[:, 3].astype(np.int64),
        std=np.zeros((n, 8), np.float32),
        attribution=np.tile(np.float32([0.6, 0.3, 0.1]), (n, 1)),
        track_ids=np.arange(7, 7 + n),
    )


def tracks(*rows: tuple[float, float, float, int], capture_ns: int | None = None) -> Tracks:
    """Tracks of a set whose network took 30 ms, and a siren from the left."""
    capture = now_ns() - 80_000_000 if capture_ns is None else capture_ns
    arrival = capture + 50_000_000
    hops = (
        Hop("aligner/wait for lidar/top", arrival, arrival + 1_000_000),
        Hop("detector/network", arrival + 1_000_000, arrival + 31_000_000),
    )
    return Tracks(Header("tracks", capture, arrival, hops=hops), NAMES, boxes(*rows), (SoundEvent("siren", 0.8, 1.5),))


def health(node: str, at_s: float, published: int, pid: int = 10, state: str = "ready") -> Health:
    """A heartbeat `at_s` seconds into a run."""
    return Health(
        header=Header(f"health/{node}", int(at_s * 1e9), int(at_s * 1e9)),
        node=node,
        pid=pid,
        state=state,
        detail="CPUExecutionProvider, 1 thread",
        timings=(StageTiming(f"{node}/network", 50, 30.0, 36.5, 41.0),),
        published=(Count("detections", "published", published),),
        dropped=(Count("set", "overwritten", 3),),
        refused=(Count("camera/front", "refused: truncated", 2),),
    )
