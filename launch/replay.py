"""A recorded log through the pipeline: the vehicle's graph with a player in place of its drivers.

`fusion replay LOG` calls `graph`; each argument is one of its options.
"""

from __future__ import annotations

from pathlib import Path

from fusion_pipeline.graph import Graph, Process
from fusion_pipeline.manifest import DEFAULT_MODEL
from nodes.aligner import Aligner, AlignerConfig
from nodes.detector import Detector, DetectorConfig
from nodes.picture import Picture, PictureConfig
from nodes.player import Player, PlayerConfig
from nodes.results import Results, ResultsConfig
from nodes.tracker import Tracker, TrackerConfig


def graph(
    log: Path,
    rig: Path,
    topics: tuple[str, ...],
    model: Path = DEFAULT_MODEL,
    rate: float = 0.0,
    out: Path | None = None,
    threads: int = 1,
    live: bool = False,
    picture: Path | None = None,
) -> Graph:
    """The graph that replays the sensor `topics` of `log`; `rate` 0 is as fast as the pipeline takes them.

    With `live` the log stands in for sensors: its stamps become those of now, and what is late is late.
    """
    processes = [
        Process(Player, PlayerConfig(log, rate=1.0 if live else rate, topics=topics, live=live, loop=live)),
        Process(Aligner, AlignerConfig(rig, topics=topics)),
        Process(Detector, DetectorConfig(model, rig, threads=threads)),
        Process(Tracker, TrackerConfig()),
    ]
    if out is not None:
        processes.append(Process(Results, ResultsConfig(out)))
    if picture is not None:
        processes.append(Process(Picture, PictureConfig(picture, rig), nice=10))
    return Graph(tuple(processes), replay=not live, notes={"log": str(log)})
