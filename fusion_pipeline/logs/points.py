"""Point clouds of any layout as scans: fields at any place, of any number type, read as a `CloudReading` says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from fusion_pipeline.arrays import Array, Bytes, Floats
from fusion_pipeline.logs.cloud_reading import LONGEST_NS, CloudReading, Note, plain_name, reading_of, silent
from fusion_pipeline.logs.reader import FormError
from fusion_pipeline.messages import Header, LidarScan

_AXES = "xyz"


@dataclass(frozen=True, slots=True)
class Field:
    """A field of a point."""

    name: str
    kind: str  # numpy's, without byte order: "f4"
    offset: int
    count: int = 1  # values of that kind; 0 is written for one


def columns(
    data: Bytes, fields: Sequence[Field], step: int, width: int, rows: int = 1, row_step: int = 0, big: bool = False
) -> dict[str, Array]:
    """The fields that a scan is made of, each as (rows * width,), by `plain_name`, from (n,) bytes.

    Row padding is left out. Padding, repeated names, lists and fields that nobody needs are passed over, whatever
    their layout. Raises FormError where the cloud does not fit its bytes.
    """
    row_step = row_step or width * step
    used = width * step
    if rows <= 0 or width <= 0:
        rows, width, row_step, used = 1, 0, 0, 0
    if step <= 0 or (used > row_step and rows > 1) or (rows - 1) * row_step + used > len(data):
        raise FormError("cloud whose layout does not fit its bytes")
    point = _point(tuple((f.name, f.kind, f.offset, f.count) for f in fields), step, big)
    if rows > 1 and row_step != used:  # the last row may end without its padding
        last = (rows - 1) * row_step
        upper = data[:last].reshape(rows - 1, row_step)[:, :used].reshape(-1)
        flat = np.concatenate([upper, data[last : last + used]])
    else:
        flat = data[: rows * used]
    table = flat.view(point) if used else np.zeros(0, point)
    return {name: table[name] for name in point.names or ()}


@lru_cache(maxsize=256)
def _point(fields: tuple[tuple[str, str, int, int], ...], step: int, big: bool) -> np.dtype[np.void]:
    """A point's layout, of the fields that a scan needs. Raises FormError."""
    found: dict[str, tuple[str, int]] = {}
    for written, kind, offset, count in fields:
        name = plain_name(written)
        fits = 0 <= offset <= step - np.dtype(kind).itemsize
        if name in tuple(_AXES) and not fits:
            raise FormError("cloud whose layout does not fit its bytes")
        if name and fits and count <= 1 and name not in found:
            found[name] = (">" if big else "<") + kind, offset
    return np.dtype({
        "names": list(found), "formats": [kind for kind, _ in found.values()],
        "offsets": [offset for _, offset in found.values()], "itemsize": step,
    })  # fmt: skip


def scan(
    header: Header, found: Mapping[str, Array], reading: CloudReading | None = None, note: Note = silent
) -> LidarScan:
    """A scan of columns x, y, z and, where they are there, of intensity, ring and time.

    `header.capture_ns` is the cloud's stamp, from which relative times of points count; the scan's begins with its
    first point. Points that are not finite or lie in the sensor itself are no returns. Without a `reading` the cloud is
    read by itself; what contradicts the reading is given to `note` as the name of a finding and its detail. Raises
    FormError.
    """
    try:
        with np.errstate(over="ignore", invalid="ignore"):
            xyz = np.stack([found[axis] for axis in _AXES], axis=1).astype(np.float32)
    except KeyError as error:
        raise FormError(f"cloud without {error.args[0]}") from None
    seen: NDArray[np.bool_] = np.isfinite(xyz).all(axis=1) & (xyz != 0).any(axis=1)
    whole = bool(seen.all())
    if not whole:
        xyz = xyz[seen]
    if reading is None:
        reading, remarks = reading_of([(header.capture_ns, found)])
        for remark in remarks:
            note(*remark)
    n = len(xyz)

    def column(name: str) -> Array:
        return found[name] if whole else found[name][seen]

    light = bright(column(reading.light), reading.full, note) if reading.light else np.zeros(n, np.float32)
    ring = column(reading.ring) if reading.ring else np.zeros(n, np.uint16)
    offset, first, last = np.zeros(n, np.int64), 0, 0
    if reading.time is not None and n:
        times = {name: column(name) for name in reading.time.fields}
        offset = reading.time.offsets(times, header.capture_ns)
        first, last = int(offset.min()), int(offset.max())  # some drivers count back from the last point
        if first >= -LONGEST_NS and last <= LONGEST_NS and last - first <= LONGEST_NS:
            offset = offset - first
            last -= first
        else:
            note("point-time", "times of points are more than 2 s from the stamp of their scan")
            offset, first, last = np.zeros(n, np.int64), 0, 0
    begins = header
    if first:
        if header.capture_ns + first < 0:
            raise FormError("stamp before 1970")
        begins = Header(header.source, header.capture_ns + first, header.arrival_ns, header.frame, header.hops)
    rings = np.nan_to_num(ring) if ring.dtype.kind == "f" else ring
    if rings.dtype != np.uint16:
        rings = np.clip(rings, 0, 65535)
    return LidarScan(begins, last, xyz, light, rings.astype(np.uint16), offset.astype(np.int32))


def bright(values: Array, full: float, note: Note = silent) -> Floats:
    """Intensity from 0 to 1, of values in which `full` is one; what is above it counts as one.

    Values that another scale would fit better are given to `note`.
    """
    light = values.astype(np.float32)
    most = float(light.max(initial=0))
    if not np.isfinite(most) or (light.dtype != values.dtype and values.dtype.kind == "f"):
        light = np.nan_to_num(light, posinf=0.0, neginf=0.0)
        most = float(light.max(initial=0))
    if most > full:
        if float(np.mean(light > full)) > 0.02:
            note("intensity-scale", f"more than 2 % of a scan's values are above {full:g}, which was taken as full")
    elif 0 < most <= 1 < full and values.dtype.kind == "f" and bool((light % 1 != 0).any()):
        note("intensity-scale", f"no value of a scan is above 1, where 0 to {full:g} was expected")
    return np.asarray(np.clip(light / np.float32(full), 0, 1), np.float32)
