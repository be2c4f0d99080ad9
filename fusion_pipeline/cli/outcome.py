"""What became of a run of a graph: whether it made what was asked for, in words and as an exit code."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from fusion_pipeline.cli.errors import IncompleteError, RunFailed, Stopped, UserError
from fusion_pipeline.cli.outputs import Output, configuration_beside, refuse_overwriting
from fusion_pipeline.graph import Graph
from fusion_pipeline.output_file import PARTIAL, mark_partial, partial_files

if TYPE_CHECKING:
    from fusion_pipeline.dashboard.board import Board
    from fusion_pipeline.supervisor import Supervisor

SETS = {"set", "detections", "tracks"}  # topics with one message for each sensor set
NOT_WRITTEN = ("not written", "picture not written")  # reasons by which nodes count what the disk did not take


class GraphOutputs:
    """The files that a graph is to write, from before it starts until it has ended."""

    def __init__(self, graph: Graph) -> None:
        """Raises UserError where one of them is an input of the graph."""
        written = [(process, path) for process in graph.processes for path in process.node.outputs(process.config)]
        beside = [configuration_beside(p) for process in graph.processes for p in process.node.products(process.config)]
        outputs = [Output(f"the output {path} of {process.label}", path) for process, path in written]
        read = [Path(path) for process in graph.processes for path in process.node.files(process.config)]
        refuse_overwriting([*outputs, *beside], read)
        self.paths = tuple(path for _, path in written)
        self._partial = {path: set(partial_files(path)) for path in self.paths}
        self._began = time.time()

    def note_partial(self) -> None:
        """Report what nodes left under partial names."""
        for path, before in self._partial.items():
            for found in partial_files(path):
                if found in before:
                    continue
                if found.stat().st_size:
                    PARTIAL.append((found, "results"))
                else:
                    found.unlink()

    def complete(self, path: Path) -> None:
        """What a replay without an end wrote until it was stopped is all that was asked for."""
        for found in partial_files(path):
            if found not in self._partial.get(path, ()):
                found.replace(os.path.realpath(path))

    def missing(self, wanted: Iterable[Path | None]) -> list[str]:
        """Of the files that were asked for those that this run did not write."""
        return [f"{path} was not written" for path in wanted if path is not None and not self._is_new(path)]

    def cut_short(self, paths: Iterable[Path | None]) -> None:
        """Give files that lack something their partial name."""
        for path in paths:
            if path is None or not path.is_file() or not self._is_new(path):
                continue
            if path.stat().st_size:
                mark_partial(path, "results")
            else:
                path.unlink()

    def _is_new(self, path: Path) -> bool:
        try:
            found = path.stat()
        except OSError:
            return False
        return not path.is_file() or found.st_mtime >= self._began - 1.0


def require_whole(
    supervisor: Supervisor, board: Board, outputs: GraphOutputs, asked: Iterable[Path | None] = (),
    results: Path | None = None, endless: bool = False, sets: bool = True,
) -> None:  # fmt: skip
    """Raise where a run of a graph did not make what was asked for.

    `asked`: files that must have been written; `results` is one of them that grows line by line. `endless`: a signal is
    the way in which the run ends. `sets`: it is to make sensor sets and to write all of their results. Raises UserError
    where a process cannot run as configured, RunFailed where one was given up for another reason, IncompleteError for
    what is missing, Stopped for a signal.
    """
    endless_replay = endless and supervisor.stop_asked and supervisor.graph.replay
    if endless_replay and results is not None and not supervisor.failed:
        outputs.complete(results)
    outputs.note_partial()
    if supervisor.failed:
        reasons = "; ".join(f"{child.process.label}: {child.reason}" for child in supervisor.failed)
        wrong = any(child.refused for child in supervisor.failed)  # settings that no restart mends
        raise (UserError if wrong else RunFailed)(f"{reasons} (logs are in {supervisor.output})")
    if supervisor.stop_asked and not endless:
        if not supervisor.graph.replay:
            outputs.cut_short([results])
        raise Stopped(supervisor.stop_signal)
    faults = [
        f"{count.total} x {count.reason} by {label}: {node.health.detail}"
        for label, node in board.nodes.items() if node.health is not None
        for count in (*node.health.refused, *node.health.dropped) if sets and count.reason in NOT_WRITTEN
    ]  # fmt: skip
    if faults:
        outputs.cut_short([results])
    written = {topic for process in supervisor.graph.processes for topic in process.topics}
    if sets and written & SETS and not board.sets_made:
        faults.append(f"the run ended with 0 sets; logs are in {supervisor.output}")
    elif results is not None and results.is_file() and not results.stat().st_size:
        faults.append(f"{results} holds 0 sets")
    if not supervisor.stop_asked:
        faults += outputs.missing(asked)
    if faults:
        raise IncompleteError("; ".join(faults))
