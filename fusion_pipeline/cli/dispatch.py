"""Finds the verb, imports it alone, runs it, and turns its errors into one line."""

from __future__ import annotations

import difflib
import inspect
import os
import sys
from collections.abc import Sequence
from importlib import import_module, metadata
from typing import Any, NoReturn

from fusion_pipeline.cli.errors import EXIT_BUG, EXIT_INTERRUPTED, EXIT_USER, UserError, bug_report, is_users, one_line
from fusion_pipeline.cli.verbs import VERBS


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run `fusion` with `arguments`, by default those of the process, and exit with its code."""
    sys.exit(run(list(sys.argv[1:] if arguments is None else arguments)))


def run(arguments: list[str]) -> int:
    """Run `fusion` with `arguments` and return the exit code: 0, 1 (a bug), 2 (the user's to mend), 75 (a process
    was lost; a later try may help), 130 (Ctrl-C).
    """
    debug = "--debug" in arguments or os.environ.get("FUSION_DEBUG", "") not in ("", "0")
    arguments = [argument for argument in arguments if argument != "--debug"]
    try:
        return _dispatch(arguments)
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        # The reader of our output, such as `head`, has gone; nothing is left to say, not even by Python at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:
        if type(error).__name__ == "Abort":  # typer: the user declined a prompt
            return EXIT_INTERRUPTED
        if is_users(error) and not debug:
            sys.stderr.write(f"fusion: {one_line(error)}\n")
            return int(getattr(error, "exit_code", EXIT_USER)) if isinstance(error, UserError) else EXIT_USER
        sys.stderr.write(bug_report(error) + "\n")
        return EXIT_USER if is_users(error) else EXIT_BUG


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
    command = command_of(name)
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
