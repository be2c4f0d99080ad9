"""Private folders for the sockets of a run, and the folder of what a run leaves behind."""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import json
import os
import shutil
import stat
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from fusion_pipeline.graph import Graph
from fusion_pipeline.output_file import write_whole

LIBRARIES = ("numpy", "opencv-python", "onnxruntime-gpu", "onnxruntime", "pyzmq", "msgpack", "numba", "fusion-pipeline")


RUNTIME_NAME = "fusion"  # below $XDG_RUNTIME_DIR
MARK, MARK_TEXT = ".fusion", "A folder of a running fusion_pipeline; deleted when its owner has ended.\n"
LOCK, CARD = "lock", "graph.json"
LONGEST = 107  # bytes of a Unix socket's path (sun_path of unix(7), less its end)
LARGEST_CARD = 1 << 20  # bytes


class RunFolderError(RuntimeError):
    """No folder for the sockets of a run can be had; the message names the variable to set."""


class SocketFolder:
    """A folder that only this user can enter, locked while its owner lives; folders of dead owners are swept.

    It lies in $XDG_RUNTIME_DIR/fusion where that is a private folder of this user, else in $TMPDIR/fusion-UID. Only
    folders that carry our mark are ever deleted.
    """

    def __init__(self) -> None:
        """Raises RunFolderError where the place for it is a link, another user's, or open to others."""
        base = _base()
        _made(base)
        self.swept = sweep(base)
        # A short name: the path of a Unix socket may have 107 bytes.
        self.path = Path(tempfile.mkdtemp(dir=base))
        self._lock = os.open(self.path / LOCK, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        (self.path / MARK).write_text(
            MARK_TEXT, encoding="utf-8"
        )  # once it is locked: whoever sweeps looks for the mark

    def endpoint(self, name: str) -> str:
        """The ipc address of a process's publications. Raises RunFolderError where its path is too long."""
        return f"ipc://{self._socket(name)}"

    def control(self, name: str) -> str:
        """The path of the socket at which a process takes commands. Raises RunFolderError where it is too long."""
        return self._socket(f"{name}.control")

    def _socket(self, name: str) -> str:
        path = str(self.path / name.replace("/", "."))
        if len(os.fsencode(path)) > LONGEST:
            variable = "XDG_RUNTIME_DIR" if self.path.parent.name == RUNTIME_NAME else "TMPDIR"
            raise RunFolderError(
                f"the path of a socket, {path}, has {len(os.fsencode(path))} bytes, and the system takes {LONGEST}; "
                f"set {variable} to a folder with a shorter path, such as /tmp"
            )
        return path

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
        half.rename(self.path / CARD)

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
    """The graphs of this user that run on this host now, oldest first. What another user wrote is not believed."""
    found = []
    for folder in _run_folders():
        with contextlib.suppress(OSError, ValueError, TypeError):  # it may be ending as we look
            text, modified_s = _own_text(folder / CARD)
            card = RunningGraph(**json.loads(text))
            os.kill(card.pid, 0)
            found.append((modified_s, card))
    return [card for _, card in sorted(found, key=lambda pair: pair[0])]


def listening(name: str) -> list[str]:
    """Sockets of this user's processes whose name begins so and which take commands, of graphs or by themselves."""
    return sorted(
        str(path)
        for folder in _run_folders()
        for path in folder.glob(f"{name}*.control")
        if _is_own(path, stat.S_ISSOCK)
    )


def _run_folders() -> list[Path]:
    """Folders of runs of this user, whatever the environment that they were started in."""
    found: list[Path] = []
    for base in _bases():
        with contextlib.suppress(OSError):
            found += [folder for folder in base.iterdir() if _is_own(base, stat.S_ISDIR) and _is_marked(folder)]
    return found


def _bases() -> list[Path]:
    """Where run folders may lie, the place for new ones first."""
    shared = Path(tempfile.gettempdir()) / f"fusion-{os.getuid()}"
    private = Path(os.environ.get("XDG_RUNTIME_DIR", ""))
    if not private.is_absolute():
        return [shared]
    try:
        found = private.lstat()
    except OSError:
        return [shared]
    usable = stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid() and not found.st_mode & 0o077
    return [private / RUNTIME_NAME, shared] if usable and os.access(private, os.W_OK | os.X_OK) else [shared]


def _base() -> Path:
    return _bases()[0]


def _made(base: Path) -> None:
    """Make the folder of all runs, or see that the one that is there is ours. Its mode is never changed."""
    try:
        base.mkdir(mode=0o700, exist_ok=True)
        found = base.lstat()
    except FileExistsError:
        found = base.lstat()
    except OSError as error:
        raise RunFolderError(f"cannot make {base}: {error.strerror}; set TMPDIR to a folder of your own") from None
    wrong = (
        "is a link" if stat.S_ISLNK(found.st_mode) else "is no folder" if not stat.S_ISDIR(found.st_mode)
        else "belongs to another user" if found.st_uid != os.getuid()
        else "can be written by others" if found.st_mode & 0o022 else ""
    )  # fmt: skip
    if wrong:
        raise RunFolderError(f"{base} {wrong}; remove it, or set TMPDIR to a folder of your own")


def _is_own(path: Path, kind: Callable[[int], bool]) -> bool:
    """Whether there is something of `kind` there, no link to it, that belongs to this user."""
    try:
        found = path.lstat()
    except OSError:
        return False
    return kind(found.st_mode) and found.st_uid == os.getuid()


def _own_text(path: Path, within: int | None = None) -> tuple[str, float]:
    """Text and time of a small file that this user wrote. Raises OSError or ValueError for any other."""
    handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=within)
    try:
        found = os.fstat(handle)
        if not stat.S_ISREG(found.st_mode) or found.st_uid != os.getuid() or found.st_size > LARGEST_CARD:
            raise ValueError(f"{path} is not a file of this user's")
        return os.read(handle, LARGEST_CARD).decode(), found.st_mtime
    finally:
        os.close(handle)


def _is_marked(folder: Path, within: int | None = None) -> bool:
    """Whether a folder is this user's, no link, and carries our mark."""
    try:
        inner = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=within)
    except OSError:
        return False
    try:
        return os.fstat(inner).st_uid == os.getuid() and _own_text(Path(MARK), inner)[0] == MARK_TEXT
    except (OSError, ValueError):
        return False
    finally:
        os.close(inner)


def sweep(base: Path) -> int:
    """Delete marked folders whose owner is dead; returns how many. Whatever else lies in `base` stays."""
    swept = 0
    for folder in base.iterdir():
        if not _is_marked(folder):
            continue
        try:
            lock = os.open(folder / LOCK, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
        except OSError:  # made, but not locked yet
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
    write_whole(path, json.dumps(effective_configuration(graph), indent=2) + "\n")


def write_configuration_beside(graph: Graph, product: Path) -> None:
    """The configuration beside what a run leaves behind; where that cannot be written, the node itself will say."""
    with contextlib.suppress(OSError):
        write_configuration(graph, product.with_name(f"{product.name}.config.json"))


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
