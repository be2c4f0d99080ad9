"""No output may destroy an input: the one guard for every verb, and the table of what each of them reads and writes.

Files are compared by device and inode, so that another spelling, a link, a hard link or another case of letters is the
same file. Nothing has been opened for writing when the guard refuses.
"""

from __future__ import annotations

import functools
import os
import stat
import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import Enum, auto
from itertools import combinations, count
from pathlib import Path
from typing import Any

from fusion_pipeline.cli.errors import Ended, UserError


class Use(Enum):
    """What a verb does with the path in one of its parameters."""

    READ = auto()  # a file, a folder with all that is in it, or a pattern
    FILE = auto()  # written, replaced if it is there
    RESULTS = auto()  # the same, with the configuration of the run beside it
    PARTS = auto()  # the same, and further numbered files
    NETWORK = auto()  # an .onnx file, its manifest, and both of the 8-bit one
    FOLDER = auto()  # files are written into it
    RUN = auto()  # logs of processes and config.json are written into it
    EXPORT = auto()  # a file, with --as kitti a folder


READ, FILE, RESULTS, PARTS = Use.READ, Use.FILE, Use.RESULTS, Use.PARTS
NETWORK, FOLDER, RUN, EXPORT = Use.NETWORK, Use.FOLDER, Use.RUN, Use.EXPORT
# Verb -> parameter of its function -> use. A parameter of type Path that is missing here fails tests/cli/test_outputs.
PATHS: Mapping[str, Mapping[str, Use]] = {
    "demo": {"out": RESULTS, "picture": FILE},
    "launch": {"file": READ, "output": RUN},
    "replay": {"log": READ, "model": READ, "rig": READ, "check": READ, "out": RESULTS, "picture": FILE},
    "record": {"file": READ, "rig": READ, "out": PARTS},
    "fleet run": {"logs": READ, "out": FOLDER},
    "fleet show": {"folder": READ},
    "fleet mine": {"folder": READ},
    "bench": {"out": FILE},
    "sim": {"rig": READ, "sounds": READ, "out": FILE, "picture": FILE},
    "eval": {"data": READ, "model": READ, "out": FILE, "card": FILE, "pictures": FOLDER, "plots": FOLDER,
             "cache": FOLDER},
    "train": {"start": READ, "run": FOLDER, "cache": FOLDER},
    "export": {"checkpoint": READ, "out": NETWORK, "rides": FOLDER, "int8": FOLDER},
    "adapt": {"log": READ, "weights": READ, "out": NETWORK},
    "log info": {"path": READ},
    "log check": {"path": READ},
    "log diff": {"first": READ, "second": READ},
    "log recover": {"path": READ, "out": FILE},
    "log cut": {"path": READ, "out": FILE},
    "log thin": {"path": READ, "out": FILE},
    "log merge": {"paths": READ, "out": FILE},
    "log convert": {"path": READ, "out": FILE},
    "log plot": {"path": READ, "out": FILE},
    "log images": {"path": READ, "boxes": READ, "out": FOLDER},
    "log video": {"path": READ, "boxes": READ, "out": FILE},
    "log export": {"path": READ, "log_path": READ, "rig_path": READ, "out": EXPORT},
}  # fmt: skip
COMPANIONS = {".onnx": (".toml",), ".npz": (".json",), ".pt": (".json",)}  # files that are read with another
SQLITE = ("-wal", "-shm", "-journal")


@dataclass(frozen=True, slots=True)
class Output:
    """A path that is to be written; `folder`: files are written into it."""

    name: str  # how the user gave it, such as "--out drive.mcap"
    path: Path
    folder: bool = False


def guarded(command: Any, name: str) -> Any:
    """The click command of a verb with the guard before it, and before each of its sub-verbs."""
    for inner, sub in getattr(command, "commands", {}).items():
        guarded(sub, f"{name} {inner}")
    if command.callback is not None:
        command.callback = _guarding(command.callback, name)
    return command


def _guarding(call: Callable[..., Any], name: str) -> Callable[..., Any]:
    @functools.wraps(call)
    def guarding(*positional: Any, **arguments: Any) -> Any:
        try:
            if name in PATHS:
                refuse_overwriting(*_of_arguments(name, arguments))
            return call(*positional, **arguments)
        except KeyboardInterrupt as why:
            raise Ended(why) from why

    return guarding


def _of_arguments(name: str, arguments: Mapping[str, Any]) -> tuple[list[Output], list[Path]]:
    """The outputs and inputs of a command line, by the table."""
    outputs: list[Output] = []
    inputs: list[Path] = []
    for parameter, use in PATHS[name].items():
        value = arguments.get(parameter)
        for one in value if isinstance(value, (list, tuple)) else [value]:
            if one is None or not str(one):
                continue
            if use is Use.READ:
                inputs += _read(name, str(one))
            else:
                outputs += _written(parameter, Path(one), use, arguments)
    return outputs, inputs


def _read(name: str, text: str) -> list[Path]:
    """The paths that a parameter names."""
    if name == "fleet run":
        import glob

        return [Path(found) for found in glob.glob(str(Path(text).expanduser()), recursive=True)]  # noqa: PTH207
    if name == "sim":  # a rig by name or file; FILE@AHEAD,LEFT or SOURCE=FILE
        return [Path(part) for part in (text, text.split("@")[0], text.partition("=")[2]) if Path(part).is_file()]
    return [Path(text)]


def _written(parameter: str, path: Path, use: Use, arguments: Mapping[str, Any]) -> Iterator[Output]:
    """All that is written for a parameter."""
    name = f"the output {path}"
    if use is Use.FOLDER or (use is Use.EXPORT and arguments.get("form") == "kitti"):
        yield Output(name, path, folder=True)
        return
    if use is Use.RUN:
        yield Output(f"config.json in {path}", path / "config.json")
        return
    yield Output(name, path)
    if use in (Use.RESULTS, Use.PARTS):
        yield configuration_beside(path)
    if use is Use.PARTS:
        from fusion_pipeline.logs.parts import part_path

        for number in count(2):
            if not (part := part_path(path, number)).exists():
                break
            yield Output(f"{part}, the next file of the recording,", part)
    if use is Use.NETWORK:
        small = path.with_stem(f"{path.stem}_int8")
        for other in (path.with_suffix(".toml"), small, small.with_suffix(".toml")):
            yield Output(f"{other}, which is written beside {path.name},", other)


def configuration_beside(path: Path) -> Output:
    """The configuration that a run writes beside a product."""
    beside = path.with_name(f"{path.name}.config.json")
    return Output(f"{beside}, which is written beside {path.name},", beside)


def refuse_overwriting(outputs: Iterable[Output], inputs: Iterable[Path]) -> None:
    """Raises UserError where writing one of `outputs` would destroy one of `inputs`, or another output."""
    written = list(outputs)
    for one, other in combinations((output for output in written if not output.folder), 2):
        same = os.path.realpath(one.path) == os.path.realpath(other.path) and not one.path.is_char_device()
        if same or _same(one.path, other.path):
            raise UserError(f"{one.name} is also {other.name}; name two files")
    for path in inputs:
        for output in written:
            if why := (_folder_fault if output.folder else _file_fault)(output.path, path):
                raise UserError(f"{output.name} {why}; write to another place")


def _file_fault(out: Path, given: Path) -> str:
    """What is wrong with writing the file `out` where `given` is read; empty where nothing is."""
    wanted = _identity(out)
    if wanted is None:
        parent = _identity(out.parent)
        if out.suffix == ".mcap" and parent is not None and parent == _identity(given) and any(given.glob("*.mcap")):
            return f"would become a part of the recording {given}"
        return ""
    for path in _files(given):
        if _identity(path) == wanted:
            if path == given:
                return "is the input itself" if out == given else f"is the input {given} itself"
            return f"is a file of the input {given}"
    return ""


def _folder_fault(out: Path, given: Path) -> str:
    """What is wrong with writing files into the folder `out` where `given` is read; empty where nothing is."""
    wanted = _identity(out)
    if wanted is None:
        return ""
    for path in _roots(given):
        found = _identity(path)
        if found is None:
            continue
        if found == wanted:
            return f"is the input {given} itself"
        if wanted in _above(path):
            return f"holds the input {given}, files of which could be overwritten"
        if path.is_dir() and found in _above(out) and out.is_dir() and any(out.iterdir()):
            return f"lies in the input {given} and holds files already"
    return ""


def _roots(given: Path) -> Iterator[Path]:
    """A path that is read, and what is read with it: files beside it, files that it names."""
    if not given.exists():
        # A scene or sequence within a data set, such as v1.0-mini/scene-0061, is no file of its own.
        if not given.suffix and given.parent.name and given.parent.is_dir():
            yield given.parent
            yield from (given.parent.parent / name for name in ("samples", "sweeps", "maps"))
        return
    yield given
    if given.is_dir():
        yield from given.parent.glob("calib_*.txt")  # of a KITTI drive
        return
    yield from (given.with_suffix(suffix) for suffix in COMPANIONS.get(given.suffix, ()))
    yield from (given.with_name(given.name + ending) for ending in SQLITE)
    if given.suffix == ".toml":
        yield from _named_in(given)


def _named_in(manifest: Path) -> Iterator[Path]:
    """Files that a manifest names: every text in it that is a path, or a pattern, from its folder."""
    try:
        values: list[Any] = [tomllib.loads(manifest.read_text(encoding="utf-8"))]
    except (OSError, ValueError):  # whoever reads it will say so
        return
    while values:
        value = values.pop()
        if isinstance(value, dict):
            values += value.values()
        elif isinstance(value, list):
            values += value
        elif isinstance(value, str) and 0 < len(value) < 4096 and "\0" not in value:
            try:
                if any(sign in value for sign in "*?["):
                    yield from manifest.parent.glob(value)
                elif (manifest.parent / value).exists():
                    yield manifest.parent / value
            except (OSError, ValueError, NotImplementedError, IndexError):  # a text that is no path
                continue


def _files(given: Path) -> Iterator[Path]:
    """All files that belong to what is read; links are followed, each folder once."""
    seen: set[tuple[int, int]] = set()
    folders: list[Path] = []
    for root in _roots(given):
        yield root
        folders += [root] if root.is_dir() else []
    while folders:
        folder = folders.pop()
        found = _identity(folder)
        if found is None or found in seen:
            continue
        seen.add(found)
        try:
            entries = list(os.scandir(folder))
        except OSError:
            continue
        for entry in entries:
            if entry.is_dir():
                folders.append(Path(entry.path))
            else:
                yield Path(entry.path)


def _above(path: Path) -> list[tuple[int, int] | None]:
    """The folders that a path lies in."""
    return [_identity(parent) for parent in Path(os.path.realpath(path)).parents]


def _identity(path: Path) -> tuple[int, int] | None:
    """Device and inode; None where there is nothing that can be lost."""
    try:
        found = path.stat()
    except (OSError, ValueError):
        return None
    return None if stat.S_ISCHR(found.st_mode) else (found.st_dev, found.st_ino)


def _same(one: Path, other: Path) -> bool:
    found = _identity(one)
    return found is not None and found == _identity(other)
