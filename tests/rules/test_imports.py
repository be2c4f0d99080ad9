"""Imports point down, and each heavy library has one home."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

# Lower layers know nothing of higher ones, and neighbours nothing of each other.
LAYERS: tuple[tuple[str, ...], ...] = (
    (
        "arrays",
        "checks",
        "clock",
        "findings",
        "geometry",
        "jsontext",
        "onnxfile",
        "output_file",
        "picture_file",
        "tomlfile",
    ),
    (
        "messages",
        "topics",
        "rig",
        "rig_checks",
        "manifest",
        "operations",
        "tables",
        "results",
        "metrics",
        "stream_statistics",
        "stream_findings",
        "stream_watch",
    ),
    ("sensors", "align", "encode", "detect", "track", "transport", "logs", "world"),
    ("trace",),
    ("node",),
    ("launchfile",),
    ("graph", "overrides"),
    ("laps", "control", "ledger", "progress", "service"),
    ("process", "heartbeat", "rundir", "exposure", "starvation"),
    ("child",),
    ("supervisor", "inline"),
    ("fleet",),
    ("bench", "dashboard", "train"),
    ("doctor", "warm", "evaluate"),
    ("nodes", "calibration", "cli"),
    ("launch",),
)
LEVEL = {unit: level for level, units in enumerate(LAYERS) for unit in units}
ALLOWED = {
    ("clock", "arrays"), ("geometry", "arrays"), ("picture_file", "arrays"),  # the ground floor's own cellar
    ("stream_findings", "stream_statistics"), ("stream_watch", "stream_findings"),
    ("stream_watch", "stream_statistics"),
    ("topics", "messages"), ("manifest", "operations"), ("manifest", "tables"),
    ("operations", "tables"), ("rig_checks", "rig"), ("results", "messages"),  # tables of what lies beside
    ("detect", "encode"),  # a manifest's stages are encoders and decoders in one chain
    ("sensors", "world"),  # simulated sensors
    ("logs", "sensors"),  # recorded packets are decoded by their drivers
    ("logs", "align"),  # sensor sets of a log, for notebooks
    ("graph", "overrides"), ("overrides", "graph"),  # --set is part of reading a graph
    ("process", "heartbeat"),  # a process has one
    ("train", "bench"),  # a trained network is judged in figures
    ("cli", "nodes"),  # `fusion record` adds a recorder to a graph
    ("cli", "calibration"),  # `fusion sim` takes the demo's rig where none is named
}  # fmt: skip
HOMES: dict[str, tuple[str, ...]] = {
    "zmq": ("fusion_pipeline.transport", "fusion_pipeline.bench.transport"),  # the benchmark's baseline is plain pyzmq
    "onnxruntime": ("fusion_pipeline.detect.network", "fusion_pipeline.train.quantize"),  # the second: its quantizer
    "open3d": ("fusion_pipeline.world", "fusion_pipeline.bench.world", "calibration", "fusion_pipeline.dashboard"),
    "torch": ("fusion_pipeline.train",), "onnx": ("fusion_pipeline.train",),
    "rosbags": ("fusion_pipeline.logs", "fusion_pipeline.bench.malformed_ros"), "av": ("fusion_pipeline.logs",),
    # The benches have their baselines there.
    "mcap": ("fusion_pipeline.logs", "fusion_pipeline.bench.replay_reading", "fusion_pipeline.bench.record"),
    "foxglove": ("fusion_pipeline.logs", "fusion_pipeline.dashboard", "fusion_pipeline.bench.record"),
    "sounddevice": ("fusion_pipeline.sensors",), "velodyne_decoder": ("fusion_pipeline.sensors",),
    "ouster": ("fusion_pipeline.sensors", "fusion_pipeline.bench.malformed_samples"),
    "soundfile": (
        "fusion_pipeline.sensors", "fusion_pipeline.world", "fusion_pipeline.logs",
        "fusion_pipeline.bench.malformed_samples",
    ),
    "ray": ("fusion_pipeline.fleet.on_ray",),
    "msgpack": ("fusion_pipeline.transport", "fusion_pipeline.bench.wire"),
}  # fmt: skip
HEAVY = ("zmq", "onnxruntime", "open3d", "torch", "mcap", "foxglove", "cv2", "numba", "scipy", "sounddevice", "ouster",
         "ray", "pyarrow")  # fmt: skip


def unit_of(module: str) -> str:
    """The unit of the layer table that a module belongs to."""
    parts = module.split(".")
    return parts[1] if parts[0] == "fusion_pipeline" and len(parts) > 1 else parts[0]


def imported(source: str) -> Iterator[str]:
    """Modules that run-time code imports; what only type checkers see does not count."""
    tree = ast.parse(source)
    unseen = {
        id(inner) for node in ast.walk(tree) if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test)
        for inner in ast.walk(node)
    }  # fmt: skip
    for node in ast.walk(tree):
        if id(node) in unseen:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            if node.module == "fusion_pipeline":
                yield from (f"fusion_pipeline.{alias.name}" for alias in node.names)
            else:
                yield node.module


def broken_layers(module: str, source: str) -> list[str]:
    """What a module imports against the direction."""
    here, wrong = unit_of(module), []
    for other in imported(source):
        there = unit_of(other)
        if other.split(".")[0] not in ("fusion_pipeline", "nodes", "calibration", "launch") or there == here:
            continue
        if there == "fusion_pipeline":
            continue
        if LEVEL[there] >= LEVEL[here] and (here, there) not in ALLOWED:
            wrong.append(f"{module} imports {other}")
    return wrong


def broken_homes(module: str, source: str) -> list[str]:
    """Heavy libraries that a module imports away from their home."""
    return [
        f"{module} imports {other}"
        for other in imported(source)
        if (homes := HOMES.get(other.split(".")[0])) and not any(f"{module}.".startswith(f"{home}.") for home in homes)
    ]


def modules(root: Path) -> Iterator[tuple[str, str]]:
    """Name and source of every module of ours."""
    for top in ("fusion_pipeline", "nodes", "calibration", "launch"):
        for path in sorted((root / top).rglob("*.py")):
            name = ".".join(path.relative_to(root).with_suffix("").parts).removesuffix(".__init__")
            yield name, path.read_text(encoding="utf-8")


def test_imports_point_down(repo_root: Path) -> None:
    assert [wrong for name, source in modules(repo_root) for wrong in broken_layers(name, source)] == []


def test_heavy_libraries_have_one_home(repo_root: Path) -> None:
    assert [wrong for name, source in modules(repo_root) for wrong in broken_homes(name, source)] == []


def test_the_rules_see_what_is_wrong() -> None:
    upward = "def f():\n    from fusion_pipeline import graph\n    from fusion_pipeline.clock import now_ns\n"
    assert broken_layers("fusion_pipeline.encode.image", upward) == [
        "fusion_pipeline.encode.image imports fusion_pipeline.graph"
    ]
    assert broken_layers("fusion_pipeline.encode.image", "from fusion_pipeline.track import tracker")
    assert not broken_layers("nodes.x", "if TYPE_CHECKING:\n    import launch\n")
    assert broken_homes("fusion_pipeline.align.match", "import zmq")
    assert not broken_homes("fusion_pipeline.transport.sockets", "import zmq")


@pytest.mark.parametrize("what", ["fusion_pipeline.cli", "launch/demo.py", "launch/vehicle.py", "launch/replay.py"])
def test_the_command_and_launch_files_are_light(repo_root: Path, what: str) -> None:
    if what.endswith(".py"):
        load = f"import runpy; runpy.run_path({str(repo_root / what)!r})"
    else:
        load = f"import {what}, {what}.dispatch, {what}.overview"
    code = f"import sys; {load}; print([name for name in {HEAVY!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=repo_root, check=True)
    assert done.stdout.strip() == "[]"
