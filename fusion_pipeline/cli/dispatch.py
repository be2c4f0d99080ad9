"""Finds the verb, imports it alone, runs it, and turns its errors into one line."""

from __future__ import annotations

import contextlib
import difflib
import inspect
import os
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from importlib import import_module, metadata
from types import FrameType
from typing import Any, NoReturn

from fusion_pipeline.cli.errors import (
    EXIT_BUG,
    EXIT_INTERRUPTED,
    EXIT_USER,
    Ended,
    Stopped,
    UserError,
    bug_report,
    is_users,
    one_line,
)
from fusion_pipeline.cli.outputs import guarded
from fusion_pipeline.cli.verbs import VERBS
from fusion_pipeline.output_file import PARTIAL


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run `fusion` with `arguments`, by default those of the process, and exit with its code."""
    sys.exit(run(list(sys.argv[1:] if arguments is None else arguments)))


def run(arguments: list[str]) -> int:
    """Run `fusion` with `arguments` and return the exit code, as the package's docstring lists them."""
    debug = "--debug" in arguments or os.environ.get("FUSION_DEBUG", "") not in ("", "0")
    arguments = [argument for argument in arguments if argument != "--debug"]
    PARTIAL.clear()
    try:
        with _signals():
            return _dispatch(arguments)
    except KeyboardInterrupt as error:
        return _stopped(error)
    except Ended as error:
        return _stopped(error.why)
    except BrokenPipeError:
        # The reader of our output, such as `head`, has gone; nothing is left to say, not even by Python at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:
        if type(error).__name__ == "Abort":  # typer: Ctrl-C while it reads the command line
            return _stopped(error.__cause__)
        if is_users(error) and not debug:
            sys.stderr.write(f"fusion: {one_line(error)}{_kept()}\n")
            return getattr(error, "exit_code", EXIT_USER) if isinstance(error, UserError) else EXIT_USER
        if not is_users(error) and not debug:
            from fusion_pipeline.launchfile import users_error

            if told := users_error(error):  # raised in a file of the user's own, such as a node
                sys.stderr.write(f"fusion: {' '.join(told.split())}\n")
                return EXIT_USER
        sys.stderr.write(bug_report(error) + "\n")
        return EXIT_USER if is_users(error) else EXIT_BUG


@contextlib.contextmanager
def _signals() -> Iterator[None]:
    """SIGTERM and SIGHUP end a command as Ctrl-C does, so that what is whole is kept and half files are not."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def end(number: int, frame: FrameType | None) -> None:
        raise Stopped(number)

    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)}
    for number, handler in before.items():
        if handler == signal.SIG_DFL:  # one that is ignored, as under nohup, stays so
            signal.signal(number, end)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _stopped(error: BaseException | None) -> int:
    sys.stderr.write(f"fusion: {str(error or '') or 'interrupted'}{_kept()}\n")
    return error.exit_code if isinstance(error, Stopped) else EXIT_INTERRUPTED


def _kept() -> str:
    """What is left under partial names, to stand behind the reason why."""
    return "".join(f"; {holds} are whole in {path}" for path, holds in PARTIAL)


def _dispatch(arguments: list[str]) -> int:
    if not arguments or arguments[0] in ("--help", "-h", "help"):
        if arguments[:1] == ["help"] and len(arguments) > 1:
            return _call(arguments[1], ["--help"])
        from fusion_pipeline.cli.overview import show_overview

        show_overview()
        return 0
    if arguments[0] == "--version":
        sys.stdout.write(f"fusion {metadata.version('fusion-pipeline')}\n")
        return 0
    return _call(arguments[0], arguments[1:])


def _call(name: str, arguments: list[str]) -> int:
    command = guarded(command_of(name), name)
    result = command.main(args=arguments, prog_name=f"fusion {name}", standalone_mode=False)
    return result if isinstance(result, int) else 0


def command_of(name: str) -> Any:
    """The click command of a verb, imported now. Raises UserError naming the nearest verb."""
    if name not in VERBS:
        what = f"unknown option {name!r}" if name.startswith("-") else f"unknown verb {name!r}"
        near = difflib.get_close_matches(name, VERBS, n=1, cutoff=0.5)
        raise UserError(f"{what}; " + (f"did you mean `fusion {near[0]}`?" if near else "`fusion --help` lists them"))
    import typer
    from rich.markup import escape
    from typer.main import get_command

    verb = VERBS[name]
    module, _, attribute = verb.target.partition(":")
    target = getattr(import_module(module), attribute)
    if isinstance(target, typer.Typer):
        app, docstring = target, target.info.help
    else:
        app, docstring = typer.Typer(add_completion=False, rich_markup_mode="rich"), target.__doc__
        app.command()(target)
    command = get_command(app)
    command.help = _help(verb.summary, docstring if isinstance(docstring, str) else "")
    command.epilog = "\n\n".join(("Examples:", *(f"[cyan]{escape(example)}[/]" for example in verb.examples)))
    return command


def _help(summary: str, docstring: str) -> str:
    from rich.markup import escape

    body = inspect.cleandoc(docstring).partition("\n")[2].strip()
    return escape(f"{summary}\n\n{body}".strip())
