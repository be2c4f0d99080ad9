"""Stored messages of ROS bags, for logs that are made of logs: as MCAP holds them, nothing decoded."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from fusion_pipeline.clock import LAST_NS
from fusion_pipeline.logs.bag_source import source_of
from fusion_pipeline.logs.raw import Attachment, Raw
from fusion_pipeline.logs.ros_sources import Lost
from fusion_pipeline.logs.ros_types import RosTypes

NOTED = ("missing-part", "lost", "unread-topic")  # findings that say what is not among the messages


class BagReader:
    """All messages of a bag in order of time, with the definitions of their types. Interface as of RawReader."""

    def __init__(self, path: Path) -> None:
        """Raises LogError where it cannot be read."""
        self.path = path
        self.lost: Counter[str] = Counter()
        self.metadata: list[tuple[str, dict[str, str]]] = []
        self.attachments: list[Attachment] = []
        self._source = source_of(path)
        self._types = RosTypes()

    def __iter__(self) -> Iterator[Raw]:
        """Messages; those that are damaged are left out and counted in `lost`."""
        self.lost.clear()
        lost, heads = Lost(), {}
        for key, channel in self._source.channels.items():
            schema = channel.schema.replace("/msg/", "/", 1) if channel.encoding == "ros1" else channel.schema
            heads[key] = channel.topic, schema, channel.encoding, self._types.text(channel)
        for key, time_ns, data in self._source.messages(heads, 0, LAST_NS, lost):
            topic, schema, encoding, form = heads[key]
            yield Raw(topic, schema, encoding, time_ns, time_ns, 0, data, form)
        for (topic, reason), count in lost.items():
            self.lost[reason if topic == "log" else f"{topic}, {reason}"] += count
        for fault in self._source.faults:
            self.lost[fault] = max(self.lost[fault], 1)
        for item in self._source.findings:
            if item.name in NOTED:
                self.lost[f"{item.name}, {item.detail}"] += item.count
