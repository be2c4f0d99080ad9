"""Which errors are the user's to mend, and the one line that each becomes."""

from __future__ import annotations

import signal
import traceback

EXIT_BUG = 1
EXIT_USER = 2
EXIT_FAILED = 75  # a process was lost or gave up though its configuration is right; a later try may succeed
EXIT_INCOMPLETE = 4
EXIT_INTERRUPTED = 130  # 128 + SIGINT; of other signals 128 + their number

_OURS = ("fusion_pipeline", "nodes", "calibration")
_EXTRA_OF = {
    "torch": "train", "onnx": "train", "onnxscript": "train", "onnxslim": "train", "matplotlib": "train",
    "ray": "fleet", "sounddevice": "live", "velodyne_decoder": "live", "ouster": "live",
}  # fmt: skip


class UserError(Exception):
    """Something on the command line or in a file cannot be used; the message says what, where, and what to do."""

    exit_code = EXIT_USER


class IncompleteError(UserError):
    """What was asked for was not made, or only a part of it; the message says what is missing and why."""

    exit_code = EXIT_INCOMPLETE


class Stopped(KeyboardInterrupt):
    """A signal asked the command to end before its work was done."""

    def __init__(self, number: int) -> None:
        super().__init__(f"ended by {signal.Signals(number).name}")
        self.exit_code = 128 + number


class RunFailed(UserError):
    """A run that lost a process for a reason other than its configuration: starting it again may help."""

    exit_code = EXIT_FAILED


class Ended(Exception):
    """Carries a KeyboardInterrupt past the library that reads the command line, which has exit codes of its own."""

    def __init__(self, why: KeyboardInterrupt) -> None:
        super().__init__(str(why))
        self.why = why


def is_users(error: BaseException) -> bool:
    """Whether the user can mend `error`, so that a traceback would only be in the way.

    True for every exception class that this project defines (a programming error raises a built-in one), for the
    operating system's errors, for a library that is not installed, and for a command line that does not parse.
    """
    if isinstance(error, (OSError, ModuleNotFoundError)):
        return not (isinstance(error, ModuleNotFoundError) and _top(error.name or "") in _OURS)
    return any(_top(kind.__module__) in _OURS for kind in type(error).__mro__) or hasattr(error, "format_message")


def one_line(error: BaseException) -> str:
    """`error` as "what, where, what to do" on one line."""
    if hasattr(error, "format_message"):  # a command line that does not parse
        text = str(error.format_message()).strip().rstrip(".")
        context = getattr(error, "ctx", None)
        text += f"; see `{context.command_path} --help`" if context is not None else ""
    elif isinstance(error, ModuleNotFoundError):
        text = _missing_library(error.name or "")
    elif isinstance(error, OSError) and error.strerror:
        where = f"{error.filename}: " if error.filename else ""
        text = f"{where}{error.strerror[:1].lower()}{error.strerror[1:]}{_os_advice(error)}"
    else:
        text = str(error.args[0]) if isinstance(error, KeyError) and error.args else str(error)
    return " ".join(text.split()) or type(error).__name__


def bug_report(error: BaseException) -> str:
    """The traceback of an error that nobody foresaw, and what to do with it."""
    trace = "".join(traceback.format_exception(error))
    return f"{trace}fusion: this is a bug of fusion_pipeline; please report it with the lines above"


def _missing_library(name: str) -> str:
    extra = _EXTRA_OF.get(_top(name))
    package = f"'fusion-pipeline[{extra}]'" if extra else "fusion-pipeline"
    return f"the library {name!r} is not installed; pip install {package}"


def _os_advice(error: OSError) -> str:
    if isinstance(error, FileNotFoundError):
        return "; check the path"
    if isinstance(error, PermissionError):
        return "; check who may read and write it"
    if isinstance(error, (IsADirectoryError, NotADirectoryError)):
        return "; check the path"
    return ""


def _top(module: str) -> str:
    return module.partition(".")[0]
