"""The process that writes one line of JSON for each set."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from fusion_pipeline.checks import output_fault
from fusion_pipeline.clock import LAST_NS
from fusion_pipeline.messages import Detections, Lap, Message, SensorSet, Tracks
from fusion_pipeline.node import NodeError, Stage, Surroundings
from fusion_pipeline.output_file import LineFile, OutputFile, begin_output


@dataclass(frozen=True)
class ResultsConfig:
    """Where to write."""

    out: Path  # made anew; a file that is there is replaced


class Results(Stage[ResultsConfig]):
    """Tracks in, lines out. Live a full disk is reported and counted, and does not stop the graph; a replay ends."""

    reads: ClassVar[tuple[type[Message], ...]] = (Tracks,)

    @classmethod
    def products(cls, config: ResultsConfig) -> tuple[Path, ...]:
        """The file of lines."""
        return (config.out,)

    @classmethod
    def check(cls, config: ResultsConfig, around: Surroundings) -> Iterator[str]:
        """The file to write."""
        if fault := output_fault(config.out):
            yield f"out: {fault}"

    def open(self) -> None:
        """Create the file, or go on with it after a restart. Raises NodeError where that is not possible.

        A replay writes beside and takes the name at its end; live the file can be followed while it grows.
        """
        self._lost = self._written = 0
        self._ended = False
        self._from_ns, self._until_ns = 0, LAST_NS
        self._output: OutputFile | None = None
        out = self.config.out
        try:
            if self.replay:
                self._output = begin_output(out)
            self._file = LineFile(self._output.path if self._output else out, goes_on=self.starts > 0)
        except OSError as error:
            raise NodeError(f"cannot write {out}: {error.strerror}; choose another --out") from error

    def begin(self, lap: Lap) -> None:
        """Take from now on what belongs to this lap."""
        self._from_ns, self._until_ns = lap.from_ns, lap.until_ns

    def step(self, message: Message) -> Iterator[Message]:
        """Write one line."""
        if self._from_ns <= message.header.capture_ns < self._until_ns:
            self._write(message)
        yield from ()

    def finish(self) -> Iterator[Message]:
        """The input is at its end."""
        self._ended = True
        yield from ()

    def _write(self, message: Message) -> None:
        from fusion_pipeline import results

        assert isinstance(message, (Tracks, Detections, SensorSet))
        self._ended = False
        try:
            self._file.write(results.line(message) + "\n")
            self._written += 1
        except OSError as error:
            self._lost += 1
            said = f"cannot write {self.config.out}: {error.strerror}; free some space"
            if self.replay:  # a part of the results is of no use, and the same can be had again
                raise NodeError(said) from None
            self.report("degraded", said)
        else:
            if self.state == "degraded":
                self.report("ready")

    def close(self) -> None:
        """Close the file; that of a replay takes its name where it is whole."""
        if not hasattr(self, "_file"):
            return
        self._file.close()
        if self._output is not None:
            self._output.holds = f"{self._written} sets" if self._written else ""
            if self._ended and not self._lost:
                self._output.finish()
            else:
                self._output.leave()

    def counts(self) -> dict[tuple[str, str], int]:
        """Totals of lines that could not be written."""
        return {("tracks", "not written"): self._lost} if getattr(self, "_lost", 0) else {}


class DetectionResults(Results):
    """Detections in, lines out: a replay that ends before the tracker."""

    reads = (Detections,)

    def counts(self) -> dict[tuple[str, str], int]:
        """Totals of lines that could not be written."""
        return {("detections", reason): total for (_, reason), total in super().counts().items()}


class SetResults(Results):
    """Sensor sets in, lines without objects out: a replay that ends before the network."""

    reads = (SensorSet,)

    def counts(self) -> dict[tuple[str, str], int]:
        """Totals of lines that could not be written."""
        return {("set", reason): total for (_, reason), total in super().counts().items()}
