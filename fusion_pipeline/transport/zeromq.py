"""The bus between processes, over ZeroMQ."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from fusion_pipeline.transport.bus import Publisher, Subscriber
from fusion_pipeline.transport.zeromq_publisher import ZeromqPublisher
from fusion_pipeline.transport.zeromq_subscriber import ZeromqSubscriber


class ZeromqBus:
    """Publishers and subscribers over the endpoints of `endpoints` (topic -> "ipc://..." or "tcp://...").

    With `lossless` (replay) every topic is delivered as EVERY.
    """

    def __init__(self, endpoints: Mapping[str, str], lossless: bool = False) -> None:
        self._endpoints, self._lossless = dict(endpoints), lossless
        self._open: list[Publisher | Subscriber] = []

    def publisher(self, topics: Iterable[str]) -> Publisher:
        """A publisher of exactly `topics`, bound to their endpoint. Raises zmq.ZMQError where it is taken."""
        names = tuple(topics)
        made = ZeromqPublisher(names, {self._endpoints[name] for name in names}, self._lossless)
        self._open.append(made)
        return made

    def subscriber(self, topics: Iterable[str]) -> Subscriber:
        """A subscriber of `topics`; their writers need not be there yet."""
        names = tuple(topics)
        made = ZeromqSubscriber(names, {self._endpoints[name] for name in names}, self._lossless)
        self._open.append(made)
        return made

    def close(self) -> None:
        """Close what was handed out."""
        for part in self._open:
            part.close()
