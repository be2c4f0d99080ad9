"""Which MCAP files of a folder are one recording: those that metadata.yaml names, else all; gaps are noted."""

from __future__ import annotations

from pathlib import Path

from fusion_pipeline.findings import Findings
from fusion_pipeline.logs.bag_parts import note_missing, part_of
from fusion_pipeline.logs.compressed_file import inner_name
from fusion_pipeline.logs.mcap_places import is_mcap
from fusion_pipeline.logs.reader import LogError
from fusion_pipeline.logs.ros2_metadata import Metadata, MetadataError, metadata_of


def is_split(path: Path) -> bool:
    """Whether a path is a folder with MCAP files in it, compressed ones too."""
    return path.is_dir() and any(is_mcap(file) for file in path.glob("*.mcap*"))


def mcap_files(folder: Path) -> list[Path]:
    """The MCAP files of a folder's recording, by name; of one that is there compressed too, the one that is not."""
    return recording_files(folder, Findings())


def recording_files(folder: Path, findings: Findings) -> list[Path]:
    """As `mcap_files`; parts that are missing, and files that are of no part, are noted in `findings`."""
    there: dict[str, Path] = {}
    for file in sorted(folder.glob("*.mcap*")):  # a compressed one comes after the other
        if is_mcap(file):
            there.setdefault(inner_name(file), file)
    named = _metadata(folder, findings).files
    wanted = list(dict.fromkeys(inner_name(Path(name)) for name in named))
    found = [there[name] for name in wanted if name in there]
    if found:
        for name in wanted:
            if name not in there:
                findings.add("missing-part", "", f"{name}, which metadata.yaml names")
        others = [path.name for name, path in there.items() if name not in wanted]
        if others:
            findings.add("other-files", "", f"{', '.join(others[:4])}: not named by metadata.yaml")
        return found
    parts = sorted((part_of(folder / name.removesuffix(".mcap")) for name in there),
                   key=lambda part: (part.base, part.number or 0))  # fmt: skip
    if len({part.base for part in parts}) == 1 and all(part.number is not None for part in parts):
        note_missing(parts, findings)
    return list(there.values())


def note_beside(path: Path, findings: Findings) -> None:
    """Note that a file is one of several of a recording, where a metadata.yaml beside it says so."""
    names = [inner_name(Path(name)) for name in _metadata(path.parent, Findings()).files]
    if inner_name(path) in names and len(names) > 1:
        findings.add("other-parts", "", f"metadata.yaml beside {path.name} names {len(names)} files")


def _metadata(folder: Path, findings: Findings) -> Metadata:
    try:
        return metadata_of(folder) or Metadata()
    except MetadataError as error:
        findings.add("unread-metadata", "", str(error))
    except LogError:  # the library that reads it is missing; the files say the rest
        pass
    return Metadata()
