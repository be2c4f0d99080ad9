"""A recorded log through the pipeline: the vehicle's graph with a player in place of its drivers.

`fusion replay LOG` calls `graph`; each argument is one of its options.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from fusion_pipeline.graph import Graph, Process
from fusion_pipeline.manifest import CPU_MODEL
from nodes.aligner import Aligner, AlignerConfig
from nodes.detector import Detector, DetectorConfig
from nodes.picture import Picture, PictureConfig
from nodes.player import Player, PlayerConfig, renamed
from nodes.results import DetectionResults, Results, ResultsConfig, SetResults
from nodes.tracker import Tracker, TrackerConfig

ENDS = {"sets": SetResults, "detections": DetectionResults, "tracks": Results}


def graph(
    log: Path,
    rig: Path,
    topics: tuple[str, ...],
    model: Path = CPU_MODEL,
    rate: float = 0.0,
    out: Path | None = None,
    threads: int = 1,
    live: bool = False,
    picture: Path | None = None,
    play: PlayerConfig | None = None,
    begin: str = "sensors",
    end: str = "tracks",
    cpus: tuple[int, ...] = (),
    apart_s: float = 0.0,
) -> Graph:
    """The graph that replays the sensor `topics` of `log`; `rate` 0 is as fast as the pipeline takes them.

    With `live` the log stands in for sensors: its stamps become those of now, and what is late is late. `play` has
    the player's other settings. The graph goes from `begin` ("sensors" or "detections", the recorded ones) to `end`
    ("sets", "detections" or "tracks"). Process number i runs on `cpus[i % len(cpus)]`. Frames that
    are `apart_s` from each other show different scenes: each makes a set, and what is found once is a track.
    """
    play = replace(play or PlayerConfig(log), log=log, rate=1.0 if live else rate, topics=topics, live=live)
    processes = [Process(Player, replace(play, loops=0) if live else play)]
    if begin == "sensors":
        new = renamed(play.remap)
        align = AlignerConfig(rig, topics=tuple(new.get(t, t) for t in topics))
        if apart_s:
            align = replace(align, tick_ms=1e3 * apart_s)
        processes.append(Process(Aligner, align))
        if end != "sets":
            processes.append(Process(Detector, DetectorConfig(model, rig, threads=threads)))
    if end == "tracks":
        processes.append(Process(Tracker, TrackerConfig(min_hits=1, max_age_s=0.0) if apart_s else TrackerConfig()))
    if out is not None:
        processes.append(Process(ENDS[end], ResultsConfig(out), name="results"))
    if picture is not None:
        processes.append(Process(Picture, PictureConfig(picture, rig), nice=10))
    if cpus:
        processes = [replace(p, cpu=cpus[number % len(cpus)]) for number, p in enumerate(processes)]
    return Graph(tuple(processes), replay=not live, notes={"log": str(log)})
