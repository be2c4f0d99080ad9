"""The process that joins detections into tracks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from fusion_pipeline.messages import Detections, Lap, Message
from fusion_pipeline.node import Stage
from fusion_pipeline.track.config import TrackerConfig


class Tracker(Stage[TrackerConfig]):
    """Detections in, tracks out."""

    reads = (Detections,)

    @classmethod
    def topics_written(cls, config: TrackerConfig) -> tuple[str, ...]:
        """One topic of tracks."""
        return ("tracks",)

    def open(self) -> None:
        """Start with no track."""
        from fusion_pipeline.track.tracker import Tracker as Tracks

        self._tracks = Tracks(self.config)
        self._before: Counter[str] = Counter()  # of the laps that are over

    def begin(self, lap: Lap) -> None:
        """Without a track, and with the first identity."""
        self._before += self._tracks.counts
        self._tracks = type(self._tracks)(self.config)

    def step(self, message: Message) -> Iterator[Message]:
        """The tracks after a set's detections."""
        assert isinstance(message, Detections)
        with self.timed("step"):
            tracks = self._tracks.step(message)
        yield self.stamped(tracks)

    def counts(self) -> dict[tuple[str, str], int]:
        """Totals of detections that came with a stale stamp."""
        found = self._before + self._tracks.counts if hasattr(self, "_before") else {}
        return {("detections", reason): total for reason, total in found.items() if total}
