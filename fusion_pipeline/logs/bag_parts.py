"""Which files of a folder are the parts of one recording: NAME_0.bag, NAME_1.bag, as recorders number them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from fusion_pipeline.findings import Findings
from fusion_pipeline.logs.compressed_file import inner_name
from fusion_pipeline.logs.reader import LogError

ENDINGS = (".bag.active", ".bag", ".db3")  # the longest first
_NUMBER = re.compile(r"(?P<base>.*)_(?P<number>\d{1,6})", re.DOTALL)
_DATE = re.compile(r"_?\d{4}-\d\d-\d\d-\d\d-\d\d-\d\d$")  # rosbag record puts when a part began before its number


@dataclass(frozen=True, slots=True)
class Part:
    """A file by its name."""

    path: Path
    base: str  # of its recording
    number: int | None  # None: not one of several
    dated: bool = False  # its name has the time at which it began


def ending_of(path: Path) -> str:
    """The ending that makes a file a bag's, compressed or not; "" without one."""
    return next((ending for ending in ENDINGS if inner_name(path).endswith(ending)), "")


def part_of(path: Path) -> Part:
    """What a bag's name says."""
    stem = inner_name(path).removesuffix(ending_of(path))
    match = _NUMBER.fullmatch(stem)
    if match is None:
        return Part(path, stem, None)
    base = _DATE.sub("", match["base"])
    return Part(path, base, int(match["number"]), base != match["base"])


def bags_in(folder: Path) -> list[Path]:
    """The bags in a folder, by name. The .orig.bag that `rosbag reindex` leaves beside its bag is none."""
    try:
        files = sorted(path for path in folder.iterdir() if ending_of(path) and path.is_file())
    except OSError:  # whoever opens it says why
        return []
    names = {path.name for path in files}
    return [
        path for path in files
        if not (path.name.endswith(".orig.bag") and path.name.replace(".orig.bag", ".bag") in names)
        and not (inner_name(path) != path.name and inner_name(path) in names)
        and not (path.name.endswith(".active") and path.name.removesuffix(".active") in names)
    ]  # fmt: skip


def one_recording(folder: Path, files: Sequence[Path]) -> list[Part]:
    """The parts of the recording that the files are, in order. Raises LogError where they are several."""
    parts = sorted((part_of(path) for path in files), key=lambda part: (part.base, part.number or 0))
    if len(parts) > 1:
        kinds = {ending_of(part.path)[:4] for part in parts}
        numbers = [part.number for part in parts]
        if (
            len({part.base for part in parts}) > 1
            or None in numbers
            or len({*numbers}) < len(numbers)
            or len(kinds) > 1
        ):
            raise several(folder, parts)
    return parts


def several(folder: Path, parts: Iterable[Part]) -> LogError:
    """The refusal of a folder with more than one recording."""
    names = [part.path.name for part in parts]
    named = ", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "")
    return LogError(
        f"{folder} holds bags that are not the parts of one recording: {named}; name one of them, "
        "or give each recording a folder of its own"
    )


def note_missing(parts: Sequence[Part], findings: Findings) -> None:
    """Note which numbers are not there."""
    numbers = [part.number for part in parts if part.number is not None]
    if not numbers:
        return
    if numbers[0] > 0 and not (numbers[0] == 1 and len(numbers) > 1):
        findings.add("later-part", "", f"{parts[0].path.name} is the first that is there")
    there = set(numbers)
    for number in range(numbers[0], min(numbers[-1], numbers[0] + 10_000)):
        if number not in there:
            findings.add("missing-part", "", f"number {number} of {parts[0].base}")
