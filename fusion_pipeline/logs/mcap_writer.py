"""Writes messages as an MCAP log: sensors in Foxglove's schemas, results as JSON and as boxes to look at."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from fusion_pipeline import results
from fusion_pipeline.logs.foxglove_form import BESIDE, Beside, Sensed, to_foxglove
from fusion_pipeline.logs.foxglove_scene import boxes, calibration, transforms
from fusion_pipeline.logs.reader import LogError
from fusion_pipeline.messages import AudioChunk, CameraFrame, Detections, EgoMotion, LidarScan, Message, Tracks
from fusion_pipeline.rig import Rig, to_toml

RIG = "fusion.rig"  # name of the metadata record that holds the rig
CHUNK_BYTES = 4 << 20
FLUSH_NS = 1_000_000_000  # a crash costs at most what came in this time
REPEAT_NS = 1_000_000_000  # frames and lenses are said again, so that a viewer may start anywhere


class McapWriter:
    """One file. `rig` is embedded where there is one."""

    def __init__(self, path: Path, rig: Rig | None = None, facts: dict[str, str] | None = None) -> None:
        """Create `path`, replacing what is there; `facts` become a metadata record. Raises LogError."""
        import foxglove
        from foxglove.mcap import MCAPCompression, MCAPWriteOptions

        self.path = path
        self.written = 0
        self._rig = rig
        self._context = foxglove.Context()
        self._channels: dict[str, Any] = {}
        self._flushed = self._repeated = 0
        options = MCAPWriteOptions(compression=MCAPCompression.Lz4, chunk_size=CHUNK_BYTES)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._writer = foxglove.open_mcap(path, allow_overwrite=True, context=self._context, writer_options=options)
        except (OSError, RuntimeError, ValueError) as error:
            raise LogError(f"cannot write {path}: {error}; choose another place") from None
        if rig is not None:
            self._writer.write_metadata(RIG, {"toml": to_toml(rig)})
        if facts:
            self._writer.write_metadata("fusion.facts", facts)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def write(self, message: Message) -> None:
        """Append a message under its topic, at its arrival."""
        topic, at = message.header.source, message.header.arrival_ns
        if self._rig is not None and not 0 <= at - self._repeated < REPEAT_NS:
            self._repeated = at
            self._write_rig(self._rig, at)
        if isinstance(message, (CameraFrame, LidarScan, AudioChunk, EgoMotion)):
            self._write_sensed(message, topic, at)
        else:
            self._json(topic).log(results.describe(message), log_time=at)
            if isinstance(message, (Detections, Tracks)):
                scene = boxes(message)
                self._typed(f"{topic}/scene", scene).log(scene, log_time=at)
        self.written += 1
        if not 0 <= at - self._flushed < FLUSH_NS:
            self._flushed = at
            self._writer.flush()

    def note(self, topic: str, table: Mapping[str, object], at_ns: int) -> None:
        """Append a JSON object that is no message, such as the truth of a simulation."""
        self._json(topic).log(dict(table), log_time=at_ns)

    def close(self) -> None:
        """Write the index; the file can be opened without it, but not quickly."""
        self._writer.close()

    def _write_sensed(self, message: Sensed, topic: str, at: int) -> None:
        self._json(BESIDE).log(Beside.of(message).to_json(), log_time=at)
        made = to_foxglove(message)
        self._typed(topic, made).log(made, log_time=at)

    def _write_rig(self, rig: Rig, at: int) -> None:
        for transform in transforms(rig, at):
            self._typed("tf", transform).log(transform, log_time=at)
        for topic, mount in rig.cameras.items():
            lens = calibration(topic, mount, at)
            self._typed(f"{topic}/calibration", lens).log(lens, log_time=at)

    def _json(self, topic: str) -> Any:
        if topic not in self._channels:
            import foxglove

            schema = {"type": "object", "title": f"fusion.{topic.split('/')[0]}"}
            self._channels[topic] = foxglove.Channel(topic, schema=schema, context=self._context)
        return self._channels[topic]

    def _typed(self, topic: str, made: Any) -> Any:
        if topic not in self._channels:
            from foxglove import channels

            kind = getattr(channels, f"{type(made).__name__}Channel")
            self._channels[topic] = kind(topic, context=self._context)
        return self._channels[topic]
