"""A folder of MCAP files that are one recording, such as a recorder splits it by size or time, or a ROS 2 bag."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Collection, Iterator
from itertools import chain, pairwise
from pathlib import Path

from fusion_pipeline.findings import Findings
from fusion_pipeline.logs.compressed_file import inner_name
from fusion_pipeline.logs.labels import Labels
from fusion_pipeline.logs.mcap_places import is_mcap
from fusion_pipeline.logs.mcap_reader import McapLog
from fusion_pipeline.logs.reader import LogError
from fusion_pipeline.messages import Message


def is_split(path: Path) -> bool:
    """Whether a path is a folder with MCAP files in it, compressed ones too."""
    return path.is_dir() and any(is_mcap(file) for file in path.glob("*.mcap*"))


def mcap_files(folder: Path) -> list[Path]:
    """The MCAP files of a folder by name; of one that is there compressed too, the one that is not."""
    found: dict[str, Path] = {}
    for file in sorted(folder.glob("*.mcap*")):  # a compressed one comes after the other
        if is_mcap(file):
            found.setdefault(inner_name(file), file)
    return list(found.values())


class SplitLog:
    """The files in order of their times. The rig is that of the first file that has one."""

    def __init__(self, path: Path) -> None:
        """Look into every file; one that cannot be read is counted. Raises LogError where none can."""
        self.path = path
        self.parts: list[McapLog] = []
        self.refused: Counter[tuple[str, str]] = Counter()
        self.findings = Findings()
        said = ""
        for file in mcap_files(path):
            try:
                self.parts.append(McapLog(file))
            except LogError as error:
                said = said or str(error)
                self.refused[file.name, "cannot be read"] += 1
        if not self.parts:
            raise LogError(said)
        self.parts.sort(key=lambda part: part.start_ns)
        self.complete = not self.refused and all(part.complete for part in self.parts)
        for part in self.parts:
            self.refused.update(part.refused)
            part.refused = self.refused  # one count for all
            self.findings.update(part.findings)
            part.findings = self.findings
        self.rig = next((part.rig for part in self.parts if part.rig.topics), self.parts[0].rig)
        self.topics = tuple(dict.fromkeys(topic for part in self.parts for topic in part.topics))
        self.results = tuple(dict.fromkeys(topic for part in self.parts for topic in part.results))
        self.start_ns, self.end_ns = self.parts[0].start_ns, max(part.end_ns for part in self.parts)

    def messages(
        self, start_ns: int | None = None, end_ns: int | None = None, topics: Collection[str] | None = None
    ) -> Iterator[Message]:
        """One file after the other; files whose times overlap are merged."""
        wanted = [
            part for part in self.parts
            if (start_ns is None or part.end_ns >= start_ns) and (end_ns is None or part.start_ns < end_ns)
        ]  # fmt: skip
        streams = (part.messages(start_ns, end_ns, topics) for part in wanted)
        if all(a.end_ns <= b.start_ns for a, b in pairwise(wanted)):
            return chain.from_iterable(streams)
        return heapq.merge(*streams, key=lambda message: message.header.arrival_ns)

    @property
    def missing(self) -> dict[str, int]:
        """By topic, what sequence numbers within the files say that `messages` did not meet."""
        found: Counter[str] = Counter()
        for part in self.parts:
            found.update(part.missing)
        return dict(found)

    def labels(self) -> Iterator[Labels]:
        """Of all files, one after the other."""
        return chain.from_iterable(part.labels() for part in self.parts)
