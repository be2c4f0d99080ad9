"""Logs that are folders of files: a list of what lies where and when, read file by file as it is asked for."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fusion_pipeline.arrays import Array
from fusion_pipeline.clock import SECOND_NS
from fusion_pipeline.findings import Findings
from fusion_pipeline.logs.labels import Labels
from fusion_pipeline.logs.reader import FormError, LogError
from fusion_pipeline.messages import Message
from fusion_pipeline.rig import Rig


@dataclass(frozen=True, slots=True)
class Item:
    """One message that can be read: when it arrived, its topic, and how to read it."""

    arrival_ns: int
    topic: str
    read: Callable[[], Message]


class FileLog:
    """What all such logs share. Their readers make the items, and the labels' if there are any."""

    def __init__(
        self, path: Path, rig: Rig, items: Iterable[Item], labels: Callable[[], Iterator[Labels]] | None = None,
        refused: Counter[tuple[str, str]] | None = None,
    ) -> None:  # fmt: skip
        """Items in any order; of equal arrival times in theirs. Raises LogError where there is none."""
        self.path, self.rig = path, rig
        self.refused: Counter[tuple[str, str]] = Counter() if refused is None else refused
        self.findings = Findings()
        self._items = sorted(items, key=lambda item: item.arrival_ns)
        self._labels = labels
        if not self._items:
            raise LogError(f"{path} holds neither scans nor pictures with stamps; is the download complete?")
        found = {item.topic for item in self._items}
        kinds = ("lidar", "camera", "audio", "ego")
        self.topics = tuple(sorted(found, key=lambda topic: (kinds.index(topic.split("/")[0]), topic)))
        self.start_ns, self.end_ns = self._items[0].arrival_ns, self._items[-1].arrival_ns

    def messages(
        self, start_ns: int | None = None, end_ns: int | None = None, topics: Collection[str] | None = None
    ) -> Iterator[Message]:
        """In order of arrival; files that are missing or damaged are counted and passed over."""
        first = 0 if start_ns is None else bisect_left(self._items, start_ns, key=lambda item: item.arrival_ns)
        for number in range(first, len(self._items)):
            item = self._items[number]
            if end_ns is not None and item.arrival_ns >= end_ns:
                return
            if topics is not None and item.topic not in topics:
                continue
            try:
                yield item.read()
            except FileNotFoundError:
                self.refused[item.topic, "file missing"] += 1
            except FormError as error:
                self.refused[item.topic, error.of_file()] += 1
            except (OSError, ValueError, KeyError, IndexError):
                self.refused[item.topic, "file damaged"] += 1

    def arrivals(self) -> dict[str, Array]:
        """(n,) by topic, without reading the files."""
        found: dict[str, list[int]] = {topic: [] for topic in self.topics}
        for item in self._items:
            found[item.topic].append(item.arrival_ns)
        return {topic: np.asarray(times, np.int64) for topic, times in found.items()}

    def apart_s(self, longest_s: float) -> float:
        """The usual step in seconds from one frame to the next where it is longer than `longest_s`, as where frames are
        of different scenes; 0 where it is not.
        """
        steps = [np.diff(times) for times in self.arrivals().values() if len(times) > 1]
        usual = min((float(np.median(step)) / SECOND_NS for step in steps), default=0.0)
        return usual if usual > longest_s else 0.0

    def labels(self) -> Iterator[Labels]:
        """In order of time."""
        return iter(()) if self._labels is None else self._labels()


def rising(stamps: Sequence[int | None], topic: str, refused: Counter[tuple[str, str]]) -> Iterator[tuple[int, int]]:
    """Number and stamp of those that come after all before them; the others are counted as refused.

    None, of a line that is empty, is passed over: its number has no stamp, and every other keeps its own.
    """
    last = -1
    for number, stamp in enumerate(stamps):
        if stamp is None:
            continue
        if stamp > last:
            last = stamp
            yield number, stamp
        else:
            refused[topic, "stamp not after the one before"] += 1
