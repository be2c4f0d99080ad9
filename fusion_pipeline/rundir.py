"""Private folders for the sockets of a run, and the folder of what a run leaves behind."""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import json
import os
import shutil
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from fusion_pipeline.graph import Graph

LIBRARIES = ("numpy", "opencv-python", "onnxruntime-gpu", "onnxruntime", "pyzmq", "msgpack", "numba", "fusion-pipeline")


class SocketFolder:
    """A folder that only this user can enter, locked while its owner lives; folders of dead owners are swept."""

    def __init__(self) -> None:
        base = _base()
        base.mkdir(mode=0o700, exist_ok=True)
        if base.stat().st_uid != os.getuid():
            raise PermissionError(f"{base} belongs to another user; set TMPDIR to a folder of your own")
        base.chmod(0o700)
        self.swept = sweep(base)
        # A short name: the path of a Unix socket may have 107 bytes.
        self.path = Path(tempfile.mkdtemp(dir=base))
        self._lock = os.open(self.path / "lock", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def endpoint(self, name: str) -> str:
        """The ipc address of a process's publications."""
        return f"ipc://{self.path / name.replace('/', '.')}"

    def control(self, name: str) -> str:
        """The path of the socket at which a process takes commands."""
        return str(self.path / f"{name.replace('/', '.')}.control")

    def announce(
        self,
        name: str,
        endpoints: Mapping[str, str],
        writer_of: Mapping[str, str],
        controls: Mapping[str, str],
        output: Path,
    ) -> None:
        """Let other commands of this user find the graph's topics, the processes that take commands, and the folder
        with its effective configuration.
        """
        card = {"name": name, "pid": os.getpid(), "endpoints": dict(endpoints), "writer_of": dict(writer_of)}
        card |= {"controls": dict(controls), "output": str(output.resolve())}
        half = self.path / "graph.part"
        half.write_text(json.dumps(card), encoding="utf-8")
        half.rename(self.path / "graph.json")

    def remove(self) -> None:
        """Delete the folder and what is in it."""
        shutil.rmtree(self.path, ignore_errors=True)
        os.close(self._lock)


@dataclass(frozen=True, slots=True)
class RunningGraph:
    """A graph that another process of this user runs."""

    name: str
    pid: int
    endpoints: Mapping[str, str]  # topic -> address
    writer_of: Mapping[str, str]  # topic -> process label
    controls: Mapping[str, str] = field(default_factory=dict)  # process label -> socket for `control.ask`
    output: str = ""  # folder of what it leaves behind


def running_graphs() -> list[RunningGraph]:
    """The graphs of this user that run on this host now, oldest first."""
    found = []
    for path in _base().glob("*/graph.json"):
        with contextlib.suppress(OSError, ValueError, TypeError):  # it may be ending as we look
            card = RunningGraph(**json.loads(path.read_text(encoding="utf-8")))
            os.kill(card.pid, 0)
            found.append((path.stat().st_mtime, card))
    return [card for _, card in sorted(found, key=lambda pair: pair[0])]


def listening(name: str) -> list[str]:
    """Sockets of this user's processes whose name begins so and which take commands, of graphs or by themselves."""
    return sorted(map(str, _base().glob(f"*/{name}*.control")))


def _base() -> Path:
    return Path(tempfile.gettempdir()) / f"fusion-{os.getuid()}"


def sweep(base: Path) -> int:
    """Delete socket folders whose owner is dead; returns how many."""
    swept = 0
    for folder in base.iterdir():
        try:
            lock = os.open(folder / "lock", os.O_RDWR | os.O_CLOEXEC)
        except OSError:
            # Made, but not locked yet: leave a young one to its owner.
            if time.time() - folder.stat().st_mtime > 60:
                shutil.rmtree(folder, ignore_errors=True)
            continue
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            continue
        else:
            shutil.rmtree(folder, ignore_errors=True)
            swept += 1
        finally:
            os.close(lock)
    return swept


def state_folder() -> Path:
    """Where the folders of runs lie: $XDG_STATE_HOME/fusion, by default below ~/.local/state."""
    return Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state") / "fusion"


def output_folder(name: str) -> Path:
    """A new folder for logs and the effective configuration of a run, in `state_folder`."""
    folder = state_folder() / f"{time.strftime('%Y%m%d-%H%M%S')}-{name}-{os.getpid()}"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def effective_configuration(graph: Graph) -> dict[str, Any]:
    """Everything that decides how a graph behaves: configs as they run, wiring, library versions."""
    wiring = graph.check()
    return {
        "processes": [
            {
                "name": process.label,
                "node": f"{process.node.__module__}:{process.node.__qualname__}",
                "config": plain(process.config),
                "cpu": process.cpu,
                "nice": process.nice,
                "restart": process.restart,
                "reads": list(wiring.topics_read[process.label]),
                "writes": list(process.topics),
            }
            for process in graph.processes
        ],
        "replay": graph.replay,
        "notes": dict(graph.notes),
        "versions": {name: found for name in LIBRARIES if (found := _version(name))},
    }


def write_configuration(graph: Graph, path: Path) -> None:
    """Write the effective configuration as JSON."""
    path.write_text(json.dumps(effective_configuration(graph), indent=2) + "\n", encoding="utf-8")


def plain(value: Any) -> Any:
    """A config as JSON can hold it."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, set)):
        return [plain(item) for item in value]
    return value if isinstance(value, (bool, int, float, str, type(None))) else str(value)


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return ""
