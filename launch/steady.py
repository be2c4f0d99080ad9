"""Topics of a steady rate, with or without a recorder: what `fusion bench record` measures.

Three quarters of a vehicle's data are pictures and scans; here two cameras and a LiDAR share `megabytes` a second.
"""

from __future__ import annotations

from pathlib import Path

from fusion_pipeline.bench.steady import Steady, SteadyConfig
from fusion_pipeline.graph import Graph, Process
from nodes.recorder import Recorder, RecorderConfig

SHARES = {"camera/a": (0.25, 1.44), "camera/b": (0.25, 1.44), "lidar/top": (0.5, 1.98)}  # of the rate, MB of a message


def graph(out: Path | None = None, megabytes: float = 150.0, seconds: float = 0.0, size: float = 1.0) -> Graph:
    """`megabytes` a second in messages of 1.4 to 2 MB times `size`; with `seconds` it ends by itself."""
    processes = []
    for topic, (share, full) in SHARES.items():
        hz = share * megabytes / (full * size)
        config = SteadyConfig(topic, hz, round(hz * seconds), size)
        processes.append(Process(Steady, config, name=topic.replace("/", "."), restart=False))
    if out is not None:
        processes.append(Process(Recorder, RecorderConfig(out), restart=False))
    return Graph(tuple(processes))
