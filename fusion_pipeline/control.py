"""Words for a running process, such as "pause" for a player: asked through a socket in the run's private folder.

Only this user can enter that folder. One line in, one line out; what is no command is answered with the reason, and
cannot disturb the process. Each caller has a thread and PATIENCE_S for his line; one that stalls holds up nobody.
"""

from __future__ import annotations

import contextlib
import os
import socket
import struct
import threading
from collections.abc import Callable
from multiprocessing.connection import Client, Connection, Listener
from pathlib import Path

LONGEST = 4096  # bytes of a question or an answer
PATIENCE_S = 5.0
CALLERS = 16  # served at once; who comes beyond that is turned away
OK, NO = "ok ", "no "


class ControlError(RuntimeError):
    """A process that refused a command or did not answer; the message says why."""


class ControlServer(threading.Thread):
    """Answers at `path` with what `answer` makes of each question, until the process ends."""

    def __init__(self, path: str, answer: Callable[[str], str]) -> None:
        """Raises OSError where the socket cannot be made."""
        super().__init__(name="control", daemon=True)
        self._closed = False
        self._answer = answer
        Path(path).unlink(missing_ok=True)  # of a predecessor that was killed
        self._listener = Listener(path, "AF_UNIX", backlog=CALLERS)
        self._places = threading.BoundedSemaphore(CALLERS)
        self._one_at_a_time = threading.Lock()  # nodes need not expect two commands at once

    def run(self) -> None:
        """Serve until closed."""
        while not self._closed:
            with contextlib.suppress(OSError, EOFError):
                caller = self._listener.accept()
                if self._places.acquire(blocking=False):
                    threading.Thread(target=self._serve, args=(caller,), name="caller", daemon=True).start()
                else:
                    caller.close()

    def close(self) -> None:
        """Take no more commands."""
        self._closed = True
        self._listener.close()

    def _serve(self, caller: Connection) -> None:
        try:
            with contextlib.suppress(OSError, EOFError), caller:
                _limit(caller)
                text = caller.recv_bytes(LONGEST).decode(errors="replace")
                try:
                    with self._one_at_a_time:
                        said = OK + self._answer(text)
                except Exception as error:  # whatever it is, the caller is told, and the process goes on
                    said = NO + (str(error) or type(error).__name__)
                caller.send_bytes(said.encode()[:LONGEST])
        finally:
            self._places.release()


def _limit(caller: Connection) -> None:
    """No read or write of the connection waits for longer than PATIENCE_S: it raises BlockingIOError then."""
    seconds = int(PATIENCE_S)
    limit = struct.pack("ll", seconds, int((PATIENCE_S - seconds) * 1e6))
    with socket.socket(fileno=os.dup(caller.fileno())) as line:
        line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, limit)
        line.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, limit)


def ask(path: str, text: str) -> str:
    """The answer of the process that listens at `path`. Raises ControlError."""
    try:
        with Client(path, "AF_UNIX") as line:
            line.send_bytes(text.encode()[:LONGEST])
            if not line.poll(PATIENCE_S):
                raise ControlError(f"no answer to {text!r} within {PATIENCE_S:.0f} s; is the process stopped?")
            said = line.recv_bytes(LONGEST).decode(errors="replace")
    except (OSError, EOFError) as error:
        raise ControlError("the process does not listen; it may be starting or have ended") from error
    if not said.startswith(OK):
        raise ControlError(said.removeprefix(NO))
    return said.removeprefix(OK)
