"""Recording: how fast a log is written, whether anything is lost of live topics, and what a killed recorder leaves."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from fusion_pipeline.bench.record_live import killed_figures, live_figures
from fusion_pipeline.bench.report import Figure
from fusion_pipeline.bench.steady import samples, stamped
from fusion_pipeline.messages import CameraFrame, LidarScan, Message

CHUNK_BYTES = 4 << 20
START_NS, STEP_NS = 1_700_000_000_000_000_000, 25_000_000
SETTLE = 1  # rounds that are not counted


def run(quick: bool = False) -> tuple[Figure, ...]:
    """Writing beside two other writers, live topics, kills (fewer and shorter with `quick`)."""
    with TemporaryDirectory(prefix="fusion-bench-") as folder:
        place = Path(folder)
        return (
            *writing_figures(place, messages=8 if quick else 150, rounds=1 if quick else 7),
            *live_figures(place, megabytes=20.0 if quick else 150.0, seconds=2.0 if quick else 60.0),
            *killed_figures(place, kills=2 if quick else 50),
        )


def writing_figures(folder: Path, messages: int, rounds: int) -> Iterator[Figure]:
    """The same scans and pictures in turn by each writer, uncompressed, to a new file each time; medians."""
    sent = [stamped(one, START_NS) for pair in zip(samples("lidar/top"), samples("camera/a"), strict=True)
            for one in pair]  # fmt: skip
    writers: dict[str, Callable[[Path, list[Message], int], float]] = {
        "ours": _ours, "foxglove": _foxglove, "python": _python, "python, given bytes": _python_bytes,
    }  # fmt: skip
    rates: dict[str, list[float]] = {name: [] for name in writers}
    for number in range(SETTLE + rounds):
        for name, write in writers.items():
            path = folder / "written.mcap"
            took = write(path, sent, messages)
            if number >= SETTLE:
                rates[name].append(path.stat().st_size / 1e6 / took)
            path.unlink()
    ours, bare, python, given = (float(np.median(rates[name])) for name in writers)
    what = "writing scans and pictures of 1.4 to 2 MB, uncompressed"
    yield Figure(what, ours, "MB/s", ">= 0.8 x", ours >= 0.8 * bare, bare, "foxglove-sdk's bare writer",
                 "ours from arrays, with checksums; the bare writer from finished messages")  # fmt: skip
    yield Figure(what, ours, "MB/s", ">= 3 x", ours >= 3 * python, python, "the pure-Python mcap writer",
                 f"both from arrays; from finished bytes that writer alone reaches {given:.0f} MB/s")  # fmt: skip


def _at(number: int) -> int:
    return START_NS + number * STEP_NS


def _ours(path: Path, sent: list[Message], count: int) -> float:
    from fusion_pipeline.logs.mcap_writer import McapWriter

    began = time.perf_counter()
    with McapWriter(path, compression="none") as writer:
        for number in range(count):
            writer.write(stamped(sent[number % len(sent)], _at(number)))
    return time.perf_counter() - began


def _foxglove(path: Path, sent: list[Message], count: int) -> float:
    """Finished Foxglove messages into its own writer: no conversion is timed."""
    import foxglove
    from foxglove import channels
    from foxglove.mcap import MCAPWriteOptions
    from foxglove.messages import PointCloud, RawImage

    context = foxglove.Context()
    ready: list[tuple[Any, Any]] = []
    cloud = channels.PointCloudChannel("lidar/top", context=context)
    image = channels.RawImageChannel("camera/a", context=context)
    for message in sent:
        if isinstance(message, LidarScan):
            ready.append((cloud, PointCloud(frame_id="lidar/top", point_stride=22, data=_points(message))))
        elif isinstance(message, CameraFrame):
            made = RawImage(frame_id="camera/a", width=message.width_px, height=message.height_px, encoding="rgb8",
                            step=3 * message.width_px, data=message.data.tobytes())  # fmt: skip
            ready.append((image, made))
    options = MCAPWriteOptions(compression=None, chunk_size=CHUNK_BYTES)
    began = time.perf_counter()
    with foxglove.open_mcap(path, allow_overwrite=True, context=context, writer_options=options):
        for number in range(count):
            channel, made = ready[number % len(ready)]
            channel.log(made, log_time=_at(number))
    return time.perf_counter() - began


def _python(path: Path, sent: list[Message], count: int) -> float:
    """What a program without native code does: arrays to protobuf, protobuf to the mcap library."""
    return _by_library(path, lambda number: _protobuf(sent[number % len(sent)]), count)


def _python_bytes(path: Path, sent: list[Message], count: int) -> float:
    """The mcap library alone."""
    ready = [_protobuf(message) for message in sent]
    return _by_library(path, lambda number: ready[number % len(ready)], count)


def _by_library(path: Path, content: Callable[[int], bytes], count: int) -> float:
    from mcap.writer import CompressionType, Writer

    began = time.perf_counter()
    with path.open("wb") as file:
        writer = Writer(file, chunk_size=CHUNK_BYTES, compression=CompressionType.NONE)
        writer.start()
        schema = writer.register_schema("bench", "", b"")
        channel = writer.register_channel("bench", "protobuf", schema)
        for number in range(count):
            writer.add_message(channel, _at(number), content(number), _at(number))
        writer.finish()
    return time.perf_counter() - began


def _protobuf(message: Message) -> bytes:
    from foxglove_schemas_protobuf.PointCloud_pb2 import PointCloud
    from foxglove_schemas_protobuf.RawImage_pb2 import RawImage

    if isinstance(message, LidarScan):
        cloud = PointCloud(frame_id="lidar/top", point_stride=22, data=_points(message))
        return bytes(cloud.SerializeToString())
    assert isinstance(message, CameraFrame)
    image = RawImage(frame_id="camera/a", width=message.width_px, height=message.height_px, encoding="rgb8",
                     step=3 * message.width_px, data=message.data.tobytes())  # fmt: skip
    return bytes(image.SerializeToString())


def _points(scan: LidarScan) -> bytes:
    kind = np.dtype("<f4, <f4, <f4, <f4, <u2, <i4")
    rows = np.empty(len(scan.xyz_m), kind)
    for axis in range(3):
        rows[f"f{axis}"] = scan.xyz_m[:, axis]
    rows["f3"], rows["f4"], rows["f5"] = scan.intensity, scan.ring, scan.offset_ns
    return rows.tobytes()
