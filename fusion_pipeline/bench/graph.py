"""The whole graph, live: how long from a scan in the driver's hand to its tracks in another process.

Input is the KITTI drive under $FUSION_DATA, played at 10 Hz as live sensors would send it; where there is none, the
simulated vehicle. The baseline calls the same stages one after another in one process, without any transport.
"""

from __future__ import annotations

import os
import queue
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from fusion_pipeline.arrays import Doubles
from fusion_pipeline.bench.faults import fault_figures
from fusion_pipeline.bench.report import Figure
from fusion_pipeline.clock import now_ns
from fusion_pipeline.graph import LAUNCH_FILES, Graph, load_graph
from fusion_pipeline.manifest import CPU_MODEL, SHIPPED
from fusion_pipeline.messages import Health, Message, Tracks
from fusion_pipeline.node import Source, Stage
from fusion_pipeline.supervisor import Supervisor
from fusion_pipeline.supervisor import run as run_graph

DRIVE = Path("kitti_raw/2011_09_26/2011_09_26_drive_0052_sync")
PATIENCE_S = 30.0
SETTLE = 10  # the first sets of a graph are not counted: caches and clocks of the machine warm up


@dataclass
class Arrivals:
    """When each set's tracks reached this process, and how far they had come."""

    received_ns: list[int] = field(default_factory=list)
    tracks: list[Tracks] = field(default_factory=list)
    health: dict[str, Health] = field(default_factory=dict)

    def take(self, message: Message) -> None:
        """Note a message."""
        if isinstance(message, Tracks):
            self.received_ns.append(now_ns())
            self.tracks.append(message)
        elif isinstance(message, Health):
            self.health[message.node] = message

    def since(self, stamp: str) -> Doubles:
        """(N,) milliseconds from a stamp of the header, "capture_ns" or "arrival_ns", to the tracks' arrival here."""
        pairs = zip(self.received_ns, self.tracks, strict=True)
        return np.asarray([(at - getattr(tracks.header, stamp)) / 1e6 for at, tracks in pairs])[SETTLE:]

    def spent_in(self, stage: str) -> Doubles:
        """(N,) milliseconds in the hops called `stage`."""
        sums = [sum(h.end_ns - h.start_ns for h in t.header.hops if h.stage == stage) / 1e6 for t in self.tracks]
        return np.asarray(sums)[SETTLE:]

    def lost(self) -> int:
        """Sets that were dropped, overwritten or lost on the way, by the processes' own counts."""
        counts = [count for health in self.health.values() for count in health.dropped]
        return sum(count.total for count in counts if count.topic in ("set", "detections", "tracks", "lidar/top"))


def live_graph(folder: Path, threads: int = 2, model: Path = CPU_MODEL) -> tuple[Graph, str]:
    """The graph to measure, and what feeds it; the rig's file is written into `folder`."""
    drive = Path(os.environ.get("FUSION_DATA", "")) / DRIVE
    if "FUSION_DATA" in os.environ and drive.is_dir():
        from fusion_pipeline.logs.reader import open_log
        from fusion_pipeline.rig import to_toml

        log, rig = open_log(drive), folder / "rig.toml"
        rig.write_text(to_toml(log.rig), encoding="utf-8")
        made = {"log": drive, "rig": rig, "topics": log.topics, "live": True, "threads": threads, "model": model}
        return load_graph(LAUNCH_FILES / "replay.py", **made), "KITTI drive 0052 at 10 Hz"
    return load_graph(LAUNCH_FILES / "demo.py", threads=threads, model=model), "simulated vehicle at 10 Hz"


def run(quick: bool = False) -> tuple[Figure, ...]:
    """Latency of the running graph, then what happens when its processes are killed and when it is stopped."""
    with TemporaryDirectory() as folder:
        seconds = 5.0 if quick else 30.0
        small, what = live_graph(Path(folder), model=SHIPPED / "lidar_bev.onnx")
        whole, _ = live_graph(Path(folder))
        fused = _latency(whole, f"{what}, LiDAR, camera and sound", seconds)
        # Of the larger network only the first rows are told; the breakdown is that of the pipeline around a network.
        return (*islice(fused, 3), *_latency(small, f"{what}, LiDAR alone", seconds), *fault_figures(whole, quick))


def _latency(graph: Graph, what: str, seconds: float) -> Iterator[Figure]:
    arrivals = Arrivals()
    with TemporaryDirectory() as folder, Supervisor(graph, Path(folder), "bench") as supervisor:
        run_graph(supervisor, seconds + 5.0, arrivals.take, lambda: None)
    total, network = arrivals.since("arrival_ns"), arrivals.spent_in("detector/network")
    n = len(total)
    p50, p95 = np.percentile(total, [50, 95])
    whole = np.percentile(arrivals.since("capture_ns"), [50, 95])
    outside = float(np.median(total - network))
    alone = _in_one_process(graph, n)
    yield Figure(f"{what}: capture (mid-scan) to published track, p95", whole[1], "ms", "<= 100 ms",
                 whole[1] <= 100, note=f"p50 {whole[0]:.1f} ms; half a turn is 50 ms of it; n={n}")  # fmt: skip
    yield Figure(f"{what}: last input in hand to published track, p50", p50, "ms", baseline=alone.total_ms,
                 baseline_name="stages in one process", note=f"p95 {p95:.1f} ms")  # fmt: skip
    yield Figure(f"{what}: outside the network, p50", outside, "ms", "<= 12 ms", outside <= 12,
                 baseline=alone.outside_ms, baseline_name="stages in one process")  # fmt: skip
    for stage in dict.fromkeys(hop.stage for tracks in arrivals.tracks for hop in tracks.header.hops):
        times = arrivals.spent_in(stage)
        p95 = np.percentile(times, 95)
        yield Figure(f"of this {stage}, p50", float(np.median(times)), "ms", note=f"p95 {p95:.1f} ms")
    lost = arrivals.lost()
    yield Figure("sets lost", lost, "sets", "0", lost == 0)


@dataclass(frozen=True, slots=True)
class _Alone:
    total_ms: float
    outside_ms: float


def _in_one_process(graph: Graph, count: int) -> _Alone:
    """The graph's own nodes, called in turn for at most 50 sets; each source has a thread that waits for it."""
    nodes = [process.node(process.config, process.label) for process in graph.processes]
    sources = [node for node in nodes if isinstance(node, Source)]
    stages = [node for node in nodes if isinstance(node, Stage)]
    for node in nodes:
        node.open()
    totals: list[float] = []
    outside: list[float] = []
    stop = threading.Event()
    come: queue.Queue[Message] = queue.Queue()

    def read(source: Source[object]) -> None:
        for message in source.messages(stop):
            come.put(message)

    threads = [threading.Thread(target=read, args=(source,)) for source in sources]
    for thread in threads:
        thread.start()
    while len(totals) < min(50, count):
        found, spent = _through(stages, come.get(timeout=PATIENCE_S))
        for tracks in found:
            network = sum(h.end_ns - h.start_ns for h in tracks.header.hops if h.stage == "detector/network") / 1e6
            totals.append(spent)
            outside.append(spent - network)
    stop.set()
    for thread in threads:
        thread.join()
    for node in nodes:
        node.close()
    return _Alone(float(np.median(totals)), float(np.median(outside)))


def _through(stages: list[Stage[object]], message: Message) -> tuple[list[Tracks], float]:
    start = now_ns()
    waiting, found = [message], list[Tracks]()
    while waiting:
        first = waiting.pop(0)
        if isinstance(first, Tracks):
            found.append(first)
        for stage in stages:
            if type(first) in stage.reads:
                waiting.extend(stage.step(first))
    return found, (now_ns() - start) / 1e6
