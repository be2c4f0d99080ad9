"""A folder of MCAP files that are one recording, such as a recorder splits it by size or time, or a ROS 2 bag."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Collection, Iterator
from itertools import chain, pairwise
from pathlib import Path

from fusion_pipeline.findings import Findings
from fusion_pipeline.logs.labels import Labels
from fusion_pipeline.logs.mcap_parts import is_split, mcap_files, recording_files
from fusion_pipeline.logs.mcap_reader import McapLog, settle
from fusion_pipeline.logs.reader import LogError
from fusion_pipeline.messages import Message

__all__ = ["SplitLog", "is_split", "mcap_files"]


class SplitLog:
    """The files in order of their times. The rig is that of the first file that has one."""

    def __init__(self, path: Path) -> None:
        """Look into every file; one that cannot be read is counted. Raises LogError where none can."""
        self.path = path
        self.parts: list[McapLog] = []
        self.refused: Counter[tuple[str, str]] = Counter()
        self.findings = Findings()
        said = ""
        for file in recording_files(path, self.findings):
            try:
                self.parts.append(McapLog(file, alone=False))
            except LogError as error:
                said = said or str(error)
                self.refused[file.name, "cannot be read"] += 1
        if not self.parts:
            raise LogError(said)
        self.parts.sort(key=lambda part: part.start_ns)
        settle(self.parts, path)
        self.complete = not self.refused and all(part.complete for part in self.parts)
        self.findings.update(self.parts[0].findings)
        for part in self.parts:
            self.refused.update(part.refused)
            part.refused = self.refused  # one count for all
        self.parts[0].findings.counts = self.findings.counts  # what reading notices goes to all
        self.rig = self.parts[0].rig
        self.topics = tuple(dict.fromkeys(topic for part in self.parts for topic in part.topics))
        self.results = tuple(dict.fromkeys(topic for part in self.parts for topic in part.results))
        used = [part for part in self.parts if part.summary.counts] or self.parts
        self.start_ns, self.end_ns = used[0].start_ns, max(part.end_ns for part in used)

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
