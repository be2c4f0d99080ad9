"""Point clouds of any layout as scans: fields at any place, of any number type, times in any usual unit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from fusion_pipeline.arrays import Array, Bytes, Floats
from fusion_pipeline.clock import SECOND_NS
from fusion_pipeline.logs.reader import FormError
from fusion_pipeline.messages import Header, LidarScan

TIMES = ("t", "time", "timestamp", "time_stamp", "offset_time", "offset", "offset_ns", "time_offset", "timeOffset")
RINGS = ("ring", "channel", "line", "row", "laser_id", "laser_number")
LIGHTS = ("intensity", "reflectivity", "reflectance", "i")
LONGEST_NS = 2_000_000_000  # of a scan; offsets are 32 bits wide


@dataclass(frozen=True, slots=True)
class Field:
    """A field of a point."""

    name: str
    kind: str  # numpy's, without byte order: "f4"
    offset: int


def columns(
    data: Bytes, fields: Sequence[Field], step: int, width: int, rows: int = 1, row_step: int = 0, big: bool = False
) -> dict[str, Array]:
    """Every field as (rows * width,), from (n,) bytes; row padding left out. Raises FormError."""
    order = ">" if big else "<"
    row_step = row_step or width * step
    used = width * step
    if rows <= 0 or width <= 0:
        rows, width, row_step, used = 1, 0, 0, 0
    if (used > row_step and rows > 1) or (rows - 1) * row_step + used > len(data):
        raise FormError("cloud whose layout does not fit its bytes")
    try:
        point = np.dtype({
            "names": [f.name for f in fields], "formats": [order + f.kind for f in fields],
            "offsets": [f.offset for f in fields], "itemsize": step,
        })  # fmt: skip
        if rows > 1 and row_step != used:
            flat = np.ascontiguousarray(data[: rows * row_step].reshape(rows, row_step)[:, :used]).reshape(-1)
        else:
            flat = data[: rows * used]
        table = flat.view(point) if used else np.zeros(0, point)
    except (ValueError, TypeError):
        raise FormError("cloud whose layout does not fit its bytes") from None
    return {name: table[name] for name in table.dtype.names or ()}


def scan(header: Header, found: Mapping[str, Array]) -> LidarScan:
    """A scan of columns x, y, z and, where they are there, of intensity, ring and time.

    `header.capture_ns` is the cloud's stamp, from which relative times of points count; the scan's begins with its
    first point. Points that are not finite or lie in the sensor itself are no returns. Raises FormError.
    """
    try:
        xyz = np.stack([found[axis] for axis in "xyz"], axis=1).astype(np.float32)
    except KeyError as error:
        raise FormError(f"cloud without {error.args[0]}") from None
    n = len(xyz)
    light = next((found[name] for name in LIGHTS if name in found), np.zeros(n, np.float32))
    ring = next((found[name] for name in RINGS if name in found), np.zeros(n, np.uint16))
    times = next((found[name] for name in TIMES if name in found), None)
    seen = np.isfinite(xyz).all(axis=1) & (xyz != 0).any(axis=1)
    if not seen.all():
        xyz, light, ring = xyz[seen], light[seen], ring[seen]
        times = None if times is None else times[seen]
    offset = np.zeros(len(xyz), np.int64) if times is None else nanoseconds(times, header.capture_ns)
    first = int(offset.min()) if len(offset) else 0  # some drivers count back from the last point
    offset = offset - first
    last = int(offset.max()) if len(offset) else 0
    if last > LONGEST_NS or header.capture_ns + first < 0:
        raise FormError("cloud whose points' times make no sense")
    begins = Header(header.source, header.capture_ns + first, header.arrival_ns, header.frame, header.hops)
    rings = np.clip(np.nan_to_num(ring), 0, 65535).astype(np.uint16) if ring.dtype.kind == "f" else ring
    return LidarScan(begins, last, xyz, bright(light), rings.astype(np.uint16), offset.astype(np.int32))


def nanoseconds(values: Array, stamp_ns: int) -> Array:
    """(N,) times of points as ns relative to the stamp.

    Integers are nanoseconds. Floats are told by their size: seconds, milliseconds, microseconds or nanoseconds of a
    scan of 2 ms to 10 s, or the time since 1970 in seconds or nanoseconds. What is not finite counts as 0.
    """
    if values.dtype.kind in "iu":
        whole = values.astype(np.int64)
        return whole - stamp_ns if len(whole) and abs(int(whole.max())) > 1e17 else whole
    times = np.nan_to_num(values.astype(np.float64), posinf=0.0, neginf=0.0)
    most = float(np.abs(times).max(initial=0.0))
    if most > 1e17:  # nanoseconds since 1970
        return np.rint(times - stamp_ns).astype(np.int64)
    if 5e8 < most < 1e10 and abs(most - stamp_ns / SECOND_NS) < 1e6:
        return np.rint((times - stamp_ns / SECOND_NS) * SECOND_NS).astype(np.int64)
    unit = 1e9 if most <= 10 else 1e6 if most <= 1e3 else 1e3 if most <= 1e6 else 1.0
    return np.rint(times * unit).astype(np.int64)


def bright(values: Array) -> Floats:
    """0 to 1, from 0 to 1, 0 to 255 or 16 bit."""
    light = values.astype(np.float32)
    if not np.isfinite(light).all():
        light = np.nan_to_num(light, posinf=0.0, neginf=0.0)
    most = float(light.max(initial=0))
    full = 1.0 if most <= 1.0 and values.dtype.kind == "f" else 255.0 if most <= 255.0 else 65535.0
    return np.asarray(np.clip(light / np.float32(full), 0, 1), np.float32)
