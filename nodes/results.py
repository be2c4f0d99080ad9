"""The process that writes one line of JSON for each set."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from fusion_pipeline.clock import LAST_NS
from fusion_pipeline.messages import Detections, Lap, Message, SensorSet, Tracks
from fusion_pipeline.node import NodeError, Stage


@dataclass(frozen=True)
class ResultsConfig:
    """Where to write."""

    out: Path  # made anew; a file that is there is replaced


class Results(Stage[ResultsConfig]):
    """Tracks in, lines out; a full disk is reported and counted, and does not stop the graph."""

    reads: ClassVar[tuple[type[Message], ...]] = (Tracks,)

    @classmethod
    def products(cls, config: ResultsConfig) -> tuple[Path, ...]:
        """The file of lines."""
        return (config.out,)

    def open(self) -> None:
        """Create the file, or go on with it after a restart. Raises NodeError where that is not possible."""
        self._lost = 0
        self._from_ns, self._until_ns = 0, LAST_NS
        try:
            self.config.out.parent.mkdir(parents=True, exist_ok=True)
            self._file = self.config.out.open("a" if self.starts else "w", encoding="utf-8")
            if self.starts:
                _end_with_whole_line(self.config.out)
        except OSError as error:
            raise NodeError(f"cannot write {self.config.out}: {error.strerror}; choose another --out") from error

    def begin(self, lap: Lap) -> None:
        """Take from now on what belongs to this lap."""
        self._from_ns, self._until_ns = lap.from_ns, lap.until_ns

    def step(self, message: Message) -> Iterator[Message]:
        """Write one line."""
        if self._from_ns <= message.header.capture_ns < self._until_ns:
            self._write(message)
        yield from ()

    def _write(self, message: Message) -> None:
        from fusion_pipeline import results

        assert isinstance(message, (Tracks, Detections, SensorSet))
        try:
            self._file.write(results.line(message) + "\n")
            self._file.flush()
        except OSError as error:
            self._lost += 1
            self.report("degraded", f"cannot write {self.config.out}: {error.strerror}; free some space")
        else:
            if self.state == "degraded":
                self.report("ready")

    def close(self) -> None:
        """Close the file."""
        if hasattr(self, "_file"):
            try:
                self._file.close()
            except OSError:
                self._lost += 1

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


def _end_with_whole_line(path: Path) -> None:
    """Cut off what a killed process had begun to write."""
    with path.open("rb+") as file:
        file.truncate(file.read().rfind(b"\n") + 1)
