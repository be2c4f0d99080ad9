"""Flat tables for data frames: one row for each object, or for each message; as Arrow, or written as Parquet."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from fusion_pipeline.logs.reader import LogError
from fusion_pipeline.logs.rows import COLUMNS, Row, object_rows
from fusion_pipeline.messages import (
    AudioChunk,
    CameraFrame,
    Detections,
    EgoMotion,
    Health,
    LidarScan,
    Message,
    Tracks,
)  # fmt: skip
from fusion_pipeline.messages.detections import MODALITIES, STD_COLUMNS
from fusion_pipeline.output_file import whole_file

BATCH = 10_000  # rows that are held before they are written
_TEXT = ("topic", "kind", "label", "encoding", "state")
_WHOLE = (
    "stamp_ns", "track_id", "arrival_ns", "latency_ns", "duration_ns", "points", "bytes", "height_px", "width_px",
    "samples", "channels", "rate_hz", "objects", "sounds",
)  # fmt: skip
OBJECT_COLUMNS = (
    *COLUMNS,
    "vx_mps",
    "vy_mps",
    *(f"{name}_share" for name in MODALITIES),
    *(f"std_{name}" for name in STD_COLUMNS),
)
MESSAGE_COLUMNS = (
    "topic", "stamp_ns", "kind", "arrival_ns", "latency_ns", "bytes", "points", "duration_ns", "encoding", "height_px",
    "width_px", "samples", "channels", "rate_hz", "x_m", "y_m", "z_m", "speed_mps", "objects", "sounds", "state",
)  # fmt: skip


def rows_of_objects(found: Iterable[Tracks | Detections]) -> Iterator[Row]:
    """The rows of `object_rows` with velocity, attribution and standard deviations; those of sounds have none."""
    for item in found:
        boxes = item.boxes
        for number, row in enumerate(object_rows(item)):
            if number < len(boxes):
                vx, vy = boxes.velocities_mps[number].tolist()
                shares = zip(MODALITIES, boxes.attribution[number].tolist(), strict=True)
                stds = zip(STD_COLUMNS, boxes.std[number].tolist(), strict=True)
                row |= {"vx_mps": vx, "vy_mps": vy, **{f"{name}_share": value for name, value in shares},
                        **{f"std_{name}": value for name, value in stds}}  # fmt: skip
            yield {name: row.get(name) for name in OBJECT_COLUMNS}


def rows_of_messages(messages: Iterable[Message]) -> Iterator[Row]:
    """One row for each message; what its kind lacks is None."""
    for message in messages:
        head = message.header
        row: Row = {
            "topic": head.source, "stamp_ns": head.capture_ns, "kind": type(message).__name__,
            "arrival_ns": head.arrival_ns, "latency_ns": head.arrival_ns - head.capture_ns,
        }  # fmt: skip
        if isinstance(message, LidarScan):
            row |= {"bytes": 22 * len(message.xyz_m), "points": len(message.xyz_m), "duration_ns": message.duration_ns}
        elif isinstance(message, CameraFrame):
            row |= {"bytes": message.data.nbytes, "encoding": message.encoding, "height_px": message.height_px,
                    "width_px": message.width_px}  # fmt: skip
        elif isinstance(message, AudioChunk):
            row |= {"bytes": message.pcm.nbytes, "samples": len(message.pcm), "channels": message.pcm.shape[1],
                    "rate_hz": message.rate_hz}  # fmt: skip
        elif isinstance(message, EgoMotion):
            x, y, z = message.position_m.tolist()
            row |= {"x_m": x, "y_m": y, "z_m": z, "speed_mps": math.hypot(*message.velocity_mps.tolist())}
        elif isinstance(message, (Detections, Tracks)):
            row |= {"objects": len(message.boxes), "sounds": len(message.sounds)}
        elif isinstance(message, Health):
            row |= {"state": message.state}
        yield {name: row.get(name) for name in MESSAGE_COLUMNS}


def to_arrow(rows: Iterable[Row], columns: tuple[str, ...]) -> Any:
    """A pyarrow.Table. Raises LogError where pyarrow is missing."""
    arrow, held = _arrow(), list(rows)
    schema = _schema(arrow, columns)
    return arrow.table({name: [row[name] for row in held] for name in columns}, schema=schema)


def write_parquet(
    rows: Iterable[Row], columns: tuple[str, ...], out: Path, advance: Callable[[int], None] = lambda n: None
) -> int:
    """Write a table piece by piece, whole or not at all; how many rows. Raises LogError."""
    arrow = _arrow()
    from pyarrow import parquet

    schema, count, waiting = _schema(arrow, columns), 0, iter(rows)
    try:
        with whole_file(out) as file, parquet.ParquetWriter(file.path, schema, compression="zstd") as writer:
            while held := list(islice(waiting, BATCH)):
                writer.write_table(arrow.table({name: [row[name] for row in held] for name in columns}, schema=schema))
                count += len(held)
                advance(len(held))
    except OSError as error:
        raise LogError(f"cannot write {out}: {error.strerror or error}; choose another place") from None
    return count


def _schema(arrow: Any, columns: tuple[str, ...]) -> Any:
    kinds = [arrow.string() if c in _TEXT else arrow.int64() if c in _WHOLE else arrow.float64() for c in columns]
    return arrow.schema(list(zip(columns, kinds, strict=True)))


def _arrow() -> Any:
    try:
        import pyarrow
    except ModuleNotFoundError:
        raise LogError("tables need pyarrow; pip install 'fusion-pipeline[logs]'") from None
    return pyarrow
