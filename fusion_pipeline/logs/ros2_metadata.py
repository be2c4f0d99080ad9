"""metadata.yaml of ROS 2 bags, versions 1 to 9 and later: what the messages' files do not say themselves.

The format: https://github.com/ros2/rosbag2, rosbag2_storage/yaml.hpp. A version that is not known is read by
the same names.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fusion_pipeline.logs.reader import LogError

LARGEST = 1 << 24  # bytes


class MetadataError(ValueError):
    """A metadata.yaml that cannot be read; why."""


@dataclass(frozen=True, slots=True)
class Metadata:
    """What is used of it."""

    version: int = 0
    storage: str = ""  # sqlite3, mcap
    files: tuple[str, ...] = ()  # names, without folders
    mode: str = ""  # of compression: "", file or message
    form: str = ""  # of compression: zstd
    counts: Mapping[str, int] = field(default_factory=dict)  # messages by topic


def metadata_of(folder: Path) -> Metadata | None:
    """That of a bag's folder; None without one. Raises MetadataError."""
    path = folder / "metadata.yaml"
    if not path.is_file():
        return None
    try:
        from ruamel.yaml import YAML
        from ruamel.yaml.error import YAMLError
    except ModuleNotFoundError:
        raise LogError(f"{folder} is a ROS bag; pip install 'fusion-pipeline[logs]' reads it") from None
    try:
        with path.open("rb") as file:
            data = file.read(LARGEST + 1)
        if len(data) > LARGEST:
            raise MetadataError("larger than 16 MiB")
        found = YAML(typ="safe").load(data.decode())
    except OSError as error:
        raise MetadataError(str(error.strerror)) from None
    except YAMLError as error:
        raise MetadataError((str(error).strip().splitlines() or ["no YAML"])[0][:80]) from None
    except (ValueError, OverflowError, RecursionError):  # of scalars that are no text, number or date
        raise MetadataError("no YAML") from None
    info = found.get("rosbag2_bagfile_information") if isinstance(found, dict) else None
    if not isinstance(info, dict):
        raise MetadataError("it does not describe a ROS 2 bag")
    paths = info.get("relative_file_paths")
    files = tuple(str(item).replace("\\", "/").rpartition("/")[2] for item in paths) if isinstance(paths, list) else ()
    mode = _text(info, "compression_mode").lower()
    return Metadata(
        version if isinstance(version := info.get("version"), int) else 0, _text(info, "storage_identifier"),
        tuple(name for name in files if name not in ("", ".", "..")), "" if mode == "none" else mode,
        _text(info, "compression_format").lower(), dict(_counts(info.get("topics_with_message_count"))),
    )  # fmt: skip


def _text(info: dict[Any, Any], name: str) -> str:
    value = info.get(name)
    return value.strip() if isinstance(value, str) else ""


def _counts(topics: Any) -> Iterator[tuple[str, int]]:
    for item in topics if isinstance(topics, list) else ():
        about = item.get("topic_metadata") if isinstance(item, dict) else None
        if isinstance(about, dict) and isinstance(about.get("name"), str):
            count = item.get("message_count")
            if isinstance(count, int) and not isinstance(count, bool) and count >= 0:
                yield about["name"], count
