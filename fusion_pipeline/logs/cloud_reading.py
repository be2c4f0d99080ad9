"""How the point clouds of one topic are read: unit and origin of their points' times, scale of their intensity.

Neither is written in a PointCloud2 or a foxglove.PointCloud. Both are decided once per topic, from the first clouds of
the recording, and then stay; what cannot be decided is left out and becomes a finding.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from itertools import pairwise

import numpy as np

from fusion_pipeline.arrays import Array
from fusion_pipeline.findings import Findings

Note = Callable[[str, str], None]  # name of a finding, detail
Sample = tuple[int, Mapping[str, Array]]  # a cloud's stamp in ns, its columns
LOOK_AT = 5  # first clouds of a topic that decide
LONGEST_NS = 2_000_000_000  # of a scan, and between its stamp and its points; offsets are 32 bits wide
_SHORTEST_NS, _USUAL_NS, _MOST_NS = 100_000, 100_000_000, 1_050_000_000  # durations of scans
_TOO_LONG = 1.5  # periods: a scan cannot last longer
_TOO_SHORT = 1 / 30  # of a period, or of a usual scan where that is less: cut to a narrow sector at the least
_RUNS = 0.5  # of the time between stamps: beginnings that move on with them are a clock, and no offsets
# Names of times with "_" left out: Ouster, Velodyne, Livox, Hesai, RoboSense, Autoware, Aeva and others.
_TIMES = ("t", "time", "timestamp", "offsettime", "timeoffset", "pointtimeoffset", "pointtime", "reltime",
          "relativetime", "timerelative", "pointtimestamp", "timediff", "deltatime", "dt", "ts", "stamp",
          "offset")  # fmt: skip
_RINGS = ("ring", "channel", "line", "row", "laser_id", "laser_number", "ring_id", "beam", "laser")
_LIGHTS = ("intensity", "reflectivity", "reflectance", "i", "signal")
_UNITS = {"ns": 1, "nsec": 1, "nsecs": 1, "nanosec": 1, "nanosecs": 1, "nanosecond": 1, "nanoseconds": 1,
          "us": 1_000, "usec": 1_000, "usecs": 1_000, "microsec": 1_000, "microsecond": 1_000, "microseconds": 1_000,
          "ms": 1_000_000, "msec": 1_000_000, "msecs": 1_000_000, "millisec": 1_000_000, "milliseconds": 1_000_000,
          "s": 1_000_000_000, "sec": 1_000_000_000, "secs": 1_000_000_000, "second": 1_000_000_000,
          "seconds": 1_000_000_000}  # fmt: skip
_UNIT = re.compile(rf"(?<=[a-z])(?:_|(?=[A-Z]))((?i:{'|'.join(sorted(_UNITS, key=len, reverse=True))}))$")
_WHOLE_SECOND = 1_000_000_000


def silent(name: str, detail: str) -> None:
    """A Note that nobody reads."""


@dataclass(frozen=True, slots=True)
class PointTime:
    """Times of points: `unit_ns` per count of `field`, plus, where whole seconds stand apart, `fraction`."""

    field: str
    unit_ns: int
    absolute: bool  # since the epoch of the clouds' stamps, not since the stamp
    fraction: str = ""
    fraction_ns: int = 0

    @property
    def fields(self) -> tuple[str, ...]:
        """Names of the columns that it needs."""
        return (self.field, self.fraction) if self.fraction else (self.field,)

    def offsets(self, found: Mapping[str, Array], stamp_ns: int) -> Array:
        """(N,) nanoseconds of each point from the cloud's stamp; what is not finite counts as the stamp."""
        values, origin = found[self.field], stamp_ns if self.absolute else 0
        if self.fraction:
            whole = _counts(values, self.unit_ns) + _counts(found[self.fraction], self.fraction_ns)
            return whole - origin
        if values.dtype.kind in "iu":
            return _counts(values, self.unit_ns) - origin if origin else _counts(values, self.unit_ns)
        exact = values.astype(np.float64)
        if origin:
            exact -= origin / self.unit_ns
        exact *= self.unit_ns
        with np.errstate(invalid="ignore"):  # what is beyond 64 bits becomes a time that no point can have
            return np.rint(np.nan_to_num(exact, posinf=0.0, neginf=0.0)).astype(np.int64)


@dataclass(frozen=True, slots=True)
class CloudReading:
    """How clouds of one topic and layout are read. Empty names: not there, or not to be used."""

    time: PointTime | None
    light: str
    full: float  # the value that is intensity 1
    ring: str


@dataclass(slots=True)
class Clouds:
    """What decoders of a recording share: the readings of its topics, learned from their first clouds, then fixed."""

    findings: Findings
    sounds: dict[str, tuple[int, int, str]] = field(default_factory=dict)  # rate, channels, format by namespace
    readings: dict[tuple[str, tuple[tuple[str, str], ...]], CloudReading] = field(default_factory=dict)

    def learn(self, topic: str, samples: Sequence[Sample]) -> None:
        """Decide for every layout among the first clouds of `topic`; what is decided already stays."""
        layouts: dict[tuple[tuple[str, str], ...], list[Sample]] = {}
        for sample in samples:
            layouts.setdefault(_layout(sample[1]), []).append(sample)
        for layout, alike in layouts.items():
            if (topic, layout) not in self.readings:
                reading, remarks = reading_of(alike)
                self.readings[topic, layout] = reading
                for name, detail in remarks:
                    self.findings.add(name, topic, detail)

    def placed(self, topic: str, frames: Sequence[str]) -> None:
        """Note where the first clouds of a topic name several frames."""
        if len(set(frames)) > 1:
            self.findings.add("mixed-frames", topic, frames_detail(frames))

    def reading(self, topic: str, stamp_ns: int, found: Mapping[str, Array]) -> CloudReading:
        """Of a cloud; one of a layout that was not among the first decides for those that follow."""
        key = topic, _layout(found)
        known = self.readings.get(key)
        if known is None:
            self.learn(topic, [(stamp_ns, found)])
            known = self.readings[key]
        return known

    def note(self, topic: str) -> Note:
        """Where what contradicts a reading of `topic` goes."""
        return lambda name, detail: self.findings.add(name, topic, detail)


def frames_detail(frames: Sequence[str]) -> str:
    """For a finding `mixed-frames`: the frames, each once."""
    return f"its messages name {', '.join(frame or '(none)' for frame in dict.fromkeys(frames))}"


def plain_name(written: str) -> str:
    """The name of a field that a scan can be made of, in lower case but for times; "" of any other."""
    name = written.strip()
    low = name.lower()
    if low in ("x", "y", "z") or low in _RINGS or low in _LIGHTS:
        return low
    return name if _time_name(name) is not None else ""


def reading_of(samples: Sequence[Sample]) -> tuple[CloudReading, list[tuple[str, str]]]:
    """The reading that clouds of one layout call for, and findings (name, detail) where something is not known."""
    remarks: list[tuple[str, str]] = []
    shown = [(stamp, _seen(found)) for stamp, found in samples]
    names = tuple(samples[0][1])
    time = _time(names, shown, remarks)
    light, full = _light(shown, remarks)
    ring = next((name for name in _RINGS if name in names), "")
    return CloudReading(time, light, full, ring), remarks


def _layout(found: Mapping[str, Array]) -> tuple[tuple[str, str], ...]:
    return tuple((name, column.dtype.str) for name, column in found.items())


def _seen(found: Mapping[str, Array]) -> dict[str, Array]:
    """The columns of those points that are returns."""
    if not all(axis in found for axis in "xyz"):
        return dict(found)
    with np.errstate(over="ignore", invalid="ignore"):
        xyz = np.stack([found[axis] for axis in "xyz"]).astype(np.float32)
    seen = np.isfinite(xyz).all(axis=0) & (xyz != 0).any(axis=0)
    return {name: column[seen] for name, column in found.items()}


def _counts(values: Array, unit_ns: int) -> Array:
    whole = np.nan_to_num(values) if values.dtype.kind == "f" else values
    return np.asarray(whole.astype(np.int64) * unit_ns if unit_ns != 1 else whole.astype(np.int64), np.int64)


@cache
def _time_name(name: str) -> tuple[str, int] | None:
    """Of a time's field: its name without "_" and unit, and the unit in ns that the name says (0: none)."""
    unit = 0
    if name.replace("_", "").lower() not in _TIMES and (found := _UNIT.search(name)):
        unit, name = _UNITS[found[1].lower()], name[: found.start()]
    bare = name.replace("_", "").lower()
    if bare in _TIMES:
        return bare, unit
    for ending, ns in (("second", _WHOLE_SECOND), ("sec", _WHOLE_SECOND), ("nsec", 1), ("nanosecond", 1),
                       ("usec", 1_000)):  # fmt: skip
        if bare.endswith(ending) and bare.removesuffix(ending) in _TIMES:  # "timestampsec", once in lower case
            return bare.removesuffix(ending), ns
    return None


def _time(names: Sequence[str], shown: Sequence[Sample], remarks: list[tuple[str, str]]) -> PointTime | None:
    """Of (relative, absolute) x (s, ms, us, ns) the one that puts points near their stamps, as long as a scan is."""
    named = {name: found for name in names if name not in "xyz" and (found := _time_name(name)) is not None}
    order = sorted(named, key=lambda name: _TIMES.index(named[name][0]))
    stamps = sorted(stamp for stamp, _ in shown)
    steps = [b - a for a, b in pairwise(stamps) if b > a]
    period = float(np.median(steps)) if len(steps) > 1 else 0.0
    tries: list[tuple[float, PointTime]] = []
    spread: list[str] = []
    for name in order:
        bare, unit = named[name]
        parts = [other for other in order if named[other][0] == bare and 0 < named[other][1] < _WHOLE_SECOND]
        candidates = [PointTime(name, u, a) for a in (False, True) for u in ((unit,) if unit else _all_units())]
        if unit == _WHOLE_SECOND and parts:
            candidates = [PointTime(name, unit, a, parts[0], named[parts[0]][1]) for a in (False, True)]
        moving = [(stamp, found) for stamp, found in shown if _moves(found[name]) or candidates[0].fraction]
        if not moving:
            continue  # all points of a cloud at once, or a field that nobody filled
        fitting = [(cost, c) for c in candidates if (cost := _cost(c, moving, period, unit > 0)) is not None]
        if fitting:
            tries = fitting
            break
        low, high = (float(f([f(found[name]) for _, found in moving])) for f in (np.nanmin, np.nanmax))
        spread.append(f"{name} ({shown[0][1][name].dtype.str[1:]}) from {low:.9g} to {high:.9g}")
    if tries:
        return min(tries, key=lambda item: item[0])[1]
    if spread:
        remarks.append(("point-time", f"neither offsets from the stamp nor times near it: {', '.join(spread)}"))
    return None


def _all_units() -> tuple[int, ...]:
    return 1, 1_000, 1_000_000, _WHOLE_SECOND


def _moves(values: Array) -> bool:
    finite = values[np.isfinite(values)] if values.dtype.kind == "f" else values
    return bool(len(finite)) and bool(finite.min() != finite.max())


def _cost(candidate: PointTime, samples: Sequence[Sample], period_ns: float, unit_known: bool) -> float | None:
    """How far from usual the scans are under a reading; None where most of them cannot be."""
    costs: list[float] = []
    begins: list[tuple[int, int]] = []  # stamp, first offset
    for stamp, found in samples:
        ends: dict[str, Array] = {}
        if candidate.fraction:
            ends = {name: found[name] for name in candidate.fields}
        else:
            column = found[candidate.field]
            column = column[np.isfinite(column)] if column.dtype.kind == "f" else column
            ends = {candidate.field: np.asarray([column.min(), column.max()], column.dtype)}
            if float(abs(ends[candidate.field].astype(np.float64)).max()) * candidate.unit_ns > 2**62:
                continue
        offsets = candidate.offsets(ends, stamp)
        first, last = int(offsets.min()), int(offsets.max())
        lasts = last - first
        longest = min(_MOST_NS, _TOO_LONG * period_ns) if period_ns else _MOST_NS
        shortest = 0 if unit_known else max(_SHORTEST_NS, _TOO_SHORT * min(period_ns or _USUAL_NS, _USUAL_NS))
        if not (shortest < lasts <= longest and first >= -LONGEST_NS and last <= LONGEST_NS):
            continue
        begins.append((stamp, first))
        away = max(0, first, -last)  # between the stamp and the nearest point
        costs.append(abs(float(np.log10(lasts / (period_ns or _USUAL_NS)))) + away / _USUAL_NS)
    if len(costs) * 2 <= len(samples) or (not candidate.absolute and _runs(begins)):
        return None
    return float(np.median(costs))


def _runs(begins: Sequence[tuple[int, int]]) -> bool:
    """Whether first offsets grow with their stamps, as a clock does that began with the recording."""
    ordered = sorted(begins)
    shares = [(b[1] - a[1]) / (b[0] - a[0]) for a, b in pairwise(ordered) if b[0] > a[0]]
    return bool(shares) and abs(float(np.median(shares)) - 1.0) < _RUNS


def _light(shown: Sequence[Sample], remarks: list[tuple[str, str]]) -> tuple[str, float]:
    """The field of intensity and the value that is full: by number type and name; by content only where they are mute.

    An Ouster's clouds (ouster-ros) have photon counts as "intensity" and the calibrated "reflectivity" beside it, which
    our own driver takes, too.
    """
    first = shown[0][1]
    whole = [name for name in ("reflectivity", "reflectance") if name in first and first[name].dtype.kind in "iu"]
    name = next(iter([*whole, *(name for name in _LIGHTS if name in first)]), "")
    if not name:
        return "", 1.0
    kind = first[name].dtype
    if kind.itemsize == 1:
        return name, 255.0 if kind.kind == "u" else 127.0
    values = np.concatenate([found[name].astype(np.float64) for _, found in shown])
    values = values[np.isfinite(values) & (values > 0)]
    if not len(values):
        return name, 255.0
    usual, most, parts = float(np.quantile(values, 0.98)), float(values.max()), bool((values % 1 != 0).any())
    if kind.kind == "f" and usual <= 1.0 and (parts or most <= 1.0):
        if most > 1.0 or not parts:
            remarks.append(("intensity-scale", f"{name} is up to {most:g}, mostly below 1: read as 0 to 1"))
        return name, 1.0
    if usual <= 255.0:
        return name, 255.0
    full = 4095.0 if usual <= 4095.0 else 65535.0
    if not (kind == np.dtype(np.uint16).newbyteorder(kind.byteorder) and full == 65535.0):
        remarks.append(("intensity-scale", f"{name} is up to {most:g}, as photon counts are: read as 0 to {full:g}"))
    return name, full
