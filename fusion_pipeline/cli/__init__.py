"""The command `fusion`.

How to add a verb:

1. Write one file `cli/<verb>.py` with one function (or one `typer.Typer()` of sub-verbs). Its parameters are annotated
   the way typer reads them (`Annotated[float, typer.Option(help="...")] = 1.0`); its docstring is the long help. Import
   heavy libraries inside the function.
2. Add a line to the table in `cli/verbs.py`: where the function is, the one-line summary and at least one example. The
   summary and the examples appear in `fusion --help` and `fusion <verb> --help`; the function need not repeat them.

How a verb ends:

* It returns: exit code 0. It returns an int, or raises `typer.Exit(code)`: that code.
* It raises an error that the user can mend: one line on stderr, exit code 2, no traceback. Such are `UserError`, every
  exception class that this project defines, and the operating system's (no such file, permission, disk full). Their
  text should say what, where, and what to do.
* It raises `RunFailed`: one line as well, exit code 75. A process crashed or was killed; its configuration is not the
  reason, and whoever watches the command, such as systemd, may start it again.
* It raises `IncompleteError`: what was asked for was not made, or only a part of it; one line, exit code 4.
* A signal ends it: 130 after Ctrl-C, 143 after SIGTERM, and one line that names what is kept under a partial name.
* It raises anything else: a bug. The traceback is shown, exit code 1.

`--debug` anywhere on the command line shows the traceback in every case.
"""

from fusion_pipeline.cli.dispatch import main
from fusion_pipeline.cli.errors import UserError

__all__ = ["UserError", "main"]
