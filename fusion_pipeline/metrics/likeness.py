"""Two result files compared field by field: what a regression test of a log says when something has changed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from fusion_pipeline.jsontext import parse_json

NEAR_M = 2.0  # objects of one label farther apart are not the same
FIELDS = ("center_m", "size_m", "yaw_rad", "velocity_mps", "score", "std", "attribution", "track_id")
TOLERANCES: Mapping[str, float] = {
    "center_m": 1e-3, "size_m": 1e-3, "yaw_rad": 1e-3, "velocity_mps": 1e-2, "score": 1e-3, "std": 1e-2,
    "attribution": 1e-2, "track_id": 0.0,
}  # fmt: skip


class LikenessError(ValueError):
    """A file that is no result file; the message names it and the line."""


@dataclass(slots=True)
class Likeness:
    """What differs. `changed` counts values beyond tolerance by field, `greatest` their greatest difference."""

    sets: int = 0
    objects: int = 0
    missing_sets: list[int] = field(default_factory=list)  # stamps that only the reference has
    extra_sets: list[int] = field(default_factory=list)
    vanished: Counter[str] = field(default_factory=Counter)  # objects by label that only the reference has
    appeared: Counter[str] = field(default_factory=Counter)
    changed: Counter[str] = field(default_factory=Counter)
    greatest: dict[str, float] = field(default_factory=dict)
    sounds: int = 0  # sets whose sounds differ
    first_ns: int | None = None  # stamp of the first set that differs

    @property
    def same(self) -> bool:
        """Whether nothing differs beyond tolerance."""
        return not (self.missing_sets or self.extra_sets or self.vanished or self.appeared or self.changed
                    or self.sounds)  # fmt: skip

    def lines(self) -> Iterator[str]:
        """What people read."""
        yield f"{self.sets} sets, {self.objects} objects compared"
        for what, stamps in (("only in the reference", self.missing_sets), ("only here", self.extra_sets)):
            if stamps:
                yield f"sets {what}: {len(stamps)}, the first at {stamps[0]}"
        for what, counts in (("gone", self.vanished), ("new", self.appeared)):
            if counts:
                yield f"objects {what}: " + ", ".join(f"{n} x {label}" for label, n in counts.most_common())
        for name, count in self.changed.most_common():
            yield f"{name}: {count} values changed, the most by {self.greatest[name]:.6g}"
        if self.sounds:
            yield f"sounds: differ in {self.sounds} sets"
        yield "the same" if self.same else f"not the same; the first difference is in the set at {self.first_ns}"


def tolerances_of(texts: Iterable[str]) -> dict[str, float]:
    """TOLERANCES with what ["center_m=0.05"] says of some fields. Raises LikenessError."""
    table = dict(TOLERANCES)
    for text in texts:
        name, _, value = text.partition("=")
        try:
            number = float(value)
        except ValueError:
            number = -1.0
        if name not in FIELDS or not number >= 0:
            raise LikenessError(f"tolerance {text!r}: write FIELD=VALUE with one of {', '.join(FIELDS)}, and 0 or more")
        table[name] = number
    return table


def compared(
    reference: Path,
    found: Path,
    tolerances: Mapping[str, float] = TOLERANCES,
    from_ns: int | None = None,
    until_ns: int | None = None,
) -> Likeness:
    """What `found` has otherwise than `reference`, both as `--out` writes them; of the reference only the sets with
    `from_ns <= stamp < until_ns`. Raises LikenessError or OSError.
    """
    old, new = _sets(reference), _sets(found)
    old = {s: r for s, r in old.items() if (from_ns is None or s >= from_ns) and (until_ns is None or s < until_ns)}
    out = Likeness(missing_sets=sorted(old.keys() - new.keys()), extra_sets=sorted(new.keys() - old.keys()))
    for stamp in sorted(old.keys() & new.keys()):
        before = _weight(out)
        out.sets += 1
        _objects(out, old[stamp]["objects"], new[stamp]["objects"], tolerances)
        out.sounds += int(_sounds(old[stamp]) != _sounds(new[stamp]))
        if out.first_ns is None and _weight(out) != before:
            out.first_ns = stamp
    if out.first_ns is None and not out.same:
        out.first_ns = min([*out.missing_sets, *out.extra_sets])
    return out


def _weight(out: Likeness) -> tuple[int, int, int, int]:
    return out.vanished.total(), out.appeared.total(), out.changed.total(), out.sounds


def _sets(path: Path) -> dict[int, dict[str, Any]]:
    sets = {}
    with path.open(encoding="utf-8") as file:
        for number, text in enumerate(file, 1):
            try:
                row = parse_json(text)
                sets[int(row["stamp_ns"])] = {"objects": row["objects"], "sounds": row["sounds"]}
            except (ValueError, KeyError, TypeError, OverflowError):
                raise LikenessError(f"{path}, line {number} is no line of results; write one with --out") from None
    return sets


def _objects(
    out: Likeness, old: list[dict[str, Any]], new: list[dict[str, Any]], tolerances: Mapping[str, float]
) -> None:
    free = list(range(len(new)))
    for item in old:
        near = [(float(np.hypot(*np.subtract(item["center_m"][:2], new[k]["center_m"][:2]))), k)
                for k in free if new[k]["label"] == item["label"]]  # fmt: skip
        best = min(near, default=(np.inf, -1))
        if best[0] > NEAR_M:
            out.vanished[item["label"]] += 1
            continue
        free.remove(best[1])
        out.objects += 1
        for name in FIELDS:
            gap = float(np.max(np.abs(_values(item[name]) - _values(new[best[1]][name]))))
            if gap > tolerances.get(name, 0.0):
                out.changed[name] += 1
                out.greatest[name] = max(out.greatest.get(name, 0.0), gap)
    out.appeared.update(new[k]["label"] for k in free)


def _values(value: Any) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    return np.atleast_1d(np.asarray(list(value.values()) if isinstance(value, dict) else value, np.float64))


def _sounds(row: dict[str, Any]) -> list[tuple[str, float, float]]:
    return [(s["label"], round(s["score"], 2), round(s["azimuth_rad"], 2)) for s in row["sounds"]]
