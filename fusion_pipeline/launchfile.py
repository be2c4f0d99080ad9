"""Launch files: Python files of users that define a graph, and what lies beside them.

A launch file is a module of its own, found by its path also in the processes of the graph, and the modules in its
folder can be imported, after all that is installed.
"""

from __future__ import annotations

import hashlib
import importlib.abc
import importlib.machinery
import importlib.util
import sys
import sysconfig
import traceback
from collections.abc import Mapping, Sequence
from multiprocessing.reduction import ForkingPickler
from pathlib import Path
from types import ModuleType
from typing import Any

from fusion_pipeline.topics import add_topics, own_topics

PREFIX = "fusion_launch_"
_OURS = Path(__file__).resolve().parents[1]
_loaded: dict[str, Path] = {}  # module name -> launch file, of all that this process knows


class _Finder(importlib.abc.MetaPathFinder):
    """Finds launch files by the names that `module_of` gave them: so a spawned process gets the classes in them."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        file = _loaded.get(fullname)
        return None if file is None else importlib.util.spec_from_file_location(fullname, file)


def know(files: Mapping[str, Path]) -> None:
    """Make launch files importable by the names that another process gave them, with what lies beside them."""
    _loaded.update(files)
    if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.append(_Finder())
    for file in files.values():
        if str(file.parent) not in sys.path:
            sys.path.append(str(file.parent))


def module_of(path: Path) -> ModuleType:
    """Run a launch file anew and return its module. Raises whatever it raises."""
    file = path.resolve()
    name = f"{PREFIX}{file.stem}_{hashlib.sha256(str(file).encode()).hexdigest()[:8]}"
    know({name: file})
    spec = importlib.util.spec_from_file_location(name, file)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look their module up while they are made
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def packed(value: Any) -> tuple[Any, ...]:
    """For the `__reduce__` of what goes to a spawned process: what must be known there first, then its fields."""
    topics, fields = (bytes(ForkingPickler.dumps(part)) for part in (own_topics(), dict(vars(value))))
    return _unpacked, (type(value), dict(_loaded), topics, fields)


def _unpacked(kind: Any, files: Mapping[str, Path], topics: bytes, fields: bytes) -> Any:
    """In this order: the classes of topics and fields may be defined in the files."""
    know(files)
    add_topics(ForkingPickler.loads(topics))
    return kind(**ForkingPickler.loads(fields))


def users_place(error: BaseException) -> tuple[str, int] | None:
    """File and line of the innermost frame of a user's own code under `error`; None where all is ours or a library's.

    A user's is what lies neither in this project nor in the interpreter's library nor in what is installed.
    """
    found = None
    for frame in traceback.extract_tb(error.__traceback__):
        if not frame.filename.startswith("<") and _is_users(Path(frame.filename)):
            found = (frame.filename, frame.lineno or 0)
    return found


def _is_users(file: Path) -> bool:
    file = file.resolve()
    if file in _loaded.values() and not file.is_relative_to(_OURS / "launch"):
        return True
    ours = (_OURS / name for name in ("fusion_pipeline", "nodes", "calibration", "launch"))
    libraries = (sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib", "scripts"))
    roots = [*ours, *(Path(folder).resolve() for folder in libraries)]
    return not any(file.is_relative_to(root) for root in roots) and "site-packages" not in file.parts


def users_error(error: BaseException) -> str:
    """ "FILE, line 7: ZeroDivisionError: division by zero" where a user's own code raised it; else ""."""
    place = users_place(error)
    if place is None:
        return ""
    return f"{place[0]}, line {place[1]}: {type(error).__name__}: {error}"


def pickled_place(value: Any) -> str:
    """Where the class of `value` is defined, for messages."""
    kind = value if isinstance(value, type) else type(value)
    return f"{kind.__module__}.{kind.__qualname__}"
