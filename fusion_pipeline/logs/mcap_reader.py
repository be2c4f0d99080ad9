"""Reads the sensor messages of an MCAP log that this project wrote; also one whose writer was cut off."""

from __future__ import annotations

import heapq
import tomllib
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import IO, Any

import numpy as np

from fusion_pipeline.logs.foxglove_form import BESIDE, POINT, Beside, Sensed
from fusion_pipeline.logs.labels import Labels
from fusion_pipeline.logs.mcap_writer import RIG
from fusion_pipeline.logs.reader import LogError, within
from fusion_pipeline.messages import AudioChunk, CameraFrame, EgoMotion, LidarScan, Message
from fusion_pipeline.messages.ego import unmeasured
from fusion_pipeline.rig import Rig, RigError

KINDS = {
    "foxglove.PointCloud": "lidar", "foxglove.CompressedImage": "camera", "foxglove.RawImage": "camera",
    "foxglove.RawAudio": "audio", "foxglove.Odometry": "ego",
}  # fmt: skip
MAX_WAITING = 1024  # notes beside messages that never came


class McapLog:
    """An MCAP file as a log."""

    def __init__(self, path: Path) -> None:
        """Look at the index, or, where a crash left none, over the whole file. Raises LogError."""
        self.path = path
        self.refused: Counter[tuple[str, str]] = Counter()
        self.complete = True
        times: dict[str, tuple[int, int]] = {}
        rigs: list[str] = []
        try:
            with path.open("rb") as file:
                indexed = _summary(file)
                if indexed is not None:
                    times, rigs = indexed
                else:
                    self.complete = False
                    times, rigs = self._scan(file)
        except OSError as error:
            raise LogError(f"cannot read {path}: {error.strerror}") from None
        if not times:
            raise LogError(f"{path} holds no camera, LiDAR, audio or ego messages that this program can read")
        self.topics = tuple(sorted(times, key=lambda topic: (_order(topic), topic)))
        self.start_ns = min(first for first, _ in times.values())
        self.end_ns = max(last for _, last in times.values())
        self.rig = _rig(path, rigs)

    def labels(self) -> Iterator[Labels]:
        """None are read."""
        yield from ()

    def messages(
        self, start_ns: int | None = None, end_ns: int | None = None, topics: Collection[str] | None = None
    ) -> Iterator[Message]:
        """Sensor messages in order of arrival; those that cannot be decoded are counted and passed over."""
        return within(self._messages(), start_ns, end_ns, topics)

    def _messages(self) -> Iterator[Message]:
        beside: dict[tuple[str, int], Beside] = {}
        with self.path.open("rb") as file:
            for schema, channel, record in self._records(file):
                if channel.topic == BESIDE:
                    note = _note(record.data)
                    if note is not None:
                        beside[note.topic, note.capture_ns] = note
                        while len(beside) > MAX_WAITING:
                            del beside[next(iter(beside))]
                elif schema is not None and schema.name in KINDS:
                    message = self._decoded(schema.name, channel.topic, record, beside)
                    if message is not None:
                        yield message

    def _decoded(self, name: str, topic: str, record: Any, beside: dict[tuple[str, int], Beside]) -> Sensed | None:
        try:
            found = _schema_class(name).FromString(record.data)
            capture = found.timestamp.seconds * 1_000_000_000 + found.timestamp.nanos
            note = beside.pop((topic, capture), Beside(topic, capture, topic))
            return _DECODERS[KINDS[name]](found, note, record.log_time)
        except Exception:
            # Bytes of a damaged file fail in as many ways as there are decoders; each means the same.
            self.refused[topic, "damaged message"] += 1
            return None

    def _records(self, file: IO[bytes]) -> Iterator[tuple[Any, Any, Any]]:
        return self._indexed(file) if self.complete else self._stream(file)

    def _indexed(self, file: IO[bytes]) -> Iterator[tuple[Any, Any, Any]]:
        """Records in the order of their times, chunk by chunk; a damaged chunk costs what is in it."""
        from mcap.reader import make_reader
        from mcap.records import Message as Record
        from mcap.stream_reader import StreamReader, breakup_chunk

        summary = make_reader(file).get_summary()
        assert summary is not None  # `complete` says so
        waiting: list[tuple[int, int, Any]] = []
        number = 0

        def due(until: float) -> Iterator[tuple[Any, Any, Any]]:
            while waiting and waiting[0][0] < until:
                record = heapq.heappop(waiting)[2]
                channel = summary.channels.get(record.channel_id)
                if channel is not None:
                    yield summary.schemas.get(channel.schema_id), channel, record

        for index in sorted(summary.chunk_indexes, key=lambda chunk: chunk.message_start_time):
            yield from due(index.message_start_time)
            try:
                file.seek(index.chunk_start_offset)
                chunk = next(iter(StreamReader(file, skip_magic=True, emit_chunks=True).records))
                records = breakup_chunk(chunk, validate_crc=True)
            except Exception:
                self.refused["log", "damaged chunk"] += 1
                continue
            for record in records:
                if isinstance(record, Record):
                    heapq.heappush(waiting, (record.log_time, number, record))
                    number += 1
        yield from due(float("inf"))

    def _stream(self, file: IO[bytes]) -> Iterator[tuple[Any, Any, Any]]:
        """Records as far as they can be read, in the order in which they were written."""
        from mcap.records import Channel, Schema
        from mcap.records import Message as Record
        from mcap.stream_reader import StreamReader

        schemas: dict[int, Any] = {}
        channels: dict[int, Any] = {}
        try:
            for record in StreamReader(file).records:
                if isinstance(record, Schema):
                    schemas[record.id] = record
                elif isinstance(record, Channel):
                    channels[record.id] = record
                elif isinstance(record, Record) and record.channel_id in channels:
                    channel = channels[record.channel_id]
                    yield schemas.get(channel.schema_id), channel, record
        except Exception:
            self.refused["log", "cut off"] = 1

    def _scan(self, file: IO[bytes]) -> tuple[dict[str, tuple[int, int]], list[str]]:
        """First and last arrival by topic, and the rigs, of a file without an index."""
        from mcap.records import Metadata
        from mcap.stream_reader import StreamReader

        file.seek(0)
        times: dict[str, tuple[int, int]] = {}
        for schema, channel, record in self._stream(file):
            if schema is not None and schema.name in KINDS:
                first, last = times.get(channel.topic, (record.log_time, record.log_time))
                times[channel.topic] = min(first, record.log_time), max(last, record.log_time)
        file.seek(0)
        rigs = []
        try:
            for record in StreamReader(file, emit_chunks=True).records:
                if isinstance(record, Metadata) and record.name == RIG:
                    rigs.append(record.metadata["toml"])
        except Exception:
            self.refused["log", "cut off"] = 1
        return times, rigs


def _summary(file: IO[bytes]) -> tuple[dict[str, tuple[int, int]], list[str]] | None:
    """First and last arrival by topic, and the rigs, by the index; None where there is none."""
    from mcap.reader import make_reader

    try:
        reader = make_reader(file)
        summary = reader.get_summary()
        if summary is None or summary.statistics is None:
            return None
        statistics = summary.statistics
        whole = (statistics.message_start_time, statistics.message_end_time)
        counts = statistics.channel_message_counts
        topics = {
            channel.topic: whole
            for number, channel in summary.channels.items()
            if counts.get(number) and getattr(summary.schemas.get(channel.schema_id), "name", "") in KINDS
        }
        rigs = [record.metadata["toml"] for record in reader.iter_metadata() if record.name == RIG]
    except Exception:
        return None
    return topics, rigs


def _rig(path: Path, texts: list[str]) -> Rig:
    if not texts:
        return Rig("unknown")
    try:
        return Rig.from_table(tomllib.loads(texts[-1]))
    except (RigError, tomllib.TOMLDecodeError) as error:
        raise LogError(f"{path}: the rig in it cannot be used: {error}; give one with --rig") from None


def _note(data: bytes) -> Beside | None:
    try:
        return Beside.from_json(data)
    except (ValueError, KeyError, TypeError):
        return None


def _order(topic: str) -> int:
    kinds = ("lidar", "camera", "audio", "ego")
    kind = topic.split("/", 1)[0]
    return kinds.index(kind) if kind in kinds else len(kinds)


def _schema_class(name: str) -> Any:
    from importlib import import_module

    short = name.removeprefix("foxglove.")
    return getattr(import_module(f"foxglove_schemas_protobuf.{short}_pb2"), short)


def _scan_of(found: Any, note: Beside, arrival: int) -> LidarScan:
    if found.point_stride != POINT.itemsize or [f.name for f in found.fields] != list(POINT.names or ()):
        raise ValueError("points of another layout")
    rows = np.frombuffer(found.data, POINT)
    xyz = np.stack([rows["x"], rows["y"], rows["z"]], axis=1)
    names = ("intensity", "ring", "offset_ns")
    return LidarScan(note.header(arrival), note.duration_ns, xyz, *(np.ascontiguousarray(rows[n]) for n in names))


def _frame_of(found: Any, note: Beside, arrival: int) -> CameraFrame:
    data = np.frombuffer(found.data, np.uint8)
    header = note.header(arrival)
    if hasattr(found, "format"):
        return CameraFrame(header, found.format, note.height_px, note.width_px, data)
    return CameraFrame(header, found.encoding, found.height, found.width, data.reshape(found.height, found.width, -1))


def _chunk_of(found: Any, note: Beside, arrival: int) -> AudioChunk:
    pcm = np.frombuffer(found.data, np.int16).reshape(-1, found.number_of_channels)
    return AudioChunk(note.header(arrival), found.sample_rate, pcm)


def _ego_of(found: Any, note: Beside, arrival: int) -> EgoMotion:
    def vector(value: Any) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
        return np.asarray([value.x, value.y, value.z])

    turn = found.pose.orientation
    return EgoMotion(
        note.header(arrival),
        vector(found.pose.position),
        np.asarray([turn.x, turn.y, turn.z, turn.w]),
        vector(found.linear_velocity),
        vector(found.angular_velocity),
        np.asarray(found.pose_covariance, np.float64).reshape(6, 6),
        np.asarray(found.velocity_covariance, np.float64).reshape(6, 6),
        np.asarray(note.acceleration_mps2, np.float64) if note.acceleration_mps2 else unmeasured(),
    )


_DECODERS: dict[str, Callable[[Any, Beside, int], Sensed]] = {
    "lidar": _scan_of,
    "camera": _frame_of,
    "audio": _chunk_of,
    "ego": _ego_of,
}
