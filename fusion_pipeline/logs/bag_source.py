"""The source of a bag at a path: one file, the parts of one recording in a folder, or what metadata.yaml names."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

from fusion_pipeline.clock import SECOND_NS
from fusion_pipeline.findings import Findings
from fusion_pipeline.logs.bag_parts import Part, bags_in, ending_of, note_missing, one_recording, part_of, several
from fusion_pipeline.logs.compressed_file import SUFFIXES, inner_name
from fusion_pipeline.logs.reader import LogError
from fusion_pipeline.logs.ros1_bag import Ros1Bag
from fusion_pipeline.logs.ros2_database import Database
from fusion_pipeline.logs.ros2_metadata import Metadata, MetadataError, metadata_of
from fusion_pipeline.logs.ros_sources import BagSource, JoinedBags

APART_NS = 60 * SECOND_NS  # between one part's end and the next one's beginning
OVERLAP_NS = SECOND_NS


def is_bag(path: Path) -> bool:
    """Whether a path looks like a bag."""
    if path.is_file():
        return bool(ending_of(path))
    return path.is_dir() and ((path / "metadata.yaml").is_file() or bool(bags_in(path)))


def source_of(path: Path) -> BagSource:
    """Raises LogError where it cannot be read."""
    findings = Findings()
    folder = path.parent if path.is_file() else path
    about = _metadata(folder, findings)
    if path.is_file():
        return _file(path, about, findings)
    if about.storage not in ("", "sqlite3"):
        raise LogError(f"{path} is stored as {about.storage[:40]!r} says metadata.yaml, and no such file is there")
    there = bags_in(path)
    files = _named(path, about.files, there, findings) if about.files else there
    if not files:
        raise LogError(f"{path} cannot be read as a ROS bag: none of its files is there, such as {_first(about)}")
    parts = one_recording(path, files)
    note_missing(parts, findings)
    sources: list[BagSource] = []
    for part in parts:
        try:
            sources.append(_source(part.path, about))
        except LogError as error:
            if len(parts) == 1:
                raise
            findings.add("missing-part", "", f"{part.path.name} cannot be read: {error}")
    if not sources:
        raise LogError(f"{path} cannot be read as a ROS bag: none of its {len(parts)} files can be")
    if not any(source.end_ns for source in sources):
        raise LogError(f"{path} cannot be read as a ROS bag: it holds no message")
    if not about.files:
        _consecutive(path, parts, sources)
    _count([source for source in sources if isinstance(source, Database)], about, findings)
    joined = sources[0] if len(sources) == 1 else JoinedBags(sources)
    joined.findings.update(findings)
    return joined


def _metadata(folder: Path, findings: Findings) -> Metadata:
    try:
        return metadata_of(folder) or Metadata()
    except MetadataError as error:
        findings.add("unread-metadata", "", str(error))
        return Metadata()


def _file(path: Path, about: Metadata, findings: Findings) -> BagSource:
    named = path.name in about.files
    source = _source(path, about if named else Metadata())
    if not source.end_ns:
        raise LogError(f"{path} cannot be read as a ROS bag: it holds no message")
    mine = part_of(path)
    others = [part_of(other) for other in bags_in(path.parent) if other != path]
    beside = sum(part.base == mine.base and None not in (part.number, mine.number) for part in others)
    if beside:
        source.findings.add("other-parts", "", f"{beside} more beside {path.name}")
    if isinstance(source, Database):
        source.count()
    source.findings.update(findings if named or not about.files else ())
    return source


def _source(path: Path, about: Metadata) -> BagSource:
    if ".bag" in ending_of(path):
        return Ros1Bag(path)
    if about.mode and about.form not in ("", "zstd"):
        raise LogError(f"{path} is compressed with {about.form[:20]!r}, which is not read; zstd is")
    return Database(path, about.mode == "message" if about.files else None)


def _named(folder: Path, names: Sequence[str], there: list[Path], findings: Findings) -> list[Path]:
    """The files that metadata.yaml names, compressed or not, and parts of the same recording that it does not name."""
    files, missing = [], []
    for name in names:
        either = (name, *(f"{name}{suffix}" for suffix in SUFFIXES), inner_name(Path(name)))
        found = next((folder / other for other in either if (folder / other).is_file()), None)
        files += [found] if found is not None else []
        missing += [name] if found is None else []
    rest = [path for path in there if path not in files]
    if not files:  # renamed
        return [path for path in rest if ".bag" not in ending_of(path)]
    for name in missing:
        findings.add("missing-part", "", f"{name}, which metadata.yaml names")
    base = part_of(files[0]).base
    return files + [path for path in rest if (part := part_of(path)).base == base and part.number is not None]


def _first(about: Metadata) -> str:
    return about.files[0][:80] if about.files else "a .db3 or .bag"


def _consecutive(folder: Path, parts: Sequence[Part], sources: Sequence[BagSource]) -> None:
    """Numbered parts follow each other; recordings that somebody numbered do not. Raises LogError."""
    if len(sources) < len(parts) or all(part.dated for part in parts):
        return
    for (one, first), (other, second) in pairwise(zip(parts, sources, strict=True)):
        if not (first.end_ns and second.end_ns):
            continue
        apart_ns = second.start_ns - first.end_ns
        shorter_ns = min(first.end_ns - first.start_ns, second.end_ns - second.start_ns)
        together = second.start_ns < first.start_ns or -apart_ns > min(OVERLAP_NS, shorter_ns // 2)
        if together or ((one.number or 0) + 1 == other.number and apart_ns > APART_NS):
            raise several(folder, parts)


def _count(sources: Sequence[Database], about: Metadata, findings: Findings) -> None:
    """Messages by topic: as metadata.yaml counts them where the sum is that of the files, else by looking."""
    said, total = sum(about.counts.values()), sum(source.total for source in sources)
    if about.counts and said == total and not any(source.faults for source in sources):
        left = dict(about.counts)
        for source in sources:  # the first part that has a topic bears its count
            source.counts = {key: left.pop(channel.topic, 0) for key, channel in source.channels.items()}
        return
    if about.counts and said > total and not any(source.faults for source in sources):
        findings.add("lost", "", f"metadata.yaml counts {said} messages, the files hold {total}")
    for source in sources:
        source.count()
