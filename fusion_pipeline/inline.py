"""A replay graph in one process: the same nodes, called in turn, with the same results as in processes of their own.

For many logs at once this is the cheaper way: one core for each log, and nothing is copied between processes.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import Any

from fusion_pipeline.graph import Graph, GraphError
from fusion_pipeline.laps import LapGate
from fusion_pipeline.messages import Lap, LogTime, Message
from fusion_pipeline.node import Node, Source, Stage
from fusion_pipeline.transport.bus import Envelope, Received

NOWHERE = Envelope("inline", 0, 0)


class _Driven:
    """A stage with what the transport would know of it."""

    def __init__(self, stage: Stage[Any], topics: tuple[str, ...], laps: dict[str, str], lap_topic: str) -> None:
        self.stage, self.topics = stage, frozenset(topics)
        self._gate, self._lap_topic = LapGate(laps), lap_topic

    def take(self, topic: str, message: Message) -> Iterator[Message]:
        for one in self._gate.take(Received(topic, message, NOWHERE)):
            if isinstance(one.message, LogTime):
                yield from self.stage.advance(one.message.header.arrival_ns)
            elif isinstance(one.message, Lap):
                if one.message.number:
                    yield from self.stage.finish()
                self.stage.begin(one.message)
                if self._lap_topic:
                    yield replace(one.message, header=replace(one.message.header, source=self._lap_topic))
            elif one.message is not None:
                yield from self.stage.step(one.message)


def run_inline(
    graph: Graph, on_message: Callable[[Message], None] = lambda message: None, stop: threading.Event | None = None
) -> dict[str, dict[tuple[str, str], int]]:
    """Run a replay of one player to its end; `on_message` sees all that is published. Returns each node's counts.

    Raises GraphError for a graph that is live or has several sources, and whatever the nodes raise.
    """
    wiring = graph.check()
    sources = [p for p in graph.processes if issubclass(p.node, Source)]
    if not graph.replay or len(sources) != 1:
        raise GraphError("only a replay of one log runs in one process; start this graph with `fusion launch`")
    nodes: dict[str, Node[Any]] = {p.label: p.node(p.config, p.label) for p in graph.processes}
    for node in nodes.values():
        node.replay = True
    driven = [
        _Driven(node, wiring.topics_read[label], wiring.laps_read_by(label), wiring.lap_of.get(label, ""))
        for label, node in nodes.items()
        if isinstance(node, Stage)
    ]

    def publish(messages: Iterable[Message]) -> None:
        for message in messages:
            on_message(message)
            for reader in driven:
                if message.header.source in reader.topics:
                    publish(reader.take(message.header.source, message))

    opened: list[Node[Any]] = []
    try:
        for node in nodes.values():
            opened.append(node)
            node.open()
        source = nodes[sources[0].label]
        assert isinstance(source, Source)
        publish(source.messages(stop or threading.Event()))
        for reader in driven:  # the graph lists writers before their readers
            publish(reader.stage.finish())
    finally:
        for node in opened:
            node.close()
    return {label: node.counts() for label, node in nodes.items()}
