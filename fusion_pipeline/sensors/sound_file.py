"""A sound file in the place of a microphone array."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Generator, Iterator
from contextlib import AbstractContextManager, closing
from pathlib import Path

from fusion_pipeline.messages import AudioChunk
from fusion_pipeline.sensors.microphone import MicrophoneConfig
from fusion_pipeline.sensors.retry import Patience, Report, SetupError, keep_reading
from fusion_pipeline.sensors.sound_reader import DamagedSoundError, SoundReader
from fusion_pipeline.sensors.timeline import Timeline


class SoundFile:
    """Chunks of a file, the first sample at now. A chunk is handed out when its last sample has sounded."""

    def __init__(self, config: MicrophoneConfig, report: Report) -> None:
        self.config = config
        self.counts: Counter[str] = Counter()
        self._report = report

    def prepare(self) -> None:
        """Look into the file. Raises SetupError where it is no sound, or not the sound that is configured."""
        self._opened().close()

    def messages(self, stop: threading.Event) -> Iterator[AudioChunk]:
        """Chunks until `stop` is set or the file ends; a file that breaks off is counted."""

        def connect() -> AbstractContextManager[Iterator[AudioChunk | None]]:
            return closing(self._play(stop))

        what = f"sound file {self.config.device}"
        yield from keep_reading(what, connect, stop, self._report, Patience(float("inf")))

    def _play(self, stop: threading.Event) -> Generator[AudioChunk | None, None, None]:
        timeline, played = Timeline(self.config.real_time), 0
        while not stop.is_set():
            with self._opened() as file:
                rate_hz, block = file.rate_hz, max(1, round(file.rate_hz * self.config.chunk_ms / 1000))
                while not stop.is_set():
                    try:
                        pcm = file.read(block)
                    except DamagedSoundError:
                        self.counts["refused: damaged sound"] += 1
                        break
                    if not len(pcm):
                        break
                    first_ns = timeline.stamp_ns(played / rate_hz)
                    played += len(pcm)
                    end_ns = timeline.stamp_ns(played / rate_hz)
                    yield from timeline.wait(end_ns, stop)
                    yield self.config.chunk(pcm, rate_hz, first_ns, end_ns)
                for reason, count in (
                    ("clipped samples", file.clipped),
                    ("samples that are no number", file.not_finite),
                ):
                    if count:
                        self.counts[reason] += count
            if not self.config.loop or not played:
                return

    def _opened(self) -> SoundReader:
        config = self.config
        file = SoundReader(Path(config.device))
        for what, wanted, found in (
            ("channels", config.channels, file.channels),
            ("rate_hz", config.rate_hz, file.rate_hz),
        ):
            if wanted and wanted != found:
                file.close()
                raise SetupError(f"{config.device} has {what} {found}, not {wanted}; set {what} to {found}, or to 0")
        return file
